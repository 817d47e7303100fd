//! A queue of jobs that survives kills: each job counts the primes below a number.
//!
//! `jobs submit 1000 20000` puts jobs into `jobs.pobj`, `jobs work` does what waits, `jobs list` shows them.
//! `jobs kill-test 20` starts workers again and again, kills them in the middle, and checks that each job was done once.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use clap::Parser;
use examples::Failure;
use examples::jobs::Queue;
use pobj::Pool;

/// What a worker does.
fn primes_below(end: u64) -> u64 {
    (2..end).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count() as u64
}

/// A persistent queue of jobs.
#[derive(Debug, Parser)]
struct Arguments {
    /// The pool file.
    #[arg(long, default_value = "jobs.pobj", value_name = "FILE")]
    pool: PathBuf,
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Adds a job for each number.
    Submit { numbers: Vec<u64> },
    /// Does what waits, and says each job once that is durable.
    Work {
        /// So many at once.
        #[arg(long, default_value_t = 2)]
        workers: usize,
    },
    /// Shows all jobs.
    List,
    /// Submits jobs, kills so many workers in the middle, and checks what they left.
    KillTest { kills: u64 },
}

fn main() -> Result<(), Failure> {
    let Arguments { pool: path, command } = Arguments::parse();
    if let Task::KillTest { kills } = command {
        return kill_test(&path, kills);
    }
    let pool = Pool::<Queue>::open_or_create(&path)?;
    match command {
        Task::Submit { numbers } => submit(&pool, &numbers)?,
        Task::Work { workers } => work(&pool, workers)?,
        Task::List | Task::KillTest { .. } => list(&pool),
    }
    Ok(pool.close()?)
}

fn submit(pool: &Pool<Queue<'static>>, numbers: &[u64]) -> Result<(), Failure> {
    // One transaction: all of them, or none.
    pool.write(|queue, tx| {
        for number in numbers {
            queue.submit(tx, &number.to_string())?;
        }
        Ok(())
    })?;
    println!("{} jobs submitted", numbers.len());
    Ok(())
}

fn work(pool: &Pool<Queue<'static>>, workers: usize) -> Result<(), Failure> {
    let again = pool.write(|queue, tx| queue.recover(tx))?;
    if again > 0 {
        println!("{again} jobs were running when the last process ended");
    }
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(|| work_alone(pool))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a worker panicked")?)
    })
}

fn work_alone(pool: &Pool<Queue<'static>>) -> Result<(), Failure> {
    while let Some((id, text)) = pool.write(|queue, tx| queue.take(tx))? {
        let result = primes_below(text.parse()?).to_string(); // no transaction is open meanwhile
        pool.write(|queue, tx| queue.finish(tx, id, &result))?;
        writeln!(std::io::stdout(), "{id}: {result} primes below {text}")?;
    }
    Ok(())
}

fn list(pool: &Pool<Queue<'static>>) {
    let queue = pool.read();
    queue.done().for_each(|(id, job)| println!("{id} done: {} primes below {}", job.result(), job.text()));
    queue.running().for_each(|job| println!("{} running: {}", job.id(), job.text()));
    queue.waiting().for_each(|job| println!("{} waiting: {}", job.id(), job.text()));
}

/// Each job is in one place, what was said to be done is, and each result is right.
fn check(queue: &Queue<'_>, said: &[u64]) -> Result<(), Failure> {
    let mut places: Vec<u64> = queue.waiting().chain(queue.running()).map(|job| job.id()).collect();
    places.extend(queue.done().map(|(id, _)| id));
    places.sort_unstable();
    if !places.iter().copied().eq(0..queue.submitted()) {
        return Err(format!("{} jobs submitted, these are there: {places:?}", queue.submitted()).into());
    }
    for (id, job) in queue.done() {
        if primes_below(job.text().parse()?).to_string() != job.result() {
            return Err(format!("job {id}: {} primes below {}", job.result(), job.text()).into());
        }
    }
    match said.iter().find(|id| !queue.done().any(|(done, _)| done == **id)) {
        Some(id) => Err(format!("job {id} was said to be done").into()),
        None => Ok(()),
    }
}

fn kill_test(path: &Path, kills: u64) -> Result<(), Failure> {
    let mut more_attempts = 0;
    for kill in 0..kills {
        let pool = Pool::<Queue>::open_or_create(path)?;
        submit(&pool, &[3000 + kill, 2000, 1000, 500, 4000, 2500])?;
        pool.close()?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--pool")
            .arg(path)
            .arg("work")
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("the child has no output")?;
        let reader = thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.filter_map(|line| line.split_once(':')?.0.parse().ok()).collect::<Vec<u64>>()
        });
        thread::sleep(Duration::from_micros(500 + kill * 7919 % 12_000));
        child.kill()?;
        child.wait()?;
        let said = reader.join().map_err(|_| "the reader panicked")?;
        let pool = Pool::<Queue>::open(path)?;
        check(&pool.read(), &said).map_err(|wrong| format!("after kill {kill}: {wrong}"))?;
        more_attempts += pool.read().running().count();
    }
    let pool = Pool::<Queue>::open_or_create(path)?;
    work(&pool, 2)?;
    check(&pool.read(), &[])?;
    let done = pool.read().done().count();
    println!("{kills} kills, {more_attempts} jobs cut short, {done} jobs done once each");
    Ok(pool.close()?)
}
