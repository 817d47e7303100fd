//! Read, validate, write; where that fails, the errors and a stub.

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::ast::Input;
use crate::{fallback, persistent, valid};

pub fn derive(original: &DeriveInput) -> TokenStream {
    match try_derive(original) {
        Ok(expanded) => expanded,
        Err(error) => fallback::with_errors(original, &error),
    }
}

fn try_derive(original: &DeriveInput) -> syn::Result<TokenStream> {
    let input = Input::read(original)?;
    valid::check(&input)?;
    Ok(persistent::implement(&input))
}
