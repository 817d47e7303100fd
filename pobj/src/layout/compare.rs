//! The difference between two schemas in words a person can act on.
//!
//! The walk starts at both roots and follows both graphs in step, so types are compared where they are used and not
//! by where they stand in their lists. A pair of types is compared once.

use std::collections::{BTreeSet, HashSet};

use super::schema::{Field, Schema, Shape, TypeIndex, TypeInfo, Variant};

/// Enough for a person to see what happened; a crafted schema could ask for millions.
const LINES_MAX: usize = 64;

/// One line for each difference between the types of a pool and those of a program.
///
/// Empty if both mean the same bytes by the same names, even where the fingerprints differ (fields listed in another
/// order at the same offsets).
///
/// A line names the type, the field where there is one, and both sides: `Account.age: u32 in the pool, u64 in the
/// program`.
pub(crate) fn differences(pool: &Schema, program: &Schema) -> Vec<String> {
    let mut walk = Walk { pool, program, seen: HashSet::new(), todo: Vec::new(), lines: Vec::new() };
    walk.visit(TypeIndex::ROOT, TypeIndex::ROOT, "the root");
    let mut next = 0;
    // In order of discovery, so that what is nearest to the root is named first.
    while let Some(&(ours, theirs)) = walk.todo.get(next) {
        walk.compare(ours, theirs);
        next += 1;
    }
    walk.lines
}

struct Walk<'a> {
    pool: &'a Schema,
    program: &'a Schema,
    seen: HashSet<(TypeIndex, TypeIndex)>,
    todo: Vec<(TypeIndex, TypeIndex)>,
    lines: Vec<String>,
}

impl<'a> Walk<'a> {
    /// Both types at a place, or `None` where a schema has no such type, which a decoded one always has.
    fn pair(&self, pool: TypeIndex, program: TypeIndex) -> Option<(&'a TypeInfo, &'a TypeInfo)> {
        self.pool.get(pool).zip(self.program.get(program))
    }

    fn line(&mut self, place: &str, pool: impl std::fmt::Display, program: impl std::fmt::Display) {
        match self.lines.len() {
            ..LINES_MAX => self.lines.push(format!("{place}: {pool} in the pool, {program} in the program")),
            LINES_MAX => self.lines.push("... and more".to_owned()),
            _ => {}
        }
    }

    /// Two types that stand at the same `place`: reports another name there, otherwise compares them later.
    fn visit(&mut self, pool: TypeIndex, program: TypeIndex, place: &str) {
        let Some((ours, theirs)) = self.pair(pool, program) else {
            return;
        };
        if ours.name != theirs.name {
            self.line(place, &ours.name, &theirs.name);
        } else if self.seen.insert((pool, program)) {
            self.todo.push((pool, program));
        }
    }

    fn compare(&mut self, pool: TypeIndex, program: TypeIndex) {
        let Some((ours, theirs)) = self.pair(pool, program) else {
            return;
        };
        let name = ours.name.as_str();
        match (&ours.shape, &theirs.shape) {
            (Shape::Struct { fields: ours }, Shape::Struct { fields: theirs }) => {
                self.fields(name, ours, theirs)
            }
            (Shape::Enum { tag, variants }, Shape::Enum { tag: other_tag, variants: others }) => {
                self.visit(*tag, *other_tag, &format!("the tag of {name}"));
                self.variants(name, variants, others);
            }
            (Shape::Array { element, count }, Shape::Array { element: other, count: others }) => {
                self.visit(*element, *other, &format!("the elements of {name}"));
                if count != others {
                    self.line(name, format!("{count} elements"), others);
                }
            }
            (
                Shape::Run { element, capacity, extra },
                Shape::Run { element: other, capacity: theirs, extra: more },
            ) => {
                self.visit(*element, *other, &format!("the elements of {name}"));
                if (capacity, extra) != (theirs, more) {
                    self.line(name, format!("room for {capacity}"), theirs);
                }
            }
            (Shape::Primitive(a), Shape::Primitive(b)) if a == b => {}
            (Shape::Pair, Shape::Pair) => {}
            (Shape::Owned { target: a }, Shape::Owned { target: b })
            | (Shape::Pointer { target: a }, Shape::Pointer { target: b })
            | (Shape::Slice { target: a }, Shape::Slice { target: b })
            | (Shape::Ring { target: a }, Shape::Ring { target: b })
            | (Shape::Shared { target: a }, Shape::Shared { target: b })
            | (Shape::Weak { target: a }, Shape::Weak { target: b })
            | (Shape::Option { inner: a }, Shape::Option { inner: b })
            | (Shape::Phantom { of: a }, Shape::Phantom { of: b }) => {
                self.visit(*a, *b, &format!("the target of {name}"));
            }
            (a, b) => self.line(name, a.kind(), b.kind()),
        }
        if ours.size != theirs.size {
            self.line(name, format!("{} bytes", ours.size), theirs.size);
        }
        if ours.align != theirs.align {
            self.line(name, format!("alignment {}", ours.align), theirs.align);
        }
    }

    fn fields(&mut self, owner: &str, pool: &[Field], program: &[Field]) {
        for field in pool {
            let place = format!("{owner}.{}", field.name);
            match program.iter().find(|other| other.name == field.name) {
                Some(other) => {
                    let before = self.lines.len();
                    self.visit(field.ty, other.ty, &place);
                    // A field of another type moves its successors; the cause is enough.
                    if field.offset != other.offset && self.lines.len() == before {
                        self.line(&place, format!("offset {}", field.offset), other.offset);
                    }
                }
                None => self.line(&place, type_name(self.pool, field.ty), "missing"),
            }
        }
        for field in program {
            if !pool.iter().any(|other| other.name == field.name) {
                self.line(&format!("{owner}.{}", field.name), "missing", type_name(self.program, field.ty));
            }
        }
    }

    fn variants(&mut self, owner: &str, pool: &[Variant], program: &[Variant]) {
        let names: BTreeSet<&str> = pool.iter().chain(program).map(|variant| variant.name.as_str()).collect();
        for name in names {
            let place = format!("{owner}::{name}");
            let ours = pool.iter().find(|variant| variant.name == name);
            match (ours, program.iter().find(|variant| variant.name == name)) {
                (Some(ours), Some(theirs)) => {
                    if ours.discriminant != theirs.discriminant {
                        self.line(&place, format!("discriminant {}", ours.discriminant), theirs.discriminant);
                    }
                    self.fields(&place, &ours.fields, &theirs.fields);
                }
                (Some(ours), None) => self.line(&place, format!("variant {}", ours.discriminant), "missing"),
                (None, Some(theirs)) => {
                    self.line(&place, "missing", format!("variant {}", theirs.discriminant))
                }
                (None, None) => {}
            }
        }
    }
}

fn type_name(schema: &Schema, index: TypeIndex) -> &str {
    schema.get(index).map_or("an unknown type", |ty| ty.name.as_str())
}

impl Shape {
    /// What kind of type this is, for a message.
    fn kind(&self) -> String {
        match self {
            Self::Primitive(primitive) => format!("a {}", primitive.name()),
            Self::Array { count, .. } => format!("an array of {count}"),
            Self::Struct { .. } => "a struct".to_owned(),
            Self::Enum { .. } => "an enum".to_owned(),
            Self::Owned { .. } => "an owning pointer".to_owned(),
            Self::Pointer { .. } => "a pointer".to_owned(),
            Self::Option { .. } => "an Option".to_owned(),
            Self::Slice { .. } => "an owned slice".to_owned(),
            Self::Ring { .. } => "an owned ring".to_owned(),
            Self::Run { capacity, .. } => format!("a run of up to {capacity}"),
            Self::Phantom { .. } => "a PhantomData".to_owned(),
            Self::Shared { .. } => "a shared pointer".to_owned(),
            Self::Weak { .. } => "a weak pointer".to_owned(),
            Self::Pair => "a key with its value".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::sample;
    use super::*;

    /// The sample with one change, compared with the sample.
    fn changed(edit: impl FnOnce(&mut Schema)) -> Vec<String> {
        let mut program = sample();
        edit(&mut program);
        differences(&sample(), &program)
    }

    fn index_of(schema: &Schema, name: &str) -> usize {
        schema.types.iter().position(|ty| ty.name == name).unwrap()
    }

    fn fields<'a>(schema: &'a mut Schema, name: &str) -> &'a mut Vec<Field> {
        let index = index_of(schema, name);
        match &mut schema.types[index].shape {
            Shape::Struct { fields } => fields,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_schema_does_not_differ_from_itself() {
        assert!(changed(|_| {}).is_empty());
    }

    #[test]
    fn a_changed_field_type_names_both_types() {
        let lines = changed(|schema| {
            let wide = TypeIndex(index_of(schema, "u64") as u32);
            fields(schema, "Account").iter_mut().find(|field| field.name == "age").unwrap().ty = wide;
        });
        assert_eq!(lines, ["Account.age: u32 in the pool, u64 in the program"]);
    }

    #[test]
    fn missing_and_added_fields_are_named() {
        let lines =
            changed(|schema| fields(schema, "Account").iter_mut().for_each(|field| field.name.push('2')));
        assert!(
            lines.contains(&"Account.age: u32 in the pool, missing in the program".to_owned()),
            "{lines:?}"
        );
        assert!(
            lines.contains(&"Account.age2: missing in the pool, u32 in the program".to_owned()),
            "{lines:?}"
        );
    }

    #[test]
    fn a_moved_field_is_named_with_its_offsets() {
        let lines = changed(|schema| fields(schema, "Account")[0].offset += 8);
        assert_eq!(lines, ["Account.id: offset 0 in the pool, 8 in the program"]);
    }

    #[test]
    fn a_renamed_type_is_named_where_it_is_used() {
        let lines = changed(|schema| {
            let index = index_of(schema, "Account");
            schema.types[index].name = "User".to_owned();
        });
        assert!(
            lines.iter().any(|line| line.ends_with("Account in the pool, User in the program")),
            "{lines:?}"
        );
    }

    #[test]
    fn another_kind_of_pointer_is_named() {
        let lines = changed(|schema| {
            let index = index_of(schema, "Sharer<Account>");
            let Shape::Shared { target } = schema.types[index].shape else { panic!("not shared") };
            schema.types[index].shape = Shape::Weak { target };
        });
        assert_eq!(lines, ["Sharer<Account>: a shared pointer in the pool, a weak pointer in the program"]);
    }

    #[test]
    fn a_changed_discriminant_and_a_changed_size_are_named() {
        let lines = changed(|schema| {
            let index = index_of(schema, "Kind");
            schema.types[index].size = 24;
            match &mut schema.types[index].shape {
                Shape::Enum { variants, .. } => variants[1].discriminant = 9,
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(
            lines,
            [
                "Kind::Full: discriminant 7 in the pool, 9 in the program",
                "Kind: 16 bytes in the pool, 24 in the program"
            ]
        );
    }
}
