//! The scripts: between them they do everything that a pool does to its medium.

use super::{Action, Op};
use pobj::Durability::{self, Eventual, Immediate};

fn writes(ops: &[Op], durability: Durability) -> Vec<Action> {
    ops.iter().map(|op| Action::Write(*op, durability)).collect()
}

/// Creation, a first commit, close.
#[must_use]
pub fn first_commit() -> Vec<Action> {
    writes(&[Op::Push(1)], Immediate)
}

/// Allocating, changing and freeing.
#[must_use]
pub fn allocate_and_free(durability: Durability) -> Vec<Action> {
    let mut script = writes(&[Op::Push(5), Op::Touch(2), Op::Pop(3), Op::Push(2), Op::Touch(1)], durability);
    script.push(Action::Abort(Op::Push(7)));
    script.extend(writes(&[Op::Clear, Op::Push(1)], durability));
    script.push(Action::Sync);
    script.extend(writes(&[Op::Push(1)], durability));
    script
}

/// Enough small commits for several laps of the ring, so that checkpoints happen by themselves.
#[must_use]
pub fn laps(durability: Durability) -> Vec<Action> {
    let mut script = writes(&[Op::Push(100)], durability);
    for round in 0..14 {
        script.extend(writes(&[Op::Touch(1 + round % 2), Op::Push(2), Op::Pop(2)], durability));
    }
    script
}

/// Growth of the pool, transactions larger than the ring, space given back and taken again.
#[must_use]
pub fn grow_and_spill(durability: Durability) -> Vec<Action> {
    let mut script =
        writes(&[Op::PushLarge, Op::Push(3), Op::PushLarge, Op::SetHuge, Op::Touch(1)], durability);
    script.extend(writes(&[Op::SetHuge, Op::PopLarge, Op::DropHuge, Op::Push(1)], durability));
    script.push(Action::Checkpoint);
    script.extend(writes(&[Op::Push(1), Op::SetHuge, Op::PushLarge, Op::Clear, Op::SetHuge], durability));
    script
}

/// The file is longer than the pool while it grows, while bodies outside the ring come and go, and across a reopening.
#[must_use]
pub fn grow_ahead(durability: Durability) -> Vec<Action> {
    let mut script = vec![Action::GrowAhead];
    script.extend(writes(&[Op::SetHuge, Op::DropHuge], durability));
    script.push(Action::Checkpoint);
    // Into the place of the one before, so that only its body outside the ring makes the file longer.
    script.extend(writes(&[Op::SetHuge], durability));
    script.push(Action::GrowAhead);
    script.extend(writes(&[Op::PushLarge, Op::PushLarge, Op::DropHuge, Op::PushLarge], durability));
    script.push(Action::GrowAhead);
    script.extend(writes(&[Op::PushLarge, Op::PushLarge, Op::SetHuge], durability));
    script.push(Action::Reopen);
    script.push(Action::GrowAhead);
    script.extend(writes(&[Op::PushLarge, Op::Push(1)], durability));
    script
}

/// Space that was made ready is taken by records that nothing else makes durable: no body outside the ring, no checkpoint.
#[must_use]
pub fn take_what_is_ready(durability: Durability) -> Vec<Action> {
    let mut script = vec![Action::GrowAhead];
    script.extend(writes(&[Op::PushLarge; 5], durability));
    script
}

/// What was rolled back stays so when its old words in the ring are given up.
#[must_use]
pub fn abort_and_go_on() -> Vec<Action> {
    let mut script = writes(&[Op::Push(5)], Immediate);
    for every in 1..3 {
        script.push(Action::Abort(Op::Touch(every)));
        script.push(Action::Checkpoint);
        script.extend(writes(&[Op::Push(1)], Immediate));
        script.push(Action::Checkpoint);
    }
    script
}

/// As much is rolled back as the ring's part for old words does not hold; in place they lie behind the pool until then.
#[must_use]
pub fn abort_much() -> Vec<Action> {
    let mut script = writes(&[Op::Push(160)], Immediate);
    script.push(Action::Abort(Op::Touch(1)));
    script.extend(writes(&[Op::Push(1)], Immediate));
    script
}

/// Checkpoints, syncs, closing and reopening between commits of both kinds.
#[must_use]
pub fn mixed() -> Vec<Action> {
    let mut script = writes(&[Op::Push(2), Op::Touch(1)], Eventual);
    script.push(Action::Write(Op::Push(1), Immediate));
    script.extend(writes(&[Op::Push(1), Op::Pop(2)], Eventual));
    script.push(Action::Checkpoint);
    script.push(Action::Checkpoint);
    script.extend(writes(&[Op::PushLarge, Op::Push(1)], Eventual));
    script.push(Action::Reopen);
    script.push(Action::Write(Op::Touch(1), Immediate));
    script.push(Action::Abort(Op::SetHuge));
    script.push(Action::Write(Op::PopLarge, Eventual));
    script.push(Action::Sync);
    script.push(Action::Sync);
    script.push(Action::Reopen);
    script.push(Action::Write(Op::Push(1), Eventual));
    script
}

/// All scripts by name, the shortest first.
#[must_use]
pub fn all() -> Vec<(&'static str, Vec<Action>)> {
    vec![
        ("first commit", first_commit()),
        ("allocate and free", allocate_and_free(Immediate)),
        ("allocate and free, Eventual", allocate_and_free(Eventual)),
        ("abort and go on", abort_and_go_on()),
        ("abort much", abort_much()),
        ("mixed", mixed()),
        ("take what is ready", take_what_is_ready(Immediate)),
        ("laps", laps(Immediate)),
        ("laps, Eventual", laps(Eventual)),
        ("grow ahead", grow_ahead(Immediate)),
        ("grow ahead, Eventual", grow_ahead(Eventual)),
        ("grow and spill", grow_and_spill(Immediate)),
        ("grow and spill, Eventual", grow_and_spill(Eventual)),
    ]
}
