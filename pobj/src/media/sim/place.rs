//! Places in pobj's own source at which a campaign of mutations takes something away, one at a time.
//!
//! Nothing here is called by pobj as it is. The campaign (`tests::mutate`) makes a copy of the sources in which each call
//! that flushes, fences or syncs, and each test of a checksum, stands in a scope of [`at`] with the number of its place;
//! there [`Here::gone`] chooses between the code and the code without it. What is moved instead of removed, the
//! simulator does, for as long as the scope lasts: see [`Change`].
//!
//! Which place is changed is said by the environment (`POBJ_PLANT=17:Gone`), because the crash suites run as they are.
//! `POBJ_PLACES` names a file that gets the number of each place when it is first come by.

use std::cell::Cell;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Numbers of places are less than this.
const PLACES_MAX: usize = 1024;

/// What is done to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The call is left out; a durable write becomes a plain one; a test says what it says of sound bytes.
    Gone,
    /// A sync or fence takes effect before this thread's last write, as if the two had changed places.
    Early,
    /// A sync or fence takes effect after the next write to the medium, as if the two had changed places.
    Late,
    /// What is written is stored and not flushed, on persistent memory.
    Unflushed,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gone, Self::Early, Self::Late, Self::Unflushed];
}

/// The change that the environment asks for.
static PLANTED: OnceLock<Option<(usize, Change)>> = OnceLock::new();
/// It has taken effect, and the simulator was not yet told.
static TOOK_EFFECT: AtomicBool = AtomicBool::new(false);
static MET: [AtomicBool; PLACES_MAX] = [const { AtomicBool::new(false) }; PLACES_MAX];

thread_local! {
    /// Scopes of the changed place that this thread is in.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// The place and the change of `POBJ_PLANT`, for example `17:Early`.
fn parse(text: &str) -> Option<(usize, Change)> {
    let (place, change) = text.split_once(':')?;
    let change = Change::ALL.into_iter().find(|known| format!("{known:?}") == change)?;
    Some((place.parse().ok()?, change))
}

fn planted() -> Option<(usize, Change)> {
    *PLANTED.get_or_init(|| std::env::var("POBJ_PLANT").ok().as_deref().and_then(parse))
}

/// The scope of a place.
#[derive(Debug)]
pub struct Here {
    change: Option<Change>,
}

/// Comes by a place.
#[inline]
pub fn at(place: usize) -> Here {
    if !MET[place].swap(true, Ordering::Relaxed) {
        note(place);
    }
    let change = planted().filter(|(planted, _)| *planted == place).map(|(_, change)| change);
    if change.is_some() {
        DEPTH.set(DEPTH.get() + 1);
    }
    Here { change }
}

/// The places that were come by since the last call.
pub fn met() -> Vec<usize> {
    (0..PLACES_MAX).filter(|place| MET[*place].swap(false, Ordering::Relaxed)).collect()
}

#[cold]
fn note(place: usize) {
    let Some(path) = std::env::var_os("POBJ_PLACES") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    // Whoever asked finds places missing.
    let _ = file.and_then(|mut file| file.write_all(format!("{place}\n").as_bytes()));
}

impl Here {
    /// Whether what stands here is to be left out.
    #[inline]
    #[must_use]
    pub fn gone(&self) -> bool {
        let gone = self.change == Some(Change::Gone);
        if gone {
            TOOK_EFFECT.store(true, Ordering::Relaxed);
        }
        gone
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        if self.change.is_some() {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
}

/// Whether this thread is in the scope of a place with this change.
pub(super) fn asks(change: Change) -> bool {
    DEPTH.get() > 0 && planted().is_some_and(|(_, planted)| planted == change)
}

/// Whether something was left out since the last call.
pub(super) fn took_effect() -> bool {
    TOOK_EFFECT.load(Ordering::Relaxed) && TOOK_EFFECT.swap(false, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planted_is_read() {
        assert_eq!(parse("17:Early"), Some((17, Change::Early)));
        assert_eq!(parse("17:early"), None);
        assert_eq!(parse("17"), None);
    }

    #[test]
    fn without_the_environment_nothing_is_changed() {
        let here = at(3);
        assert!(!here.gone() && Change::ALL.iter().all(|change| !asks(*change)));
        assert!(met().contains(&3) && !took_effect());
    }
}
