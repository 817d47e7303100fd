//! Creation, locks, kinds of files, ways of writing, growth and holes, on real files.

use super::*;
use rustix::fs::{CWD, FileType, Mode};
use std::os::unix::fs::MetadataExt;

const MIB: u64 = 1024 * 1024;

/// A directory of its own for each test, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("pobj-file-{}-{:x}", std::process::id(), getrandom::u64().unwrap());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn published(&self, name: &str, len: u64) -> FileMedia {
        let media = FileMedia::create(self.path(name)).unwrap();
        media.grow(len).unwrap();
        media.publish().unwrap();
        media
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_new_file_is_seen_only_when_published() {
    let scratch = Scratch::new();
    let media = FileMedia::create(scratch.path("a.pobj")).unwrap();
    assert!(media.is_empty().unwrap());
    let names = scratch.names();
    assert!(names.len() == 1 && names[0].starts_with(".a.pobj.pobj-tmp-"), "{names:?}");
    media.grow(MIB).unwrap();
    media.publish().unwrap();
    media.publish().unwrap();
    assert_eq!(scratch.names(), ["a.pobj"]);
    assert!(matches!(FileMedia::open(scratch.path("a.pobj")), Err(Error::Locked { .. })));
    drop(media);
    assert_eq!(scratch.names(), ["a.pobj"]);
    assert_eq!(Media::len(&FileMedia::open(scratch.path("a.pobj")).unwrap()).unwrap(), MIB);
}

#[test]
fn an_unpublished_file_is_removed_when_dropped() {
    let scratch = Scratch::new();
    drop(FileMedia::create(scratch.path("a")).unwrap());
    assert!(scratch.names().is_empty());
}

/// Catches: a creation that replaces a file, early or by the rename.
#[test]
fn creation_never_replaces_a_file() {
    let scratch = Scratch::new();
    let path = scratch.path("a");
    let media = FileMedia::create(&path).unwrap();
    std::fs::write(&path, b"mine").unwrap();
    assert!(matches!(FileMedia::create(&path), Err(Error::AlreadyExists { .. })));
    assert!(matches!(media.publish(), Err(Error::AlreadyExists { path: p }) if p == path));
    drop(media);
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    assert_eq!(scratch.names(), ["a"]);
    std::os::unix::fs::symlink(scratch.path("nowhere"), scratch.path("link")).unwrap();
    assert!(matches!(FileMedia::create(scratch.path("link")), Err(Error::AlreadyExists { .. })));
}

#[test]
fn a_rename_by_linking_does_not_replace_either() {
    let scratch = Scratch::new();
    let (file, unpublished) = naming::create(&scratch.path("a")).unwrap();
    std::fs::write(scratch.path("a"), b"mine").unwrap();
    assert_eq!(unpublished.link(), Err(Errno::EXIST));
    std::fs::remove_file(scratch.path("a")).unwrap();
    unpublished.link().unwrap();
    assert_eq!(scratch.names(), ["a"]);
    drop((file, unpublished));
    assert_eq!(scratch.names(), ["a"]);
}

#[test]
fn odd_paths_are_errors_and_long_names_are_not() {
    let scratch = Scratch::new();
    let media = FileMedia::create(scratch.path(&"n".repeat(255))).unwrap();
    assert_eq!(scratch.names().len(), 1);
    media.publish().unwrap();
    let missing = scratch.path("no-such-directory").join("a");
    assert!(matches!(FileMedia::create(missing), Err(Error::Io { path: Some(_), .. })));
    for path in ["/", "..", ""] {
        assert!(FileMedia::create(path).is_err(), "{path:?}");
    }
}

#[test]
fn locks_exclude_writers_and_let_readers_share() {
    let scratch = Scratch::new();
    let path = scratch.path("a");
    let writer = scratch.published("a", MIB);
    for other in [FileMedia::open(&path), FileMedia::open_read_only(&path)] {
        assert!(matches!(other, Err(Error::Locked { path: p }) if p == path));
    }
    drop(writer);
    let first = FileMedia::open_read_only(&path).unwrap();
    let _second = FileMedia::open_read_only(&path).unwrap();
    assert!(matches!(FileMedia::open(&path), Err(Error::Locked { .. })));
    for refused in [first.write(0, &[1]), first.sync(), first.grow(2 * MIB), first.punch(0, 4096)] {
        assert!(refused.unwrap_err().to_string().contains("read-only"));
    }
    assert!(first.write_durable(0, &[1]).is_err() && first.write_ordered(0, &[1]).is_err());
    assert!(first.truncate(0).is_err() && first.allocate(0, 4096).is_err());
}

/// Catches: waiting for a FIFO's peer, touching a device, a panic on a directory.
#[test]
fn only_regular_files_are_opened() {
    let scratch = Scratch::new();
    let fifo = scratch.path("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    for (path, expected) in
        [(fifo.as_path(), "FIFO"), (scratch.0.as_path(), "directory"), (Path::new("/dev/null"), "device")]
    {
        for result in [FileMedia::open(path), FileMedia::open_read_only(path)] {
            let error = result.unwrap_err();
            assert!(matches!(&error, Error::NotAPool { found, .. } if found.contains(expected)), "{error}");
        }
    }
    assert!(matches!(FileMedia::open(scratch.path("none")), Err(Error::NotFound { .. })));
    assert!(FileMedia::open(scratch.path("fifo").join("below")).is_err());
}

#[test]
fn links_are_followed() {
    let scratch = Scratch::new();
    drop(scratch.published("a", MIB));
    std::os::unix::fs::symlink("a", scratch.path("link")).unwrap();
    let media = FileMedia::open(scratch.path("link")).unwrap();
    assert!(matches!(FileMedia::open(scratch.path("a")), Err(Error::Locked { .. })));
    assert_eq!(media.path(), scratch.path("link"));
}

/// Catches: owning a file that the path no longer names.
#[test]
fn a_replaced_file_is_another_pool() {
    let scratch = Scratch::new();
    let first = scratch.published("a", MIB);
    std::fs::remove_file(scratch.path("a")).unwrap();
    let second = scratch.published("a", 2 * MIB);
    assert_eq!((Media::len(&first).unwrap(), Media::len(&second).unwrap()), (MIB, 2 * MIB));
}

#[test]
fn every_way_of_writing_is_read_back() {
    let scratch = Scratch::new();
    let media = scratch.published("a", MIB);
    media.prepare_ring(65536, 65536).unwrap();
    media.prepare_ring(65536, 65536).unwrap();
    assert!(media.prepare_ring(0, 65536).is_err());
    media.write(10, b"plain").unwrap();
    media.write_durable(4096, b"durable").unwrap();
    media.write_ordered(65536 + 7, b"ordered").unwrap();
    assert!(matches!(media.ring.get().unwrap().mapping.get(), Some(Some(_))), "the ring was mapped");
    media.write_ordered(8192, b"outside the ring").unwrap();
    media.write_ordered(2 * 65536 - 3, b"across its end").unwrap();
    media.no_dsync.store(true, Ordering::Relaxed);
    media.write_durable(12288, b"by two calls").unwrap();
    media.sync().unwrap();
    for (offset, expected) in [
        (10, &b"plain"[..]),
        (4096, b"durable"),
        (65536 + 7, b"ordered"),
        (8192, b"outside the ring"),
        (2 * 65536 - 3, b"across its end"),
        (12288, b"by two calls"),
    ] {
        let mut found = vec![0; expected.len()];
        media.read(offset, &mut found).unwrap();
        assert_eq!(found, expected);
    }
    assert!(media.read(MIB - 2, &mut [0; 3]).is_err());
}

/// A sync takes the ring's pages out of the page tables; nobody may notice.
#[test]
fn what_is_stored_while_others_sync_is_there() {
    const LEN: u64 = 256 * 1024;
    let scratch = Scratch::new();
    let media = scratch.published("a.pobj", MIB);
    media.prepare_ring(0, LEN).unwrap();
    for round in 1..=20u64 {
        std::thread::scope(|scope| {
            scope.spawn(|| (0..20).for_each(|_| media.sync().unwrap()));
            (0..LEN)
                .step_by(8)
                .for_each(|at| media.write_ordered(at, &((round << 32) | at).to_le_bytes()).unwrap());
        });
        let bytes = std::fs::read(scratch.path("a.pobj")).unwrap();
        for (number, word) in bytes[..LEN as usize].as_chunks::<8>().0.iter().enumerate() {
            assert_eq!(u64::from_le_bytes(*word), (round << 32) | (number as u64 * 8));
        }
    }
}

#[test]
fn growth_allocates_zeros_and_punching_gives_space_back() {
    let scratch = Scratch::new();
    let media = scratch.published("a", MIB);
    let blocks = || std::fs::metadata(scratch.path("a")).unwrap().blocks() * 512;
    assert!(blocks() >= MIB);
    media.write(0, &[7; 3 * 4096]).unwrap();
    media.grow(4 * MIB).unwrap();
    media.grow(MIB).unwrap();
    assert_eq!(Media::len(&media).unwrap(), 4 * MIB);
    assert!(blocks() >= 4 * MIB);
    media.punch(4096, 4096).unwrap();
    media.punch(MIB, 2 * MIB).unwrap();
    let mut found = vec![1; 3 * 4096];
    media.read(0, &mut found).unwrap();
    assert!(found.iter().enumerate().all(|(i, b)| *b == if i / 4096 == 1 { 0 } else { 7 }));
    assert!(blocks() < 3 * MIB, "no space was given back");
    media.allocate(MIB, 2 * MIB).unwrap();
    assert!(blocks() >= 4 * MIB - 4096);
    media.truncate(2 * MIB).unwrap();
    media.truncate(3 * MIB).unwrap();
    assert_eq!(Media::len(&media).unwrap(), 2 * MIB);
    media.punch(0, 0).unwrap();
}

#[test]
fn growth_without_fallocate_writes_zeros() {
    let scratch = Scratch::new();
    let media = scratch.published("a", 4096);
    media.grow_by_writing(4096, 3 * MIB + 512).unwrap();
    assert_eq!(Media::len(&media).unwrap(), 3 * MIB + 512);
}

/// Catches: a partly grown file left behind when space runs out.
#[test]
fn failed_growth_leaves_the_length() {
    let scratch = Scratch::new();
    let media = scratch.published("a", MIB);
    let error = media.grow(1 << 60).unwrap_err();
    assert!(matches!(&error, Error::Io { path: Some(_), doing: "grow the pool file", .. }), "{error}");
    assert_eq!(Media::len(&media).unwrap(), MIB);
}

#[test]
fn an_image_is_private_and_never_longer_than_the_file() {
    let scratch = Scratch::new();
    let media = scratch.published("a", MIB);
    media.write(0, b"home").unwrap();
    let image = media.image(Placement::Anywhere, MIB, 8 * MIB, ImageMode::Private).unwrap();
    assert_eq!(image.load_u64(0), u64::from(u32::from_le_bytes(*b"home")));
    image.store(0, b"image");
    let mut found = [0; 5];
    media.read(0, &mut found).unwrap();
    assert_eq!(&found, b"home\0");
    assert!(matches!(
        media.image(Placement::Anywhere, 2 * MIB, 8 * MIB, ImageMode::Private),
        Err(Error::Corrupt { .. })
    ));
}

/// Catches: losing the rest of a short write, giving up at a signal, looping on a write of nothing.
#[test]
fn short_and_interrupted_writes_go_on() {
    let mut target = [0u8; 100];
    let bytes: Vec<u8> = (1..=50).collect();
    let mut calls = 0;
    let result = write_all(&bytes, 20, |part, at| {
        calls += 1;
        if calls % 3 == 0 {
            return Err(Errno::INTR);
        }
        let count = part.len().min(7);
        target[at as usize..at as usize + count].copy_from_slice(&part[..count]);
        Ok(count)
    });
    assert_eq!(result, Ok(()));
    assert_eq!(&target[20..70], &bytes);
    assert_eq!(write_all(&bytes, 0, |_, _| Ok(0)), Err(Errno::NOSPC));
    assert_eq!(write_all(&bytes, 0, |_, _| Err(Errno::IO)), Err(Errno::IO));
    assert_eq!(write_all(&[], 0, |_, _| Err(Errno::IO)), Ok(()));
}

/// Catches: a descriptor that a child program inherits, with its lock.
#[test]
fn descriptors_close_on_exec() {
    let scratch = Scratch::new();
    let media = scratch.published("a", MIB);
    let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
    drop(media);
    let reopened = FileMedia::open(scratch.path("a"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(reopened.is_ok(), "{reopened:?}");
}

/// Catches: a lock that outlives its pool because some other thread is starting a program.
#[test]
fn a_copy_of_the_descriptor_does_not_keep_the_lock() {
    let scratch = Scratch::new();
    let media = scratch.published("a", MIB);
    let _copy = media.file.try_clone().unwrap();
    drop(media);
    FileMedia::open(scratch.path("a")).unwrap();
}

#[test]
fn a_file_without_permission_is_an_error_with_its_path() {
    let scratch = Scratch::new();
    drop(scratch.published("a", MIB));
    if rustix::process::geteuid().is_root() {
        return; // Root ignores modes.
    }
    std::fs::set_permissions(scratch.path("a"), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    assert!(matches!(FileMedia::open(scratch.path("a")), Err(Error::Io { path: Some(_), .. })));
}
