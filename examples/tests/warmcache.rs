//! `warmcache` in a small size. Would catch an entry that is missing or wrong after a restart, with or without validation.

use std::process::Command;

#[test]
fn the_cache_is_warm_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let warmcache = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warmcache"));
        let output = command.args(arguments).current_dir(&directory).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (done, said) = warmcache(&["demo", "--size", "4"]);
    assert!(done, "{said}");
    assert!(said.starts_with("filled 4096 entries of 1024 bytes, 4 MiB"), "{said}");
    assert_eq!(said.matches("first hit after").count(), 2, "{said}");
    assert!(warmcache(&["get", "4095"]).0);
    assert!(!warmcache(&["get", "4096"]).0, "that one was never put in");
}
