//! Crashes in the recovery from a crash, and in the recovery from that.
//!
//! A chain begins at a random crash point of a story, with a state that the power cut left there, or with the kill of the
//! process, which leaves what was pending pending. Its recovery is recorded, up to the next transaction and the close;
//! every crash point of that is explored, and one of them begins the next link.

use std::sync::Arc;

use pobj::media::sim::{CrashPoint, Presence, SimMedia, Trace, Variants};

use super::{Deed, Explorer, Limits, Story, Tally, act, options};
use crate::crash::{Bounds, Mark};
use crate::support::Random;
use crate::support::panics::guarded;
use crate::workload::Op;
use crate::workload::every::{Change, Picture};

/// Recoveries in a chain.
pub const DEPTH: usize = 3;

/// What was tried, by how many recoveries were cut.
#[derive(Clone, Debug, Default)]
pub struct Chains {
    /// Of each depth: its images are the chains that end there.
    pub depths: [Tally; DEPTH],
    /// First links that were kills.
    pub kills: u64,
}

/// A recovery that was recorded.
struct Recovery {
    trace: Trace,
    bounds: Bounds,
    pictures: Vec<Picture>,
    media: SimMedia,
    /// Events before it, which make the state that it begins with.
    first: usize,
    /// Events until the pool is open.
    open: usize,
}

impl Chains {
    /// Follows one chain of a story to its end.
    pub fn follow(&mut self, story: &Story, limits: Limits, name: &dyn Fn() -> String) {
        let mut random = Random(limits.seed);
        let nothing = Bounds { created: false, started: 0, ordered: 0, durable: 0 };
        let mut trace = story.media.trace();
        let mut points = story.first..trace.events().len() + 1;
        let (mut media, mut bounds, mut pictures) = (story.media.clone(), nothing, story.pictures.clone());
        for depth in 0..DEPTH {
            let at = points.start + random.below(points.len() as u64) as usize;
            let mut cuts = trace.cuts();
            let next = loop {
                match cuts.next() {
                    Some(point) if point.index() < at => {}
                    Some(point) => break self.crash(depth, point, &media, bounds, &mut random),
                    None => return,
                }
            };
            let Some((next, crashed)) = next else { return };
            let name = || format!("{}, recovery {}", name(), depth + 1);
            let tally = &mut self.depths[depth];
            let recovery = match guarded(|| recover(story, next, crashed, &pictures)) {
                Ok(recovery) => recovery,
                Err(wrong) => {
                    tally.violation(|| format!("{:?}, {}: {wrong}", story.mode, name()));
                    return;
                }
            };
            let mut explorer = Explorer::new(story.mode, &story.media, &recovery.pictures, limits);
            explorer.tally.scripts = 1;
            explorer.walk(&recovery.trace, recovery.bounds, recovery.first..usize::MAX, &name);
            tally.add(&explorer.tally);
            points = recovery.first..recovery.open + 1;
            (trace, media, bounds, pictures) =
                (recovery.trace, recovery.media, recovery.bounds, recovery.pictures);
        }
    }

    /// The medium after a crash at a point, and what may be found on it; `None` where there is no pool yet.
    fn crash(
        &mut self,
        depth: usize,
        point: &CrashPoint<'_>,
        media: &SimMedia,
        from: Bounds,
        random: &mut Random,
    ) -> Option<(SimMedia, Bounds)> {
        let bounds = from.at(point);
        if point.presence() != Presence::Present || !bounds.created {
            return None;
        }
        if random.below(3) == 0 {
            self.kills += u64::from(depth == 0);
            return Some((media.killed_at(point), bounds));
        }
        let variants = point.variants(random.word());
        let chosen = &variants[random.below(variants.len() as u64) as usize];
        let after = media.with_bytes(state(chosen, random));
        // Nothing is pending: what is found now stays.
        Some((after, Bounds { ordered: bounds.durable, ..bounds }))
    }
}

fn state(variants: &Variants, random: &mut Random) -> Vec<u8> {
    let mut bytes = variants.base.clone();
    let density = random.below(65);
    for place in &variants.places {
        if random.below(64) >= density {
            continue;
        }
        let content = &place.contents[random.below(place.contents.len() as u64) as usize];
        let start = place.offset as usize;
        bytes[start..start + content.len()].copy_from_slice(content);
    }
    bytes
}

/// Opens a medium, writes once, closes.
fn recover(
    story: &Story,
    media: SimMedia,
    crashed: Bounds,
    pictures: &[Picture],
) -> Result<Recovery, String> {
    let first = media.trace().events().len();
    let pool =
        options(story.mode).open_on(Arc::new(media.clone())).map_err(|error| format!("open: {error}"))?;
    let found = Picture::of(&pool)?;
    let step = found.step();
    if !(crashed.ordered..=crashed.started).contains(&step) {
        return Err(format!("step {step}; {} was acknowledged, {} begun", crashed.ordered, crashed.started));
    }
    let mut pictures = pictures.get(..=step as usize).ok_or("a step that never was")?.to_vec();
    if pictures.last() != Some(&found) {
        return Err(format!("step {step} shows {found:?}"));
    }
    // What an open pool shows is there to stay.
    media.mark(Mark::Durable(step).encode());
    let open = media.trace().events().len();
    let script = [Deed::Write(Change::Boxes(Op::Push(2)), pobj::Durability::Immediate)];
    let pool = act(story.mode, pool, &media, &script, &mut pictures)?;
    pool.close().map_err(|error| format!("close: {error}"))?;
    media.mark(Mark::Durable(step + 1).encode());
    // From a power cut every recovery shows the same; what a kill left pending a power cut may yet take away.
    let settled = first == 0;
    let durable = if settled { step } else { crashed.durable };
    let bounds = Bounds { created: true, started: step, ordered: step, durable };
    Ok(Recovery { trace: media.trace(), bounds, pictures, media, first, open })
}
