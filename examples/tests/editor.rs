//! The editor's buffer against a list of all its states, with transactions that roll back and with reopenings, and the
//! program as its users run it. Would catch an undo that leads elsewhere, and a history that disagrees with the text after
//! a rollback or a reopening.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use examples::editor::Buffer;
use pobj::{Durability, Error, Pool};

/// The states that undo and redo lead through, and which one is now.
struct Model {
    states: Vec<Vec<String>>,
    now: usize,
}

impl Model {
    fn lines(&self) -> &[String] {
        &self.states[self.now]
    }

    fn change(&mut self, lines: Vec<String>) {
        self.states.truncate(self.now + 1);
        self.states.push(lines);
        self.now += 1;
    }
}

fn compare(pool: &Pool<Buffer<'static>>, model: &Model) {
    let buffer = pool.read();
    assert!(buffer.lines().eq(model.lines()));
    assert_eq!(buffer.history(), (model.now, model.states.len() - 1 - model.now));
}

#[test]
fn undo_leads_through_all_states_whatever_happens() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("buffer.pobj");
    let options = Pool::<Buffer>::options().durability(Durability::Eventual);
    let mut pool = options.create(&path).unwrap();
    let mut model = Model { states: vec![Vec::new()], now: 0 };
    let mut state = 11_u64;
    let mut random = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % end
    };
    for step in 0..3000 {
        let (kind, at) = (random(8), random(model.lines().len() + 2));
        let (abort, text) = (random(6) == 0, format!("line of step {step}"));
        let outcome = pool.write(|buffer, tx| {
            let done = match kind {
                0..3 => buffer.insert(tx, at, &text),
                3 => buffer.replace(tx, at, &text),
                4 => buffer.remove(tx, at),
                5 | 6 => buffer.undo(tx),
                _ => buffer.redo(tx),
            };
            if abort { Err(Error::abort("on purpose")) } else { done }
        });
        if !abort {
            let mut lines = model.lines().to_vec();
            let len = lines.len();
            let possible = match kind {
                0..3 => at <= len,
                3 | 4 => at < len,
                5 | 6 => model.now > 0,
                _ => model.now + 1 < model.states.len(),
            };
            assert_eq!(outcome.unwrap(), possible, "step {step}");
            match kind {
                _ if !possible => {}
                0..3 => lines.insert(at, text),
                3 => lines[at] = text,
                4 => drop(lines.remove(at)),
                5 | 6 => model.now -= 1,
                _ => model.now += 1,
            }
            if possible && kind < 5 {
                model.change(lines);
            }
        }
        if random(100) == 0 {
            pool.close().unwrap();
            pool = options.open(&path).unwrap();
        }
        compare(&pool, &model);
    }
}

fn edit(pool: &Path, commands: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_editor"))
        .arg(pool)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_change_of_an_earlier_run_is_undone() {
    let directory = tempfile::tempdir().unwrap();
    let pool = directory.path().join("notes.pobj");
    assert_eq!(edit(&pool, "a one\na two\nr 1 eins\n"), "");
    assert_eq!(edit(&pool, "u\np\n"), "   1 one\n   2 two\n2 changes to undo, 1 to do again\n");
    assert_eq!(edit(&pool, "y\nd 2\np\n"), "   1 eins\n4 changes to undo, 0 to do again\n");
    let refused = edit(&pool, "d 7\nd x\nwhat\n");
    assert_eq!(refused.lines().count(), 3, "{refused}");
}
