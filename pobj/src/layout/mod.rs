//! What a persistent type is: its family, its schema, its validation, and the pool's header.
//!
//! - [`persistent`]: the trait that says which types may live in a pool, implemented by `#[derive(Persistent)]`.
//! - [`primitives`]: the trait for integers, floats, arrays, `Option` of pointers.
//! - [`view`]: raw bytes of an object that is not yet known to be valid.
//! - [`visit`]: the walk over every reachable object that [`Pool::open`](crate) makes before it hands out `&T`.
//! - `shared`: blocks that several pointers share, and what validation demands of their counts.
//! - [`schema`], [`encoding`] and [`compare`]: the types of a pool as data, as bytes, and the difference of two.
//! - [`header`] and [`geometry`]: the first bytes of a pool file, and the places of everything else in it.
//!
//! This floor knows addresses and bytes. It does not know transactions, the allocator or the journal: where it
//! needs one of them (is this block allocated?) it declares a trait, [`visit::Blocks`], that a higher floor
//! implements.

pub(crate) mod compare;
pub(crate) mod encoding;
pub(crate) mod geometry;
pub(crate) mod header;
mod invalid;
pub mod persistent;
pub(crate) mod prefetch;
mod primitives;
#[cfg(test)]
mod samples;
pub mod schema;
#[cfg(feature = "sim")]
pub(crate) mod seek;
pub(crate) mod shared;
pub mod view;
pub mod visit;

pub use invalid::Invalid;
pub use persistent::{Niche, Persistent};
pub(crate) use schema::{Field, Variant};
pub use schema::{Schema, SchemaBuilder, TypeIndex};
pub use view::View;
pub(crate) use visit::Block;
pub use visit::Visit;
