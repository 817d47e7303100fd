//! A list of postings, (file id, count), as bytes.
//!
//! Ids only grow along a list, so each is stored as the distance from its predecessor; distance and count are
//! written in groups of seven bits, the lowest first, the high bit saying that more follow. Most postings take two
//! bytes where a pair of `u32` takes eight.

/// Bytes that one posting takes at most.
pub const POSTING_LEN_MAX: usize = 10;

/// One posting as bytes, for the end of a list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Encoded {
    bytes: [u8; POSTING_LEN_MAX],
    len: usize,
}

impl Encoded {
    /// Encodes `count` occurrences in a file whose id is `distance` above the last one in the list.
    #[must_use]
    pub fn new(distance: u32, count: u32) -> Self {
        let mut encoded = Self::default();
        encoded.put(distance);
        encoded.put(count);
        encoded
    }

    fn put(&mut self, mut number: u32) {
        while number >= 0x80 {
            self.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.push(number as u8);
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The postings in `bytes`, in the order of their file ids.
pub fn decode(bytes: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    let mut rest = bytes.iter();
    let mut file = 0_u32;
    std::iter::from_fn(move || {
        file = file.wrapping_add(number(&mut rest)?);
        Some((file, number(&mut rest)?))
    })
}

fn number(bytes: &mut std::slice::Iter<'_, u8>) -> Option<u32> {
    let mut number = 0;
    for shift in (0..32).step_by(7) {
        let byte = *bytes.next()?;
        number |= u32::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let postings = [(0, 1), (1, 127), (129, 128), (130, u32::MAX), (u32::MAX, 1 << 21)];
        let mut bytes = Vec::new();
        let mut last = 0;
        for (file, count) in postings {
            bytes.extend_from_slice(Encoded::new(file - last, count).as_slice());
            last = file;
        }
        assert_eq!(decode(&bytes).collect::<Vec<_>>(), postings);
    }

    #[test]
    fn bytes_that_end_early_end_the_list() {
        let bytes = [Encoded::new(1, 1).as_slice(), &[0x80, 0x80]].concat();
        assert_eq!(decode(&bytes).collect::<Vec<_>>(), [(1, 1)]);
        assert_eq!(decode(&[0xFF; 20]).count(), 0);
    }
}
