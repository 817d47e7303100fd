//! The gate of a pool: many readers, or many sharers, or one writer who takes the guarded state with it.
//!
//! The writer's state (`W`) travels by value in a box: it is absent while a writer works, so that "only the
//! writer touches it" is a matter of ownership and no lock is taken for each of its operations. While sharers work it
//! lies in a mutex of theirs (see [`sharing`](super::sharing)). Nobody is woken unless somebody waits: waking is a
//! system call.
//!
//! Who finds the way free passes with one atomic instruction (a writer, a sharer) or three (a reader):
//!
//! - A writer takes the box and then sees no readers. A reader counts itself and then finds the box there, which
//!   it takes for a moment to see that. Each does first what the other looks for last, in one total order, so never do
//!   both pass.
//! - Who cannot pass counts itself as waiting and tries again under a lock, before it sleeps. Whoever puts the box back,
//!   or leaves as the last reader, or as a sharer, looks at the waiting ones afterwards, and wakes them under that lock.
//!   So either the one sees the way free, or the other sees it waiting.
//!
//! Nobody waits for ever while others come and go:
//!
//! - A waiting writer or reader closes the sharers' session, so that no more of them enter; waiting writers and sharers
//!   keep new readers out; waiting writers go before waiting readers and sharers.
//! - After [`TURNS_MAX`] writers in a row the next to leave lets those in who wait: it counts them as inside before
//!   anybody else can take the box.
//! - Between waiting readers and waiting sharers the side goes first that did not go last.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::sharing::{Shareable, Sharing};
use crate::ground::sync::{AtomicU32, Condvar, Mutex, MutexGuard, lock, then_look, wait};
use crate::media::Handoff;

/// So many writers may follow one another while readers or sharers wait.
const TURNS_MAX: u32 = if cfg!(loom) { 1 } else { 16 };
/// Who would rather not wait tries so often, with so many pauses after each: some microseconds, less than a sleep costs.
const TRIES: u32 = if cfg!(loom) { 1 } else { 32 };
const PAUSES: u32 = if cfg!(loom) { 0 } else { 16 };
/// Those who are let in while they sleep are counted here.
const GUESTS: usize = 0;

/// Many readers, many sharers, or one writer, who owns `W` meanwhile.
#[derive(Debug)]
pub(crate) struct Gate<W> {
    /// Empty while a writer works, while sharers have it, or while somebody looks.
    owned: Handoff<W>,
    readers: AtomicU32,
    /// Threads that sleep or are about to.
    waiting: AtomicU32,
    /// Those of them that keep new readers out: writers and sharers.
    before_readers: AtomicU32,
    queue: Mutex<Queue>,
    opened: Condvar,
    sharing: Arc<Sharing<W>>,
}

/// Who waits. Who is let in by another one is *granted*, and neither waits nor tries any more.
#[derive(Debug, Default)]
struct Queue {
    writers: u32,
    readers: u32,
    sharers: u32,
    granted_readers: u32,
    granted_sharers: u32,
    /// Writers that have left since somebody else began to wait.
    turns: u32,
    /// Readers went in last while sharers waited.
    sharers_next: bool,
}

impl Queue {
    fn may_read(&self) -> bool {
        self.writers == 0 && !(self.sharers > 0 && self.sharers_next)
    }

    fn may_share(&self) -> bool {
        self.writers == 0 && (self.readers == 0 || self.sharers_next)
    }

    /// Whether a session of sharers may stay open for more of them.
    fn is_quiet(&self) -> bool {
        self.writers == 0 && self.readers == 0
    }
}

impl<W: Shareable> Gate<W> {
    pub(crate) fn new(owned: Box<W>, sharing: Arc<Sharing<W>>) -> Self {
        Self {
            owned: Handoff::new(owned),
            readers: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            before_readers: AtomicU32::new(0),
            queue: Mutex::new(Queue::default()),
            opened: Condvar::new(),
            sharing,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// Wakes those who wait, if any: they look again.
    #[inline]
    fn wake(&self) {
        then_look();
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        drop(self.lock());
        self.opened.notify_all();
    }

    /// Sleeps until `attempt` gives something. It tries under the lock; what it takes for a moment can disturb only who
    /// does not sleep yet, and comes here to try again.
    #[cold]
    fn wait_for<T>(&self, mut attempt: impl FnMut(&mut Queue) -> Option<T>) -> T {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        then_look();
        let mut queue = self.lock();
        let result = loop {
            if let Some(result) = attempt(&mut queue) {
                break result;
            }
            queue = wait(&self.opened, queue);
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        result
    }

    /// Takes the box if nobody reads, shares or writes.
    #[inline]
    fn try_writing(&self) -> Option<Box<W>> {
        let owned = self.owned.take()?;
        then_look();
        if self.readers.load(Ordering::SeqCst) == 0 {
            return Some(owned);
        }
        self.owned.put(owned);
        None
    }

    /// Waits until nobody reads, shares or writes, and takes the writer's state.
    #[inline]
    pub(crate) fn enter_writing(&self) -> Box<W> {
        match self.try_writing() {
            Some(owned) => owned,
            None => self.wait_writing(),
        }
    }

    /// As [`enter_writing`](Self::enter_writing), if nobody shares or waits, and nobody else stays inside for long.
    #[inline]
    pub(crate) fn try_enter_writing(&self) -> Option<Box<W>> {
        self.try_for_a_moment(|| {
            let owned = self.try_writing();
            if owned.is_none() {
                // The attempt may have held the box when somebody else looked for it.
                self.wake();
            }
            owned
        })
    }

    /// Tries until `attempt` gives something, for about as long as a short transaction takes.
    #[inline]
    fn try_for_a_moment<T>(&self, attempt: impl Fn() -> Option<T>) -> Option<T> {
        for _ in 0..TRIES {
            if self.sharing.is_open() || self.waiting.load(Ordering::Relaxed) > 0 {
                return None;
            }
            if let Some(result) = attempt() {
                return Some(result);
            }
            for _ in 0..PAUSES {
                std::hint::spin_loop();
            }
        }
        None
    }

    /// Ends the sharers' session if nobody is inside, so that one who comes alone has the way free. Otherwise the next of
    /// them opens it again.
    pub(crate) fn end_idle_session(&self) {
        let queue = self.lock();
        if let Some(owned) = self.sharing.close() {
            self.owned.put(owned);
        }
        drop(queue);
        self.wake();
    }

    #[cold]
    fn wait_writing(&self) -> Box<W> {
        // The attempt that failed may have held the box when somebody else looked for it.
        self.wake();
        self.before_readers.fetch_add(1, Ordering::SeqCst);
        let mut counted = false;
        let owned = self.wait_for(|queue| {
            if !std::mem::replace(&mut counted, true) {
                queue.writers += 1;
            }
            let owned = self.try_writing().or_else(|| self.sharing.close())?;
            queue.writers -= 1;
            Some(owned)
        });
        // Who waits for this one to be gone is woken when it leaves.
        self.before_readers.fetch_sub(1, Ordering::SeqCst);
        owned
    }

    /// Returns the writer's state and lets others in.
    #[inline]
    pub(crate) fn leave_writing(&self, owned: Box<W>) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return self.leave_to_others(owned);
        }
        self.owned.put(owned);
        self.wake();
    }

    #[cold]
    fn leave_to_others(&self, owned: Box<W>) {
        let mut queue = self.lock();
        let others = queue.readers > 0 || queue.sharers > 0;
        queue.turns = if others { queue.turns + 1 } else { 0 };
        if others && (queue.writers == 0 || queue.turns > TURNS_MAX) {
            queue.turns = 0;
            if queue.sharers > 0 && (queue.readers == 0 || queue.sharers_next) {
                self.grant_sharers(&mut queue, *owned);
            } else {
                self.grant_readers(&mut queue, owned);
            }
        } else {
            self.owned.put(owned);
        }
        drop(queue);
        self.opened.notify_all();
    }

    /// Counts all waiting readers as inside.
    fn grant_readers(&self, queue: &mut Queue, owned: Box<W>) {
        let count = std::mem::take(&mut queue.readers);
        queue.granted_readers += count;
        queue.sharers_next = true;
        // Before the box is there to be taken.
        self.readers.fetch_add(count, Ordering::SeqCst);
        self.owned.put(owned);
    }

    /// Counts all waiting sharers as inside.
    fn grant_sharers(&self, queue: &mut Queue, owned: W) {
        let count = std::mem::take(&mut queue.sharers);
        queue.granted_sharers += count;
        queue.sharers_next = false;
        self.sharing.begin(owned, GUESTS, count, queue.is_quiet());
    }

    /// Looks at the writer's state, unless a writer has it.
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&mut W) -> T) -> Option<T> {
        if let Some(mut owned) = self.owned.take() {
            let result = look(&mut owned);
            self.owned.put(owned);
            self.wake();
            return Some(result);
        }
        self.sharing.lock().as_mut().map(look)
    }

    /// Counts a reader if the box is there.
    fn count_reader(&self) -> Option<()> {
        self.readers.fetch_add(1, Ordering::SeqCst);
        then_look();
        if let Some(owned) = self.owned.take() {
            self.owned.put(owned);
            return Some(());
        }
        self.readers.fetch_sub(1, Ordering::SeqCst);
        None
    }

    /// Waits until nobody writes or shares, and counts one more reader.
    pub(crate) fn enter_reading(&self) {
        let kept_out = self.before_readers.load(Ordering::SeqCst) > 0;
        let free = if kept_out { None } else { self.count_reader() };
        // Another one may have found the box gone, or this reader there, for that moment.
        self.wake();
        if free.is_none() {
            self.wait_reading();
        }
    }

    /// As [`enter_reading`](Self::enter_reading), if nobody shares or waits, and nobody writes for long. False if somebody does.
    #[inline]
    pub(crate) fn try_enter_reading(&self) -> bool {
        let free = self.try_for_a_moment(|| {
            let free = self.count_reader();
            self.wake();
            free
        });
        free.is_some()
    }

    #[cold]
    fn wait_reading(&self) {
        let mut counted = false;
        self.wait_for(|queue| {
            if !std::mem::replace(&mut counted, true) {
                queue.readers += 1;
            } else if queue.granted_readers > 0 {
                queue.granted_readers -= 1;
                return Some(());
            }
            if !queue.may_read() {
                return None;
            }
            if let Some(owned) = self.sharing.close() {
                self.owned.put(owned);
            }
            self.count_reader()?;
            queue.readers -= 1;
            queue.sharers_next = queue.sharers > 0;
            Some(())
        });
        // For the sake of other readers, who may have found the box gone for a moment.
        self.wake();
    }

    /// Counts one reader less.
    pub(crate) fn leave_reading(&self) {
        let before = self.readers.fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0, "a reader leaves that never entered");
        if before == 1 {
            self.wake();
        }
    }

    /// Waits until nobody reads or writes, and counts one more sharer, at `seat` if it can. Gives the seat that
    /// [`leave_sharing`](Self::leave_sharing) is to be called with.
    #[inline]
    pub(crate) fn enter_sharing(&self, seat: usize) -> usize {
        if self.sharing.enter(seat) { seat } else { self.wait_sharing(seat) }
    }

    #[cold]
    fn wait_sharing(&self, seat: usize) -> usize {
        // Somebody may have seen this one counted for that moment.
        self.wake();
        self.before_readers.fetch_add(1, Ordering::SeqCst);
        let mut counted = false;
        let seat = self.wait_for(|queue| {
            if !std::mem::replace(&mut counted, true) {
                queue.sharers += 1;
            } else if queue.granted_sharers > 0 {
                queue.granted_sharers -= 1;
                return Some(GUESTS);
            }
            if !queue.may_share() {
                return None;
            }
            if !self.sharing.join(seat, queue.is_quiet()) {
                self.sharing.begin(*self.try_writing()?, seat, 1, queue.is_quiet());
            }
            queue.sharers -= 1;
            queue.sharers_next = false;
            Some(seat)
        });
        self.before_readers.fetch_sub(1, Ordering::SeqCst);
        // Others may share as well now, or have found the box gone for a moment.
        self.wake();
        seat
    }

    /// Counts one sharer less.
    #[inline]
    pub(crate) fn leave_sharing(&self, seat: usize) {
        self.sharing.leave(seat);
        self.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Shareable for u64 {}

    fn gate() -> Gate<u64> {
        Gate::new(Box::new(0), Arc::new(Sharing::new()))
    }

    /// Catches: two writers at once, a reader beside a writer, a lost wake-up (which hangs the test).
    #[test]
    fn a_writer_is_alone() {
        let gate = Arc::new(gate());
        let inside = Arc::new(AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (gate, inside) = (gate.clone(), inside.clone());
                scope.spawn(move || {
                    for _ in 0..200 {
                        let mut owned = gate.enter_writing();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        *owned += 1;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        gate.leave_writing(owned);
                        gate.enter_reading();
                        assert_eq!(inside.load(Ordering::SeqCst), 0);
                        gate.leave_reading();
                    }
                });
            }
        });
        assert_eq!(*gate.enter_writing(), 600);
    }

    /// One who is inside may wait, with the owned state in its hands, for another one who is about to leave (a full ring:
    /// the checkpoint waits for that one's record). Catches who comes in and keeps the gate's lock until that state is free.
    #[test]
    fn who_leaves_waits_for_nobody_inside() {
        let gate = Arc::new(gate());
        let (first, second) = (gate.enter_sharing(1), gate.enter_sharing(2));
        // As somebody does who wants the session to end.
        assert!(gate.sharing.close().is_none());
        let owned = gate.sharing.lock();
        let newcomer = std::thread::spawn({
            let gate = gate.clone();
            move || {
                let seat = gate.enter_sharing(3);
                gate.leave_sharing(seat);
            }
        });
        while !newcomer.is_finished() && gate.waiting.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        // So that it comes as far as it can.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let (left, has_left) = std::sync::mpsc::channel();
        let leaving = std::thread::spawn({
            let gate = gate.clone();
            move || {
                gate.leave_sharing(second);
                left.send(()).unwrap();
            }
        });
        let in_time = has_left.recv_timeout(std::time::Duration::from_secs(5)).is_ok();
        drop(owned);
        gate.leave_sharing(first);
        leaving.join().unwrap();
        newcomer.join().unwrap();
        assert!(in_time, "who leaves waits for who is inside");
        assert_eq!(*gate.enter_writing(), 0);
    }

    /// As above, with readers and writers that stay inside for a while and overlap: most go to sleep.
    #[test]
    fn sleepers_are_woken() {
        let gate = Arc::new(gate());
        let rounds = if cfg!(miri) { 3 } else { 300 };
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let gate = gate.clone();
                scope.spawn(move || {
                    for round in 0..rounds {
                        if (thread + round) % 2 == 0 {
                            let mut owned = gate.enter_writing();
                            std::thread::sleep(std::time::Duration::from_micros(20));
                            *owned += 1;
                            gate.leave_writing(owned);
                        } else {
                            gate.enter_reading();
                            std::thread::yield_now();
                            // Takes what others look for, for a moment.
                            let _ = gate.peek(|owned| *owned);
                            gate.leave_reading();
                        }
                    }
                });
            }
        });
        assert_eq!(*gate.enter_writing(), rounds * 2);
    }
}
