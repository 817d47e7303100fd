//! From reservation to record, and from record to image.
//!
//! `prepare` and `commit` walk the same list in the same order: the touched bitmap words, sorted by address and
//! grouped by run. What a record says about a run:
//!
//! - bits set and cleared, where the run is in the file already;
//! - for a new run its header, and every bitmap word that differs from what the slot held before, so the slot of a free
//!   chunk may hold anything;
//! - for a run that loses its last block a free header, and zeros for what is left of the bitmap.
//!
//! Blocks allocated and freed by the same transaction leave no trace in the record.

use crate::layout::geometry::CHUNK;
use crate::media::Image;

use super::reservation::{Reservation, Touch, WordKey};
use super::runs::{NO_RUN, Run};
use super::slots::{Slot, bitmap_word};
use super::table::State;
use super::{Change, Heap};

impl Heap {
    /// Adds to `out` what the transaction's record must hold of the heap. The reservation stays as it is, except
    /// that its lists get sorted.
    pub(crate) fn prepare(&self, image: &Image, reservation: &mut Reservation, out: &mut Vec<Change>) {
        reservation.seal();
        let mut changes = std::mem::take(&mut reservation.changes);
        changes.clear();
        if !reservation.is_empty() {
            self.describe_space(image, &mut changes);
            for &chunk in &self.idle {
                if self.is_idle(chunk) {
                    self.describe_run(image, chunk, &[], &mut changes);
                }
            }
            for touches in by_chunk(&reservation.touches) {
                self.describe_run(image, touches[0].key.chunk(), touches, &mut changes);
            }
            self.describe_large(reservation, &mut changes);
        }
        out.extend_from_slice(&changes);
        reservation.changes = changes;
        reservation.prepared = true;
    }

    /// Whether the transaction has freed the block at `offset`: the contents of such a block need no record.
    pub(crate) fn frees(&self, reservation: &mut Reservation, offset: u64) -> bool {
        if !reservation.has_frees() {
            return false;
        }
        reservation.seal();
        let Some((chunk, within)) = self.place.locate(offset) else { return false };
        match self.table.get(chunk).map(|entry| entry.state()) {
            Some(State::Run) => {
                let run = self.run_at(chunk as u32);
                let Some(block) = run.and_then(|run| run.info().block_at(within)) else { return false };
                reservation.freed_blocks(WordKey::new(chunk as u32, block / 64)) >> (block % 64) & 1 == 1
            }
            Some(State::Large) => reservation.large_freed.binary_search(&(chunk as u32)).is_ok(),
            _ => false,
        }
    }

    /// Makes the transaction's changes in the image and in memory, and empties the reservation. To be called once the
    /// record is ordered; `txid` is the record's. Blocks that it freed can be handed out from now on.
    pub(crate) fn commit(&mut self, image: &Image, reservation: &mut Reservation, txid: u64) {
        reservation.seal();
        if !reservation.prepared {
            self.prepare(image, reservation, &mut Vec::new());
        }
        if reservation.is_empty() {
            return reservation.clear();
        }
        for &change in &reservation.changes {
            apply(image, change);
        }
        self.last_txid = self.last_txid.max(txid);
        self.unpublished.clear();
        for chunk in std::mem::take(&mut self.idle) {
            if self.is_idle(chunk) {
                self.drop_run(chunk, txid);
            }
        }
        for touches in by_chunk(&reservation.touches) {
            self.settle_run(touches[0].key.chunk(), touches, txid);
        }
        for &chunk in &reservation.large_allocated {
            self.live.large_objects += 1;
            self.live.large_chunks += u64::from(self.table[chunk as usize].number());
        }
        for &chunk in &reservation.large_freed {
            if let Some(count) = self.large_count_at(chunk) {
                self.live.large_objects -= 1;
                self.live.large_chunks -= u64::from(count);
                self.give_chunks(chunk, count, txid);
            }
        }
        reservation.clear();
    }

    /// Takes everything back that the transaction reserved, forgets what it freed, and empties the reservation.
    pub(crate) fn rollback(&mut self, _image: &Image, reservation: &mut Reservation) {
        reservation.seal();
        for touches in by_chunk(&reservation.touches) {
            let chunk = touches[0].key.chunk();
            let Some(run) = self.run_at_mut(chunk) else {
                continue;
            };
            for touch in touches {
                run.release(touch.key.word(), touch.allocated);
            }
            let (used, published) = (run.used, run.published);
            match (used, published) {
                (0, false) => self.drop_run(chunk, self.last_txid),
                // Another transaction committed the free of the last block of the file meanwhile.
                (0, true) => self.idle.push(chunk),
                _ => {}
            }
            self.enqueue(chunk);
        }
        for &chunk in &reservation.large_allocated {
            if let Some(count) = self.large_count_at(chunk) {
                self.give_chunks(chunk, count, self.last_txid);
            }
        }
        reservation.clear();
    }

    /// Space that is not yet in the file's metadata: the heap's length, and new metadata chunks.
    fn describe_space(&self, image: &Image, changes: &mut Vec<Change>) {
        let offset = self.place.heap_len_word();
        if image.load_u64(offset) != self.heap_len() {
            changes.push(Change::Word { offset, value: self.heap_len() });
        }
        for &group in &self.unpublished {
            let metadata = self.groups[group as usize];
            let value = self.place.chunk_offset(metadata);
            changes.push(Change::Zeros { offset: value, count: CHUNK / 8 });
            changes.push(Change::Word { offset: self.place.directory_word(group), value });
        }
        // After the zeros: a metadata chunk's own slot may lie in another one of the batch.
        for &group in &self.unpublished {
            let metadata = self.groups[group as usize];
            if let Some(offset) = self.slot_offset(metadata) {
                changes.push(Change::Word { offset, value: Slot::Metadata { group }.encode() });
            }
        }
    }

    fn describe_run(&self, image: &Image, chunk: u32, touches: &[Touch], changes: &mut Vec<Change>) {
        let Some((run, slot)) = self.run_at(chunk).zip(self.slot_offset(chunk)) else {
            return;
        };
        if leaves_empty(run, touches) {
            if run.published {
                changes.push(Change::Word { offset: slot, value: Slot::Free.encode() });
                describe_bitmap(image, run, slot, &[], changes);
            }
        } else if run.published {
            for touch in touches {
                let offset = bitmap_word(slot, touch.key.word());
                match (touch.sets(), touch.clears()) {
                    (0, 0) => {}
                    (mask, 0) => changes.push(Change::Set { offset, mask }),
                    (0, mask) => changes.push(Change::Clear { offset, mask }),
                    (set, clear) => {
                        let value = image.load_u64(offset) & !clear | set;
                        changes.push(Change::Word { offset, value });
                    }
                }
            }
        } else if publishes(touches) {
            changes.push(Change::Word { offset: slot, value: Slot::Run { class: run.class }.encode() });
            describe_bitmap(image, run, slot, touches, changes);
        }
    }

    fn describe_large(&self, reservation: &Reservation, changes: &mut Vec<Change>) {
        let allocated = reservation.large_allocated.iter().map(|&chunk| (chunk, true));
        let freed = reservation.large_freed.iter().map(|&chunk| (chunk, false));
        for (chunk, allocated) in freed.chain(allocated) {
            if reservation.cancels_large(chunk) {
                continue;
            }
            if let Some((count, offset)) = self.large_count_at(chunk).zip(self.slot_offset(chunk)) {
                let slot = if allocated { Slot::Large { count } } else { Slot::Free };
                changes.push(Change::Word { offset, value: slot.encode() });
            }
        }
    }

    /// The volatile side of a commit, for one run.
    fn settle_run(&mut self, chunk: u32, touches: &[Touch], txid: u64) {
        let Some(run) = self.run_at_mut(chunk) else {
            return;
        };
        let (mut released, mut added, mut removed) = (0, 0, 0);
        for touch in touches {
            let clears = touch.clears() & run.word(touch.key.word());
            released += run.release(touch.key.word(), touch.freed);
            added += u64::from(touch.sets().count_ones());
            removed += u64::from(clears.count_ones());
        }
        run.published |= publishes(touches);
        let (class, used) = (run.class, run.used);
        self.live.add_small(class, added);
        self.live.remove_small(class, removed);
        if used == 0 {
            self.drop_run(chunk, txid);
        } else if released > 0 {
            self.enqueue(chunk);
        }
    }

    /// Puts a run with room into its class's queue.
    fn enqueue(&mut self, chunk: u32) {
        let Some(index) = self.run_index(chunk) else {
            return;
        };
        if let Some(run) = self.runs.get_mut(index) {
            let supply = &mut self.supplies[usize::from(run.class)];
            if supply.current != index && run.has_room() && !std::mem::replace(&mut run.queued, true) {
                supply.queue.push(std::cmp::Reverse(chunk));
            }
        }
    }

    /// Turns a run without blocks into a free chunk.
    fn drop_run(&mut self, chunk: u32, txid: u64) {
        if let Some(index) = self.run_index(chunk)
            && let Some(run) = self.runs.remove(index)
        {
            let supply = &mut self.supplies[usize::from(run.class)];
            if supply.current == index {
                supply.current = NO_RUN;
            }
            self.give_chunks(chunk, 1, txid);
        }
    }

    fn is_idle(&self, chunk: u32) -> bool {
        self.run_at(chunk).is_some_and(|run| run.published && run.used == 0 && !run.is_unread())
    }

    fn large_count_at(&self, chunk: u32) -> Option<u32> {
        let entry = self.table.get(chunk as usize)?;
        (entry.state() == State::Large).then(|| entry.number())
    }
}

/// The touches of each chunk together.
fn by_chunk(touches: &[Touch]) -> impl Iterator<Item = &[Touch]> {
    touches.chunk_by(|a, b| a.key.chunk() == b.key.chunk())
}

/// True if no block of the run is allocated or reserved once the touches are committed.
fn leaves_empty(run: &Run, touches: &[Touch]) -> bool {
    let freed: u32 =
        touches.iter().map(|touch| (touch.freed & run.word(touch.key.word())).count_ones()).sum();
    freed == run.used
}

/// True if the touches leave a block allocated, so that a new run must be in the record.
fn publishes(touches: &[Touch]) -> bool {
    touches.iter().any(|touch| touch.sets() != 0)
}

/// The words of a bitmap that must change to hold exactly what `touches` set.
fn describe_bitmap(image: &Image, run: &Run, slot: u64, touches: &[Touch], changes: &mut Vec<Change>) {
    for word in 0..run.info().words {
        let offset = bitmap_word(slot, word);
        let value = touches.iter().find(|touch| touch.key.word() == word).map_or(0, Touch::sets);
        if image.load_u64(offset) != value {
            changes.push(Change::Word { offset, value });
        }
    }
}

fn apply(image: &Image, change: Change) {
    match change {
        Change::Word { offset, value } => image.store_u64(offset, value),
        Change::Set { offset, mask } => image.store_u64(offset, image.load_u64(offset) | mask),
        Change::Clear { offset, mask } => image.store_u64(offset, image.load_u64(offset) & !mask),
        Change::Zeros { offset, count } => image.zero(offset, count * 8),
    }
}
