//! Whole expansions against the files in `expected/`, where a person can read what the derive writes.
//!
//! After a change on purpose run the tests with `POBJ_BLESS=1` and read the difference.

use std::path::Path;

use proc_macro2::TokenStream;
use syn::{DeriveInput, parse_quote};

fn check(name: &str, tokens: TokenStream) {
    let file: syn::File = syn::parse2(tokens).unwrap();
    let actual = prettyplease::unparse(&file);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("expected").join(name).with_extension("expanded");
    if std::env::var_os("POBJ_BLESS").is_some() {
        std::fs::write(&path, &actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(actual == expected, "{} is out of date; it should be:\n{actual}", path.display());
}

fn check_derive(name: &str, input: DeriveInput) {
    check(name, crate::expand::derive(&input));
}

#[test]
fn a_struct() {
    check_derive(
        "struct",
        parse_quote! {
            #[repr(C)]
            struct Node<'p, T, const N: usize> {
                items: [T; N],
                next: Option<PBox<'p, Node<'p, T, N>>>,
            }
        },
    );
}

#[test]
fn a_field_with_a_doubtful_name() {
    check_derive(
        "doubtful",
        parse_quote! {
            #[repr(C)]
            struct Sheet {
                first: Cell,
            }
        },
    );
}

#[test]
fn an_enum() {
    check_derive(
        "enum",
        parse_quote! {
            #[repr(u8)]
            enum Shape<'p> {
                Dot,
                Line { len: u16 } = 9,
                More(PBox<'p, Self>),
            }
        },
    );
}

#[test]
fn an_enum_with_its_tag_outside() {
    check_derive(
        "enum_tag_outside",
        parse_quote! {
            #[repr(C, i16)]
            enum Kind<T> {
                Empty = -5,
                Full(u8, T),
            }
        },
    );
}

#[test]
fn an_error_and_its_stub() {
    check_derive(
        "error",
        parse_quote!(
            #[repr(C)]
            struct Account {
                name: String,
            }
        ),
    );
}

#[test]
fn a_block() {
    let input =
        syn::parse_str("&pool, |app, tx| { app.hits += 1; app.rows[n].x = 2; local = 3; app.hits }").unwrap();
    let block = crate::tx::expand(input).unwrap();
    check("block", quote::quote!(fn main() { #block; }));
}
