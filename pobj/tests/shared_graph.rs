//! Random graphs of `PRc`, `PWeak` and `PBox` against the same graphs of `std`'s `Rc`, `Weak` and `Box`: transactions,
//! some of them given up, reopenings, forgotten pointers, collections.
//!
//! Catches: a count that differs from `std`'s after any sequence of clones, drops, upgrades, unwraps and rollbacks; a
//! value that lives longer or shorter than `std`'s; a block too many or too few; garbage that `open` or `collect`
//! count wrongly; a collection that frees what is reachable, or keeps what is not.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use pobj::media::RamMedia;
use pobj::{Durability, Error, PBox, PCell, PRc, PRefCell, PWeak, Persistent, Pool, Result, Tx};
use proptest::prelude::*;

const MAX_SIZE: u64 = 1 << 20;
const CASES: u32 = if cfg!(miri) { 2 } else { 400 };
const SLOTS: usize = 5;

#[derive(Persistent)]
#[repr(C)]
struct Node<'p> {
    id: u64,
    visits: PCell<'p, u32>,
    owned: PBox<'p, u64>,
    edges: [PRefCell<'p, Option<PRc<'p, Node<'p>>>>; 2],
    weak: [PRefCell<'p, Option<PWeak<'p, Node<'p>>>>; 2],
}

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    slots: [Option<PRc<'p, Node<'p>>>; SLOTS],
    watch: [Option<PWeak<'p, Node<'p>>>; SLOTS],
}

struct StdNode {
    id: u64,
    visits: std::cell::Cell<u32>,
    edges: [RefCell<Option<Rc<StdNode>>>; 2],
    weak: [RefCell<Option<Watcher>>; 2],
}

/// A weak pointer that remembers to whom it leads.
#[derive(Clone)]
struct Watcher(u64, Weak<StdNode>);

#[derive(Default)]
struct Model {
    slots: [Option<Rc<StdNode>>; SLOTS],
    watch: [Option<Watcher>; SLOTS],
    /// Every node that ever was: one weak pointer that the pool has not.
    all: Vec<Weak<StdNode>>,
    next_id: u64,
}

#[derive(Clone, Debug)]
enum Op {
    New(usize),
    Copy(usize, usize),
    Drop(usize),
    Link(usize, usize, usize),
    Unlink(usize, usize),
    Follow(usize, usize, usize),
    LinkWeak(usize, usize, usize),
    UnlinkWeak(usize, usize),
    Watch(usize, usize),
    Unwatch(usize),
    Upgrade(usize, usize),
    GetMut(usize),
    Unwrap(usize),
    Visit(usize),
    Forget(usize),
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Op>),
    Abort(Vec<Op>),
    Reopen,
    Collect,
}

fn op() -> impl Strategy<Value = Op> {
    let slot = || 0..SLOTS;
    let edge = || 0..2usize;
    prop_oneof![
        8 => slot().prop_map(Op::New),
        4 => (slot(), slot()).prop_map(|(from, to)| Op::Copy(from, to)),
        5 => slot().prop_map(Op::Drop),
        8 => (slot(), edge(), slot()).prop_map(|(from, edge, to)| Op::Link(from, edge, to)),
        3 => (slot(), edge()).prop_map(|(from, edge)| Op::Unlink(from, edge)),
        3 => (slot(), edge(), slot()).prop_map(|(from, edge, to)| Op::Follow(from, edge, to)),
        5 => (slot(), edge(), slot()).prop_map(|(from, edge, to)| Op::LinkWeak(from, edge, to)),
        2 => (slot(), edge()).prop_map(|(from, edge)| Op::UnlinkWeak(from, edge)),
        4 => (slot(), slot()).prop_map(|(from, to)| Op::Watch(from, to)),
        2 => slot().prop_map(Op::Unwatch),
        3 => (slot(), slot()).prop_map(|(from, to)| Op::Upgrade(from, to)),
        3 => slot().prop_map(Op::GetMut),
        2 => slot().prop_map(Op::Unwrap),
        2 => slot().prop_map(Op::Visit),
        1 => slot().prop_map(Op::Forget),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let ops = || prop::collection::vec(op(), 1..12);
    prop_oneof![
        8 => ops().prop_map(Step::Commit),
        3 => ops().prop_map(Step::Abort),
        2 => Just(Step::Reopen),
        1 => Just(Step::Collect),
    ]
}

impl Model {
    fn make(&mut self) -> Rc<StdNode> {
        self.next_id += 1;
        let node = Rc::new(StdNode {
            id: self.next_id,
            visits: Default::default(),
            edges: Default::default(),
            weak: Default::default(),
        });
        self.all.push(Rc::downgrade(&node));
        node
    }

    fn alive(&self) -> Vec<Rc<StdNode>> {
        self.all.iter().filter_map(Weak::upgrade).collect()
    }

    /// What a walk from the root reaches: living nodes, and dead ones that a weak pointer keeps the block of.
    fn reached(&self, through_weak: bool) -> (Vec<Rc<StdNode>>, BTreeSet<u64>) {
        let mut todo: Vec<Rc<StdNode>> = self.slots.iter().flatten().cloned().collect();
        let mut watched: Vec<Watcher> = self.watch.iter().flatten().cloned().collect();
        let (mut living, mut ids, mut dead) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        loop {
            if let Some(node) = todo.pop() {
                if ids.insert(node.id) {
                    todo.extend(node.edges.iter().filter_map(|edge| edge.borrow().clone()));
                    watched.extend(node.weak.iter().filter_map(|weak| weak.borrow().clone()));
                    living.push(node);
                }
            } else if let Some(Watcher(id, weak)) = watched.pop() {
                match weak.upgrade() {
                    Some(node) if through_weak => todo.push(node),
                    _ => drop(dead.insert(id)),
                }
            } else {
                dead.retain(|id| !ids.contains(id));
                return (living, dead);
            }
        }
    }

    /// Blocks in use: the root, two for each living node, one for each dead one that somebody watches.
    fn blocks(&self) -> u64 {
        let alive = self.alive();
        let ids: BTreeSet<u64> = alive.iter().map(|node| node.id).collect();
        let from_nodes =
            alive.iter().flat_map(|node| node.weak.iter().filter_map(|weak| weak.borrow().clone()));
        let watched: BTreeSet<u64> =
            from_nodes.chain(self.watch.iter().flatten().cloned()).map(|Watcher(id, _)| id).collect();
        1 + 2 * alive.len() as u64 + watched.difference(&ids).count() as u64
    }

    fn unreachable(&self) -> u64 {
        let (living, dead) = self.reached(true);
        self.blocks() - 1 - 2 * living.len() as u64 - dead.len() as u64
    }

    /// The same graph without anything that owners do not reach: nothing forgotten, nothing too high.
    fn collected(&self) -> Self {
        let (living, _) = self.reached(false);
        self.copy_of(&living).0
    }

    /// All of the graph, forgotten pointers included.
    fn snapshot(&self) -> Self {
        let alive = self.alive();
        let (model, copies) = self.copy_of(&alive);
        for (node, copy) in alive.iter().zip(&copies) {
            for _ in Rc::strong_count(copy)..Rc::strong_count(node) {
                std::mem::forget(copy.clone());
            }
        }
        model
    }

    /// The graph of these nodes, made anew.
    fn copy_of(&self, nodes: &[Rc<StdNode>]) -> (Self, Vec<Rc<StdNode>>) {
        let mut model = Self { next_id: self.next_id, ..Self::default() };
        let fresh = |node: &Rc<StdNode>| StdNode {
            id: node.id,
            visits: node.visits.clone(),
            edges: Default::default(),
            weak: Default::default(),
        };
        let copies: Vec<Rc<StdNode>> = nodes.iter().map(|node| Rc::new(fresh(node))).collect();
        model.all = copies.iter().map(Rc::downgrade).collect();
        let find = |id: u64| nodes.iter().zip(&copies).find(|(node, _)| node.id == id).map(|(_, copy)| copy);
        let strong = |old: &Option<Rc<StdNode>>| old.as_ref().and_then(|node| find(node.id)).cloned();
        let watcher = |old: &Option<Watcher>| {
            old.as_ref().map(|Watcher(id, _)| Watcher(*id, find(*id).map_or_else(Weak::new, Rc::downgrade)))
        };
        for (node, copy) in nodes.iter().zip(&copies) {
            for (edge, old) in copy.edges.iter().zip(&node.edges) {
                *edge.borrow_mut() = strong(&old.borrow());
            }
            for (weak, old) in copy.weak.iter().zip(&node.weak) {
                *weak.borrow_mut() = watcher(&old.borrow());
            }
        }
        model.slots = std::array::from_fn(|at| strong(&self.slots[at]));
        model.watch = std::array::from_fn(|at| watcher(&self.watch[at]));
        (model, copies)
    }
}

/// Does the same to both. `false` if something died, for then the two differ until the commit.
fn apply<'p>(op: &Op, app: &mut App<'p>, tx: &Tx<'p>, model: &mut Model) -> Result<bool> {
    let before = model.alive().len();
    let made = model.next_id;
    match *op {
        Op::New(slot) => {
            let node = model.make();
            app.slots[slot] = Some(PRc::new(
                tx,
                Node {
                    id: node.id,
                    visits: PCell::new(0),
                    owned: PBox::new(tx, node.id)?,
                    edges: Default::default(),
                    weak: Default::default(),
                },
            )?);
            model.slots[slot] = Some(node);
        }
        Op::Copy(from, to) => {
            app.slots[to] = app.slots[from].as_ref().map(|node| node.clone(tx));
            model.slots[to] = model.slots[from].clone();
        }
        Op::Drop(slot) => {
            app.slots[slot] = None;
            model.slots[slot] = None;
        }
        Op::Link(from, edge, to) => {
            let target = app.slots[to].as_ref().map(|node| node.clone(tx));
            if let (Some(node), Some(theirs)) = (&app.slots[from], &model.slots[from]) {
                node.edges[edge].replace(target, tx);
                theirs.edges[edge].replace(model.slots[to].clone());
            }
        }
        Op::Unlink(from, edge) => {
            if let (Some(node), Some(theirs)) = (&app.slots[from], &model.slots[from]) {
                *node.edges[edge].borrow_mut(tx) = None;
                theirs.edges[edge].take();
            }
        }
        Op::Follow(from, edge, to) => {
            let next = app.slots[from]
                .as_ref()
                .and_then(|node| node.edges[edge].borrow().as_ref().map(|next| next.clone(tx)));
            let theirs = model.slots[from].as_ref().and_then(|node| node.edges[edge].borrow().clone());
            app.slots[to] = next;
            model.slots[to] = theirs;
        }
        Op::LinkWeak(from, edge, to) => {
            if let (Some(node), Some(theirs)) = (&app.slots[from], &model.slots[from]) {
                let target = app.slots[to].as_ref().map(|node| PRc::downgrade(node, tx));
                node.weak[edge].replace(target, tx);
                let target = model.slots[to].as_ref().map(|node| Watcher(node.id, Rc::downgrade(node)));
                theirs.weak[edge].replace(target);
            }
        }
        Op::UnlinkWeak(from, edge) => {
            if let (Some(node), Some(theirs)) = (&app.slots[from], &model.slots[from]) {
                node.weak[edge].take(tx);
                theirs.weak[edge].take();
            }
        }
        Op::Watch(from, to) => {
            app.watch[to] = app.slots[from].as_ref().map(|node| PRc::downgrade(node, tx));
            model.watch[to] = model.slots[from].as_ref().map(|node| Watcher(node.id, Rc::downgrade(node)));
        }
        Op::Unwatch(slot) => {
            app.watch[slot] = None;
            model.watch[slot] = None;
        }
        Op::Upgrade(from, to) => {
            app.slots[to] = app.watch[from].as_ref().and_then(|weak| weak.upgrade(tx));
            model.slots[to] = model.watch[from].as_ref().and_then(|Watcher(_, weak)| weak.upgrade());
        }
        Op::GetMut(slot) => {
            let unique = |theirs: &Rc<StdNode>| Rc::strong_count(theirs) == 1 && Rc::weak_count(theirs) == 1;
            if let (Some(node), Some(theirs)) = (&mut app.slots[slot], &model.slots[slot]) {
                let ours = PRc::get_mut(node, tx);
                assert_eq!(ours.is_some(), unique(theirs));
                if let Some(node) = ours {
                    *node.owned.get_mut(tx) += 1;
                    *node.owned.get_mut(tx) -= 1;
                    *node.visits.get_mut() += 2;
                    theirs.visits.set(theirs.visits.get() + 2);
                }
            }
        }
        Op::Unwrap(slot) => {
            if let (Some(node), Some(theirs)) = (app.slots[slot].take(), model.slots[slot].take()) {
                match (PRc::try_unwrap(node, tx), Rc::try_unwrap(theirs)) {
                    (Ok(ours), Ok(theirs)) => assert_eq!(ours.id, theirs.id),
                    (Err(ours), Err(theirs)) => {
                        app.slots[slot] = Some(ours);
                        model.slots[slot] = Some(theirs);
                    }
                    (ours, _) => panic!("unwrapped: {}", ours.is_ok()),
                }
            }
        }
        Op::Visit(slot) => {
            if let (Some(node), Some(theirs)) = (&app.slots[slot], &model.slots[slot]) {
                node.visits.update(tx, |visits| visits + 1);
                theirs.visits.set(theirs.visits.get() + 1);
            }
        }
        Op::Forget(slot) => {
            if let (Some(node), Some(theirs)) = (&app.slots[slot], &model.slots[slot]) {
                std::mem::forget(node.clone(tx));
                std::mem::forget(theirs.clone());
            }
        }
    }
    Ok(model.alive().len() as u64 == before as u64 + model.next_id - made)
}

fn compare_nodes(ours: &PRc<'_, Node<'_>>, theirs: &Rc<StdNode>, seen: &mut BTreeSet<u64>) {
    assert_eq!((ours.id, ours.visits.get(), *ours.owned), (theirs.id, theirs.visits.get(), theirs.id));
    assert_eq!(PRc::strong_count(ours), Rc::strong_count(theirs) as u64, "owners of {}", ours.id);
    assert_eq!(PRc::weak_count(ours), Rc::weak_count(theirs) as u64 - 1, "watchers of {}", ours.id);
    if !seen.insert(ours.id) {
        return;
    }
    for (ours, theirs) in ours.edges.iter().zip(&theirs.edges) {
        match (&*ours.borrow(), &*theirs.borrow()) {
            (None, None) => {}
            (Some(ours), Some(theirs)) => compare_nodes(ours, theirs, seen),
            (ours, _) => panic!("an edge, ours: {}", ours.is_some()),
        }
    }
    for (ours, theirs) in ours.weak.iter().zip(&theirs.weak) {
        compare_weak(&ours.borrow(), &theirs.borrow());
    }
}

fn compare_weak(ours: &Option<PWeak<'_, Node<'_>>>, theirs: &Option<Watcher>) {
    let ours = ours.as_ref().map(PWeak::strong_count);
    assert_eq!(ours, theirs.as_ref().map(|Watcher(_, weak)| weak.strong_count() as u64));
}

fn compare(app: &App<'_>, model: &Model) {
    let mut seen = BTreeSet::new();
    for (ours, theirs) in app.slots.iter().zip(&model.slots) {
        match (ours, theirs) {
            (None, None) => {}
            (Some(ours), Some(theirs)) => compare_nodes(ours, theirs, &mut seen),
            (ours, _) => panic!("a slot, ours: {}", ours.is_some()),
        }
    }
    for (ours, theirs) in app.watch.iter().zip(&model.watch) {
        compare_weak(ours, theirs);
    }
}

fn open(media: &Arc<RamMedia>) -> Pool<App<'static>> {
    let options = Pool::<App>::options().durability(Durability::Eventual).validation_threads(1);
    options.open_on(media.clone()).unwrap()
}

fn check(pool: &Pool<App<'static>>, model: &Model) {
    compare(&pool.read(), model);
    assert_eq!(pool.stats().heap.live_blocks, model.blocks());
}

fn run(steps: &[Step]) {
    let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
    let options = Pool::<App>::options().max_size(MAX_SIZE).size(64 << 10).ring_size(64 << 10);
    let mut pool =
        options.durability(Durability::Eventual).create_on(media.clone(), |_| Ok(App::default())).unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Commit(ops) | Step::Abort(ops) => {
                let commits = matches!(step, Step::Commit(_));
                let before = model.snapshot();
                let outcome = pool.write(|app, tx| {
                    for op in ops {
                        if !apply(op, app, tx, &mut model)? {
                            break;
                        }
                        compare(app, &model);
                    }
                    if commits { Ok(()) } else { Err(Error::abort("on purpose")) }
                });
                match outcome {
                    Ok(()) => {}
                    Err(Error::Aborted(_)) => model = before,
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Reopen => {
                drop(pool);
                pool = open(&media);
                assert_eq!(pool.stats().opened.unreachable_blocks, model.unreachable());
            }
            Step::Collect => {
                let (before, after) = (model.blocks(), model.collected());
                let collected = pool.collect().unwrap();
                assert_eq!(collected.blocks, before - after.blocks());
                model = after;
                check(&pool, &model);
                assert_eq!(pool.collect().unwrap(), Default::default());
                drop(pool);
                pool = open(&media);
                assert_eq!(pool.stats().opened.unreachable_blocks, 0);
            }
        }
        check(&pool, &model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn graphs_live_and_die_as_those_of_std(steps in prop::collection::vec(step(), 1..25)) {
        run(&steps);
    }
}
