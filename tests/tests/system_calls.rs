//! What a pool in a file asks of the kernel, seen by `strace`: below the seam the simulator sees nothing. Catches a durable
//! write without its flag, a sync that is none, a name or a length that is not made durable.
//!
//! The rules are those of the trait: a commit is acknowledged after a durable write of the ring; the ring's state moves
//! when home is synced; a new pool's bytes are synced before it gets its name, and its name before it is there; a
//! longer file is durable before a record depends on it (J9).

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, ErrorKind};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};

use tests::support::zoo::{RING_STATES, RING_WORD, SUPERBLOCK};

/// Commits that are watched.
const COMMITS: usize = 400;
const CALLS: &str = "trace=write,pwrite64,pwritev2,fdatasync,fsync,fallocate,renameat2,linkat,openat";

/// The calls that a child makes until it has acknowledged so many commits, and where the ring lies. `None` without `strace`.
fn watch(mode: &str, more: &[&str]) -> Option<(Vec<String>, Range<u64>)> {
    let directory = tempfile::tempdir().unwrap();
    let (path, trace) = (directory.path().join("watched.pobj"), directory.path().join("calls"));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "8", "-e", CALLS, "-o"]).arg(&trace).args(more);
    strace.arg(env!("CARGO_BIN_EXE_watched_child")).arg(&path).args(["11", mode]);
    let mut child = match strace.stdout(Stdio::piped()).stderr(Stdio::null()).spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        other => other.unwrap(),
    };
    let output = BufReader::new(child.stdout.take().unwrap());
    // Then nobody reads any more, and the child ends.
    let lines = output.lines().take(COMMITS).filter_map(Result::ok).count();
    child.wait().unwrap();
    assert_eq!(lines, COMMITS, "the child ended early");
    let text = std::fs::read_to_string(&trace).unwrap();
    Some((text.lines().map(str::to_owned).collect(), ring(&path)))
}

fn ring(pool: &Path) -> Range<u64> {
    let bytes = std::fs::read(pool).unwrap();
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    word(RING_WORD)..word(RING_WORD) + word(RING_WORD + 8)
}

/// What has been asked so far, and what was wrong.
#[derive(Default)]
struct Oracle {
    ring: Range<u64>,
    /// Writes of home that no sync has covered.
    unsynced: HashSet<u64>,
    /// A plain write whose thread has not yet synced it.
    plain: HashMap<String, u64>,
    /// What the file has become longer by, by the thread that did it.
    longer: HashMap<String, Range<u64>>,
    written_since_sync: bool,
    /// The pool has its name, and that is not yet durable.
    renamed: bool,
    /// The pool has its name.
    named: bool,
    durable_since_acknowledgement: u64,
    /// Calls that have begun, by thread.
    unfinished: HashMap<String, String>,
    wrong: Vec<String>,
    /// How often each kind was seen.
    seen: HashMap<&'static str, u64>,
}

fn numbers(arguments: &str) -> Vec<u64> {
    let outside = arguments.rsplit("], ").next().unwrap_or(arguments);
    outside.split(", ").filter_map(|part| part.trim_end_matches(')').parse().ok()).collect()
}

impl Oracle {
    fn complain(&mut self, what: &str, line: &str) {
        self.wrong.push(format!("{what}: {line}"));
    }

    fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn durable(&mut self, thread: &str, offset: u64, len: u64, line: &str) {
        self.count("durable");
        if RING_STATES.contains(&(offset as usize)) {
            self.count("state");
            if self.named && !self.unsynced.is_empty() {
                self.complain("the ring's state moves before home is synced", line);
            }
        } else if self.ring.contains(&offset) {
            self.durable_since_acknowledgement += 1;
            // What has no name yet is synced as a whole before it gets one.
            if self.longer.remove(thread).is_some() && self.named {
                self.complain("a record depends on a length that is not durable", line);
            }
        } else if self.longer.get(thread).is_some_and(|new| new.end == offset + len) {
            self.count("length");
            self.longer.remove(thread);
        }
    }

    fn synced(&mut self, thread: &str) {
        if let Some(offset) = self.plain.remove(thread) {
            // A write and its sync, where there is no flag for that.
            self.durable(thread, offset, 8, "a write and its sync");
        }
        self.unsynced.clear();
        self.longer.remove(thread);
        self.written_since_sync = false;
    }

    fn step(&mut self, line: &str) {
        let Some((thread, call)) = line.split_once(' ') else { return };
        let mut call = call.trim_start().to_owned();
        if let Some((begun, _)) = call.split_once(" <unfinished ...>") {
            self.unfinished.insert(thread.to_owned(), begun.to_owned());
            return;
        }
        if call.starts_with("<... ")
            && let (Some(begun), Some((_, end))) =
                (self.unfinished.remove(thread), call.split_once(" resumed>"))
        {
            call = begun + end;
        }
        let Some((name, rest)) = call.split_once('(') else { return };
        if rest.contains(" = -1 ") {
            return;
        }
        let arguments = rest.rsplit_once(" = ").map_or(rest, |(arguments, _)| arguments.trim_end());
        let of_pool = arguments.contains("watched") && !arguments.contains("calls");
        match name {
            "write" if arguments.starts_with("1<") => self.acknowledged(arguments, line),
            "pwrite64" if of_pool => {
                let numbers = numbers(arguments);
                let [.., _, offset] = numbers.as_slice() else { return };
                self.written_since_sync = true;
                self.plain.insert(thread.to_owned(), *offset);
                // A large transaction's body, put behind the pool, is not home.
                let is_body = self.longer.get(thread).is_some_and(|new| new.contains(offset));
                if *offset >= SUPERBLOCK as u64 && !self.ring.contains(offset) && !is_body {
                    self.unsynced.insert(*offset);
                }
            }
            "pwritev2" if of_pool => {
                let numbers = numbers(arguments);
                let Some(offset) = numbers.last() else { return };
                let len = arguments.split("iov_len=").nth(1).and_then(|rest| rest.split('}').next());
                let len = len.and_then(|len| len.parse().ok()).unwrap_or(0);
                self.written_since_sync = true;
                if arguments.contains("RWF_DSYNC") {
                    self.durable(thread, *offset, len, line);
                }
            }
            "fdatasync" | "fsync" if of_pool => self.synced(thread),
            "fsync" if self.renamed => self.renamed = false,
            "fallocate" if of_pool && arguments.contains(", 0, ") => {
                let numbers = numbers(arguments);
                let [.., offset, len] = numbers.as_slice() else { return };
                self.count("growth");
                self.longer.insert(thread.to_owned(), *offset..offset + len);
            }
            "renameat2" | "linkat" if of_pool => {
                self.count("rename");
                (self.renamed, self.named) = (true, true);
                if self.written_since_sync {
                    self.complain("a pool gets its name before it is synced", line);
                }
            }
            _ => {}
        }
    }

    fn acknowledged(&mut self, arguments: &str, line: &str) {
        self.count("acknowledgement");
        if self.renamed {
            self.complain("the pool is there before its name is durable", line);
        }
        let commit = !arguments.contains("\"open");
        if commit && self.durable_since_acknowledgement == 0 {
            self.complain("a commit is acknowledged without a durable write", line);
        }
        self.durable_since_acknowledgement = 0;
    }
}

fn judge(mode: &str, more: &[&str]) {
    let Some((calls, ring)) = watch(mode, more) else {
        println!("skipped: there is no strace here");
        return;
    };
    let mut oracle = Oracle { ring, ..Oracle::default() };
    calls.iter().for_each(|line| oracle.step(line));
    println!("{mode} {more:?}: {:?}", oracle.seen);
    let seen = |what: &str| oracle.seen.get(what).copied().unwrap_or(0);
    assert!(oracle.wrong.is_empty(), "{} of {} calls: {:#?}", oracle.wrong.len(), calls.len(), oracle.wrong);
    assert!(seen("acknowledgement") >= COMMITS as u64 && seen("state") > 4 && seen("rename") == 1);
    assert!(seen("growth") > 2 && seen("length") > 0);
}

#[test]
fn durable_writes_syncs_and_names_reach_the_kernel() {
    judge("Immediate", &[]);
}

/// Where the file system knows no durable write, a write and a sync stand for it.
#[test]
fn without_durable_writes_there_are_syncs() {
    judge("Immediate", &["-e", "inject=pwritev2:error=EOPNOTSUPP"]);
}
