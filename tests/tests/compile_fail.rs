//! Everything that the compiler must refuse, one file each in `ui/`, with the message that a person reads.
//!
//! Catches: a hole in the brand or in the list of what may be stored, and a message that stops naming the field and the
//! replacement. Messages are the compiler's, so they are compared under the version that they were written with;
//! after an upgrade, read the difference that `TRYBUILD=overwrite cargo test -p tests --test compile_fail` makes
//! before keeping it, and raise the version here.

use std::process::Command;

/// The compiler whose messages the `.stderr` files hold.
const COMPILER: &str = "rustc 1.95.";

fn compiler() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
#[cfg_attr(miri, ignore = "runs the compiler")]
fn every_refusal_reads_like_advice() {
    let found = compiler();
    if !found.starts_with(COMPILER) {
        println!("skipped: the messages are those of {COMPILER}x, this is {found}");
        return;
    }
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}
