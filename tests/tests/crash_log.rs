//! The log under power cuts: every moment of a script over the simulator, on a file, on persistent memory and on memory
//! with persistent caches, with every subset of what was pending where these are few.
//!
//! A state passes if it opens, holds exactly what was appended up to some step between the last acknowledged and the last
//! begun one, verifies, takes another append, and shows it after a reopen. A recovery is cut in turn, after power cuts
//! and after kills: what an open log has shown must stay. The medium's failures are here as well.
//!
//! Catches: an append that is acknowledged and not durable, several entries of which some survive, a rewind that is half
//! done, old frames that count again, a limit or a tail that is noted before it holds, a recovery that shows what it
//! then loses, a log that goes on after a failed sync (M5).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use pobj::Durability::{self, Eventual, Immediate};
use pobj::Error;
use pobj::log::{Log, Options};
use pobj::media::sim::{
    CrashPoint, Fault, Operation, Presence, SimMedia, Trace, fingerprint, skip_checksums,
};
use pobj::media::{Domain, Media};

const CAPACITY: u64 = 32 << 10;
const EIO: i32 = 5;
/// States at a cut where not all subsets are tried; `POBJ_CRASH_SAMPLES` for more.
const SAMPLES: usize = 24;

type Entries = Vec<Vec<u8>>;

#[derive(Clone, Debug)]
enum Action {
    /// Entries of these lengths, in one append.
    Append(Vec<usize>, Durability),
    Rewind,
    Sync,
    /// Closes and opens.
    Reopen,
    /// Opens again without closing, as after a kill.
    Kill,
}

use Action::{Append, Kill, Reopen, Rewind, Sync};

/// What the program knows at a moment: 1 a step was begun, 2 it survives a kill, 3 it survives a power cut.
fn mark(kind: u64, step: usize) -> u64 {
    kind << 56 | step as u64
}

#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    created: bool,
    begun: usize,
    ordered: usize,
    durable: usize,
}

impl Bounds {
    fn at(self, point: &CrashPoint<'_>) -> Self {
        point.marks().fold(self, |bounds, mark| {
            let step = (mark & ((1 << 56) - 1)) as usize;
            match mark >> 56 {
                0 => Self { created: true, ..bounds },
                1 => Self { begun: step, ..bounds },
                2 => Self { ordered: step, ..bounds },
                _ => Self { ordered: step, durable: step, ..bounds },
            }
        })
    }
}

/// A script that was run, and what the log held after each step.
struct History {
    media: SimMedia,
    models: Vec<Entries>,
    error: Option<Error>,
    created: [u64; Operation::COUNT],
}

/// All of them, or the one that `POBJ_LOG_DOMAIN` names.
fn domains() -> Vec<Domain> {
    let named = std::env::var("POBJ_LOG_DOMAIN").ok();
    let wanted = |domain: &Domain| named.as_ref().is_none_or(|name| *name == format!("{domain:?}"));
    [Domain::Page, Domain::CacheLine, Domain::Byte].into_iter().filter(wanted).collect()
}

fn options(align: u64) -> Options {
    Options::new().align(align)
}

fn open(media: &SimMedia) -> pobj::Result<Log> {
    Options::new().open_on(Arc::new(media.clone()))
}

fn contents(log: &Log) -> pobj::Result<Entries> {
    log.entries().map(|entry| entry.map(|(_, bytes)| bytes)).collect()
}

/// An entry that no other step has.
fn entry(step: usize, at: usize, len: usize) -> Vec<u8> {
    (0..len).map(|byte| if byte == 0 { step as u8 } else { (step * 31 + at * 7 + byte) as u8 }).collect()
}

fn run(domain: Domain, align: u64, script: &[Action], faults: &[Fault]) -> History {
    let media = SimMedia::with_domain(1 << 20, domain).expect("memory for the simulator");
    faults.iter().for_each(|fault| media.plant(*fault));
    let mut models = vec![Vec::new()];
    let created = options(align).create_on(Arc::new(media.clone()), CAPACITY);
    let counts = Operation::ALL.map(|operation| media.count(operation));
    let error = created.and_then(|log| {
        media.mark(0);
        run_on(log, &media, script, &mut models)
    });
    History { media, models, error: error.err(), created: counts }
}

fn run_on(mut log: Log, media: &SimMedia, script: &[Action], models: &mut Vec<Entries>) -> pobj::Result<()> {
    let is_memory = media.domain().is_memory();
    for action in script {
        let step = models.len();
        let last = models[step - 1].clone();
        match action {
            Append(lens, durability) => {
                let entries: Entries =
                    lens.iter().enumerate().map(|(at, len)| entry(step, at, *len)).collect();
                models.push([last, entries.clone()].concat());
                media.mark(mark(1, step));
                log.with(*durability).append_all(&entries)?;
                let kind = if *durability == Eventual && !is_memory { 2 } else { 3 };
                media.mark(mark(kind, step));
            }
            Rewind => {
                models.push(Vec::new());
                media.mark(mark(1, step));
                log.rewind()?;
                media.mark(mark(3, step));
            }
            Sync => {
                log.sync()?;
                media.mark(mark(3, step - 1));
            }
            Reopen => {
                log.close()?;
                media.mark(mark(3, step - 1));
                log = open(media)?;
            }
            Kill => {
                std::mem::forget(log);
                log = open(media)?;
                media.mark(mark(3, step - 1));
            }
        }
        assert_eq!(
            &contents(&log)?,
            models.last().expect("a model"),
            "a running log disagrees with the model"
        );
    }
    log.close()?;
    media.mark(mark(3, models.len() - 1));
    Ok(())
}

#[derive(Default)]
struct Report {
    cuts: u64,
    exhaustive: u64,
    states: u64,
    recoveries: u64,
    violations: Vec<String>,
}

struct Checker<'h> {
    media: &'h SimMedia,
    models: &'h [Entries],
    samples: usize,
    /// At every how many-th cut recovery is cut in turn; 0 for never.
    recover_every: usize,
    known: std::collections::HashMap<u64, Result<Entries, String>>,
    report: Report,
}

impl<'h> Checker<'h> {
    fn new(media: &'h SimMedia, models: &'h [Entries], samples: usize, recover_every: usize) -> Self {
        let samples =
            std::env::var("POBJ_CRASH_SAMPLES").ok().and_then(|n| n.parse().ok()).unwrap_or(samples);
        Self { media, models, samples, recover_every, known: Default::default(), report: Report::default() }
    }

    fn check(mut self, trace: &Trace, from: Bounds, first: usize) -> Report {
        let mut cuts = trace.cuts();
        let mut bytes = Vec::new();
        while let Some(point) = cuts.next() {
            if point.index() < first || self.report.violations.len() > 5 {
                continue;
            }
            self.report.cuts += 1;
            let bounds = from.at(point);
            if point.presence() != Presence::Present && bounds.created {
                self.report.violations.push("a log that was created may be absent".to_owned());
            }
            if point.presence() == Presence::Absent {
                continue;
            }
            self.report.exhaustive += u64::from(point.is_exhaustive(self.samples));
            let choices = point.choices(self.samples, 7);
            for choice in &choices {
                point.build_into(choice, &mut bytes);
                self.judge(point, &bytes, bounds.durable..=bounds.begun, &format!("{choice:?}"));
            }
            self.judge(point, &point.after_kill(), bounds.ordered..=bounds.begun, "after a kill");
            if bounds.created && self.recover_every > 0 && point.index().is_multiple_of(self.recover_every) {
                point.build_into(&choices[point.index() * 7 % choices.len()], &mut bytes);
                self.check_recovery(point, &self.media.with_bytes(bytes.clone()), bounds, true);
                self.check_recovery(point, &self.media.killed_at(point), bounds, false);
            }
        }
        self.report
    }

    fn judge(
        &mut self,
        point: &CrashPoint<'_>,
        bytes: &[u8],
        steps: std::ops::RangeInclusive<usize>,
        what: &str,
    ) {
        self.report.states += 1;
        let sum = fingerprint(bytes);
        let media = self.media;
        let found = self.known.entry(sum).or_insert_with(|| guarded(|| use_state(media, bytes)));
        let wrong = match found {
            Ok(found) if steps.clone().any(|step| self.models[step] == *found) => return,
            Ok(found) => format!("{} entries are none of steps {steps:?}", found.len()),
            Err(error) => error.clone(),
        };
        let event = format!("{:.60}", format!("{:?}", point.last_event()));
        self.report.violations.push(format!("cut {} (after {event}): {wrong} [{what}]", point.index()));
    }

    /// Opens `media`, appends, closes, and cuts the power at every moment of that.
    fn check_recovery(&mut self, point: &CrashPoint<'_>, media: &SimMedia, bounds: Bounds, settled: bool) {
        self.report.recoveries += 1;
        let floor = if settled { bounds.durable } else { bounds.ordered };
        let before = media.trace().events().len();
        let opened = guarded(|| {
            let log = open(media).map_err(|error| format!("open: {error}"))?;
            let found = contents(&log).map_err(|error| error.to_string())?;
            let step = (floor..=bounds.begun).rev().find(|step| self.models[*step] == found);
            let step = step
                .ok_or_else(|| format!("{} entries are none of {floor}..={}", found.len(), bounds.begun))?;
            // What an open log shows is there to stay.
            media.mark(mark(1, step));
            media.mark(mark(3, step));
            let mut models = self.models[..=step].to_vec();
            let script = [Append(vec![9, 20], Immediate), Reopen, Append(vec![3], Immediate)];
            run_on(log, media, &script, &mut models).map_err(|error| error.to_string())?;
            Ok((step, models))
        });
        match opened {
            Ok((step, models)) => {
                // Until it was shown, any of them may be left of what a kill left pending.
                let mut all = self.models[..=bounds.begun].to_vec();
                all.truncate(step + 1);
                all.extend_from_slice(&models[step + 1..]);
                let durable = if settled { step } else { bounds.durable };
                let from = Bounds { created: true, begun: step, ordered: step, durable };
                let inner = Checker::new(media, &all, self.samples / 3 + 1, 0);
                let report = inner.check(&media.trace(), from, before);
                self.report.states += report.states;
                let place = format!("in the recovery at cut {}, settled {settled}: ", point.index());
                self.report.violations.extend(report.violations.iter().map(|wrong| place.clone() + wrong));
            }
            Err(wrong) => self.report.violations.push(format!("recovery at cut {}: {wrong}", point.index())),
        }
    }
}

/// Opens and uses a state, and says what it holds.
fn use_state(media: &SimMedia, bytes: &[u8]) -> Result<Entries, String> {
    let media: Arc<dyn Media> = Arc::new(media.ram_with_bytes(bytes.to_vec()));
    let open = || Options::new().open_on(Arc::clone(&media)).map_err(|error| format!("open: {error}"));
    let log = open()?;
    let found = contents(&log).map_err(|error| error.to_string())?;
    log.check().map_err(|error| format!("check: {error}"))?;
    let mut reader =
        Options::new().open_read_only_on(Arc::clone(&media)).map_err(|error| error.to_string())?;
    let mut followed = 0;
    while reader.next_entry().map_err(|error| format!("reader: {error}"))?.is_some() {
        followed += 1;
    }
    if followed != found.len() {
        return Err(format!("{followed} entries followed, {} are there", found.len()));
    }
    log.append(b"after the crash").map_err(|error| format!("append: {error}"))?;
    drop(log);
    let again = contents(&open()?).map_err(|error| error.to_string())?;
    if again[..] != [&found[..], &[b"after the crash".to_vec()]].concat() {
        return Err("what was appended after the crash is not there".to_owned());
    }
    Ok(found)
}

fn guarded<T>(body: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        Err(format!("panic: {}", panic.downcast_ref::<String>().map_or("without a message", String::as_str)))
    })
}

/// Small entries, so that every subset of what is pending can be tried; several at once; rewinds over what was there.
fn small(durability: Durability) -> Vec<Action> {
    let append = |lens: &[usize]| Append(lens.to_vec(), durability);
    vec![
        append(&[1]),
        append(&[0, 5]),
        append(&[40]),
        Append(vec![3, 0, 9], Immediate),
        Rewind,
        append(&[2]),
        append(&[]),
        append(&[8, 8]),
        Reopen,
        append(&[1]),
        Rewind,
        Rewind,
        append(&[30]),
    ]
}

/// Entries of several sectors, across several limits.
fn long(durability: Durability) -> Vec<Action> {
    let append = |lens: &[usize]| Append(lens.to_vec(), durability);
    vec![
        append(&[700]),
        append(&[10, 1500, 3]),
        append(&[5000]),
        Sync,
        append(&[60]),
        Rewind,
        append(&[4000]),
        // Behind the limit, where every block is written already.
        append(&[3000]),
        append(&[1, 2]),
    ]
}

/// Both durabilities, syncs, closing, and kills with a recovery behind each.
fn mixed() -> Vec<Action> {
    vec![
        Append(vec![5], Eventual),
        Append(vec![100], Eventual),
        Append(vec![20], Immediate),
        Append(vec![600], Eventual),
        Kill,
        Append(vec![7], Eventual),
        Sync,
        Append(vec![7], Eventual),
        Reopen,
        Append(vec![1, 1], Eventual),
        Kill,
        Rewind,
        Append(vec![50], Eventual),
        Kill,
        Append(vec![50], Immediate),
    ]
}

fn check(domain: Domain, align: u64, name: &str, script: &[Action], recover_every: usize) {
    let begun = Instant::now();
    let history = run(domain, align, script, &[]);
    assert!(history.error.is_none(), "{domain}, {name}: {:?}", history.error);
    let checker = Checker::new(&history.media, &history.models, SAMPLES, recover_every);
    let report = checker.check(&history.media.trace(), Bounds::default(), 0);
    println!(
        "{domain}, align {align}, {name}, {:.1} s: {} cuts ({} with every subset), {} states, {} recoveries, {} violations",
        begun.elapsed().as_secs_f64(),
        report.cuts,
        report.exhaustive,
        report.states,
        report.recoveries,
        report.violations.len()
    );
    assert!(
        report.violations.is_empty(),
        "{domain}, align {align}, {name}:\n{}",
        report.violations.join("\n")
    );
}

#[test]
fn small_entries_survive_every_cut() {
    for domain in domains() {
        for align in [8, 64] {
            check(domain, align, "small", &small(Immediate), 3);
            check(domain, align, "small, Eventual", &small(Eventual), 5);
        }
    }
}

#[test]
fn long_entries_survive_every_cut() {
    for domain in domains() {
        check(domain, 8, "long", &long(Immediate), 9);
        check(
            domain,
            4096,
            "long, blocks",
            &[Append(vec![9], Immediate), Append(vec![5000, 1], Immediate)],
            9,
        );
    }
    if domains().contains(&Domain::Page) {
        check(Domain::Page, 8, "long, Eventual", &long(Eventual), 9);
    }
}

/// An append that moves the limit while another's durable write is under way, where no block has to be written for that.
/// Catches a header that says that what is in flight is durable.
#[test]
fn the_limit_moves_beside_an_append_in_flight() {
    if !domains().contains(&Domain::Page) {
        return;
    }
    let media = SimMedia::with_domain(1 << 20, Domain::Page).unwrap();
    let log = options(8).create_on(Arc::new(media.clone()), CAPACITY).unwrap();
    let [long, first, second] = [(1, 20_000), (3, 60), (4, 9000)].map(|(step, len)| entry(step, 0, len));
    let models: [Entries; 5] =
        [vec![], vec![long], vec![], vec![first.clone()], vec![first.clone(), second.clone()]];
    media.mark(0);
    let act = |step: usize, act: &dyn Fn() -> pobj::Result<()>| {
        media.mark(mark(1, step));
        act().unwrap();
        media.mark(mark(3, step));
    };
    act(1, &|| log.append(&models[1][0]).map(drop));
    act(2, &|| log.rewind());
    let append = |step, entry: &[u8]| act(step, &|| log.append(entry).map(drop));
    // The one before moves the limit for the first of the two.
    let (operation, number) = (Operation::WriteDurable, media.count(Operation::WriteDurable) + 1);
    media.plant(Fault::Slow { operation, number });
    std::thread::scope(|scope| {
        scope.spawn(|| append(3, &first));
        let begun = Instant::now();
        while media.count(operation) <= number {
            assert!(begun.elapsed().as_secs() < 20, "the other thread does nothing");
            std::thread::yield_now();
        }
        append(4, &second);
    });
    log.close().unwrap();
    let report = Checker::new(&media, &models, SAMPLES, 3).check(&media.trace(), Bounds::default(), 0);
    assert!(report.violations.is_empty(), "{}", report.violations.join("\n"));
}

#[test]
fn mixed_work_survives_every_cut() {
    for domain in domains() {
        check(domain, 8, "mixed", &mixed(), 2);
    }
}

/// Whether the harness notices a bug that is planted.
fn is_caught(domain: Domain, script: &[Action], fault: Fault) -> bool {
    let history = run(domain, 8, script, &[fault]);
    assert!(history.error.is_none(), "{domain}, {fault:?}: {:?}", history.error);
    let Some(first) = history.media.first_hit() else { return false };
    let checker = Checker::new(&history.media, &history.models, 48, 0);
    !checker.check(&history.media.trace(), Bounds::default(), first).violations.is_empty()
}

fn numbers(domain: Domain, script: &[Action], operation: Operation) -> std::ops::Range<u64> {
    let history = run(domain, 8, script, &[]);
    history.created[operation as usize]..history.media.count(operation)
}

/// The harness must be able to fail: each fence, each durable write, each flush of an append is needed.
#[test]
fn planted_bugs_are_caught() {
    let appends: Vec<Action> = (1..6).map(|len| Append(vec![len * 9, 3], Immediate)).collect();
    for domain in [Domain::CacheLine, Domain::Byte] {
        for number in numbers(domain, &appends, Operation::Fence) {
            assert!(is_caught(domain, &appends, Fault::DropFence(number)), "{domain}: fence {number}");
        }
    }
    for number in numbers(Domain::CacheLine, &appends, Operation::Write) {
        let fault = Fault::DropWriteFlush { operation: Operation::Write, number };
        assert!(is_caught(Domain::CacheLine, &appends, fault), "flush of write {number}");
    }
    // The first durable write moves the limit, which the recovery finds by itself; the last one is the close's.
    let writes = numbers(Domain::Page, &appends, Operation::WriteDurable);
    for number in writes.start + 1..writes.end - 1 {
        assert!(
            is_caught(Domain::Page, &appends, Fault::DropOneDurability(number)),
            "durable write {number}"
        );
    }
    let rewinds = [Append(vec![9], Immediate), Rewind, Append(vec![5], Immediate)];
    for domain in domains() {
        let last = numbers(domain, &rewinds[..2], Operation::WriteDurable);
        // Creation, limit, and then the rewind's.
        let number = last.end - 2;
        assert!(
            is_caught(domain, &rewinds[..2], Fault::DropOneDurability(number)),
            "{domain}: the rewind's {number}"
        );
    }
    let eventual = [Append(vec![9], Eventual), Append(vec![600], Eventual), Sync, Append(vec![1], Eventual)];
    let syncs = numbers(Domain::Page, &eventual, Operation::Sync);
    assert!(
        syncs.clone().any(|number| is_caught(Domain::Page, &eventual, Fault::DropSync(number))),
        "{syncs:?}"
    );
}

#[test]
fn a_skipped_checksum_test_is_caught() {
    for domain in domains() {
        let history = run(domain, 8, &long(Immediate), &[]);
        skip_checksums(true);
        let report = Checker::new(&history.media, &history.models, SAMPLES, 0).check(
            &history.media.trace(),
            Bounds::default(),
            0,
        );
        skip_checksums(false);
        assert!(!report.violations.is_empty(), "{domain}");
    }
}

/// Every operation fails in turn, once and for good: what was acknowledged survives a cut at the end of the script.
#[test]
fn every_operation_fails() {
    for domain in [Domain::Page, Domain::CacheLine] {
        for (name, script) in [("small", small(Immediate)), ("long", long(Eventual)), ("mixed", mixed())] {
            let healthy = run(domain, 8, &script, &[]);
            let (mut runs, mut stopped) = (0, 0);
            for operation in Operation::ALL {
                for number in 0..healthy.media.count(operation) {
                    for forever in [false, true] {
                        let fault = Fault::Fail { operation, number, errno: EIO, forever };
                        let history = run(domain, 8, &script, &[fault]);
                        match &history.error {
                            None | Some(Error::Io { .. } | Error::Poisoned) => {}
                            Some(error) => panic!("{domain}, {name}, {fault:?}: {error}"),
                        }
                        runs += 1;
                        stopped += u64::from(history.error.is_some());
                        let trace = history.media.trace();
                        let checker = Checker::new(&history.media, &history.models, 12, 0);
                        let report = checker.check(&trace, Bounds::default(), trace.events().len());
                        assert!(
                            report.violations.is_empty(),
                            "{domain}, {name}, {fault:?}:\n{}",
                            report.violations.join("\n")
                        );
                    }
                }
            }
            println!("{domain}, {name}: {runs} failures, {stopped} ended the script, 0 wrong");
        }
    }
}

#[test]
fn after_a_failed_append_the_log_is_poisoned() {
    for domain in domains() {
        let barrier = if domain.is_memory() { Operation::Fence } else { Operation::WriteDurable };
        let write = if domain.is_memory() { Operation::Write } else { Operation::WriteDurable };
        for operation in [barrier, write] {
            let media = SimMedia::with_domain(1 << 20, domain).unwrap();
            let log = options(8).create_on(Arc::new(media.clone()), CAPACITY).unwrap();
            log.append(b"before").unwrap();
            let fault = Fault::Fail { operation, number: media.count(operation), errno: EIO, forever: false };
            media.plant(fault);
            let failed = log.append(b"failed");
            assert!(matches!(failed, Err(Error::Io { source, .. }) if source.raw_os_error() == Some(EIO)));
            for _ in 0..3 {
                assert!(matches!(log.append(b"x"), Err(Error::Poisoned)));
            }
            assert!(matches!(log.sync(), Err(Error::Poisoned)));
            assert!(matches!(log.rewind(), Err(Error::Poisoned)));
            assert_eq!(contents(&log).unwrap(), [b"before"], "reading goes on");
            assert!(matches!(log.close(), Err(Error::Poisoned)));
            let log = open(&media).unwrap();
            let found = contents(&log).unwrap();
            assert!(found == [b"before"] || found == [b"before", b"failed"]);
            log.append(b"goes on").unwrap();
        }
    }
}

/// Who waits for a durable write that fails is told, and so is who comes later; nobody waits for ever.
#[test]
fn a_failure_reaches_every_appender() {
    for domain in [Domain::Page, Domain::CacheLine] {
        let operation = if domain.is_memory() { Operation::Fence } else { Operation::WriteDurable };
        for round in 0..20 {
            let media = SimMedia::with_domain(1 << 20, domain).unwrap();
            let log = options(8).create_on(Arc::new(media.clone()), CAPACITY).unwrap();
            log.append(b"before").unwrap();
            let number = media.count(operation) + round;
            media.plant(Fault::Fail { operation, number, errno: EIO, forever: false });
            let acknowledged = std::thread::scope(|scope| {
                let append = || (0..20).take_while(|_| log.append(b"entry").is_ok()).count();
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(append)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
            });
            assert!(matches!(log.append(b"x"), Err(Error::Poisoned)), "{domain}, {round}");
            drop(log);
            let found = contents(&open(&media).unwrap()).unwrap().len();
            assert!(found > acknowledged, "{domain}: {acknowledged} acknowledged, {found} there");
        }
    }
}

/// Several threads append at once, over and over; at every cut each thread's acknowledged entries are there, in order. Catches
/// an append that is acknowledged before the one in front of it is durable.
#[test]
fn appends_of_several_threads_survive_every_cut() {
    const THREADS: usize = 3;
    const EACH: usize = 4;
    for domain in domains() {
        let (mut cuts, mut states) = (0, 0);
        for round in 0..12 {
            let media = SimMedia::with_domain(1 << 20, domain).unwrap();
            let log = options(8).create_on(Arc::new(media.clone()), CAPACITY).unwrap();
            let first = media.trace().events().len();
            std::thread::scope(|scope| {
                for thread in 0..THREADS {
                    let (log, media) = (&log, &media);
                    scope.spawn(move || {
                        for number in 0..EACH {
                            log.append(&[thread as u8, number as u8, round]).unwrap();
                            media.mark((thread * EACH + number) as u64);
                        }
                    });
                }
            });
            let trace = media.trace();
            let mut points = trace.cuts();
            while let Some(point) = points.next() {
                if point.index() < first {
                    continue;
                }
                cuts += 1;
                let mut acknowledged = [0; THREADS];
                point.marks().for_each(|mark| acknowledged[mark as usize / EACH] = mark as usize % EACH + 1);
                for choice in point.choices(SAMPLES, round.into()) {
                    states += 1;
                    let bytes = media.ram_with_bytes(point.build(&choice));
                    let log = Options::new().open_on(Arc::new(bytes)).unwrap();
                    let mut found = [0; THREADS];
                    for entry in contents(&log).unwrap() {
                        let count = &mut found[usize::from(entry[0])];
                        assert_eq!(entry, [entry[0], *count as u8, round]);
                        *count += 1;
                    }
                    let all =
                        found.iter().zip(acknowledged).all(|(found, acknowledged)| *found >= acknowledged);
                    assert!(
                        all,
                        "{domain}, cut {}: {acknowledged:?} acknowledged, {found:?} there",
                        point.index()
                    );
                }
            }
        }
        println!("{domain}: {cuts} cuts, {states} states of {THREADS} threads, 0 violations");
    }
}
