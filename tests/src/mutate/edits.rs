//! The places that are no calls: tests of what was read, what salts a checksum, what keeps a record from being
//! overwritten or a block from being given away too soon.

/// A place by its text.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// The file, from `pobj/src`.
    pub file: &'static str,
    /// Code that stands in it exactly once. If only a part of it is meant, that stands between `@{` and `}@`.
    pub code: &'static str,
    /// What stands there instead.
    pub instead: &'static str,
}

const fn edit(file: &'static str, code: &'static str, instead: &'static str) -> Edit {
    Edit { file, code, instead }
}

const RECORD: &str = "journal/record.rs";
const RECOVER: &str = "journal/recover.rs";
const STATE: &str = "journal/state.rs";
const RING: &str = "journal/ring.rs";
const UNDO: &str = "journal/undo.rs";
const FILE: &str = "media/file/mod.rs";
const DAX: &str = "media/dax/mod.rs";
const HEADER: &str = "layout/header.rs";

/// All of them.
pub const EDITS: [Edit; 62] = [
    // Records of the journal: whole, this pool's, of this epoch, in their place.
    edit(RECORD, "checksum(salt.seed(position), &bytes[8..len]) != word_at(bytes, 0)", "false"),
    edit(RECORD, "@{self.pool_id}@ ^ self.epoch.rotate_left(32)", "0"),
    edit(RECORD, "self.epoch.rotate_left(32)", "0"),
    edit(RECORD, "self.epoch.rotate_left(32), @{position}@)", "0"),
    edit(RECORD, "|| @{word_at(bytes, 24) != pool_id}@ {\n        return None", "false"),
    edit(RECORD, "|| @{word_at(bytes, 24) != pool_id}@ {\n        return false", "false"),
    edit(RECORD, "word_at(bytes, 16) >= txid", "false"),
    edit(RECORD, "(in_place && word_at(bytes, 8) == txid)", "false"),
    // The walk over them.
    edit(RECOVER, "@{header.txid == self.txid + 1}@ && position", "true"),
    edit(RECOVER, "position + header.len as u64 <= self.head + len", "true"),
    edit(RECOVER, "header.txid != self.txid + 1", "false"),
    edit(RECOVER, "header.kind != Kind::Undo", "false"),
    edit(RECOVER, "scan.undo.clear()", "()"),
    edit(RECOVER, "scan.refuse_lost_records()?", "()"),
    edit(RECOVER, "checksum(place.pool_id, &body) != sum", "false"),
    edit(RECOVER, "u64::from_le_bytes(word) > scan.txid", "false"),
    edit(RECOVER, "state.epoch = epoch", "()"),
    edit(RECOVER, "@{home.add(Entry::Words { offset: HOME_TXID, words: &scan.txid.to_le_bytes() })?;}@", ""),
    // The ring's state.
    edit(STATE, "self.magic == MAGIC", "true"),
    edit(STATE, "self.checksum == self.sum(pool_id)", "true"),
    edit(STATE, "state.slot_offset() == offset", "true"),
    edit(STATE, "other.sequence < state.sequence", "true"),
    edit(STATE, "@{self.sequence += 1}@;\n        self.checksum", "()"),
    edit(STATE, "@{self.sequence += 1}@;\n        self.clean", "()"),
    edit(STATE, "self.shutdown_mark != mark_now", "false"),
    // What lies between head and tail is not overwritten, and home not ahead of what is durable.
    edit(RING, "position + total - ring.state.head <= self.len", "true"),
    edit(RING, "horizon: @{ring.durable_txid}@,", "ring.last_txid"),
    edit(RING, "let all_filed = @{ring.filed_txid >= last}@", "true"),
    edit("journal/checkpoint.rs", "let target = @{ring.durable_txid}@;", "ring.last_txid"),
    edit("journal/direct.rs", "position + total - end.head > self.len", "false"),
    edit(UNDO, "position + total - ring.state.head <= self.len", "true"),
    edit(UNDO, "running.min(ring.in_place.unapplied.unwrap_or(ring.tail))", "running"),
    edit(UNDO, "let running = @{ring.in_place.undo_start.unwrap_or(ring.tail)}@", "ring.tail"),
    edit(UNDO, "ring.in_place.dirty.extend(ranges)", "()"),
    edit(UNDO, "@{ring.in_place.undo_start.get_or_insert(position);}@\n                return", ""),
    edit(UNDO, "@{ring.in_place.undo_start.get_or_insert(position);}@\n        // Each", ""),
    edit(UNDO, "ring.in_place.unapplied = Some(position)", "()"),
    edit(UNDO, "mix(ring.epoch, self.nonce)", "ring.epoch"),
    edit("pool/mod.rs", "self.journal.home_txid()", "u64::MAX"),
    // Headers.
    edit(HEADER, "raw.magic == MAGIC", "true"),
    edit(HEADER, "raw.checksum == raw.expected_checksum()", "true"),
    edit(HEADER, "checksum(self.pool_id, schema) != self.schema_checksum", "false"),
    edit("pool/open.rs", "heap_len > file_len", "false"),
    // Below the seam, where `strace` and the counts of fences look.
    edit(FILE, "ReadWriteFlags::DSYNC", "ReadWriteFlags::empty()"),
    edit(FILE, ".and_then(|()| @{fdatasync(&self.file)}@)", "Ok(())"),
    edit(FILE, "@{fdatasync(&self.file)}@.map_err", "Ok::<(), Errno>(())"),
    edit(FILE, "self.write_durable(len - 8, &[0; 8])", "Ok(())"),
    edit(FILE, "@{fsync(&self.file)}@.map_err", "Ok::<(), Errno>(())"),
    edit("media/file/naming.rs", "match @{fsync(&self.directory)}@ {", "Ok(())"),
    edit(DAX, "self.cpu.fence();\n        @{self.unsynced.settle(|| self.file.sync())}@", "Ok(())"),
    edit(DAX, "@{self.cpu.fence();}@\n        self.unsynced", ""),
    edit(DAX, "@{self.cpu.fence();}@\n        Ok(())", ""),
    edit(DAX, "@{self.cpu.fence();}@\n        self.file.publish", ""),
    edit(DAX, "@{let _ = unsafe { self.cpu.flush(start, len as usize) };}@", ""),
    // The log.
    edit("log/frame.rs", "salt.checksum(offset, self.word, Hash::of(entry)) == self.checksum", "true"),
    edit("log/frame.rs", "self.0 ^ @{offset}@ ^", "0"),
    edit("log/frame.rs", "mix(log_id, @{generation}@)", "0"),
    edit("log/header.rs", "raw.checksum == raw.expected_checksum()", "true"),
    edit("log/header.rs", "whole.max_by_key(|raw| raw.sequence)", "whole.min_by_key(|raw| raw.sequence)"),
    edit("log/recover.rs", "erase(media, end.offset, header.limit)?", "()"),
    edit("log/recover.rs", "!frame.head.continues()", "true"),
    edit("log/core.rs", "tail: @{ends.durable}@, limit", "ends.end"),
];
