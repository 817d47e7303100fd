//! The grammar of `#[repr(...)]` and `#[pobj(...)]`.

use proc_macro2::Span;
use syn::{Attribute, Ident, LitInt, Path, Token};

/// What `#[repr(...)]` says, without judging it.
#[derive(Default)]
pub struct Repr {
    pub c: bool,
    pub transparent: bool,
    pub packed: Option<Span>,
    /// An integer type, as in `repr(u8)`.
    pub integer: Option<Ident>,
    /// The number of `align(N)`.
    pub align: Option<(u64, Span)>,
}

/// What the attributes of a type say.
#[derive(Default)]
pub struct Attrs {
    pub repr: Repr,
    /// `#[pobj(validate = path)]`.
    pub validate: Option<Path>,
}

impl Attrs {
    pub fn read(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut read = Self::default();
        for attribute in attributes {
            if attribute.path().is_ident("repr") {
                read_repr(attribute, &mut read.repr)?;
            } else if attribute.path().is_ident("pobj") {
                attribute.parse_nested_meta(|meta| {
                    if meta.path.is_ident("validate") {
                        read.validate = Some(meta.value()?.parse()?);
                        return Ok(());
                    }
                    Err(meta.error("unknown option; `#[pobj(validate = path)]` is the only one"))
                })?;
            }
        }
        Ok(read)
    }
}

fn read_repr(attribute: &Attribute, repr: &mut Repr) -> syn::Result<()> {
    attribute.parse_nested_meta(|meta| {
        let Some(word) = meta.path.get_ident() else {
            return Ok(());
        };
        match word.to_string().as_str() {
            "C" => repr.c = true,
            "transparent" => repr.transparent = true,
            "packed" => {
                repr.packed = Some(word.span());
                if meta.input.peek(syn::token::Paren) {
                    let content;
                    syn::parenthesized!(content in meta.input);
                    content.parse::<LitInt>()?;
                }
            }
            "align" => {
                let content;
                syn::parenthesized!(content in meta.input);
                let number: LitInt = content.parse()?;
                repr.align = Some((number.base10_parse()?, number.span()));
            }
            // `Rust` and anything that the compiler itself will refuse.
            _ if meta.input.peek(Token![,]) || meta.input.is_empty() => {
                if is_integer(word) {
                    repr.integer = Some(word.clone());
                }
            }
            _ => return Err(meta.error("unknown representation")),
        }
        Ok(())
    })
}

fn is_integer(word: &Ident) -> bool {
    let word = word.to_string();
    let digits = word.trim_start_matches(['u', 'i']);
    digits.len() + 1 == word.len() && matches!(digits, "8" | "16" | "32" | "64" | "128" | "size")
}
