//! The byte maps of the book's page on the file format, compared with the structs that they describe.
//!
//! [`layout!`] makes a test of a struct: the map has its fields, in their order, at their offsets, with the sizes that reach
//! to the next one. So a field that moves, or that a page gets wrong, is a failing test.

use std::path::Path;

/// A line of a map: offset, size, name.
type Line = (usize, usize, String);

/// The map number `nth` below a heading.
fn map(heading: &str, nth: usize) -> Vec<Line> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../book/src/format.md");
    let page = std::fs::read_to_string(page).expect("the book's page on the format");
    let below = page.lines().skip_while(|line| line.trim_start_matches('#').trim() != heading);
    let mut maps = below.skip_while(|line| !line.starts_with("offset"));
    for _ in 0..nth {
        maps.find(|line| line.starts_with("```"));
        maps.find(|line| line.starts_with("offset"));
    }
    let lines =
        maps.skip_while(|line| line.starts_with("offset")).take_while(|line| !line.starts_with("```"));
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
            let (offset, size) = (number(), number());
            (offset, size, words.next().unwrap_or_default().to_owned())
        })
        .collect()
}

/// Compares the map with what the code has: names and offsets of the fields in their order, and the size of all.
pub(crate) fn compare(heading: &str, nth: usize, fields: &[(&str, usize)], size: usize) {
    let ends = fields.iter().skip(1).map(|(_, offset)| *offset).chain([size]);
    let code: Vec<Line> =
        fields.iter().zip(ends).map(|((name, at), end)| (*at, end - at, (*name).to_owned())).collect();
    assert_eq!(map(heading, nth), code, "book/src/format.md, map {nth} below \"{heading}\", and the code");
}

/// A test that the map number `nth` below a heading of the page has the fields of a struct.
macro_rules! layout {
    ($test:ident: $ty:ty, $heading:literal $nth:literal, [$($field:ident),*]) => {
        #[test]
        fn $test() {
            let fields = [$((stringify!($field), std::mem::offset_of!($ty, $field))),*];
            crate::ground::book::compare($heading, $nth, &fields, size_of::<$ty>());
        }
    };
}
pub(crate) use layout;
