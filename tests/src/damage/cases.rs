//! The damages to a source, by family and number, so that any one of them can be done again.

use std::fmt;
use std::ops::Range;

use super::forge::Forge;
use super::sources::Source;
use crate::support::Random;

/// Bytes that are put somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Offset of the first one.
    pub at: usize,
    /// What is put there.
    pub bytes: Vec<u8>,
}

/// What is done to a file.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    /// These bytes instead of the file's.
    pub whole: Option<Vec<u8>>,
    /// In this order.
    pub edits: Vec<Edit>,
    /// The file's new length, after the edits.
    pub cut: Option<usize>,
    /// The checksums are made right again.
    pub forged: bool,
}

impl Damage {
    fn edit(at: usize, bytes: impl Into<Vec<u8>>) -> Self {
        Self { edits: vec![Edit { at, bytes: bytes.into() }], ..Self::default() }
    }

    fn word(at: usize, word: u64) -> Self {
        Self::edit(at, word.to_le_bytes())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        if let Some(whole) = &self.whole {
            write!(f, "{} other bytes ({}...) ", whole.len(), hex(&whole[..whole.len().min(16)]))?;
        }
        for Edit { at, bytes } in &self.edits {
            let more = if bytes.len() > 64 { "..." } else { "" };
            write!(f, "{at:#x}: {}{more} ({} bytes) ", hex(&bytes[..bytes.len().min(64)]), bytes.len())?;
        }
        self.cut.map_or(Ok(()), |len| write!(f, "cut to {len} "))?;
        if self.forged { write!(f, "forged") } else { Ok(()) }
    }
}

/// Kinds of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Cut at each 64th byte.
    Cuts,
    /// Another file altogether, or another format.
    Foreign,
    /// One bit of what pobj keeps for itself.
    Flips,
    /// One bit of what is reachable from the root.
    ObjectFlips,
    /// One bit, and checksums that are right again.
    ForgedFlips,
    /// Words of headers, states, slots, records and frames, with values that lie, and right checksums.
    Lies,
    /// Pointers that lead to other objects: cycles, two owners, nothing.
    Links,
    /// Lengths and counts that are too large, or too small by one.
    Lengths,
    /// Pages of another state of the same file, and of another file.
    Grafts,
    /// Several bytes anywhere.
    Random,
    /// The same with right checksums.
    ForgedRandom,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Cuts,
        Self::Foreign,
        Self::Flips,
        Self::ObjectFlips,
        Self::ForgedFlips,
        Self::Lies,
        Self::Links,
        Self::Lengths,
        Self::Grafts,
        Self::Random,
        Self::ForgedRandom,
    ];
}

const LINE: usize = 64;
const PAGE: usize = 4096;
const LINK_KINDS: usize = 8;
const GRAFT_KINDS: usize = 8;
/// Values that lengths, counts and places might be given; others are near what is there.
const FAR: [u64; 13] =
    [0, 1, 64, 4095, 4096, 65_536, 1 << 20, 1 << 32, 1 << 46, 1 << 47, 1 << 62, u64::MAX - 4095, u64::MAX];
const NEAR: usize = 8;

/// All damages to one source.
pub struct Plan<'a> {
    source: &'a Source,
    /// A file of the same kind with another id.
    other: Vec<u8>,
    seed: u64,
    /// Each so many-th of a family that goes through everything.
    every: usize,
    random: u64,
    own_lines: Vec<usize>,
    object_lines: Vec<usize>,
    own_words: Vec<usize>,
    pointers: Vec<usize>,
    numbers: Vec<usize>,
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
}

/// Each line of `range` that holds something.
fn lines(bytes: &[u8], range: Range<usize>) -> impl Iterator<Item = usize> + '_ {
    let end = range.end.min(bytes.len());
    (range.start / LINE * LINE..end)
        .step_by(LINE)
        .filter(|at| bytes[*at..(at + LINE).min(bytes.len())].iter().any(|byte| *byte != 0))
}

impl<'a> Plan<'a> {
    /// The damages to `source`; `random` of each random family, and of the others each `every`-th, from one that `seed`
    /// chooses on.
    #[must_use]
    pub fn new(source: &'a Source, other: Vec<u8>, seed: u64, every: usize, random: u64) -> Self {
        let bytes = &source.bytes;
        let mut plan = Self {
            source,
            other,
            seed,
            every: every.max(1),
            random,
            own_lines: Vec::new(),
            object_lines: Vec::new(),
            own_words: Vec::new(),
            pointers: Vec::new(),
            numbers: Vec::new(),
        };
        let mut copy = bytes.clone();
        let mut forge = Forge::new(&mut copy);
        (source.forger)(&mut forge);
        let found = std::mem::take(&mut forge.found);
        let is_log = bytes.starts_with(b"pobjlog");
        let heap = if is_log { bytes.len() } else { word(bytes, 152) as usize };
        let mut places = vec![0..512, 0x1000..0x1200];
        if !is_log {
            let (ring, schema) = (word(bytes, 136) as usize, word(bytes, 104) as usize);
            places.extend([0x2000..0x2040, 0x3000..0x3040, 0x4000..0x4040, 0x5000..0x5040, schema..ring]);
            let metadata = word(bytes, 0x5000) as usize;
            places.push(metadata..metadata + 0x10000);
            plan.objects(heap);
        }
        places.extend(found.iter().cloned());
        plan.own_lines = places.iter().flat_map(|range| lines(bytes, range.clone())).collect();
        // The first words of each structure say where and how long it is.
        let schema = word(bytes, 104) as usize;
        let heads = places.iter().filter(|range| range.start != schema).flat_map(|range| match range.len() {
            0x10000 => range.clone().step_by(512).flat_map(|at| [at, at + 8]).collect::<Vec<_>>(),
            _ => range.clone().step_by(8).take(64).collect(),
        });
        plan.own_words = heads.filter(|at| at + 8 <= bytes.len()).collect();
        plan.own_words.retain(|at| at % 8 == 0);
        plan
    }

    /// Finds lines of objects, and what in them may be pointers, lengths and counts.
    fn objects(&mut self, heap: usize) {
        let bytes = &self.source.bytes;
        let (base, metadata) = (word(bytes, 64), word(bytes, 0x5000) as usize);
        let range = base + heap as u64..base + bytes.len() as u64;
        self.object_lines = lines(bytes, heap..bytes.len())
            .filter(|at| !(metadata..metadata + 0x10000).contains(at))
            .collect();
        for at in self.object_lines.iter().flat_map(|line| (*line..line + LINE).step_by(8)) {
            match word(bytes, at) {
                0 => {}
                pointer if range.contains(&pointer) => self.pointers.push(at),
                number if number < 1 << 32 => self.numbers.push(at),
                _ => {}
            }
        }
    }

    fn whole_count(&self, family: Family) -> usize {
        let pages = self.source.bytes.len().div_ceil(PAGE);
        match family {
            Family::Cuts => self.source.bytes.len().div_ceil(LINE) + 1,
            Family::Foreign => FOREIGN,
            Family::Flips | Family::ForgedFlips => self.own_lines.len() * LINE * 8,
            Family::ObjectFlips => self.object_lines.len() * LINE * 8,
            Family::Lies => self.own_words.len() * (FAR.len() + NEAR),
            Family::Links => self.pointers.len() * LINK_KINDS,
            Family::Lengths => self.numbers.len() * (FAR.len() + NEAR),
            Family::Grafts => pages * GRAFT_KINDS,
            Family::Random | Family::ForgedRandom => self.random as usize,
        }
    }

    fn stride(&self, family: Family) -> usize {
        match family {
            Family::Foreign | Family::Random | Family::ForgedRandom => 1,
            _ => self.every,
        }
    }

    /// How many damages of a family there are.
    #[must_use]
    pub fn count(&self, family: Family) -> u64 {
        let (count, stride) = (self.whole_count(family), self.stride(family));
        (count.saturating_sub(self.seed as usize % stride)).div_ceil(stride) as u64
    }

    /// One of them.
    #[must_use]
    pub fn damage(&self, family: Family, number: u64) -> Damage {
        let stride = self.stride(family);
        let index = number as usize * stride + self.seed as usize % stride;
        let bytes = &self.source.bytes;
        let flip = |lines: &[usize]| {
            let at = lines[index / (LINE * 8)] + index % (LINE * 8) / 8;
            Damage::edit(at, [bytes.get(at).copied().unwrap_or(0) ^ 1 << (index % 8)])
        };
        let lie = |words: &[usize]| {
            let at = words[index / (FAR.len() + NEAR)];
            Damage::word(at, lie(word(bytes, at), index % (FAR.len() + NEAR)))
        };
        match family {
            Family::Cuts => Damage { cut: Some((index * LINE).min(bytes.len())), ..Damage::default() },
            Family::Foreign => self.foreign(index),
            Family::Flips => flip(&self.own_lines),
            Family::ForgedFlips => Damage { forged: true, ..flip(&self.own_lines) },
            Family::ObjectFlips => flip(&self.object_lines),
            Family::Lies => Damage { forged: true, ..lie(&self.own_words) },
            Family::Lengths => lie(&self.numbers),
            Family::Links => self.link(index),
            Family::Grafts => self.graft(index),
            Family::Random => self.anything(number),
            Family::ForgedRandom => Damage { forged: true, ..self.anything(number ^ 1 << 40) },
        }
    }

    /// A place by number: the words of pobj's own structures, pointers, numbers, then all lines.
    #[must_use]
    pub fn place(&self, number: u16) -> usize {
        let kind = [&self.own_words, &self.pointers, &self.numbers, &self.own_lines][number as usize % 4];
        let number = number as usize / 4;
        if kind.is_empty() { number * 8 % self.source.bytes.len() } else { kind[number % kind.len()] }
    }

    /// What a pointer leads to, by number; 0 where there is none.
    #[must_use]
    pub fn target(&self, number: u16) -> u64 {
        let pointer = self.pointers.get(number as usize % self.pointers.len().max(1));
        pointer.map_or(0, |at| word(&self.source.bytes, *at))
    }

    /// Another value for the word at a place.
    #[must_use]
    pub fn lie(&self, at: usize, which: u8) -> u64 {
        lie(word(&self.source.bytes, at), which as usize % (FAR.len() + NEAR))
    }

    fn link(&self, index: usize) -> Damage {
        let bytes = &self.source.bytes;
        let pointer = index / LINK_KINDS;
        let at = self.pointers[pointer];
        let target = |pointer: usize| word(bytes, self.pointers[pointer % self.pointers.len()]);
        let (base, old) = (word(bytes, 64), target(pointer));
        let value = match index % LINK_KINDS {
            // To where it is itself, as near as a block may begin.
            0 => (base + at as u64) & !15,
            1 => target(pointer + self.pointers.len() - 1),
            2 => target(pointer + 1),
            3 => target(Random(self.seed ^ index as u64).word() as usize),
            4 => word(bytes, 0x4010),
            5 => old + 16,
            // Past what it led to: that has no owner then, or what follows has two.
            6 => word(bytes, (old - base) as usize),
            _ => 0,
        };
        Damage::word(at, value)
    }

    fn graft(&self, index: usize) -> Damage {
        let page = index / GRAFT_KINDS * PAGE;
        let donor = if index.is_multiple_of(2) { &self.source.later } else { &self.other };
        let end = donor.len().min(self.source.bytes.len());
        let (start, end) = (page.min(end), (page + PAGE).min(end));
        let from = if index % 4 < 2 { start } else { 0 };
        Damage { forged: index % 8 > 3, ..Damage::edit(from, &donor[from..end]) }
    }

    /// A few edits, as nobody thought of them.
    fn anything(&self, number: u64) -> Damage {
        let bytes = &self.source.bytes;
        let mut random = Random(self.seed ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        let mut damage = Damage::default();
        for _ in 0..1 + random.below(8) {
            let lines = match random.below(3) {
                0 | 1 if !self.object_lines.is_empty() && random.below(2) == 0 => &self.object_lines,
                _ => &self.own_lines,
            };
            let at = match random.below(10) {
                0 => random.below(bytes.len() as u64) as usize,
                _ => lines[random.below(lines.len() as u64) as usize] + random.below(LINE as u64) as usize,
            };
            let edit = self.one(at.min(bytes.len() - 1), &mut random);
            damage.edits.extend(edit.edits);
        }
        if random.below(200) == 0 {
            damage.cut = Some(random.below(bytes.len() as u64) as usize);
        }
        damage
    }

    fn one(&self, at: usize, random: &mut Random) -> Damage {
        let bytes = &self.source.bytes;
        let (word_at, sector) = (at & !7, at & !511);
        let some = |random: &mut Random, len: usize| {
            let from = random.below((bytes.len() - len) as u64) as usize & !7;
            bytes[from..from + len].to_vec()
        };
        match random.below(11) {
            0 => Damage::edit(at, [random.word() as u8]),
            1 => Damage::edit(at, [bytes[at] ^ 1 << random.below(8)]),
            2 => Damage::word(word_at, random.word()),
            3 => Damage::edit(sector, [0; 512]),
            4 => Damage::edit(sector, [0xFF; 512]),
            5 => Damage::edit(sector, some(random, 512)),
            // What looks like a pointer, mostly to something.
            6 | 7 if !self.pointers.is_empty() => {
                let pointer = self.pointers[random.below(self.pointers.len() as u64) as usize];
                Damage::word(word_at, word(bytes, pointer).wrapping_add(random.below(8) / 7 * 16))
            }
            8 => Damage::word(word_at, random.below(40).wrapping_sub(8)),
            9 => Damage::edit(word_at, some(random, 8)),
            _ => {
                let len = 1 + random.below(64) as usize;
                Damage::edit(at, (0..len).map(|_| random.word() as u8).collect::<Vec<_>>())
            }
        }
    }

    fn foreign(&self, index: usize) -> Damage {
        let len = self.source.bytes.len();
        let lens = [0, 1, 8, 511, 512, 4096, 8192, len, 4 * len];
        let whole = |bytes: Vec<u8>| Damage { whole: Some(bytes), ..Damage::default() };
        match index {
            0..27 => whole(vec![[0, 0xFF, 0x55][index / 9]; lens[index % 9]]),
            27 => whole(b"It was a dark and stormy night. ".repeat(10_000)),
            28 => {
                let mut random = Random(self.seed);
                whole((0..200_000).map(|_| random.word() as u8).collect())
            }
            // Both headers, with checksums that are right.
            _ => {
                let (at, bytes): (usize, &[u8]) = FORMATS[index - 29];
                let edits = [0, 0x1000].map(|header| Edit { at: header + at, bytes: bytes.to_vec() });
                Damage { edits: edits.into(), forged: true, ..Damage::default() }
            }
        }
    }
}

/// Magic, version, byte order, features.
const FORMATS: [(usize, &[u8]); 11] = [
    (0, b"pobjheap"),
    (0, b"pobjhea\x70"),
    (0, b"\xF0aehjbop"),
    (8, &[2, 0, 0, 0]),
    (8, &[0, 0, 0, 0]),
    (8, &[0xFF; 4]),
    (12, &[0x0A, 0x0B, 0x0C, 0x0D]),
    (32, &[1]),
    (39, &[0x80]),
    (40, &[1]),
    (48, &[1]),
];
const FOREIGN: usize = 29 + FORMATS.len();

/// Another value for a word.
fn lie(old: u64, which: usize) -> u64 {
    match which {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => old.wrapping_add(64),
        3 => old.wrapping_sub(64),
        4 => old.wrapping_add(4096),
        5 => old << 1,
        6 => old >> 1,
        7 => !old,
        far => FAR[far - NEAR],
    }
}
