//! The journal: what makes a transaction all or nothing.
//!
//! A committed transaction is one *record*: the words it changed, with a checksum, appended to a ring in the
//! pool file. Nothing else is written when a transaction commits, so there is one ordering point per commit (P3).
//! Home is brought up to date later, from the records alone (the *checkpoint*), and only then is the ring's head
//! moved, so replaying is always possible and always harmless (J4: records hold absolute words).
//!
//! The rules J1 to J9 of the design are argued where they bind: the format and its salt in [`record`] (J1, J2),
//! the positions and group commit in [`ring`] (J6 to J8), scanning and the proof of corruption in [`recover`]
//! (J3), replay in [`apply`] (J4), transactions larger than the ring in [`spill`] (J5), the head's two slots in
//! [`state`] (J9). What is different on persistent memory is in [`direct`], where
//! several transactions append at once in [`reserve`], and where the image is home in [`undo`].
//!
//! What is absent on purpose: the journal knows bytes and positions, never types, blocks or user code.

mod apply;
mod chain;
mod checkpoint;
mod direct;
mod pace;
pub(crate) mod record;
mod recover;
mod reserve;
mod ring;
mod spill;
mod state;
#[cfg(test)]
mod tests;
mod undo;

pub(crate) use chain::Chain;
pub(crate) use checkpoint::Background;
pub(crate) use direct::Appender;
pub(crate) use record::Body;
pub(crate) use recover::{Place, Recovered, recover_into_home, recover_into_image};
pub(crate) use ring::Journal;
pub use ring::JournalCounts;
pub(crate) use state::{RingState, format as format_state};
pub(crate) use undo::UndoLog;

/// When a commit returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the transaction is durable: it survives a power cut.
    #[default]
    Immediate,
    /// When the transaction is ordered: it survives a kill of the process at once, and a power cut after the next
    /// background sync (some tens of milliseconds) or [`sync`](crate::Pool::sync). What survives is always a
    /// prefix of the committed transactions.
    Eventual,
}
