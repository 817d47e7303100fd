//! Generic parameters: the bounds of the emitted implementation, and the arguments of `At<'q>`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{GenericParam, Generics, Lifetime, parse_quote};

/// The type's own generics with `T: Persistent` on each type parameter. There are no bounds on field types, so that
/// a recursive type does not need itself to be proved persistent first.
pub fn with_persistent(generics: &Generics) -> Generics {
    let mut bounded = generics.clone();
    for parameter in bounded.type_params_mut() {
        parameter.bounds.push(parse_quote!(::pobj::__private::Persistent));
    }
    bounded
}

/// The type's arguments in `At<'q>`: its lifetimes become `'q`, its type arguments their own `At<'q>`.
pub fn arguments_at(generics: &Generics, brand: &Lifetime) -> TokenStream {
    if generics.params.is_empty() {
        return TokenStream::new();
    }
    let arguments = generics.params.iter().map(|parameter| match parameter {
        GenericParam::Lifetime(_) => quote!(#brand),
        GenericParam::Const(parameter) => {
            let ident = &parameter.ident;
            quote!(#ident)
        }
        GenericParam::Type(parameter) => {
            let ident = &parameter.ident;
            quote!(<#ident as ::pobj::__private::Persistent>::At<#brand>)
        }
    });
    quote!(<#(#arguments),*>)
}
