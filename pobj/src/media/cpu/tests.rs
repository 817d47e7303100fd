//! Every back end against ordinary memory: all alignments, many lengths, hints, domains and overlaps.
//!
//! Would catch a line that is neither stored past the cache nor flushed (by its count), a byte written outside the
//! range, and a `memmove` that overwrites what it has yet to read.

use super::lines::LINE;
use super::*;
use crate::media::MediaCounts;

/// Longest range tested, and the room around it.
const LEN_MAX: usize = 8 * 1024;
const ROOM: usize = 4 * LINE;
const HINTS: [Hint; 3] = [Hint::Auto, Hint::Temporal, Hint::NonTemporal];

/// Memory that starts at a line.
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
}

impl Aligned {
    fn new(len: usize) -> Self {
        let bytes = vec![0; len + LINE];
        let start = bytes.as_ptr().align_offset(LINE);
        Self { bytes, start }
    }

    fn get(&mut self) -> &mut [u8] {
        let len = self.bytes.len() - LINE;
        &mut self.bytes[self.start..self.start + len]
    }
}

/// Bytes in which each place differs from its neighbours, and `salt` from `salt`.
fn pattern(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8) ^ salt).collect()
}

fn lengths() -> impl Iterator<Item = usize> {
    let shortest = if cfg!(miri) { 70 } else { 300 };
    let longer = [511, 512, 1000, 4095, 4096, 4097, 5000, LEN_MAX];
    (0..=shortest).step_by(if cfg!(miri) { 7 } else { 1 }).chain(longer.into_iter().take(if cfg!(miri) {
        1
    } else {
        8
    }))
}

/// Alignments to combine with all others: the whole line for short ranges, its landmarks for longer ones.
fn alignments(len: usize) -> Vec<usize> {
    let all = len <= 130 && !cfg!(miri);
    if all { (0..LINE).collect() } else { vec![0, 1, 8, 15, 16, 17, 31, 32, 33, 48, 63] }
}

fn counted<R>(run: impl FnOnce() -> R) -> (R, MediaCounts) {
    let before = counts::here();
    let result = run();
    (result, counts::here() - before)
}

/// What the counters must say of a store of `len` bytes at `address`.
fn expected(cpu: Cpu, address: usize, len: usize, domain: Domain, hint: Hint) -> MediaCounts {
    let cached = cpu.stores == Stores::Temporal
        || hint == Hint::Temporal
        || (hint == Hint::Auto && len < NON_TEMPORAL_FROM);
    let Cut { head, lines, tail } = cut(address, len);
    let ragged = [head, tail].iter().filter(|part| **part > 0).count();
    let flushes = match domain {
        Domain::CacheLine if cached => touched(address, len),
        Domain::CacheLine => ragged,
        _ => 0,
    };
    assert!(lines + ragged == touched(address, len) || (head + tail > 0 && lines == 0));
    MediaCounts { flushes: flushes as u64, bytes: len as u64, ..MediaCounts::default() }
}

#[test]
fn copies_are_exact_and_counted() {
    let source = pattern(LEN_MAX + 2 * ROOM, 1);
    let before = pattern(LEN_MAX + 2 * ROOM, 2);
    let mut memory = Aligned::new(LEN_MAX + 2 * ROOM);
    let memory = memory.get();
    for cpu in Cpu::all() {
        for hint in HINTS {
            for len in lengths() {
                for to in alignments(len) {
                    for from in [0, 1, 16, to, 63] {
                        let room = ROOM + len + LINE;
                        memory[..room].copy_from_slice(&before[..room]);
                        let target = memory[LINE + to..].as_mut_ptr();
                        let start = source[from..].as_ptr();
                        // SAFETY: both ranges lie in their vectors, and no other thread knows the memory.
                        let ((), counts) =
                            counted(|| unsafe { cpu.copy(target, start, len, Domain::CacheLine, hint) });
                        cpu.fence();
                        let (first, end) = (LINE + to, LINE + to + len);
                        let at = format!("{cpu}, {hint:?}, {from} to {to}, {len} bytes");
                        assert_eq!(memory[..first], before[..first], "{at}");
                        assert_eq!(memory[first..end], source[from..from + len], "{at}");
                        assert_eq!(memory[end..room], before[end..room], "{at}");
                        assert_eq!(
                            counts,
                            expected(cpu, target.addr(), len, Domain::CacheLine, hint),
                            "{at}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn fills_are_exact_and_counted() {
    let before = pattern(LEN_MAX + 2 * ROOM, 3);
    let mut memory = Aligned::new(LEN_MAX + 2 * ROOM);
    let memory = memory.get();
    for cpu in Cpu::all() {
        for hint in HINTS {
            for len in lengths() {
                for to in alignments(len) {
                    let room = ROOM + len + LINE;
                    memory[..room].copy_from_slice(&before[..room]);
                    let target = memory[LINE + to..].as_mut_ptr();
                    // SAFETY: the range lies in the vector, and no other thread knows the memory.
                    let ((), counts) =
                        counted(|| unsafe { cpu.fill(target, 0xa5, len, Domain::CacheLine, hint) });
                    cpu.fence();
                    let (first, end) = (LINE + to, LINE + to + len);
                    let at = format!("{cpu}, {hint:?}, to {to}, {len} bytes");
                    assert_eq!(memory[..first], before[..first], "{at}");
                    assert!(memory[first..end].iter().all(|byte| *byte == 0xa5), "{at}");
                    assert_eq!(memory[end..room], before[end..room], "{at}");
                    assert_eq!(counts, expected(cpu, target.addr(), len, Domain::CacheLine, hint), "{at}");
                }
            }
        }
    }
}

#[test]
fn moves_are_right_for_every_overlap() {
    let before = pattern(2 * LEN_MAX + 4 * ROOM, 4);
    let mut memory = Aligned::new(2 * LEN_MAX + 4 * ROOM);
    let memory = memory.get();
    let distances =
        [-300, -129, -128, -65, -64, -63, -17, -16, -1, 0, 1, 15, 16, 33, 63, 64, 65, 128, 200, 300];
    for cpu in Cpu::all() {
        for hint in HINTS {
            for len in lengths() {
                for to in [0, 1, 8, 16, 33, 63] {
                    for distance in distances {
                        let (first, room) = (5 * LINE + to, 10 * LINE + len + LINE);
                        let from = first.checked_add_signed(distance).unwrap();
                        memory[..room].copy_from_slice(&before[..room]);
                        let start = memory.as_mut_ptr();
                        let (target, source) = (start.wrapping_add(first), start.wrapping_add(from));
                        // SAFETY: both ranges lie in the vector, and no other thread knows the memory.
                        let ((), counts) =
                            counted(|| unsafe { cpu.move_(target, source, len, Domain::CacheLine, hint) });
                        cpu.fence();
                        let mut wanted = before[..room].to_vec();
                        wanted.copy_within(from..from + len, first);
                        let at = format!("{cpu}, {hint:?}, to {to}, by {distance}, {len} bytes");
                        assert_eq!(memory[..room], wanted, "{at}");
                        assert_eq!(
                            counts,
                            expected(cpu, target.addr(), len, Domain::CacheLine, hint),
                            "{at}"
                        );
                    }
                }
            }
        }
    }
}

/// In the other domains a store is a store.
#[test]
fn nothing_is_flushed_where_caches_are_persistent_or_pages_count() {
    let source = pattern(1000, 5);
    let mut memory = Aligned::new(2000);
    let memory = memory.get();
    for cpu in Cpu::all() {
        for domain in [Domain::Byte, Domain::Page] {
            for hint in HINTS {
                for (to, len) in [(0, 64), (3, 1000), (64, 640), (0, 0)] {
                    memory.fill(0);
                    let target = memory[to..].as_mut_ptr();
                    // SAFETY: both ranges lie in their vectors, and no other thread knows the memory.
                    let ((), counts) =
                        counted(|| unsafe { cpu.copy(target, source.as_ptr(), len, domain, hint) });
                    assert_eq!(memory[to..to + len], source[..len]);
                    assert_eq!(counts, MediaCounts { bytes: len as u64, ..MediaCounts::default() });
                    // SAFETY: as above.
                    let ((), counts) = counted(|| unsafe { cpu.fill(target, 9, len, domain, hint) });
                    assert!(memory[to..to + len].iter().all(|byte| *byte == 9));
                    assert_eq!(counts.flushes, 0);
                    // SAFETY: as above.
                    let ((), counts) =
                        counted(|| unsafe { cpu.move_(target, source.as_ptr(), len, domain, hint) });
                    assert_eq!(memory[to..to + len], source[..len]);
                    assert_eq!(counts.flushes, 0);
                }
            }
        }
    }
}

#[test]
fn flushes_and_fences_are_counted() {
    let mut memory = Aligned::new(20 * LINE);
    let start = memory.get().as_ptr();
    for cpu in Cpu::all() {
        for offset in 0..LINE {
            for len in 0..=5 * LINE {
                // SAFETY: the range lies in the vector.
                let (lines, counts) = counted(|| unsafe { cpu.flush(start.wrapping_add(offset), len) });
                assert_eq!(lines, touched(offset, len) as u64);
                assert_eq!(counts, MediaCounts { flushes: lines, ..MediaCounts::default() });
            }
        }
        let ((), counts) = counted(|| cpu.fence());
        assert_eq!(counts, MediaCounts { fences: 1, ..MediaCounts::default() });
    }
}

/// The storing thread sees its non-temporal stores before the fence, the others after it.
#[test]
#[cfg(not(miri))]
fn stores_are_seen() {
    use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
    for cpu in Cpu::all() {
        let mut memory = Aligned::new(64 * LINE);
        let memory = memory.get();
        let place = AtomicPtr::new(memory.as_mut_ptr());
        let (round, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for wanted in 1..=200 {
                    while round.load(Ordering::Acquire) != 2 * wanted - 1 {
                        std::thread::yield_now();
                    }
                    let start = place.load(Ordering::Relaxed).cast_const();
                    // SAFETY: the storer waits for the even round and has fenced.
                    let bytes = unsafe { std::slice::from_raw_parts(start, 64 * LINE) };
                    // Counted, not asserted: the storer would wait for ever.
                    wrong.fetch_add(
                        bytes.iter().filter(|byte| usize::from(**byte) != wanted).count(),
                        Ordering::Relaxed,
                    );
                    round.store(2 * wanted, Ordering::Release);
                }
            });
            for wanted in 1..=200 {
                let start = place.load(Ordering::Relaxed);
                // SAFETY: the reader waits for the odd round.
                unsafe { cpu.fill(start, wanted as u8, 64 * LINE, Domain::CacheLine, Hint::NonTemporal) };
                // SAFETY: in the vector, stored by this thread.
                let own = unsafe { start.wrapping_add(777).read() };
                wrong.fetch_add(usize::from(own != wanted as u8), Ordering::Relaxed);
                cpu.fence();
                round.store(2 * wanted - 1, Ordering::Release);
                while round.load(Ordering::Acquire) != 2 * wanted {
                    std::thread::yield_now();
                }
            }
        });
        assert_eq!(wrong.into_inner(), 0, "{cpu}");
    }
}

#[test]
fn a_choice_that_is_unknown_or_missing_is_ignored() {
    let best = Cpu::all()[0];
    assert_eq!(Cpu::choose("", ""), best);
    assert_eq!(Cpu::choose("CLWB!", "mmx"), best);
    for cpu in Cpu::all() {
        assert_eq!(Cpu::choose(cpu.flush.name(), cpu.stores.name()), cpu);
        assert_eq!(Cpu::choose(cpu.flush.name(), "mmx"), Cpu { flush: cpu.flush, ..best });
        assert_eq!(Cpu::with(cpu.flush, cpu.stores), Some(cpu));
    }
    for stores in Stores::ALL {
        let cpu = Cpu::choose("", stores.name());
        assert_eq!(cpu.stores == stores, stores.available());
    }
    assert!(Cpu::all().contains(&Cpu::get()));
    assert_eq!(best.flushes(), cfg!(not(miri)));
}
