//! [`KillMode`]: how a file that is killed, or cut, is written.

use std::str::FromStr;

use pobj::Durability;
use pobj::media::{Domain, ImageMode};

/// What a killed process was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillMode {
    /// Durable writes of a file.
    Immediate,
    /// Ordered writes of a file.
    Eventual,
    /// Redo by flush and fence, on memory that is said to be persistent.
    Line,
    /// Undo in place, on memory that is said to be persistent.
    InPlace,
    /// Redo on persistent memory: refused where the medium is none.
    Dax,
    /// Undo in place on persistent memory.
    DaxInPlace,
    /// Whatever the medium is found to be.
    Found,
}

impl KillMode {
    /// Those that work on any machine.
    pub const ALL: [Self; 4] = [Self::Immediate, Self::Eventual, Self::Line, Self::InPlace];

    /// What the medium is said to be.
    #[must_use]
    pub fn forced(self) -> Option<Domain> {
        match self {
            Self::Immediate | Self::Eventual => Some(Domain::Page),
            Self::Line | Self::InPlace => Some(Domain::CacheLine),
            Self::Dax | Self::DaxInPlace | Self::Found => None,
        }
    }

    /// What the medium has to be.
    #[must_use]
    pub fn required(self) -> Option<Domain> {
        matches!(self, Self::Dax | Self::DaxInPlace).then_some(Domain::CacheLine)
    }

    /// When a commit returns.
    #[must_use]
    pub fn durability(self) -> Durability {
        if self == Self::Eventual { Durability::Eventual } else { Durability::Immediate }
    }

    /// Where stores go; a log has no image.
    #[must_use]
    pub fn image(self) -> ImageMode {
        match self {
            Self::InPlace | Self::DaxInPlace => ImageMode::InPlace,
            _ => ImageMode::Private,
        }
    }
}

impl FromStr for KillMode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = Self::ALL.into_iter().chain([Self::Dax, Self::DaxInPlace, Self::Found]);
        all.into_iter().find(|mode| format!("{mode:?}") == name).ok_or_else(|| format!("no mode {name}"))
    }
}

/// The options of any facility for a mode, the image aside.
macro_rules! in_mode {
    ($options:expr, $mode:expr) => {{
        let (options, mode) = ($options.durability($mode.durability()), $mode);
        let options = match mode.forced() {
            Some(domain) => options.force_domain(domain),
            None => options,
        };
        match mode.required() {
            Some(domain) => options.require_domain(domain),
            None => options,
        }
    }};
}
pub(crate) use in_mode;
