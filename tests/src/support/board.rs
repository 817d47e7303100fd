//! A root with one of everything that a transaction can touch, its picture in ordinary memory, and random changes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pobj::{Options, PBox, PHashMap, PString, PVec, Persistent, Pool, Tx};

use super::{Chain, Random, quick_directory, small};

/// A tree whose every slot may be empty.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Tree<'p> {
    pub value: u64,
    pub kids: [Option<PBox<'p, Tree<'p>>>; 3],
}

pub fn leaf<'p>(tx: &Tx<'p>, value: u64) -> pobj::Result<PBox<'p, Tree<'p>>> {
    PBox::new(tx, Tree { value, kids: Default::default() })
}

/// A root with one of everything that a transaction can touch.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Board<'p> {
    pub row: [u64; 32],
    pub flag: bool,
    pub left: Option<PBox<'p, Tree<'p>>>,
    pub right: Option<PBox<'p, Tree<'p>>>,
    pub chain: Chain<'p>,
    pub cells: PVec<'p, u64>,
    pub words: PVec<'p, PString<'p>>,
    pub map: PHashMap<'p, PString<'p>, PVec<'p, u16>>,
}

/// What a [`Board`] holds, in ordinary memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub row: Vec<u64>,
    pub flag: bool,
    pub trees: Vec<u64>,
    pub chain: Vec<u64>,
    pub cells: Vec<u64>,
    pub words: Vec<String>,
    pub map: BTreeMap<String, Vec<u16>>,
}

fn see_tree(tree: Option<&Tree<'_>>, into: &mut Vec<u64>) {
    match tree {
        None => into.push(u64::MAX),
        Some(tree) => {
            into.push(tree.value);
            tree.kids.iter().for_each(|kid| see_tree(kid.as_deref(), into));
        }
    }
}

pub fn see(board: &Board<'_>) -> Seen {
    let mut trees = Vec::new();
    see_tree(board.left.as_deref(), &mut trees);
    see_tree(board.right.as_deref(), &mut trees);
    Seen {
        row: board.row.to_vec(),
        flag: board.flag,
        trees,
        chain: board.chain.values(),
        cells: board.cells.to_vec(),
        words: board.words.iter().map(|word| word.to_string()).collect(),
        map: board.map.iter().map(|(key, value)| (key.to_string(), value.to_vec())).collect(),
    }
}

pub type BoardPool = Pool<Board<'static>>;

pub struct Scene {
    pub directory: tempfile::TempDir,
    pub pool: Option<BoardPool>,
}

impl Scene {
    pub fn options() -> Options<Board<'static>> {
        small(256 << 20)
    }

    /// An empty board in a scratch directory.
    #[allow(clippy::new_without_default, reason = "a scene is made in one way")]
    pub fn new() -> Self {
        Self::with(Self::options())
    }

    /// An empty board made with these options.
    pub fn with(options: Options<Board<'static>>) -> Self {
        let directory = quick_directory();
        let pool = options.create(directory.path().join("board.pobj")).unwrap();
        Self { directory, pool: Some(pool) }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("board.pobj")
    }

    pub fn pool(&self) -> &BoardPool {
        self.pool.as_ref().unwrap()
    }

    /// What the pool holds now, in memory and after a reopen that validates. Says how many blocks are in use.
    pub fn settle(&mut self) -> (Seen, u64) {
        let before = (see(&self.pool().read()), self.pool().stats().heap.live_blocks);
        self.pool.take().unwrap().close().unwrap();
        self.pool = Some(Self::options().open(self.path()).unwrap());
        let after = (see(&self.pool().read()), self.pool().stats().heap.live_blocks);
        assert!(before == after, "reopening changed the pool");
        after
    }
}

pub fn board_with_things() -> Scene {
    with_things(Scene::new())
}

/// Puts something of everything on an empty board.
pub fn with_things(scene: Scene) -> Scene {
    scene
        .pool()
        .write(|board, _| {
            board.row = std::array::from_fn(|index| index as u64 * 3);
            Ok(())
        })
        .unwrap();
    let mut random = Random(1);
    for _ in 0..40 {
        scene.pool().write(|board, tx| change(board, tx, &mut random)).unwrap();
    }
    scene
}

/// A slot somewhere in a tree, for changing.
fn slot<'t, 'p>(
    mut here: &'t mut Option<PBox<'p, Tree<'p>>>,
    tx: &Tx<'p>,
    random: &mut Random,
) -> &'t mut Option<PBox<'p, Tree<'p>>> {
    while here.is_some() && random.below(3) != 0 {
        let kid = random.below(3) as usize;
        match here {
            Some(tree) => here = &mut tree.get_mut(tx).kids[kid],
            None => unreachable!("it is some"),
        }
    }
    here
}

/// One random change of a random part.
pub fn change<'p>(board: &mut Board<'p>, tx: &Tx<'p>, random: &mut Random) -> pobj::Result<()> {
    let number = random.word();
    match random.below(16) {
        0 => board.row[random.below(32) as usize] = number,
        1 => board.flag = !board.flag,
        2 => {
            let here = slot(&mut board.left, tx, random);
            let [a, b, c] = [None, here.take(), None];
            *here = Some(PBox::new(tx, Tree { value: number >> 1, kids: [a, b, c] })?);
        }
        3 => *slot(&mut board.left, tx, random) = None,
        4 => {
            let Board { left, right, .. } = board;
            std::mem::swap(slot(left, tx, random), slot(right, tx, random));
        }
        5 => {
            if let Some(tree) = slot(&mut board.right, tx, random).take() {
                // The tree's own value dies, its middle child moves up.
                let Tree { kids: [_, kid, _], .. } = tree.into_inner(tx);
                board.right = kid;
            }
        }
        6 => (0..random.below(20)).try_for_each(|value| board.chain.push(tx, value))?,
        7 => drop_some(board, tx, random.below(20)),
        8 => board.cells.extend(tx, (0..random.below(300)).map(|index| number ^ index))?,
        9 => board.cells.truncate(random.below(400) as usize),
        10 => {
            for cell in board.cells.iter_mut(tx).step_by(1 + random.below(9) as usize) {
                *cell ^= number;
            }
        }
        11 => board.words.push(tx, PString::from_str(tx, &"word ".repeat(random.below(40) as usize))?)?,
        12 => {
            if let Some(word) = board.words.last_mut(tx) {
                word.push_str(tx, "more")?;
            }
            if random.below(3) == 0 {
                board.words.pop();
            }
        }
        13 => {
            let key = PString::from_str(tx, &format!("key {}", random.below(60)))?;
            board.map.entry(key, tx).or_default()?.push(tx, number as u16)?;
        }
        14 => drop(board.map.remove(format!("key {}", random.below(60)).as_str(), tx)),
        _ => {
            let count = board.map.len() as u64;
            board.map.retain(tx, |_, list| list.len() as u64 <= 2 || count < 20);
        }
    }
    Ok(())
}

/// Takes links off the chain.
pub fn drop_some<'p>(board: &mut Board<'p>, tx: &Tx<'p>, count: u64) {
    for _ in 0..count {
        board.chain.pop(tx);
    }
}
