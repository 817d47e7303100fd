//! The fuzzers' corpora, replayed without a fuzzer: what once led somewhere new must lead there without a finding, with
//! any compiler. Catches what the fuzz targets catch, as far as they have come.

use std::fs;
use std::panic::catch_unwind;

use tests::fuzz::{TARGETS, corpus};

#[test]
fn every_input_of_the_corpora() {
    for (target, run) in TARGETS {
        let mut inputs: Vec<_> =
            fs::read_dir(corpus(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() >= 10, "{target}: only {} inputs", inputs.len());
        for input in &inputs {
            let bytes = fs::read(input).unwrap();
            assert!(catch_unwind(|| run(&bytes)).is_ok(), "{target}: {}", input.display());
        }
        println!("{target}: {} inputs", inputs.len());
    }
}

/// A repository is no place for a heap of bytes that nobody has made small.
#[test]
fn the_corpora_are_small() {
    for (target, _) in TARGETS {
        let lens =
            fs::read_dir(corpus(target)).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        let bytes: u64 = lens.sum();
        assert!(bytes < 200 << 10, "{target}: {bytes} bytes; make it smaller with cargo fuzz cmin");
    }
}

/// Inputs of no form at all, for those who run no fuzzer: the same ones each time.
#[test]
fn inputs_that_nobody_chose() {
    for (target, run) in TARGETS {
        let mut random = tests::support::Random(1);
        for case in 0..60 {
            let len = random.below(300) as usize;
            let bytes: Vec<u8> = (0..len).map(|_| random.word() as u8).collect();
            assert!(catch_unwind(|| run(&bytes)).is_ok(), "{target}: case {case}");
        }
    }
}
