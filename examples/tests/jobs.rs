//! `jobs` as its users run it, and killed in the middle. Would catch a job that is lost, done twice, or said to be done
//! and forgotten, and one that a killed worker keeps for ever.

use std::path::Path;
use std::process::Command;

fn jobs(directory: &Path, domain: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jobs"));
    let output = command.args(arguments).current_dir(directory).env("POBJ_DOMAIN", domain).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn submitted_jobs_wait_and_are_done_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = |arguments: &[&str]| jobs(directory.path(), "page", arguments);
    assert_eq!(jobs(&["submit", "10", "100"]), "2 jobs submitted\n");
    assert_eq!(jobs(&["list"]), "0 waiting: 10\n1 waiting: 100\n");
    assert_eq!(jobs(&["work", "--workers", "1"]), "0: 4 primes below 10\n1: 25 primes below 100\n");
    jobs(&["submit", "3"]);
    assert_eq!(jobs(&["list"]), "0 done: 4 primes below 10\n1 done: 25 primes below 100\n2 waiting: 3\n");
    assert_eq!(jobs(&["work"]), "2: 1 primes below 3\n");
    assert_eq!(jobs(&["work"]), "");
}

#[test]
fn kills_lose_no_job_and_repeat_none() {
    for domain in ["page", "line"] {
        let directory = tempfile::tempdir().unwrap();
        let output = jobs(directory.path(), domain, &["kill-test", "15"]);
        let last = output.lines().last().unwrap();
        assert!(last.starts_with("15 kills, ") && last.ends_with(" 90 jobs done once each"), "{last}");
    }
}
