//! Power cuts in the middle of work on queues, lists and sets, in every mode. Catches a change of theirs that is not
//! remembered or not recorded: after a crash the ring, the links, the keys and the index must be those of one of the
//! transactions, whole, and no block may be left over (A44, B45).
//!
//! What a pool does to its medium is `crash_scripts`' matter; here recovery is not cut again. `POBJ_CRASH_SAMPLES=256` is
//! the long run; `POBJ_SEED` repeats one.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use pobj::media::sim::{Presence, SimMedia, fingerprint};
use pobj::{Durability, Options, PDeque, PHashMap, PHashSet, PList, PListKey, PString, Persistent, Pool, Tx};
use tests::crash::{Mode, acknowledged, created, oracle, started};
use tests::support::{Random, number, seed};

const MAX_SIZE: u64 = 1 << 20;

#[derive(Persistent, Default)]
#[repr(C)]
struct Root<'p> {
    step: u64,
    jobs: PDeque<'p, u64>,
    words: PDeque<'p, PString<'p>>,
    list: PList<'p, PString<'p>>,
    keys: PHashMap<'p, u64, PListKey>,
    seen: PHashSet<'p, u64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    step: u64,
    jobs: VecDeque<u64>,
    words: VecDeque<String>,
    /// Names of the values, which are texts made of them.
    list: Vec<u64>,
    seen: BTreeSet<u64>,
}

fn text(name: u64) -> String {
    format!("{name} ").repeat(1 + name as usize % 7)
}

impl Model {
    fn of(root: &Root<'_>) -> Result<Self, String> {
        let name = |word: &PString<'_>| {
            let name = word.split(' ').next().and_then(|name| name.parse().ok()).unwrap_or(u64::MAX);
            if *word == text(name) { Ok(name) } else { Err(format!("the word {word:?}")) }
        };
        let list = root.list.iter().map(name).collect::<Result<Vec<_>, _>>()?;
        if !root.list.iter().rev().map(name).eq(list.iter().rev().map(|name| Ok(*name))) {
            return Err("the list leads another way back".to_owned());
        }
        for name in &list {
            let found = root.keys.get(name).and_then(|key| root.list.get(*key));
            if found.is_none_or(|word| *word != text(*name)) {
                return Err(format!("the key of {name} finds {found:?}"));
            }
        }
        if root.keys.len() != list.len() {
            return Err(format!("{} keys of {} values", root.keys.len(), list.len()));
        }
        Ok(Self {
            step: root.step,
            jobs: root.jobs.iter().copied().collect(),
            words: root.words.iter().map(|word| word.to_string()).collect(),
            list,
            seen: root.seen.iter().copied().collect(),
        })
    }

    /// One transaction, which depends on what is there and on its number.
    fn work<'p>(&mut self, root: &mut Root<'p>, tx: &Tx<'p>) -> pobj::Result<()> {
        self.step += 1;
        root.step = self.step;
        let mut random = Random(self.step);
        for part in 0..3 {
            let name = self.step * 10 + part;
            self.queues(root, tx, &mut random, name)?;
            self.listed(root, tx, &mut random, name)?;
            root.seen.insert(tx, name % 37)?;
            root.seen.remove(&(name % 11), tx);
            self.seen.insert(name % 37);
            self.seen.remove(&(name % 11));
        }
        Ok(())
    }

    fn queues<'p>(
        &mut self,
        root: &mut Root<'p>,
        tx: &Tx<'p>,
        random: &mut Random,
        name: u64,
    ) -> pobj::Result<()> {
        let at = random.below(1 + self.words.len() as u64) as usize;
        match random.below(8) {
            0 | 1 => {
                root.jobs.extend(tx, [name; 5])?;
                self.jobs.extend([name; 5]);
                root.words.push_front(tx, PString::from_str(tx, &text(name))?)?;
                self.words.push_front(text(name));
            }
            2 | 3 => {
                root.words.insert(tx, at, PString::from_str(tx, &text(name))?)?;
                self.words.insert(at, text(name));
            }
            4 => {
                drop(root.words.remove(at, tx));
                root.jobs.pop_front();
                self.words.remove(at);
                self.jobs.pop_front();
            }
            5 => {
                root.jobs.rotate_left(self.jobs.len() / 3, tx)?;
                self.jobs.rotate_left(self.jobs.len() / 3);
                root.words.make_contiguous(tx).reverse();
                self.words.make_contiguous().reverse();
            }
            6 => {
                root.words.drain(at / 2..at, tx)?.for_each(drop);
                self.words.drain(at / 2..at);
                root.jobs.shrink_to_fit(tx)?;
            }
            _ => {
                for job in root.jobs.iter_mut(tx) {
                    *job += 1;
                }
                self.jobs.iter_mut().for_each(|job| *job += 1);
                root.words.pop_back();
                self.words.pop_back();
            }
        }
        Ok(())
    }

    fn listed<'p>(
        &mut self,
        root: &mut Root<'p>,
        tx: &Tx<'p>,
        random: &mut Random,
        name: u64,
    ) -> pobj::Result<()> {
        let at = random.below(self.list.len().max(1) as u64) as usize;
        let other = random.below(self.list.len().max(1) as u64) as usize;
        let Some(&there) = self.list.get(at) else {
            let key = root.list.push_back(tx, PString::from_str(tx, &text(name))?)?;
            root.keys.insert(tx, name, key)?;
            self.list.push(name);
            return Ok(());
        };
        let key = *root.keys.get(&there).expect("the key of a value");
        match random.below(7) {
            0..=2 => {
                let new = root.list.insert_after(tx, key, PString::from_str(tx, &text(name))?)?;
                root.keys.insert(tx, name, new.expect("there"))?;
                self.list.insert(at + 1, name);
            }
            3 => {
                assert!(root.list.remove(key, tx).is_some() && root.keys.remove(&there, tx).is_some());
                self.list.remove(at);
            }
            4 => {
                assert!(root.list.move_to_front(key, tx));
                self.list.remove(at);
                self.list.insert(0, there);
            }
            5 => {
                let target = *root.keys.get(&self.list[other]).expect("the key of a value");
                assert!(root.list.move_before(key, target, tx));
                if at != other {
                    self.list.remove(at);
                    self.list.insert(if at < other { other - 1 } else { other }, there);
                }
            }
            _ => root.list.shrink_to_fit(tx)?,
        }
        Ok(())
    }
}

/// Changes words, waits until the changes may be on the medium, and changes them back.
fn there_and_back<'p>(root: &mut Root<'p>, tx: &Tx<'p>) {
    for first in [0, 3, 0, 3] {
        // The medium is asked for something when values are remembered: each group is, between two changes of the other.
        for index in first..first + 3 {
            if let Some(job) = root.jobs.get_mut(index, tx) {
                *job = !*job;
            }
        }
    }
}

/// A transaction that leaves next to nothing changed.
fn change_back<'p>(model: &mut Model, root: &mut Root<'p>, tx: &Tx<'p>) -> pobj::Result<()> {
    if root.jobs.is_empty() {
        root.jobs.extend(tx, [1; 6])?;
        model.jobs.extend([1; 6]);
    }
    model.step += 1;
    root.step = model.step;
    there_and_back(root, tx);
    Ok(())
}

type Work = for<'p> fn(&mut Model, &mut Root<'p>, &Tx<'p>) -> pobj::Result<()>;

fn options(mode: Mode) -> Options<Root<'static>> {
    let options = Pool::<Root<'static>>::options().size(64 << 10).max_size(MAX_SIZE).ring_size(64 << 10);
    options.validation_threads(1).image(mode.image())
}

/// What was done to a medium, and what the pool held after each step.
struct History {
    mode: Mode,
    media: SimMedia,
    models: Vec<Model>,
    work: Work,
    empty: u64,
}

impl History {
    fn record(mode: Mode, steps: u64, work: Work) -> Self {
        let media = SimMedia::with_domain(MAX_SIZE, mode.domain()).unwrap();
        let open = || options(mode).check_unlogged().open_on(Arc::new(media.clone())).unwrap();
        let checked = options(mode).check_unlogged();
        let mut pool = checked.create_on(Arc::new(media.clone()), |_| Ok(Root::default())).unwrap();
        let empty = pool.stats().heap.live_blocks;
        media.mark(created());
        let mut models = vec![Model::default()];
        for step in 1..=steps {
            let durability = if step % 3 == 0 { Durability::Eventual } else { Durability::Immediate };
            let mut model = models[models.len() - 1].clone();
            if step % 4 == 0 {
                let refused = pool.write(|root, tx| {
                    work(&mut model.clone(), root, tx)?;
                    Err::<(), _>(pobj::Error::abort("no"))
                });
                assert!(refused.is_err() && Model::of(&pool.read()).as_ref() == Ok(&model));
            }
            if step % 5 == 0 {
                pool.write(|root, tx| {
                    there_and_back(root, tx);
                    Ok(())
                })
                .unwrap();
                assert_eq!(Model::of(&pool.read()).as_ref(), Ok(&model));
            }
            media.mark(started(step));
            pool.write(|root, tx| {
                tx.set_durability(durability);
                work(&mut model, root, tx)
            })
            .unwrap();
            media.mark(acknowledged(mode, step, durability));
            assert_eq!(Model::of(&pool.read()).as_ref(), Ok(&model));
            models.push(model);
            if step % 17 == 0 {
                pool.close().unwrap();
                pool = open();
            } else if step % 7 == 0 {
                pool.checkpoint().unwrap();
            }
        }
        oracle::assert_clean(mode, &media.trace());
        Self { mode, media, models, work, empty }
    }

    /// Opens what a crash left: it must show a step between the two, whole, and nothing may be left over.
    fn check(&self, bytes: &[u8], floor: u64, ceiling: u64) -> Result<(), String> {
        let media = Arc::new(self.media.ram_with_bytes(bytes.to_vec()));
        let pool = options(self.mode).open_on(media).map_err(|error| format!("open: {error}"))?;
        let found = Model::of(&pool.read())?;
        let model = self.models.get(found.step as usize).ok_or("a step that never was")?;
        if !(floor..=ceiling).contains(&found.step) {
            return Err(format!("step {}; {floor} was acknowledged, {ceiling} begun", found.step));
        }
        if found != *model {
            return Err(format!("not the state after step {}: {found:?}, expected {model:?}", found.step));
        }
        let mut next = found;
        pool.write(|root, tx| (self.work)(&mut next, root, tx)).map_err(|error| format!("use: {error}"))?;
        if Model::of(&pool.read()) != Ok(next) {
            return Err("the next transaction did something else".to_owned());
        }
        let emptied = pool.write(|root, _| {
            *root = Root::default();
            Ok(())
        });
        emptied.map_err(|error| format!("empty: {error}"))?;
        match pool.stats().heap.live_blocks - self.empty {
            0 => Ok(()),
            left => Err(format!("{left} blocks are left over")),
        }
    }
}

/// The mark that says that a step is durable, or 0.
fn durable_step(mode: Mode, mark: u64, steps: u64) -> u64 {
    (1..=steps).find(|step| acknowledged(mode, *step, Durability::Immediate) == mark).unwrap_or(0)
}

fn cut_everywhere(mode: Mode, steps: u64, work: Work, seed: u64) {
    let samples = number("POBJ_CRASH_SAMPLES").unwrap_or(3) as usize;
    let history = History::record(mode, steps, work);
    let begun = Instant::now();
    let trace = history.media.trace();
    let (mut cuts, mut known, mut bytes) = (trace.cuts(), HashSet::new(), Vec::new());
    let (mut states, mut count) = (0u64, 0u64);
    let mut last_version = None;
    while let Some(point) = cuts.next() {
        // The marks so far: how far the program had come.
        let marks: Vec<u64> = point.marks().collect();
        if !marks.contains(&created()) || point.presence() != Presence::Present {
            continue;
        }
        let ceiling = (1..=steps).filter(|step| marks.contains(&started(*step))).max().unwrap_or(0);
        let floor = marks.iter().map(|mark| durable_step(mode, *mark, steps)).max().unwrap_or(0);
        if last_version == Some((point.version(), floor, ceiling)) || point.grows() {
            continue;
        }
        last_version = Some((point.version(), floor, ceiling));
        count += 1;
        for choice in point.choices(samples, seed) {
            point.build_into(&choice, &mut bytes);
            states += 1;
            if known.insert((fingerprint(&bytes), floor, ceiling))
                && let Err(found) = history.check(&bytes, floor, ceiling)
            {
                panic!("{mode:?}, POBJ_SEED={seed}, cut {}, {choice:?}: {found}", point.index());
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{mode:?}: {count} cuts, {states} states, {} distinct, {seconds:.1} s", known.len());
    assert!(count > steps, "{count} cuts");
}

#[test]
fn queues_lists_and_sets_survive_power_cuts() {
    let seed = seed("crash_sequences");
    for mode in Mode::ALL {
        cut_everywhere(mode, 24, Model::work, seed);
    }
}

/// In place, a word that changes and changes back may reach the medium in between: it must be flushed like any other.
#[test]
fn a_word_that_changes_and_changes_back_survives_power_cuts() {
    let seed = seed("crash_sequences");
    for mode in Mode::ALL {
        cut_everywhere(mode, 11, change_back, seed);
    }
}
