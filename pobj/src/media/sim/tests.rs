//! The simulator itself: which states it thinks a crash may leave. Catches a simulator that forgives bugs (too few
//! states) and one that accuses sound code (states that no file can be in).

use std::collections::BTreeSet;

use super::*;

const BLOCK: u64 = 512;

/// A published, durable medium of `blocks` blocks of the byte `fill`.
fn filled(blocks: u64, fill: u8) -> SimMedia {
    SimMedia::new(65536).unwrap().with_bytes(vec![fill; (blocks * BLOCK) as usize])
}

/// One letter for each block, by its first byte; `~` where a block is not uniform.
fn letters(bytes: &[u8]) -> String {
    let letter = |block: &[u8]| {
        if block.iter().all(|b| *b == block[0]) {
            if block[0] == 0 { '0' } else { block[0] as char }
        } else {
            '~'
        }
    };
    bytes.chunks(BLOCK as usize).map(letter).collect()
}

/// The whole-block states after the last event.
fn states(media: &SimMedia) -> BTreeSet<String> {
    let trace = media.trace();
    let mut cuts = trace.cuts();
    let mut last = BTreeSet::new();
    while let Some(point) = cuts.next() {
        let whole = |state: &String| !state.contains('~');
        last = point.choices(4096, 1).iter().map(|c| letters(&point.build(c))).filter(whole).collect();
    }
    last
}

fn set(states: &[&str]) -> BTreeSet<String> {
    states.iter().map(|s| (*s).to_owned()).collect()
}

fn block(letter: u8) -> Vec<u8> {
    vec![letter; BLOCK as usize]
}

#[test]
fn unsynced_blocks_survive_in_every_combination() {
    let media = filled(3, b'.');
    media.write(0, &[b'a'; 1024]).unwrap();
    assert_eq!(states(&media), set(&["...", "a..", ".a.", "aa."]));
    media.sync().unwrap();
    assert_eq!(states(&media), set(&["aa."]));
}

#[test]
fn a_durable_write_covers_its_own_bytes_only() {
    let media = filled(3, b'.');
    media.write(0, &block(b'a')).unwrap();
    media.write(512, &block(b'b')).unwrap();
    media.write_durable(512, &block(b'c')).unwrap();
    assert_eq!(states(&media), set(&[".c.", "ac."]));
    media.write(512, &block(b'd')).unwrap();
    assert_eq!(states(&media), set(&[".c.", "ac.", ".d.", "ad."]));
}

#[test]
fn an_older_write_is_cut_to_what_the_durable_one_leaves() {
    let media = filled(2, b'.');
    media.write(0, &[b'a'; 1024]).unwrap();
    media.write_durable(500, &[b'b'; 24]).unwrap();
    let trace = media.trace();
    let mut cuts = trace.cuts();
    while let Some(point) = cuts.next() {
        if point.index() == trace.events().len() {
            for choice in point.choices(4096, 1) {
                assert_eq!(point.build(&choice)[500..524], [b'b'; 24], "{choice:?}");
            }
            assert_eq!(point.pending_count(), 2);
        }
    }
}

#[test]
fn pieces_are_torn_between_words_and_anywhere() {
    let media = filled(1, b'.');
    media.write(0, &block(b'a')).unwrap();
    let trace = media.trace();
    let mut cuts = trace.cuts();
    cuts.next();
    let point = cuts.next().unwrap();
    let edges: Vec<_> = point
        .choices(4096, 1)
        .iter()
        .map(|choice| point.build(choice))
        .filter(|bytes| letters(bytes) == "~")
        .map(|bytes| (bytes[0], bytes.iter().position(|b| *b != bytes[0]).unwrap()))
        .collect();
    assert!(edges.iter().any(|(first, _)| *first == b'a') && edges.iter().any(|(first, _)| *first == b'.'));
    assert!(edges.iter().any(|(_, edge)| edge % 8 == 0) && edges.iter().any(|(_, edge)| edge % 8 != 0));
}

#[test]
fn length_and_bytes_survive_separately() {
    let media = filled(1, b'.');
    media.grow(3 * BLOCK).unwrap();
    media.write(512, &block(b'a')).unwrap();
    media.write(1024, &block(b'b')).unwrap();
    assert_eq!(states(&media), set(&[".", ".00", ".a0", ".0b", ".ab"]));
    media.write_durable(512, &block(b'c')).unwrap();
    assert_eq!(states(&media), set(&[".c", ".c0", ".cb"]));
}

#[test]
fn shortening_loses_what_is_beyond_and_regrowth_is_zero() {
    let media = filled(2, b'.');
    media.truncate(512).unwrap();
    media.grow(1024).unwrap();
    assert_eq!(states(&media), set(&["..", ".", ".0"]));
    media.write_durable(512, &block(b'a')).unwrap();
    assert_eq!(states(&media), set(&[".a"]));
    media.punch(0, 512).unwrap();
    assert_eq!(states(&media), set(&[".a", "0a"]));
}

#[test]
fn before_it_is_published_the_pool_is_absent() {
    let media = SimMedia::new(65536).unwrap();
    media.grow(512).unwrap();
    media.write(0, &block(b'a')).unwrap();
    media.publish().unwrap();
    media.mark(7);
    let trace = media.trace();
    let mut cuts = trace.cuts();
    let mut seen = Vec::new();
    while let Some(point) = cuts.next() {
        seen.push((point.presence(), point.marks().last()));
        if point.presence() != Presence::Absent {
            assert_eq!(point.choices(4096, 1).len(), 1);
            assert_eq!(letters(&point.after_kill()), "a");
        }
    }
    let absent = (Presence::Absent, None);
    let present = (Presence::Present, None);
    let marked = (Presence::Present, Some(7));
    assert_eq!(seen, [absent, absent, absent, absent, (Presence::Either, None), present, marked]);
}

#[test]
fn a_failed_sync_is_not_healed_by_the_next() {
    let media = filled(2, b'.');
    media.plant(Fault::Fail { operation: Operation::Sync, number: 0, errno: 5, forever: false });
    media.write(0, &block(b'a')).unwrap();
    let error = media.sync().unwrap_err();
    assert!(matches!(&error, Error::Io { source, .. } if source.raw_os_error() == Some(5)), "{error}");
    media.write(512, &block(b'b')).unwrap();
    media.sync().unwrap();
    assert_eq!(states(&media), set(&[".b", "ab"]));
    media.plant(Fault::Fail { operation: Operation::WriteDurable, number: 0, errno: 5, forever: true });
    media.write_durable(512, &block(b'c')).unwrap_err();
    media.write_durable(512, &block(b'd')).unwrap_err();
    assert_eq!(media.count(Operation::WriteDurable), 2);
}

#[test]
fn planted_bugs_leave_states_that_sound_code_cannot_have() {
    let run = |fault: Option<Fault>| {
        let media = filled(2, b'.');
        fault.into_iter().for_each(|fault| media.plant(fault));
        media.write_durable(0, &block(b'a')).unwrap();
        media.write(512, &block(b'b')).unwrap();
        media.sync().unwrap();
        states(&media)
    };
    assert_eq!(run(None), set(&["ab"]));
    assert_eq!(run(Some(Fault::DropSync(0))), set(&["a.", "ab"]));
    assert_eq!(run(Some(Fault::DropSync(1))), set(&["ab"]));
    assert_eq!(run(Some(Fault::SwapSync(0))), set(&["a.", "ab"]));
    assert_eq!(run(Some(Fault::DropDurability)), set(&["ab"]));
    let media = filled(2, b'.');
    media.plant(Fault::DropOneDurability(1));
    media.write_durable(0, &block(b'a')).unwrap();
    media.write_durable(512, &block(b'b')).unwrap();
    assert_eq!(states(&media), set(&["a.", "ab"]));
}

#[test]
fn writes_that_change_nothing_add_no_states() {
    let media = filled(64, 0);
    media.write(0, &[0; 64 * 512]).unwrap();
    assert_eq!(states(&media).len(), 1);
}

#[test]
fn many_pieces_are_sampled_and_the_samples_repeat() {
    let media = filled(64, b'.');
    media.write(0, &[b'a'; 64 * 512]).unwrap();
    let trace = media.trace();
    let mut cuts = trace.cuts();
    cuts.next();
    let point = cuts.next().unwrap();
    let choices = point.choices(500, 3);
    assert!((500..700).contains(&choices.len()), "{}", choices.len());
    assert_eq!(choices, point.choices(500, 3));
    assert_ne!(choices, point.choices(500, 4));
    let states: BTreeSet<_> = choices.iter().map(|c| letters(&point.build(c))).collect();
    assert!(states.contains(&".".repeat(64)) && states.contains(&"a".repeat(64)) && states.len() > 300);
}

#[test]
fn ordered_writes_stay_in_the_ring_and_survive_a_kill() {
    let media = filled(4, b'.');
    assert!(media.write_ordered(0, &block(b'a')).is_err());
    media.prepare_ring(512, 1024).unwrap();
    media.write_ordered(512, &block(b'a')).unwrap();
    assert!(media.write_ordered(1024, &[0; 513]).is_err());
    assert_eq!(states(&media), set(&["....", ".a.."]));
    let trace = media.trace();
    let mut cuts = trace.cuts();
    cuts.next();
    assert_eq!(letters(&cuts.next().unwrap().after_kill()), ".a..");
}

/// Catches: recovery that trusts what the process before it only left in the page cache.
#[test]
fn what_was_pending_at_a_kill_is_pending_after_it() {
    let media = filled(3, b'.');
    media.write(0, &block(b'a')).unwrap();
    media.grow(4 * BLOCK).unwrap();
    let trace = media.trace();
    let mut cuts = trace.cuts();
    let mut killed = None;
    while let Some(point) = cuts.next() {
        killed = Some(media.killed_at(point));
    }
    let killed = killed.unwrap();
    assert_eq!(letters(&killed.bytes()), "a..0");
    killed.write(512, &block(b'b')).unwrap();
    assert_eq!(states(&killed).len(), 8);
    killed.sync().unwrap();
    assert_eq!(states(&killed), set(&["ab.0"]));
}

/// After each event of random scripts: a kill leaves what a reader saw; after a final sync nothing is pending.
#[test]
fn random_scripts_agree_with_what_a_reader_sees() {
    for seed in 0..200 {
        let mut state = seed;
        let mut random = |end: u64| {
            state = crate::ground::checksum::mix(state, 17);
            state % end
        };
        let media = filled(4, b'.');
        media.prepare_ring(0, 1 << 20).unwrap();
        let mut seen = vec![media.bytes()];
        for letter in b'a'..=b'z' {
            let events = media.trace().events().len();
            let (offset, len) = (random(3000), 1 + random(1500));
            let bytes = vec![letter; len as usize];
            let _ = match random(9) {
                0..=2 => media.write(offset, &bytes),
                3 => media.write_ordered(offset, &bytes),
                4 => media.write_durable(offset, &bytes),
                5 => media.grow(2048 + offset),
                6 => media.truncate(2048 + offset / 2),
                7 => media.punch(offset, len),
                _ => media.sync(),
            };
            for _ in events..media.trace().events().len() {
                seen.push(media.bytes());
            }
        }
        media.sync().unwrap();
        seen.push(media.bytes());
        let trace = media.trace();
        let mut cuts = trace.cuts();
        let mut seen = seen.iter();
        while let Some(point) = cuts.next() {
            assert!(&point.after_kill() == seen.next().unwrap(), "seed {seed}, cut {}", point.index());
            if matches!(point.last_event(), Some(Event::Synced { .. })) {
                assert_eq!(point.pending_count(), 0);
            }
        }
    }
}
