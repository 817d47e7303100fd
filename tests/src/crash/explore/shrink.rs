//! The shortest script that still fails.

use pobj::media::sim::Fault;

use super::{Deed, Explorer, Limits, ROOMS, Tally, tell_in};
use crate::crash::Mode;

/// At most so many scripts are tried.
const TRIES_MAX: usize = 300;

/// A script that fails, and none of whose deeds can be left out.
#[derive(Clone, Debug)]
pub struct Minimal {
    /// Bytes for objects that the pool begins with.
    pub room: u64,
    /// What is left of it.
    pub script: Vec<Deed>,
    /// What it leads to.
    pub violation: String,
}

fn explore(mode: Mode, room: u64, script: &[Deed], faults: &[Fault], limits: Limits) -> Tally {
    let limits = Limits { stop_at_first: true, ..limits };
    let story = tell_in(mode, room, &[], script, faults);
    Explorer::explore(&story, limits, &|| format!("{script:?}"))
}

/// Leaves out deeds of a script for as long as it fails: the second half first, then ever smaller parts, then single ones.
/// `None` if the whole script, told from the pool's creation on, does not fail again.
#[must_use]
pub fn shrink(mode: Mode, script: &[Deed], faults: &[Fault], limits: Limits) -> Option<Minimal> {
    let fails_in = |room, script: &[Deed]| {
        let tally = explore(mode, room, script, faults, limits);
        tally.violations.into_iter().next()
    };
    let (room, violation) =
        ROOMS.into_iter().find_map(|room| fails_in(room, script).map(|violation| (room, violation)))?;
    let fails = |script: &[Deed]| fails_in(room, script);
    let mut least = Minimal { room, script: script.to_vec(), violation };
    let mut tries = 0;
    let mut part = script.len().div_ceil(2).max(1);
    loop {
        let mut at = least.script.len().saturating_sub(part);
        let mut changed = false;
        loop {
            if tries == TRIES_MAX {
                return Some(least);
            }
            tries += 1;
            let mut shorter = least.script.clone();
            shorter.drain(at..(at + part).min(least.script.len()));
            if shorter.len() < least.script.len()
                && let Some(violation) = fails(&shorter)
            {
                least = Minimal { room, script: shorter, violation };
                changed = true;
            }
            if at == 0 {
                break;
            }
            at = at.saturating_sub(part).min(least.script.len());
        }
        match part {
            1 if !changed => return Some(least),
            _ => part = (part / 2).max(1),
        }
    }
}
