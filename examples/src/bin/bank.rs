//! Transfers between accounts from several threads at once, each one transaction; the money stays the same.
//!
//! `bank bank.pobj` opens or makes the bank, transfers for a second, and checks the sum. `--kill-test 20` starts itself
//! again and again, kills it in the middle, and checks the sum and that nothing acknowledged is missing.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use pobj::{Error, PAtomicU64, PMutex, PVec, Persistent, Pool};

const ACCOUNTS: usize = 100;
const OPENING_BALANCE: i64 = 1000;
const THREADS: usize = 4;

#[derive(Persistent)]
#[repr(C)]
struct Account<'p> {
    balance: PMutex<'p, i64>,
}

#[derive(Persistent)]
#[repr(C)]
struct Bank<'p> {
    accounts: PVec<'p, Account<'p>>,
    /// Transfers that each thread has made; no two threads wait for each other here.
    made: [PAtomicU64<'p>; THREADS],
}

/// Moves money between accounts from several threads.
#[derive(Debug, Parser)]
struct Arguments {
    /// The pool file.
    path: PathBuf,
    /// For so long.
    #[arg(long, default_value_t = 1000, value_name = "MILLISECONDS")]
    time: u64,
    /// Kill so many runs in the middle, and check what is left of each.
    #[arg(long, value_name = "RUNS")]
    kill_test: Option<u64>,
    /// Say each transfer once it is durable.
    #[arg(long)]
    acknowledge: bool,
}

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(runs) = arguments.kill_test {
        return kill_test(&arguments.path, runs);
    }
    let pool = open(&arguments.path)?;
    let begun = Instant::now();
    let end = begun + Duration::from_millis(arguments.time);
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (pool, acknowledge) = (&pool, arguments.acknowledge);
                scope.spawn(move || transfers(pool, thread, end, acknowledge))
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })?;
    let made = check(&pool)?;
    println!("{} transfers since the bank was opened, the sum is right", made.iter().sum::<u64>());
    Ok(pool.close()?)
}

fn open(path: &Path) -> pobj::Result<Pool<Bank<'static>>> {
    match Pool::<Bank>::open(path) {
        Err(Error::NotFound { .. }) => Pool::<Bank>::create_with(path, |tx| {
            let mut accounts = PVec::with_capacity(tx, ACCOUNTS)?;
            for _ in 0..ACCOUNTS {
                accounts.push(tx, Account { balance: PMutex::new(OPENING_BALANCE) })?;
            }
            Ok(Bank { accounts, made: Default::default() })
        }),
        other => other,
    }
}

/// Moves random amounts between random accounts until `end`.
fn transfers(pool: &Pool<Bank<'static>>, thread: usize, end: Instant, acknowledge: bool) -> Result<()> {
    let mut state = thread as u64 * 0x9E37_79B9 + u64::from(std::process::id());
    while Instant::now() < end {
        let [from, to, amount] =
            [ACCOUNTS as u64, ACCOUNTS as u64, 50].map(|below| random(&mut state) % below);
        let made = pool.share(|bank, tx| {
            transfer(bank, tx, from as usize, to as usize, amount as i64)?;
            Ok(bank.made[thread].fetch_add(1, tx)? + 1)
        });
        match made {
            // Durable from here on.
            Ok(made) if acknowledge => writeln!(std::io::stdout(), "{thread} {made}")?,
            Ok(_) | Err(Error::Aborted(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Takes both locks, in whatever order: two transfers in opposite directions are sorted out by the pool.
fn transfer<'p>(bank: &Bank<'p>, tx: &pobj::Tx<'p>, from: usize, to: usize, amount: i64) -> pobj::Result<()> {
    let mut source = bank.accounts[from].balance.lock(tx)?;
    if *source < amount {
        return Err(Error::abort("the account would be overdrawn"));
    }
    *source -= amount;
    drop(source); // the lock stays; but `to` may be the same account
    *bank.accounts[to].balance.lock(tx)? += amount;
    Ok(())
}

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// The transfers that each thread has made, if no money was lost or made.
fn check(pool: &Pool<Bank<'static>>) -> Result<[u64; THREADS]> {
    let bank = pool.read();
    let sum: i64 = bank.accounts.iter().map(|account| *account.balance.get(&bank)).sum();
    if sum != OPENING_BALANCE * ACCOUNTS as i64 {
        return Err(format!("the bank holds {sum}").into());
    }
    Ok(bank.made.each_ref().map(|made| made.get(&bank)))
}

/// Starts and kills, and compares what was said to be durable with what is there.
fn kill_test(path: &Path, runs: u64) -> Result<()> {
    let mut state = u64::from(std::process::id());
    let mut total = 0;
    for run in 0..runs {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(path)
            .args(["--acknowledge", "--time", "60000"])
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("the child has no output")?;
        let reader = std::thread::spawn(move || {
            let mut said = [0; THREADS];
            for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
                if let Some((thread, made)) = line.split_once(' ')
                    && let (Ok(thread), Ok(made)) = (thread.parse::<usize>(), made.parse::<u64>())
                    && thread < THREADS
                {
                    said[thread] = made.max(said[thread]);
                }
            }
            said
        });
        std::thread::sleep(Duration::from_millis(20 + random(&mut state) % 80));
        child.kill()?;
        child.wait()?;
        let said = reader.join().map_err(|_| "the reader panicked")?;
        let pool = open(path)?;
        let made = check(&pool).map_err(|error| format!("after kill {run}: {error}"))?;
        if said.iter().zip(&made).any(|(said, made)| said > made) {
            return Err(format!("after kill {run}: {said:?} were acknowledged, {made:?} are there").into());
        }
        total = made.iter().sum();
        // Dropped, not closed: the next run finds a journal now and then.
    }
    println!("{runs} kills, {total} transfers, nothing lost");
    Ok(())
}
