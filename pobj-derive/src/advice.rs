//! What to use instead of a type that cannot live in a pool.
//!
//! A derive sees names, not types. Names that mean one thing only (`String`, `&str`, `usize`) are refused at once.
//! Names that a program may well give to a type of its own (`Cell`, `File`) are left to the compiler, which knows what
//! they are, together with the advice for the case that it is the standard one.

use syn::{GenericArgument, Path, PathArguments, ReturnType, Type};

/// A type that cannot be stored, or probably cannot.
pub struct Refusal<'a> {
    /// The type at fault, perhaps inside the field's type.
    pub ty: &'a Type,
    /// Why, as the rest of a sentence whose subject is the type.
    pub why: String,
    /// What to use instead, as a whole clause.
    pub instead: String,
    /// Whether the name leaves no doubt.
    pub certain: bool,
}

impl Refusal<'_> {
    /// The message for the field `name`.
    pub fn message(&self, name: &str) -> String {
        let ty = type_text(self.ty);
        format!("field `{name}`: `{ty}` {}; {}", self.why, self.instead)
    }
}

/// A type as a person writes it, without the spaces of a token stream.
pub fn type_text(ty: &impl quote::ToTokens) -> String {
    let spaced = quote::quote!(#ty).to_string();
    let tight = [
        (" :: ", "::"),
        (":: ", "::"),
        (" ::", "::"),
        (" <", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" ,", ","),
        (" ;", ";"),
        ("& ", "&"),
        ("* ", "*"),
        ("fn (", "fn("),
        (",)", ")"),
    ];
    tight.iter().fold(spaced, |text, (from, to)| text.replace(from, to)).replace("' ", "'")
}

/// The first type in `ty` that cannot be stored.
pub fn refusal(ty: &Type) -> Option<Refusal<'_>> {
    let certainly = |why: &str, instead: &str| {
        Some(Refusal { ty, why: why.to_owned(), instead: instead.to_owned(), certain: true })
    };
    match ty {
        Type::Reference(reference) if is_str(&reference.elem) => {
            certainly("points outside the pool", "use `PString<'p>`")
        }
        Type::Reference(reference) if matches!(*reference.elem, Type::Slice(_)) => {
            certainly("points outside the pool", "use `PVec<'p, T>`")
        }
        Type::Reference(_) => certainly(
            "is a reference, which does not outlive the process",
            "use `PBox<'p, T>` to own the value, or store a key to it",
        ),
        Type::Ptr(_) => certainly(
            "is an address of this process, which means nothing in the next",
            "use `PBox<'p, T>` (owning) or `PPtr<'p, T>`",
        ),
        Type::BareFn(_) => certainly(
            "is an address of code, which changes with every build",
            "use an enum with `#[repr(u8)]` that names the choices",
        ),
        Type::Tuple(tuple) if !tuple.elems.is_empty() => certainly(
            "is a tuple, whose layout the compiler may change",
            "use a struct with `#[derive(Persistent)]` and `#[repr(C)]`",
        ),
        Type::Slice(_) => certainly("has no fixed size", "use `PVec<'p, T>` or an array"),
        Type::TraitObject(_) | Type::ImplTrait(_) => certainly(
            "is found through a table of this build's code",
            "use an enum with `#[repr(u8)]`, one variant for each type",
        ),
        Type::Never(_) => certainly("has no values", "leave the field out"),
        Type::Macro(_) | Type::Infer(_) | Type::Verbatim(_) => {
            certainly("is not spelled out", "write the type itself")
        }
        Type::Array(array) => refusal(&array.elem),
        Type::Paren(paren) => refusal(&paren.elem),
        Type::Group(group) => refusal(&group.elem),
        Type::Path(path) => named(ty, &path.path).or_else(|| inside(&path.path)),
        _ => None,
    }
}

fn is_str(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.is_ident("str"))
}

/// The first refused type among the arguments of a path.
fn inside(path: &Path) -> Option<Refusal<'_>> {
    path.segments.iter().find_map(|segment| match &segment.arguments {
        PathArguments::None => None,
        PathArguments::AngleBracketed(arguments) => {
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(ty) => refusal(ty),
                _ => None,
            })
        }
        PathArguments::Parenthesized(arguments) => match &arguments.output {
            ReturnType::Default => None,
            ReturnType::Type(_, ty) => refusal(ty),
        },
    })
}

const OUTSIDE: &str = "keeps its content outside the pool";
const SHARED: &str = "changes through a shared reference, which no transaction sees";
const WIDTH: &str = "has another size on another machine";
const COUNTED: &str = "counts its owners in memory outside the pool";
const LOCKED: &str = "holds the state of a lock, which does not outlive the process";
const ONE_WRITER: &str =
    "store the plain value and change it through `&mut`: a transaction is exclusive already";
const PLAIN: &str = "store the plain value and change it through the `&mut` that `get_mut(tx)` gives";

const CELL: &str =
    "store the plain value and change it through the `&mut` that `get_mut(tx)` gives, or use `PCell<'p, T>`";
const REF_CELL: &str = "store the plain value and change it through the `&mut` that `get_mut(tx)` gives, or use `PRefCell<'p, T>`";

/// Standard names: name, why not, what instead, and whether a program hardly ever has its own type of this name.
const NAMES: &[(&str, &str, &str, bool)] = &[
    ("String", "keeps its bytes outside the pool", "use `PString<'p>`", true),
    ("str", "has no fixed size", "use `PString<'p>`", true),
    ("OsString", "keeps its bytes outside the pool", "use `PString<'p>`", true),
    ("CString", "keeps its bytes outside the pool", "use `PString<'p>`", true),
    ("PathBuf", "keeps its bytes outside the pool", "use `PString<'p>`", true),
    ("Vec", OUTSIDE, "use `PVec<'p, T>`", true),
    ("VecDeque", OUTSIDE, "use `PVec<'p, T>`", true),
    ("Box", OUTSIDE, "use `PBox<'p, T>`", true),
    ("HashMap", OUTSIDE, "use `PHashMap<'p, K, V>`", true),
    ("HashSet", OUTSIDE, "use `PHashMap<'p, K, ()>`", true),
    ("BTreeMap", OUTSIDE, "use `PHashMap<'p, K, V>`", true),
    ("BTreeSet", OUTSIDE, "use `PHashMap<'p, K, ()>`", true),
    ("BinaryHeap", OUTSIDE, "use `PVec<'p, T>`", true),
    ("LinkedList", OUTSIDE, "use `PVec<'p, T>`, or nodes linked by `PBox<'p, T>`", true),
    ("Cow", OUTSIDE, "use the owned persistent type, such as `PString<'p>`", true),
    ("Rc", COUNTED, "use `PRc<'p, T>`", true),
    ("Arc", COUNTED, "use `PArc<'p, T>`", true),
    ("Weak", COUNTED, "use `PWeak<'p, T>` beside `PRc`, or `PArcWeak<'p, T>` beside `PArc`", false),
    ("Cell", SHARED, CELL, false),
    ("RefCell", SHARED, REF_CELL, true),
    ("UnsafeCell", SHARED, PLAIN, true),
    ("OnceCell", SHARED, PLAIN, true),
    ("OnceLock", SHARED, PLAIN, true),
    ("LazyCell", SHARED, PLAIN, true),
    ("LazyLock", SHARED, PLAIN, true),
    ("Mutex", LOCKED, ONE_WRITER, true),
    ("RwLock", LOCKED, ONE_WRITER, true),
    ("Condvar", LOCKED, "wait outside the transaction", true),
    ("usize", WIDTH, "use `u64`", true),
    ("isize", WIDTH, "use `i64`", true),
    ("File", "is a number that only this process's kernel knows", "store the path as a `PString<'p>`", false),
    (
        "Instant",
        "counts from a start that the next process does not share",
        "store a `u64` of milliseconds since `SystemTime::UNIX_EPOCH`",
        false,
    ),
    (
        "SystemTime",
        "has a layout that the standard library may change",
        "store a `u64` of milliseconds since `SystemTime::UNIX_EPOCH`",
        true,
    ),
    ("Duration", "has a layout that the standard library may change", "store a `u64` of nanoseconds", false),
    ("Range", "has a layout that the compiler may change", "store both ends as two fields", false),
    (
        "MaybeUninit",
        "may hold bytes that are no value",
        "use an enum with `#[repr(u8)]` and an empty variant",
        true,
    ),
    ("ManuallyDrop", "would leak what it owns in the pool", "store the value itself", true),
    (
        "Result",
        "has a layout that the compiler may change",
        "use an enum of your own with `#[repr(u8)]`",
        false,
    ),
];

/// Segments with which a path to a standard type begins.
const STANDARD: [&str; 3] = ["std", "core", "alloc"];

fn named<'a>(ty: &'a Type, path: &'a Path) -> Option<Refusal<'a>> {
    let (first, last) = (path.segments.first()?, path.segments.last()?);
    let name = last.ident.to_string();
    let standard = STANDARD.iter().any(|standard| first.ident == standard);
    if name == "Option" {
        return option(ty, &last.arguments);
    }
    if name.starts_with("Atomic") && name.len() > "Atomic".len() {
        let certain = path.segments.len() == 1 || standard;
        let instead = PLAIN.to_owned();
        return Some(Refusal { ty, why: SHARED.to_owned(), instead, certain });
    }
    let (_, why, instead, usual) = NAMES.iter().find(|(known, ..)| *known == name)?;
    let certain = standard || (*usual && path.segments.len() == 1);
    Some(Refusal { ty, why: (*why).to_owned(), instead: (*instead).to_owned(), certain })
}

/// Types of pobj's that are never zero.
const POINTERS: [&str; 6] = ["PBox", "PRc", "PWeak", "PArc", "PArcWeak", "PPtr"];

/// `Option` around something that does not look like a pointer or `NonZero`. Whether it is one, the compiler knows.
fn option<'a>(ty: &'a Type, arguments: &'a PathArguments) -> Option<Refusal<'a>> {
    let PathArguments::AngleBracketed(arguments) = arguments else {
        return None;
    };
    let Some(GenericArgument::Type(inner)) = arguments.args.first() else {
        return None;
    };
    if let Some(refused) = refusal(inner) {
        return Some(refused);
    }
    if let Type::Path(path) = inner
        && let Some(last) = path.path.segments.last()
        && (last.ident.to_string().starts_with("NonZero") || POINTERS.iter().any(|name| last.ident == name))
    {
        return None;
    }
    let instead = match type_text(inner).as_str() {
        integer @ ("u8" | "u16" | "u32" | "u64" | "u128" | "i8" | "i16" | "i32" | "i64" | "i128") => {
            format!("use `POption<{integer}>`, or `Option<NonZero<{integer}>>`")
        }
        other => {
            format!("use `POption<{other}>`, or `Option<PBox<'p, {other}>>`")
        }
    };
    let why =
        "has a layout that the compiler may change (fixed only around pointers and `NonZero`)".to_owned();
    Some(Refusal { ty, why, instead, certain: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn message(ty: Type) -> Option<(String, bool)> {
        refusal(&ty).map(|refused| (refused.message("name"), refused.certain))
    }

    #[test]
    fn what_can_be_stored_is_not_refused() {
        let fine: [Type; 11] = [
            parse_quote!(Option<PRc<'p, u8>>),
            parse_quote!(Option<PArcWeak<'p, u8>>),
            parse_quote!(u64),
            parse_quote!([f32; 4]),
            parse_quote!(()),
            parse_quote!(PString<'p>),
            parse_quote!(Option<PBox<'p, Node<'p>>>),
            parse_quote!(Option<NonZeroU64>),
            parse_quote!(Option<std::num::NonZero<u8>>),
            parse_quote!(PHashMap<'p, PString<'p>, PVec<'p, u8>>),
            parse_quote!(Mine),
        ];
        for ty in fine {
            let text = type_text(&ty);
            assert_eq!(message(ty), None, "{text}");
        }
    }

    #[test]
    fn a_refusal_names_the_field_the_type_and_the_replacement() {
        let expected = "field `name`: `String` keeps its bytes outside the pool; use `PString<'p>`";
        assert_eq!(message(parse_quote!(String)), Some((expected.to_owned(), true)));
        assert!(message(parse_quote!(std::string::String)).unwrap().1);
        assert!(message(parse_quote!(&'static str)).unwrap().0.contains("use `PString<'p>`"));
        assert!(message(parse_quote!((u8, u16))).unwrap().0.contains("#[repr(C)]"));
        assert!(message(parse_quote!(AtomicU64)).unwrap().0.contains("get_mut(tx)"));
    }

    #[test]
    fn a_refused_type_inside_another_is_the_one_named() {
        assert!(message(parse_quote!(PVec<'p, String>)).unwrap().0.contains("`String`"));
        assert!(message(parse_quote!([usize; 4])).unwrap().0.contains("`usize`"));
        assert!(message(parse_quote!(Option<Box<u8>>)).unwrap().0.contains("`PBox<'p, T>`"));
    }

    #[test]
    fn names_that_a_program_may_have_itself_are_left_to_the_compiler() {
        for ty in
            [parse_quote!(Cell), parse_quote!(File), parse_quote!(my::Vec<u8>), parse_quote!(Option<Mine>)]
        {
            assert!(!message(ty).unwrap().1);
        }
        assert!(message(parse_quote!(std::cell::Cell<u8>)).unwrap().1);
    }
}
