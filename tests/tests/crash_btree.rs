//! Power cuts and kills while an ordered map grows and shrinks: leaves that split and merge, neighbours that share their
//! elements, a tree that becomes a level higher and lower, in every mode.
//!
//! A state passes if the pool opens with validation, holds exactly what it held after a transaction between the last
//! acknowledged and the last started one, in order, has as many blocks in use as then, and can be changed, emptied and
//! left with nothing but its root.
//!
//! Catches: an element that moved without being remembered; a count, a child or a level that is changed beside the
//! transaction; a node that is freed before it is durable that nothing refers to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use pobj::media::Media;
use pobj::media::sim::{Presence, Trace, fingerprint};
use pobj::{Durability, Error, Options, PBTreeMap, PString, Persistent, Pool, Result, Tx};
use tests::crash::{Effort, MAX_SIZE, Mode, acknowledged, created, oracle, started};
use tests::workload::word;

/// Six of these fill a leaf, so a few dozen make a tree of three levels.
type Wide = [u64; 64];

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    step: u64,
    words: PBTreeMap<'p, u64, u64>,
    wide: PBTreeMap<'p, u8, Wide>,
    names: PBTreeMap<'p, PString<'p>, ()>,
}

/// What a transaction does: keys from, count, step between two; removed if the last is true.
type Step = (u64, u64, u64, bool);

const STEPS: [Step; 16] = [
    (100, 20, 1, false),
    // The first split, at the right end; then at the left end and in the middle.
    (120, 30, 1, false),
    (0, 30, 3, false),
    (1, 25, 3, false),
    (2, 25, 3, false),
    // Values that change in their place.
    (100, 20, 2, false),
    (3, 1, 1, true),
    // Merges in the middle, at the right end, of inner nodes.
    (110, 25, 1, true),
    (140, 10, 1, true),
    (0, 20, 2, true),
    (200, 40, 5, false),
    (201, 12, 7, false),
    (203, 30, 1, false),
    (1, 130, 1, true),
    (200, 180, 1, true),
    // What is left, with the roots.
    (0, 500, 1, true),
];

/// What the pool holds: keys and values of the first map, keys and first words of the second, and blocks in use.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown {
    step: u64,
    words: BTreeMap<u64, u64>,
    wide: BTreeMap<u8, u64>,
    blocks: u64,
}

fn small(key: u64) -> u8 {
    (key % 100) as u8
}

fn change<'p>(app: &mut App<'p>, tx: &Tx<'p>, (from, count, stride, removed): Step) -> Result<()> {
    for key in (0..count).map(|index| from + index * stride) {
        if removed {
            app.words.remove(&key, tx);
            app.wide.remove(&small(key), tx);
            app.names.remove(key.to_string().as_str(), tx);
        } else {
            app.words.insert(tx, key, key + app.step)?;
            app.wide.insert(tx, small(key), [key; 64])?;
            app.names.get_or_insert_with(key.to_string().as_str(), tx, || {
                Ok((PString::from_str(tx, &key.to_string())?, ()))
            })?;
        }
    }
    Ok(())
}

fn change_model(shown: &mut Shown, (from, count, stride, removed): Step) {
    for key in (0..count).map(|index| from + index * stride) {
        if removed {
            shown.words.remove(&key);
            shown.wide.remove(&small(key));
        } else {
            shown.words.insert(key, key + shown.step);
            shown.wide.insert(small(key), key);
        }
    }
}

/// All that an open pool shows; an error if its maps disagree.
fn observe(pool: &Pool<App<'static>>) -> std::result::Result<Shown, String> {
    let app = pool.read();
    let words: Vec<(u64, u64)> = app.words.iter().map(|(key, value)| (*key, *value)).collect();
    let names = app.names.keys().filter(|name| !name.parse().is_ok_and(|key| app.words.contains_key(&key)));
    let sorted = words.is_sorted_by(|one, other| one.0 < other.0) && words.len() == app.words.len();
    let wide = app.wide.iter().all(|(key, value)| {
        let first = value[0];
        *key == small(first) && value.iter().all(|word| *word == first)
    });
    let whole = app.wide.len() == app.wide.iter().count();
    if !sorted
        || !wide
        || !whole
        || !app.wide.keys().is_sorted()
        || names.count() > 0
        || app.names.len() != words.len()
    {
        return Err(format!("maps that disagree after step {}: {app:?}", app.step, app = words));
    }
    Ok(Shown {
        step: app.step,
        words: words.into_iter().collect(),
        wide: app.wide.iter().map(|(key, value)| (*key, value[0])).collect(),
        blocks: pool.stats().heap.live_blocks,
    })
}

fn options(mode: Mode) -> Options<App<'static>> {
    static OPTIONS: OnceLock<Options<App<'static>>> = OnceLock::new();
    let make = || Pool::<App>::options().size(64 << 10).max_size(MAX_SIZE).ring_size(64 << 10);
    OPTIONS.get_or_init(|| make().validation_threads(1)).clone().image(mode.image())
}

/// Opens a state, compares it, changes it, empties it. Gives the step that it shows.
fn use_state(mode: Mode, media: Arc<dyn Media>, known: &[Shown]) -> std::result::Result<u64, String> {
    let pool = options(mode).open_on(media).map_err(|error| format!("open: {error}"))?;
    let found = observe(&pool)?;
    match known.get(found.step as usize) {
        Some(known) if *known == found => {}
        _ => return Err(format!("what never was: {found:?}")),
    }
    let used = pool.write(|app, tx| change(app, tx, (50, 40, 1, false)));
    used.map_err(|error| format!("use: {error}"))?;
    observe(&pool)?;
    let emptied = pool.write(|app, tx| {
        app.words.clear();
        app.wide.retain(tx, |_, _| false);
        while app.names.pop_first(tx).is_some() {}
        Ok(())
    });
    emptied.map_err(|error| format!("empty: {error}"))?;
    match pool.stats().heap.live_blocks {
        1 => Ok(found.step),
        blocks => Err(format!("step {}: {blocks} blocks are left", found.step)),
    }
}

/// Cuts to try in each mode; others with another seed.
const CUTS: u64 = 60;

/// Cuts of the trace; gives how many states were opened.
fn check(
    mode: Mode,
    trace: &Trace,
    known: &[Shown],
    effort: Effort,
    ram: impl Fn(Vec<u8>) -> Arc<dyn Media>,
) -> usize {
    let mut outcomes: HashMap<u64, std::result::Result<u64, String>> = HashMap::new();
    let long = effort.states == usize::MAX;
    let every = if long { 1 } else { (trace.events().len() as u64 / CUTS).max(1) };
    let mut cuts = trace.cuts();
    let mut last = None;
    while let Some(point) = cuts.next() {
        let marks: Vec<u64> = point.marks().collect();
        let new = last != Some(point.version());
        let chosen = word(effort.seed, point.index() as u64, 0).is_multiple_of(every);
        if point.presence() != Presence::Present || !marks.contains(&created()) || !new || !chosen {
            continue;
        }
        last = Some(point.version());
        let steps = || (0..known.len() as u64).rev();
        let ceiling = steps().find(|step| marks.contains(&started(*step))).unwrap_or(0);
        let durable = |step: &u64| marks.contains(&acknowledged(mode, *step, Durability::Immediate));
        let floor = steps().find(durable).unwrap_or(0);
        let choices = point.choices(effort.samples.min(6), effort.seed);
        let states = choices.iter().map(|choice| point.build(choice)).chain([point.after_kill()]);
        for bytes in states {
            let outcome =
                outcomes.entry(fingerprint(&bytes)).or_insert_with(|| use_state(mode, ram(bytes), known));
            match outcome {
                Ok(step) if (floor..=ceiling).contains(step) => {}
                other => panic!(
                    "{mode:?}, cut {}, POBJ_SEED={}: {other:?}, expected step {floor} to {ceiling}",
                    point.index(),
                    effort.seed
                ),
            }
        }
    }
    outcomes.len()
}

#[test]
fn ordered_maps_survive_crashes() {
    let effort = Effort::from_environment();
    for mode in Mode::ALL {
        let media = mode.media();
        let options = options(mode).check_unlogged();
        let pool = options.create_on(Arc::new(media.clone()), |_| Ok(App::default())).unwrap();
        media.mark(created());
        let mut known = vec![observe(&pool).unwrap()];
        for (step, number) in STEPS.into_iter().zip(1..) {
            let mut shown = known[known.len() - 1].clone();
            shown.step = number;
            change_model(&mut shown, step);
            // What is given up leaves nothing.
            let given_up = pool.write(|app, tx| {
                change(app, tx, (40, 60, 1, number % 2 == 0))?;
                Err::<(), _>(Error::abort("on purpose"))
            });
            assert!(matches!(given_up, Err(Error::Aborted(_))), "{given_up:?}");
            media.mark(started(number));
            pool.write(|app, tx| {
                app.step = number;
                change(app, tx, step)
            })
            .unwrap();
            media.mark(acknowledged(mode, number, Durability::Immediate));
            let found = observe(&pool).unwrap();
            assert_eq!((&found.words, &found.wide), (&shown.words, &shown.wide), "{mode:?}, step {number}");
            known.push(found);
            if number % 5 == 0 {
                pool.checkpoint().unwrap();
            }
        }
        assert_eq!(known[STEPS.len()].blocks, 1, "a block is left");
        pool.close().unwrap();
        oracle::assert_clean(mode, &media.trace());
        let begun = Instant::now();
        let states =
            check(mode, &media.trace(), &known, effort, |bytes| Arc::new(media.ram_with_bytes(bytes)));
        println!("{mode:?}: {states} states, {:.1} s", begun.elapsed().as_secs_f64());
        assert!(states > 50, "{states}");
    }
}
