//! Changes that no crash can tell from the code as it is, each with its reason. One that a suite notices after all, or
//! whose place is gone, fails the campaign.

use super::{Change, Place};

/// A change that is known to be harmless.
#[derive(Clone, Copy, Debug)]
pub struct Harmless {
    /// The file, from `pobj/src`.
    pub file: &'static str,
    /// The function.
    pub function: &'static str,
    /// How the code begins.
    pub code: &'static str,
    /// The changes.
    pub changes: &'static [Change],
    /// In these ways to use a pool or a log; empty for all.
    pub modes: &'static [&'static str],
    /// Why.
    pub why: &'static str,
}

impl Harmless {
    fn is_at(&self, place: &Place) -> bool {
        self.file == place.file && self.function == place.function && place.code.starts_with(self.code)
    }

    /// Whether this is about that change.
    #[must_use]
    pub fn covers(&self, place: &Place, change: Change, mode: &str) -> bool {
        self.is_at(place)
            && self.changes.contains(&change)
            && (self.modes.is_empty() || self.modes.contains(&mode))
    }
}

/// Explanations of what is not there.
#[must_use]
pub fn stale(places: &[Place]) -> Vec<String> {
    let unused = HARMLESS.iter().filter(|known| !places.iter().any(|place| known.is_at(place)));
    unused.map(|known| format!("explained and not there: {} {}", known.file, known.code)).collect()
}

const fn test(file: &'static str, function: &'static str, code: &'static str, why: &'static str) -> Harmless {
    Harmless { file, function, code, changes: &[Change::Gone], modes: &[], why }
}

/// Of what recovery flushes.
const SYNCED: &str = "the sync before has the kernel write back what a killed process left in the caches; this is for a \
                      domain that was forced, where no kernel may know of them, and the simulator has no such medium";

/// All of them.
pub const HARMLESS: [Harmless; 18] = [
    test(
        "journal/record.rs",
        "seed",
        "self.pool_id",
        "whoever decodes a record has compared its pool id before; the salt says it again",
    ),
    test(
        "journal/record.rs",
        "claimed_len",
        "word_at(bytes, 24) != pool_id",
        "the checksum is salted with the pool id; this only spares hashing",
    ),
    test(
        "journal/record.rs",
        "claims_durable",
        "word_at(bytes, 24) != pool_id",
        "what claims to be a record is decoded before it counts; this only spares hashing",
    ),
    test(
        "journal/state.rs",
        "is_whole",
        "self.magic == MAGIC",
        "bytes whose checksum is salted with the pool id are a state; the magic is for people who look at the file",
    ),
    test(
        "journal/recover.rs",
        "advance",
        "position + header.len as u64 <= self.head + len",
        "who appends keeps within a lap of the head, and a record is whole in its own position only: this bounds the walk \
         over a forged ring",
    ),
    test(
        "journal/recover.rs",
        "keep_undo",
        "header.txid != self.txid + 1",
        "what is whole in an extent was put there by the transaction that drew its nonce",
    ),
    test(
        "journal/recover.rs",
        "keep_undo",
        "header.kind != Kind::Undo",
        "what is whole in an extent holds old words",
    ),
    test(
        "journal/undo.rs",
        "salt",
        "mix(ring.epoch, self.nonce)",
        "what an earlier use left in an extent is of another transaction and refused for that, or of one that was rolled \
         back: then its old words are those that the last commit left, and so are those of the one that took its number",
    ),
    test("journal/recover.rs", "flush_all", "media.flush(", SYNCED),
    Harmless {
        file: "journal/recover.rs",
        function: "flush_all",
        code: "media.sync()",
        changes: &[Change::Gone, Change::Early, Change::Late],
        modes: &[],
        why: SYNCED,
    },
    test("journal/recover.rs", "recover_into_home", "scan.flush_all()", SYNCED),
    Harmless {
        file: "journal/recover.rs",
        function: "settle_kill",
        code: "media.sync()",
        changes: &[Change::Early],
        modes: &[],
        why: "it is the first thing that a process does to the file: there is no write before it to change places with",
    },
    Harmless {
        file: "journal/direct.rs",
        function: "apply_records",
        code: "self.media.sync()",
        changes: &[Change::Early],
        modes: &[],
        why: "the last word is home's transaction, flushed here and made durable by the fence with which the new head is \
              stored; records that it vouches for are written over after that only",
    },
    Harmless {
        file: "pool/create.rs",
        function: "publish",
        code: "self.media.publish()",
        changes: &[Change::Early],
        modes: &[],
        why: "the checkpoint before it ends with the ring's state, a write that is durable by itself",
    },
    Harmless {
        file: "log/core.rs",
        function: "create",
        code: "core.media.publish()",
        changes: &[Change::Early],
        modes: &[],
        why: "the write before it is the second of two equal headers, and one will do",
    },
    Harmless {
        file: "log/core.rs",
        function: "write_out",
        code: "self.media.write(AREA + at",
        changes: &[Change::Unflushed],
        modes: &["log, lines"],
        why: "nothing was ever written there, so the medium has these zeros; storing them takes the space and the pages",
    },
    Harmless {
        file: "journal/ring.rs",
        function: "file_records",
        code: "self.media.write_ordered(",
        changes: &[Change::Unflushed],
        modes: &[],
        why: "records wait for a durable write on files only, where nothing is flushed",
    },
    Harmless {
        file: "log/file.rs",
        function: "file",
        code: "self.media.write_ordered(AREA + offset",
        changes: &[Change::Unflushed],
        modes: &[],
        why: "on files only, where nothing is flushed",
    },
];
