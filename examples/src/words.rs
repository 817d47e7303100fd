//! Cutting a file into words.
//!
//! A word is a run of letters and digits (Unicode's), lower-cased, of at most 64 bytes; longer runs are no words but
//! data. A file with a NUL byte in its first 8 KiB is binary and has no words. Bytes that are not UTF-8 separate words.

use std::borrow::Cow;
use std::collections::HashMap;

/// Longest word in bytes.
pub const WORD_LEN_MAX: usize = 64;
/// So much of a file is searched for a NUL byte.
const SNIFFED: usize = 8 << 10;

/// Whether these bytes are no text.
#[must_use]
pub fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(SNIFFED)].contains(&0)
}

/// The text of a file, lower-cased.
#[must_use]
pub fn text(bytes: Vec<u8>) -> String {
    let mut text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => match String::from_utf8_lossy(error.as_bytes()) {
            Cow::Owned(text) => text,
            Cow::Borrowed(text) => text.to_owned(),
        },
    };
    if text.is_ascii() {
        text.make_ascii_lowercase();
        return text;
    }
    text.to_lowercase()
}

/// The words of a lower-cased text.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| (1..=WORD_LEN_MAX).contains(&word.len()))
}

/// The words of a lower-cased text, and how often each occurs.
#[must_use]
pub fn count(text: &str) -> HashMap<&str, u32> {
    let mut counts = HashMap::new();
    for word in words(text) {
        let count: &mut u32 = counts.entry(word).or_default();
        *count = count.saturating_add(1);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(bytes: &[u8]) -> Vec<(String, u32)> {
        let text = text(bytes.to_vec());
        let mut counts: Vec<_> =
            count(&text).into_iter().map(|(word, count)| (word.to_owned(), count)).collect();
        counts.sort();
        counts
    }

    fn expected(words: &[(&str, u32)]) -> Vec<(String, u32)> {
        words.iter().map(|&(word, count)| (word.to_owned(), count)).collect()
    }

    #[test]
    fn words_are_lower_cased_runs_of_letters_and_digits() {
        assert_eq!(
            counted(b"The cat, the_hat; x86-64 THE"),
            expected(&[("64", 1), ("cat", 1), ("hat", 1), ("the", 3), ("x86", 1)])
        );
        assert_eq!(counted("Gr\u{fc}n GR\u{dc}N".as_bytes()), expected(&[("gr\u{fc}n", 2)]));
        assert_eq!(counted(b""), []);
    }

    #[test]
    fn bytes_that_are_no_text_separate_words() {
        assert_eq!(counted(b"left\xFFright"), expected(&[("left", 1), ("right", 1)]));
    }

    #[test]
    fn runs_of_more_than_64_bytes_are_no_words() {
        let long = "a".repeat(WORD_LEN_MAX);
        assert_eq!(counted(format!("{long} {long}a").as_bytes()), expected(&[(&long, 1)]));
    }

    #[test]
    fn a_nul_byte_early_on_makes_a_file_binary() {
        assert!(is_binary(b"ELF\0"));
        assert!(!is_binary(b""));
        let mut late = vec![b'a'; SNIFFED];
        late.push(0);
        assert!(!is_binary(&late));
    }
}
