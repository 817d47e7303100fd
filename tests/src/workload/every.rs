//! A root with one of everything that a pool can hold, a small change for each of its public operations, and its picture
//! in ordinary memory. Each thing is made only when a change first needs it, so that a pool stays as small as what was
//! done to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pobj::{
    PArc, PBTreeMap, PCell, PDeque, PHashMap, PHashSet, PList, PMutex, PRc, PRefCell, PRwLock, PString, PVec,
    PWeak, Persistent, Pool, Result, Tx,
};

use super::{Model, Op, Root, word};

/// A root with one of everything.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Every<'p> {
    base: Root<'p>,
    numbers: PVec<'p, u64>,
    text: PString<'p>,
    map: PHashMap<'p, u64, u64>,
    seen: PHashSet<'p, u64>,
    queue: PDeque<'p, u64>,
    list: PList<'p, u64>,
    tree: PBTreeMap<'p, u64, u64>,
    first: Option<PRc<'p, u64>>,
    second: Option<PRc<'p, u64>>,
    weak: Option<PWeak<'p, u64>>,
    left: Option<PArc<'p, u64>>,
    right: Option<PArc<'p, u64>>,
    cell: PCell<'p, u64>,
    ref_cell: PRefCell<'p, u64>,
    mutex: PMutex<'p, u64>,
    rw_lock: PRwLock<'p, u64>,
}

impl Every<'_> {
    /// Transactions so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.base.step
    }
}

/// What a transaction does, besides counting itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Named after the operations that they are.
pub enum Change {
    /// Boxes, small and large: what the older suites do.
    Boxes(Op),
    VecPush(u64),
    VecSet,
    VecInsert,
    VecRemove,
    VecShrink,
    TextPush,
    TextCut,
    MapInsert(u64),
    MapSet,
    MapRemove,
    SetInsert,
    SetRemove,
    QueuePush(u64),
    QueuePop,
    QueueTurn,
    ListPush(u64),
    ListRemove,
    ListMove,
    TreeInsert(u64),
    TreeRemove,
    RcNew,
    RcClone,
    RcDrop,
    ArcNew,
    ArcClone,
    ArcDrop,
    CellSet,
    RefCellSet,
    MutexSet,
    RwLockSet,
    /// Another root takes the place of all.
    Replace,
}

impl Change {
    /// One of each.
    pub const ALL: [Self; 40] = [
        Self::Boxes(Op::Push(1)),
        Self::Boxes(Op::Pop(1)),
        Self::Boxes(Op::Touch(1)),
        Self::Boxes(Op::PushLarge),
        Self::Boxes(Op::PopLarge),
        Self::Boxes(Op::SetHuge),
        Self::Boxes(Op::DropHuge),
        Self::Boxes(Op::Clear),
        Self::VecPush(1),
        Self::VecPush(40),
        Self::VecSet,
        Self::VecInsert,
        Self::VecRemove,
        Self::VecShrink,
        Self::TextPush,
        Self::TextCut,
        Self::MapInsert(1),
        Self::MapSet,
        Self::MapRemove,
        Self::SetInsert,
        Self::SetRemove,
        Self::QueuePush(1),
        Self::QueuePop,
        Self::QueueTurn,
        Self::ListPush(1),
        Self::ListRemove,
        Self::ListMove,
        Self::TreeInsert(1),
        Self::TreeRemove,
        Self::RcNew,
        Self::RcClone,
        Self::RcDrop,
        Self::ArcNew,
        Self::ArcClone,
        Self::ArcDrop,
        Self::CellSet,
        Self::RefCellSet,
        Self::MutexSet,
        Self::RwLockSet,
        Self::Replace,
    ];

    /// What must have been done before, so that this one does something.
    #[must_use]
    pub fn needs(self) -> Option<Self> {
        match self {
            Self::Boxes(Op::Pop(_) | Op::Touch(_) | Op::Clear) => Some(Self::Boxes(Op::Push(2))),
            Self::Boxes(Op::PopLarge) => Some(Self::Boxes(Op::PushLarge)),
            Self::Boxes(Op::DropHuge) => Some(Self::Boxes(Op::SetHuge)),
            Self::VecSet | Self::VecInsert | Self::VecRemove | Self::VecShrink => Some(Self::VecPush(3)),
            Self::TextCut => Some(Self::TextPush),
            Self::MapSet | Self::MapRemove => Some(Self::MapInsert(2)),
            Self::SetRemove => Some(Self::SetInsert),
            Self::QueuePop | Self::QueueTurn => Some(Self::QueuePush(3)),
            Self::ListRemove | Self::ListMove => Some(Self::ListPush(3)),
            Self::TreeRemove => Some(Self::TreeInsert(2)),
            Self::RcClone | Self::RcDrop => Some(Self::RcNew),
            Self::ArcClone | Self::ArcDrop => Some(Self::ArcNew),
            _ => None,
        }
    }

    /// The change of a step, chosen by a seed, such that the pool neither empties nor grows for ever.
    #[must_use]
    pub fn random(seed: u64, step: u64) -> Self {
        let random = word(seed, step, 3);
        match random % 40 {
            1 => Self::Boxes(Op::Clear),
            2 => Self::MapInsert(1 + random / 64 % 30),
            3 => Self::TreeInsert(1 + random / 64 % 30),
            4 => Self::QueuePush(1 + random / 64 % 20),
            5 => Self::ListPush(1 + random / 64 % 10),
            _ => Self::ALL[(random / 64 % Self::ALL.len() as u64) as usize],
        }
    }

    /// Does it in a pool.
    ///
    /// # Errors
    ///
    /// What taking memory returns.
    pub fn apply<'p>(self, root: &mut Every<'p>, tx: &Tx<'p>) -> Result<()> {
        if let Self::Boxes(op) = self {
            return op.apply(&mut root.base, tx);
        }
        root.base.step += 1;
        let step = root.base.step;
        match self {
            Self::TextPush => root.text.push_str(tx, &format!("step {step}, "))?,
            Self::TextCut => root.text.truncate(root.text.len() / 2)?,
            Self::RcNew => {
                let new = PRc::new(tx, step)?;
                root.weak = Some(PRc::downgrade(&new, tx));
                root.first = Some(new);
            }
            Self::RcClone => root.second = root.first.as_ref().map(|first| first.clone(tx)),
            Self::RcDrop => root.first = None,
            Self::ArcNew => root.left = Some(PArc::new(tx, step)?),
            Self::ArcClone => root.right = root.left.as_ref().map(|left| left.clone(tx)).transpose()?,
            Self::ArcDrop => root.left = None,
            Self::CellSet => root.cell.set(step, tx),
            Self::RefCellSet => *root.ref_cell.borrow_mut(tx) = step,
            Self::MutexSet => *root.mutex.lock(tx)? = step,
            Self::RwLockSet => *root.rw_lock.write(tx)? = step,
            Self::Replace => *root = Every { base: Root { step, ..Root::default() }, ..Every::default() },
            _ => return self.apply_to_collection(root, tx, step),
        }
        Ok(())
    }

    fn apply_to_collection<'p>(self, root: &mut Every<'p>, tx: &Tx<'p>, step: u64) -> Result<()> {
        let keys = |count: u64| (0..count).map(move |index| step * 100 + index);
        match self {
            Self::VecPush(count) => keys(count).try_for_each(|key| root.numbers.push(tx, key))?,
            Self::VecSet => root.numbers.get_mut(0, tx).into_iter().for_each(|first| *first = step),
            Self::VecInsert => root.numbers.insert(tx, 0, step)?,
            Self::VecRemove => drop(root.numbers.remove(0, tx)),
            Self::VecShrink => {
                root.numbers.truncate(1);
                root.numbers.shrink_to_fit(tx)?;
            }
            Self::MapInsert(count) => {
                keys(count).try_for_each(|key| root.map.insert(tx, key, step).map(drop))?;
            }
            Self::MapSet => root.map.values_mut(tx).for_each(|value| *value = step),
            Self::MapRemove => {
                let least = root.map.keys().min().copied();
                least.and_then(|key| root.map.remove(&key, tx));
            }
            Self::SetInsert => drop(root.seen.insert(tx, step)?),
            Self::SetRemove => {
                let least = root.seen.iter().min().copied();
                least.map(|key| root.seen.remove(&key, tx));
            }
            Self::QueuePush(count) => keys(count).try_for_each(|key| root.queue.push_back(tx, key))?,
            Self::QueuePop => drop(root.queue.pop_front()),
            Self::QueueTurn => root.queue.rotate_left(root.queue.len() / 2, tx)?,
            Self::ListPush(count) => {
                keys(count).try_for_each(|key| root.list.push_back(tx, key).map(drop))?;
            }
            Self::ListRemove => drop(root.list.pop_front(tx)),
            Self::ListMove => {
                let last = root.list.entries().next_back().map(|(key, _)| key);
                last.map(|key| root.list.move_to_front(key, tx));
            }
            Self::TreeInsert(count) => {
                keys(count).try_for_each(|key| root.tree.insert(tx, key, step).map(drop))?;
            }
            Self::TreeRemove => drop(root.tree.pop_first(tx)),
            _ => {}
        }
        Ok(())
    }

    /// Does it in the picture.
    pub fn apply_to_picture(self, picture: &mut Picture) {
        if let Self::Boxes(op) = self {
            return op.apply_to_model(&mut picture.base);
        }
        picture.base.step += 1;
        let step = picture.base.step;
        let keys = |count: u64| (0..count).map(move |index| step * 100 + index);
        match self {
            Self::Boxes(_) => {}
            Self::VecPush(count) => picture.numbers.extend(keys(count)),
            Self::VecSet => picture.numbers.iter_mut().take(1).for_each(|first| *first = step),
            Self::VecInsert => picture.numbers.insert(0, step),
            Self::VecRemove if picture.numbers.is_empty() => {}
            Self::VecRemove => drop(picture.numbers.remove(0)),
            Self::VecShrink => picture.numbers.truncate(1),
            Self::TextPush => picture.text.push_str(&format!("step {step}, ")),
            Self::TextCut => picture.text.truncate(picture.text.len() / 2),
            Self::MapInsert(count) => picture.map.extend(keys(count).map(|key| (key, step))),
            Self::MapSet => picture.map.values_mut().for_each(|value| *value = step),
            Self::MapRemove => drop(picture.map.pop_first()),
            Self::SetInsert => drop(picture.seen.insert(step)),
            Self::SetRemove => drop(picture.seen.pop_first()),
            Self::QueuePush(count) => picture.queue.extend(keys(count)),
            Self::QueuePop => drop(picture.queue.pop_front()),
            Self::QueueTurn => picture.queue.rotate_left(picture.queue.len() / 2),
            Self::ListPush(count) => picture.list.extend(keys(count)),
            Self::ListRemove => drop(picture.list.pop_front()),
            Self::ListMove => {
                let last = picture.list.pop_back();
                last.into_iter().for_each(|last| picture.list.push_front(last));
            }
            Self::TreeInsert(count) => picture.tree.extend(keys(count).map(|key| (key, step))),
            Self::TreeRemove => drop(picture.tree.pop_first()),
            Self::RcNew => (picture.first, picture.weak) = (Some(step), Some(step)),
            Self::RcClone => picture.second = picture.first,
            Self::RcDrop => picture.first = None,
            Self::ArcNew => picture.left = Some(step),
            Self::ArcClone => picture.right = picture.left,
            Self::ArcDrop => picture.left = None,
            Self::CellSet => picture.cells[0] = step,
            Self::RefCellSet => picture.cells[1] = step,
            Self::MutexSet => picture.cells[2] = step,
            Self::RwLockSet => picture.cells[3] = step,
            Self::Replace => *picture = Picture { base: Op::cleared(step), ..Picture::default() },
        }
        if picture.weak != picture.first && picture.weak != picture.second {
            picture.weak = None;
        }
    }
}

/// What the pool should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    base: Model,
    numbers: Vec<u64>,
    text: String,
    map: BTreeMap<u64, u64>,
    seen: BTreeSet<u64>,
    queue: VecDeque<u64>,
    list: VecDeque<u64>,
    tree: BTreeMap<u64, u64>,
    first: Option<u64>,
    second: Option<u64>,
    /// The value that the weak pointer leads to, while it lives.
    weak: Option<u64>,
    left: Option<u64>,
    right: Option<u64>,
    cells: [u64; 4],
}

impl Picture {
    /// Transactions so far.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.base.step
    }

    /// What a pool holds, or what in it is wrong: a value that is not what its key says, a count that is not that of
    /// its pointers, a block that nothing leads to.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn of(pool: &Pool<Every<'static>>) -> std::result::Result<Self, String> {
        let left_over = pool.stats().opened.unreachable_blocks;
        if left_over > 0 {
            return Err(format!("{left_over} blocks are left over"));
        }
        let root = pool.read();
        let base = Model::observe(&root.base)?;
        if !root.list.iter().rev().eq(root.list.iter().collect::<Vec<_>>().into_iter().rev()) {
            return Err("the list leads another way back".to_owned());
        }
        if root.numbers.contains(&0) {
            return Err("a number was never pushed".to_owned());
        }
        let alive = root.weak.as_ref().is_some_and(|weak| weak.strong_count() > 0);
        let (first, second) = (root.first.as_deref().copied(), root.second.as_deref().copied());
        Ok(Self {
            base,
            numbers: root.numbers.to_vec(),
            text: root.text.to_string(),
            map: root.map.iter().map(|(key, value)| (*key, *value)).collect(),
            seen: root.seen.iter().copied().collect(),
            queue: root.queue.iter().copied().collect(),
            list: root.list.iter().copied().collect(),
            tree: root.tree.iter().map(|(key, value)| (*key, *value)).collect(),
            first,
            second,
            // The newest value is the one that it was made of.
            weak: if alive { first.max(second) } else { None },
            left: root.left.as_deref().copied(),
            right: root.right.as_deref().copied(),
            cells: [
                root.cell.get(),
                *root.ref_cell.borrow(),
                *root.mutex.get(&root),
                *root.rw_lock.get(&root),
            ],
        })
    }
}
