//! What a crash left, damaged: a script in one of five modes is cut, some of what was pending survives, and bytes are
//! flipped. Without a flip the state must be one that the program went through; with flips it may be refused.
//!
//! ```text
//! byte 0   which mode; bit 7: checksums are made right afterwards
//! u16      which cut           byte    which of what was pending survives
//! flips    offset u16 and page u8, mask u8
//! ```

use std::cell::RefCell;
use std::sync::Arc;

use pobj::Durability::{Eventual, Immediate};
use pobj::media::Media;
use pobj::media::sim::{Choice, CrashPoint, Presence, Trace};

use super::{Input, keep};
use crate::crash::{Action, History, Mode, run as run_script};
use crate::damage::Forge;
use crate::workload::{Model, Op};

const FORGED: u8 = 1 << 7;
/// Cuts of each mode: the states of a mode are kept, and each takes half a megabyte.
const CUTS: usize = 40;
const SAMPLES: usize = 16;
const FLIPS_MAX: usize = 32;
const PLANTED: &[u8] = b"\x01pob";

struct Scene {
    mode: Mode,
    history: History,
    /// Cuts, and what may have survived of what was pending.
    points: Vec<(CrashPoint<'static>, Vec<Choice>)>,
}

thread_local! {
    static SCENES: RefCell<Vec<Option<Scene>>> = const { RefCell::new(Vec::new()) };
}

fn script() -> Vec<Action> {
    let write = |op| Action::Write(op, Immediate);
    let later = |op| Action::Write(op, Eventual);
    vec![
        write(Op::Push(5)),
        later(Op::Touch(2)),
        later(Op::PushLarge),
        write(Op::Pop(2)),
        Action::Abort(Op::Push(3)),
        write(Op::SetHuge),
        later(Op::Push(9)),
        Action::Checkpoint,
        write(Op::Touch(1)),
        later(Op::PushLarge),
        write(Op::DropHuge),
        Action::Reopen,
        later(Op::Push(4)),
        write(Op::SetHuge),
        write(Op::PopLarge),
        later(Op::Touch(3)),
        write(Op::Clear),
        later(Op::Push(2)),
    ]
}

fn scene(mode: Mode) -> Scene {
    let history = run_script(mode, &script(), &[]);
    assert!(history.error.is_none(), "the script runs");
    let trace: &'static Trace = keep(history.media.trace());
    let (events, mut points, mut cuts) = (trace.events().len(), Vec::new(), trace.cuts());
    let mut next = 0;
    while let Some(point) = cuts.next() {
        // Before the pool has its name there may be nothing; from then on, evenly.
        if point.presence() == Presence::Present && point.index() >= next {
            points.push((point.clone(), point.choices(SAMPLES, 7)));
            next = point.index() + (events / CUTS).max(1);
        }
    }
    Scene { mode, history, points }
}

/// Opens and uses what the bytes say.
///
/// # Panics
///
/// On a finding.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    assert!(!input.is_planted(PLANTED), "the planted bug");
    let head = input.byte();
    let which = head as usize % 16 % Mode::ALL.len();
    SCENES.with_borrow_mut(|scenes| {
        scenes.resize_with(Mode::ALL.len(), || None);
        let scene = scenes[which].get_or_insert_with(|| scene(Mode::ALL[which]));
        let (point, choices) = &scene.points[input.short() as usize % scene.points.len()];
        let mut bytes = point.build(&choices[input.byte() as usize % choices.len()]);
        let mut flips = 0;
        while !input.is_empty() && flips < FLIPS_MAX && !bytes.is_empty() {
            let (within, page, mask) = (input.short(), input.byte(), input.byte());
            let at = (usize::from(page) * 4096 + usize::from(within) % 4096) % bytes.len();
            flips += usize::from(mask != 0);
            bytes[at] ^= mask;
        }
        if head & FORGED != 0 {
            Forge::new(&mut bytes).pool();
        }
        let whole = flips == 0 && head & FORGED == 0;
        if let Err(wrong) = use_image(scene, bytes, whole) {
            panic!("{:?}, after {} events: {wrong}", scene.mode, point.index());
        }
    });
}

/// Opens, looks, changes, closes and opens again. `whole` if nothing but the crash has damaged it.
fn use_image(scene: &Scene, bytes: Vec<u8>, whole: bool) -> Result<(), String> {
    let media: Arc<dyn Media> = Arc::new(scene.history.media.ram_with_bytes(bytes));
    let open = || scene.mode.options().open_on(Arc::clone(&media));
    let pool = match open() {
        Ok(pool) => pool,
        Err(error) if whole => return Err(format!("refused: {error}")),
        Err(_) => return Ok(()),
    };
    let seen = Model::observe(&pool.read());
    if whole {
        let seen = seen?;
        if scene.history.models.get(seen.step as usize) != Some(&seen) {
            return Err(format!("a state that never was: {seen:?}"));
        }
    }
    // The program counts on, and would not notice that it counts too far.
    let op = Op::Push(if pool.read().steps() < 1 << 40 { 3 } else { 0 });
    match pool.write(|root, tx| if op == Op::Push(3) { op.apply(root, tx) } else { Ok(()) }) {
        Ok(()) => {}
        Err(pobj::Error::PoolFull { .. }) if !whole => {}
        Err(error) => return Err(format!("it opened, and a transaction failed: {error}")),
    }
    let after = Model::observe(&pool.read());
    pool.close().map_err(|error| format!("it opened, and closing failed: {error}"))?;
    let pool = open().map_err(|error| format!("it opened once, and not again: {error}"))?;
    if Model::observe(&pool.read()) != after {
        return Err("reopening changed its content".to_owned());
    }
    Ok(())
}
