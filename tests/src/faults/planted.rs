//! Bugs that the campaign must find: a campaign that cannot fail proves nothing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use pobj::Result;

use super::machine::{Act, Machine, Work};
use super::{Place, Scenario, Script, Step, Trouble, inject};
use crate::workload::KillMode::{self, Immediate};
use crate::workload::Op;

/// A program with a bug, made of one without.
struct Buggy<M, const BUG: u8>(M);

/// An error counts as success.
const SWALLOWS: u8 = 0;
/// A panic where an error should be returned.
const PANICS: u8 = 1;
/// It waits for ever where an error should be returned.
const HANGS: u8 = 2;

impl<M: Machine, const BUG: u8> Machine for Buggy<M, BUG> {
    type Act = M::Act;
    type Model = M::Model;

    fn create(path: &Path, mode: KillMode) -> Result<Self> {
        M::create(path, mode).map(Self)
    }

    fn open(path: &Path, mode: KillMode) -> Result<Self> {
        M::open(path, mode).map(Self)
    }

    fn close(self) -> Result<()> {
        self.0.close().or(Ok(()))
    }

    fn act(&mut self, act: M::Act) -> Result<()> {
        match (self.0.act(act), BUG) {
            (Err(_), SWALLOWS) => Ok(()),
            (Err(error), PANICS) => panic!("{error}"),
            (Err(_), HANGS) => loop {
                std::thread::park();
            },
            (outcome, _) => outcome,
        }
    }

    fn expect(act: M::Act, model: &mut M::Model) {
        M::expect(act, model);
    }

    fn observe(&self) -> std::result::Result<M::Model, String> {
        self.0.observe()
    }

    fn one_more() -> M::Act {
        M::one_more()
    }
}

/// A file of pages without pobj, by the book of old: a sync that fails is made again, and the second answer counts.
struct Naive(File);

impl Machine for Naive {
    type Act = (usize, u8);
    type Model = [u8; 8];

    fn create(path: &Path, _: KillMode) -> Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.set_len(8)?;
        Ok(Self(file))
    }

    fn open(path: &Path, _: KillMode) -> Result<Self> {
        Ok(Self(File::options().read(true).write(true).open(path)?))
    }

    fn close(self) -> Result<()> {
        Ok(())
    }

    fn act(&mut self, (at, byte): (usize, u8)) -> Result<()> {
        self.0.write_all_at(&[byte], at as u64)?;
        Ok(self.0.sync_data().or_else(|_| self.0.sync_data())?)
    }

    fn expect((at, byte): (usize, u8), model: &mut [u8; 8]) {
        model[at] = byte;
    }

    fn observe(&self) -> std::result::Result<[u8; 8], String> {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, 0).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn one_more() -> (usize, u8) {
        (7, 1)
    }
}

/// Tries every EIO on each planted bug, until it is found. Gives the names of those that were not.
///
/// # Panics
///
/// If a scenario cannot even be prepared.
#[must_use]
pub fn not_found(place: &Place) -> Vec<&'static str> {
    let acts = || vec![Step::Create, Step::Act(Act::Write(Op::Push(2))), Step::Act(Act::Write(Op::SetHuge))];
    let pages = vec![Step::Create, Step::Act((1, 1)), Step::Act((2, 2))];
    fn script<M: Machine + 'static>(
        name: &'static str,
        steps: Vec<Step<M::Act>>,
    ) -> (&'static str, Box<dyn Scenario>) {
        (name, Box::new(Script::<M> { name, mode: Immediate, before: Vec::new(), steps }))
    }
    let bugs = [
        script::<Buggy<Work, SWALLOWS>>("an error that is swallowed", acts()),
        script::<Buggy<Work, PANICS>>("a panic for an error", acts()),
        script::<Buggy<Work, HANGS>>("a wait for ever", acts()),
        script::<Naive>("a second sync that counts", pages),
    ];
    let is_missed = |scenario: &dyn Scenario| {
        scenario.prepare(place).expect("it works without faults");
        let (_, counted) = scenario.run(place, Trouble::None, false).expect("it works without faults");
        let kind = inject::Kind::Errno(libc::EIO);
        !counted.calls.iter().enumerate().any(|(call, &count)| {
            let fault = |number| inject::Fault { call, kind, number, forever: false };
            (0..count).any(|number| {
                let found = scenario.run(place, Trouble::Call(fault(number)), false);
                found.inspect_err(|said| println!("found: {said}")).is_err()
            })
        })
    };
    bugs.iter().filter(|(_, scenario)| is_missed(&**scenario)).map(|(name, _)| *name).collect()
}
