//! The types of a pool as data: a graph that starts at the root type.
//!
//! A pool stores the schema of everything reachable from its root, so that a program can tell whether it means the
//! same bytes by the same names, and a tool can read a pool without the program. A type is described by its short
//! name, its size and alignment, and the offsets and types of its parts. Nothing in it depends on the compiler:
//! names come from the derive, not from [`std::any::type_name`], and module paths and lifetimes are left out, so
//! moving a type to another module does not lock anyone out of their pool.
//!
//! The order of the types is the order in which a walk from the root first meets them, which makes the encoding
//! ([`super::encoding`]) canonical: equal types give equal bytes, and a fingerprint of the bytes is one of the types.

use std::any::TypeId;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{PoisonError, RwLock};

use super::persistent::{Member, Persistent};

/// Place of a type in its schema. The root is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeIndex(pub(crate) u32);

impl TypeIndex {
    /// The root type of every schema.
    pub(crate) const ROOT: Self = Self(0);

    pub(crate) fn get(self) -> usize {
        self.0 as usize
    }
}

/// Types whose meaning the language fixes. The number is the one in the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are those of the language")]
pub enum Primitive {
    Unit = 0,
    Bool = 1,
    Char = 2,
    U8 = 3,
    U16 = 4,
    U32 = 5,
    U64 = 6,
    U128 = 7,
    I8 = 8,
    I16 = 9,
    I32 = 10,
    I64 = 11,
    I128 = 12,
    F32 = 13,
    F64 = 14,
    NonZeroU8 = 15,
    NonZeroU16 = 16,
    NonZeroU32 = 17,
    NonZeroU64 = 18,
    NonZeroU128 = 19,
    NonZeroI8 = 20,
    NonZeroI16 = 21,
    NonZeroI32 = 22,
    NonZeroI64 = 23,
    NonZeroI128 = 24,
}

impl Primitive {
    /// All of them, at the place of their number.
    pub(crate) const ALL: [(Self, &'static str); 25] = [
        (Self::Unit, "()"),
        (Self::Bool, "bool"),
        (Self::Char, "char"),
        (Self::U8, "u8"),
        (Self::U16, "u16"),
        (Self::U32, "u32"),
        (Self::U64, "u64"),
        (Self::U128, "u128"),
        (Self::I8, "i8"),
        (Self::I16, "i16"),
        (Self::I32, "i32"),
        (Self::I64, "i64"),
        (Self::I128, "i128"),
        (Self::F32, "f32"),
        (Self::F64, "f64"),
        (Self::NonZeroU8, "NonZero<u8>"),
        (Self::NonZeroU16, "NonZero<u16>"),
        (Self::NonZeroU32, "NonZero<u32>"),
        (Self::NonZeroU64, "NonZero<u64>"),
        (Self::NonZeroU128, "NonZero<u128>"),
        (Self::NonZeroI8, "NonZero<i8>"),
        (Self::NonZeroI16, "NonZero<i16>"),
        (Self::NonZeroI32, "NonZero<i32>"),
        (Self::NonZeroI64, "NonZero<i64>"),
        (Self::NonZeroI128, "NonZero<i128>"),
    ];

    /// The name in Rust.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).map(|&(primitive, _)| primitive)
    }

    /// Size in bytes, which is the alignment too except where that would be 0.
    pub(crate) fn size(self) -> u64 {
        match self {
            Self::Unit => 0,
            Self::Bool | Self::U8 | Self::I8 | Self::NonZeroU8 | Self::NonZeroI8 => 1,
            Self::U16 | Self::I16 | Self::NonZeroU16 | Self::NonZeroI16 => 2,
            Self::Char | Self::U32 | Self::I32 | Self::F32 | Self::NonZeroU32 | Self::NonZeroI32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::NonZeroU64 | Self::NonZeroI64 => 8,
            Self::U128 | Self::I128 | Self::NonZeroU128 | Self::NonZeroI128 => 16,
        }
    }
}

/// One named part of a struct or of an enum's variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name; the position for a tuple struct.
    pub name: String,
    /// Bytes from the start of the struct or enum.
    pub offset: u64,
    /// Its type.
    pub ty: TypeIndex,
}

/// One variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// The tag's bits, zero-extended.
    pub discriminant: u64,
    /// Its parts, with offsets from the start of the enum.
    pub fields: Vec<Field>,
}

/// How the bytes of a type are to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A type of the language.
    Primitive(Primitive),
    /// `count` values side by side.
    Array {
        /// Type of each value.
        element: TypeIndex,
        /// How many.
        count: u64,
    },
    /// Named parts.
    Struct {
        /// The parts, in the order of the source.
        fields: Vec<Field>,
    },
    /// A tag at offset 0, and the parts of the variant that it names.
    Enum {
        /// The tag's type, a primitive integer.
        tag: TypeIndex,
        /// The variants, in the order of the source.
        variants: Vec<Variant>,
    },
    /// 8 bytes: the address of a block that holds one value and belongs to this pointer.
    Owned {
        /// Type of the value.
        target: TypeIndex,
    },
    /// 8 bytes: an address without ownership; 0 is null.
    Pointer {
        /// Type of the value.
        target: TypeIndex,
    },
    /// The inner type, or all zero bytes.
    Option {
        /// The type when it is not zero.
        inner: TypeIndex,
    },
    /// 16 bytes: the address of an owned block, and the count of values in it that are initialised.
    Slice {
        /// Type of each value.
        target: TypeIndex,
    },
    /// 32 bytes: the address of an owned block, the count of values in it that are initialised, the place of the first
    /// of them, and how many places the block has. The values follow each other; after the last place comes place 0.
    Ring {
        /// Type of each value.
        target: TypeIndex,
    },
    /// Values side by side in a block that begins with 4 bytes and their count, a `u32`: the first `count + extra` of
    /// `capacity` places hold one, the others nothing.
    Run {
        /// Type of each value.
        element: TypeIndex,
        /// How many there is room for.
        capacity: u64,
        /// How many there are beyond the count.
        extra: u64,
    },
    /// 8 bytes: the address of a block that several pointers share: the count of strong pointers, the count of weak
    /// ones (and one more while the first is not 0), each a `u64`, and behind them, aligned, one value.
    Shared {
        /// Type of the value.
        target: TypeIndex,
    },
    /// 8 bytes: as `Shared`, but the pointer keeps the counts alive only. Where the strong count is 0 there is no
    /// value.
    Weak {
        /// Type of the value.
        target: TypeIndex,
    },
    /// 8 bytes: the address of an owned block that begins with the lengths of a key and of a value, each a `u32`, and holds
    /// the bytes of both behind them.
    Pair,
    /// No bytes: `PhantomData`.
    Phantom {
        /// The type that it stands for.
        of: TypeIndex,
    },
}

/// One type of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeInfo {
    /// Short name with generic arguments, without module paths and lifetimes: `Node<u64>`.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Alignment in bytes.
    pub align: u64,
    /// What the bytes mean.
    pub shape: Shape,
}

/// The types reachable from a root type, which is the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    pub(crate) types: Vec<TypeInfo>,
}

impl Schema {
    /// Describes `T` and everything reachable from it.
    #[must_use]
    pub fn of<T: Persistent>() -> Self {
        let mut builder = SchemaBuilder::default();
        T::describe(&mut builder);
        builder.finish()
    }

    /// The [fingerprint](Self::fingerprint) of what [`of`](Self::of) describes, which costs tens of microseconds for a root
    /// of many types: made once in a process for each.
    pub(crate) fn fingerprint_of<T: Persistent>() -> u64 {
        static KNOWN: RwLock<Vec<(TypeId, u64)>> = RwLock::new(Vec::new());
        let id = erased_type_id::<T>();
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, fingerprint)) = known.iter().find(|(known, _)| *known == id) {
            return *fingerprint;
        }
        drop(known);
        let fingerprint = Self::of::<T>().fingerprint();
        KNOWN.write().unwrap_or_else(PoisonError::into_inner).push((id, fingerprint));
        fingerprint
    }

    /// The types; the root is the first.
    #[must_use]
    pub fn types(&self) -> &[TypeInfo] {
        &self.types
    }

    /// The type at `index`, if the schema has one there.
    #[must_use]
    pub fn get(&self, index: TypeIndex) -> Option<&TypeInfo> {
        self.types.get(index.get())
    }
}

/// A generic argument in a name.
enum Argument {
    Type(TypeIndex),
    Constant(String),
}

/// A type whose name is still in parts: the names of its arguments may be described only after it.
struct Draft {
    base: &'static str,
    arguments: Vec<Argument>,
    size: u64,
    align: u64,
    /// `None` while the parts are being described.
    shape: Option<Shape>,
}

/// Collects the types reachable from a root. Each type adds itself once, before its parts, so recursion ends.
#[derive(Default)]
pub struct SchemaBuilder {
    drafts: Vec<Draft>,
    known: HashMap<TypeId, TypeIndex>,
}

impl SchemaBuilder {
    /// Adds a struct with these fields.
    pub fn structure<T>(
        &mut self,
        name: &'static str,
        members: &[Member],
        arguments: impl FnOnce(&mut Arguments<'_>),
    ) -> TypeIndex {
        self.add::<T>(name, |schema, index| {
            arguments(&mut Arguments { schema, owner: index });
            Shape::Struct { fields: schema.fields(members) }
        })
    }

    /// Adds an enum with a tag of type `Tag` at offset 0. Each variant comes with its name, its tag's bits
    /// zero-extended, and how many of the members are its own.
    pub fn enumeration<T, Tag: Persistent>(
        &mut self,
        name: &'static str,
        members: &[Member],
        variants: &[(&'static str, u64, usize)],
        arguments: impl FnOnce(&mut Arguments<'_>),
    ) -> TypeIndex {
        self.add::<T>(name, |schema, index| {
            arguments(&mut Arguments { schema, owner: index });
            let tag = Tag::describe(schema);
            let mut rest = members.iter();
            let variants = variants
                .iter()
                .map(|&(name, discriminant, count)| Variant {
                    name: name.to_owned(),
                    discriminant,
                    fields: rest.by_ref().take(count).map(|member| schema.field(member)).collect(),
                })
                .collect();
            Shape::Enum { tag, variants }
        })
    }

    /// Adds an owning pointer of 8 bytes to one `Target`.
    pub fn owned<T, Target: Persistent>(&mut self, name: &'static str) -> TypeIndex {
        self.wrapper::<T, Target>(name, |target| Shape::Owned { target })
    }

    /// Adds a pointer of 8 bytes that does not own its `Target`.
    pub fn pointer<T, Target: Persistent>(&mut self, name: &'static str) -> TypeIndex {
        self.wrapper::<T, Target>(name, |target| Shape::Pointer { target })
    }

    /// Adds an owned block: its address at offset 0, the count of initialised `Target`s at offset 8.
    pub fn slice<T, Target: Persistent>(&mut self, name: &'static str) -> TypeIndex {
        self.wrapper::<T, Target>(name, |target| Shape::Slice { target })
    }

    /// Adds an owned block used as a ring: its address, the count of initialised `Target`s, the place of the first, and
    /// the number of places, at offsets 0, 8, 16 and 24.
    pub fn ring<T, Target: Persistent>(&mut self, name: &'static str) -> TypeIndex {
        self.wrapper::<T, Target>(name, |target| Shape::Ring { target })
    }

    /// Adds an owning pointer of 8 bytes to a block that [`block`](Self::block) adds.
    pub(crate) fn owned_block<T>(
        &mut self,
        name: &'static str,
        target: impl FnOnce(&mut Self) -> TypeIndex,
    ) -> TypeIndex {
        self.add::<T>(name, |schema, index| {
            let target = target(schema);
            schema.argument(index, Argument::Type(target));
            Shape::Owned { target }
        })
    }

    /// Adds a block whose size no Rust type has: an enum with a tag of type `Tag` at offset 0. `T` only stands for it.
    pub(crate) fn block<T, Tag: Persistent>(
        &mut self,
        name: &'static str,
        size_and_align: (u64, u64),
        arguments: impl FnOnce(&mut Arguments<'_>),
        variants: impl FnOnce(&mut Self) -> Vec<Variant>,
    ) -> TypeIndex {
        self.add_sized::<T>(name, size_and_align, |schema, index| {
            arguments(&mut Arguments { schema, owner: index });
            let tag = Tag::describe(schema);
            Shape::Enum { tag, variants: variants(schema) }
        })
    }

    /// Adds a run of `Element`s in a block. `T` only stands for it.
    pub(crate) fn run<T, Element: Persistent>(&mut self, capacity: u64, extra: u64) -> TypeIndex {
        let size_and_align = (size_of::<Element>() as u64 * capacity, align_of::<Element>() as u64);
        self.add_sized::<T>("Run", size_and_align, |schema, index| {
            let element = Element::describe(schema);
            schema.argument(index, Argument::Type(element));
            schema.argument(index, Argument::Constant(capacity.to_string()));
            Shape::Run { element, capacity, extra }
        })
    }

    /// Adds a pointer of 8 bytes that keeps a shared `Target` alive.
    pub(crate) fn shared<T, Target: Persistent>(&mut self, name: &'static str) -> TypeIndex {
        self.wrapper::<T, Target>(name, |target| Shape::Shared { target })
    }

    /// Adds a pointer of 8 bytes to a shared `Target`, which it does not keep alive.
    pub(crate) fn weak<T, Target: Persistent>(&mut self, name: &'static str) -> TypeIndex {
        self.wrapper::<T, Target>(name, |target| Shape::Weak { target })
    }

    /// Adds an owning pointer of 8 bytes to a block with a key and a value.
    pub(crate) fn pair<T>(&mut self, name: &'static str) -> TypeIndex {
        self.add::<T>(name, |_, _| Shape::Pair)
    }

    pub(crate) fn primitive<T>(&mut self, primitive: Primitive) -> TypeIndex {
        self.add::<T>(primitive.name(), |_, _| Shape::Primitive(primitive))
    }

    pub(crate) fn array<T, Element: Persistent>(&mut self, count: u64) -> TypeIndex {
        self.add::<T>("", |schema, index| {
            let element = Element::describe(schema);
            schema.argument(index, Argument::Type(element));
            Shape::Array { element, count }
        })
    }

    pub(crate) fn option<T, Inner: Persistent>(&mut self) -> TypeIndex {
        self.wrapper::<T, Inner>("Option", |inner| Shape::Option { inner })
    }

    pub(crate) fn phantom<T, Of: Persistent>(&mut self) -> TypeIndex {
        self.wrapper::<T, Of>("PhantomData", |of| Shape::Phantom { of })
    }

    fn wrapper<T, Target: Persistent>(
        &mut self,
        name: &'static str,
        shape: impl FnOnce(TypeIndex) -> Shape,
    ) -> TypeIndex {
        self.add::<T>(name, |schema, index| {
            let target = Target::describe(schema);
            schema.argument(index, Argument::Type(target));
            shape(target)
        })
    }

    /// Reserves the place of `T`, then describes its parts; a type that is known already is not described again.
    fn add<T>(
        &mut self,
        base: &'static str,
        describe: impl FnOnce(&mut Self, TypeIndex) -> Shape,
    ) -> TypeIndex {
        self.add_sized::<T>(base, (size_of::<T>() as u64, align_of::<T>() as u64), describe)
    }

    /// As [`add`](Self::add), for a type that stands for bytes of another size.
    fn add_sized<T>(
        &mut self,
        base: &'static str,
        (size, align): (u64, u64),
        describe: impl FnOnce(&mut Self, TypeIndex) -> Shape,
    ) -> TypeIndex {
        let key = erased_type_id::<T>();
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let index = TypeIndex(self.drafts.len() as u32);
        self.known.insert(key, index);
        self.drafts.push(Draft { base, arguments: Vec::new(), size, align, shape: None });
        let shape = describe(self, index);
        self.drafts[index.get()].shape = Some(shape);
        index
    }

    fn fields(&mut self, members: &[Member]) -> Vec<Field> {
        members.iter().map(|member| self.field(member)).collect()
    }

    fn field(&mut self, member: &Member) -> Field {
        Field { name: member.name.to_owned(), offset: member.offset, ty: (member.describe)(self) }
    }

    fn argument(&mut self, owner: TypeIndex, argument: Argument) {
        self.drafts[owner.get()].arguments.push(argument);
    }

    /// The finished schema.
    pub(crate) fn finish(self) -> Schema {
        let names: Vec<String> = (0..self.drafts.len()).map(|index| self.name(index)).collect();
        let types = self
            .drafts
            .into_iter()
            .zip(names)
            .map(|(draft, name)| TypeInfo {
                name,
                size: draft.size,
                align: draft.align,
                // Every type that was begun has been finished: `add` returns only after its parts.
                shape: draft.shape.unwrap_or(Shape::Primitive(Primitive::Unit)),
            })
            .collect();
        Schema { types }
    }

    /// The name with arguments. Ends, because an argument of a type is a strictly smaller type.
    fn name(&self, index: usize) -> String {
        let draft = &self.drafts[index];
        let arguments: Vec<String> = draft
            .arguments
            .iter()
            .map(|argument| match argument {
                Argument::Type(index) => self.name(index.get()),
                Argument::Constant(value) => value.clone(),
            })
            .collect();
        match (&draft.shape, arguments.as_slice()) {
            (Some(Shape::Array { count, .. }), [element]) => format!("[{element}; {count}]"),
            (_, []) => draft.base.to_owned(),
            (_, arguments) => format!("{}<{}>", draft.base, arguments.join(", ")),
        }
    }
}

/// The generic arguments of a type, while they are collected for its name.
pub struct Arguments<'a> {
    schema: &'a mut SchemaBuilder,
    owner: TypeIndex,
}

impl Arguments<'_> {
    /// A type argument.
    pub fn of_type<T: Persistent>(&mut self) {
        let index = T::describe(self.schema);
        self.schema.argument(self.owner, Argument::Type(index));
    }

    /// A constant argument.
    pub fn constant(&mut self, value: impl std::fmt::Display) {
        self.schema.argument(self.owner, Argument::Constant(value.to_string()));
    }
}

/// Identity of a type up to its lifetimes, which is what a schema means by "the same type".
pub(crate) fn erased_type_id<T>() -> TypeId {
    trait Erased {
        fn id(&self) -> TypeId
        where
            Self: 'static;
    }
    impl<T> Erased for PhantomData<T> {
        fn id(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<PhantomData<T>>()
        }
    }
    let marker: &dyn Erased = &PhantomData::<T>;
    // SAFETY: only the lifetime bound of the trait object changes; `id` touches no value and no borrow of `T`, it
    // returns a constant that the compiler computes with lifetimes erased.
    let marker = unsafe { std::mem::transmute::<&dyn Erased, &(dyn Erased + 'static)>(marker) };
    marker.id()
}

#[cfg(test)]
mod tests {
    use super::super::samples::sample;
    use super::*;

    #[test]
    fn a_recursive_type_is_described_once() {
        let schema = sample();
        let names: Vec<&str> = schema.types().iter().map(|ty| ty.name.as_str()).collect();
        assert_eq!(names[..3], ["Root", "Option<Owner<Account>>", "Owner<Account>"]);
        assert_eq!(names.iter().filter(|&&name| name == "Account").count(), 1);
        assert!(names.contains(&"[bool; 3]") && names.contains(&"PhantomData<u8>"));
    }

    #[test]
    fn primitives_stand_at_their_number() {
        for (number, (primitive, name)) in Primitive::ALL.iter().enumerate() {
            assert_eq!(*primitive as usize, number, "{name}");
        }
    }

    #[test]
    fn types_that_differ_in_a_lifetime_only_are_one_type() {
        struct Branded<'p>(PhantomData<&'p u8>);
        fn id_at<'p>(_: &'p u8) -> TypeId {
            erased_type_id::<Branded<'p>>()
        }
        assert_eq!(id_at(&1), erased_type_id::<Branded<'static>>());
        assert_ne!(id_at(&1), erased_type_id::<PhantomData<u8>>());
    }
}
