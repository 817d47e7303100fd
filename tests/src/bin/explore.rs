//! Rows R1 to R4 of the campaign: states after power cuts by the million. See `tests::crash::explore`.
//!
//! `explore r1|r2|r3|r4|all [--seconds N] [--images N] [--samples N] [--states N] [--seed N] [--threaded N]`: each row ends after so many seconds
//! of a core, or with so many images if that is sooner; R1 and R2 also when every pair is done. A crash point with at most so many
//! states is tried whole, of others so many samples are.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tests::crash::Mode;
use tests::crash::explore::{
    Chains, Clock, DEPTH, Deed, Explorer, Limits, ROOMS, Story, Tally, random_script, shrink,
    tell_from_threads, tell_in,
};
use tests::evidence::{Evidence, grouped};
use tests::support::Random;
use tests::workload::word;

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

/// Has each core do `work`, for the number of an item and each mode in turn: `least` items whole, then more until there are
/// `most`, or it was enough of a core's seconds or of images. Gives the accounts, and how many items were begun.
fn side_by_side<R: Send>(
    modes: &[Mode],
    plan: Plan,
    (least, most): (usize, usize),
    images: fn(&Tally) -> u64,
    work: &(impl Fn(usize, Mode) -> R + Sync),
    keep: impl FnMut(&mut Tally, R) + Send,
) -> (Vec<Account>, usize) {
    let account = |mode: &Mode| Account { mode: *mode, tally: Tally::default(), seconds: 0.0 };
    let accounts: Vec<Account> = modes.iter().map(account).collect();
    let state = Mutex::new((accounts, 0, keep));
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let next = || {
        let (accounts, begun, _) = &mut *lock();
        let seconds: f64 = accounts.iter().map(|account| account.seconds).sum();
        let tried: u64 = accounts.iter().map(|account| images(&account.tally)).sum();
        let enough = seconds >= plan.seconds as f64 || tried >= plan.images;
        let item = *begun / modes.len();
        if item >= most || (item >= least && enough) {
            return None;
        }
        *begun += 1;
        Some((item, (*begun - 1) % modes.len()))
    };
    let one_core = || {
        while let Some((item, mode)) = next() {
            let clock = Clock::start();
            let result = work(item, modes[mode]);
            let (accounts, _, keep) = &mut *lock();
            keep(&mut accounts[mode].tally, result);
            accounts[mode].seconds += clock.worked().as_secs_f64();
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..cores).for_each(|_| {
            scope.spawn(one_core);
        });
    });
    let (accounts, begun, _) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    (accounts, begun / modes.len())
}

/// Every operation, and pairs of them until the time is over.
fn pairs(row: &str, modes: &[Mode], plan: Plan) -> u64 {
    let begun = Instant::now();
    let limits = Limits { states: plan.states, ..Limits::exhaustive(plan.samples, plan.seed) };
    let (singles, pairs) = cases(plan.seed);
    let work = |item: usize, mode: Mode| {
        let case = singles.get(item).unwrap_or_else(|| &pairs[item - singles.len()]);
        let name = || format!("{:?} after {:?}", case.script, case.before);
        let story = tell_in(mode, case.room, &case.before, &case.script, &[]);
        let tally = Explorer::explore(&story, limits, &name);
        if tally.violation_count > 0 {
            let whole: Vec<Deed> = case.before.iter().chain(&case.script).copied().collect();
            tell_shrunk(mode, &whole, limits, plan.seed);
        }
        tally
    };
    let items = (singles.len(), singles.len() + pairs.len());
    let keep = |account: &mut Tally, tally: Tally| account.add(&tally);
    let (accounts, done) = side_by_side(modes, plan, items, |tally| tally.images, &work, keep);
    let scope = format!(
        "every operation, {} of {} pairs; of points with more than {} states, {} samples",
        done - singles.len(),
        pairs.len(),
        grouped(plan.states),
        plan.samples
    );
    report(row, "every crash point of single operations and pairs", &accounts, &scope, plan.seed, begun)
}

/// Long random scripts, some from several threads.
fn random_stories(plan: Plan) -> u64 {
    let begun = Instant::now();
    let work = |item: usize, mode: Mode| {
        let seed = word(plan.seed, item as u64, mode as usize);
        let limits = Limits {
            states: plan.states,
            samples: plan.samples,
            use_every: 16,
            point_every: 2,
            seed,
            stop_at_first: false,
        };
        let script = random_script(seed, DEEDS);
        let number = item * Mode::ALL.len() + mode as usize + 1;
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
        tally
    };
    let keep = |account: &mut Tally, tally: Tally| account.add(&tally);
    let (accounts, _) = side_by_side(&Mode::ALL, plan, (0, usize::MAX), |tally| tally.opened, &work, keep);
    let scope = format!("of points with more than {} states, {} samples", plan.states, plan.samples);
    report("R3", "images of long random scripts", &accounts, &scope, plan.seed, begun)
}

/// Crashes in recoveries.
fn chains(plan: Plan) -> u64 {
    let begun = Instant::now();
    let deeds = Deed::all();
    let work = |item: usize, mode: Mode| {
        let seed = word(plan.seed, item as u64, mode as usize);
        let mut random = Random(seed);
        let pick = |random: &mut Random| deeds[random.below(deeds.len() as u64) as usize];
        let pair = [pick(&mut random), pick(&mut random)];
        let before: Vec<Deed> = pair.iter().filter_map(|deed| deed.needs()).collect();
        let (before, script) = match random.below(2) {
            0 => ([&before[..], &[Deed::Checkpoint]].concat(), pair.to_vec()),
            _ => (vec![Deed::Checkpoint], random_script(seed, 8)),
        };
        let story: Story = tell_in(mode, ROOMS[1], &before, &script, &[]);
        let mut chains = Chains::default();
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
        chains
    };
    let (mut depths, mut kills) = ([0; DEPTH], 0);
    let keep = |account: &mut Tally, chains: Chains| {
        for (sum, tally) in depths.iter_mut().zip(&chains.depths) {
            account.add(tally);
            *sum += tally.images;
        }
        kills += chains.kills;
    };
    let (accounts, _) = side_by_side(&Mode::ALL, plan, (0, usize::MAX), |tally| tally.opened, &work, keep);
    let scope = format!(
        "an image ends a chain of one, two or three cut recoveries: {}; {} chains begin with a kill",
        depths.map(grouped).join(", "),
        grouped(kills)
    );
    report("R4", "crashes in recovery", &accounts, &scope, plan.seed, begun)
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
fn report(row: &str, what: &str, accounts: &[Account], scope: &str, seed: u64, begun: Instant) -> u64 {
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
    let worked: f64 = accounts.iter().map(|account| account.seconds).sum();
    let passed = begun.elapsed().as_secs_f64();
    println!("{row} {what}: {total}; {worked:.1} s of a core, {passed:.1} s");
    println!("{row} {scope}");
    if row == "R1" || row == "R2" {
        total.named.iter().for_each(|named| println!("  sampled: {named}"));
        println!("  ({} points are sampled, the first {} named)", total.over, total.named.len());
    }
    total.violation_count
}
