//! Assignments to a place inside the root.
//!
//! `app.a.b[i] = v` with `app` the root of a `tx!` block becomes: evaluate `v`, then `i`; name the place through a
//! borrow that logs nothing; log exactly that place; write it. What makes this sound is that naming the place runs no
//! code of the user, which could write unlogged bytes through the borrow. Field access and indexing of arrays run none,
//! unless they pass through `DerefMut` or `IndexMut`. So each step is checked by the compiler, in a branch that is never
//! taken: before a field stands no type with `DerefMut`, before an index stands an array.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{BinOp, Expr, Ident, Member};

/// One step from a whole to a part.
enum Step<'a> {
    Field(&'a Member),
    Index(&'a Expr),
}

/// The steps from `root` to the place that `expr` names, if it is such a place and not `root` itself.
fn steps<'a>(expr: &'a Expr, root: &Ident) -> Option<Vec<Step<'a>>> {
    match expr {
        Expr::Path(path) if path.path.is_ident(root) => Some(Vec::new()),
        Expr::Paren(paren) => steps(&paren.expr, root),
        Expr::Group(group) => steps(&group.expr, root),
        Expr::Field(field) => {
            let mut steps = steps(&field.base, root)?;
            steps.push(Step::Field(&field.member));
            Some(steps)
        }
        Expr::Index(index) => {
            let mut steps = steps(&index.expr, root)?;
            steps.push(Step::Index(&index.index));
            Some(steps)
        }
        _ => None,
    }
}

/// The two names of a `tx!` block.
pub struct Names {
    pub root: Ident,
    pub tx: Ident,
}

impl Names {
    /// What `target = value` becomes; `None` if it is to stay as it is.
    pub fn assignment(&self, target: &Expr, value: &Expr) -> Option<TokenStream> {
        // At the value's place, so that a type that cannot be stored is reported there.
        let value = quote_spanned!(value.span()=> ::pobj::__private::stored(#value));
        self.write(target, &value, &quote!(=))
    }

    /// What `target += value` and its like become; `None` if it is to stay as it is.
    pub fn compound(&self, target: &Expr, operator: &BinOp, value: &Expr) -> Option<TokenStream> {
        self.write(target, &quote!(#value), &quote!(#operator))
    }

    fn write(&self, target: &Expr, value: &TokenStream, operator: &TokenStream) -> Option<TokenStream> {
        let steps = steps(target, &self.root)?;
        if steps.is_empty() {
            return None;
        }
        // Names that the user cannot mean, in the place of what they stand for: where a type does not fit, the compiler
        // points at the value, and where a place cannot be named, at the place.
        let hidden = |name: &str, at: Span| Ident::new(name, at.resolved_at(Span::mixed_site()));
        let (target_span, value_span) = (target.span(), value.span());
        let (root, new) = (hidden("root", target_span), hidden("value", value_span));
        let place = hidden("place", target_span);
        let (app, tx) = (&self.root, &self.tx);
        let name_place = quote_spanned!(target_span=> let #place = &raw mut);
        let store = quote_spanned!(value_span=> *#place #operator #new);

        let mut indices = TokenStream::new();
        let mut checks = TokenStream::new();
        let mut path = quote_spanned!(target_span=> (*#root));
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Field(member) => {
                    let span = member.span();
                    checks.extend(quote_spanned! {span=>
                        <_ as ::pobj::__private::PlainPlace<_>>::check(&raw const #path);
                    });
                    path = quote_spanned!(span=> #path.#member);
                }
                Step::Index(index) => {
                    let span = index.span();
                    let evaluated = hidden(&format!("index_{number}"), span);
                    indices.extend(quote!(let #evaluated = #index;));
                    checks.extend(quote_spanned!(span=> ::pobj::__private::indexed_place(&raw const #path);));
                    path = quote_spanned!(span=> #path[#evaluated]);
                }
            }
        }
        Some(quote! {{
            let #new = #value;
            #indices
            // SAFETY: the borrow only names a place, and the checks below hold that naming it runs no code.
            #[allow(unsafe_code)]
            let #root = unsafe { #app.__fields() };
            if false {
                #checks
            }
            #name_place #path;
            // SAFETY: the place is in the root.
            #[allow(unsafe_code)]
            unsafe { #tx.__log_place(#place) };
            // SAFETY: a place in the root, which this block borrows alone; its bytes were logged just now (I1).
            #[allow(unsafe_code)]
            unsafe { #store };
        }})
    }
}
