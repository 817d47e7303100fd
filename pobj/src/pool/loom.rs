//! Models of the gate and of the table of locks for loom, which runs each in every order that threads and memory allow
//! (within a bound on the switches between threads that are not waiting).
//!
//! Loom does not know the one total order of `SeqCst` operations, on which the gate relies; under it `then_look` is a fence
//! at each place where that order matters.
//!
//! Run by `RUSTFLAGS="--cfg loom" cargo test -p pobj --lib --release loom_`. A model that hangs, a box in two hands, a
//! `&mut` beside another reference: loom reports each with the order that leads there.

#[cfg(test)]
mod tests {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use super::super::gate::Gate;
    use super::super::locks::{Claim, LockTable, Outcome, Patience};
    use super::super::sharing::{Shareable, Sharing};

    /// What is behind the gate. Loom sees who has it at the same time as whom.
    struct State {
        data: Arc<UnsafeCell<u64>>,
    }

    impl Shareable for State {}

    struct Model {
        gate: Gate<State>,
        data: Arc<UnsafeCell<u64>>,
        sharing: std::sync::Arc<Sharing<State>>,
    }

    impl Model {
        fn new() -> Arc<Self> {
            let data = Arc::new(UnsafeCell::new(0));
            let sharing = std::sync::Arc::new(Sharing::new());
            let gate = Gate::new(Box::new(State { data: data.clone() }), sharing.clone());
            Arc::new(Self { gate, data, sharing })
        }

        fn write(&self) {
            let owned = self.gate.enter_writing();
            // SAFETY: the pointer is used within the call; loom checks that nobody else has one.
            owned.data.with_mut(|data| unsafe { *data += 1 });
            self.gate.leave_writing(owned);
        }

        fn read(&self) {
            self.gate.enter_reading();
            // SAFETY: as above, beside other readers.
            self.data.with(|data| unsafe { data.read() });
            self.gate.leave_reading();
        }

        /// As a call that needs one lock: alone if nobody is there, beside others if somebody is.
        fn lone(&self, seat: usize) {
            match self.gate.try_enter_writing() {
                Some(owned) => {
                    // SAFETY: as above, alone.
                    owned.data.with_mut(|data| unsafe { *data += 1 });
                    self.gate.leave_writing(owned);
                }
                None => {
                    self.share(seat);
                    self.gate.end_idle_session();
                }
            }
        }

        /// As a look at one key.
        fn look(&self, seat: usize) {
            if !self.gate.try_enter_reading() {
                return self.share(seat);
            }
            // SAFETY: as above, beside other readers.
            self.data.with(|data| unsafe { data.read() });
            self.gate.leave_reading();
        }

        /// Sharers read what is behind the gate and change what lies in the mutex.
        fn share(&self, seat: usize) {
            let seat = self.gate.enter_sharing(seat);
            {
                let owned = self.sharing.lock();
                assert!(owned.is_some(), "a sharer is inside without the owner");
            }
            // SAFETY: as above, beside other sharers.
            self.data.with(|data| unsafe { data.read() });
            self.gate.leave_sharing(seat);
        }
    }

    fn check(model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.max_branches = 10_000;
        if builder.preemption_bound.is_none() {
            builder.preemption_bound = Some(2);
        }
        builder.check(model);
    }

    /// Each mode beside each other one, from two further threads.
    fn modes(first: fn(&Model), second: fn(&Model), here: fn(&Model)) {
        check(move || {
            let model = Model::new();
            let threads: Vec<_> = [first, second]
                .into_iter()
                .map(|act| {
                    let model = model.clone();
                    thread::spawn(move || act(&model))
                })
                .collect();
            here(&model);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            // Whatever went before, everybody finds a way in.
            model.write();
        });
    }

    #[test]
    fn loom_gate_writers_and_a_reader() {
        modes(Model::write, Model::read, Model::write);
    }

    #[test]
    fn loom_gate_sharers_and_a_writer() {
        modes(|model| model.share(0), |model| model.share(1), Model::write);
    }

    #[test]
    fn loom_gate_a_sharer_a_reader_and_a_writer() {
        modes(|model| model.share(0), Model::read, Model::write);
    }

    #[test]
    fn loom_gate_sharers_and_a_reader() {
        modes(|model| model.share(1), |model| model.share(1), Model::read);
    }

    #[test]
    fn loom_gate_who_would_rather_be_alone() {
        modes(|model| model.lone(0), |model| model.lone(1), |model| model.look(1));
        modes(|model| model.lone(0), |model| model.look(1), Model::write);
        modes(|model| model.lone(0), |model| model.share(1), Model::read);
    }

    /// A session is left open and taken over, while somebody looks at the owner.
    #[test]
    fn loom_gate_a_look_at_the_owner() {
        modes(
            |model| {
                model.gate.peek(|_| ());
            },
            |model| model.share(1),
            Model::write,
        );
    }

    /// A value behind each of two locks.
    struct Locked {
        table: LockTable,
        values: [UnsafeCell<u64>; 2],
    }

    // SAFETY: the values are used by holders of their locks only, which is what loom checks.
    unsafe impl Sync for Locked {}
    // SAFETY: as above.
    unsafe impl Send for Locked {}

    const ADDRS: [u64; 2] = [0x1000, 0x2000];

    impl Locked {
        fn new() -> Arc<Self> {
            Arc::new(Self { table: LockTable::default(), values: [UnsafeCell::new(0), UnsafeCell::new(0)] })
        }

        fn take(&self, which: usize, claim: Claim, party: u32) -> Outcome {
            self.table.acquire(ADDRS[which], claim, party, Patience::Endless)
        }

        fn add(&self, which: usize) {
            // SAFETY: the pointer is used within the call; loom checks that nobody else has one.
            self.values[which].with_mut(|value| unsafe { *value += 1 });
        }

        fn look(&self, which: usize) -> u64 {
            // SAFETY: as above, beside others who look.
            self.values[which].with(|value| unsafe { value.read() })
        }

        /// Runs `act` until it is not refused, giving back what it took each time.
        fn run(&self, party: u32, act: impl Fn(&Self) -> Outcome) {
            loop {
                let outcome = act(self);
                ADDRS.iter().for_each(|addr| self.table.release(*addr, party));
                match outcome {
                    Outcome::Granted => return,
                    Outcome::Busy => panic!("an endless wait has ended"),
                    Outcome::Deadlock => thread::yield_now(),
                }
            }
        }
    }

    /// Two parties and this thread, as numbers 1 to 3.
    fn parties(count: u32, act: fn(&Locked, u32) -> Outcome, expected: [u64; 2]) {
        check(move || {
            let locked = Locked::new();
            let threads: Vec<_> = (2..=count)
                .map(|party| {
                    let locked = locked.clone();
                    thread::spawn(move || locked.run(party, |locked| act(locked, party)))
                })
                .collect();
            locked.run(1, |locked| act(locked, 1));
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!([locked.look(0), locked.look(1)], expected);
        });
    }

    macro_rules! granted {
        ($outcome:expr) => {
            match $outcome {
                Outcome::Granted => {}
                refused => return refused,
            }
        };
    }

    #[test]
    fn loom_locks_exclude_each_other() {
        parties(
            3,
            |locked, party| {
                granted!(locked.take(0, Claim::Exclusive, party));
                locked.add(0);
                Outcome::Granted
            },
            [3, 0],
        );
    }

    #[test]
    fn loom_locks_shared_and_alone() {
        parties(
            3,
            |locked, party| {
                if party == 1 {
                    granted!(locked.take(0, Claim::Exclusive, party));
                    locked.add(0);
                } else {
                    granted!(locked.take(0, Claim::Shared, party));
                    locked.look(0);
                }
                Outcome::Granted
            },
            [1, 0],
        );
    }

    /// Both read and then write: one of them has to begin again.
    #[test]
    fn loom_locks_two_upgrades() {
        parties(
            2,
            |locked, party| {
                granted!(locked.take(0, Claim::Shared, party));
                locked.look(0);
                granted!(locked.take(0, Claim::Exclusive, party));
                locked.add(0);
                Outcome::Granted
            },
            [2, 0],
        );
    }

    /// Two locks in opposite orders. A circle that is not seen hangs, which loom reports.
    #[test]
    fn loom_locks_crosswise() {
        parties(
            2,
            |locked, party| {
                let first = party as usize % 2;
                granted!(locked.take(first, Claim::Exclusive, party));
                granted!(locked.take(1 - first, Claim::Exclusive, party));
                locked.add(0);
                locked.add(1);
                Outcome::Granted
            },
            [2, 2],
        );
    }
}
