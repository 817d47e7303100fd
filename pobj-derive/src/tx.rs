//! `tx!(pool, |app, tx| { ... })`: the block as a closure, its assignments rewritten, its escapes refused.
//!
//! 1. The block's value is committed; a `?` in it returns from the closure and rolls back.
//! 2. An assignment to a place in the root logs that place only ([`crate::place`]). Everything else that changes the
//!    root goes through `DerefMut` of `TxRoot`, which logs all of it.
//! 3. Refused, wherever they would act on the block itself: `return`, `.await`, another `tx!`, and a binding that
//!    hides the root or the transaction.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::visit_mut::{self, VisitMut};
use syn::{Expr, ExprClosure, Ident, Pat, Stmt, Token, parse_quote};

use crate::place::Names;

/// What stands between the parentheses of `tx!`.
#[derive(Debug)]
pub struct Input {
    pool: Expr,
    closure: ExprClosure,
}

const SHAPE: &str = "a transaction is written `tx!(pool, |app, tx| { ... })`";

impl Parse for Input {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let pool = input.parse()?;
        input.parse::<Token![,]>().map_err(|error| syn::Error::new(error.span(), SHAPE))?;
        let closure = match input.parse()? {
            Expr::Closure(closure) => closure,
            other => return Err(syn::Error::new_spanned(other, SHAPE)),
        };
        input.parse::<Option<Token![,]>>()?;
        if !input.is_empty() {
            return Err(input.error(SHAPE));
        }
        Ok(Self { pool, closure })
    }
}

/// The transaction as an expression.
pub fn expand(input: Input) -> syn::Result<TokenStream> {
    let Input { pool, closure } = input;
    if let Some(asynchronous) = &closure.asyncness {
        return Err(syn::Error::new_spanned(asynchronous, AWAIT));
    }
    if closure.inputs.len() != 2 {
        return Err(syn::Error::new_spanned(&closure.inputs, SHAPE));
    }
    let names = Names { root: name(&closure.inputs[0], "root")?, tx: name(&closure.inputs[1], "tx")? };
    let mut body = closure.body;
    let mut rewrite = Rewrite { names: &names, enclosed: false, error: None };
    rewrite.visit_expr_mut(&mut body);
    if let Some(error) = rewrite.error {
        return Err(error);
    }
    let capture = &closure.capture;
    let (root, tx) = (&names.root, &names.tx);
    let value = Ident::new("value", Span::mixed_site());
    Ok(quote! {
        (#pool).write_fields(#capture |#root, #tx| -> ::pobj::Result<_> {
            // Either may go unused: an assignment needs no `tx` in the source.
            let _ = (&#root, &#tx);
            #[allow(unused_braces, clippy::let_unit_value)]
            let #value = #body;
            ::core::result::Result::Ok(#value)
        })
    })
}

/// The name that a parameter of the closure binds; `_` gets one that nobody can write.
fn name(pattern: &Pat, hidden: &str) -> syn::Result<Ident> {
    match pattern {
        Pat::Ident(pattern)
            if pattern.by_ref.is_none() && pattern.mutability.is_none() && pattern.subpat.is_none() =>
        {
            Ok(pattern.ident.clone())
        }
        Pat::Wild(_) => Ok(Ident::new(hidden, Span::mixed_site())),
        other => {
            Err(syn::Error::new_spanned(other, "the parameters of `tx!` are two plain names: `|app, tx|`"))
        }
    }
}

const AWAIT: &str = "a transaction holds the pool alone and cannot be suspended; \
                     await before the `tx!` and use the result inside";
const RETURN: &str = "`return` would leave only this block; end the block with its value, \
                      or abort the transaction with `Err(Error::abort(...))?`";
const NESTED: &str = "a transaction on this thread is already running here; \
                      use its `tx` and the root that you have instead of another `tx!`";

/// Rewrites the assignments of a block and finds what it may not contain.
struct Rewrite<'a> {
    names: &'a Names,
    /// Inside a closure or `async` block, whose `return` and `.await` are its own.
    enclosed: bool,
    error: Option<syn::Error>,
}

impl Rewrite<'_> {
    fn refuse(&mut self, place: &impl quote::ToTokens, what: &str) {
        let error = syn::Error::new_spanned(place, what);
        match &mut self.error {
            Some(first) => first.combine(error),
            None => self.error = Some(error),
        }
    }

    fn enclosed(&mut self, visit: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.enclosed, true);
        visit(self);
        self.enclosed = before;
    }
}

impl VisitMut for Rewrite<'_> {
    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Closure(_) | Expr::Async(_) => {
                self.enclosed(|this| visit_mut::visit_expr_mut(this, expr));
            }
            _ => visit_mut::visit_expr_mut(self, expr),
        }
        let rewritten = match expr {
            Expr::Return(returned) if !self.enclosed => {
                self.refuse(&returned.return_token, RETURN);
                None
            }
            Expr::Await(awaited) if !self.enclosed => {
                self.refuse(&awaited.await_token, AWAIT);
                None
            }
            Expr::Assign(assign) => self.names.assignment(&assign.left, &assign.right),
            Expr::Binary(binary) => match binary.op {
                syn::BinOp::AddAssign(_)
                | syn::BinOp::SubAssign(_)
                | syn::BinOp::MulAssign(_)
                | syn::BinOp::DivAssign(_)
                | syn::BinOp::RemAssign(_)
                | syn::BinOp::BitXorAssign(_)
                | syn::BinOp::BitAndAssign(_)
                | syn::BinOp::BitOrAssign(_)
                | syn::BinOp::ShlAssign(_)
                | syn::BinOp::ShrAssign(_) => self.names.compound(&binary.left, &binary.op, &binary.right),
                _ => None,
            },
            _ => None,
        };
        if let Some(rewritten) = rewritten {
            *expr = parse_quote!(#rewritten);
        }
    }

    fn visit_macro_mut(&mut self, called: &mut syn::Macro) {
        if called.path.segments.last().is_some_and(|last| last.ident == "tx") {
            self.refuse(&called.path, NESTED);
        }
    }

    fn visit_pat_ident_mut(&mut self, pattern: &mut syn::PatIdent) {
        if pattern.ident == self.names.root || pattern.ident == self.names.tx {
            let what = format!("`{}` is this block's own; give this binding another name", pattern.ident);
            self.refuse(&pattern.ident, &what);
        }
        visit_mut::visit_pat_ident_mut(self, pattern);
    }

    fn visit_stmt_mut(&mut self, statement: &mut Stmt) {
        // Items inside the block see neither of its names.
        if !matches!(statement, Stmt::Item(_)) {
            visit_mut::visit_stmt_mut(self, statement);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(source: &str) -> String {
        let input: Input = syn::parse_str(source).unwrap();
        let tokens = expand(input).unwrap();
        syn::parse2::<Expr>(tokens.clone()).unwrap();
        tokens.to_string()
    }

    fn refused(source: &str) -> Vec<String> {
        match syn::parse_str::<Input>(source).and_then(expand) {
            Ok(tokens) => panic!("{tokens}"),
            Err(error) => error.into_iter().map(|error| error.to_string()).collect(),
        }
    }

    #[test]
    fn assignments_to_fields_of_the_root_log_the_field() {
        for body in ["app.hits = 1", "app.hits += 1", "app.a.b.0 = 1", "(app.a).b <<= 1", "app.list[3].x = 1"]
        {
            let text = expanded(&format!("pool, |app, tx| {{ {body}; }}"));
            assert_eq!(text.matches("__log_place").count(), 1, "{body}");
            assert_eq!(text.matches("__fields").count(), 1, "{body}");
        }
    }

    #[test]
    fn everything_else_is_left_alone() {
        for body in [
            "x = 1",
            "other.hits = 1",
            "*app.head() = 1",
            "app.head().x = 1",
            "*app = y",
            "app.a == 1",
            "f(&mut app.a)",
        ] {
            let text = expanded(&format!("pool, |app, tx| {{ {body}; }}"));
            assert!(!text.contains("__log_place"), "{body}");
        }
    }

    #[test]
    fn the_value_of_an_assignment_is_checked() {
        assert!(expanded("pool, |app, tx| app.name = text").contains("stored (text)"));
        assert!(!expanded("pool, |app, tx| app.name += text").contains("stored"));
    }

    #[test]
    fn assignments_deep_inside_are_found() {
        let text = expanded(
            "&self.pool, move |app, _| { for i in 0..3 { if x { (0..i).for_each(|i| app.a[i] = i) } } app.n }",
        );
        assert_eq!(text.matches("__log_place").count(), 1);
        assert!(text.contains("move | app"));
    }

    #[test]
    fn escapes_are_refused() {
        for (body, what) in [
            ("return 1", RETURN),
            ("if x { return; }", RETURN),
            ("f().await", AWAIT),
            ("tx!(pool, |a, b| {})", NESTED),
            ("pobj::tx!(pool, |a, b| {})?", NESTED),
        ] {
            assert_eq!(refused(&format!("pool, |app, tx| {{ {body} }}")), [what], "{body}");
        }
        assert_eq!(refused("pool, |app, tx| { return 1; f().await }").len(), 2);
        assert!(refused("pool, |app, tx| { let app = 1; }")[0].contains("another name"));
        assert_eq!(refused("pool, |app| {}"), [SHAPE]);
        assert_eq!(refused("pool, 3"), [SHAPE]);
        assert_eq!(refused("pool"), [SHAPE]);
        assert_eq!(refused("pool, async |app, tx| {}"), [AWAIT]);
    }

    #[test]
    fn a_closure_inside_may_return_and_an_async_block_may_await() {
        expanded("pool, |app, tx| { let f = |x| { return x; }; f(1) }");
        expanded("pool, |app, tx| { let later = async { other().await }; }");
        expanded("pool, |app, tx| { fn helper() -> u8 { return 1; } helper() }");
    }
}
