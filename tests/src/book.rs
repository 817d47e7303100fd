//! The code of the README and of the book, compiled and run as documentation tests.

// The chapters show whole test files. Here the functions in them are called by a hidden line; in an empty folder `cargo test`
// runs them (`tests/book_pages.rs`).
#![allow(clippy::test_attr_in_doctest)]

/// The README.
#[doc = include_str!("../../README.md")]
pub mod readme {}

macro_rules! pages {
    ($($page:ident),* $(,)?) => {$(
        #[doc = include_str!(concat!("../../book/src/", stringify!($page), ".md"))]
        pub mod $page {}
    )*};
}

pages!(
    why,
    tour,
    model,
    brand,
    errors,
    transactions,
    concurrent,
    collections,
    sequences,
    btree,
    shared,
    companions,
    build_list,
    build_tree,
    build_map,
    kv,
    kv_ordered,
    opening,
    pmem,
    log,
    blk,
    format,
    design,
    testing,
    from_pmem,
    from_files,
    limits,
    faq
);
