//! `kvshell` as its users run it: from a pipe, from the command line, at a terminal, killed in the middle; and its answers
//! against a map of `std`. Would catch keys that change on their way in or out, a batch of which a part is made, answers
//! within a batch that `commit` makes untrue, an error that does not end a script or has no status, and a file that is made
//! for a mistake.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use examples::kvshell::records::{self, Choice, Kind};
use examples::kvshell::session::{Outcome, Session};
use examples::kvshell::words::{printed, quoted};
use pobj::{Durability, PVec, Pool};
use proptest::prelude::*;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

const ENGINES: [&str; 2] = ["hash", "ordered"];

/// A directory with stores, and the user's state.
struct Place(TempDir);

/// What a run has said, and its status.
#[derive(Debug, PartialEq)]
struct Said {
    out: String,
    err: String,
    status: i32,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvshell"));
        command.args(arguments).current_dir(self.0.path()).env("XDG_STATE_HOME", self.path("state"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Said {
        let mut child = self.command(arguments).spawn().unwrap();
        // A shell that ends early does not read it all.
        let _ = child.stdin.take().unwrap().write_all(input.as_ref());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { out: text(output.stdout), err: text(output.stderr), status: output.status.code().unwrap() }
    }

    /// As [`run`](Self::run), where all goes well.
    fn says(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> String {
        let said = self.run(arguments, input);
        assert_eq!((said.status, said.err.as_str()), (0, ""), "{arguments:?}");
        said.out
    }

    /// The error of a run, whose status is 2.
    fn fails(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> String {
        let said = self.run(arguments, input);
        assert_eq!(said.status, 2, "{arguments:?}: {said:?}");
        assert!(said.err.starts_with("kvshell: "), "{said:?}");
        said.err
    }
}

#[test]
fn commands_from_a_pipe_are_there_for_the_next_run() {
    for engine in ENGINES {
        let place = Place::new();
        let lines = "\n# ages\nput bob 41\nput 'ann lee' 7\nput bob 42\nput tim 1\ndel tim\nget bob\nexists tim\nexists bob\n";
        let out = place.says(&["--engine", engine, "ages"], lines);
        assert_eq!(out, "42\nno\nyes\n", "{engine}");
        assert_eq!(place.says(&["ages", "get", "ann lee"], ""), "7\n");
        assert_eq!(place.says(&["ages", "count"], ""), "2\n");
        assert_eq!(
            place.says(&["ages"], "count b\ncount a b\nprefix an\nquit\nget nobody"),
            "1\n1\n\"ann lee\" 7\n"
        );
        let mut lines: Vec<_> = place.says(&["ages", "scan"], "").lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, ["\"ann lee\" 7", "bob 42"]);
        let stats = place.says(&["ages", "stats"], "");
        assert!(
            stats.contains(engine) && stats.lines().nth(1) == Some("records                 2"),
            "{stats}"
        );
        place.says(&["--durability", "eventual", "ages"], "put eve 3\nsync\nput sam 4");
        assert_eq!(place.says(&["ages", "count"], ""), "4\n");
        assert!(place.says(&["ages", "help"], "").contains("put     KEY VALUE"));
    }
}

/// What one store prints is typed into another.
#[test]
fn any_bytes_go_in_and_come_out() {
    let place = Place::new();
    let every: Vec<u8> = (0..=255).collect();
    let keys: Vec<Vec<u8>> =
        (0..=255).map(|byte| vec![byte]).chain([vec![], every.clone(), b"\\x00 \" '".to_vec()]).collect();
    let lines: String = keys.iter().map(|key| format!("put {} {}\n", printed(key), quoted(&every))).collect();
    place.says(&["first"], lines);
    let printed_there = place.says(&["first", "scan"], "");
    assert!(printed_there.is_ascii() && printed_there.lines().count() == keys.len());
    let lines: String = printed_there.lines().map(|line| format!("put {line}\n")).collect();
    place.says(&["second"], lines);
    let sorted = |text: String| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(place.says(&["second", "scan"], "")), sorted(printed_there));

    let store =
        records::open(&place.path("second"), Choice { kind: None, durability: Durability::Immediate })
            .unwrap();
    assert_eq!(store.get(&every).unwrap().as_deref(), Some(every.as_slice()));
    store.close().unwrap();

    // Bytes that are no text, as they are and escaped; a quote on the command line is a quote.
    place.says(&["third"], b"put \xff\xc3 \x01\n");
    assert_eq!(place.says(&["third", "get", r"\xff\xc3"], ""), "\"\\x01\"\n");
    place.says(&["third", "put", "'", "a b"], "");
    assert_eq!(place.says(&["third"], r#"get \'"#), "\"a b\"\n");
}

#[test]
fn a_batch_is_made_whole_or_not_at_all() {
    for engine in ENGINES {
        let place = Place::new();
        place.says(&["--engine", engine, "s"], "put a 1\nput b 2\nput c 3");
        let within = "begin\nput a 10\ndel b\nput d 4\nget a\nexists b\ncount\ncount b\nprefix d\nprefix a\n";
        let seen = "10\nno\n3\n2\nd 4\na 10\n";
        assert_eq!(place.says(&["s"], format!("{within}abort\nget a\ncount")), format!("{seen}1\n3\n"));
        assert_eq!(place.says(&["s"], format!("{within}commit\nget a\ncount")), format!("{seen}10\n3\n"));
        assert_eq!(place.says(&["s"], "get a\nexists b\nget d"), "10\nno\n4\n");

        // One that is open at the end, or in which there is an error.
        assert!(place.fails(&["s"], "begin\nput e 5\ndel a").contains("changes given up: 2"));
        assert!(place.fails(&["s"], "begin\nput e 5\nquit").contains("not committed"));
        assert!(place.fails(&["s"], "begin\nput e 5\nfrob\ncommit").contains("line 3"));
        assert!(place.fails(&["s"], "begin\nput e 5\nbegin").contains("open already"));
        assert!(place.fails(&["s"], "commit").contains("no batch is open"));
        assert!(place.fails(&["s"], "abort").contains("no batch is open"));
        assert!(place.fails(&["s", "begin"], "").contains("not committed"));
        assert_eq!(place.says(&["s"], "exists e\ncount"), "no\n3\n");
    }
}

/// A shell that runs, fed line by line.
struct Running {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut child = place.command(arguments).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    /// Sends lines, and gives the answer of the last.
    fn ask(&mut self, lines: &str) -> String {
        self.child.stdin.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_kill_within_a_batch_leaves_nothing_of_it() {
    for engine in ENGINES {
        let place = Place::new();
        let mut shell = Running::start(&place, &["--engine", engine, "s"]);
        let lines: String = (0..100).map(|number| format!("put k{number} {number}\n")).collect();
        assert_eq!(shell.ask(&format!("put k0 before\nput old 1\nbegin\n{lines}del old\ncount\n")), "100\n");
        shell.kill();
        assert_eq!(place.says(&["s"], "count\nget k0\nget old"), "2\nbefore\n1\n");

        let mut shell = Running::start(&place, &["s"]);
        assert_eq!(shell.ask(&format!("begin\n{lines}del old\ncommit\ncount\n")), "100\n");
        shell.kill();
        assert_eq!(place.says(&["s"], "count\nget k0\nexists old"), "100\n0\nno\n");
    }
}

#[test]
fn an_error_ends_a_script_and_says_where() {
    let place = Place::new();
    let cases = [
        ("frob", "no such command"),
        ("put a", "say: put KEY VALUE"),
        ("get", "say: get KEY"),
        ("sync now", "stands alone"),
        ("get 'a", "the ' at column 5 has no end"),
        ("get a\\q", "the \\ at column 6 means nothing"),
    ];
    for (line, expected) in cases {
        let said = place.run(&["s"], format!("put before 1\n\n{line}\nput after 1\n"));
        assert_eq!((said.status, said.out.as_str()), (2, ""), "{line}");
        assert!(said.err.starts_with("kvshell: line 3: ") && said.err.contains(expected), "{line}: {said:?}");
        assert_eq!(place.says(&["s"], "exists before\nexists after\ndel before"), "yes\nno\n", "{line}");
    }
}

#[test]
fn a_key_that_is_not_there_is_said_and_counts_in_the_end() {
    let place = Place::new();
    let said = place.run(&["s"], "get a\nput b 1\nget b\ndel b 'c d' b\ncount\n");
    let err = "there is no a\nthere is no \"c d\"\nthere is no b\n".to_owned();
    assert_eq!(said, Said { out: "1\n0\n".to_owned(), err, status: 1 });
    assert_eq!(place.run(&["s", "get", "a"], "").status, 1);
    assert_eq!(place.run(&["s"], "begin\ndel a\nabort").status, 1);
}

#[test]
fn files_that_cannot_be_opened_say_why_and_stay() {
    let place = Place::new();
    std::fs::write(place.path("text"), "put a b\n".repeat(5000)).unwrap();
    assert!(place.fails(&["text", "count"], "").contains("text is not a pobj pool"));
    assert_eq!(std::fs::read_to_string(place.path("text")).unwrap().len(), 40_000);
    assert!(place.fails(&["no/such/place", "count"], "").contains("no/such"));

    Pool::<PVec<u64>>::create(place.path("numbers")).unwrap().close().unwrap();
    for engine in ENGINES {
        let err = place.fails(&["--engine", engine, "numbers", "count"], "");
        assert!(err.contains("numbers is a pool, but not a key-value store"), "{err}");
    }

    let mut shell = Running::start(&place, &["s"]);
    assert_eq!(shell.ask("count\n"), "0\n");
    assert!(place.fails(&["s", "count"], "").contains("open elsewhere"));
    shell.kill();
}

#[test]
fn the_engine_is_that_of_the_store() {
    let place = Place::new();
    for (engine, other) in [("hash", "ordered"), ("ordered", "hash")] {
        place.says(&["--engine", engine, engine, "put", "a", "1"], "");
        assert_eq!(place.says(&["--engine", engine, engine, "get", "a"], ""), "1\n");
        assert_eq!(place.says(&[engine, "get", "a"], ""), "1\n");
        let err = place.fails(&["--engine", other, engine, "get", "a"], "");
        assert!(err.contains(&format!("{engine} is a store with the engine {engine};")), "{err}");
        assert_eq!(place.says(&[engine, "get", "a"], ""), "1\n");
    }
    place.says(&["new"], "put b 2\nput c 3\nput a 1");
    assert!(place.says(&["new", "stats"], "").starts_with("engine                  ordered\n"));
    assert_eq!(
        place.says(&["new"], "scan\nscan b\nscan a c\nscan c a\ncount a c"),
        "a 1\nb 2\nc 3\nb 2\nc 3\na 1\nb 2\n2\n"
    );
}

#[test]
fn no_store_is_made_for_a_mistake() {
    let place = Place::new();
    place.fails(&["new", "frob"], "");
    place.fails(&["new", "get"], "");
    place.fails(&["new", "get", r"\x0"], "");
    assert_eq!(place.run(&["--engine", "tree", "new", "count"], "").status, 2);
    assert_eq!(std::fs::read_dir(place.0.path()).unwrap().count(), 0);
}

/// Nothing is said when who reads has had enough, and a full disk is an error.
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let place = Place::new();
    let lines: String = (0..5000).map(|number| format!("put {number} {}\n", "v".repeat(100))).collect();
    place.says(&["--durability", "eventual", "s"], lines);
    let mut shell = Running::start(&place, &["s", "scan"]);
    assert!(!shell.ask("").is_empty());
    drop(shell.answers);
    let output = shell.child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(2), &b""[..]));

    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = place.command(&["s", "count"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!output.stderr.is_empty());
}

/// A terminal with a shell at its other end.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
}

/// What the line editor sends when it begins to listen: what is typed before is the system's line, not the editor's.
const LISTENS: &str = "\x1b[?2004h";

impl Terminal {
    fn start(place: &Place, arguments: &[&str], state: &Path) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = File::options().read(true).write(true).open(name).unwrap();
        let mut command = place.command(arguments);
        command.stdin(theirs.try_clone().unwrap()).stdout(theirs.try_clone().unwrap()).stderr(theirs);
        command.env("XDG_STATE_HOME", state).env("TERM", "xterm");
        let child = command.spawn().unwrap();
        drop(command); // or the terminal's other end stays open here
        let keyboard = File::from(ours);
        let mut reader = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Ends with an error when the other end is closed.
            while let Ok(len @ 1..) = reader.read(&mut bytes) {
                let _ = sender.send(bytes[..len].to_vec());
            }
        });
        let mut terminal = Self { child, keyboard, screen, shown: String::new() };
        terminal.until_it_listens();
        terminal
    }

    /// Reads what is shown until `enough` says so, or the shell ends.
    fn read(&mut self, enough: impl Fn(&str) -> bool) {
        while !enough(&self.shown) {
            match self.screen.recv_timeout(Duration::from_secs(60)) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    panic!("the shell has stopped; it said {:?}", self.shown);
                }
            }
        }
    }

    /// Gives what was shown since the last time.
    fn until_it_listens(&mut self) -> String {
        // The prompt comes behind.
        self.read(|shown| shown.split_once(LISTENS).is_some_and(|(_, prompt)| prompt.contains("> ")));
        std::mem::take(&mut self.shown)
    }

    /// Types a line, and gives what is shown until the next may be typed.
    fn asks(&mut self, keys: &str) -> String {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.until_it_listens()
    }

    /// Types the last line, and gives what is shown to the end.
    fn ends(mut self, keys: &str) -> String {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.read(|_| false);
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{}", self.shown);
        self.shown
    }
}

#[test]
fn a_person_has_completion_and_history() {
    for engine in ENGINES {
        let place = Place::new();
        let lines = "put 'user one' 1\nput unit 2\nput user:17 seventeen";
        place.says(&["--engine", engine, "s"], lines);
        let state = place.path("state");
        let mut terminal = Terminal::start(&place, &["s"], &state);
        // Commands and keys are completed; an error does not end the shell.
        assert!(terminal.asks("ge\tuser:\t\r").contains("\nseventeen"));
        assert!(terminal.asks("ge\t\"user \t\r").contains("\n1\r"));
        assert!(terminal.asks("frob\r").contains("no such command"));
        assert!(terminal.asks("get nobody\r").contains("there is no nobody"));
        terminal.asks("begin\r");
        assert!(terminal.asks("put user:18 x\r").contains("s +1> "));
        // Ctrl-U takes the line back, and Ctrl-C.
        terminal.asks("ex\t\x15get user:18\t\x03");
        assert!(terminal.asks("get user:\t8\r").contains("\nx\r"));
        terminal.asks("commit\r");
        terminal.ends("quit\r");
        assert_eq!(place.says(&["s", "get", "user:18"], ""), "x\n");
        let history = std::fs::read_to_string(state.join("kvshell/history")).unwrap();
        assert!(history.contains("get user:17") && history.contains("get \"user one\""), "{history}");

        // The next one knows what was typed: before `quit` and `commit` it is the question for 18.
        let mut terminal = Terminal::start(&place, &["s"], &state);
        assert!(terminal.asks("\x1b[A\x1b[A\x1b[A\r").contains("\nx\r"));
        terminal.ends("\x04");
    }
}

#[test]
fn a_history_that_cannot_be_kept_is_no_reason_to_stop() {
    let place = Place::new();
    let state = place.path("taken");
    std::fs::write(&state, "a file").unwrap();
    let mut terminal = Terminal::start(&place, &["s"], &state);
    terminal.asks("put a 1\r");
    terminal.asks("begin\r");
    terminal.asks("put b 2\r");
    let shown = terminal.ends("\x04");
    assert!(shown.contains("the history is not kept") && shown.contains("changes given up: 1"), "{shown}");
    assert_eq!(place.says(&["s"], "count"), "1\n");
}

/// What the model is asked, and the shell.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, u16),
    Delete(u8),
    Get(u8),
    Scan(u8, Option<u8>),
    Begin,
    End(bool),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..30u8;
    prop_oneof![
        6 => (key.clone(), any::<u16>()).prop_map(|(key, value)| Step::Put(key, value)),
        3 => key.clone().prop_map(Step::Delete),
        2 => key.clone().prop_map(Step::Get),
        2 => (key.clone(), prop::option::of(key)).prop_map(|(from, to)| Step::Scan(from, to)),
        1 => Just(Step::Begin),
        1 => any::<bool>().prop_map(Step::End),
        1 => Just(Step::Reopen),
    ]
}

/// Keys with bytes of all kinds, in the order of their numbers.
fn key(number: u8) -> Vec<u8> {
    vec![number / 3, b'"', [0, b'm', 0xFF][usize::from(number % 3)]]
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Says one line, and gives what it printed.
fn say(session: &mut Session, words: &[&[u8]]) -> (Outcome, String) {
    let line: Vec<_> = words.iter().map(|word| printed(word)).collect();
    let (mut output, mut complaints) = (Vec::new(), Vec::new());
    let outcome = session.line(line.join(" ").as_bytes(), &mut output, &mut complaints).unwrap();
    assert_eq!(outcome == Outcome::Missing, !complaints.is_empty());
    (outcome, String::from_utf8(output).unwrap())
}

fn shown<'a>(records: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>) -> Vec<String> {
    records.map(|(key, value)| format!("{} {}", printed(key), printed(value))).collect()
}

/// The lines of a scan; in no order where the engine has none.
fn lines(kind: Kind, text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    if !kind.keeps_order() {
        // As they are sorted in the model: by the keys, not by how these are printed.
        lines.sort_by_key(|line| examples::kvshell::words::words(line.as_bytes()).unwrap());
    }
    lines
}

fn run(kind: Kind, steps: &[Step]) {
    let place = Place::new();
    let open = |kind| {
        let choice = Choice { kind, durability: Durability::Eventual };
        Session::new(records::open(&place.path("s"), choice).unwrap())
    };
    let mut session = open(Some(kind));
    let (mut model, mut before): (Model, Option<Model>) = (Model::new(), None);
    for step in steps {
        match step {
            Step::Put(number, value) => {
                let value = value.to_be_bytes().to_vec();
                say(&mut session, &[b"put", &key(*number), &value]);
                model.insert(key(*number), value);
            }
            Step::Delete(number) => {
                let (outcome, _) = say(&mut session, &[b"del", &key(*number)]);
                assert_eq!(outcome == Outcome::Done, model.remove(&key(*number)).is_some());
            }
            Step::Get(number) => {
                let (_, said) = say(&mut session, &[b"get", &key(*number)]);
                let expected =
                    model.get(&key(*number)).map(|value| printed(value) + "\n").unwrap_or_default();
                assert_eq!(said, expected);
            }
            Step::Scan(from, to) => {
                let (from, to) = (key(*from), to.map(key));
                let mut words: Vec<&[u8]> = vec![b"scan", &from];
                words.extend(to.as_deref());
                let inside = |key: &[u8]| key >= from.as_slice() && to.as_deref().is_none_or(|to| key < to);
                let expected = shown(model.iter().filter(|(key, _)| inside(key)));
                assert_eq!(lines(kind, &say(&mut session, &words).1), expected);
                words[0] = b"count";
                assert_eq!(say(&mut session, &words).1, format!("{}\n", expected.len()));
                let (_, prefixed) = say(&mut session, &[b"prefix", &from[..1]]);
                assert_eq!(lines(kind, &prefixed), shown(model.iter().filter(|(key, _)| key[0] == from[0])));
            }
            Step::Begin if before.is_none() => {
                say(&mut session, &[b"begin"]);
                before = Some(model.clone());
            }
            Step::End(committed) => {
                if let Some(before) = before.take() {
                    say(&mut session, &[if *committed { b"commit" } else { b"abort" }]);
                    model = if *committed { model } else { before };
                }
            }
            Step::Reopen => {
                session.close().unwrap();
                model = before.take().unwrap_or(model);
                session = open(None);
            }
            Step::Begin => {}
        }
    }
    assert_eq!(lines(kind, &say(&mut session, &[b"scan"]).1), shown(model.iter()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_hash_store_answers_as_the_model(steps in prop::collection::vec(step(), 1..60)) {
        run(Kind::Hash, &steps);
    }

    #[test]
    fn an_ordered_store_answers_as_the_model(steps in prop::collection::vec(step(), 1..60)) {
        run(Kind::Ordered, &steps);
    }
}
