//! The order in which the states of a crash point are made: each from the last by as few changes as can be.

use pobj::media::sim::{Place, Scratch, Variants};

use super::Limits;
use crate::support::Random;

/// What each place holds: which of its contents, or which of its torn ones behind these.
pub(super) type Picks = Vec<usize>;

/// The content of a place.
pub(super) fn content(place: &Place, pick: usize) -> &[u8] {
    match pick.checked_sub(place.contents.len()) {
        None => &place.contents[pick],
        Some(torn) => &place.torn[torn],
    }
}

/// Makes each place hold what `picks` says, where it holds what `held` says.
pub(super) fn make(scratch: &Scratch, variants: &Variants, held: &mut Picks, picks: &[usize]) {
    for ((place, held), pick) in variants.places.iter().zip(held).zip(picks) {
        if held != pick {
            scratch.put(place.offset, content(place, *pick));
            *held = *pick;
        }
    }
}

/// Makes every state, or samples, and shows each to `seen` until that says stop. Whether every state was made, torn pieces
/// apart; `None` if it was stopped.
pub(super) fn each(
    scratch: &Scratch,
    variants: &Variants,
    limits: &Limits,
    seed: u64,
    seen: &mut dyn FnMut(&[usize]) -> bool,
) -> Option<bool> {
    scratch.load(&variants.base);
    let mut picks = vec![0; variants.places.len()];
    let torn = variants.places.iter().any(|place| !place.torn.is_empty());
    if variants.count_with_torn() <= limits.states {
        let stopped = odometer(scratch, variants, &mut picks, true, seen);
        return (!stopped).then_some(variants.complete);
    }
    let whole = variants.count() <= limits.states;
    if whole && odometer(scratch, variants, &mut picks, false, seen) {
        return None;
    }
    let mut random = Random(seed);
    for number in 0..if whole && !torn { 0 } else { limits.samples } {
        let next = sample(variants, number, limits.samples, &mut random);
        make(scratch, variants, &mut picks, &next);
        if seen(&picks) {
            return None;
        }
    }
    Some(whole && variants.complete)
}

/// All combinations, the first place changing fastest. Whether it was stopped.
fn odometer(
    scratch: &Scratch,
    variants: &Variants,
    picks: &mut Picks,
    torn: bool,
    seen: &mut dyn FnMut(&[usize]) -> bool,
) -> bool {
    loop {
        if seen(picks) {
            return true;
        }
        let mut done = true;
        for (place, pick) in variants.places.iter().zip(picks.iter_mut()) {
            let count = place.contents.len() + if torn { place.torn.len() } else { 0 };
            *pick = (*pick + 1) % count;
            scratch.put(place.offset, content(place, *pick));
            if *pick > 0 {
                done = false;
                break;
            }
        }
        if done {
            return false;
        }
    }
}

/// One of many states: nothing, everything, what is left when the power goes in the middle of a write-back in program
/// order, one place left out, one alone, random ones of all densities, and those in which most events survive whole or not
/// at all.
fn sample(variants: &Variants, number: u64, samples: u64, random: &mut Random) -> Picks {
    let places = &variants.places;
    let count = places.len() as u64;
    let at = random.below(count.max(1)) as usize;
    let mut last = (usize::MAX, 0);
    let style = if number < 2 { number } else { 2 + number % 8 };
    let density = 1 + random.below(63);
    // Where there are few places, each has its turn.
    let at = if count <= samples / 8 { (number / 8 % count.max(1)) as usize } else { at };
    let pick = |(index, place): (usize, &Place)| {
        let chance = |random: &mut Random, of: u64| random.below(64) < of;
        let survives = match style {
            0 => false,
            1 => true,
            2 => index < at,
            3 => index != at,
            4 => index == at,
            5 | 6 => {
                if last.0 != place.event {
                    last = (place.event, [0, 64, 64, 1 + random.below(63)][random.below(4) as usize]);
                }
                chance(random, last.1)
            }
            _ => chance(random, density),
        };
        match (survives, random.below(16)) {
            (false, _) => 0,
            // Another version, or a torn one.
            (true, 0) => random.below((place.contents.len() + place.torn.len()) as u64) as usize,
            (true, _) => place.whole,
        }
    };
    places.iter().enumerate().map(pick).collect()
}
