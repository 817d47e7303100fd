//! Nodes as a pool's file has them: validation of N1 and N2, and the schema.
//!
//! Checked: kind, level and count of a node fit each other and its capacity; each key and value in use is a value of
//! its type; each child is a block of its own whose level is one lower, so a walk down ends. Not checked: the order
//! of the keys, for validation knows no `Ord`; a tree that lies about that finds too little, and nothing worse.

use std::marker::PhantomData;

use super::form::{Columns, Form, INNER, LEAF};
use super::{LEVELS, NodeBox};
use crate::layout::{
    Block, Field, Invalid, Niche, Persistent, SchemaBuilder, TypeIndex, Variant, View, Visit,
};

/// A node as a type of the schema, and as a block to check.
struct Node<K, V>(PhantomData<(K, V)>);
/// The keys of a kind of node as a type of the schema.
struct Keys<K, V, const KIND: u16>(PhantomData<(K, V)>);
/// Its values.
struct Values<K, V, const KIND: u16>(PhantomData<(K, V)>);
/// The children of an inner node.
struct Children<K, V>(PhantomData<(K, V)>);

impl<K: Persistent, V: Persistent> Node<K, V> {
    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        let (size, align) = (Form::<K, V>::LEN, Form::<K, V>::ALIGN);
        schema.block::<Self, u16>(
            "Node",
            (size, align),
            |arguments| {
                arguments.of_type::<K>();
                arguments.of_type::<V>();
            },
            |schema| {
                let leaf = Self::fields::<LEAF>(schema, &Form::<K, V>::LEAF);
                let columns = &Form::<K, V>::INNER;
                let mut inner = Self::fields::<INNER>(schema, columns);
                let ty = schema.run::<Children<K, V>, NodeBox<'_, K, V>>(columns.capacity + 1, 1);
                inner.push(Field { name: "children".to_owned(), offset: columns.children, ty });
                let variant = |name: &str, kind, fields| Variant {
                    name: name.to_owned(),
                    discriminant: u64::from(kind),
                    fields,
                };
                vec![variant("Leaf", LEAF, leaf), variant("Inner", INNER, inner)]
            },
        )
    }

    fn fields<const KIND: u16>(schema: &mut SchemaBuilder, columns: &Columns) -> Vec<Field> {
        let mut fields = Vec::new();
        let mut field = |name: &str, offset, ty| fields.push(Field { name: name.to_owned(), offset, ty });
        field("level", 2, u16::describe(schema));
        field("count", 4, u32::describe(schema));
        field("keys", columns.keys, schema.run::<Keys<K, V, KIND>, K>(columns.capacity, 0));
        field("values", columns.values, schema.run::<Values<K, V, KIND>, V>(columns.capacity, 0));
        fields
    }
}

impl<K: Persistent, V: Persistent> Block for Node<K, V> {
    const LEN: u64 = Form::<K, V>::LEN;
    const ALIGN: u64 = Form::<K, V>::ALIGN;

    fn check(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        let (kind, level, count) = (view.u16(0)?, view.u16(2)?, u64::from(view.u32(4)?));
        let columns = Form::<K, V>::columns(level);
        let fits = usize::from(level) < LEVELS && (kind == INNER) == (level > 0) && kind <= INNER;
        if !fits || count == 0 || count > columns.capacity {
            return Err(Invalid::new(
                format!(
                    "a tree's node of kind {kind} and level {level} holds {count} of {} elements",
                    columns.capacity
                ),
                view.addr(),
            ));
        }
        check_all::<K>(view, columns.keys, count, visit)?;
        check_all::<V>(view, columns.values, count, visit)?;
        if level == 0 {
            return Ok(());
        }
        let mut children = Vec::with_capacity(count as usize + 1);
        for index in 0..=count {
            children.push(visit.own_block::<Self>(view.u64(columns.children + index * 8)?)?);
        }
        match children.into_iter().find(|child| child.u16(2) != Ok(level - 1)) {
            Some(child) => {
                Err(Invalid::new("a node of a tree is not one level below its parent", child.addr()))
            }
            None => Ok(()),
        }
    }
}

/// Checks `count` values side by side at `offset`.
fn check_all<T: Persistent>(
    view: View<'_>,
    offset: u64,
    count: u64,
    visit: &mut Visit<'_>,
) -> Result<(), Invalid> {
    if T::PLAIN {
        return Ok(());
    }
    let size = size_of::<T>() as u64;
    (0..count).try_for_each(|index| T::validate(view.field(offset + index * size, size)?, visit))
}

// SAFETY: 8 bytes at any brand; validation claims the node's block and checks N1 and N2 of it and of all below.
unsafe impl<'p, K: Persistent, V: Persistent> Persistent for NodeBox<'p, K, V> {
    type At<'q> = NodeBox<'q, K::At<'q>, V::At<'q>>;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.owned_block::<Self>("NodeBox", Node::<K, V>::describe)
    }

    #[inline]
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        visit.own_block::<Node<K, V>>(view.u64(0)?).map(drop)
    }
}

// SAFETY: transparent over `NonZeroU64`.
unsafe impl<'p, K: Persistent, V: Persistent> Niche for NodeBox<'p, K, V> {
    type NicheAt<'q> = NodeBox<'q, K::At<'q>, V::At<'q>>;
}
