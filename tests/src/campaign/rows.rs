//! The rows themselves.

use super::{Row, Run};

/// All rows, in order.
pub const ROWS: [Row; 14] = [
    Row {
        name: "R1",
        title: "Every state of persistent memory",
        what: "Each operation, and pairs of them, on a pool as small as can be; at each store, flush and fence every combination of words that may survive a power cut is made, opened, compared and used. Found would be a word that matters and is not flushed, fenced or logged.",
        ci: &[Run::of("cargo run --release -p tests --bin explore -- r1 --seconds 60")],
        long: &[Run::of(
            "cargo run --release -p tests --bin explore -- r1 --seconds 7200 --states 65536 --samples 10000",
        )],
    },
    Row {
        name: "R2",
        title: "Every state of a file",
        what: "The same on a file, whose sectors survive, are lost or are torn until a sync, its length and its name each by itself.",
        ci: &[Run::of("cargo run --release -p tests --bin explore -- r2 --seconds 20")],
        long: &[Run::of(
            "cargo run --release -p tests --bin explore -- r2 --seconds 3600 --states 65536 --samples 10000",
        )],
    },
    Row {
        name: "R3",
        title: "Random images of long work",
        what: "Long random scripts, some from several threads; at their crash points random states are made, opened, compared with the model, audited for blocks that are left over, and used. Found would be what no short script reaches.",
        ci: &[Run::of("cargo run --release -p tests --bin explore -- r3 --seconds 75")],
        long: &[Run::of(
            "cargo run --release -p tests --bin explore -- r3 --seconds 14400 --images 100000000",
        )],
    },
    Row {
        name: "R4",
        title: "Crashes in recovery",
        what: "Recovery from a power cut or a kill is itself cut at every step, and so is the recovery from that, and the next.",
        ci: &[Run::of("cargo run --release -p tests --bin explore -- r4 --seconds 40")],
        long: &[Run::of(
            "cargo run --release -p tests --bin explore -- r4 --seconds 3600 --images 100000000",
        )],
    },
    Row { name: "R5", title: "Mutations", what: "", ci: &[], long: &[] },
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
