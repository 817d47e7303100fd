//! A cache that survives the program, and forgets what was not used for longest.
//!
//! `lru put bee yellow` and `lru get bee` work on `lru.pobj`, `lru stats` shows what it holds; `lru demo` fills a cache,
//! opens it again and asks it.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use examples::Failure;
use examples::lru::Cache;

/// A persistent cache of texts.
#[derive(Debug, Parser)]
struct Arguments {
    /// The pool file.
    #[arg(long, default_value = "lru.pobj", value_name = "FILE")]
    pool: PathBuf,
    /// From now on the cache has so many entries at most.
    #[arg(long, value_name = "ENTRIES")]
    capacity: Option<u64>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keeps a value under a key.
    Put { key: String, value: String },
    /// Shows the values of keys, and uses them.
    Get { keys: Vec<String> },
    /// Shows what is in the cache, the entry used last first.
    Stats,
    /// Fills a cache of three entries, opens it again and asks it.
    Demo,
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if let Command::Demo = arguments.command {
        return demo(&arguments.pool);
    }
    let cache = Cache::open(&arguments.pool, arguments.capacity)?;
    match arguments.command {
        Command::Put { key, value } => {
            cache.put(&key, &value)?;
            println!("{} evicted", cache.counters().evictions());
        }
        Command::Get { keys } => get(&cache, keys.iter().map(String::as_str))?,
        Command::Stats | Command::Demo => show(&cache),
    }
    Ok(cache.close()?)
}

fn get<'a>(cache: &Cache, keys: impl IntoIterator<Item = &'a str>) -> Result<(), Failure> {
    for key in keys {
        match cache.get(key)? {
            Some(value) => println!("{key}: {value}"),
            None => println!("{key} is not there"),
        }
    }
    println!("{} hits, {} misses", cache.counters().hits(), cache.counters().misses());
    Ok(())
}

fn show(cache: &Cache) {
    let lru = cache.pool().read();
    println!("{} of {} entries", lru.len(), lru.capacity());
    for (key, value) in lru.iter() {
        println!("{key}: {value}");
    }
}

fn demo(path: &Path) -> Result<(), Failure> {
    let cache = Cache::open(path, Some(3))?;
    for (key, value) in [("ant", "black"), ("bee", "yellow"), ("cat", "grey")] {
        cache.put(key, value)?;
    }
    get(&cache, ["ant"])?; // so the bee is the one that was not used for longest
    cache.put("dog", "brown")?;
    cache.close()?;

    println!("closed and opened again");
    let cache = Cache::open(path, None)?;
    show(&cache);
    get(&cache, ["ant", "bee", "cat"])?;
    Ok(cache.close()?)
}
