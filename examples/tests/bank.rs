//! `bank` as its users run it, and killed in the middle. Would catch money that is lost or made where transfers run at
//! once, and a transfer that was acknowledged and is gone.

use std::process::Command;

fn bank(domain: &str, arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bank"))
        .arg(directory.path().join("bank.pobj"))
        .args(arguments)
        .env("POBJ_DOMAIN", domain)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn transfers_keep_the_sum() {
    assert!(bank("page", &["--time", "200"]).contains("the sum is right"));
}

#[test]
fn kills_lose_nothing() {
    assert!(bank("page", &["--kill-test", "10"]).starts_with("10 kills"));
}

/// As on persistent memory, where records are filled in at the same time.
#[test]
fn kills_between_fenced_commits_lose_nothing() {
    assert!(bank("line", &["--kill-test", "10"]).starts_with("10 kills"));
}
