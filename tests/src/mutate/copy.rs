//! The workspace written anew, with each place in a scope of its own, and built.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use super::Place;

/// The copy.
#[derive(Debug)]
pub struct Copy {
    root: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// Makes or renews the copy of the workspace at `from`.
    ///
    /// # Errors
    ///
    /// What reading and writing files returns.
    pub fn make(from: &Path, places: &[Place]) -> io::Result<Self> {
        let copy =
            Self { root: from.join("target/mutate/workspace"), target: from.join("target/mutate/built") };
        let mut files: HashMap<PathBuf, Vec<&Place>> = HashMap::new();
        for place in places {
            files.entry(Path::new("pobj/src").join(&place.file)).or_default().push(place);
        }
        copy.folder(from, Path::new(""), &files)?;
        Ok(copy)
    }

    fn folder(&self, from: &Path, below: &Path, places: &HashMap<PathBuf, Vec<&Place>>) -> io::Result<()> {
        fs::create_dir_all(self.root.join(below))?;
        for entry in fs::read_dir(from.join(below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if entry.file_type()?.is_dir() {
                if !hidden && path != Path::new("target") && entry.file_name() != "evidence" {
                    self.folder(from, &path, places)?;
                }
                continue;
            }
            let mut bytes = fs::read(entry.path())?;
            if let Some(places) = places.get(&path) {
                bytes = rewritten(&String::from_utf8_lossy(&bytes), places).into_bytes();
            }
            // What is the same is not built again.
            let target = self.root.join(&path);
            if fs::read(&target).ok().as_ref() != Some(&bytes) {
                fs::write(target, bytes)?;
            }
        }
        Ok(())
    }

    /// Builds these suites, the programs of their package and pobj's unit tests, and gives the executables by name.
    ///
    /// # Errors
    ///
    /// If it cannot be built.
    pub fn build(&self, suites: &[&str]) -> io::Result<HashMap<String, PathBuf>> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root).stderr(Stdio::inherit());
        cargo.args([
            "test",
            "--release",
            "--no-run",
            "-q",
            "-p",
            "tests",
            "-p",
            "pobj",
            "--lib",
            "--message-format",
            "json",
        ]);
        cargo.args(suites.iter().flat_map(|suite| ["--test", suite]));
        cargo.env("CARGO_TARGET_DIR", &self.target).env("CARGO_PROFILE_RELEASE_DEBUG", "0");
        // Built more often than it is run for long.
        cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_INCREMENTAL", "1");
        cargo.env("RUSTFLAGS", "-Awarnings").env_remove("POBJ_PLANT");
        let output = cargo.output()?;
        if !output.status.success() {
            return Err(io::Error::other("the copy of the workspace does not build"));
        }
        let mut built = HashMap::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            let (name, file) = (&message["target"]["name"], &message["executable"]);
            if let (Some(name), Some(file)) = (name.as_str(), file.as_str()) {
                built.insert(name.to_owned(), PathBuf::from(file));
            }
        }
        Ok(built)
    }

    /// Where the suites run.
    #[must_use]
    pub fn tests(&self) -> PathBuf {
        self.root.join("tests")
    }
}

/// `text` with each place in a scope of its own. Places may lie inside each other.
fn rewritten(text: &str, places: &[&Place]) -> String {
    // What is put before each byte: what ends there, the inner first, and then what begins there, the outer first.
    let mut ends: HashMap<usize, Vec<(usize, &str)>> = HashMap::new();
    let mut begins: HashMap<usize, Vec<(usize, String)>> = HashMap::new();
    for place in places {
        let is_statement = place.code.ends_with(';');
        let (open, close) = if is_statement { ("{", "}}") } else { ("({", "}})") };
        let scope = format!(
            "{open} let __place = crate::media::sim::place::at({}); if __place.gone() {{ {} }} else {{ ",
            place.number, place.instead
        );
        begins.entry(place.bytes.start).or_default().push((place.bytes.end, scope));
        ends.entry(place.bytes.end).or_default().push((place.bytes.start, close));
    }
    let mut out = String::with_capacity(text.len() * 2);
    for (at, char) in text.char_indices() {
        if let Some(ends) = ends.get_mut(&at) {
            ends.sort_by_key(|(start, _)| std::cmp::Reverse(*start));
            ends.iter().for_each(|(_, close)| out.push_str(close));
        }
        if let Some(begins) = begins.get_mut(&at) {
            begins.sort_by_key(|(end, _)| std::cmp::Reverse(*end));
            begins.iter().for_each(|(_, open)| out.push_str(open));
        }
        out.push(char);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn places_inside_each_other_stay_so() {
        let place = |number, bytes: std::ops::Range<usize>, code: &str| Place {
            number,
            kind: Kind::Test,
            file: String::new(),
            line: 1,
            function: String::new(),
            code: code.to_owned(),
            bytes,
            instead: "x".to_owned(),
        };
        let text = "f(a + b);";
        let (outer, inner) = (place(1, 2..7, "a + b"), place(2, 6..7, "b"));
        let scope = |n| {
            format!("({{ let __place = crate::media::sim::place::at({n}); if __place.gone() {{ x }} else {{ ")
        };
        let expected = format!("f({}a + {}b}}}})}}}}));", scope(1), scope(2));
        assert_eq!(rewritten(text, &[&outer, &inner]), expected);
    }
}
