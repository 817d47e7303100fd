//! `#[derive(Persistent)]`: what it says about a type is what the compiler made of it.
//!
//! Catches: a field offset or a tag that the schema or the validator has wrong, a check that is missing for one kind of
//! field, a name that depends on module paths or lifetimes, a family that does not re-brand.

use std::num::NonZeroU16;

use pobj::layout::schema::{Schema, Shape, TypeInfo, Variant};
use pobj::{PBox, Persistent, Pool};

#[derive(Persistent)]
#[repr(C)]
struct Mixed<'p, T, const N: usize> {
    small: u8,
    wide: u64,
    items: [T; N],
    next: Option<PBox<'p, Self>>,
    shape: Shape8<'p, T>,
    outside: TagOutside,
    unit: Unit,
    cell: Cell,
    r#type: Option<NonZeroU16>,
}

/// Also the name of a standard type that cannot be stored: this one can.
#[derive(Persistent, Clone, Copy)]
#[repr(transparent)]
struct Cell(u32);

#[derive(Persistent)]
#[repr(C)]
struct Unit;

#[derive(Persistent)]
#[repr(u8)]
enum Shape8<'p, T> {
    #[allow(dead_code, reason = "part of the layout")]
    Dot,
    Line {
        len: u16,
        value: T,
    } = 9,
    More(PBox<'p, Self>, u8),
}

#[derive(Persistent, Clone, Copy)]
#[repr(C, i16)]
enum TagOutside {
    #[allow(dead_code, reason = "no test writes it; its tag is what the layout is about")]
    Empty = -5,
    Wide(u8, u64),
    Narrow {
        flag: bool,
    },
}

#[derive(Persistent, Clone, Copy, PartialEq, Debug)]
#[repr(u32)]
enum Plain {
    One = 1,
    Two,
    Last = u32::MAX,
}

mod elsewhere {
    use pobj::Persistent;

    #[derive(Persistent)]
    #[repr(C)]
    pub struct Moved {
        pub value: u64,
    }
}

/// The bytes of a value, of which only initialised ones are read.
fn byte_at<T>(value: &T, offset: u64) -> u8 {
    assert!((offset as usize) < size_of::<T>());
    // SAFETY: within the value; the callers pass the offsets of fields, which are initialised.
    unsafe { std::ptr::from_ref(value).cast::<u8>().add(offset as usize).read() }
}

fn find<'a>(schema: &'a Schema, name: &str) -> &'a TypeInfo {
    schema.types().iter().find(|ty| ty.name == name).unwrap_or_else(|| panic!("no `{name}` in {schema:#?}"))
}

fn variants(ty: &TypeInfo) -> &[Variant] {
    match &ty.shape {
        Shape::Enum { variants, .. } => variants,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_struct_is_described_as_it_is() {
    let schema = Schema::of::<Mixed<u32, 3>>();
    let root = &schema.types()[0];
    assert_eq!((root.name.as_str(), root.size), ("Mixed<u32, 3>", size_of::<Mixed<u32, 3>>() as u64));
    let Shape::Struct { fields } = &root.shape else { panic!("{root:?}") };
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["small", "wide", "items", "next", "shape", "outside", "unit", "cell", "type"]);
    assert_eq!(fields[2].offset, std::mem::offset_of!(Mixed<u32, 3>, items) as u64);
    assert_eq!(schema.get(fields[3].ty).unwrap().name, "Option<PBox<Mixed<u32, 3>>>");
}

#[test]
fn the_fields_of_variants_are_where_the_compiler_put_them() {
    let schema = Schema::of::<Mixed<u8, 3>>();
    let described = variants(find(&schema, "Shape8<u8>"));
    let line: Shape8<u8> = Shape8::Line { len: u16::from_ne_bytes([0xAB; 2]), value: 0xCD };
    assert_eq!(byte_at(&line, 0), described[1].discriminant as u8);
    assert_eq!(byte_at(&line, described[1].fields[0].offset), 0xAB);
    assert_eq!(byte_at(&line, described[1].fields[1].offset), 0xCD);
    assert_eq!([0, 9, 10], [0, 1, 2].map(|index: usize| described[index].discriminant));

    let described = variants(find(&schema, "TagOutside"));
    let wide = TagOutside::Wide(0xAB, u64::from_ne_bytes([0xCD; 8]));
    assert_eq!(byte_at(&wide, 0), (-4i16).to_ne_bytes()[0]);
    assert_eq!(described[1].discriminant, u64::from(-4i16 as u16));
    assert_eq!(byte_at(&wide, described[1].fields[0].offset), 0xAB);
    assert_eq!(byte_at(&wide, described[1].fields[1].offset), 0xCD);
    assert_eq!(byte_at(&TagOutside::Narrow { flag: true }, described[2].fields[0].offset), 1);
}

#[test]
fn module_paths_and_lifetimes_are_not_part_of_a_name() {
    #[derive(Persistent)]
    #[repr(C)]
    struct Moved {
        value: u64,
    }
    assert_eq!(Schema::of::<Moved>().fingerprint(), Schema::of::<elsewhere::Moved>().fingerprint());
    fn at<'a>(_: &'a u8) -> u64 {
        Schema::of::<Mixed<'a, u8, 1>>().fingerprint()
    }
    assert_eq!(at(&1), Schema::of::<Mixed<'static, u8, 1>>().fingerprint());
}

#[test]
fn values_of_every_kind_survive_a_reopening_with_validation() {
    #[derive(Persistent, Default)]
    #[repr(C)]
    struct App<'p> {
        mixed: Option<PBox<'p, Mixed<'p, u32, 2>>>,
        plain: [Option<PBox<'p, Plain>>; 3],
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("derive.pobj");
    let pool = Pool::<App>::create(&path).unwrap();
    pool.write(|app, tx| {
        let inner = PBox::new(tx, Shape8::Line { len: 7, value: 8 })?;
        let mixed = Mixed {
            small: 1,
            wide: 2,
            items: [3, 4],
            next: app.mixed.take(),
            shape: Shape8::More(inner, 5),
            outside: TagOutside::Narrow { flag: true },
            unit: Unit,
            cell: Cell(6),
            r#type: NonZeroU16::new(9),
        };
        app.mixed = Some(PBox::new(tx, mixed)?);
        for (place, plain) in app.plain.iter_mut().zip([Plain::One, Plain::Two, Plain::Last]) {
            *place = Some(PBox::new(tx, plain)?);
        }
        Ok(())
    })
    .unwrap();
    pool.close().unwrap();

    let pool = Pool::<App>::open(&path).unwrap();
    let app = pool.read();
    let mixed = app.mixed.as_deref().unwrap();
    assert_eq!((mixed.small, mixed.wide, mixed.items, mixed.cell.0), (1, 2, [3, 4], 6));
    assert!(mixed.next.is_none() && matches!(mixed.unit, Unit));
    assert_eq!(mixed.r#type, NonZeroU16::new(9));
    assert!(matches!(mixed.outside, TagOutside::Narrow { flag: true }));
    match &mixed.shape {
        Shape8::More(inner, 5) => assert!(matches!(**inner, Shape8::Line { len: 7, value: 8 })),
        _ => panic!("another shape"),
    }
    assert_eq!(
        app.plain.each_ref().map(|plain| **plain.as_ref().unwrap()),
        [Plain::One, Plain::Two, Plain::Last]
    );
}

/// A root with one field of each kind that has invalid bytes, behind bytes that a test can find in the file.
#[derive(Persistent)]
#[repr(C)]
struct Checked<'p> {
    marker: [u8; 16],
    flag: bool,
    letter: char,
    non_zero: NonZeroU16,
    list: [bool; 3],
    tag: TagOutside,
    inner: Option<PBox<'p, Plain>>,
    pair: Ordered,
}

#[derive(Persistent)]
#[repr(C)]
#[pobj(validate = Ordered::check)]
struct Ordered {
    low: u32,
    high: u32,
}

impl Ordered {
    fn check(
        view: pobj::layout::View<'_>,
        _: &mut pobj::layout::Visit<'_>,
    ) -> Result<(), pobj::layout::Invalid> {
        if view.u32(0)? > view.u32(4)? {
            return Err(pobj::layout::Invalid::new("low is above high", view.addr()));
        }
        Ok(())
    }
}

const MARKER: [u8; 16] = *b"derive-test-mark";

/// Opens a pool in which `bytes` stand at `offset` of the root, and gives what is said to be wrong.
fn opened_with(offset: usize, bytes: &[u8]) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checked.pobj");
    let options = Pool::<Checked>::options();
    let pool = options.create_with(&path, |tx| {
        Ok(Checked {
            marker: MARKER,
            flag: true,
            letter: 'p',
            non_zero: NonZeroU16::MIN,
            list: [true; 3],
            tag: TagOutside::Narrow { flag: true },
            inner: Some(PBox::new(tx, Plain::Two)?),
            pair: Ordered { low: 1, high: 2 },
        })
    });
    pool.unwrap().close().unwrap();
    let mut file = std::fs::read(&path).unwrap();
    // The ring, before the heap, may hold the same bytes in a record.
    let root =
        file.windows(MARKER.len()).rposition(|window| window == MARKER).expect("the root is in the file");
    file[root + offset..][..bytes.len()].copy_from_slice(bytes);
    std::fs::write(&path, file).unwrap();
    match Pool::<Checked>::open(&path) {
        Ok(_) => None,
        Err(pobj::Error::Corrupt { what, .. }) => Some(what),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_kind_of_field_is_checked_at_open() {
    use std::mem::offset_of;
    assert_eq!(opened_with(offset_of!(Checked, flag), &[0]), None);
    let tag = offset_of!(Checked, tag);
    let cases: [(usize, &[u8], &str); 9] = [
        (offset_of!(Checked, flag), &[2], "bool is 2"),
        (offset_of!(Checked, letter), &0xD800u32.to_le_bytes(), "char is 0xd800"),
        (offset_of!(Checked, non_zero), &[0, 0], "NonZero"),
        (offset_of!(Checked, list) + 2, &[255], "bool is 255"),
        (tag, &7i16.to_le_bytes(), "no variant with the tag 7"),
        (tag + 8, &[2], "bool is 2"),
        (offset_of!(Checked, inner), &[1], "alignment 4"),
        (offset_of!(Checked, inner), &u64::MAX.to_le_bytes()[..7], ""),
        (offset_of!(Checked, pair), &[3], "low is above high"),
    ];
    for (offset, bytes, expected) in cases {
        let what = opened_with(offset, bytes).unwrap_or_else(|| panic!("{bytes:?} at {offset} was accepted"));
        assert!(what.contains(expected), "{bytes:?} at {offset}: {what}");
    }
}
