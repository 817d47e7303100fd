//! `#[derive(Persistent)]` and `tx!` for pobj. Use them through `pobj`, which re-exports both.
//!
//! The derive goes through four steps, one file each: `ast` reads the input without judging it, `valid` finds
//! everything that cannot live in a pool and says what to write instead, `persistent` writes the implementation in
//! the shape of its rules, and `fallback` writes a stub beside the errors, so that one mistake gives one message.
//! `tx` rewrites the block of a transaction.

use proc_macro::TokenStream;

mod advice;
mod ast;
mod attr;
mod bound;
mod expand;
mod fallback;
#[cfg(test)]
mod golden;
mod persistent;
mod place;
mod tx;
mod valid;

/// Lets a type live in a pool.
///
/// For structs with `#[repr(C)]` or `#[repr(transparent)]` and enums with an explicit integer representation such as
/// `#[repr(u8)]`, with type and constant parameters and at most one lifetime, the brand `'p` of the transaction.
/// Every field must be persistent itself. A type that cannot be stored is an error that names the field and what to
/// use instead.
///
/// ```ignore
/// #[derive(Persistent)]
/// #[repr(C)]
/// struct Node<'p> {
///     value: u64,
///     next: Option<PBox<'p, Node<'p>>>,
/// }
/// ```
///
/// `#[pobj(validate = path)]` on the type names a function
/// `fn(View<'_>, &mut Visit<'_>) -> Result<(), Invalid>` that is called after the fields were checked, for a
/// condition that spans several fields.
#[proc_macro_derive(Persistent, attributes(pobj))]
pub fn derive_persistent(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::derive(&input).into()
}

/// Runs a block as one transaction: its value is committed, a `?` in it rolls back.
///
/// ```ignore
/// tx!(pool, |app, tx| {
///     app.hits += 1;
///     app.head = Some(PBox::new(tx, node)?);
/// })?;
/// ```
///
/// An assignment to a field of the root logs only that field. `.await`, `return` and another `tx!` inside the block
/// are refused.
#[proc_macro]
pub fn tx(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as tx::Input);
    tx::expand(input).unwrap_or_else(syn::Error::into_compile_error).into()
}
