//! The small size of row R7: the planted bugs are found, and an open meets every fault. The rest is
//! `cargo run --release -p tests --bin faults`. Catches a campaign that finds nothing any more, and an open that panics or
//! waits for ever where the system starts no thread, as it once did.

#![cfg(target_os = "linux")]

use std::process::Command;

fn faults(wanted: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_faults")).arg(wanted).output().expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{text}");
}

#[test]
fn planted_bugs_are_found() {
    faults("planted");
}

#[test]
fn an_open_that_meets_any_fault_ends_with_an_error_or_a_pool() {
    faults("open, Immediate");
}
