//! Faults at the Nth call, by real means: a forked child runs a script on a real file while one of its system calls, or
//! one of its requests of memory, fails. Its parent then opens the file without faults and compares.
//!
//! A child must end by itself, soon, without a signal and without a panic: every fault is an error value, or goes
//! unnoticed. What it acknowledged must be there, what failed may be there whole or not at all; a pool that had an
//! unknown sync goes no further; no file but the pool stays behind.

pub mod board;
pub mod inject;
pub mod machine;
pub mod memory;
pub mod planted;
pub mod scenarios;
pub mod stores;

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use pobj::Error;

use crate::support::names_in;
use crate::workload::KillMode;
use board::{Board, Outcome, STEPS_MAX};
use inject::{CALLS, COUNT, Fault};
use machine::Machine;

/// A child that takes longer than this hangs.
const SECONDS_MAX: u32 = 10;

/// A step of a script.
#[derive(Clone, Copy, Debug)]
pub enum Step<A> {
    /// Makes a new one.
    Create,
    /// Opens what is there.
    Open,
    /// Does something with it.
    Act(A),
    /// Closes it.
    Close,
}

/// A script, what is there before it, and how it is used.
pub struct Script<M: Machine> {
    name: &'static str,
    mode: KillMode,
    /// Done before, without faults. If it does not close, it leaves what a kill leaves.
    before: Vec<Step<M::Act>>,
    steps: Vec<Step<M::Act>>,
}

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// A system call.
    Call(Fault),
    /// This request of memory, and all later ones.
    Memory(u64),
    /// A signal with a handler interrupts every so many microseconds.
    Signals(u32),
}

/// What a run counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// System calls, as in [`CALLS`].
    pub calls: [u64; COUNT],
    /// Requests of memory.
    pub requests: u64,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The fault was met.
    pub fired: bool,
    /// It became an error.
    pub failed: bool,
    /// The process was ended because it got no memory.
    pub aborted: bool,
}

/// A script of any kind.
pub trait Scenario {
    /// What it does, and on what.
    fn name(&self) -> String;
    /// Prepares what is there before.
    ///
    /// # Errors
    ///
    /// What went wrong, without any fault.
    fn prepare(&self, place: &Place) -> Result<(), String>;
    /// Runs it once. If `old`, on a file system that lacks what file systems may lack.
    ///
    /// # Errors
    ///
    /// What must not happen.
    fn run(&self, place: &Place, trouble: Trouble, old: bool) -> Result<(Ended, Counted), String>;
}

/// Where scenarios run.
pub struct Place {
    directory: tempfile::TempDir,
    board: &'static Board,
    bytes: std::cell::RefCell<Option<Vec<u8>>>,
}

impl Place {
    /// Below this directory.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    #[must_use]
    pub fn new(directory: tempfile::TempDir) -> Self {
        fs::create_dir(directory.path().join("here")).expect("a directory");
        Self { directory, board: Board::new(), bytes: None.into() }
    }

    fn inner(&self) -> PathBuf {
        self.directory.path().join("here")
    }

    fn path(&self) -> PathBuf {
        self.inner().join("it.pobj")
    }

    /// Puts back what was prepared, and nothing else.
    fn reset(&self) -> std::io::Result<()> {
        fs::remove_dir_all(self.inner())?;
        fs::create_dir(self.inner())?;
        match &*self.bytes.borrow() {
            Some(bytes) => fs::write(self.path(), bytes),
            None => Ok(()),
        }
    }
}

/// What a double failure does on purpose: with the image in place, once the journal cannot take old words, and the image
/// cannot be mapped privately either, only the end of the process keeps the pool whole.
fn may_abort(mode: KillMode, trouble: Trouble) -> bool {
    let Trouble::Call(Fault { call, forever: true, .. }) = trouble else { return false };
    mode == KillMode::InPlace && CALLS[call].name == "mmap"
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Exit(i32),
    Signal(i32),
}

/// Runs `act` in a forked child.
fn in_child(quiet: bool, act: impl FnOnce()) -> End {
    // SAFETY: this program has one thread where it forks; the child ends with `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        // SAFETY: takes a number. The signal's default action ends a child that hangs.
        unsafe { libc::alarm(SECONDS_MAX) };
        if quiet {
            // Not merely closed: the next file would have its number, and get its messages.
            let nothing = fs::File::options().write(true).open("/dev/null").expect("/dev/null");
            // SAFETY: replaces the standard error, which nothing in this child needs.
            unsafe { libc::dup2(nothing.as_raw_fd(), 2) };
        }
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_err();
        // SAFETY: ends the child at once, as a kill would.
        unsafe { libc::_exit(if panicked { 101 } else { 0 }) };
    }
    let mut status = 0;
    loop {
        // SAFETY: waits for the child made above.
        let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
        if waited == pid {
            break;
        }
    }
    if libc::WIFSIGNALED(status) {
        End::Signal(libc::WTERMSIG(status))
    } else {
        End::Exit(libc::WEXITSTATUS(status))
    }
}

impl<M: Machine> Script<M> {
    /// In the child: does the steps, and says what became of each.
    fn play(&self, board: &Board, path: &Path, steps: &[Step<M::Act>]) {
        let mut machine: Option<M> = None;
        let mut unknown = false;
        for (number, step) in steps.iter().enumerate() {
            if machine.is_none() && matches!(step, Step::Act(_) | Step::Close) {
                continue;
            }
            board.note(number, Outcome::Began);
            let outcome = match *step {
                Step::Create => M::create(path, self.mode).map(|made| machine = Some(made)),
                Step::Open => M::open(path, self.mode).map(|opened| machine = Some(opened)),
                Step::Act(act) => machine.as_mut().map_or(Ok(()), |machine| machine.act(act)),
                Step::Close => machine.take().map_or(Ok(()), M::close),
            };
            let said = match &outcome {
                Ok(()) => Outcome::Done,
                Err(Error::Poisoned) => Outcome::Poisoned,
                Err(_) => Outcome::Failed,
            };
            board.note(number, said);
            if let Err(error) = &outcome
                && let Some(wrong) = unfit(error)
            {
                board.complain(&format!("step {number}, {step:?}: {wrong}"));
            }
            // Reading and rolling back are allowed to whom a sync has failed; changing is not.
            if unknown && said == Outcome::Done && self.changes(step) {
                board.complain(&format!("step {number}, {step:?}, succeeds after a sync that failed"));
            }
            unknown = match step {
                Step::Create | Step::Open => false,
                _ => unknown || said != Outcome::Done && board.lost.load(Relaxed) > 0,
            };
        }
        let told =
            (0..steps.len()).any(|step| matches!(board.outcome(step), Outcome::Failed | Outcome::Poisoned));
        if board.lost.load(Relaxed) > 0 && !told {
            board.complain("a sync failed, and nobody was told");
        }
    }

    /// Whether a step changes what is there.
    fn changes(&self, step: &Step<M::Act>) -> bool {
        let Step::Act(act) = step else { return false };
        let mut model = M::Model::default();
        M::expect(*act, &mut model);
        model != M::Model::default()
    }

    /// What may be there, if this became of the steps. `None` is no file.
    fn candidates(&self, board: &Board) -> Vec<Option<M::Model>> {
        let mut all = vec![None];
        for step in &self.before {
            all = after::<M>(step, Outcome::Done, all);
        }
        let mut poisoned = false;
        for (number, step) in self.steps.iter().enumerate() {
            let outcome = match board.outcome(number) {
                // The first to be told may have been under way when a sync failed, of this thread or of another.
                Outcome::Poisoned if !poisoned || M::STORES => Outcome::Failed,
                outcome => outcome,
            };
            poisoned |= outcome == Outcome::Failed && board.outcome(number) == Outcome::Poisoned;
            all = after::<M>(step, outcome, all);
        }
        all
    }

    /// In another child: what is there?
    fn verify(&self, board: &Board, path: &Path) -> Result<(), String> {
        let all = self.candidates(board);
        let said = |error: Error| format!("without faults: {error}");
        if !path.exists() {
            return if all.contains(&None) {
                self.begin_anew(path)
            } else {
                Err("the file is gone".to_owned())
            };
        }
        let mut machine = M::open(path, self.mode).map_err(said)?;
        let found = machine.observe()?;
        if !all.contains(&Some(found.clone())) {
            return Err(format!("found {found:?}, which is none of {all:?}"));
        }
        machine.act(M::one_more()).map_err(said)?;
        let mut expected = found;
        M::expect(M::one_more(), &mut expected);
        machine.close().map_err(said)?;
        let machine = M::open(path, self.mode).map_err(said)?;
        let found = machine.observe()?;
        if found == expected { Ok(()) } else { Err(format!("found {found:?} afterwards, not {expected:?}")) }
    }

    /// After a creation that failed another one succeeds.
    fn begin_anew(&self, path: &Path) -> Result<(), String> {
        let machine = M::create(path, self.mode).map_err(|error| format!("created again: {error}"))?;
        let found = machine.observe()?;
        if found == M::Model::default() { Ok(()) } else { Err(format!("a new one holds {found:?}")) }
    }
}

/// An error that a fault of the system does not explain.
fn unfit(error: &Error) -> Option<String> {
    match error {
        Error::Io { .. } | Error::Unreadable { .. } | Error::Poisoned | Error::Aborted(_) => None,
        // A range of addresses that could not be given back (`munmap`).
        Error::AddressTaken { .. } => None,
        // What a failed `stat` or `open` leaves for a script to find: nothing was created.
        Error::NotFound { .. } | Error::AlreadyExists { .. } => None,
        other => Some(format!("{other:?}")),
    }
}

/// What may be there after a step.
fn after<M: Machine>(
    step: &Step<M::Act>,
    outcome: Outcome,
    all: Vec<Option<M::Model>>,
) -> Vec<Option<M::Model>> {
    let made = Some(M::Model::default());
    match (step, outcome) {
        (_, Outcome::None) | (Step::Open | Step::Close, _) => all,
        (Step::Create, Outcome::Done) => vec![made],
        (Step::Create, _) => vec![None, made],
        (Step::Act(_), Outcome::Poisoned) => all,
        (Step::Act(act), Outcome::Done) => {
            let apply = |mut model| {
                M::expect(*act, &mut model);
                model
            };
            all.into_iter().map(|model| model.map(apply)).collect()
        }
        (Step::Act(act), _) => {
            let mut maybe = Vec::new();
            for model in all {
                let models =
                    model.map_or(vec![None], |it| M::partial(*act, &it).into_iter().map(Some).collect());
                models.into_iter().for_each(|model| {
                    if !maybe.contains(&model) {
                        maybe.push(model);
                    }
                });
            }
            maybe
        }
    }
}

impl<M: Machine> Scenario for Script<M> {
    fn name(&self) -> String {
        format!("{}, {:?}", self.name, self.mode)
    }

    fn prepare(&self, place: &Place) -> Result<(), String> {
        M::warm();
        assert!(self.steps.len() <= STEPS_MAX && self.before.len() <= STEPS_MAX, "too many steps");
        *place.bytes.borrow_mut() = None;
        place.reset().map_err(|error| error.to_string())?;
        if self.before.is_empty() {
            return Ok(());
        }
        place.board.clear();
        let end = in_child(false, || self.play(place.board, &place.path(), &self.before));
        let done = (0..self.before.len()).all(|step| place.board.outcome(step) == Outcome::Done);
        if end != End::Exit(0) || !done {
            return Err(format!("{}: {end:?} before any fault", self.name()));
        }
        *place.bytes.borrow_mut() = Some(fs::read(place.path()).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn run(&self, place: &Place, trouble: Trouble, old: bool) -> Result<(Ended, Counted), String> {
        let (board, path) = (place.board, place.path());
        place.reset().map_err(|error| error.to_string())?;
        board.clear();
        let memory = matches!(trouble, Trouble::Memory(_));
        let end = in_child(memory, || {
            let armed = match trouble {
                Trouble::None => inject::arm(board, None, old),
                Trouble::Call(fault) => inject::arm(board, Some(fault), old),
                Trouble::Memory(number) => {
                    memory::refuse_from(board, number);
                    Ok(())
                }
                Trouble::Signals(micros) => memory::interrupt_every(micros),
            };
            armed.expect("faults can be injected");
            board.arm(true);
            memory::count(board, || self.play(board, &path, &self.steps));
            board.arm(false);
        });
        let (fired, steps) = (board.fired.load(Relaxed) > 0, 0..self.steps.len());
        let failed =
            steps.clone().any(|step| matches!(board.outcome(step), Outcome::Failed | Outcome::Poisoned));
        let aborted = (memory || may_abort(self.mode, trouble)) && end == End::Signal(libc::SIGABRT);
        let told = steps.map(|step| board.outcome(step)).collect::<Vec<_>>();
        let wrong = |what: String| {
            let lead = format!("{}, {trouble:?}, {}", self.name(), if old { "old file system" } else { "" });
            Err(format!("{lead}: {what} ({told:?})"))
        };
        if end != End::Exit(0) && !aborted {
            return wrong(format!("{end:?}"));
        }
        if failed && !fired && !matches!(trouble, Trouble::Memory(_)) {
            return wrong("it failed without a fault".to_owned());
        }
        if let Some(complaint) = board.complaint() {
            return wrong(complaint);
        }
        let may_stay =
            aborted || matches!(trouble, Trouble::Call(fault) if CALLS[fault.call].name == "unlinkat");
        let names = names_in(&place.inner());
        if !may_stay && names.iter().any(|name| name != "it.pobj") {
            return wrong(format!("it leaves {names:?}"));
        }
        let counted = Counted {
            calls: board.calls.each_ref().map(|count| count.load(Relaxed)),
            requests: board.requests.load(Relaxed),
        };
        let end = in_child(false, || {
            if let Err(complaint) = self.verify(board, &path) {
                board.complain(&complaint);
            }
        });
        match (board.complaint(), end) {
            (Some(complaint), _) => wrong(complaint),
            (None, End::Exit(0)) => Ok((Ended { fired, failed, aborted }, counted)),
            (None, end) => wrong(format!("afterwards: {end:?}")),
        }
    }
}
