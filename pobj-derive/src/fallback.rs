//! The errors, and an implementation that does nothing, so that uses of the type do not report the same mistake
//! again. It is never run: a program with an error is not built.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Lifetime, parse_quote};

use crate::{bound, valid};

pub fn with_errors(original: &DeriveInput, error: &syn::Error) -> TokenStream {
    let errors = error.to_compile_error();
    let ident = &original.ident;
    let brand: Lifetime = parse_quote!('__pobj_q);
    let generics = bound::with_persistent(&original.generics);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    // Where the parameters have bounds that `At` could not keep, the type itself is a legal family.
    let at = match valid::check_bounds(&original.generics) {
        Ok(()) => {
            let arguments = bound::arguments_at(&original.generics, &brand);
            quote!(#ident #arguments)
        }
        Err(_) => quote!(Self),
    };
    quote! {
        #errors
        #[automatically_derived]
        unsafe impl #impl_generics ::pobj::__private::Persistent for #ident #type_generics #where_clause {
            type At<#brand> = #at;
            fn describe(
                schema: &mut ::pobj::__private::SchemaBuilder,
            ) -> ::pobj::__private::TypeIndex {
                <() as ::pobj::__private::Persistent>::describe(schema)
            }
            fn validate(
                _: ::pobj::__private::View<'_>,
                _: &mut ::pobj::__private::Visit<'_>,
            ) -> ::core::result::Result<(), ::pobj::__private::Invalid> {
                ::core::result::Result::Ok(())
            }
        }
    }
}
