//! The ways to use a pool that the suites try: on which medium, with which image.

use std::sync::OnceLock;

use pobj::media::sim::SimMedia;
use pobj::media::{Domain, ImageMode};
use pobj::{Options, Pool};

use super::MAX_SIZE;
use crate::workload::Root;

/// A way to use a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A private image over a file: pieces of 512 bytes survive or not until a sync.
    FileRedo,
    /// A private image over persistent memory: words survive or not until flushed and fenced.
    LineRedo,
    /// An image in place over persistent memory.
    LineUndo,
    /// A private image over memory whose caches are persistent: words survive or not until fenced.
    ByteRedo,
    /// An image in place over such memory.
    ByteUndo,
}

impl Mode {
    /// Those that every suite tries.
    pub const ALL: [Self; 5] =
        [Self::FileRedo, Self::LineRedo, Self::LineUndo, Self::ByteRedo, Self::ByteUndo];

    /// How far a store must travel.
    #[must_use]
    pub fn domain(self) -> Domain {
        match self {
            Self::FileRedo => Domain::Page,
            Self::LineRedo | Self::LineUndo => Domain::CacheLine,
            Self::ByteRedo | Self::ByteUndo => Domain::Byte,
        }
    }

    /// What the program's references lead into.
    #[must_use]
    pub fn image(self) -> ImageMode {
        match self {
            Self::FileRedo | Self::LineRedo | Self::ByteRedo => ImageMode::Private,
            Self::LineUndo | Self::ByteUndo => ImageMode::InPlace,
        }
    }

    /// An empty medium.
    ///
    /// # Panics
    ///
    /// If there is no memory for it.
    #[must_use]
    pub fn media(self) -> SimMedia {
        SimMedia::with_domain(MAX_SIZE, self.domain()).expect("memory for the simulator")
    }

    /// How a pool under test is made and opened.
    #[must_use]
    pub fn options(self) -> Options<Root<'static>> {
        // Made once: the default asks the system how many processors there are.
        static OPTIONS: OnceLock<Options<Root<'static>>> = OnceLock::new();
        let make = || {
            Pool::<Root<'static>>::options()
                .size(64 << 10)
                .max_size(MAX_SIZE)
                .ring_size(64 << 10)
                .validation_threads(1)
        };
        OPTIONS.get_or_init(make).clone().image(self.image())
    }

    /// The same for the pool that a script is recorded on: each commit there looks for changes that were not logged.
    #[must_use]
    pub fn recorded_options(self) -> Options<Root<'static>> {
        self.options().check_unlogged()
    }
}
