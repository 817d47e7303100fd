//! Rows R1 to R4 of the campaign: states after power cuts by the million. See `tests::crash::explore`.
//!
//! `explore r1|r2|r3|r4|all [--seconds N] [--images N] [--samples N] [--states N] [--seed N] [--threaded N]`: each row ends after so many seconds
//! of a core, or with so many images if that is sooner; R1 and R2 also when every pair is done. A crash point with at most so many
//! states is tried whole, of others so many samples are.

use std::process::ExitCode;

use tests::crash::Mode;
use tests::crash::explore::{
    Chains, Clock, Deed, Explorer, Limits, ROOMS, Story, Tally, random_script, shrink, tell_from_threads,
    tell_in,
};
use tests::evidence::{Evidence, grouped};
use tests::support::Random;

const USE: &str =
    "explore r1|r2|r3|r4|all [--seconds N] [--images N] [--samples N] [--states N] [--seed N] [--threaded N]";

const MEMORY: [Mode; 4] = [Mode::LineRedo, Mode::LineUndo, Mode::ByteRedo, Mode::ByteUndo];

/// Deeds in a random script.
const DEEDS: usize = 24;

#[derive(Clone, Copy)]
struct Plan {
    seconds: u64,
    images: u64,
    samples: u64,
    states: u64,
    seed: u64,
    /// Of the random stories each so-manieth is told by several threads.
    threaded: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let seed = number("--seed").unwrap_or_else(|| tests::support::seed("explore"));
    let plan = |seconds: u64, images: u64, samples: u64, states: u64| Plan {
        seconds: number("--seconds").unwrap_or(seconds),
        images: number("--images").unwrap_or(images),
        samples: number("--samples").unwrap_or(samples),
        states: number("--states").unwrap_or(states),
        seed,
        threaded: number("--threaded").map_or(4, |every| every.max(1) as usize),
    };
    println!("explore: --seed {seed} repeats this");
    let violations = match arguments.first().map(String::as_str) {
        Some("r1") => pairs("R1", &MEMORY, plan(60, u64::MAX, 64, 256)),
        Some("r2") => pairs("R2", &[Mode::FileRedo], plan(25, u64::MAX, 64, 256)),
        Some("r3") => random_stories(plan(75, 1_000_000, 48, 192)),
        Some("r4") => chains(plan(40, 100_000, 32, 128)),
        Some("all") => {
            pairs("R1", &MEMORY, plan(60, u64::MAX, 64, 256))
                + pairs("R2", &[Mode::FileRedo], plan(25, u64::MAX, 64, 256))
                + random_stories(plan(75, 1_000_000, 48, 192))
                + chains(plan(40, 100_000, 32, 128))
        }
        _ => {
            eprintln!("usage: {USE}");
            return ExitCode::FAILURE;
        }
    };
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What was tried in one mode, and how long it took.
struct Account {
    mode: Mode,
    tally: Tally,
    seconds: f64,
}

/// Deeds to explore, after those that they need.
struct Case {
    room: u64,
    before: Vec<Deed>,
    script: Vec<Deed>,
}

fn cases(seed: u64) -> (Vec<Case>, Vec<Case>) {
    let deeds = Deed::all();
    let case = |room: u64, script: &[Deed], settled: bool| {
        let mut before: Vec<Deed> = Vec::new();
        for needed in script.iter().filter_map(|deed| deed.needs()) {
            if !before.contains(&needed) {
                before.push(needed);
            }
        }
        if settled || before.is_empty() {
            before.push(Deed::Checkpoint);
        }
        Case { room, before, script: script.to_vec() }
    };
    // First of all: creation.
    let creation = Case { room: ROOMS[0], before: Vec::new(), script: Vec::new() };
    // Each by itself both where the pool must grow and where it need not.
    let singly = |room: u64| deeds.iter().map(move |deed| (room, *deed));
    let singles = singly(ROOMS[0]).chain(singly(ROOMS[1])).map(|(room, deed)| case(room, &[deed], true));
    let singles = std::iter::once(creation).chain(singles).collect();
    let mut random = Random(seed);
    let mut pairs = Vec::new();
    for first in &deeds {
        for second in &deeds {
            let room = ROOMS[usize::from(random.below(8) > 0)];
            pairs.push(case(room, &[*first, *second], random.below(2) == 0));
        }
    }
    for at in (1..pairs.len()).rev() {
        pairs.swap(at, random.below(at as u64 + 1) as usize);
    }
    (singles, pairs)
}

/// Every operation, and pairs of them until the time is over.
fn pairs(row: &str, modes: &[Mode], plan: Plan) -> u64 {
    let clock = Clock::start();
    let limits = Limits { states: plan.states, ..Limits::exhaustive(plan.samples, plan.seed) };
    let (singles, all_pairs) = cases(plan.seed);
    let mut accounts: Vec<Account> =
        modes.iter().map(|mode| Account { mode: *mode, tally: Tally::default(), seconds: 0.0 }).collect();
    let explore = |account: &mut Account, case: &Case| {
        let clock = Clock::start();
        let mode = account.mode;
        let name = || format!("{:?} after {:?}", case.script, case.before);
        let tally =
            Explorer::explore(&tell_in(mode, case.room, &case.before, &case.script, &[]), limits, &name);
        if tally.violation_count > 0 {
            let whole: Vec<Deed> = case.before.iter().chain(&case.script).copied().collect();
            tell_shrunk(mode, &whole, limits, plan.seed);
        }
        account.tally.add(&tally);
        account.seconds += clock.worked().as_secs_f64();
    };
    let mut done = 0;
    for case in &singles {
        accounts.iter_mut().for_each(|account| explore(account, case));
    }
    for case in &all_pairs {
        let images: u64 = accounts.iter().map(|account| account.tally.images).sum();
        if clock.worked().as_secs() >= plan.seconds || images >= plan.images {
            break;
        }
        accounts.iter_mut().for_each(|account| explore(account, case));
        done += 1;
    }
    let count = all_pairs.len();
    let scope = format!(
        "every operation, {done} of {count} pairs; of points with more than {} states, {} samples",
        grouped(plan.states),
        plan.samples
    );
    report(row, "every crash point of single operations and pairs", &accounts, &scope, plan.seed, clock)
}

/// Long random scripts, some from several threads.
fn random_stories(plan: Plan) -> u64 {
    let clock = Clock::start();
    let mut accounts: Vec<Account> =
        Mode::ALL.into_iter().map(|mode| Account { mode, tally: Tally::default(), seconds: 0.0 }).collect();
    let mut random = Random(plan.seed);
    let mut number = 0;
    loop {
        let images: u64 = accounts.iter().map(|account| account.tally.opened).sum();
        if clock.worked().as_secs() >= plan.seconds || images >= plan.images {
            break;
        }
        let account = &mut accounts[number % Mode::ALL.len()];
        let (mode, seed, begun) = (account.mode, random.word(), Clock::start());
        number += 1;
        let limits = Limits {
            states: plan.states,
            samples: plan.samples,
            use_every: 16,
            point_every: 2,
            seed,
            stop_at_first: false,
        };
        let script = random_script(seed, DEEDS);
        let threads = number.is_multiple_of(plan.threaded);
        let story = match threads {
            true => tell_from_threads(mode, seed, DEEDS * 2),
            false => tell_in(mode, ROOMS[number % ROOMS.len()], &[], &script, &[]),
        };
        let name = || format!("story {seed:#x}{}", if threads { " of several threads" } else { "" });
        let tally = Explorer::explore(&story, limits, &name);
        if tally.violation_count > 0 && !threads {
            tell_shrunk(mode, &script, limits, seed);
        }
        account.tally.add(&tally);
        account.seconds += begun.worked().as_secs_f64();
    }
    let scope = format!("of points with more than {} states, {} samples", plan.states, plan.samples);
    report("R3", "images of long random scripts", &accounts, &scope, plan.seed, clock)
}

/// Crashes in recoveries.
fn chains(plan: Plan) -> u64 {
    let clock = Clock::start();
    let mut random = Random(plan.seed);
    let mut all: Vec<(Account, Chains)> = Mode::ALL
        .into_iter()
        .map(|mode| (Account { mode, tally: Tally::default(), seconds: 0.0 }, Chains::default()))
        .collect();
    let deeds = Deed::all();
    let mut number = 0;
    let count = |all: &[(Account, Chains)]| -> u64 {
        all.iter().flat_map(|(_, chains)| &chains.depths).map(|tally| tally.opened).sum()
    };
    while clock.worked().as_secs() < plan.seconds && count(&all) < plan.images {
        let (account, chains) = &mut all[number % Mode::ALL.len()];
        number += 1;
        let begun = Clock::start();
        let seed = random.word();
        let pick = |random: &mut Random| deeds[random.below(deeds.len() as u64) as usize];
        let pair = [pick(&mut random), pick(&mut random)];
        let before: Vec<Deed> = pair.iter().filter_map(|deed| deed.needs()).collect();
        let (before, script) = match random.below(2) {
            0 => ([&before[..], &[Deed::Checkpoint]].concat(), pair.to_vec()),
            _ => (vec![Deed::Checkpoint], random_script(seed, 8)),
        };
        let story: Story = tell_in(account.mode, ROOMS[1], &before, &script, &[]);
        for chain in 0..4 {
            let limits = Limits {
                states: plan.states,
                samples: plan.samples,
                use_every: 16,
                point_every: 1,
                seed: seed.wrapping_add(chain),
                stop_at_first: false,
            };
            chains
                .follow(&story, limits, &|| format!("{script:?} after {before:?}, chain {:#x}", limits.seed));
        }
        account.seconds += begun.worked().as_secs_f64();
    }
    for (account, chains) in &mut all {
        chains.depths.iter().for_each(|tally| account.tally.add(tally));
    }
    let by_depth =
        |depth: usize| grouped(all.iter().map(|(_, chains)| chains.depths[depth].images).sum::<u64>());
    let kills: u64 = all.iter().map(|(_, chains)| chains.kills).sum();
    let scope = format!(
        "an image ends a chain of one, two or three cut recoveries: {}, {}, {}; {} chains begin with a kill",
        by_depth(0),
        by_depth(1),
        by_depth(2),
        grouped(kills)
    );
    let accounts: Vec<Account> = all.into_iter().map(|(account, _)| account).collect();
    report("R4", "crashes in recovery", &accounts, &scope, plan.seed, clock)
}

fn tell_shrunk(mode: Mode, script: &[Deed], limits: Limits, seed: u64) {
    match shrink(mode, script, &[], limits) {
        Some(least) => {
            println!(
                "--seed {seed}, {mode:?}, {} bytes, least script {:?}:\n  {}",
                least.room, least.script, least.violation
            )
        }
        None => println!("--seed {seed}, {mode:?}: from a new pool on, {script:?} does not fail again"),
    }
}

/// Prints and keeps the figures. Gives the violations.
fn report(row: &str, what: &str, accounts: &[Account], scope: &str, seed: u64, clock: Clock) -> u64 {
    let mut total = Tally::default();
    for Account { mode, tally, seconds } in accounts {
        let rate = tally.images as f64 / seconds.max(0.001);
        println!("{row} {mode:?}: {tally}; {seconds:.1} s of a core, {rate:.0} images/s");
        total.add(tally);
        let note = format!("{scope}; seed {seed}; {seconds:.0} s of a core");
        Evidence::of(row, format!("{what}, {mode:?}"))
            .with("images", tally.images)
            .with("of them opened", tally.opened)
            .with("of them used", tally.used)
            .with("crash points", tally.points)
            .with("of them sampled", tally.over)
            .violations(tally.violation_count)
            .note(note)
            .tell(std::time::Duration::from_secs_f64(*seconds));
    }
    let (worked, passed) = (clock.worked().as_secs_f64(), clock.passed().as_secs_f64());
    println!("{row} {what}: {total}; {worked:.1} s of a core, {passed:.1} s");
    println!("{row} {scope}");
    if row == "R1" || row == "R2" {
        total.named.iter().for_each(|named| println!("  sampled: {named}"));
        println!("  ({} points are sampled, the first {} named)", total.over, total.named.len());
    }
    total.violation_count
}
