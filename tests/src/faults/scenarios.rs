//! The scenarios: everything that pobj asks the system for, and in every way.

use pobj::blk::Blocks;
use pobj::kv::{Hash, Ordered};
use pobj::log::Log;
use pobj::pmem::MappedFile;

use super::machine::{Act, Animals, Machine, Reading, Shared, Work, ZooAct};
use super::stores::{BlkAct, KvAct, LogAct, Records};
use super::{Scenario, Script, Step};
use crate::workload::KillMode::{self, Eventual, Immediate, InPlace, Line};
use crate::workload::Op;

use Act::{Abort, Checkpoint, GrowAhead, Sync, Write};
use Step::{Close, Create, Open};

fn script<M: Machine + 'static>(
    name: &'static str,
    mode: KillMode,
    before: impl IntoIterator<Item = Step<M::Act>>,
    steps: impl IntoIterator<Item = Step<M::Act>>,
) -> Box<dyn Scenario> {
    let (before, steps) = (before.into_iter().collect(), steps.into_iter().collect());
    Box::new(Script::<M> { name, mode, before, steps })
}

fn acts<A>(acts: impl IntoIterator<Item = A>) -> Vec<Step<A>> {
    acts.into_iter().map(Step::Act).collect()
}

/// A new one, these acts, and a close.
fn made<A>(of: impl IntoIterator<Item = A>) -> Vec<Step<A>> {
    let mut steps = vec![Create];
    steps.extend(acts(of));
    steps.push(Close);
    steps
}

/// What is there is opened, these acts, and a close.
fn opened<A>(of: impl IntoIterator<Item = A>) -> Vec<Step<A>> {
    let mut steps = made(of);
    steps[0] = Open;
    steps
}

/// A new one, these acts, and no close: a kill.
fn killed<A>(of: impl IntoIterator<Item = A>) -> Vec<Step<A>> {
    let mut steps = made(of);
    steps.pop();
    steps
}

fn some_work() -> Vec<Act> {
    vec![
        Write(Op::Push(5)),
        Act::Eventual(Op::PushLarge),
        Write(Op::Touch(2)),
        Write(Op::SetHuge),
        Write(Op::Pop(2)),
    ]
}

fn growth() -> Vec<Act> {
    let mut all = vec![Write(Op::PushLarge); 5];
    all.extend([GrowAhead, Write(Op::SetHuge), Write(Op::PushLarge), GrowAhead, Write(Op::PushLarge)]);
    all
}

/// Transactions larger than the ring, and what they free.
fn spill() -> Vec<Act> {
    vec![
        Write(Op::SetHuge),
        Write(Op::Push(1)),
        Write(Op::SetHuge),
        Write(Op::DropHuge),
        Checkpoint,
        Abort(Op::SetHuge),
        Write(Op::SetHuge),
        Write(Op::Clear),
        Write(Op::SetHuge),
    ]
}

fn commits() -> Vec<Act> {
    vec![
        Write(Op::Push(2)),
        Act::Eventual(Op::Push(3)),
        Sync,
        Act::Eventual(Op::Touch(1)),
        Abort(Op::PushLarge),
        Write(Op::Pop(1)),
        Checkpoint,
        Act::Eventual(Op::PushLarge),
        Write(Op::PopLarge),
        Checkpoint,
        Sync,
        Write(Op::Push(1)),
    ]
}

fn structures() -> Vec<ZooAct> {
    vec![ZooAct::Live, ZooAct::Abort, ZooAct::Live, ZooAct::Checkpoint, ZooAct::Live]
}

fn records() -> Vec<KvAct> {
    use KvAct::{Batch, Clear, Put, Remove, Snapshot, Sync};
    vec![Put(1), Put(90), Snapshot, Batch(20), Put(90), Remove(1), Sync, Snapshot, Clear, Put(3), Batch(100)]
}

fn entries() -> Vec<LogAct> {
    use LogAct::{Append, Rewind, Several, Sync};
    vec![
        Append(100),
        Append(9000),
        Several(30),
        Sync,
        Append(1),
        Rewind,
        Append(500),
        Several(4000),
        Append(70),
    ]
}

fn blocks() -> Vec<BlkAct> {
    use BlkAct::{Checkpoint, Many, Write, Zero};
    vec![Write(1), Write(23), Many(8), Zero(9), Checkpoint, Write(9), Many(0), Zero(23), Write(20)]
}

/// All scenarios.
#[must_use]
pub fn all() -> Vec<Box<dyn Scenario>> {
    let first = [Write(Op::Push(3))];
    let threads = || [3, 1, 4];
    vec![
        script::<Work>("create", Immediate, [], made(first)),
        script::<Work>("create", Line, [], made(first)),
        script::<Work>("create", InPlace, [], made(first)),
        script::<Work>("open", Immediate, made(some_work()), opened(first)),
        script::<Work>("open", InPlace, made(some_work()), opened(first)),
        script::<Work>("recover", Immediate, killed(some_work()), opened(first)),
        script::<Work>("recover", Line, killed(some_work()), opened(first)),
        script::<Work>("recover", InPlace, killed(some_work()), opened(first)),
        script::<Work>("commit, sync and checkpoint", Immediate, made(some_work()), opened(commits())),
        script::<Work>("commit, sync and checkpoint", Eventual, made(some_work()), opened(commits())),
        script::<Work>("commit, sync and checkpoint", InPlace, made(some_work()), opened(commits())),
        script::<Work>("grow, and grow ahead", Immediate, made(first), opened(growth())),
        script::<Work>("grow, and grow ahead", InPlace, made(first), opened(growth())),
        script::<Work>("spill and free", Immediate, made(first), opened(spill())),
        script::<Work>("spill and free", Line, made(first), opened(spill())),
        script::<Work>("spill and free", InPlace, made(first), opened(spill())),
        script::<Reading>("read what a kill left", Immediate, [Create], [Open, Step::Act(()), Close]),
        script::<Animals>("every structure", Immediate, [], made(structures())),
        script::<Animals>("every structure", InPlace, killed(structures()), opened([ZooAct::Live])),
        script::<Animals>("collect", Immediate, made(structures()), opened([ZooAct::Collect, ZooAct::Live])),
        script::<Shared>("threads share", Immediate, made([2]), opened(threads())),
        script::<Shared>("threads share", Line, made([2]), opened(threads())),
        script::<Records<Hash>>("kv by hash", Immediate, [], made(records())),
        script::<Records<Ordered>>(
            "kv in order, with snapshots",
            Immediate,
            made(records()),
            opened(records()),
        ),
        script::<Records<Ordered>>("kv in order, recovered", Line, killed(records()), opened(records())),
        script::<Log>("log", Immediate, [], made(entries())),
        script::<Log>("log", Eventual, made(entries()), opened(entries())),
        script::<Log>("log, recovered", Line, killed(entries()), opened(entries())),
        script::<Blocks>("blocks", Immediate, [], made(blocks())),
        script::<Blocks>("blocks, recovered", Immediate, killed(blocks()), opened(blocks())),
        script::<MappedFile>("mapped file", Immediate, [], made([(0, 1), (5, 2), (0, 3)])),
        script::<MappedFile>("mapped file", Line, made([(1, 9)]), opened([(0, 1), (5, 2), (0, 3)])),
    ]
}
