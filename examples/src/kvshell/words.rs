//! Words: how bytes are typed in a line, and how they are printed so that they can be typed again.
//!
//! White space parts words. Within `"..."` it does not, and within `'...'` everything stands for itself. Elsewhere `\xNN`
//! is a byte, `\n`, `\r`, `\t` and `\0` are what they are in Rust, and `\` before a sign or a space is that one. `#` at
//! the beginning of a word makes the rest of the line a remark. Parts without space between them are one word: `a"b c"`.
//!
//! Lines are bytes, not text: what comes through a pipe need not be UTF-8.

use std::fmt;

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A quote has no end.
    Unclosed {
        /// The sign.
        quote: char,
        /// The byte of the line that it is.
        at: usize,
    },
    /// What follows a backslash means nothing.
    Escape {
        /// The byte of the line that the backslash is.
        at: usize,
    },
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed { quote, at } => write!(f, "the {quote} at column {} has no end", at + 1),
            Self::Escape { at } => write!(
                f,
                "the \\ at column {} means nothing; there are \\xNN, \\n, \\r, \\t, \\0, and \\\\ for itself",
                at + 1
            ),
        }
    }
}

impl std::error::Error for Mistake {}

/// A word and where it stands in its line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// The first byte of the line that belongs to it.
    pub start: usize,
    /// The first one behind it.
    pub end: usize,
    /// What it means.
    pub bytes: Vec<u8>,
}

/// The words of a line.
///
/// # Errors
///
/// The first [`Mistake`].
pub fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, Mistake> {
    match scan(line) {
        (words, None) => Ok(words.into_iter().map(|word| word.bytes).collect()),
        (_, Some(mistake)) => Err(mistake),
    }
}

/// The words of a line up to the first mistake. The word that has it is the last one and goes on to the end of the line;
/// its bytes are those before the mistake.
#[must_use]
pub fn scan(line: &[u8]) -> (Vec<Word>, Option<Mistake>) {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(blank) = line[at..].iter().position(|byte| !byte.is_ascii_whitespace()) {
        at += blank;
        if line[at] == b'#' {
            break;
        }
        let mut word = Word { start: at, end: at, bytes: Vec::new() };
        let outcome = read(line, &mut word);
        if let Err(mistake) = outcome {
            word.end = line.len();
            found.push(word);
            return (found, Some(mistake));
        }
        at = word.end;
        found.push(word);
    }
    (found, None)
}

/// Reads the word that begins at `word.start`.
fn read(line: &[u8], word: &mut Word) -> Result<(), Mistake> {
    let mut quote: Option<(u8, usize)> = None;
    while let Some(&byte) = line.get(word.end) {
        let at = word.end;
        match quote {
            None if byte.is_ascii_whitespace() => return Ok(()),
            None if matches!(byte, b'"' | b'\'') => quote = Some((byte, at)),
            Some((open, _)) if byte == open => quote = None,
            None | Some((b'"', _)) if byte == b'\\' => {
                let (meant, len) = escape(&line[at + 1..]).ok_or(Mistake::Escape { at })?;
                word.bytes.push(meant);
                word.end += len;
            }
            _ => word.bytes.push(byte),
        }
        word.end += 1;
    }
    match quote {
        Some((quote, at)) => Err(Mistake::Unclosed { quote: char::from(quote), at }),
        None => Ok(()),
    }
}

/// What stands behind a backslash: the byte that is meant, and how many it took to say it.
fn escape(rest: &[u8]) -> Option<(u8, usize)> {
    let meant = match rest {
        [b'x', high, low, ..] => {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            return Some(((digit(*high)? * 16 + digit(*low)?) as u8, 3));
        }
        [b'n', ..] => b'\n',
        [b'r', ..] => b'\r',
        [b't', ..] => b'\t',
        [b'0', ..] => 0,
        [sign, ..] if sign.is_ascii_punctuation() || *sign == b' ' => *sign,
        _ => return None,
    };
    Some((meant, 1))
}

/// An argument of the command line as a word: escapes are read; the rest was the business of the shell it comes from.
///
/// # Errors
///
/// [`Mistake::Escape`].
pub fn argument(bytes: &[u8]) -> Result<Vec<u8>, Mistake> {
    let mut meant = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'\\' {
            let (byte, len) = escape(&bytes[at + 1..]).ok_or(Mistake::Escape { at })?;
            meant.push(byte);
            at += len;
        } else {
            meant.push(byte);
        }
        at += 1;
    }
    Ok(meant)
}

/// `bytes` as a word that [`words`] reads back: as they are where that is plain, else in quotes.
#[must_use]
pub fn printed(bytes: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.,:;/@%+=*?!&$~^()[]{}<>|".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return bytes.iter().copied().map(char::from).collect();
    }
    quoted(bytes)
}

/// `bytes` as a word in quotes. What can be seen stands for itself, the rest is escaped byte by byte.
#[must_use]
pub fn quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push(&mut text, character);
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text.push('"');
    text
}

fn push(text: &mut String, character: char) {
    match character {
        '"' | '\\' => text.extend(['\\', character]),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        // What Rust itself would escape is not seen, or changes what is seen beside it.
        _ if character != '\'' && character.escape_debug().len() > 1 => {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                text.push_str(&format!("\\x{byte:02x}"));
            }
        }
        _ => text.push(character),
    }
}

#[cfg(test)]
mod tests {
    //! Would catch a key that is printed as one thing and read back as another, and lines that are cut in the wrong place.
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Result<Vec<String>, Mistake> {
        let words = words(line.as_bytes())?;
        Ok(words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect())
    }

    #[test]
    fn lines_are_cut_where_they_should_be() {
        let cases: [(&str, &[&str]); 11] = [
            ("", &[]),
            (" \t ", &[]),
            ("get a", &["get", "a"]),
            ("  put  a\t b ", &["put", "a", "b"]),
            ("put 'a b' \"c d\"", &["put", "a b", "c d"]),
            ("a\"b c\"'d e'f", &["ab cd ef"]),
            ("'' \"\"", &["", ""]),
            (r#""\"" '\' \' \\ \ x"#, &["\"", "\\", "'", "\\", " x"]),
            (r"\x41\x6a\n\0", &["Aj\n\0"]),
            ("a # b 'c", &["a"]),
            ("a#b '#' \\#", &["a#b", "#", "#"]),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn mistakes_say_where() {
        assert_eq!(read("put 'a b"), Err(Mistake::Unclosed { quote: '\'', at: 4 }));
        assert_eq!(read("put \"a\\\""), Err(Mistake::Unclosed { quote: '"', at: 4 }));
        for wrong in ["a\\", "a\\x", "a\\x4", "a\\x4g", "a\\q", "a\\x+1"] {
            assert_eq!(read(wrong), Err(Mistake::Escape { at: 1 }), "{wrong}");
        }
        assert_eq!(argument(b"a\\"), Err(Mistake::Escape { at: 1 }));
    }

    #[test]
    fn the_word_with_the_mistake_is_the_last() {
        let (found, mistake) = scan(b"get 'a b");
        assert_eq!(mistake, Some(Mistake::Unclosed { quote: '\'', at: 4 }));
        assert_eq!(found[1], Word { start: 4, end: 8, bytes: b"a b".to_vec() });
    }

    #[test]
    fn text_stays_readable() {
        let cases: [(&[u8], &str); 9] = [
            (b"user:17", "user:17"),
            (b"", r#""""#),
            (b"a b", r#""a b""#),
            (b"#", r##""#""##),
            (b"it's", r#""it's""#),
            (b"\"\\\n\t\r", r#""\"\\\n\t\r""#),
            (b"\0\x7f\xff", r#""\x00\x7f\xff""#),
            ("\u{fc}\u{4e2d}".as_bytes(), "\"\u{fc}\u{4e2d}\""),
            // A mark that turns the direction of what follows.
            ("\u{202e}".as_bytes(), r#""\xe2\x80\xae""#),
        ];
        for (bytes, expected) in cases {
            assert_eq!(printed(bytes), expected);
        }
    }

    #[test]
    fn arguments_keep_their_quotes_and_spaces() {
        assert_eq!(argument(br#"a "b" 'c' # \x00\\"#).unwrap(), b"a \"b\" 'c' # \0\\");
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let signs = prop::sample::select(b"\"'\\ #\n\t\rx0\xff\0\xc3\xbc".to_vec());
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            prop::collection::vec(signs, 0..12),
            any::<String>().prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_printed_is_read_back(keys in prop::collection::vec(bytes(), 0..6)) {
            let line = keys.iter().map(|key| printed(key)).collect::<Vec<_>>().join(" ");
            prop_assert!(!line.bytes().any(|byte| byte.is_ascii_control()), "{line:?}");
            prop_assert_eq!(words(line.as_bytes()), Ok(keys.clone()));
            let line = keys.iter().map(|key| quoted(key)).collect::<Vec<_>>().join("\t");
            prop_assert_eq!(words(line.as_bytes()), Ok(keys));
        }

        #[test]
        fn no_line_is_too_strange(line in bytes()) {
            let (found, _) = scan(&line);
            for pair in found.windows(2) {
                prop_assert!(pair[0].end < pair[1].start);
            }
            prop_assert!(found.iter().all(|word| word.start < word.end && word.end <= line.len()));
            let _ = argument(&line);
        }
    }
}
