//! The layout of every collection, pinned (B23): sizes, alignments, offsets, and what the schema says of them.
//!
//! Catches a field that moves, grows or changes its type: that would be another format, and pools of the old one would
//! no longer open.

use std::fmt::Write;

use pobj::layout::Schema;
use pobj::layout::schema::{Field, Shape};
use pobj::{PDeque, PHashMap, PHashSet, PList, PListKey, PString, PVec, Persistent};

/// The types of a schema, one in each line: name, size, alignment, and its parts with their offsets.
fn layout<T: Persistent>() -> Vec<String> {
    let schema = Schema::of::<T>();
    let mut text = String::new();
    for ty in schema.types() {
        let name = |index| schema.get(index).map_or("?", |ty| ty.name.as_str());
        write!(text, "{} {}/{}:", ty.name, ty.size, ty.align).unwrap();
        let fields = |text: &mut String, fields: &[Field]| {
            for field in fields {
                write!(text, " {}@{} {}", field.name, field.offset, name(field.ty)).unwrap();
            }
        };
        match &ty.shape {
            Shape::Struct { fields: of } => fields(&mut text, of),
            Shape::Enum { variants, .. } => {
                for variant in variants {
                    fields(&mut text, &variant.fields);
                    text.push_str(" |");
                }
            }
            Shape::Slice { target } => write!(text, " slice of {}", name(*target)).unwrap(),
            Shape::Ring { target } => write!(text, " ring of {}", name(*target)).unwrap(),
            Shape::Array { element, count } => write!(text, " {count} of {}", name(*element)).unwrap(),
            Shape::Option { inner } => write!(text, " option of {}", name(*inner)).unwrap(),
            _ => {}
        }
        text.push('\n');
    }
    text.lines().map(str::to_owned).collect()
}

#[test]
fn vectors_and_strings() {
    assert_eq!(layout::<PVec<'_, u32>>(), ["PVec<u32> 16/8: slice of u32", "u32 4/4:"]);
    assert_eq!(
        layout::<PString<'_>>(),
        ["PString 16/8: utf8@0 PBuf<u8>", "PBuf<u8> 16/8: slice of u8", "u8 1/1:"]
    );
}

#[test]
fn queues() {
    assert_eq!(
        layout::<PDeque<'_, u32>>(),
        ["PDeque<u32> 32/8: ring@0 PRing<u32>", "u32 4/4:", "PRing<u32> 32/8: ring of u32"]
    );
}

#[test]
fn lists() {
    assert_eq!(
        layout::<PList<'_, u64>>(),
        [
            "PList<u64> 40/8: nodes@0 PBuf<PBuf<Node<u64>>> front@16 u32 back@20 u32 vacant@24 u32 generation@28 u32 len@32 u64",
            "u64 8/8:",
            "PBuf<PBuf<Node<u64>>> 16/8: slice of PBuf<Node<u64>>",
            "PBuf<Node<u64>> 16/8: slice of Node<u64>",
            "Node<u64> 24/8: generation@4 u32 prev@8 u32 next@12 u32 | generation@4 u32 prev@8 u32 next@12 u32 value@16 u64 |",
            "u32 4/4:",
        ]
    );
    assert_eq!(
        layout::<PList<'_, u128>>(),
        [
            "PList<u128> 40/8: nodes@0 PBuf<PBuf<Node<u128>>> front@16 u32 back@20 u32 vacant@24 u32 generation@28 u32 len@32 u64",
            "u128 16/16:",
            "PBuf<PBuf<Node<u128>>> 16/8: slice of PBuf<Node<u128>>",
            "PBuf<Node<u128>> 16/8: slice of Node<u128>",
            "Node<u128> 32/16: generation@4 u32 prev@8 u32 next@12 u32 | generation@4 u32 prev@8 u32 next@12 u32 value@16 u128 |",
            "u32 4/4:",
            "u64 8/8:",
        ]
    );
    assert_eq!(
        layout::<Option<PListKey>>(),
        ["Option<PListKey> 8/8: option of PListKey", "PListKey 8/8: 0@0 NonZero<u64>", "NonZero<u64> 8/8:"]
    );
}

#[test]
fn maps_and_sets() {
    assert_eq!(
        layout::<PHashMap<'_, u32, u64>>(),
        [
            "PHashMap<u32, u64> 40/8: items@0 PBuf<PBuf<Item<u32, u64>>> index@16 PBuf<PBuf<Bucket>> seed@32 u64",
            "u32 4/4:",
            "u64 8/8:",
            "PBuf<PBuf<Item<u32, u64>>> 16/8: slice of PBuf<Item<u32, u64>>",
            "PBuf<Item<u32, u64>> 16/8: slice of Item<u32, u64>",
            "Item<u32, u64> 16/8: key@0 u32 value@8 u64",
            "PBuf<PBuf<Bucket>> 16/8: slice of PBuf<Bucket>",
            "PBuf<Bucket> 16/8: slice of Bucket",
            "Bucket 128/8: slots@0 [u64; 14] overflow@112 PBuf<u64>",
            "[u64; 14] 112/8: 14 of u64",
            "PBuf<u64> 16/8: slice of u64",
        ]
    );
    assert_eq!(
        layout::<PHashSet<'_, u32>>(),
        [
            "PHashSet<u32> 40/8: map@0 PHashMap<u32, ()>",
            "u32 4/4:",
            "PHashMap<u32, ()> 40/8: items@0 PBuf<PBuf<Item<u32, ()>>> index@16 PBuf<PBuf<Bucket>> seed@32 u64",
            "() 0/1:",
            "PBuf<PBuf<Item<u32, ()>>> 16/8: slice of PBuf<Item<u32, ()>>",
            "PBuf<Item<u32, ()>> 16/8: slice of Item<u32, ()>",
            "Item<u32, ()> 4/4: key@0 u32 value@4 ()",
            "PBuf<PBuf<Bucket>> 16/8: slice of PBuf<Bucket>",
            "PBuf<Bucket> 16/8: slice of Bucket",
            "Bucket 128/8: slots@0 [u64; 14] overflow@112 PBuf<u64>",
            "[u64; 14] 112/8: 14 of u64",
            "u64 8/8:",
            "PBuf<u64> 16/8: slice of u64",
        ]
    );
}
