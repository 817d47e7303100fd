//! Every refusal that a derive can see, with the place and what to write instead.
//!
//! 1. A struct or enum with a layout that the language fixes: `repr(C)` or `repr(transparent)` for a struct, an
//!    explicit integer of fixed width for an enum; never packed.
//! 2. At most one lifetime, the brand, without bounds; no other lifetime in a field.
//! 3. No bounds on type parameters except `Persistent`: the bound would have to hold for every transaction's type.
//! 4. No field of a type whose name says that it cannot be stored.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{Generics, Lifetime, TypeParamBound, WherePredicate};

use crate::advice;
use crate::ast::{Data, Input};

/// Alignments that a pool honours.
const ALIGN_MAX: u64 = 4096;

/// All refusals at once, so that a person fixes them in one go.
pub fn check(input: &Input<'_>) -> syn::Result<()> {
    if let Data::Union = input.data {
        return Err(syn::Error::new_spanned(
            &input.original.ident,
            "a union does not say which of its fields is there; use an enum with `#[repr(u8)]`",
        ));
    }
    let mut errors = Errors::default();
    errors.take(check_repr(input));
    errors.take(check_lifetimes(input));
    errors.take(check_bounds(&input.original.generics));
    check_fields(input, &mut errors);
    errors.finish()
}

#[derive(Default)]
struct Errors(Option<syn::Error>);

impl Errors {
    fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    fn take(&mut self, result: syn::Result<()>) {
        if let Err(error) = result {
            self.push(error);
        }
    }

    fn finish(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

fn check_repr(input: &Input<'_>) -> syn::Result<()> {
    let repr = &input.attrs.repr;
    let ident = &input.original.ident;
    let at = |span: Span, message: String| Err(syn::Error::new(span, message));
    if let Some(span) = repr.packed {
        let what = format!("`{ident}` is packed, so its fields could not be borrowed; remove `packed`");
        return at(span, what);
    }
    if let Some((align, span)) = repr.align
        && align > ALIGN_MAX
    {
        return at(
            span,
            format!("`{ident}` asks for an alignment of {align}; a pool honours up to {ALIGN_MAX}"),
        );
    }
    match &input.data {
        Data::Struct(_) if !repr.c && !repr.transparent => at(
            ident.span(),
            format!("`{ident}` has a layout that the compiler may change; add `#[repr(C)]` to it"),
        ),
        Data::Enum(variants) if variants.is_empty() => {
            at(ident.span(), format!("`{ident}` has no variants, so no value of it can be stored"))
        }
        Data::Enum(_) => match &repr.integer {
            Some(integer) if integer == "usize" || integer == "isize" => {
                let what = format!(
                    "`{integer}` has another size on another machine; use `#[repr(u8)]` or `#[repr(u32)]`"
                );
                at(integer.span(), what)
            }
            Some(integer) if integer.to_string().ends_with("128") => at(
                integer.span(),
                "a tag of 128 bits is not supported; use `#[repr(u64)]` or smaller".to_owned(),
            ),
            Some(_) => Ok(()),
            None if repr.c => at(
                ident.span(),
                format!(
                    "the tag of `{ident}` has another size on another machine; \
                     write `#[repr(u8)]` or `#[repr(C, u8)]` instead of `#[repr(C)]`"
                ),
            ),
            None => at(
                ident.span(),
                format!(
                    "`{ident}` has a layout that the compiler may change; add `#[repr(u8)]` to it \
                     (or `u16`, `u32` for more than 256 variants)"
                ),
            ),
        },
        _ => Ok(()),
    }
}

fn check_lifetimes(input: &Input<'_>) -> syn::Result<()> {
    let lifetimes = input.lifetimes();
    if let Some(second) = lifetimes.get(1) {
        let what = format!(
            "`{}` has more than one lifetime; a persistent type has at most one, the transaction that looks at it: \
             use `{}` for all of its pointers",
            input.original.ident, lifetimes[0]
        );
        return Err(syn::Error::new(second.span(), what));
    }
    let bounded = input.original.generics.lifetimes().find(|parameter| !parameter.bounds.is_empty());
    if let Some(parameter) = bounded {
        return Err(syn::Error::new(
            parameter.bounds.span(),
            "the lifetime of a persistent type has no bounds",
        ));
    }
    Ok(())
}

/// Refuses bounds that `At<'q>` could not keep.
pub fn check_bounds(generics: &Generics) -> syn::Result<()> {
    let mut errors = Errors::default();
    let mut check = |bound: &TypeParamBound| {
        let allowed = match bound {
            TypeParamBound::Trait(bound) => {
                bound.path.segments.last().is_some_and(|last| last.ident == "Persistent")
            }
            _ => false,
        };
        if !allowed {
            let text = advice::type_text(bound);
            let what = format!(
                "a persistent type cannot promise `{text}` for the type of every transaction; \
                 remove the bound here and put it on the `impl` blocks that need it"
            );
            errors.push(syn::Error::new(bound.span(), what));
        }
    };
    for parameter in generics.type_params() {
        parameter.bounds.iter().for_each(&mut check);
    }
    let parameters: Vec<String> =
        generics.type_params().map(|parameter| parameter.ident.to_string()).collect();
    for predicate in generics.where_clause.iter().flat_map(|clause| &clause.predicates) {
        if let WherePredicate::Type(predicate) = predicate {
            let subject = &predicate.bounded_ty;
            if parameters.contains(&quote::quote!(#subject).to_string()) {
                predicate.bounds.iter().for_each(&mut check);
            }
        }
    }
    errors.finish()
}

fn check_fields(input: &Input<'_>, errors: &mut Errors) {
    let own: Vec<&Lifetime> = input.lifetimes();
    for field in input.fields() {
        if let Some(refused) = advice::refusal(field.ty)
            && refused.certain
            && !input.is_parameter(refused.ty)
        {
            errors.push(syn::Error::new_spanned(refused.ty, refused.message(&field.name())));
            continue;
        }
        let mut foreign = ForeignLifetime { own: &own, found: None };
        foreign.visit_type(field.ty);
        if let Some(lifetime) = foreign.found {
            let brand = own.first().map_or("'p".to_owned(), ToString::to_string);
            let what = format!(
                "field `{}`: the pointers of a persistent type live as long as the transaction that looks at it; \
                 write `{brand}` instead of `{lifetime}`{}",
                field.name(),
                if own.is_empty() { format!(" and `{}<'p>`", input.original.ident) } else { String::new() }
            );
            errors.push(syn::Error::new(lifetime.span(), what));
        }
    }
}

/// Finds a lifetime that is not a parameter of the type, such as `'static`.
struct ForeignLifetime<'a> {
    own: &'a [&'a Lifetime],
    found: Option<Lifetime>,
}

impl<'a> Visit<'a> for ForeignLifetime<'_> {
    fn visit_lifetime(&mut self, lifetime: &'a Lifetime) {
        if self.found.is_none() && !self.own.contains(&lifetime) {
            self.found = Some(lifetime.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::{DeriveInput, parse_quote};

    fn refused(input: DeriveInput) -> Vec<String> {
        let input = Input::read(&input).unwrap();
        match check(&input) {
            Ok(()) => Vec::new(),
            Err(error) => error.into_iter().map(|error| error.to_string()).collect(),
        }
    }

    #[test]
    fn sound_types_pass() {
        let fine: [DeriveInput; 5] = [
            parse_quote!(
                #[repr(C)]
                struct Node<'p> {
                    value: u64,
                    next: Option<PBox<'p, Node<'p>>>,
                }
            ),
            parse_quote!(
                #[repr(transparent)]
                struct Id(u32);
            ),
            parse_quote!(
                #[repr(u8)]
                enum Shape {
                    Dot,
                    Line { len: u32 },
                }
            ),
            parse_quote!(
                #[repr(C, u16)]
                enum Shape {
                    Dot,
                    Line(u32),
                }
            ),
            parse_quote!(
                #[repr(C, align(64))]
                struct Pair<A, B: Persistent>
                where
                    A: pobj::Persistent,
                {
                    a: A,
                    b: B,
                }
            ),
        ];
        for input in fine {
            assert!(refused(input).is_empty());
        }
    }

    #[test]
    fn layouts_that_may_change_are_refused() {
        for (source, advice) in [
            ("struct A { a: u8 }", "#[repr(C)]"),
            ("#[repr(Rust)] struct A { a: u8 }", "#[repr(C)]"),
            ("enum A { B }", "#[repr(u8)]"),
            ("#[repr(C)] enum A { B }", "#[repr(C, u8)]"),
            ("#[repr(usize)] enum A { B }", "another size"),
            ("#[repr(u128)] enum A { B }", "#[repr(u64)]"),
            ("#[repr(u8)] enum A {}", "no variants"),
            ("#[repr(C, packed)] struct A { a: u8 }", "packed"),
            ("#[repr(C)] union A { a: u8 }", "enum"),
            ("#[repr(C, align(8192))] struct A { a: u8 }", "4096"),
        ] {
            let messages = refused(syn::parse_str(source).unwrap());
            assert!(messages.len() == 1 && messages[0].contains(advice), "{source}: {messages:?}");
        }
    }

    #[test]
    fn every_bad_field_is_reported() {
        let messages = refused(parse_quote!(
            #[repr(C)]
            struct A {
                a: String,
                b: u8,
                c: usize,
                d: PBox<'static, u8>,
            }
        ));
        assert_eq!(messages.len(), 3, "{messages:?}");
        assert!(messages[2].contains("`'p` instead of `'static`"));
    }

    #[test]
    fn two_lifetimes_and_foreign_bounds_are_refused() {
        assert_eq!(
            refused(parse_quote!(
                #[repr(C)]
                struct A<'a, 'b> {
                    a: PBox<'a, u8>,
                    b: PBox<'b, u8>,
                }
            ))
            .len(),
            1
        );
        assert_eq!(
            refused(parse_quote!(
                #[repr(C)]
                struct A<T: Copy> {
                    a: T,
                }
            ))
            .len(),
            1
        );
        assert_eq!(
            refused(parse_quote!(
                #[repr(C)]
                struct A<T>
                where
                    T: Persistent + Ord,
                {
                    a: T,
                }
            ))
            .len(),
            1
        );
    }
}
