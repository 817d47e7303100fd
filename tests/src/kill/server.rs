//! A process that makes children by `fork`, so that a kill costs no program start: each child is a process of its own,
//! opens its file itself, and is killed as any other.
//!
//! The server reads a [`Job`] per line, forks, says `pid N`, and after the child's end `gone STATUS`. Children write to
//! the same pipe, a line per word (`d 0 0 17` for done, `s ...` for synced, `e TEXT` for the error that ended it), so all
//! that a child has said comes before `gone`. The server has one thread and no pool, as a process that forks should.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::{Job, Known, Mark, Word, work};

/// The argument with which a program becomes a server.
pub const SERVE: &str = "serve-children";

/// Says a line at once: one write, so that a kill leaves whole lines.
fn say_line(line: &str) {
    let mut out = io::stdout().lock();
    // Whoever listened is gone, or this process soon will be.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

/// Serves if the program was started for that, and says whether it was.
///
/// # Panics
///
/// If it is asked for what is no job, or cannot fork.
#[must_use]
pub fn served() -> bool {
    if std::env::args().nth(1).is_none_or(|argument| argument != SERVE) {
        return false;
    }
    for line in io::stdin().lines().map_while(Result::ok) {
        let job: Job = line.parse().expect("a job");
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", io::Error::last_os_error()),
            0 => play(&job),
            pid => {
                say_line(&format!("pid {pid}\n"));
                let mut status = 0;
                // SAFETY: `status` outlives the call.
                while unsafe { libc::waitpid(pid, &raw mut status, 0) } != pid {}
                say_line(&format!("gone {status}\n"));
            }
        }
    }
    true
}

fn play(job: &Job) -> ! {
    // SAFETY: the call takes numbers only. A child must not outlive a test that failed.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let say = |word, thread, Mark { generation, number }| {
        let word = match word {
            Word::Done => 'd',
            Word::Synced => 's',
            Word::Slowest => 't',
        };
        say_line(&format!("{word} {thread} {generation} {number}\n"));
    };
    let ended = work(job, &say);
    let text = ended.map_or_else(|error| error.to_string(), |()| "nothing".to_owned());
    say_line(&format!("e {}\n", text.replace('\n', " ")));
    std::process::exit(1)
}

/// The server, seen from outside.
#[derive(Debug)]
pub struct Server {
    process: Child,
    jobs: ChildStdin,
    lines: Receiver<String>,
    child: Option<libc::pid_t>,
}

/// How a child ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What its process says.
    pub status: ExitStatus,
    /// The error that it met.
    pub error: Option<String>,
}

impl Ended {
    /// It was killed while it worked.
    #[must_use]
    pub fn by_kill(&self) -> bool {
        self.error.is_none() && self.status.signal() == Some(libc::SIGKILL)
    }
}

impl Server {
    /// Starts a program that calls [`served`].
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start(program: &std::path::Path) -> Self {
        let mut command = Command::new(program);
        command.arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the server starts");
        let jobs = process.stdin.take().expect("its input is piped");
        let output = BufReader::new(process.stdout.take().expect("its output is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // Ends with the server, or with whoever listened.
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok();
        });
        Self { process, jobs, lines, child: None }
    }

    /// Starts a child.
    ///
    /// # Panics
    ///
    /// If the server is gone, or still has a child.
    pub fn begin(&mut self, job: &Job, known: &mut Known) {
        assert!(self.child.is_none(), "one child at a time");
        self.jobs.write_all(format!("{job}\n").as_bytes()).expect("the server listens");
        known.unsaid += 1;
        // The child may speak before the server does.
        while self.child.is_none() {
            let line = self.lines.recv().expect("the server is there");
            match line.strip_prefix("pid ") {
                Some(pid) => self.child = Some(pid.parse().expect("a number")),
                None => drop(hear(&line, known)),
            }
        }
    }

    /// Listens to the child for some time. How it ended, if it did.
    pub fn listen(&mut self, known: &mut Known, time: Duration) -> Option<Ended> {
        let until = Instant::now() + time;
        let mut error = None;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(ended) = self.heard(&line, known, &mut error) {
                        return Some(ended);
                    }
                }
                Err(RecvTimeoutError::Timeout) if error.is_none() => return None,
                // It is about to end.
                Err(RecvTimeoutError::Timeout) => std::thread::yield_now(),
                Err(RecvTimeoutError::Disconnected) => panic!("the server is gone"),
            }
        }
    }

    /// Kills the child, and hears what it had to say.
    ///
    /// # Panics
    ///
    /// If there is no child.
    pub fn kill(&mut self, known: &mut Known) -> Ended {
        let pid = self.child.expect("a child");
        // SAFETY: the call takes numbers only. The server has not waited for the child, so the number is still its own; and
        // if it has, it is at most a number of nobody, as the system gives numbers in turn.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        let mut error = None;
        loop {
            let line = self.lines.recv().expect("the server is there");
            if let Some(ended) = self.heard(&line, known, &mut error) {
                return ended;
            }
        }
    }

    fn heard(&mut self, line: &str, known: &mut Known, error: &mut Option<String>) -> Option<Ended> {
        if let Some(status) = line.strip_prefix("gone ") {
            self.child = None;
            let status = ExitStatus::from_raw(status.parse().expect("a number"));
            return Some(Ended { status, error: error.take() });
        }
        if let Some(text) = hear(line, known) {
            *error = Some(text);
        }
        None
    }
}

/// Takes over what a child said; what it said of its end is returned.
fn hear(line: &str, known: &mut Known) -> Option<String> {
    if let Some(text) = line.strip_prefix("e ") {
        return Some(text.to_owned());
    }
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    let word = match *words.as_slice() {
        ["d", _, _, _] => Word::Done,
        ["s", _, _, _] => Word::Synced,
        ["t", _, _, _] => Word::Slowest,
        _ => panic!("the child says {line}"),
    };
    known.hear(word, number(1) as usize, Mark { generation: number(2), number: number(3) });
    None
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its child goes with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
