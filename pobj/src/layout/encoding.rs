//! A schema as bytes: canonical, so that equal types give equal bytes, and read back strictly.
//!
//! ```text
//! u32 version | u32 count of types | types in order, the root first
//! type:    name | u64 size | u64 align | u8 shape | what the shape has
//! name:    u16 length in bytes | UTF-8
//! fields:  u32 count | each: name | u64 offset | u32 type
//! ```
//!
//! All integers are little endian. The reader rests on nothing but the bytes that it was given: every length is
//! checked against what is left, so memory stays within a small multiple of the input; every index is checked
//! against the count; every part must lie within its whole, and no type may contain itself by value, so that a
//! later walk over the parts of a value ends. The caller checks the checksum.

use super::schema::{Field, Primitive, Schema, Shape, TypeIndex, TypeInfo, Variant};
use crate::ground::checksum::checksum;

/// Version of this encoding.
const VERSION: u32 = 1;
/// Seed of the fingerprint, so that it is not the checksum of the same bytes.
const FINGERPRINT_SEED: u64 = 0x706F_626A_2074_7970;
/// More types than a program has.
const TYPES_MAX: u32 = 1 << 16;
/// Struct in struct in struct: deeper than anyone nests, shallow enough to recurse.
const DEPTH_MAX: u32 = 128;
/// The largest alignment that a pool honours.
const ALIGN_MAX: u64 = super::visit::ALIGN_MAX;

/// Why bytes are not a schema, and at which of them that showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// In words.
    pub(crate) what: String,
    /// Bytes from the start of the encoding.
    pub(crate) at: u64,
}

type Decoded<T> = Result<T, Malformed>;

impl Schema {
    /// The schema as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(VERSION.to_le_bytes());
        out.extend((self.types.len() as u32).to_le_bytes());
        for ty in &self.types {
            write_name(&mut out, &ty.name);
            out.extend(ty.size.to_le_bytes());
            out.extend(ty.align.to_le_bytes());
            write_shape(&mut out, &ty.shape);
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader { bytes, at: 0, count: 0 };
        let version = reader.u32()?;
        if version != VERSION {
            return reader.fail(format!("schema version {version}, this program knows {VERSION}"));
        }
        reader.count = reader.u32()?;
        if reader.count == 0 || reader.count > TYPES_MAX {
            return reader.fail(format!("{} types, 1 to {TYPES_MAX} are possible", reader.count));
        }
        // The shortest type takes 20 bytes.
        reader.require(u64::from(reader.count) * 20)?;
        let mut types = Vec::with_capacity(reader.count as usize);
        for _ in 0..reader.count {
            types.push(reader.type_info()?);
        }
        if reader.at != bytes.len() {
            return reader.fail("bytes behind the last type".to_owned());
        }
        let schema = Self { types };
        match check_consistent(&schema) {
            Ok(()) => Ok(schema),
            Err(what) => Err(Malformed { what, at: 0 }),
        }
    }

    /// Equal for equal types, whatever compiler built them.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        checksum(FINGERPRINT_SEED, &self.encode())
    }
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    // A name beyond 64 KiB is cut at a character; the types stay distinguishable by everything else.
    let mut len = name.len().min(usize::from(u16::MAX));
    while !name.is_char_boundary(len) {
        len -= 1;
    }
    out.extend((len as u16).to_le_bytes());
    out.extend(&name.as_bytes()[..len]);
}

fn write_fields(out: &mut Vec<u8>, fields: &[Field]) {
    out.extend((fields.len() as u32).to_le_bytes());
    for field in fields {
        write_name(out, &field.name);
        out.extend(field.offset.to_le_bytes());
        out.extend(field.ty.0.to_le_bytes());
    }
}

fn write_shape(out: &mut Vec<u8>, shape: &Shape) {
    let mut one = |number: u8, ty: &TypeIndex| {
        out.push(number);
        out.extend(ty.0.to_le_bytes());
    };
    match shape {
        Shape::Owned { target } => one(4, target),
        Shape::Pointer { target } => one(5, target),
        Shape::Option { inner } => one(6, inner),
        Shape::Slice { target } => one(7, target),
        Shape::Phantom { of } => one(8, of),
        Shape::Ring { target } => one(11, target),
        Shape::Shared { target } => one(9, target),
        Shape::Weak { target } => one(10, target),
        Shape::Primitive(primitive) => out.extend([0, *primitive as u8]),
        Shape::Pair => out.push(13),
        Shape::Array { element, count } => {
            one(1, element);
            out.extend(count.to_le_bytes());
        }
        Shape::Run { element, capacity, extra } => {
            one(12, element);
            out.extend(capacity.to_le_bytes());
            out.extend(extra.to_le_bytes());
        }
        Shape::Struct { fields } => {
            out.push(2);
            write_fields(out, fields);
        }
        Shape::Enum { tag, variants } => {
            one(3, tag);
            out.extend((variants.len() as u32).to_le_bytes());
            for variant in variants {
                write_name(out, &variant.name);
                out.extend(variant.discriminant.to_le_bytes());
                write_fields(out, &variant.fields);
            }
        }
    }
}

/// A position in bytes that nobody vouches for.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// How many types there are, once that is known.
    count: u32,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, what: String) -> Decoded<T> {
        Err(Malformed { what, at: self.at as u64 })
    }

    /// Fails unless `len` more bytes are there.
    fn require(&self, len: u64) -> Decoded<()> {
        let left = (self.bytes.len() - self.at) as u64;
        if len > left {
            return self.fail(format!("{len} bytes should follow, {left} do"));
        }
        Ok(())
    }

    fn take(&mut self, len: usize) -> Decoded<&'a [u8]> {
        self.require(len as u64)?;
        let taken = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Decoded<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Decoded<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Decoded<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn name(&mut self) -> Decoded<String> {
        let len = u16::from_le_bytes(self.array()?);
        match std::str::from_utf8(self.take(usize::from(len))?) {
            Ok(name) if !name.chars().any(char::is_control) => Ok(name.to_owned()),
            _ => self.fail("a name is not printable UTF-8".to_owned()),
        }
    }

    fn index(&mut self) -> Decoded<TypeIndex> {
        let index = self.u32()?;
        if index >= self.count {
            return self.fail(format!("type {index} of {}", self.count));
        }
        Ok(TypeIndex(index))
    }

    /// A count of things that take at least `len_min` bytes each.
    fn count_of(&mut self, len_min: u64) -> Decoded<usize> {
        let count = self.u32()?;
        self.require(u64::from(count) * len_min)?;
        Ok(count as usize)
    }

    fn fields(&mut self) -> Decoded<Vec<Field>> {
        let count = self.count_of(14)?;
        let mut fields = Vec::with_capacity(count);
        for _ in 0..count {
            fields.push(Field { name: self.name()?, offset: self.u64()?, ty: self.index()? });
        }
        Ok(fields)
    }

    fn variants(&mut self) -> Decoded<Vec<Variant>> {
        let count = self.count_of(14)?;
        let mut variants = Vec::with_capacity(count);
        for _ in 0..count {
            variants.push(Variant { name: self.name()?, discriminant: self.u64()?, fields: self.fields()? });
        }
        Ok(variants)
    }

    fn type_info(&mut self) -> Decoded<TypeInfo> {
        Ok(TypeInfo { name: self.name()?, size: self.u64()?, align: self.u64()?, shape: self.shape()? })
    }

    fn shape(&mut self) -> Decoded<Shape> {
        Ok(match self.u8()? {
            0 => {
                let number = self.u8()?;
                match Primitive::from_number(number) {
                    Some(primitive) => Shape::Primitive(primitive),
                    None => return self.fail(format!("primitive type {number} is unknown")),
                }
            }
            1 => Shape::Array { element: self.index()?, count: self.u64()? },
            2 => Shape::Struct { fields: self.fields()? },
            3 => Shape::Enum { tag: self.index()?, variants: self.variants()? },
            4 => Shape::Owned { target: self.index()? },
            5 => Shape::Pointer { target: self.index()? },
            6 => Shape::Option { inner: self.index()? },
            7 => Shape::Slice { target: self.index()? },
            8 => Shape::Phantom { of: self.index()? },
            9 => Shape::Shared { target: self.index()? },
            10 => Shape::Weak { target: self.index()? },
            11 => Shape::Ring { target: self.index()? },
            12 => Shape::Run { element: self.index()?, capacity: self.u64()?, extra: self.u64()? },
            13 => Shape::Pair,
            other => return self.fail(format!("shape {other} is unknown")),
        })
    }
}

/// Checks that parts lie within their wholes and that no type contains itself by value.
fn check_consistent(schema: &Schema) -> Result<(), String> {
    for ty in &schema.types {
        if !ty.align.is_power_of_two() || ty.align > ALIGN_MAX || !ty.size.is_multiple_of(ty.align) {
            return Err(format!(
                "`{}` has the impossible size {} and alignment {}",
                ty.name, ty.size, ty.align
            ));
        }
        check_parts(schema, ty).map_err(|what| format!("`{}`: {what}", ty.name))?;
    }
    let mut depths = vec![None; schema.types.len()];
    for index in 0..schema.types.len() {
        depth(schema, TypeIndex(index as u32), 0, &mut depths)?;
    }
    Ok(())
}

fn check_parts(schema: &Schema, ty: &TypeInfo) -> Result<(), String> {
    let part = |index: TypeIndex| &schema.types[index.get()];
    let within = |fields: &[Field]| {
        let fits = |field: &Field| {
            field.offset.checked_add(part(field.ty).size).is_some_and(|end| end <= ty.size)
                && field.offset.is_multiple_of(part(field.ty).align)
        };
        match fields.iter().find(|field| !fits(field)) {
            Some(field) => Err(format!("field `{}` does not fit", field.name)),
            None => Ok(()),
        }
    };
    let exact = |size: u64| {
        if ty.size == size { Ok(()) } else { Err(format!("size {} instead of {size}", ty.size)) }
    };
    match &ty.shape {
        Shape::Primitive(primitive) => exact(primitive.size()),
        Shape::Array { element, count } => match part(*element).size.checked_mul(*count) {
            Some(size) => exact(size),
            None => Err(format!("{count} elements")),
        },
        Shape::Run { element, capacity, extra } => match part(*element).size.checked_mul(*capacity) {
            Some(size) if extra <= capacity => exact(size),
            _ => Err(format!("a run of {capacity} and {extra} elements")),
        },
        Shape::Struct { fields } => within(fields),
        Shape::Enum { tag, variants } => {
            let tag = part(*tag);
            if !matches!(tag.shape, Shape::Primitive(_)) || tag.size > 8 || tag.size > ty.size {
                return Err(format!("a tag of type `{}`", tag.name));
            }
            variants.iter().try_for_each(|variant| within(&variant.fields))
        }
        Shape::Owned { .. } | Shape::Pointer { .. } | Shape::Pair => exact(8),
        Shape::Shared { .. } | Shape::Weak { .. } => exact(8),
        Shape::Option { inner } => exact(part(*inner).size),
        Shape::Slice { .. } => exact(16),
        Shape::Ring { .. } => exact(32),
        Shape::Phantom { .. } => exact(0),
    }
}

/// How deep the parts of a type nest by value; an error where a type contains itself.
fn depth(schema: &Schema, index: TypeIndex, above: u32, depths: &mut [Option<u32>]) -> Result<u32, String> {
    if let Some(known) = depths[index.get()] {
        return if above + known > DEPTH_MAX { Err("types nest too deeply".to_owned()) } else { Ok(known) };
    }
    if above > DEPTH_MAX {
        return Err("types nest too deeply, or one contains itself".to_owned());
    }
    let mut deepest = 0;
    for part in schema.types[index.get()].shape.parts() {
        deepest = deepest.max(1 + depth(schema, part, above + 1, depths)?);
    }
    depths[index.get()] = Some(deepest);
    Ok(deepest)
}

impl Shape {
    /// The types of the parts that are there by value.
    pub(crate) fn parts(&self) -> Vec<TypeIndex> {
        match self {
            Self::Primitive(_) | Self::Owned { .. } | Self::Pointer { .. } => Vec::new(),
            Self::Slice { .. } | Self::Ring { .. } | Self::Phantom { .. } => Vec::new(),
            Self::Shared { .. } | Self::Weak { .. } | Self::Pair => Vec::new(),
            Self::Array { element, .. } | Self::Run { element, .. } => vec![*element],
            Self::Option { inner } => vec![*inner],
            Self::Struct { fields } => fields.iter().map(|field| field.ty).collect(),
            Self::Enum { tag, variants } => {
                let fields = variants.iter().flat_map(|variant| &variant.fields);
                std::iter::once(*tag).chain(fields.map(|field| field.ty)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::sample;
    use super::*;

    /// Exhaustive natively; the interpreter looks at a few.
    const STEP: usize = if cfg!(miri) { 509 } else { 1 };

    #[test]
    fn decoding_gives_back_what_was_encoded() {
        let schema = sample();
        assert_eq!(Schema::decode(&schema.encode()), Ok(schema));
    }

    #[test]
    fn the_fingerprint_follows_every_part() {
        let schema = sample();
        let mut renamed = schema.clone();
        renamed.types[0].name.push('2');
        assert_ne!(schema.fingerprint(), renamed.fingerprint());
        assert_eq!(schema.fingerprint(), sample().fingerprint());
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = sample().encode();
        for len in (0..bytes.len()).step_by(STEP) {
            assert!(Schema::decode(&bytes[..len]).is_err(), "{len}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(Schema::decode(&longer).is_err());
    }

    #[test]
    fn every_flipped_bit_is_an_error_or_another_schema() {
        let schema = sample();
        let mut bytes = schema.encode();
        for bit in (0..bytes.len() * 8).step_by(STEP) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Schema::decode(&bytes) {
                assert_ne!(other, schema, "bit {bit}");
                assert_eq!(other.encode(), bytes, "bit {bit}");
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_type_that_contains_itself_is_refused() {
        let field = Field { name: "again".to_owned(), offset: 0, ty: TypeIndex(0) };
        let shape = Shape::Struct { fields: vec![field] };
        let schema = Schema { types: vec![TypeInfo { name: "Knot".to_owned(), size: 8, align: 8, shape }] };
        assert!(Schema::decode(&schema.encode()).is_err());
    }

    #[test]
    fn announced_counts_do_not_ask_for_memory() {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        bytes.extend(TYPES_MAX.to_le_bytes());
        assert!(Schema::decode(&bytes).is_err());
        bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Schema::decode(&bytes).is_err());
    }
}
