//! Any bytes as a file: whole, or as edits to a pool or log that is good.
//!
//! ```text
//! byte 0   bits 0..4 which source; bit 6: what follows is the file; bit 7: checksums are made right afterwards
//! edits    place u16, kind u8, operand: a word, a place, or nothing
//! ```

use std::cell::RefCell;
use std::thread::LocalKey;

use super::{Input, keep};
use crate::damage::{Bench, Damage, Edit, NAMES, Plan, Source, source};

const WHOLE: u8 = 1 << 6;
const FORGED: u8 = 1 << 7;
const EDITS_MAX: usize = 64;
const PLANTED: &[u8] = b"\x00pob";

struct Patient {
    source: &'static Source,
    plan: Plan<'static>,
    bench: Bench<'static>,
}

thread_local! {
    static PATIENTS: RefCell<Vec<Option<Patient>>> = const { RefCell::new(Vec::new()) };
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
    let which = head as usize % 16 % NAMES.len();
    with(&PATIENTS, which, |patient| {
        let damage = match head & WHOLE {
            0 => edits(&mut input, patient, head & FORGED != 0),
            _ => whole(input.0, patient.source, head & FORGED != 0),
        };
        let outcome = patient.bench.treat(&damage);
        if let Err(wrong) = outcome.fate {
            panic!("{}: {wrong}: {damage}", patient.source.name);
        }
    });
}

fn with(
    patients: &'static LocalKey<RefCell<Vec<Option<Patient>>>>,
    which: usize,
    use_it: impl FnOnce(&mut Patient),
) {
    patients.with_borrow_mut(|patients| {
        patients.resize_with(NAMES.len(), || None);
        let patient = patients[which].get_or_insert_with(|| {
            let made: &'static Source = keep(source(NAMES[which]));
            let plan = Plan::new(made, made.later.clone(), 0, 1, 0);
            Patient { source: made, plan, bench: Bench::new(made) }
        });
        use_it(patient);
    });
}

/// The file itself; where it says that it is a pool, it lies where the sources do.
fn whole(bytes: &[u8], source: &Source, forged: bool) -> Damage {
    let mut bytes = bytes.to_vec();
    for header in [0, 0x1000] {
        if forged && bytes.get(header..header + 7) == Some(b"pobjhea") && bytes.len() >= header + 72 {
            bytes[header + 64..header + 72].copy_from_slice(&source.bytes[64..72]);
        }
    }
    Damage { whole: Some(bytes), forged, ..Damage::default() }
}

fn edits(input: &mut Input<'_>, patient: &Patient, forged: bool) -> Damage {
    let bytes = &patient.source.bytes;
    let word = |at: usize| bytes.get(at..at + 8).unwrap_or(&[0; 8]).to_vec();
    let mut damage = Damage { forged, ..Damage::default() };
    while !input.is_empty() && damage.edits.len() < EDITS_MAX {
        let at = patient.plan.place(input.short());
        let new: Vec<u8> = match input.byte() % 9 {
            0 => vec![input.byte()],
            1 => vec![bytes.get(at).copied().unwrap_or(0) ^ 1 << (input.byte() % 8)],
            2 => input.word().to_le_bytes().into(),
            3 => u64::from(input.short()).to_le_bytes().into(),
            4 => patient.plan.lie(at, input.byte()).to_le_bytes().into(),
            5 => word(patient.plan.place(input.short())),
            6 => patient.plan.target(input.short()).to_le_bytes().into(),
            7 => vec![input.byte(); 1 << (input.byte() % 10)],
            _ => {
                damage.cut = Some(at);
                continue;
            }
        };
        damage.edits.push(Edit { at, bytes: new });
    }
    damage
}
