//! Which pending items survive: a choice, and samples of choices where there are too many.

/// What survives of the pending items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Indices of the pending items that survive, in program order.
    pub(super) survivors: Vec<usize>,
    /// Of these surviving pieces only this part survives.
    pub(super) torn: Vec<(usize, std::ops::Range<usize>)>,
}

impl Choice {
    /// All of `items`.
    pub(super) fn everything(items: &[usize]) -> Self {
        Self::of(items, |_| true)
    }

    /// Those items at whose position `survives`.
    pub(super) fn of(items: &[usize], mut survives: impl FnMut(usize) -> bool) -> Self {
        let survivors = items.iter().enumerate().filter(|(at, _)| survives(*at)).map(|(_, i)| *i).collect();
        Self { survivors, torn: Vec::new() }
    }
}

/// `samples` subsets of many items, which came in `events`: nothing, everything, what a write-back in program order or an
/// omission of one item leaves, random ones of all densities, and random ones in which most events survive whole or not
/// at all, as a step that overtakes another leaves them.
pub(super) fn sampled(items: &[usize], events: &[usize], samples: usize, random: &mut Random) -> Vec<Choice> {
    let mut choices = vec![Choice::of(items, |_| false), Choice::everything(items)];
    let count = items.len();
    for share in 0..samples / 8 {
        let end = if samples / 8 >= count { share } else { random.below(count) };
        if end < count {
            choices.push(Choice::of(items, |i| i < end));
            choices.push(Choice::of(items, |i| i != end));
            choices.push(Choice::of(items, |i| i == end));
        }
    }
    let several = events.first() != events.last();
    while choices.len() < samples {
        let choice = if several && choices.len().is_multiple_of(2) {
            by_event(items, events, random)
        } else {
            // A share of survivors of 1/64 to 63/64.
            let density = 1 + random.below(63);
            Choice::of(items, |_| random.below(64) < density)
        };
        choices.push(choice);
    }
    choices
}

/// Decides for each event whether its items survive, all, none or some.
fn by_event(items: &[usize], events: &[usize], random: &mut Random) -> Choice {
    let mut last = None;
    let mut density = 0;
    Choice::of(items, |i| {
        if last != Some(events[i]) {
            last = Some(events[i]);
            density = [0, 64, 64, 1 + random.below(63)][random.below(4)];
        }
        random.below(64) < density
    })
}

/// SplitMix64 (Steele, Lea, Flood): small, seedable, the same everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        crate::ground::checksum::mix(self.0, 0)
    }

    /// A number less than `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}
