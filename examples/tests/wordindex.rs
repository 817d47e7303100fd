//! `wordindex` as its users run it. Would catch an update that misses a change, postings that outlive their file, and a
//! killed run that leaves half a file, or less or more than the files whose transactions had ended.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use examples::persistent::WordIndex;
use examples::update::update;
use examples::volatile::VolatileIndex;
use examples::walk::walk;
use pobj::Pool;

/// (file, word) to count.
type Contents = BTreeMap<(String, String), u32>;

fn wordindex(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wordindex")).current_dir(dir).args(arguments).output().unwrap()
}

fn succeed(dir: &Path, arguments: &[&str]) -> String {
    let output = wordindex(dir, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What the pool in `dir` holds.
fn persistent(dir: &Path) -> Contents {
    let pool = Pool::<WordIndex>::open_read_only(dir.join("wordindex.pobj")).unwrap();
    let index = pool.read();
    let mut contents = Contents::new();
    for (word, number) in &index.words {
        for (file, count) in index.postings(*number) {
            let path = index.files.get(&file).unwrap().path.to_string();
            assert_eq!(contents.insert((path, word.to_string()), count), None);
        }
    }
    assert_eq!(contents.len() as u64, index.live_postings());
    contents
}

/// What the `std` index makes of the files in `dir`.
fn expected(dir: &Path) -> Contents {
    let mut index = VolatileIndex::default();
    update(&mut index, walk(dir, None).unwrap(), |_, _| ()).unwrap();
    let mut contents = Contents::new();
    for (word, postings) in &index.words {
        for (file, count) in postings {
            contents.insert((index.files[*file as usize].clone(), word.clone()), *count);
        }
    }
    contents
}

/// Ten text files and a binary one, in a directory below the one that is to hold the pool.
fn tree() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let texts = dir.path().join("texts");
    fs::create_dir(&texts).unwrap();
    for number in 0..10 {
        let text = format!("The file number{number} is one of ten. {}", "again ".repeat(number));
        fs::write(texts.join(format!("{number}.txt")), text).unwrap();
    }
    fs::write(texts.join("binary"), b"\0the").unwrap();
    (dir, texts)
}

#[test]
fn an_index_follows_its_directory() {
    let (dir, texts) = tree();
    let report = succeed(dir.path(), &["index", "texts"]);
    assert!(report.starts_with("read 11 files") && report.contains("1 binary"), "{report}");
    assert_eq!(persistent(dir.path()), expected(&texts));

    fs::write(texts.join("3.txt"), "all that was here is gone").unwrap();
    fs::write(texts.join("new.txt"), "the newest").unwrap();
    fs::remove_file(texts.join("4.txt")).unwrap();
    let report = succeed(dir.path(), &["index", "texts"]);
    assert!(report.starts_with("read 2 files"), "{report}");
    assert!(report.contains("9 unchanged, 1 removed"), "{report}");
    assert_eq!(persistent(dir.path()), expected(&texts));

    let report = succeed(dir.path(), &["index", "texts"]);
    assert!(report.starts_with("read 0 files"), "{report}");
}

#[test]
fn another_directory_is_added_and_not_mistaken_for_a_change() {
    let (dir, texts) = tree();
    succeed(dir.path(), &["index", "texts"]);
    let other = dir.path().join("texts2");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("a"), "elsewhere").unwrap();
    succeed(dir.path(), &["index", "texts2"]);
    let mut both = expected(&texts);
    both.extend(expected(&other));
    assert_eq!(persistent(dir.path()), both);
}

#[test]
fn searching_and_counting() {
    let (dir, _) = tree();
    succeed(dir.path(), &["index", "texts"]);
    let found = succeed(dir.path(), &["search", "AGAIN", "number2"]);
    assert!(found.ends_with("texts/2.txt\n") && found.lines().count() == 1, "{found}");
    let ranked = succeed(dir.path(), &["search", "again"]);
    assert!(ranked.lines().next().unwrap().ends_with("9.txt"), "{ranked}");
    assert_eq!(succeed(dir.path(), &["search", "again", "nowhere"]), "no file has all of these words\n");
    let top = succeed(dir.path(), &["top", "2"]);
    let words = top.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect::<Vec<_>>();
    assert_eq!((words[0][0], words[0][4]), ("45", "again"), "{top}");
    assert_eq!((words[1][0], words[1][4]), ("10", "file"), "{top}");
}

#[test]
fn a_killed_run_leaves_exactly_the_committed_files_and_the_next_one_continues() {
    let (dir, texts) = tree();
    // Files are taken in the order of their paths: 0.txt to 9.txt, then the binary one.
    for (killed_at, committed) in [("4", 3), ("1", 3), ("3", 5)] {
        let output = wordindex(dir.path(), &["--kill-after", killed_at, "index", "texts"]);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(9));
        let done = |path: &String| (0..committed).any(|number| path.ends_with(&format!("/{number}.txt")));
        let mut prefix = expected(&texts);
        prefix.retain(|(path, _), _| done(path));
        assert_eq!(persistent(dir.path()), prefix);
        let pool = Pool::<WordIndex>::open_read_only(dir.path().join("wordindex.pobj")).unwrap();
        assert_eq!(pool.read().files.len(), committed);
    }
    let report = succeed(dir.path(), &["index", "texts"]);
    assert!(report.starts_with("read 6 files"), "{report}");
    assert_eq!(persistent(dir.path()), expected(&texts));
}

#[test]
fn a_change_killed_half_way_leaves_the_old_version() {
    let (dir, texts) = tree();
    succeed(dir.path(), &["index", "texts"]);
    let before = persistent(dir.path());
    fs::write(texts.join("0.txt"), "a new version, longer than the old one was, of the first file").unwrap();
    wordindex(dir.path(), &["--kill-after", "1", "index", "texts"]);
    assert_eq!(persistent(dir.path()), before);
}

#[test]
fn dead_postings_and_unused_words_are_dropped_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let texts = dir.path().join("texts");
    fs::create_dir(&texts).unwrap();
    for round in 0..3 {
        for file in 0..4 {
            let words = (0..4000).map(|word| format!("r{round}f{file}w{word} ")).collect::<String>();
            // The length tells the rounds apart, should the clock not.
            fs::write(texts.join(format!("{file}")), words + &" ".repeat(round)).unwrap();
        }
        succeed(dir.path(), &["index", "texts"]);
        assert_eq!(persistent(dir.path()), expected(&texts));
    }
    let pool = Pool::<WordIndex>::open_read_only(dir.path().join("wordindex.pobj")).unwrap();
    assert_eq!(pool.read().words.len(), 16_000);
}

#[test]
fn failures_are_one_line_and_status_1() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("text"), "not a pool").unwrap();
    let cases: [(&[&str], &str); 4] = [
        (&["search", "word"], "there is no wordindex.pobj"),
        (&["index", "nowhere"], "cannot read nowhere"),
        (&["--pool", "text", "top", "1"], "text is not a pobj pool"),
        (&["--pool", "no/such/place", "index", "."], "no/such"),
    ];
    for (arguments, message) in cases {
        let output = wordindex(dir.path(), arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(
            error.starts_with("wordindex: ") && error.contains(message) && error.lines().count() == 1,
            "{error}"
        );
    }
    assert!(!dir.path().join("wordindex.pobj").exists());
}
