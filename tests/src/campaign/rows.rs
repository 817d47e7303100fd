//! The rows themselves.

use super::{Row, Run};

/// All rows, in order.
pub const ROWS: [Row; 14] = [
    Row { name: "R1", title: "Every state of persistent memory", what: "", ci: &[], long: &[] },
    Row { name: "R2", title: "Every state of a file", what: "", ci: &[], long: &[] },
    Row { name: "R3", title: "Random images of long work", what: "", ci: &[], long: &[] },
    Row { name: "R4", title: "Crashes in recovery", what: "", ci: &[], long: &[] },
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
