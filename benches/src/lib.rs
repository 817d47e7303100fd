//! What pobj costs, measured against what the machine allows.
//!
//! The program `compare` prints one row for each budget of the design. A row's figure stands beside a *limit*: the
//! bare operation that no design can undercut (a raw pointer, a durable write, `malloc`), measured in the same run and
//! interleaved with it, so that a noisy machine disturbs both alike. Figures are medians.
//!
//! [`rows`] holds the rows by theme, each a small function whose documentation says what is measured and what the
//! limit is. [`mod@bench`] is what they work with, [`report`] what they give back, [`types`] and [`fill`] what is in the
//! pools, [`bare`] and [`bare_memory`] the operations without pobj, [`peer`] libpmemobj and other stores, [`kv`] what the
//! key-value rows ([`kv_rows`]) ask of a store, [`corpus`] text to index, [`counting`] an allocator that counts. The
//! criterion benches share all of it.
//!
//! The program `measure` puts pobj beside what people use instead, over growing sizes: `serial` beside saving and
//! loading, [`stores`] beside embedded stores, [`fences`] beside libpmemobj. [`session`] runs each contender's turn in a
//! process of its own, [`results`] keeps what came out and [`machine`] where, `plots` and [`tables`] make the book's
//! pictures and tables of it.

pub mod bare;
pub mod bare_memory;
pub mod bench;
pub mod corpus;
pub mod counting;
pub mod fences;
pub mod fill;
pub mod kv;
pub mod kv_bare;
pub mod kv_pobj;
pub mod kv_rows;
pub mod machine;
pub mod names;
pub mod peer;
#[cfg(feature = "plots")]
pub mod plots;
pub mod report;
pub mod results;
pub mod rows;
#[cfg(feature = "serial")]
pub mod serial;
pub mod session;
pub mod stores;
pub mod tables;
pub mod timing;
pub mod types;

/// What any step of a benchmark may fail with.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
