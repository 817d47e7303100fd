//! The README's program: is what the README shows, and does what it says. Would catch a README that rots.

use std::process::Command;

#[test]
fn the_readme_shows_the_program_and_it_runs() {
    let program = include_str!("../src/bin/quickstart.rs");
    assert!(program.lines().count() <= 40, "{} lines", program.lines().count());
    let readme = include_str!("../../README.md");
    assert!(
        readme.contains(&format!("```rust,no_run\n{program}```\n")),
        "the README shows another quickstart"
    );

    let dir = tempfile::tempdir().unwrap();
    let run = || {
        let output = Command::new(env!("CARGO_BIN_EXE_quickstart")).current_dir(&dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run(), "this is run 1\n\"run\" was written 1 times\n");
    assert_eq!(run(), "this is run 1\nthis is run 2\n\"run\" was written 2 times\n");
}
