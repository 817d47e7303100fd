//! The arithmetic of cache lines, apart from every instruction, so that it can be tested exhaustively.
//!
//! Flushing acts on whole lines, non-temporal stores are at their best on whole lines, and ranges start and end
//! anywhere. A line missed at either end is data lost in a power cut that no test on an ordinary machine would show.

use crate::ground::domain::CACHE_LINE;

/// Bytes in a cache line. On a processor with shorter lines the back end splits further; with longer lines some are
/// flushed twice, which costs time and breaks nothing.
pub(crate) const LINE: usize = CACHE_LINE as usize;

/// How far `address` lies in its line.
#[inline]
pub(crate) fn within(address: usize) -> usize {
    address & (LINE - 1)
}

/// How many lines the `len` bytes from `address` touch; they start at `address - within(address)`.
#[inline]
pub(crate) fn touched(address: usize, len: usize) -> usize {
    if len == 0 { 0 } else { (within(address) + len).div_ceil(LINE) }
}

/// A range cut at the boundaries of lines: `head` bytes, then `lines` whole lines, then `tail` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub head: usize,
    pub lines: usize,
    pub tail: usize,
}

/// Cuts the `len` bytes from `address`. Head and tail are shorter than a line.
#[inline]
pub(crate) fn cut(address: usize, len: usize) -> Cut {
    let head = (address.wrapping_neg() & (LINE - 1)).min(len);
    let rest = len - head;
    Cut { head, lines: rest / LINE, tail: rest % LINE }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The lines of a range by the definition: those of each of its bytes.
    fn lines_of_each_byte(address: usize, len: usize) -> BTreeSet<usize> {
        (address..address + len).map(|byte| byte / LINE).collect()
    }

    fn flushed(address: usize, len: usize) -> BTreeSet<usize> {
        let first = (address - within(address)) / LINE;
        (first..first + touched(address, len)).collect()
    }

    fn check(address: usize, len: usize) {
        assert_eq!(flushed(address, len), lines_of_each_byte(address, len), "{address} + {len}");
        let Cut { head, lines, tail } = cut(address, len);
        assert_eq!(head + lines * LINE + tail, len, "{address} + {len}");
        assert!(head < LINE && tail < LINE, "{address} + {len}");
        if lines > 0 || tail > 0 {
            assert_eq!(within(address + head), 0, "{address} + {len}");
        }
    }

    #[test]
    fn every_alignment_and_length_of_a_few_lines() {
        for address in 4096..4096 + 2 * LINE {
            for len in 0..=5 * LINE {
                check(address, len);
            }
        }
    }

    #[test]
    fn an_empty_range_has_no_lines() {
        for address in 0..LINE {
            assert_eq!(touched(address, 0), 0);
            assert_eq!(cut(address, 0), Cut { head: 0, lines: 0, tail: 0 });
        }
    }

    proptest! {
        #[test]
        fn any_range(address in 0usize..1 << 47, len in 0usize..1 << 14) {
            check(address, len);
        }
    }
}
