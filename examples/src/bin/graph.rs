//! A graph that survives the program: what leads where, and what is left when a circle of nodes is let go.
//!
//! `graph` makes the pool `graph.pobj` or opens it; a run leaves it as it was found, but for the nodes that it adds.

use std::path::PathBuf;

use clap::Parser;
use examples::Failure;
use examples::graph::Graph;
use pobj::Pool;

/// A persistent graph of places.
#[derive(Debug, Parser)]
struct Arguments {
    /// The pool file.
    #[arg(long, default_value = "graph.pobj", value_name = "FILE")]
    pool: PathBuf,
    /// Walk from here.
    #[arg(default_value = "basel")]
    start: String,
}

const EDGES: [(&str, &str); 7] = [
    ("basel", "bern"),
    ("basel", "olten"),
    ("olten", "bern"),
    ("bern", "thun"),
    ("thun", "bern"),
    ("olten", "chur"),
    ("chur", "basel"),
];

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let pool = Pool::<Graph>::open_or_create(&arguments.pool)?;
    println!("{} nodes from before", pool.read().names().count());

    // All edges or none.
    pool.write(|graph, tx| {
        for (start, end) in EDGES {
            graph.add(tx, start)?;
            graph.add(tx, end)?;
            graph.connect(tx, start, end)?;
        }
        Ok(())
    })?;

    let (found, before) = pool.write(|graph, tx| {
        Ok((graph.walk(tx, &arguments.start)?, graph.predecessors(tx, &arguments.start)?))
    })?;
    for (name, distance) in found {
        println!("{:indent$}{name}", "", indent = 2 * distance);
    }
    println!("edges to {} come from {before:?}", arguments.start);

    // Two nodes that own each other, and nobody else owns them.
    pool.write(|graph, tx| {
        for name in ["here", "there"] {
            graph.add(tx, name)?;
        }
        graph.connect(tx, "here", "there")?;
        graph.connect(tx, "there", "here")?;
        graph.release(tx, "here");
        graph.release(tx, "there");
        Ok(())
    })?;
    println!("{} blocks of a lost circle collected", pool.collect()?.blocks);
    println!("{} blocks at the second time", pool.collect()?.blocks);
    Ok(pool.close()?)
}
