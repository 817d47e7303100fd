//! Exploration by the million: the states of each crash point one change apart, on pools as small as they can be.
//!
//! A [`Story`] is a script that was told to a simulated medium: what the pool held after each step, and the trace of what
//! reached the medium. An [`Explorer`] walks the trace's crash points. Where the pending words or sectors leave few enough
//! states it tries all of them, else samples; each is opened with validation, compared with the picture, audited for blocks
//! that are left over, used for another transaction, closed and opened again.
//!
//! Not every image is that much work. One whose bytes were seen before has its verdict. One whose recovery leads to a home
//! that was judged before has that home's verdict, for what follows recovery is decided by home alone; one in a few is
//! used all the same, and must agree. The [`Tally`] tells these apart.

mod chains;
mod clock;
mod explorer;
mod shrink;
mod states;
mod tally;
mod threads;

use std::sync::{Arc, OnceLock};

use pobj::media::sim::{Fault, SimMedia};
use pobj::{Durability, Error, Options, Pool};

pub use chains::{Chains, DEPTH};
pub use clock::Clock;
pub use explorer::Explorer;
pub use shrink::{Minimal, shrink};
pub use tally::{Limits, Tally};
pub use threads::tell_from_threads;

use super::{Mark, Mode, acknowledged};
use crate::support::Random;
use crate::workload::every::{Change, Every, Picture};

/// Largest size of the pools under test: a few chunks for every kind of block.
const MAX_SIZE: u64 = 4 << 20;

/// Room for objects that a pool begins with: next to nothing, so that it grows soon, and then by much; enough for a pair of
/// operations; enough for a story. The smaller a pool is, the faster its states are tried.
pub const ROOMS: [u64; 3] = [64 << 10, 256 << 10, 640 << 10];

/// What a script does to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A transaction that commits.
    Write(Change, Durability),
    /// A transaction that does the same and then fails.
    Abort(Change),
    /// A transaction inside which another is begun, which is refused.
    Nested(Change),
    /// `Pool::sync`
    Sync,
    /// `Pool::checkpoint`
    Checkpoint,
    /// `Pool::grow_ahead`
    GrowAhead,
    /// Closes the pool and opens it again.
    Reopen,
}

impl Deed {
    /// One of each: the changes, committed, and what else a program may do with a pool.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all: Vec<_> =
            Change::ALL.iter().map(|change| Self::Write(*change, Durability::Immediate)).collect();
        all.push(Self::Write(Change::VecPush(2), Durability::Eventual));
        all.push(Self::Write(Change::Boxes(crate::workload::Op::SetHuge), Durability::Eventual));
        all.push(Self::Abort(Change::VecPush(40)));
        all.push(Self::Abort(Change::Boxes(crate::workload::Op::SetHuge)));
        all.push(Self::Nested(Change::CellSet));
        all.extend([Self::Sync, Self::Checkpoint, Self::GrowAhead, Self::Reopen]);
        all
    }

    /// What must have been done before.
    #[must_use]
    pub fn needs(self) -> Option<Self> {
        match self {
            Self::Write(change, _) | Self::Abort(change) | Self::Nested(change) => {
                change.needs().map(|change| Self::Write(change, Durability::Immediate))
            }
            _ => None,
        }
    }
}

/// A random script over some of the operations, so that its pool stays small.
#[must_use]
pub fn random_script(seed: u64, deeds: usize) -> Vec<Deed> {
    let mut random = Random(seed);
    let kinds: Vec<Change> =
        (0..8).map(|_| Change::ALL[random.below(Change::ALL.len() as u64) as usize]).collect();
    let mut script = Vec::new();
    while script.len() < deeds {
        let change = match random.below(6) {
            0 => Change::random(seed, random.word()),
            _ => kinds[random.below(8) as usize],
        };
        let durability = if random.below(3) == 0 { Durability::Eventual } else { Durability::Immediate };
        script.extend(change.needs().map(|change| Deed::Write(change, durability)));
        script.push(match random.below(24) {
            0 => Deed::Sync,
            1 => Deed::Checkpoint,
            2 => Deed::GrowAhead,
            3 => Deed::Reopen,
            4 | 5 => Deed::Abort(change),
            6 => Deed::Nested(change),
            _ => Deed::Write(change, durability),
        });
    }
    script
}

/// How a pool under test is made and opened.
#[must_use]
pub fn options(mode: Mode) -> Options<Every<'static>> {
    // Made once: the default asks the system how many processors there are.
    static OPTIONS: OnceLock<Options<Every<'static>>> = OnceLock::new();
    let make = || {
        let options = Pool::<Every<'static>>::options().size(64 << 10).max_size(MAX_SIZE);
        options.ring_size(64 << 10).validation_threads(1)
    };
    OPTIONS.get_or_init(make).clone().image(mode.image())
}

/// A script that was told to a medium.
pub struct Story {
    /// How the pool was used.
    pub mode: Mode,
    /// The medium, with its trace.
    pub media: SimMedia,
    /// What the pool held after each step.
    pub pictures: Vec<Picture>,
    /// Events before the part of the script that is explored.
    pub first: usize,
    /// What failed without any crash.
    pub error: Option<String>,
}

/// Creates a pool, does what comes `before`, and then the `script`. `faults` are planted before anything happens. Without
/// anything `before`, the pool's creation is explored too.
///
/// # Panics
///
/// If there is no memory.
#[must_use]
pub fn tell(mode: Mode, before: &[Deed], script: &[Deed], faults: &[Fault]) -> Story {
    tell_in(mode, ROOMS[0], before, script, faults)
}

/// The same in a pool that begins with so many bytes for objects.
///
/// # Panics
///
/// If there is no memory.
#[must_use]
pub fn tell_in(mode: Mode, room: u64, before: &[Deed], script: &[Deed], faults: &[Fault]) -> Story {
    let media = SimMedia::with_domain(MAX_SIZE, mode.domain()).expect("memory for the simulator");
    faults.iter().for_each(|fault| media.plant(*fault));
    let mut pictures = vec![Picture::default()];
    let mut first = 0;
    let mut told = || -> Result<(), String> {
        let created = options(mode).size(room).create_on(Arc::new(media.clone()), |_| Ok(Every::default()));
        let mut pool = created.map_err(|error| format!("create: {error}"))?;
        media.mark(Mark::Created.encode());
        if !before.is_empty() {
            pool = act(mode, pool, &media, before, &mut pictures)?;
            first = media.trace().events().len();
        }
        pool = act(mode, pool, &media, script, &mut pictures)?;
        pool.close().map_err(|error| format!("close: {error}"))?;
        media.mark(Mark::Durable(pictures.len() as u64 - 1).encode());
        Ok(())
    };
    let error = told().err();
    Story { mode, media, pictures, first, error }
}

/// Does a script with an open pool, and compares it with the picture after each deed.
fn act(
    mode: Mode,
    mut pool: Pool<Every<'static>>,
    media: &SimMedia,
    script: &[Deed],
    pictures: &mut Vec<Picture>,
) -> Result<Pool<Every<'static>>, String> {
    for deed in script {
        let failed = |error: Error| format!("{deed:?}: {error}");
        match *deed {
            Deed::Write(change, durability) => {
                write(mode, &pool, media, change, durability, pictures).map_err(failed)?;
            }
            Deed::Nested(change) => {
                let inner = pool.write(|_, _| Ok(pool.write(|_, _| Ok(())).err()));
                if !matches!(inner, Ok(Some(Error::Nested))) {
                    return Err(format!("a transaction inside a transaction: {inner:?}"));
                }
                write(mode, &pool, media, change, Durability::Immediate, pictures).map_err(failed)?;
            }
            Deed::Abort(change) => {
                let outcome = pool.write(|root, tx| {
                    change.apply(root, tx)?;
                    Err::<(), _>(Error::abort("on purpose"))
                });
                if !matches!(outcome, Err(Error::Aborted(_))) {
                    return Err(format!("{deed:?} gave {outcome:?}"));
                }
            }
            Deed::Sync | Deed::Checkpoint => {
                let done = if *deed == Deed::Sync { pool.sync() } else { pool.checkpoint() };
                done.map_err(failed)?;
                media.mark(Mark::Durable(pictures.len() as u64 - 1).encode());
            }
            Deed::GrowAhead => pool.grow_ahead().map_err(failed)?,
            Deed::Reopen => {
                pool.close().map_err(failed)?;
                media.mark(Mark::Durable(pictures.len() as u64 - 1).encode());
                pool = options(mode).open_on(Arc::new(media.clone())).map_err(failed)?;
            }
        }
        let found = Picture::of(&pool)?;
        match pictures.last() {
            Some(picture) if *picture == found => {}
            picture => return Err(format!("after {deed:?} the pool holds {found:?}, not {picture:?}")),
        }
    }
    Ok(pool)
}

/// One transaction, with its marks.
fn write(
    mode: Mode,
    pool: &Pool<Every<'static>>,
    media: &SimMedia,
    change: Change,
    durability: Durability,
    pictures: &mut Vec<Picture>,
) -> Result<(), Error> {
    let mut picture = pictures.last().cloned().unwrap_or_default();
    change.apply_to_picture(&mut picture);
    let step = picture.step();
    pictures.push(picture);
    media.mark(Mark::Started(step).encode());
    pool.write(|root, tx| {
        tx.set_durability(durability);
        change.apply(root, tx)
    })?;
    media.mark(acknowledged(mode, step, durability));
    Ok(())
}
