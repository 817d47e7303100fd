//! The implementation of `Persistent`.
//!
//! 1. `At<'q>`: the same type with `'q` for its lifetime and `At<'q>` of each type argument.
//! 2. `MEMBERS`: one entry for each field, the only place where a field's type is used. An entry proves that the
//!    field is persistent, that its offset is the real one, and that re-branding the whole re-brands the field (a
//!    function pointer of the right type, never called), so that `PBox<'static, T>` cannot hide in an alias.
//! 3. `describe` and `validate` refer to the members by place.
//! 4. An enum's field offsets follow RFC 2195: the layout of `repr(u8)` is that of a union of `repr(C)` structs that
//!    begin with the tag; that of `repr(C, u8)` is a `repr(C)` struct of the tag and a union of `repr(C)` structs.
//!    Such structs are declared beside the implementation, for their offsets only.
//! 5. A local trait with a blanket implementation for `Drop` types conflicts with the type's own if it is one.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{GenericParam, Generics, Lifetime, Type, parse_quote};

use crate::ast::{Data, Field, Input, Variant};
use crate::{advice, bound};

pub fn implement(input: &Input<'_>) -> TokenStream {
    let generics = bound::with_persistent(&input.original.generics);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let ident = &input.original.ident;
    let brand: Lifetime = parse_quote!('__pobj_q);
    let arguments_at = bound::arguments_at(&input.original.generics, &brand);
    let Parts { items, members, plain, describe, validate } = match &input.data {
        Data::Enum(variants) => enumeration(input, &generics, variants),
        Data::Struct(fields) => structure(input, fields),
        // Refused before.
        Data::Union => Parts::default(),
    };
    let after = input
        .attrs
        .validate
        .as_ref()
        .map(|path| quote_spanned!(path.span()=> #path(__pobj_view, __pobj_visit)?;));
    // Spanned at the name, so that a conflict points at the type.
    let no_drop = quote_spanned! {ident.span()=>
        impl #impl_generics PersistentTypesMustNotImplementDrop for #ident #type_generics #where_clause {}
    };
    quote! {
        #[doc(hidden)]
        #[allow(dead_code, drop_bounds, unsafe_code, unreachable_patterns, clippy::all, clippy::pedantic)]
        const _: () = {
            trait PersistentTypesMustNotImplementDrop {}
            impl<__PobjT: ::core::ops::Drop> PersistentTypesMustNotImplementDrop for __PobjT {}
            #no_drop
            #items

            // SAFETY: the derive refuses every layout that the language does not fix; each member is persistent and
            // re-brands with the whole; each is described and checked; a user's `Drop` conflicts with the item above.
            #[automatically_derived]
            unsafe impl #impl_generics ::pobj::__private::Persistent for #ident #type_generics #where_clause {
                type At<#brand> = #ident #arguments_at;
                const PLAIN: bool = #plain;
                const MEMBERS: &'static [::pobj::__private::Member] = #members;

                fn describe(
                    __pobj_schema: &mut ::pobj::__private::SchemaBuilder,
                ) -> ::pobj::__private::TypeIndex {
                    #describe
                }

                #[inline]
                fn validate(
                    __pobj_view: ::pobj::__private::View<'_>,
                    __pobj_visit: &mut ::pobj::__private::Visit<'_>,
                ) -> ::core::result::Result<(), ::pobj::__private::Invalid> {
                    #validate
                    #after
                    ::core::result::Result::Ok(())
                }
            }
        };
    }
}

/// What differs between structs and enums.
#[derive(Default)]
struct Parts {
    items: TokenStream,
    members: TokenStream,
    plain: TokenStream,
    describe: TokenStream,
    validate: TokenStream,
}

fn structure(input: &Input<'_>, fields: &[Field<'_>]) -> Parts {
    let name = type_name(input);
    let members = fields.iter().map(|field| {
        let member = &field.member;
        let offset = quote!(::core::mem::offset_of!(Self, #member));
        let (first, last) = ends(field.ty);
        let from = quote_spanned!(first=> |__pobj_value, _|);
        let to = quote_spanned!(last=> { &mut __pobj_value.#member });
        let project = quote!(#from #to);
        entry(field, &offset, &project)
    });
    let arguments = arguments(&input.original.generics);
    let plain = if input.attrs.validate.is_some() {
        quote!(false)
    } else {
        quote!(::pobj::__private::Member::all_plain(<Self as ::pobj::__private::Persistent>::MEMBERS))
    };
    let checks = (0..fields.len()).map(check_member);
    Parts {
        items: TokenStream::new(),
        members: quote!(&[#(#members),*]),
        plain,
        describe: quote! {
            __pobj_schema.structure::<Self>(
                #name,
                <Self as ::pobj::__private::Persistent>::MEMBERS,
                |__pobj_arguments| { #arguments },
            )
        },
        validate: quote! {
            if <Self as ::pobj::__private::Persistent>::PLAIN {
                return ::core::result::Result::Ok(());
            }
            #(#checks)*
        },
    }
}

fn enumeration(input: &Input<'_>, generics: &Generics, variants: &[Variant<'_>]) -> Parts {
    let integer = input.attrs.repr.integer.clone().unwrap_or_else(|| Ident::new("u8", Span::call_site()));
    let unsigned = format_ident!("{}", integer.to_string().replace('i', "u"));
    let shadow = Shadow::new(input, generics, variants, &integer);
    let (_, type_generics, _) = generics.split_for_impl();

    let mut members = Vec::new();
    let mut rows = Vec::new();
    let mut arms = Vec::new();
    for (index, variant) in variants.iter().enumerate() {
        let tag = format_ident!("__POBJ_TAG_{index}");
        let first = members.len();
        for (place, field) in variant.fields.iter().enumerate() {
            let offset = shadow.offset(index, place, &type_generics);
            let project = project_variant(&input.original.ident, variant.ident, field);
            members.push(entry(field, &offset, &project));
        }
        let (name, count) = (plain_name(variant.ident), variant.fields.len());
        rows.push(quote!((#name, #tag as u64, #count)));
        let checks = (first..members.len()).map(check_member);
        arms.push(quote!(#tag => { #(#checks)* }));
    }

    let name = type_name(input);
    let complaint = format!("`{name}` has no variant with the tag {{}}");
    let arguments = arguments(&input.original.generics);
    let (tags, shadow_items) = (tags(variants, &integer, &unsigned), &shadow.items);
    Parts {
        items: quote!(#tags #shadow_items),
        members: quote!(&[#(#members),*]),
        plain: quote!(false),
        describe: quote! {
            __pobj_schema.enumeration::<Self, #integer>(
                #name,
                <Self as ::pobj::__private::Persistent>::MEMBERS,
                &[#(#rows),*],
                |__pobj_arguments| { #arguments },
            )
        },
        validate: quote! {
            match __pobj_view.#unsigned(0)? {
                #(#arms)*
                __pobj_found => {
                    return ::core::result::Result::Err(::pobj::__private::Invalid::new(
                        ::std::format!(#complaint, __pobj_found),
                        __pobj_view.addr(),
                    ));
                }
            }
        },
    }
}

/// One constant for each variant with its discriminant, and one with the bits of its tag.
fn tags(variants: &[Variant<'_>], integer: &Ident, unsigned: &Ident) -> TokenStream {
    let constants = variants.iter().enumerate().map(|(index, variant)| {
        let discriminant = format_ident!("__POBJ_DISCRIMINANT_{index}");
        let tag = format_ident!("__POBJ_TAG_{index}");
        let value = match (variant.discriminant, index.checked_sub(1)) {
            (Some(value), _) => quote!(#value),
            (None, None) => quote!(0),
            (None, Some(previous)) => {
                let previous = format_ident!("__POBJ_DISCRIMINANT_{previous}");
                quote!(#previous + 1)
            }
        };
        quote! {
            const #discriminant: #integer = #value;
            const #tag: #unsigned = #discriminant as #unsigned;
        }
    });
    constants.collect()
}

/// From the enum `whole` to a field of its variant. It names the type and not `Self`: it is for every lifetime.
fn project_variant(whole: &Ident, variant: &Ident, field: &Field<'_>) -> TokenStream {
    let member = &field.member;
    let (first, last) = ends(field.ty);
    let from = quote_spanned!(first=> |__pobj_value, _|);
    let to = quote_spanned! {last=> {
        match __pobj_value {
            #whole::#variant { #member: __pobj_field, .. } => __pobj_field,
            _ => loop {},
        }
    }};
    quote!(#from #to)
}

/// Structs with the layout of an enum's variants.
struct Shadow {
    items: TokenStream,
    /// Whether the tag stands before the union (`repr(C, u8)`) and not in each of its structs.
    tag_outside: bool,
}

impl Shadow {
    fn new(input: &Input<'_>, generics: &Generics, variants: &[Variant<'_>], integer: &Ident) -> Self {
        let tag_outside = input.attrs.repr.c;
        let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
        let ident = &input.original.ident;
        let whole: Type = parse_quote!(#ident #type_generics);
        let marker = marker(generics);
        let tag = if tag_outside { quote!(()) } else { quote!(#integer) };
        let mut items = TokenStream::new();
        for (index, variant) in variants.iter().enumerate() {
            let shadow = format_ident!("__PobjVariant{index}");
            let types = variant.fields.iter().map(|field| {
                let mut ty = field.ty.clone();
                NameSelf { whole: &whole }.visit_type_mut(&mut ty);
                ty
            });
            // The marker behind the fields has no bytes and moves none of them.
            items.extend(quote! {
                #[repr(C)]
                struct #shadow #impl_generics (#tag, #(#types,)* #marker) #where_clause;
            });
        }
        if tag_outside {
            let shadows = (0..variants.len()).map(|index| format_ident!("__PobjVariant{index}"));
            let names = (0..variants.len()).map(|index| format_ident!("variant_{index}"));
            items.extend(quote! {
                #[repr(C)]
                union __PobjPayload #impl_generics #where_clause {
                    #(#names: ::core::mem::ManuallyDrop<#shadows #type_generics>,)*
                }
                #[repr(C)]
                struct __PobjTagged #impl_generics (#integer, __PobjPayload #type_generics) #where_clause;
            });
        }
        Self { items, tag_outside }
    }

    /// The offset of a field from the start of the enum.
    fn offset(&self, variant: usize, field: usize, type_generics: &syn::TypeGenerics<'_>) -> TokenStream {
        let shadow = format_ident!("__PobjVariant{variant}");
        // Place 0 is the tag, or `()` where the tag stands outside.
        let place = Literal::usize_unsuffixed(field + 1);
        let inside = quote!(::core::mem::offset_of!(#shadow #type_generics, #place));
        if self.tag_outside {
            quote!(::core::mem::offset_of!(__PobjTagged #type_generics, 1) + #inside)
        } else {
            inside
        }
    }
}

/// A type without bytes that uses every parameter.
fn marker(generics: &Generics) -> TokenStream {
    let uses = generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Lifetime(parameter) => {
            let lifetime = &parameter.lifetime;
            Some(quote!(*mut &#lifetime (),))
        }
        GenericParam::Type(parameter) => {
            let ident = &parameter.ident;
            Some(quote!(*mut #ident,))
        }
        GenericParam::Const(_) => None,
    });
    quote!(::core::marker::PhantomData<(#(#uses)*)>)
}

/// Writes the type's own name for `Self`, which means another type inside another item.
struct NameSelf<'a> {
    whole: &'a Type,
}

impl VisitMut for NameSelf<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        if matches!(ty, Type::Path(path) if path.path.is_ident("Self")) {
            *ty = self.whole.clone();
        } else {
            syn::visit_mut::visit_type_mut(self, ty);
        }
    }
}

/// The entry of one field in `MEMBERS`.
///
/// The compiler meets a field's type three times here. Where the type is not persistent, it reports one mistake
/// because all three have one span: from the type's first token to its last.
fn entry(field: &Field<'_>, offset: &TokenStream, project: &TokenStream) -> TokenStream {
    let (name, ty) = (field.name(), field.ty);
    let (first, last) = ends(ty);
    let path = quote_spanned!(first=> ::pobj::__private::Member::derived::<);
    let arguments = quote_spanned!(last=> , Self>(#name, #offset, #project));
    let member = quote!(#path #ty #arguments);
    let Some(refused) = advice::refusal(ty) else {
        return member;
    };
    // The name only looks like a type that cannot be stored. The compiler knows; the advice is for the case.
    let escape = |text: &str| text.replace('{', "{{").replace('}', "}}");
    let message = escape(&refused.message(&name));
    let label = escape(&refused.instead);
    let path = quote_spanned!(first=> stored::<);
    let arguments = quote_spanned!(last=> >(#member));
    quote! {{
        // The supertrait makes the compiler report the advice and not, again, the missing `Persistent`.
        #[diagnostic::on_unimplemented(message = #message, label = #label)]
        trait Stored: ::pobj::__private::Persistent {}
        #[diagnostic::do_not_recommend]
        impl<__PobjT: ::pobj::__private::Persistent> Stored for __PobjT {}
        const fn stored<__PobjT: Stored>(member: ::pobj::__private::Member) -> ::pobj::__private::Member {
            member
        }
        #path #ty #arguments
    }}
}

/// The spans of the first and the last token of a type.
fn ends(ty: &Type) -> (Span, Span) {
    let mut tokens = quote!(#ty).into_iter();
    let first = tokens.next().map_or_else(Span::call_site, |token| token.span());
    (first, tokens.last().map_or(first, |token| token.span()))
}

/// Checks the member at `index`.
fn check_member(index: usize) -> TokenStream {
    quote! {
        const { &<Self as ::pobj::__private::Persistent>::MEMBERS[#index] }.validate(__pobj_view, __pobj_visit)?;
    }
}

/// Tells the schema the generic arguments.
fn arguments(generics: &Generics) -> TokenStream {
    generics
        .params
        .iter()
        .filter_map(|parameter| match parameter {
            GenericParam::Lifetime(_) => None,
            GenericParam::Type(parameter) => {
                let ident = &parameter.ident;
                Some(quote!(__pobj_arguments.of_type::<#ident>();))
            }
            GenericParam::Const(parameter) => {
                let ident = &parameter.ident;
                Some(quote!(__pobj_arguments.constant(#ident);))
            }
        })
        .collect()
}

fn type_name(input: &Input<'_>) -> String {
    plain_name(&input.original.ident)
}

/// The name as the schema has it.
fn plain_name(ident: &Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}
