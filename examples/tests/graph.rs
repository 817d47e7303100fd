//! The graph against a model of `std`, with transactions that roll back, reopenings and collections, and the program as
//! its users run it. Would catch an edge without its way back or the reverse, a node that dies while an edge leads to it
//! or lives on after it was collected, and a walk that does not end in a circle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::process::Command;

use examples::graph::Graph;
use pobj::{Durability, Error, Pool, Result, Tx};

const STEPS: usize = 1000;
const NAMES: u64 = 6;

/// Nodes are numbers that are never used again. Those that nobody reaches stay in it until `collect`.
#[derive(Clone, Default)]
struct Model {
    names: BTreeMap<String, usize>,
    nodes: BTreeMap<usize, (String, Vec<usize>)>,
    next: usize,
}

impl Model {
    fn walk(&self, start: usize) -> Vec<(usize, usize)> {
        let mut found = vec![(start, 0)];
        let mut queue = VecDeque::from(found.clone());
        while let Some((node, distance)) = queue.pop_front() {
            for &end in &self.nodes[&node].1 {
                if !found.iter().any(|(seen, _)| *seen == end) {
                    found.push((end, distance + 1));
                    queue.push_back((end, distance + 1));
                }
            }
        }
        found
    }

    /// Drops what no name leads to.
    fn collect(&mut self) {
        let reached: BTreeSet<usize> =
            self.names.values().flat_map(|&start| self.walk(start)).map(|(node, _)| node).collect();
        self.nodes.retain(|node, _| reached.contains(node));
    }

    fn predecessors(&self, end: usize) -> BTreeSet<String> {
        self.nodes.values().filter(|(_, edges)| edges.contains(&end)).map(|(name, _)| name.clone()).collect()
    }

    fn add(&mut self, name: &str) {
        if !self.names.contains_key(name) {
            self.names.insert(name.to_owned(), self.next);
            self.nodes.insert(self.next, (name.to_owned(), Vec::new()));
            self.next += 1;
        }
    }

    /// Whether the edge is there after it, and was before.
    fn set_edge(&mut self, start: &str, end: &str, there: bool) -> Option<bool> {
        let (start, end) = (*self.names.get(start)?, *self.names.get(end)?);
        let edges = &mut self.nodes.get_mut(&start)?.1;
        let before = edges.contains(&end);
        edges.retain(|other| there || *other != end);
        if there && !before {
            edges.push(end);
        }
        Some(before)
    }

    fn remove(&mut self, name: &str) -> bool {
        let Some(node) = self.names.remove(name) else { return false };
        self.nodes.remove(&node);
        for (_, edges) in self.nodes.values_mut() {
            edges.retain(|end| *end != node);
        }
        true
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// One random operation on both. A node that is missing is an error that is found before anything is changed.
fn step<'p>(graph: &mut Graph<'p>, tx: &Tx<'p>, model: &mut Model, random: &mut Random) -> Result<()> {
    let [name, other] = [(); 2].map(|()| format!("node {}", random.below(NAMES)));
    match random.below(8) {
        0..2 => {
            graph.add(tx, &name)?;
            model.add(&name);
        }
        2..5 => {
            let connected = graph.connect(tx, &name, &other);
            assert_eq!(connected.is_ok(), model.set_edge(&name, &other, true).is_some());
        }
        5 => {
            let was_there = graph.disconnect(tx, &name, &other);
            assert_eq!(was_there.ok(), model.set_edge(&name, &other, false));
        }
        6 => assert_eq!(graph.release(tx, &name), model.names.remove(&name).is_some()),
        _ => assert_eq!(graph.remove(tx, &name), model.remove(&name)),
    }
    Ok(())
}

fn check(pool: &Pool<Graph<'static>>, model: &Model, collected: bool, seed: u64) {
    let before = pool.last_committed();
    pool.write(|graph, tx| {
        assert!(graph.names().eq(model.names.keys()), "seed {seed}");
        for (name, &node) in &model.names {
            let expected: Vec<_> = model
                .walk(node)
                .into_iter()
                .map(|(node, distance)| (model.nodes[&node].0.clone(), distance))
                .collect();
            assert_eq!(graph.walk(tx, name)?, expected, "seed {seed}");
            let back = graph.predecessors(tx, name)?;
            if collected {
                assert_eq!(back, model.predecessors(node), "seed {seed}");
            }
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(pool.last_committed(), before, "seed {seed}: looking wrote something");
}

#[test]
fn it_is_the_model_through_rollbacks_reopenings_and_collections() {
    for seed in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("graph.pobj");
        let open =
            || Pool::<Graph>::options().durability(Durability::Eventual).open_or_create(&path).unwrap();
        let (mut pool, mut model, mut random) = (open(), Model::default(), Random(seed));
        let mut done = 0;
        while done < STEPS {
            let steps = 1 + random.below(8) as usize;
            let rolls_back = random.below(4) == 0;
            let mut after = model.clone();
            let outcome = pool.write(|graph, tx| {
                for _ in 0..steps {
                    step(graph, tx, &mut after, &mut random)?;
                }
                if rolls_back { Err(Error::abort("as planned")) } else { Ok(()) }
            });
            assert_eq!(outcome.is_err(), rolls_back, "seed {seed}: {outcome:?}");
            if !rolls_back {
                model = after;
            }
            check(&pool, &model, false, seed);
            done += steps;
            match random.below(20) {
                0 => {
                    drop(pool);
                    pool = open();
                    check(&pool, &model, false, seed);
                }
                1 | 2 => {
                    pool.collect().unwrap();
                    model.collect();
                    check(&pool, &model, true, seed);
                    assert_eq!(pool.collect().unwrap().blocks, 0, "seed {seed}: collected again");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_lost_circle_is_freed_by_a_collection_alone() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Pool::<Graph>::create(dir.path().join("graph.pobj")).unwrap();
    pool.write(|graph, tx| {
        for name in ["a", "b", "out"] {
            graph.add(tx, name)?;
        }
        graph.connect(tx, "a", "b")?;
        graph.connect(tx, "b", "a")?;
        graph.connect(tx, "a", "out")?;
        graph.release(tx, "a");
        graph.release(tx, "b");
        Ok(())
    })
    .unwrap();
    let before =
        |graph: &Pool<Graph<'static>>| graph.write(|graph, tx| graph.predecessors(tx, "out")).unwrap();
    assert_eq!(before(&pool), BTreeSet::from(["a".to_owned()]));
    assert!(pool.collect().unwrap().blocks > 0);
    assert_eq!(before(&pool), BTreeSet::new());
    assert_eq!(pool.collect().unwrap().blocks, 0);
}

fn graph(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_graph")).current_dir(dir).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_program_walks_and_collects() {
    let dir = tempfile::tempdir().unwrap();
    let first = graph(dir.path(), &[]);
    assert!(
        first.starts_with("0 nodes from before\nbasel\n  bern\n  olten\n    thun\n    chur\n"),
        "{first}"
    );
    assert!(first.contains("edges to basel come from {\"chur\"}\n"), "{first}");
    assert!(first.ends_with("\n0 blocks at the second time\n"), "{first}");
    assert!(!first.contains("\n0 blocks of a lost circle collected\n"), "{first}");
    let second = graph(dir.path(), &["bern"]);
    assert!(second.starts_with("5 nodes from before\nbern\n  thun\n"), "{second}");
    assert!(second.contains("edges to bern come from {\"basel\", \"olten\", \"thun\"}"), "{second}");
}
