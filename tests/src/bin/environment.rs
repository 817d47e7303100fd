//! Prints the environment table of row R12: what pobj says, or does, in each environment. Each case runs in a process and a
//! directory of its own. Fails if one of them does something else.
//!
//! `environment [NAME]` runs the cases whose name holds this.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use tests::environment::{Said, cases};
use tests::evidence::Evidence;
use tests::support::directory;

const CASE: &str = "POBJ_ENVIRONMENT_CASE";
const SAYS: &str = "says ";
const SKIPPED: &str = "skipped ";

fn main() -> ExitCode {
    if let Some(name) = std::env::var_os(CASE) {
        return play(&name.to_string_lossy());
    }
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let begun = Instant::now();
    let (mut tried, mut skipped, mut wrong) = (0, Vec::new(), 0);
    let mut write_back = None;
    for case in cases::ALL.iter().filter(|case| case.name.contains(&wanted)) {
        let at = directory();
        let output = Command::new(std::env::current_exe().expect("this program has a path"))
            .arg(at.path())
            .env(CASE, case.name)
            .stderr(Stdio::piped())
            .output()
            .expect("a child starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let said = |what: &str| text.lines().find_map(|line| line.strip_prefix(what));
        match (output.status.success(), said(SAYS), said(SKIPPED)) {
            (true, Some(says), _) => {
                tried += 1;
                println!("{} -> {says}", case.name);
                if case.name.starts_with("write-back") {
                    write_back = Some(says.to_owned());
                }
            }
            (true, None, Some(reason)) => {
                println!("{} -> skipped: {reason}", case.name);
                skipped.push(format!("{}: {reason}", case.name));
            }
            _ => {
                wrong += 1;
                let errors = String::from_utf8_lossy(&output.stderr);
                println!("{} -> WRONG: {:?} {text} {errors}", case.name, output.status);
            }
        }
    }
    if let Some(says) = write_back {
        Evidence::of("R7", "the disk fails at write-back").with("runs", 1).note(says).tell(begun.elapsed());
    }
    let note = if skipped.is_empty() { String::new() } else { format!("skipped: {}", skipped.join("; ")) };
    Evidence::of("R12", "each environment")
        .with("environments", tried)
        .with("skipped", skipped.len() as u64)
        .violations(wrong)
        .note(note)
        .tell(begun.elapsed());
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// In the child: one case.
fn play(name: &str) -> ExitCode {
    let Some(case) = cases::ALL.iter().find(|case| case.name == name) else { return ExitCode::FAILURE };
    let Some(directory) = std::env::args_os().nth(1) else { return ExitCode::FAILURE };
    match (case.run)(directory.as_ref()) {
        Said::This(says) => println!("{SAYS}{says}"),
        Said::Skipped(reason) => println!("{SKIPPED}{}", reason.replace('\n', " ")),
    }
    ExitCode::SUCCESS
}
