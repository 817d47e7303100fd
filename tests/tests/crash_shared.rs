//! Power cuts and kills while shared pointers are cloned, dropped, unwrapped and collected, in every mode.
//!
//! A state passes if the pool opens with validation (which compares each count with the pointers), shows exactly what it
//! held after a transaction between the last acknowledged and the last started one, has as many blocks in use and as
//! many unreachable ones as then, and can be emptied and collected to nothing but its root.
//!
//! Catches: a count that is changed beside the transaction, before or after it; a value that is freed before its last
//! pointer's drop is durable; half a collection; a cell whose change is not in the record.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use pobj::media::Media;
use pobj::media::sim::{Presence, Trace, fingerprint};
use pobj::{
    Durability, Options, PArc, PArcWeak, PBox, PCell, POption, PRc, PRefCell, PVec, PWeak, Persistent, Pool,
    Result, Tx,
};
use tests::crash::{Effort, MAX_SIZE, Mode, acknowledged, created, oracle, started};

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    step: u64,
    nodes: PVec<'p, PRc<'p, Node<'p>>>,
    weak: PVec<'p, PWeak<'p, Node<'p>>>,
    crowd: [Option<PArc<'p, PBox<'p, u64>>>; 2],
    watch: Option<PArcWeak<'p, PBox<'p, u64>>>,
}

#[derive(Persistent)]
#[repr(C)]
struct Node<'p> {
    owned: PBox<'p, u64>,
    visits: PCell<'p, u64>,
    limit: POption<u64>,
    next: PRefCell<'p, Option<PRc<'p, Node<'p>>>>,
}

fn node<'p>(tx: &Tx<'p>, value: u64) -> Result<PRc<'p, Node<'p>>> {
    let owned = PBox::new(tx, value)?;
    PRc::new(tx, Node { owned, visits: PCell::new(0), limit: value.into(), next: PRefCell::default() })
}

type Step = for<'p> fn(&mut App<'p>, &Tx<'p>) -> Result<()>;

/// What is done; `None` collects.
const STEPS: [Option<Step>; 14] = [
    Some(|app, tx| {
        for value in 1..4 {
            let node = node(tx, value)?;
            app.weak.push(tx, PRc::downgrade(&node, tx))?;
            app.nodes.push(tx, node)?;
        }
        Ok(())
    }),
    Some(|app, tx| {
        app.nodes[0].next.replace(Some(app.nodes[1].clone(tx)), tx);
        app.nodes[1].next.replace(Some(app.nodes[2].clone(tx)), tx);
        app.nodes[2].visits.set(5, tx);
        Ok(())
    }),
    // Two of the three live on through their neighbours.
    Some(|app, _| {
        app.nodes.truncate(1);
        Ok(())
    }),
    Some(|app, tx| {
        let last = app.weak[2].upgrade(tx).ok_or_else(|| pobj::Error::abort("it is alive"))?;
        last.visits.update(tx, |visits| visits + 1);
        app.nodes.push(tx, last)
    }),
    // A chain dies but for its end.
    Some(|app, tx| {
        app.nodes.swap_remove(0, tx);
        std::mem::forget(app.weak[0].clone(tx));
        std::mem::forget(node(tx, 4)?);
        Ok(())
    }),
    None,
    Some(|app, tx| {
        app.weak.clear();
        app.crowd[0] = Some(PArc::new(tx, PBox::new(tx, 7)?)?);
        app.crowd[1] = app.crowd[0].as_ref().map(|shared| shared.clone(tx)).transpose()?;
        app.watch = app.crowd[0].as_ref().map(|shared| PArc::downgrade(shared, tx)).transpose()?;
        Ok(())
    }),
    // A cycle, and what was forgotten.
    Some(|app, tx| {
        let (one, two) = (node(tx, 10)?, node(tx, 11)?);
        one.next.replace(Some(two.clone(tx)), tx);
        app.weak.push(tx, PRc::downgrade(&two, tx))?;
        two.next.replace(Some(one), tx);
        std::mem::forget(app.nodes[0].clone(tx));
        std::mem::forget(PBox::new(tx, [9u64; 20])?);
        Ok(())
    }),
    Some(|app, _| {
        app.crowd[0] = None;
        Ok(())
    }),
    None,
    Some(|app, tx| {
        app.crowd[1] = None;
        let last = app.nodes.pop().ok_or_else(|| pobj::Error::abort("it is there"))?;
        let last = PRc::into_inner(last, tx).ok_or_else(|| pobj::Error::abort("it has one owner"))?;
        app.nodes.push(
            tx,
            PRc::new_cyclic(tx, |weak| {
                app.weak.push(tx, weak.clone(tx))?;
                Ok(last)
            })?,
        )
    }),
    Some(|app, tx| {
        let node = app.weak[1].upgrade(tx).ok_or_else(|| pobj::Error::abort("it is alive"))?;
        node.next.replace(app.nodes.pop(), tx);
        // A cycle of one.
        Ok(())
    }),
    None,
    Some(|app, _| {
        app.weak.clear();
        app.watch = None;
        Ok(())
    }),
];

/// What a pool shows, and how many blocks nothing reaches.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    text: String,
    unreachable: u64,
}

/// A node and what follows, a few steps far.
fn show(node: &PRc<'_, Node<'_>>, depth: u32, text: &mut String) {
    let counts = (PRc::strong_count(node), PRc::weak_count(node));
    *text += &format!("{counts:?} {} {} {:?} -> ", node.owned, node.visits.get(), node.limit);
    if let Some(next) = &*node.next.borrow()
        && depth > 0
    {
        show(next, depth - 1, text);
    }
}

/// All that an open pool shows.
fn observe(pool: &Pool<App<'static>>) -> String {
    let app = pool.read();
    let mut text = format!("step {}: ", app.step);
    app.nodes.iter().for_each(|node| show(node, 4, &mut text));
    for weak in &app.weak {
        text += &format!("| {} {} ", weak.strong_count(), weak.weak_count());
    }
    text + &format!("{:?} {:?} {}", app.crowd, app.watch, pool.stats().heap.live_blocks)
}

fn options(mode: Mode) -> Options<App<'static>> {
    static OPTIONS: OnceLock<Options<App<'static>>> = OnceLock::new();
    let make = || Pool::<App>::options().size(64 << 10).max_size(MAX_SIZE).ring_size(64 << 10);
    OPTIONS.get_or_init(|| make().validation_threads(1)).clone().image(mode.image())
}

/// Opens a state, looks at it, empties it. Gives the step that it shows.
fn use_state(mode: Mode, media: Arc<dyn Media>, known: &[Shown]) -> Result<u64, String> {
    let pool = options(mode).open_on(media).map_err(|error| format!("open: {error}"))?;
    let found = Shown { text: observe(&pool), unreachable: pool.stats().opened.unreachable_blocks };
    let step = known.iter().position(|known| *known == found);
    let step = step.ok_or_else(|| format!("what never was: {found:?}"))?;
    let emptied = pool.write(|app, _| {
        *app = App::default();
        Ok(())
    });
    emptied.and_then(|()| pool.collect()).map_err(|error| format!("use: {error}"))?;
    match pool.stats().heap.live_blocks {
        1 => Ok(step as u64),
        blocks => Err(format!("step {step}: {blocks} blocks are left")),
    }
}

/// Every cut of the trace; gives how many states were opened.
fn check(
    mode: Mode,
    trace: &Trace,
    known: &[Shown],
    effort: Effort,
    ram: impl Fn(Vec<u8>) -> Arc<dyn Media>,
) -> usize {
    let mut outcomes: HashMap<u64, Result<u64, String>> = HashMap::new();
    let mut cuts = trace.cuts();
    let mut last = None;
    while let Some(point) = cuts.next() {
        let marks: Vec<u64> = point.marks().collect();
        if point.presence() != Presence::Present
            || !marks.contains(&created())
            || last == Some(point.version())
        {
            continue;
        }
        last = Some(point.version());
        let steps = || (0..known.len() as u64).rev();
        let ceiling = steps().find(|step| marks.contains(&started(*step))).unwrap_or(0);
        let durable = |step: &u64| marks.contains(&acknowledged(mode, *step, Durability::Immediate));
        let floor = steps().find(durable).unwrap_or(0);
        let choices = point.choices(effort.samples, effort.seed);
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
fn shared_values_survive_crashes() {
    let effort = Effort::from_environment();
    for mode in Mode::ALL {
        let media = mode.media();
        let checked = || options(mode).check_unlogged();
        let pool = checked().create_on(Arc::new(media.clone()), |_| Ok(App::default())).unwrap();
        media.mark(created());
        let shown = |pool: Pool<App<'static>>| {
            let text = observe(&pool);
            pool.close().unwrap();
            let pool = options(mode).open_on(Arc::new(media.ram_with_bytes(media.bytes()))).unwrap();
            Shown { text, unreachable: pool.stats().opened.unreachable_blocks }
        };
        let mut known = vec![shown(pool)];
        for (step, number) in STEPS.into_iter().zip(1..) {
            let pool = checked().open_on(Arc::new(media.clone())).unwrap();
            media.mark(started(number));
            match step {
                Some(step) => pool.write(|app, tx| {
                    app.step = number;
                    step(app, tx)
                }),
                None => pool.collect().map(|collected| assert!(collected.blocks > 0)),
            }
            .unwrap();
            media.mark(acknowledged(mode, number, Durability::Immediate));
            known.push(shown(pool));
        }
        oracle::assert_clean(mode, &media.trace());
        let begun = Instant::now();
        let states =
            check(mode, &media.trace(), &known, effort, |bytes| Arc::new(media.ram_with_bytes(bytes)));
        println!("{mode:?}: {states} states, {:.1} s", begun.elapsed().as_secs_f64());
        assert!(states > 50, "{states}");
    }
}
