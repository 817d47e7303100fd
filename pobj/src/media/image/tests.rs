//! Bounds of the accessors, arenas, private mappings, bases.

use super::super::reserve::BASE_ALIGN;
use super::*;

const MIB: u64 = 1024 * 1024;

fn arena_image(arena: &Arc<Arena>, len: u64) -> Result<Image> {
    Image::in_arena(arena, Placement::Anywhere, len, 4 * GRAIN, |_| Ok(()))
}

fn file_image(bytes: &[u8], placement: Placement, max_len: u64) -> Result<Image> {
    use std::io::Write;
    let name = format!("pobj-image-{}-{:x}", std::process::id(), getrandom::u64().unwrap());
    let path = std::env::temp_dir().join(name);
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(bytes).unwrap();
    Image::map_file(&file, placement, bytes.len() as u64, max_len)
}

/// Catches: an accessor whose end of range is off by one, or that accepts an offset that is not aligned.
#[test]
#[cfg_attr(debug_assertions, ignore = "debug builds stop at the first access out of range")]
fn accesses_out_of_range_touch_nothing_and_are_remembered() {
    let image = arena_image(&Arena::new(4 * GRAIN).unwrap(), GRAIN).unwrap();
    image.store_u64(GRAIN - 8, 7);
    assert_eq!((image.load_u64(GRAIN - 8), image.fault()), (7, None));
    for offset in [GRAIN, GRAIN - 7, GRAIN - 4, 1, u64::MAX, u64::MAX - 7, 1 << 63] {
        image.store_u64(offset, u64::MAX);
        assert_eq!(image.load_u64(offset), 0);
    }
    assert_eq!(image.fault(), Some(GRAIN));
    let mut into = [1; 16];
    image.load(GRAIN - 15, &mut into);
    assert_eq!(into, [0; 16]);
    image.store(u64::MAX - 3, &[1; 16]);
    image.zero(GRAIN - 8, 9);
    assert_eq!(image.load_u64(GRAIN - 8), 7);
    assert_eq!(image.read_words(GRAIN - 8, 2, <[u64]>::len), 0);
    assert_eq!(image.read_words(GRAIN - 12, 1, <[u64]>::len), 0);
    assert_eq!(image.read_words(8, usize::MAX, <[u64]>::len), 0);
}

#[test]
fn check_finds_what_is_out_of_range() {
    let image = arena_image(&Arena::new(4 * GRAIN).unwrap(), GRAIN).unwrap();
    assert!(image.check(0, GRAIN).is_ok() && image.check(GRAIN, 0).is_ok());
    for (offset, len) in [(1, GRAIN), (GRAIN, 1), (u64::MAX, 2), (8, u64::MAX)] {
        assert!(matches!(image.check(offset, len), Err(Error::Corrupt { .. })), "{offset} {len}");
    }
}

#[test]
fn bytes_and_words_are_the_same_memory() {
    let image = arena_image(&Arena::new(4 * GRAIN).unwrap(), GRAIN).unwrap();
    image.store(16, &0x0102_0304_0506_0708_u64.to_le_bytes());
    assert_eq!(image.load_u64(16), 0x0102_0304_0506_0708);
    assert_eq!(image.read_words(8, 3, <[u64]>::to_vec), [0, 0x0102_0304_0506_0708, 0]);
    image.zero(19, 2);
    let mut bytes = [0; 8];
    image.load(16, &mut bytes);
    assert_eq!(bytes, [8, 7, 6, 0, 0, 3, 2, 1]);
}

/// Catches: an image that shows bytes of the image before it, and two images over one arena.
#[test]
fn an_arena_serves_one_image_at_a_time_and_forgets() {
    let arena = Arena::new(4 * GRAIN).unwrap();
    let first = arena_image(&arena, GRAIN).unwrap();
    let base = first.base();
    assert_eq!(base % GRAIN, 0);
    assert!(matches!(arena_image(&arena, GRAIN), Err(Error::AddressTaken { .. })));
    first.extend(3 * GRAIN).unwrap();
    assert_eq!(first.len(), 3 * GRAIN);
    first.store_u64(3 * GRAIN - 8, 9);
    drop(first);
    let at = |base| Image::in_arena(&arena, Placement::At(base), GRAIN, 4 * GRAIN, |_| Ok(()));
    assert!(matches!(at(base + GRAIN), Err(Error::AddressTaken { .. })));
    let second = at(base).unwrap();
    assert_eq!(second.base(), base);
    second.extend(4 * GRAIN).unwrap();
    assert_eq!(second.load_u64(3 * GRAIN - 8), 0);
}

#[test]
fn lengths_that_no_pool_has_are_refused() {
    let arena = Arena::new(4 * GRAIN).unwrap();
    let make = |len, max_len| Image::in_arena(&arena, Placement::Anywhere, len, max_len, |_| Ok(()));
    assert!(matches!(make(GRAIN + 1, 4 * GRAIN), Err(Error::Corrupt { .. })));
    assert!(matches!(make(0, 4 * GRAIN), Err(Error::Corrupt { .. })));
    assert!(matches!(make(2 * GRAIN, GRAIN), Err(Error::PoolFull { .. })));
    assert!(matches!(make(GRAIN, 5 * GRAIN), Err(Error::InvalidOption { .. })));
    let image = make(GRAIN, 4 * GRAIN).unwrap();
    assert!(matches!(image.extend(5 * GRAIN), Err(Error::PoolFull { .. })));
    image.extend(GRAIN).unwrap();
    assert_eq!(image.len(), GRAIN);
}

#[test]
#[cfg_attr(miri, ignore = "Miri cannot map files")]
fn a_file_is_mapped_privately_and_grows_with_zeros() {
    let bytes: Vec<u8> = (0..2 * GRAIN).map(|i| (i / 8) as u8).collect();
    let image = file_image(&bytes, Placement::Anywhere, 64 * MIB).unwrap();
    assert_eq!(image.base() % BASE_ALIGN, 0);
    assert_eq!((image.len(), image.max_len()), (2 * GRAIN, 64 * MIB));
    let mut read = vec![0; bytes.len()];
    image.load(0, &mut read);
    assert!(read == bytes);
    image.extend(8 * GRAIN).unwrap();
    image.populate(GRAIN + 5, 6 * GRAIN);
    assert!(image.read_words(2 * GRAIN, 6 * GRAIN as usize / 8, |words| words.iter().all(|w| *w == 0)));
    image.load(0, &mut read);
    assert!(read == bytes, "growing or populating changed bytes");
    image.store_u64(8 * GRAIN - 8, 5);
    assert_eq!(image.load_u64(8 * GRAIN - 8), 5);
}

/// Catches: memory that is made ready twice and loses what is stored there, or that counts as backed too early.
#[test]
#[cfg_attr(miri, ignore = "Miri cannot map files")]
fn memory_made_ready_is_backed_later() {
    let image = file_image(&vec![1; 2 * GRAIN as usize], Placement::Anywhere, 64 * MIB).unwrap();
    image.prepare(8 * GRAIN);
    assert_eq!(image.len(), 2 * GRAIN);
    assert!(matches!(image.check(2 * GRAIN, 8), Err(Error::Corrupt { .. })));
    image.extend(4 * GRAIN).unwrap();
    assert_eq!(image.load_u64(4 * GRAIN - 8), 0);
    image.store_u64(4 * GRAIN - 8, 5);
    image.prepare(6 * GRAIN);
    image.prepare(64 * MIB);
    image.extend(64 * MIB).unwrap();
    assert_eq!((image.load_u64(0), image.load_u64(4 * GRAIN - 8)), (0x0101_0101_0101_0101, 5));
    assert!(image.read_words(4 * GRAIN, (60 * MIB) as usize / 8, |words| words.iter().all(|w| *w == 0)));
    image.prepare(65 * MIB);
    assert_eq!(image.len(), 64 * MIB);
}

/// Catches: a reservation that replaces a mapping, or is not given back.
#[test]
#[cfg_attr(miri, ignore = "Miri cannot map files")]
fn a_taken_range_is_an_error_and_a_free_one_is_reused() {
    let bytes = vec![1; GRAIN as usize];
    let first = file_image(&bytes, Placement::Anywhere, 4 * MIB).unwrap();
    let base = first.base();
    for at in [base, base - MIB, base + 3 * MIB] {
        let second = file_image(&bytes, Placement::At(at), 4 * MIB);
        assert!(matches!(second, Err(Error::AddressTaken { base, len }) if base == at && len == 4 * MIB));
    }
    assert_eq!(first.load_u64(0), 0x0101_0101_0101_0101);
    drop(first);
    assert_eq!(file_image(&bytes, Placement::At(base), 4 * MIB).unwrap().base(), base);
}

/// Catches: a crafted header whose base makes the kernel or the arithmetic misbehave.
#[test]
#[cfg_attr(miri, ignore = "Miri cannot map files")]
fn absurd_bases_are_errors() {
    let bytes = vec![1; GRAIN as usize];
    for base in [0, 1, 4096, GRAIN + 1, u64::MAX, u64::MAX - GRAIN + 1, 1 << 47, 1 << 63, 0x7fff_ffff_0000] {
        let error = file_image(&bytes, Placement::At(base), 4 * MIB).unwrap_err();
        assert!(!matches!(error, Error::PoolFull { .. }), "{base:#x}: {error}");
    }
}

/// Catches: comparing a struct's padding as if it were uninitialised.
#[test]
#[cfg_attr(miri, ignore = "padding is uninitialised to Miri")]
fn padding_reads_as_some_fixed_value() {
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Padded {
        small: u8,
        large: u64,
    }
    let image = arena_image(&Arena::new(4 * GRAIN).unwrap(), GRAIN).unwrap();
    let place = with_exposed_provenance_mut::<Padded>(image.base() as usize);
    // SAFETY: the image's first bytes, aligned and in range.
    unsafe { place.write(Padded { small: 3, large: 4 }) };
    let first = image.read_words(0, 2, <[u64]>::to_vec);
    assert_eq!(image.read_words(0, 2, <[u64]>::to_vec), first);
    assert_eq!((first[0] as u8, first[1]), (3, 4));
}
