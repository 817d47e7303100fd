//! Operations against a model, with power cuts. See `tests::fuzz::operations`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tests::fuzz::operations::run(data));
