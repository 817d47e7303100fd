//! The rows themselves.

use super::{Row, Run};

/// Whether this machine has what fuzzing needs.
const FUZZ: &str = "cargo fuzz --version && cargo +nightly --version";

const MIRI: Run = Run::needing(
    "cargo run --release -p tests --bin language -- miri",
    "cargo +nightly miri --version",
    "no nightly toolchain with Miri",
);

/// One suite's first test: Miri takes a minute for it.
const MIRI_SHORT: Run = Run {
    command: "MIRIFLAGS=-Zmiri-permissive-provenance cargo +nightly miri test -q -p pobj --test memory a_list",
    ..MIRI
};

const ADDRESS: Run = Run::needing(
    "cargo run --release -p tests --bin language -- address",
    "[ $(uname -m) = x86_64 ] && rustc +nightly --version",
    "AddressSanitizer needs a nightly toolchain on x86-64",
);

const THREAD: Run = Run::needing(
    "cargo run --release -p tests --bin language -- thread",
    "[ $(uname -m) = x86_64 ] && [ -e \"$(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library\" ]",
    "ThreadSanitizer needs a nightly toolchain with rust-src on x86-64",
);

const LOOM: Run = Run::of("cargo run --release -p tests --bin language -- loom");

/// A run that mounts file systems of its own.
const fn mounts(command: &'static str) -> Run {
    let needs = "test $(id -u) = 0 && test -w /dev/loop-control && command -v mkfs.ext4 mkfs.xfs >/dev/null";
    Run::needing(command, needs, "not root, no loop devices, or no mkfs.ext4 and mkfs.xfs")
}

/// Builds a copy of the workspace under `target/mutate` first.
const MUTATE: &str = "cargo run --release -p tests --bin mutate";

/// All rows, in order.
pub const ROWS: [Row; 14] = [
    Row {
        name: "R1",
        title: "Every state of persistent memory",
        what: "Each operation, and pairs of them, on a pool as small as can be; at each store, flush and fence every combination of words that may survive a power cut is made, opened, compared and used. Found would be a word that matters and is not flushed, fenced or logged.",
        ci: &[Run::of("cargo run --release -p tests --bin explore -- r1 --seconds 40")],
        long: &[Run::of(
            "cargo run --release -p tests --bin explore -- r1 --seconds 7200 --states 65536 --samples 10000",
        )],
    },
    Row {
        name: "R2",
        title: "Every state of a file",
        what: "The same on a file, whose sectors survive, are lost or are torn until a sync, its length and its name each by itself.",
        ci: &[Run::of("cargo run --release -p tests --bin explore -- r2 --seconds 15")],
        long: &[Run::of(
            "cargo run --release -p tests --bin explore -- r2 --seconds 3600 --states 65536 --samples 10000",
        )],
    },
    Row {
        name: "R3",
        title: "Random images of long work",
        what: "Long random scripts, some from several threads; at their crash points random states are made, opened, compared with the model, audited for blocks that are left over, and used. Found would be what no short script reaches.",
        ci: &[Run::of("cargo run --release -p tests --bin explore -- r3 --seconds 300")],
        long: &[Run::of(
            "cargo run --release -p tests --bin explore -- r3 --seconds 14400 --images 100000000",
        )],
    },
    Row {
        name: "R4",
        title: "Crashes in recovery",
        what: "Recovery from a power cut or a kill is itself cut at every step, and so is the recovery from that, and the next.",
        ci: &[Run::of("cargo run --release -p tests --bin explore -- r4 --seconds 20")],
        long: &[Run::of(
            "cargo run --release -p tests --bin explore -- r4 --seconds 3600 --images 100000000",
        )],
    },
    Row {
        name: "R5",
        title: "Mutations",
        what: "In a copy of the sources each flush, fence, sync, durable write, salt and test of a checksum is removed, or \
               moved before the write that precedes it or behind the one that follows, one place at a time. Every \
               such change must be noticed by a crash suite; what no crash can show is listed with its reason. \
               `cargo mutants` changes every expression of journal, heap, opening and creating: first the unit tests of \
               their modules must notice, then the suites. `tests/evidence/expressions.txt` lists those that were \
               noticed so far.",
        ci: &[Run::tested("cargo test -p tests --test crash_planted -- --nocapture")],
        long: &[
            Run::of(MUTATE),
            Run::of("cargo run --release -p tests --bin mutate -- long"),
            Run::needing(
                "cargo run --release -p tests --bin expressions",
                "cargo mutants --version",
                "no cargo-mutants on this machine (cargo install cargo-mutants)",
            ),
        ],
    },
    Row {
        name: "R6",
        title: "The trace oracle",
        what: "Every store, flush and fence of every script, and of random ones, is read by a program that knows the rules of \
               the medium and the format of records, and shares no code with pobj: a store is acknowledged only when it is \
               durable, home changes only where a durable record says so, and next to no flush or fence is in vain. In a \
               private image each commit looks for bytes that changed and were not logged.",
        ci: &[Run::tested("cargo test -p tests --test trace_oracle --test unlogged -- --nocapture")],
        long: &[Run::of(
            "POBJ_ORACLE_SCRIPTS=4000 cargo test --release -p tests --test trace_oracle -- --nocapture",
        )],
    },
    Row {
        name: "R7",
        title: "Faults at the Nth call",
        what: "Each system call that a scenario makes on a real file fails in turn, with each error that it may have, once and from \
               then on; each request of memory is refused; signals interrupt; the simulated medium fails in the same way. A \
               panic, a hang, a signal, a pool that goes on after a failed sync or that lost what was acknowledged would be \
               found.",
        ci: &[
            Run::of("cargo run --release -p tests --bin faults"),
            Run::tested("cargo test -p tests --test crash_faults -- --nocapture"),
        ],
        long: &[
            Run::of("POBJ_FAULTS=all cargo run --release -p tests --bin faults"),
            Run::of("POBJ_FAULTS=all cargo test --release -p tests --test crash_faults -- --nocapture"),
        ],
    },
    Row {
        name: "R8",
        title: "Kills",
        what: "A child works on a pool, a store, a log or blocks, and says what has returned. It is killed at a random moment \
               (in creation, in recovery, in a commit), and its parent opens the file with validation: all that was said must \
               be there, of each thread at most one step more, and nothing else. The soak does the same for longer, with \
               larger files.",
        ci: &[Run::of("POBJ_KILLS=440 cargo test --workspace --test kill -- --nocapture")],
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
            Run::needing(
                "cargo run --release -p tests --bin guest -- --cycles 20",
                "tests/guest/prepare",
                "no QEMU for x86-64, or no kernel with its modules",
            ),
        ],
    },
    Row {
        name: "R10",
        title: "Damaged files",
        what: "Pools, key-value stores, arrays of blocks and logs are cut, flipped bit by bit, grafted, given pointers and \
               lengths that lie, and damaged at random, in half of the cases with checksums that are made right again. Each \
               must be refused with an error, or be usable and sound, in a second and twice its length of memory. A panic, \
               a signal, an abort or a hang would be found.",
        ci: &[Run::of("cargo run --release -p tests --bin damage -- --count 20000 --every 401")],
        long: &[
            Run::of("cargo run -p tests --bin damage -- --count 100000 --every 61 --seed 2"),
            Run::of("cargo run --release -p tests --bin damage -- --count 1000000 --every 7"),
        ],
    },
    Row {
        name: "R11",
        title: "Fuzzing",
        what: "Three targets of libFuzzer, led by coverage, under AddressSanitizer: bytes opened as a file, operations \
               against a model with power cuts, and what a crash left with flipped bits. Their corpora are replayed by the \
               ordinary tests as well. A panic, an access out of bounds, a leak or a hang would be found.",
        ci: &[Run::tested("cargo test -p tests --test fuzz_corpus --test fuzz_found")],
        long: &[Run::needing(
            "cargo run --release -p tests --bin fuzz -- --seconds 1200",
            FUZZ,
            "no cargo-fuzz, or no nightly toolchain",
        )],
    },
    Row {
        name: "R12",
        title: "The environment",
        what: "One case for each thing that other programs, rights, limits, disks and file systems may do to a pool or a log. The \
               program prints what pobj says or does in each; anything else than the named error or the promise in the book \
               fails.",
        ci: &[Run::of("cargo run --release -p tests --bin environment")],
        long: &[Run::of("cargo run --release -p tests --bin environment")],
    },
    Row {
        name: "R13",
        title: "The language's rules",
        what: "The suites run under Miri, AddressSanitizer and ThreadSanitizer on pools in memory, and the lock-free parts \
               under loom in every order of threads. They would find references that alias, bytes that are read before they \
               are written, uses after a free, and data races. What must not compile is tried by the compile-fail tests.",
        ci: &[MIRI_SHORT, LOOM],
        long: &[
            MIRI,
            ADDRESS,
            THREAD,
            Run { command: "cargo run --release -p tests --bin language -- miri all", ..MIRI },
            Run { command: "cargo run --release -p tests --bin language -- address all", ..ADDRESS },
            Run { command: "cargo run --release -p tests --bin language -- thread all", ..THREAD },
            LOOM,
        ],
    },
    Row {
        name: "R14",
        title: "Coverage",
        what: "Which lines and branches of the journal, the heap, and opening and recovery the tests run. A line that none \
               runs must be named, with its reason, in tests/coverage.txt; the command fails on any other.",
        ci: &[],
        long: &[Run::needing(
            "cargo run --release -p tests --bin coverage",
            "cargo +nightly llvm-cov --version",
            "no nightly toolchain with cargo-llvm-cov and llvm-tools",
        )],
    },
];
