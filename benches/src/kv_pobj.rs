//! pobj's own key-value stores, as contenders.

use crate::kv::{Contender, absent};

/// On persistent memory: a put flushes and fences.
pub const MEMORY: &[Contender] =
    &[Contender { name: "hash", open: absent }, Contender { name: "ordered", open: absent }];

/// On a file, without waiting for the medium.
pub const EVENTUAL: &[Contender] =
    &[Contender { name: "hash", open: absent }, Contender { name: "ordered", open: absent }];

/// On a file; a put is durable when it returns.
pub const IMMEDIATE: &[Contender] =
    &[Contender { name: "hash", open: absent }, Contender { name: "ordered", open: absent }];
