//! Walks the crash points of a trace, and judges every state that it makes.

use std::collections::HashMap;
use std::sync::Arc;

use pobj::media::Media;
use pobj::media::sim::{CrashPoint, Event, Presence, Scratch, SimMedia, Trace, Variants};

use super::states::{self, Picks};
use super::{Limits, Story, Tally, options};
use crate::crash::{Bounds, Mark, Mode};
use crate::support::panics::guarded;
use crate::workload::every::{Change, Every, Picture};
use crate::workload::{Op, word};

/// The two slots of the ring's state, as the format has them: with the ring, the journal's own bytes.
const RING_STATE: std::ops::Range<u64> = 0x2000..0x4000;

/// The step that a state shows, or what is wrong with it, by its number.
type Verdict = Result<u32, u32>;

/// What the states of a crash point show.
#[derive(Default)]
struct Shown {
    /// The least and the greatest step after a power cut.
    steps: Option<(u32, u32)>,
    /// After a kill, which loses nothing that was written.
    kill: Option<Verdict>,
    wrong: Option<u32>,
}

/// Tries what the crash points of one history could leave.
pub struct Explorer<'s> {
    mode: Mode,
    pictures: &'s [Picture],
    limits: Limits,
    scratch: Scratch,
    /// The verdict on each state, by its sum.
    known: HashMap<u64, Verdict>,
    /// The verdict on each home that recovery led to.
    homes: HashMap<u64, Verdict>,
    wrongs: Vec<String>,
    /// What was tried.
    pub tally: Tally,
}

impl<'s> Explorer<'s> {
    /// An explorer of states over `media` against `pictures`.
    #[must_use]
    pub fn new(mode: Mode, media: &SimMedia, pictures: &'s [Picture], limits: Limits) -> Self {
        Self {
            mode,
            pictures,
            limits,
            scratch: media.scratch(RING_STATE),
            known: HashMap::new(),
            homes: HashMap::new(),
            wrongs: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Explores the part of a story that is to be explored. `name` is what the tally calls it.
    #[must_use]
    pub fn explore(story: &'s Story, limits: Limits, name: &dyn Fn() -> String) -> Tally {
        let mut explorer = Self::new(story.mode, &story.media, &story.pictures, limits);
        explorer.tally.scripts = 1;
        if let Some(error) = &story.error {
            explorer.tally.violation(|| format!("{}, without a crash: {error}", name()));
            return explorer.tally;
        }
        let nothing = Bounds { created: false, started: 0, ordered: 0, durable: 0 };
        explorer.walk(&story.media.trace(), nothing, story.first..usize::MAX, name);
        explorer.tally
    }

    /// Explores the crash points of these numbers. `from` is what was known before the first event.
    pub(in crate::crash) fn walk(
        &mut self,
        trace: &Trace,
        from: Bounds,
        points: std::ops::Range<usize>,
        name: &dyn Fn() -> String,
    ) {
        let mut bounds = from;
        let mut cuts = trace.cuts();
        let mut shown = Shown::default();
        let mut last = None;
        while let Some(point) = cuts.next() {
            if let Some(Event::Mark(mark)) = point.last_event() {
                bounds = bounds.after(Mark::decode(*mark));
            }
            if !points.contains(&point.index())
                || (self.limits.stop_at_first && self.tally.violation_count > 0)
            {
                continue;
            }
            if point.presence() != Presence::Present && bounds.created {
                self.tally.violation(|| format!("{}: the pool was created and may be absent", name()));
            }
            if point.presence() == Presence::Absent {
                continue;
            }
            if last != Some(point.version()) {
                let random = word(self.limits.seed, point.index() as u64, 2);
                if !random.is_multiple_of(self.limits.point_every) {
                    continue;
                }
                last = Some(point.version());
                shown = self.show(point, name);
            }
            if let Some(wrong) = self.wrong_with(&shown, bounds) {
                let kept = self.fewest(point, bounds);
                let event = event(point);
                let (mode, index) = (self.mode, point.index());
                self.tally.violation(|| {
                    format!("{mode:?}, {}, crash point {index} ({event}): {wrong}; {kept}", name())
                });
                shown = Shown::default();
            }
        }
    }

    /// Tries the states of a crash point.
    fn show(&mut self, point: &CrashPoint<'_>, name: &dyn Fn() -> String) -> Shown {
        let mut shown = Shown::default();
        self.tally.points += 1;
        let (scratch, limits) = (self.scratch.clone(), self.limits);
        let seed = limits.seed ^ point.version();
        let mut over = 0;
        for variants in point.variants(seed) {
            let exhausted = states::each(&scratch, &variants, &limits, seed, &mut |_| {
                match self.verdict() {
                    Ok(step) => {
                        let (least, most) = shown.steps.unwrap_or((step, step));
                        shown.steps = Some((least.min(step), most.max(step)));
                    }
                    Err(wrong) => shown.wrong = Some(wrong),
                }
                false
            });
            if exhausted != Some(true) {
                over = variants.places.len().max(over);
            }
            if variants.all_lengths {
                shown.kill = Some(self.after_kill(&variants));
            }
        }
        if over > 0 {
            let mode = self.mode;
            let named = || format!("{mode:?}, {}, crash point {}: {over} places", name(), point.index());
            self.tally.name_over(named);
        }
        shown
    }

    fn after_kill(&mut self, variants: &Variants) -> Verdict {
        for place in &variants.places {
            self.scratch.put(place.offset, &place.contents[place.whole]);
        }
        self.verdict()
    }

    fn wrong_with(&self, shown: &Shown, bounds: Bounds) -> Option<String> {
        if let Some(wrong) = shown.wrong {
            return Some(self.wrongs[wrong as usize].clone());
        }
        let (least, most) = shown.steps.unwrap_or((bounds.durable as u32, bounds.durable as u32));
        let found =
            [Ok(least), Ok(most)].iter().find_map(|step| self.judge(step, bounds.durable, bounds.started));
        let killed = || {
            let wrong = self.judge(shown.kill.as_ref()?, bounds.ordered, bounds.started)?;
            Some(format!("after a kill: {wrong}"))
        };
        found.or_else(killed)
    }

    fn judge(&self, verdict: &Verdict, floor: u64, ceiling: u64) -> Option<String> {
        match *verdict {
            Ok(step) if (floor..=ceiling).contains(&u64::from(step)) => None,
            Ok(step) => Some(format!("step {step} found; {floor} was acknowledged, {ceiling} begun")),
            Err(wrong) => Some(self.wrongs[wrong as usize].clone()),
        }
    }

    /// The state of a point with the fewest surviving pieces that is wrong, in words.
    fn fewest(&mut self, point: &CrashPoint<'_>, bounds: Bounds) -> String {
        let (scratch, limits) = (self.scratch.clone(), self.limits);
        let before = self.tally.images;
        for variants in point.variants(limits.seed ^ point.version()) {
            let mut found: Option<Picks> = None;
            let _ = states::each(&scratch, &variants, &limits, limits.seed ^ point.version(), &mut |picks| {
                let verdict = self.verdict();
                let wrong = self.judge(&verdict, bounds.durable, bounds.started).is_some();
                found = wrong.then(|| picks.to_vec());
                wrong
            });
            let Some(mut picks) = found else { continue };
            for (place, pick) in variants.places.iter().zip(&mut picks) {
                let held = std::mem::replace(pick, 0);
                self.scratch.put(place.offset, &place.contents[0]);
                let verdict = self.verdict();
                if self.judge(&verdict, bounds.durable, bounds.started).is_none() {
                    *pick = held;
                    self.scratch.put(place.offset, states::content(place, held));
                }
            }
            self.tally.images = before;
            let kept: Vec<String> =
                variants.places.iter().zip(&picks).filter(|(_, pick)| **pick > 0).map(told).collect();
            return format!(
                "length {}, kept of {} places: [{}]",
                variants.base.len(),
                picks.len(),
                kept.join(", ")
            );
        }
        self.tally.images = before;
        "everything that was written is kept".to_owned()
    }

    /// Opens and uses the state at hand, unless that was done before.
    fn verdict(&mut self) -> Verdict {
        self.tally.images += 1;
        let sum = self.scratch.sum();
        if let Some(known) = self.known.get(&sum) {
            return *known;
        }
        self.tally.opened += 1;
        let thorough = self.tally.opened.is_multiple_of(self.limits.use_every);
        self.scratch.begin(!thorough);
        let outcome = guarded(|| self.use_state());
        let home = self.scratch.recovered();
        self.scratch.undo();
        let before = home.and_then(|home| self.homes.get(&home).copied());
        let verdict = match before {
            Some(verdict) if !thorough => verdict,
            _ => {
                self.tally.used += 1;
                match (before, outcome) {
                    (Some(Ok(before)), Ok(step)) if before != step => {
                        self.wrong(format!("the same home showed step {before}, and now {step}"))
                    }
                    (_, Ok(step)) => Ok(step),
                    (_, Err(what)) => self.wrong(what),
                }
            }
        };
        if let Some(home) = home {
            self.homes.entry(home).or_insert(verdict);
            self.scratch.know(home);
        }
        self.known.insert(sum, verdict);
        verdict
    }

    fn wrong(&mut self, what: String) -> Verdict {
        self.wrongs.push(what);
        Err(self.wrongs.len() as u32 - 1)
    }

    /// Opens, compares and uses the state at hand. Gives the step that it shows.
    fn use_state(&self) -> Result<u32, String> {
        let media: Arc<dyn Media> = Arc::new(self.scratch.clone());
        let open = || options(self.mode).open_on(Arc::clone(&media));
        let pool = open().map_err(|error| format!("open: {error}"))?;
        let found = Picture::of(&pool)?;
        let step = found.step();
        match self.pictures.get(step as usize) {
            Some(picture) if *picture == found => {}
            picture => return Err(format!("step {step} shows {found:?}, not {picture:?}")),
        }
        let mut next = found;
        let change = Change::Boxes(Op::Push(2));
        change.apply_to_picture(&mut next);
        pool.write(|root, tx| change.apply(root, tx)).map_err(|error| format!("use: {error}"))?;
        pool.close().map_err(|error| format!("close: {error}"))?;
        let pool = open().map_err(|error| format!("open after use: {error}"))?;
        let found = Picture::of(&pool)?;
        if found != next {
            return Err(format!("after another transaction there is {found:?}, not {next:?}"));
        }
        let emptied = pool.write(|root: &mut Every<'_>, tx| Change::Replace.apply(root, tx));
        emptied.map_err(|error| format!("empty: {error}"))?;
        match pool.stats().heap.live_blocks {
            1 => Ok(step as u32),
            blocks => Err(format!("{} blocks are left over when everything is freed", blocks - 1)),
        }
    }
}

fn told((place, pick): (&pobj::media::sim::Place, &usize)) -> String {
    let what = if *pick < place.contents.len() { "" } else { ", torn" };
    format!("{:#x} of event {}{what}", place.offset, place.event)
}

fn event(point: &CrashPoint<'_>) -> String {
    let mut text = point.last_event().map_or("the beginning".to_owned(), |event| format!("after {event:?}"));
    text.truncate(80);
    text
}
