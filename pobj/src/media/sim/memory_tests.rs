//! The simulator on persistent memory: which states it thinks a crash may leave (M1 to M3). Catches a simulator that
//! forgives a missing flush or fence, and one that accuses sound code.

use std::collections::BTreeSet;

use super::*;
use crate::media::counts::here as counts_here;

const GRAIN: u64 = 65536;

/// A published, durable medium of `words` words of the letter `.`.
fn filled(words: usize, domain: Domain) -> SimMedia {
    SimMedia::with_domain(4 * GRAIN, domain).unwrap().with_bytes(vec![b'.'; words * 8])
}

fn line(words: usize) -> SimMedia {
    filled(words, Domain::CacheLine)
}

/// A word of one letter.
fn word(letter: u8) -> [u8; 8] {
    [letter; 8]
}

/// One letter for each word; `~` where a word is torn.
fn letters(bytes: &[u8]) -> String {
    let letter = |word: &[u8]| {
        if !word.iter().all(|b| *b == word[0]) {
            '~'
        } else if word[0] == 0 {
            '0'
        } else {
            word[0] as char
        }
    };
    bytes.chunks(8).map(letter).collect()
}

/// Calls `visit` with every moment.
fn each_cut(media: &SimMedia, mut visit: impl FnMut(&CrashPoint<'_>)) {
    let trace = media.trace();
    let mut cuts = trace.cuts();
    while let Some(point) = cuts.next() {
        visit(point);
    }
}

/// The states after the last event, by the first `words` words.
fn first_states(media: &SimMedia, words: usize) -> BTreeSet<String> {
    let mut last = BTreeSet::new();
    each_cut(media, |point| {
        let first = |choice: &Choice| {
            let bytes = point.build(choice);
            letters(&bytes[..bytes.len().min(words * 8)])
        };
        last = point.choices(4096, 1).iter().map(first).collect();
    });
    last
}

fn states(media: &SimMedia) -> BTreeSet<String> {
    first_states(media, usize::MAX / 8)
}

fn set(states: &[&str]) -> BTreeSet<String> {
    states.iter().map(|s| (*s).to_owned()).collect()
}

#[test]
fn words_survive_in_every_combination_and_are_never_torn() {
    let media = line(3);
    media.write(0, &[b'a'; 16]).unwrap();
    assert_eq!(states(&media), set(&["...", "a..", ".a.", "aa."]));
    media.fence().unwrap();
    assert_eq!(states(&media), set(&["aa."]));
    // Two halves of words are two pieces, each in an aligned word.
    media.write(12, &[b'b'; 8]).unwrap();
    assert_eq!(states(&media), set(&["aa.", "a~.", "aa~", "a~~"]));
    media.fence().unwrap();
    assert_eq!(states(&media), set(&["a~~"]));
}

#[test]
fn versions_of_one_word_survive_in_order() {
    let media = line(2);
    media.write(0, &word(b'a')).unwrap();
    media.write(0, &word(b'b')).unwrap();
    // Back to what is durable: not the same as never written.
    media.write(0, &word(b'.')).unwrap();
    assert_eq!(states(&media), set(&["..", "a.", "b."]));
    let mut pending = 0;
    each_cut(&media, |point| pending = point.pending_count());
    assert_eq!(pending, 3);
    media.fence().unwrap();
    assert_eq!(states(&media), set(&[".."]));
    media.write(0, &word(b'.')).unwrap();
    each_cut(&media, |point| pending = point.pending_count());
    assert_eq!(pending, 0, "a word that is there already");
}

#[test]
fn a_fence_covers_its_own_thread_only() {
    let media = line(2);
    media.write(0, &word(b'a')).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            media.write(8, &word(b'b')).unwrap();
            media.fence().unwrap();
        });
    });
    assert_eq!(states(&media), set(&[".b", "ab"]));
    media.sync().unwrap();
    assert_eq!(states(&media), set(&["ab"]));
}

/// Stores through persistent caches are durable once somebody else sees them; writes past the caches are not.
#[test]
fn any_fence_covers_stores_in_persistent_caches() {
    let media = filled(2, Domain::Byte);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            media.store(0, &word(b'a')).unwrap();
            media.write(8, &word(b'b')).unwrap();
        });
    });
    assert_eq!(states(&media).len(), 4);
    media.fence().unwrap();
    assert_eq!(states(&media), set(&["a.", "ab"]));
}

/// A flush may be done for another thread's stores; its fence then covers them.
#[test]
fn a_fence_covers_what_its_thread_has_flushed() {
    let media = line(16);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            media.write(0, &word(b'a')).unwrap();
            media.write(64, &word(b'b')).unwrap();
        });
    });
    media.fence().unwrap();
    assert_eq!(states(&media).len(), 4);
    media.flush(56, 8).unwrap();
    media.fence().unwrap();
    assert_eq!(states(&media), set(&["a...............", "a.......b......."]));
}

/// An older version that nobody has fenced cannot come back over a newer durable one.
#[test]
fn a_durable_word_hides_older_versions() {
    let media = line(1);
    std::thread::scope(|scope| {
        scope.spawn(|| media.write(0, &word(b'a')).unwrap());
    });
    media.write(0, &word(b'b')).unwrap();
    assert_eq!(states(&media), set(&[".", "a", "b"]));
    media.fence().unwrap();
    assert_eq!(states(&media), set(&["b"]));
}

#[test]
fn a_durable_write_is_a_write_and_a_fence() {
    let media = line(3);
    media.write(0, &word(b'a')).unwrap();
    media.write_durable(8, &word(b'b')).unwrap();
    let mut seen = Vec::new();
    each_cut(&media, |point| seen.push(point.choices(4096, 1).len()));
    assert_eq!(seen, [1, 2, 4, 1]);
    assert_eq!(states(&media), set(&["ab."]));
}

#[test]
fn lengths_and_holes_wait_for_a_sync() {
    let media = line(64);
    media.write(8, &word(b'a')).unwrap();
    media.fence().unwrap();
    media.stretch(66 * 8).unwrap();
    media.write(64 * 8, &word(b'b')).unwrap();
    media.fence().unwrap();
    let short = |states: BTreeSet<String>| states.iter().map(|s| s[60..].to_owned()).collect::<Vec<_>>();
    assert_eq!(short(states(&media)), ["....", "....b0"]);
    media.sync().unwrap();
    assert_eq!(short(states(&media)), ["....b0"]);
    media.punch(0, 512).unwrap();
    media.write(0, &word(b'c')).unwrap();
    media.fence().unwrap();
    assert_eq!(first_states(&media, 3), set(&["ca.", "c00"]));
    media.sync().unwrap();
    assert_eq!(first_states(&media, 3), set(&["c00"]));
    media.truncate(8).unwrap();
    media.fence().unwrap();
    assert_eq!(first_states(&media, 3), set(&["c", "c00"]));
    media.sync().unwrap();
    assert_eq!(states(&media), set(&["c"]));
}

#[test]
fn a_failed_sync_is_not_healed_by_the_next() {
    let media = line(2);
    let fail = |operation| media.plant(Fault::Fail { operation, number: 0, errno: 5, forever: false });
    fail(Operation::Sync);
    fail(Operation::Fence);
    media.write(0, &word(b'a')).unwrap();
    media.sync().unwrap_err();
    media.write(8, &word(b'b')).unwrap();
    media.fence().unwrap_err();
    media.fence().unwrap();
    assert_eq!(states(&media).len(), 4);
    media.write_durable(0, &word(b'c')).unwrap();
    assert_eq!(states(&media), set(&["c.", "cb"]));
}

#[test]
fn planted_bugs_leave_states_that_sound_code_cannot_have() {
    let run = |fault: Option<Fault>| {
        let media = line(3);
        media.prepare_ring(0, 24).unwrap();
        fault.into_iter().for_each(|fault| media.plant(fault));
        media.write(0, &word(b'a')).unwrap();
        media.fence().unwrap();
        media.write_ordered(8, &word(b'b')).unwrap();
        media.fence().unwrap();
        media.write_durable(16, &word(b'c')).unwrap();
        states(&media)
    };
    let flush = |operation| Fault::DropWriteFlush { operation, number: 0 };
    assert_eq!(run(None), set(&["abc"]));
    // A later fence of the same thread makes up for one that is missing at the end.
    assert_eq!(run(Some(Fault::DropFence(0))), set(&["abc"]));
    assert_eq!(run(Some(Fault::DropOneDurability(0))), set(&["ab.", "abc"]));
    assert_eq!(run(Some(Fault::DropDurability)), set(&["ab.", "abc"]));
    assert_eq!(run(Some(flush(Operation::Write))), set(&[".bc", "abc"]));
    assert_eq!(run(Some(flush(Operation::WriteOrdered))), set(&["a.c", "abc"]));
    assert_eq!(run(Some(flush(Operation::WriteDurable))), set(&["ab.", "abc"]));
    let media = line(1);
    media.plant(Fault::SwapFence(0));
    media.write(0, &word(b'a')).unwrap();
    media.fence().unwrap();
    assert_eq!(states(&media), set(&[".", "a"]));
    media.plant(Fault::DropFences);
    media.fence().unwrap();
    assert_eq!(states(&media), set(&[".", "a"]));
}

#[test]
fn what_was_pending_at_a_kill_waits_for_a_sync_or_another_flush() {
    let media = line(3);
    media.write(0, &[b'a'; 16]).unwrap();
    media.write(0, &word(b'b')).unwrap();
    let mut killed = None;
    each_cut(&media, |point| killed = Some((media.killed_at(point), media.killed_at(point))));
    let (killed, synced) = killed.unwrap();
    assert_eq!((letters(&killed.bytes()), killed.domain()), ("ba.".to_owned(), Domain::CacheLine));
    killed.fence().unwrap();
    assert_eq!(states(&killed), set(&["...", "a..", "b..", ".a.", "aa.", "ba."]));
    killed.write(8, &word(b'a')).unwrap();
    killed.fence().unwrap();
    assert_eq!(states(&killed), set(&[".a.", "aa.", "ba."]));
    killed.flush(0, 1).unwrap();
    killed.fence().unwrap();
    assert_eq!(states(&killed), set(&["ba."]));
    // A sync has the kernel write everything back.
    synced.sync().unwrap();
    assert_eq!(states(&synced), set(&["ba."]));
}

#[test]
fn a_store_waits_for_flush_and_fence() {
    for (domain, after_fence) in [(Domain::CacheLine, &["..", "a."][..]), (Domain::Byte, &["a."])] {
        let media = filled(2, domain);
        media.store(0, &word(b'a')).unwrap();
        assert_eq!(states(&media), set(&["..", "a."]));
        media.fence().unwrap();
        assert_eq!(states(&media), set(after_fence));
        media.flush(0, 8).unwrap();
        media.fence().unwrap();
        assert_eq!(states(&media), set(&["a."]));
    }
    let file = filled(2, Domain::Page);
    file.store(0, &word(b'a')).unwrap();
    file.sync().unwrap();
    assert_eq!(states(&file), set(&["a."]));
}

// ---- images in place ----

/// A medium with an image in place over 64 KiB.
fn in_place(domain: Domain) -> (SimMedia, Image) {
    let media = filled(GRAIN as usize / 8, domain);
    let image = media.image(Placement::Anywhere, GRAIN, 4 * GRAIN, ImageMode::InPlace).unwrap();
    (media, image)
}

#[test]
fn a_file_has_no_image_in_place() {
    let media = filled(GRAIN as usize / 8, Domain::Page);
    let image = media.image(Placement::Anywhere, GRAIN, GRAIN, ImageMode::InPlace);
    assert!(matches!(image, Err(Error::Domain { .. })));
}

#[test]
fn stores_in_place_need_flush_and_fence() {
    let (media, image) = in_place(Domain::CacheLine);
    image.store(0, &[b'a'; 16]);
    // At any moment a line may be written back by itself.
    media.fence().unwrap();
    assert_eq!(first_states(&media, 3), set(&["...", "a..", ".a.", "aa."]));
    image.store(8, &word(b'b'));
    media.flush(8, 1).unwrap();
    image.store(8, &word(b'c'));
    media.fence().unwrap();
    // The store after the flush is not covered.
    assert_eq!(first_states(&media, 3), set(&["ab.", "ac."]));
    media.flush(0, 64).unwrap();
    assert_eq!(first_states(&media, 3), set(&["ab.", "ac."]));
    media.fence().unwrap();
    assert_eq!(first_states(&media, 3), set(&["ac."]));
}

#[test]
fn a_dropped_flush_in_place_leaves_the_store_pending() {
    let (media, image) = in_place(Domain::CacheLine);
    media.plant(Fault::DropFlush(0));
    for (at, letter) in [(0, b'a'), (8, b'b')] {
        image.store(at * 8, &word(letter));
        media.flush(at * 8, 8).unwrap();
        media.fence().unwrap();
    }
    assert_eq!((media.count(Operation::Flush), media.count(Operation::Fence)), (2, 2));
    assert_eq!(first_states(&media, 10), set(&["........b.", "a.......b."]));
    media.plant(Fault::DropFlushes);
    media.flush(0, 8).unwrap();
    media.fence().unwrap();
    assert_eq!(first_states(&media, 10).len(), 2);
}

#[test]
fn persistent_caches_need_the_fence_only() {
    let (media, image) = in_place(Domain::Byte);
    image.store(0, &word(b'a'));
    media.fence().unwrap();
    image.store(8, &word(b'b'));
    media.write(16, &word(b'c')).unwrap();
    assert_eq!(first_states(&media, 3).len(), 4);
    media.fence().unwrap();
    assert_eq!(first_states(&media, 3), set(&["abc"]));
}

#[test]
fn what_the_medium_does_shows_in_place_and_the_other_way_round() {
    let (media, image) = in_place(Domain::CacheLine);
    let at = |offset| letters(&image.load_u64(offset).to_le_bytes());
    media.write(0, &word(b'a')).unwrap();
    media.prepare_ring(0, 64).unwrap();
    media.write_ordered(8, &word(b'b')).unwrap();
    media.write_durable(16, &word(b'c')).unwrap();
    assert_eq!([at(0), at(8), at(16)], ["a", "b", "c"]);
    image.store(8, &word(b'd'));
    let mut found = [0; 8];
    media.read(8, &mut found).unwrap();
    assert_eq!(found, word(b'd'));
    media.punch(0, 8).unwrap();
    assert_eq!(at(0), "0");
    media.grow(2 * GRAIN).unwrap();
    image.extend(2 * GRAIN).unwrap();
    image.store(GRAIN, &word(b'e'));
    media.truncate(GRAIN).unwrap();
    media.grow(2 * GRAIN).unwrap();
    assert_eq!(at(GRAIN), "0");
    assert_eq!(letters(&media.bytes()[..32]), "0dc.");
    assert!(media.trace().events().iter().any(|event| matches!(event, Event::Store { .. })));
}

/// The program stores what a pending hole reads as: nothing changes, and yet it is durable.
#[test]
fn a_store_into_a_hole_counts_although_it_changes_nothing() {
    let (media, image) = in_place(Domain::CacheLine);
    media.punch(0, GRAIN).unwrap();
    image.store(0, &[0, 0, 0, 0, 0, 0, 0, 0, b'a', b'a', b'a', b'a', b'a', b'a', b'a', b'a']);
    media.flush(0, 16).unwrap();
    media.fence().unwrap();
    assert_eq!(first_states(&media, 2), set(&["0a"]));
}

/// Catches: stores of the moments before an image is dropped, lost with it.
/// The same, where the hole is a killed process's.
#[test]
fn a_store_into_a_hole_that_a_kill_left_counts_too() {
    for domain in [Domain::CacheLine, Domain::Byte] {
        let media = filled(GRAIN as usize / 8, domain);
        media.write(0, &word(b'a')).unwrap();
        media.sync().unwrap();
        media.punch(0, 512).unwrap();
        let mut killed = None;
        each_cut(&media, |point| killed = Some(media.killed_at(point)));
        let killed = killed.unwrap();
        let image = killed.image(Placement::Anywhere, GRAIN, 4 * GRAIN, ImageMode::InPlace).unwrap();
        assert_eq!(first_states(&killed, 1), set(&["a", "0"]));
        image.store(0, &[0; 8]);
        killed.flush(0, 8).unwrap();
        killed.fence().unwrap();
        assert_eq!(first_states(&killed, 1), set(&["0"]));
    }
}

#[test]
fn a_dropped_image_leaves_its_stores() {
    let (media, image) = in_place(Domain::CacheLine);
    let base = image.base();
    image.store(0, &word(b'a'));
    drop(image);
    assert_eq!(first_states(&media, 2), set(&["..", "a."]));
    let other = media.with_bytes(vec![b'x'; GRAIN as usize]);
    let image = |media: &SimMedia, mode| media.image(Placement::At(base), GRAIN, GRAIN, mode).unwrap();
    image(&media, ImageMode::InPlace).store(8, &word(b'b'));
    image(&other, ImageMode::InPlace).store(0, &word(b'y'));
    assert_eq!(letters(&media.bytes()[..24]), "ab.");
    assert_eq!(letters(&other.bytes()[..16]), "yx");
    // A private image is no part of the medium.
    let private = image(&media, ImageMode::Private);
    private.store(16, &word(b'c'));
    media.write(24, &word(b'd')).unwrap();
    assert_eq!((letters(&media.bytes()[..32]), private.load_u64(24)), ("ab.d".into(), 0x2e2e_2e2e_2e2e_2e2e));
    each_cut(&media, |point| assert_eq!(point.after_kill().len() as u64, GRAIN));
}

/// Catches: a shield through which the program's stores reach the medium.
#[test]
fn behind_a_shield_stores_do_not_count() {
    let (media, image) = in_place(Domain::CacheLine);
    image.store(0, &word(b'a'));
    image.shield().unwrap();
    image.store(8, &word(b'b'));
    media.write(16, &word(b'c')).unwrap();
    assert_eq!(letters(&media.bytes()[..24]), "a.c");
    image.unshield().unwrap();
    assert_eq!(letters(&media.bytes()[..24]), "a.c");
    assert_eq!(letters(&image.load_u64(16).to_le_bytes()), "c");
}

#[test]
fn operations_are_counted_as_real_media_count_them() {
    let count = |media: &SimMedia| {
        let before = counts_here();
        media.prepare_ring(0, 64).unwrap();
        media.write(0, &[1; 24]).unwrap();
        media.write_ordered(0, &[1; 8]).unwrap();
        media.write_durable(0, &[1; 8]).unwrap();
        media.flush(60, 8).unwrap();
        media.fence().unwrap();
        media.sync().unwrap();
        let counts = counts_here() - before;
        (counts.flushes, counts.fences, counts.durable_writes, counts.bytes)
    };
    assert_eq!(count(&line(16)), (2, 3, 0, 40));
    assert_eq!(count(&filled(16, Domain::Byte)), (0, 3, 0, 40));
    assert_eq!(count(&filled(16, Domain::Page)), (0, 0, 3, 40));
}

/// After each event of random scripts a kill leaves what a reader saw, and after everything is flushed and synced nothing
/// is pending.
#[test]
fn random_scripts_agree_with_what_a_reader_sees() {
    for seed in 0..100 {
        let mut state = seed;
        let mut random = |end: u64| {
            state = crate::ground::checksum::mix(state, 23);
            state % end
        };
        let (media, image) = in_place(Domain::CacheLine);
        media.prepare_ring(0, GRAIN).unwrap();
        let mut seen = vec![media.bytes()];
        for letter in b'a'..=b'z' {
            let events = media.trace().events().len();
            let before = media.bytes();
            let (offset, len) = (random(200), 1 + random(60));
            let bytes = vec![letter; len as usize];
            let stores = random(3) == 0;
            if stores {
                image.store(random(200), &bytes);
            }
            let stored = media.bytes();
            let _ = match random(8) {
                0 => media.write(offset, &bytes),
                1 => media.write_ordered(offset, &bytes),
                2 => media.write_durable(offset, &bytes),
                3 => media.flush(offset, len),
                4 => media.punch(offset, len),
                5 => media.sync(),
                _ => media.fence(),
            };
            let more = media.trace().events().len() - events;
            if stored != before {
                seen.push(stored);
                seen.extend((1..more).map(|_| media.bytes()));
            } else {
                seen.extend((0..more).map(|_| media.bytes()));
            }
        }
        let events = media.trace().events().len();
        media.flush(0, GRAIN).unwrap();
        media.sync().unwrap();
        seen.extend((events..media.trace().events().len()).map(|_| media.bytes()));
        let mut seen = seen.iter();
        let mut pending = 1;
        each_cut(&media, |point| {
            assert!(&point.after_kill() == seen.next().unwrap(), "seed {seed}, cut {}", point.index());
            pending = point.pending_count();
        });
        assert_eq!((pending, seen.next()), (0, None));
    }
}
