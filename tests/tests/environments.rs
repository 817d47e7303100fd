//! The environment table (row R12) as a test: `cargo run --release -p tests --bin environment` prints it. Catches another
//! error than the table's, a signal, or something that stays behind, in any environment.

#![cfg(target_os = "linux")]

use std::process::Command;

#[test]
fn every_environment_has_a_named_error_or_a_promise() {
    let output = Command::new(env!("CARGO_BIN_EXE_environment")).output().expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{text}");
}
