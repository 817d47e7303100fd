//! Bugs to plant and failures to meet.

use std::cell::Cell;

/// The operations that a [`Fault`] can hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`Media::write`](crate::media::Media::write)
    Write,
    /// [`Media::write_durable`](crate::media::Media::write_durable)
    WriteDurable,
    /// [`Media::write_ordered`](crate::media::Media::write_ordered)
    WriteOrdered,
    /// [`Media::sync`](crate::media::Media::sync)
    Sync,
    /// [`Media::grow`](crate::media::Media::grow) and `stretch`
    Grow,
    /// [`Media::truncate`](crate::media::Media::truncate)
    Truncate,
    /// [`Media::punch`](crate::media::Media::punch)
    Punch,
    /// [`Media::publish`](crate::media::Media::publish)
    Publish,
    /// [`Media::flush`](crate::media::Media::flush), by the program; a write's own is part of it
    Flush,
    /// [`Media::fence`](crate::media::Media::fence), by the program; those in other operations are part of them
    Fence,
    /// [`Media::store`](crate::media::Media::store)
    Store,
}

impl Operation {
    /// How many kinds there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Write,
        Self::WriteDurable,
        Self::WriteOrdered,
        Self::Sync,
        Self::Grow,
        Self::Truncate,
        Self::Punch,
        Self::Publish,
        Self::Flush,
        Self::Fence,
        Self::Store,
    ];
}

/// A bug to plant or a failure to meet. Operations of one kind are counted from 0, from the medium's making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The sync of this number succeeds without doing anything, as if the code had left it out.
    DropSync(u64),
    /// Every durable write is a plain one: on persistent memory, one without its fence.
    DropDurability,
    /// The durable write of this number is a plain one.
    DropOneDurability(u64),
    /// The sync of this number takes effect before the write that precedes it, as if the code had swapped the two.
    SwapSync(u64),
    /// The fence of this number does nothing.
    DropFence(u64),
    /// No fence does anything.
    DropFences,
    /// The fence of this number takes effect before this thread's write that precedes it.
    SwapFence(u64),
    /// A fence, sync or durable write takes so long that the other threads do all they can do before it has an effect.
    Slow {
        /// The kind of operation.
        operation: Operation,
        /// Which one.
        number: u64,
    },
    /// The flush of this number does nothing.
    DropFlush(u64),
    /// No flush does anything, but for those that are part of a write.
    DropFlushes,
    /// A write stores without flushing, on persistent memory.
    DropWriteFlush {
        /// The kind of write.
        operation: Operation,
        /// Which one.
        number: u64,
    },
    /// The operation of this number, and all later ones if `forever`, do nothing and return the system error `errno`.
    /// A failed sync or fence leaves the bytes it should have covered beyond the reach of later ones (M5).
    Fail {
        /// The kind of operation.
        operation: Operation,
        /// Which one.
        number: u64,
        /// The error of the operating system, for example 5 (EIO) or 28 (ENOSPC).
        errno: i32,
        /// Whether all later operations of this kind fail too.
        forever: bool,
    },
}

impl Fault {
    /// The error with which the operation of this kind and number fails.
    pub(super) fn errno(&self, hit: Operation, now: u64) -> Option<i32> {
        match *self {
            Self::Fail { operation, number, errno, forever }
                if operation == hit && (now == number || (forever && now > number)) =>
            {
                Some(errno)
            }
            _ => None,
        }
    }
}

thread_local! {
    static SKIP_CHECKSUMS: Cell<bool> = const { Cell::new(false) };
}

/// Plants the bug that records count without a look at their checksums, on this thread only, or takes it out again.
pub fn skip_checksums(skip: bool) {
    SKIP_CHECKSUMS.set(skip);
}

/// Whether that bug is planted.
pub(crate) fn checksums_skipped() -> bool {
    SKIP_CHECKSUMS.get()
}
