//! Persistence domains: how far a store must travel before a power cut cannot undo it.

use std::fmt;
use std::str::FromStr;

/// Bytes of a cache line: what a flush makes durable.
pub(crate) const CACHE_LINE: u64 = 64;

/// How far a store must travel to survive a power cut, finest first. The words are libpmem2's *store granularity*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// Caches are persistent (eADR, GPF): a store that other processors can see survives. Only fences are needed.
    Byte,
    /// Persistent memory behind volatile caches: a line must be flushed and the flush fenced.
    CacheLine,
    /// A file behind the page cache: pages must be written and synced.
    Page,
}

impl Domain {
    /// Whether the medium is persistent memory: durable by flush and fence, without a system call.
    #[must_use]
    pub fn is_memory(self) -> bool {
        self != Self::Page
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Byte => "byte",
            Self::CacheLine => "line",
            Self::Page => "page",
        })
    }
}

impl FromStr for Domain {
    type Err = ();

    /// `byte`, `line` or `page`.
    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "byte" => Ok(Self::Byte),
            "line" => Ok(Self::CacheLine),
            "page" => Ok(Self::Page),
            _ => Err(()),
        }
    }
}
