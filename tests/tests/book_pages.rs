//! The book's pages that quote: the messages of the compiler, and the chapters that build a structure in an empty folder.
//! Would catch a message that has changed while its page has not, and a chapter that a reader cannot follow.
//!
//! `cargo test -p tests --test book_pages -- --ignored` does what the chapters say in an empty folder: it writes the files
//! from what the pages show, and runs their tests and their program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn page(name: &str) -> String {
    fs::read_to_string(repository().join("book/src").join(name)).expect("a page")
}

/// The code blocks of a page: what is written behind the fence, and the lines that a reader sees.
fn blocks(page: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, Vec<String>)> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) => open = Some((kind.to_owned(), Vec::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((kind, lines)), None) => {
                let hidden = kind.starts_with("rust") && (line == "#" || line.starts_with("# "));
                if !hidden {
                    lines.push(line.to_owned());
                }
            }
            (None, None) => {}
        }
    }
    blocks
}

#[test]
fn the_messages_on_the_page_are_those_of_the_compiler() {
    let messages: Vec<Vec<String>> = fs::read_dir(repository().join("tests/ui"))
        .expect("the programs that must not compile")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "stderr"))
        .map(|path| fs::read_to_string(path).expect("a message").lines().map(str::to_owned).collect())
        .collect();
    let quoted = blocks(&page("errors.md")).into_iter().filter(|(kind, _)| kind == "text");
    let mut count = 0;
    for (_, lines) in quoted {
        let known = messages.iter().any(|message| {
            message.first() == lines.first() && lines.iter().all(|line| message.contains(line))
        });
        assert!(known, "no file of tests/ui has this message:\n{}", lines.join("\n"));
        count += 1;
    }
    assert!(count > 50, "{count} messages");
}

/// The part of `text` from the line that begins with `from` up to the one that begins with `to`.
fn part<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let start = text.find(from).expect("the beginning of the part");
    &text[start..start + text[start..].find(to).expect("the end of the part")]
}

/// Each file that these pages have a reader write.
fn files_of(pages: &[&str]) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for name in pages {
        for (_, lines) in blocks(&page(name)) {
            let Some(place) =
                lines.first().and_then(|line| line.trim_start_matches("# ").strip_prefix("// "))
            else {
                continue;
            };
            let (file, _) = place.split_once(',').unwrap_or((place, ""));
            let text = lines[1..].join("\n") + "\n";
            let crash = files.get("tests/crash.rs").cloned();
            match (file.strip_prefix("tests/crash_").and_then(|rest| rest.strip_suffix(".rs")), crash) {
                (Some(structure), Some(crash)) => {
                    files.insert(file.to_owned(), crash_test_of(&crash, structure, &text));
                }
                _ => *files.entry(file.to_owned()).or_default() += &text,
            }
        }
    }
    files
}

/// The crash test of the list, changed as the chapters of the tree and of the map say.
fn crash_test_of(list: &str, structure: &str, parts: &str) -> String {
    let name = match structure {
        "tree" => "tree::Tree",
        _ => "map::Map",
    };
    let root = part(list, "#[derive(Persistent, Default)]", "fn options()");
    let work = part(list, "/// Transaction number", "fn cut_the_power");
    let (new_root, new_work) = parts.split_at(parts.find("/// Transaction number").expect("the work"));
    list.replace(root, &format!("{new_root}\n"))
        .replace(work, &format!("{new_work}\n"))
        .replace("list::List", name)
        .replace("std::collections::HashSet", "std::collections::{BTreeMap, HashSet}")
        .replace("vec![Vec::new()]", "vec![BTreeMap::new()]")
}

fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", repository().join("target/book-chapters"))
        .output()
        .expect("cargo");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "cargo {arguments:?}:\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// A new package in an empty folder, with the files and the manifest of these pages.
fn package_of(name: &str, pages: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files_of(pages) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let listed = blocks(&page(pages[0]));
    let (_, manifest) = listed.iter().find(|(kind, _)| kind == "toml").expect("the manifest");
    let pobj = repository().join("pobj").display().to_string();
    let manifest = manifest.join("\n").replace("../pobj/pobj", &pobj);
    let package =
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n");
    fs::write(folder.path().join("Cargo.toml"), format!("{package}\n{manifest}\n")).expect("the manifest");
    fs::copy(repository().join("Cargo.lock"), folder.path().join("Cargo.lock")).expect("the versions");
    folder
}

#[test]
#[ignore = "builds pobj once more: minutes"]
fn the_chapters_work_in_an_empty_folder() {
    let pages = ["build_list.md", "build_tree.md", "build_map.md"];
    let files = files_of(&pages);
    for name in ["src/list.rs", "src/tree.rs", "src/map.rs", "tests/crash_map.rs", "src/bin/notes.rs"] {
        assert!(files.contains_key(name), "no page has {name}");
    }
    let folder = package_of("structures", &pages);
    print!("{}", cargo(folder.path(), &["test", "--offline", "--", "--nocapture"]));
    cargo(folder.path(), &["run", "--offline", "--bin", "notes", "--", "milk", "bread"]);
    let printed = cargo(folder.path(), &["run", "--offline", "--bin", "notes", "--", "tea"]);
    assert_eq!(printed, "tea\nbread\nmilk\n");
}

#[test]
#[ignore = "builds pobj once more: minutes"]
fn the_tour_works_in_an_empty_folder() {
    let folder = package_of("tasks", &["tour.md"]);
    let printed = cargo(folder.path(), &["run", "--offline"]);
    let tour = blocks(&page("tour.md"));
    let (_, shown) = tour.iter().rfind(|(kind, _)| kind == "text").expect("what the program prints");
    let expected = shown.join("\n") + "\n";
    assert_eq!(printed, expected);
}
