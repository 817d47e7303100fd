//! The rows themselves.

use super::{Row, Run};

/// A run that mounts file systems of its own.
const fn mounts(command: &'static str) -> Run {
    let needs = "test $(id -u) = 0 && test -w /dev/loop-control && command -v mkfs.ext4 mkfs.xfs >/dev/null";
    Run { command, needs, lacks: "not root, no loop devices, or no mkfs.ext4 and mkfs.xfs" }
}

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
        what: "A child works on a pool, a store, a log or blocks, and says what has returned. It is killed at a random moment \
               (in creation, in recovery, in a commit), and its parent opens the file with validation: all that was said must \
               be there, of each thread at most one step more, and nothing else. The soak does the same for longer, with \
               larger files.",
        ci: &[Run::of("POBJ_KILLS=440 cargo test --release -p tests --test kill -- --nocapture")],
        long: &[
            Run::of("POBJ_KILLS=44000 cargo test --release -p tests --test kill -- --nocapture"),
            Run::of("cargo run --release -p tests --bin soak -- --minutes 30"),
        ],
    },
    Row {
        name: "R9",
        title: "Power cuts under real kernels",
        what: "Children work in a loop-mounted ext4 and XFS, which is shut down under them as by a power cut, mounted again, and \
               compared with what was promised; the program first shows that it notices commits which are not durable yet. \
               Guests with an NVDIMM have both file systems mounted by DAX: MAP_SYNC is granted, suites run there, processes and \
               whole guests are killed. On virtio-pmem MAP_SYNC is refused, and files are written durably instead.",
        ci: &[
            mounts("cargo run --release -p tests --bin power_cuts -- --cuts 100 --planted"),
            mounts("cargo run --release -p tests --bin power_cuts -- --cuts 250"),
        ],
        long: &[
            mounts("cargo run --release -p tests --bin power_cuts -- --cuts 5000"),
            Run {
                command: "cargo run --release -p tests --bin guest -- --cycles 20",
                needs: "tests/guest/prepare",
                lacks: "no QEMU for x86-64, or no kernel with its modules",
            },
        ],
    },
    Row { name: "R10", title: "Damaged files", what: "", ci: &[], long: &[] },
    Row { name: "R11", title: "Fuzzing", what: "", ci: &[], long: &[] },
    Row { name: "R12", title: "The environment", what: "", ci: &[], long: &[] },
    Row { name: "R13", title: "The language's rules", what: "", ci: &[], long: &[] },
    Row { name: "R14", title: "Coverage", what: "", ci: &[], long: &[] },
];
