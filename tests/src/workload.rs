//! A small persistent program and its model: the same operations on a pool and on ordinary collections.
//!
//! The program uses what the heap has: small blocks in a list, larger ones that fill a run's chunk soon, and blocks of
//! more than a chunk. Every value is derived from a key, so a lost or foreign byte shows.

pub mod every;
pub mod kv;
pub mod log;
mod mode;
pub mod shared;

pub use mode::KillMode;
pub(crate) use mode::in_mode;
use pobj::{Options, PBox, Persistent, Pool, Result, Tx};

/// Words of a [`Large`] block: 20 KiB, so that three fill a chunk and one does not fit a small ring.
pub const LARGE_WORDS: usize = 2560;
/// Words of a [`Huge`] block: 96 KiB, two chunks.
pub const HUGE_WORDS: usize = 12_288;

/// A node of the list.
#[derive(Persistent)]
#[repr(C)]
pub struct Node<'p> {
    key: u64,
    version: u64,
    payload: [u64; 5],
    next: Option<PBox<'p, Node<'p>>>,
}

/// A larger block.
#[derive(Persistent)]
#[repr(C)]
pub struct Large<'p> {
    key: u64,
    next: Option<PBox<'p, Large<'p>>>,
    fill: [u64; LARGE_WORDS],
}

/// A block of more than a chunk.
#[derive(Persistent)]
#[repr(C)]
pub struct Huge {
    key: u64,
    fill: [u64; HUGE_WORDS],
}

/// The root: `step` counts the transactions.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Root<'p> {
    step: u64,
    nodes: Option<PBox<'p, Node<'p>>>,
    larges: Option<PBox<'p, Large<'p>>>,
    huge: Option<PBox<'p, Huge>>,
}

impl Root<'_> {
    /// Transactions so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.step
    }
}

/// How the pools of the kill suite are made: a small ring, so that checkpoints are frequent.
#[must_use]
pub fn kill_options(mode: KillMode) -> Options<Root<'static>> {
    let options = Pool::<Root<'static>>::options().size(64 << 10).max_size(64 << 20).ring_size(64 << 10);
    in_mode!(options, mode).image(mode.image()).validation_threads(1)
}

/// What a transaction does, besides counting itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Puts nodes in front of the list.
    Push(u64),
    /// Takes nodes from its front.
    Pop(u64),
    /// Changes the payload of every node whose place is a multiple of this.
    Touch(usize),
    /// Puts a larger block in front of theirs.
    PushLarge,
    /// Takes the front one away.
    PopLarge,
    /// Makes, or replaces, the block of two chunks.
    SetHuge,
    /// Takes it away.
    DropHuge,
    /// Frees everything.
    Clear,
}

/// What the pool should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Transactions so far.
    pub step: u64,
    /// Key and version of each node, front first.
    pub nodes: Vec<(u64, u64)>,
    /// Keys of the larger blocks, front first.
    pub larges: Vec<u64>,
    /// Key of the block of two chunks.
    pub huge: Option<u64>,
}

/// A word that depends on all of its arguments (the finaliser of SplitMix64).
#[must_use]
pub fn word(key: u64, version: u64, index: usize) -> u64 {
    let mut x = key ^ version.rotate_left(24) ^ (index as u64).rotate_left(48) ^ 0x9E37_79B9_7F4A_7C15;
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn payload<const N: usize>(key: u64, version: u64) -> [u64; N] {
    std::array::from_fn(|index| word(key, version, index))
}

impl Op {
    /// The operation of a step, chosen by a seed, such that the pool neither empties nor grows for ever.
    #[must_use]
    pub fn random(seed: u64, model: &Model) -> Self {
        let random = word(seed, model.step, 0);
        let many = model.nodes.len() > 60;
        match random % 16 {
            0..=4 if many => Self::Pop(1 + random / 16 % 30),
            0..=4 => Self::Push(1 + random / 16 % 6),
            5..=6 => Self::Pop(random / 16 % 4),
            7..=10 => Self::Touch(1 + (random / 16 % 9) as usize),
            11 if model.larges.len() < 6 => Self::PushLarge,
            11..=12 => Self::PopLarge,
            13 => Self::SetHuge,
            14 => Self::DropHuge,
            _ if (random / 16).is_multiple_of(8) => Self::Clear,
            _ => Self::Push(1),
        }
    }

    /// Does it in a pool.
    ///
    /// # Errors
    ///
    /// What taking memory returns.
    pub fn apply<'p>(self, root: &mut Root<'p>, tx: &Tx<'p>) -> Result<()> {
        root.step += 1;
        let step = root.step;
        match self {
            Self::Push(count) => {
                for index in 0..count {
                    let key = step * 1000 + index;
                    let next = root.nodes.take();
                    root.nodes =
                        Some(PBox::new(tx, Node { key, version: 0, payload: payload(key, 0), next })?);
                }
            }
            Self::Pop(count) => {
                for _ in 0..count {
                    let Some(mut front) = root.nodes.take() else {
                        break;
                    };
                    root.nodes = front.get_mut(tx).next.take();
                }
            }
            Self::Touch(every) => {
                let mut cursor = root.nodes.as_mut();
                let mut place = 0;
                while let Some(node) = cursor {
                    if place % every == 0 {
                        let node = node.get_mut(tx);
                        node.version += 1;
                        node.payload = payload(node.key, node.version);
                    }
                    place += 1;
                    cursor = node.get_mut(tx).next.as_mut();
                }
            }
            Self::PushLarge => {
                let next = root.larges.take();
                root.larges = Some(PBox::new(tx, Large { key: step, next, fill: payload(step, 1) })?);
            }
            Self::PopLarge => {
                if let Some(mut front) = root.larges.take() {
                    root.larges = front.get_mut(tx).next.take();
                }
            }
            Self::SetHuge => root.huge = Some(PBox::new(tx, Huge { key: step, fill: payload(step, 2) })?),
            Self::DropHuge => root.huge = None,
            Self::Clear => {
                root.nodes = None;
                root.larges = None;
                root.huge = None;
            }
        }
        Ok(())
    }

    /// Does it in the model.
    pub fn apply_to_model(self, model: &mut Model) {
        model.step += 1;
        let step = model.step;
        match self {
            Self::Push(count) => {
                for index in 0..count {
                    model.nodes.insert(0, (step * 1000 + index, 0));
                }
            }
            Self::Pop(count) => drop(model.nodes.drain(..model.nodes.len().min(count as usize))),
            Self::Touch(every) => model.nodes.iter_mut().step_by(every).for_each(|node| node.1 += 1),
            Self::PushLarge => model.larges.insert(0, step),
            Self::PopLarge if !model.larges.is_empty() => drop(model.larges.remove(0)),
            Self::PopLarge => {}
            Self::SetHuge => model.huge = Some(step),
            Self::DropHuge => model.huge = None,
            Self::Clear => *model = Self::cleared(step),
        }
    }

    fn cleared(step: u64) -> Model {
        Model { step, ..Model::default() }
    }
}

impl Model {
    /// Blocks that a pool with this content has, its root included.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        (1 + self.nodes.len() + self.larges.len() + usize::from(self.huge.is_some())) as u64
    }

    /// What `root` holds, or what in it is wrong.
    ///
    /// # Errors
    ///
    /// The place of the first value that is not what its key says.
    pub fn observe(root: &Root<'_>) -> std::result::Result<Self, String> {
        let mut model = Self { step: root.step, ..Self::default() };
        let mut cursor = root.nodes.as_deref();
        while let Some(node) = cursor {
            if node.payload != payload(node.key, node.version) {
                return Err(format!("node {} has the payload of another", node.key));
            }
            model.nodes.push((node.key, node.version));
            cursor = node.next.as_deref();
        }
        let mut cursor = root.larges.as_deref();
        while let Some(large) = cursor {
            check_fill(&large.fill, large.key, 1)?;
            model.larges.push(large.key);
            cursor = large.next.as_deref();
        }
        if let Some(huge) = root.huge.as_deref() {
            check_fill(&huge.fill, huge.key, 2)?;
            model.huge = Some(huge.key);
        }
        Ok(model)
    }
}

fn check_fill(fill: &[u64], key: u64, version: u64) -> std::result::Result<(), String> {
    match fill.iter().enumerate().find(|(index, found)| **found != word(key, version, *index)) {
        None => Ok(()),
        Some((index, found)) => Err(format!("block {key}: word {index} is {found:#x}")),
    }
}
