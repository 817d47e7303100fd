//! `logtail` as its users run it: several processes over one log. Would catch lines that are lost or changed between
//! processes, a follower that misses what comes, and a log that cannot be read while somebody appends to it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn logtail(path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logtail"));
    command.arg(path).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn feed(mut child: Child, input: &[u8]) -> Output {
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn append(path: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let output = feed(logtail(path, &[&["--append"], arguments].concat()).spawn().unwrap(), input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn print(path: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = logtail(path, arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn lines_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lines.log");
    append(&path, &[], b"one\n\nthr\0ee\n");
    append(&path, &[], b"\xFF\xFE without an end");
    assert_eq!(print(&path, &[]), b"one\n\nthr\0ee\n\xFF\xFE without an end\n");
    assert_eq!(print(&path, &["-n", "2"]), b"thr\0ee\n\xFF\xFE without an end\n");
    assert_eq!(print(&path, &["-n", "0"]), b"");
}

#[test]
fn a_follower_prints_what_comes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("follow.log");
    append(&path, &[], b"before\n");
    let mut follower = logtail(&path, &["--follow", "--idle", "3000"]).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "before");
    let mut appender = logtail(&path, &["--append"]).spawn().unwrap();
    let mut input = appender.stdin.take().unwrap();
    for number in 0..20 {
        writeln!(input, "line {number}").unwrap();
        input.flush().unwrap();
        // The appender still has the log open.
        assert_eq!(lines.next().unwrap().unwrap(), format!("line {number}"));
    }
    drop(input);
    assert!(appender.wait().unwrap().success());
    assert!(follower.wait().unwrap().success());
}

#[test]
fn a_full_log_says_so_or_starts_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("full.log");
    let many: Vec<u8> = (0..400).flat_map(|number| format!("line {number:04}\n").into_bytes()).collect();
    let mut full = logtail(&path, &["--append", "--capacity", "4096"]).spawn().unwrap();
    // It ends before it has read everything.
    let _ = full.stdin.take().unwrap().write_all(&many);
    let output = full.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("LogFull"));
    append(&path, &["--rewind"], &many);
    let text = String::from_utf8(print(&path, &["-n", "1000"])).unwrap();
    assert!(text.ends_with("line 0399\n") && text.lines().count() < 200, "{text}");
    let missing = logtail(&directory.path().join("none"), &[]).output().unwrap();
    assert!(!missing.status.success());
}
