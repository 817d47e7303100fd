//! Any bytes as a pool or a log, whole or as edits to a good one. See `tests::fuzz::open`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tests::fuzz::open::run(data));
