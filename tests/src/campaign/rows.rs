//! The rows themselves.

use super::{Row, Run};

/// Builds a copy of the workspace under `target/mutate` first.
const MUTATE: &str = "cargo run --release -p tests --features mutate --bin mutate";

/// All rows, in order.
pub const ROWS: [Row; 14] = [
    Row { name: "R1", title: "Every state of persistent memory", what: "", ci: &[], long: &[] },
    Row { name: "R2", title: "Every state of a file", what: "", ci: &[], long: &[] },
    Row { name: "R3", title: "Random images of long work", what: "", ci: &[], long: &[] },
    Row { name: "R4", title: "Crashes in recovery", what: "", ci: &[], long: &[] },
    Row {
        name: "R5",
        title: "Mutations",
        what: "In a copy of the sources each flush, fence, sync, durable write, salt and test of a checksum is removed, or \
               moved before the write that precedes it or behind the one that follows, one place at a time. Every \
               such change must be noticed by a crash suite; what no crash can show is listed with its reason. \
               `cargo mutants` changes every expression of journal, heap and recovery.",
        ci: &[Run::of(MUTATE)],
        long: &[
            Run::of("cargo run --release -p tests --features mutate --bin mutate -- long"),
            Run {
                command: "cargo mutants --sharding round-robin --shard 0/48 -j 1 --timeout 150",
                needs: "cargo mutants --version",
                lacks: "no cargo-mutants on this machine (cargo install cargo-mutants)",
            },
        ],
    },
    Row { name: "R6", title: "The trace oracle", what: "", ci: &[], long: &[] },
    Row { name: "R7", title: "Faults at the Nth call", what: "", ci: &[], long: &[] },
    Row {
        name: "R8",
        title: "Kills",
        what: "A child works and says what was acknowledged; it is killed at a random moment, and its parent compares.",
        ci: &[Run::of("cargo test --release -p tests --test kill -- --nocapture")],
        long: &[Run::of("POBJ_KILLS=1000 cargo test --release -p tests --test kill -- --nocapture")],
    },
    Row { name: "R9", title: "Power cuts under real kernels", what: "", ci: &[], long: &[] },
    Row { name: "R10", title: "Damaged files", what: "", ci: &[], long: &[] },
    Row { name: "R11", title: "Fuzzing", what: "", ci: &[], long: &[] },
    Row { name: "R12", title: "The environment", what: "", ci: &[], long: &[] },
    Row { name: "R13", title: "The language's rules", what: "", ci: &[], long: &[] },
    Row { name: "R14", title: "Coverage", what: "", ci: &[], long: &[] },
];
