//! What a crash left, with flipped bits. See `tests::fuzz::crash_image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tests::fuzz::crash_image::run(data));
