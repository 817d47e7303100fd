//! The adventure, ended after each command and killed in the middle. Would catch a turn that is lost, half made, or made
//! twice.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const WAY: [&str; 12] =
    ["take lamp", "n", "e", "take rope", "w", "w", "south", "look", "take crown", "n", "e", "s"];

fn start(pool: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adventure"));
    command.arg(pool).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn play(pool: &Path, commands: &[&str]) -> String {
    let mut child = start(pool);
    writeln!(child.stdin.take().unwrap(), "{}", commands.join("\n")).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn the_way_leads_to_the_end_in_one_go() {
    let directory = tempfile::tempdir().unwrap();
    let said = play(&directory.path().join("world"), &WAY);
    assert!(said.contains("12 turns. The end."), "{said}");
}

#[test]
fn the_way_leads_to_the_end_with_a_kill_after_each_command() {
    let directory = tempfile::tempdir().unwrap();
    let pool = directory.path().join("world");
    let mut said = String::new();
    for (turns, command) in WAY.iter().enumerate() {
        let mut child = start(&pool);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut said).unwrap();
        assert!(turns == 0 || said.contains(&format!("for {turns} turns")), "{said}");
        said.clear();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{command}").unwrap();
        // The prompt before the command, its answer, and no more than that.
        while !said.contains("> ") {
            output.read_line(&mut said).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(said.contains("12 turns. The end."), "{said}");
}

#[test]
fn the_cave_wants_a_rope_and_light() {
    let directory = tempfile::tempdir().unwrap();
    let said = play(
        &directory.path().join("world"),
        &["n", "w", "s", "e", "e", "take rope", "w", "w", "s", "take crown"],
    );
    assert!(said.contains("Without a rope") && said.contains("something that has teeth"), "{said}");
}
