//! Finds the places: calls by their names, and the edits by their text.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::{EDITS, Kind, Place};

/// The floors above the medium. Below it the simulator sees nothing.
const FLOORS: [&str; 8] = ["journal", "heap", "pool", "tx", "typed", "log", "kv", "blk"];

/// Calls of a medium.
const OF_MEDIA: [(&str, Kind); 8] = [
    ("sync", Kind::Barrier),
    ("sync_len", Kind::Barrier),
    ("fence", Kind::Barrier),
    ("publish", Kind::Barrier),
    ("flush", Kind::Flush),
    ("write_durable", Kind::Durable),
    ("write_ordered", Kind::Ordered),
    ("write", Kind::Write),
];

/// Calls of pobj's own functions that end in one of those, by name, and what stands there without them.
const OF_POBJ: [(&str, Kind, &str); 18] = [
    ("sync_medium", Kind::Barrier, "Ok(())"),
    ("sync_len", Kind::Barrier, "Ok(())"),
    ("fence", Kind::Barrier, "Ok(())"),
    ("sync", Kind::Barrier, "Ok(())"),
    ("settle_words", Kind::Barrier, "Ok(())"),
    ("wait_durable", Kind::Barrier, "Ok(())"),
    ("fence_record", Kind::Barrier, "Ok(())"),
    ("wait_written", Kind::Barrier, "Ok(())"),
    ("settle", Kind::Barrier, "Ok(())"),
    ("flush_lines", Kind::Flush, "Ok(())"),
    ("flush_all", Kind::Flush, "Ok(())"),
    ("owe_flush", Kind::Flush, "()"),
    // These wait for what others do, or have a checkpoint made whose own barriers are places too.
    ("wait_fenced", Kind::Order, "Ok(())"),
    ("check_durable", Kind::Order, "Ok(())"),
    ("settle_spills", Kind::Order, "Ok(())"),
    ("file_records", Kind::Order, "Ok(())"),
    ("store_over_clean", Kind::Durable, "STORE"),
    ("close_block", Kind::Order, "()"),
];

/// All places, in the order of the files.
///
/// # Panics
///
/// If the sources cannot be read, or an edit does not stand exactly once where it should.
#[must_use]
pub fn find(sources: &Path) -> Vec<Place> {
    let mut found = Vec::new();
    for path in files(sources) {
        let text = fs::read_to_string(&path).expect("a source file");
        let file = path.strip_prefix(sources).expect("below").to_string_lossy().into_owned();
        let above = FLOORS.iter().any(|floor| file.starts_with(&format!("{floor}/")));
        let mut here = Vec::new();
        if above {
            let mut finder = Finder { file: &file, text: &text, function: String::new(), found: &mut here };
            finder.visit_file(&syn::parse_file(&text).expect("Rust"));
        }
        for edit in EDITS.iter().filter(|edit| edit.file == file) {
            here.push(place_of(edit, &text));
        }
        here.sort_by_key(|place| (place.bytes.start, std::cmp::Reverse(place.bytes.end)));
        found.extend(here);
    }
    let edits = found.iter().filter(|place| place.kind == Kind::Test).count();
    assert_eq!(edits, EDITS.len(), "an edit names a file that is not there");
    found.iter_mut().enumerate().for_each(|(number, place)| place.number = number);
    found
}

fn place_of(edit: &super::Edit, text: &str) -> Place {
    let (before, rest) = edit.code.split_once("@{").unwrap_or(("", edit.code));
    let (code, behind) = rest.split_once("}@").unwrap_or((rest, ""));
    let whole = [before, code, behind].concat();
    let at: Vec<usize> = code_of(text).match_indices(&whole).map(|(at, _)| at + before.len()).collect();
    let [start] = at.as_slice() else {
        panic!("{}: `{whole}` stands there {} times: correct the list of edits", edit.file, at.len());
    };
    let before = &text[..*start];
    let function = before.rsplit("fn ").next().and_then(|rest| rest.split(['(', '<']).next()).unwrap_or("");
    Place {
        number: 0,
        kind: Kind::Test,
        file: edit.file.to_owned(),
        line: 1 + before.matches('\n').count(),
        function: function.to_owned(),
        code: one_line(code),
        bytes: *start..start + code.len(),
        instead: edit.instead.to_owned(),
    }
}

/// The text before the unit tests.
fn code_of(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

fn files(under: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![under.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the sources").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            match path.is_dir() {
                true if name != "tests" && name != "sim" => folders.push(path),
                false if name != "tests.rs" && path.extension().is_some_and(|e| e == "rs") => {
                    files.push(path)
                }
                _ => {}
            }
        }
    }
    files.sort();
    files
}

fn one_line(code: &str) -> String {
    code.split_whitespace().collect::<Vec<_>>().join(" ").replace(" .", ".").replace("( ", "(")
}

struct Finder<'f> {
    file: &'f str,
    text: &'f str,
    function: String,
    found: &'f mut Vec<Place>,
}

impl Finder<'_> {
    fn enter(&mut self, name: &syn::Ident, inside: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.function, name.to_string());
        inside(self);
        self.function = outer;
    }

    fn add(&mut self, kind: Kind, bytes: Range<usize>, line: usize, instead: String) {
        let code = one_line(&self.text[bytes.clone()]);
        let (file, function) = (self.file.to_owned(), self.function.clone());
        self.found.push(Place { number: 0, kind, file, line, function, code, bytes, instead });
    }
}

/// Whether a receiver is a medium: a variable or a field of that name.
fn is_media(receiver: &syn::Expr) -> bool {
    match receiver {
        syn::Expr::Field(field) => matches!(&field.member, syn::Member::Named(name) if name == "media"),
        syn::Expr::Path(path) => path.path.is_ident("media"),
        _ => false,
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string().contains("test"))
    })
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            self.enter(&item.sig.ident, |inside| visit::visit_item_fn(inside, item));
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            self.enter(&item.sig.ident, |inside| visit::visit_impl_item_fn(inside, item));
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let name = call.method.to_string();
        let bytes = call.span().byte_range();
        let line = call.method.span().start().line;
        if is_media(&call.receiver) {
            if let Some((_, kind)) = OF_MEDIA.iter().find(|(known, _)| *known == name) {
                let method = call.method.span().byte_range();
                let instead = match kind {
                    Kind::Durable => {
                        format!(
                            "{}write{}",
                            &self.text[bytes.start..method.start],
                            &self.text[method.end..bytes.end]
                        )
                    }
                    _ => "Ok(())".to_owned(),
                };
                self.add(*kind, bytes, line, instead);
            }
        } else if let Some((_, kind, instead)) = OF_POBJ.iter().find(|(known, ..)| *known == name) {
            let instead = match *instead {
                "STORE" => self.text[bytes.clone()].replace("store_over_clean", "store"),
                instead => instead.to_owned(),
            };
            self.add(*kind, bytes, line, instead);
        }
        visit::visit_expr_method_call(self, call);
    }
}

/// Lines that look like places and are none: what the lists forgot.
///
/// # Panics
///
/// If the sources cannot be read.
#[must_use]
pub fn uncovered(sources: &Path, places: &[Place]) -> Vec<String> {
    let mut lines: BTreeMap<&str, Vec<Range<usize>>> = BTreeMap::new();
    for place in places {
        lines.entry(&place.file).or_default().push(place.bytes.clone());
    }
    let mut complaints = Vec::new();
    for path in files(sources) {
        let file = path.strip_prefix(sources).expect("below").to_string_lossy().into_owned();
        if file.starts_with("media/") || file.starts_with("pmem/") || file.starts_with("ground/") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        let mut at = 0;
        for (number, line) in code_of(&text).split_inclusive('\n').enumerate() {
            let here = at..at + line.len();
            at = here.end;
            if line.trim_start().starts_with("//") || !looks_like_a_place(line) {
                continue;
            }
            let covered = lines.get(file.as_str()).is_some_and(|places| {
                places.iter().any(|place| place.start < here.end && here.start < place.end)
            });
            if !covered {
                complaints.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    complaints
}

fn looks_like_a_place(line: &str) -> bool {
    let of_media = OF_MEDIA.iter().any(|(name, _)| line.contains(&format!("media.{name}(")));
    let sum = ["checksum(", ".sum(", "_checksum", ".checksum", "salt", "epoch", "sequence"];
    let compares = line.contains("==") || line.contains("!=");
    of_media || (compares && sum.iter().any(|word| line.contains(word)))
}
