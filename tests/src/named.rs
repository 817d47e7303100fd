//! Lists of what is known, each entry with its reason: `path | part | ... | reason`, one to a line. An entry that fits nothing
//! is as wrong as one that is not there.

use std::fs;
use std::path::Path;

/// A list, and which of its entries were of use.
#[derive(Debug)]
pub struct Names(Vec<Name>);

#[derive(Debug)]
struct Name {
    path: String,
    parts: Vec<String>,
    used: bool,
}

impl Names {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or a line has not `parts` parts between the path and the reason.
    pub fn read(path: &Path, parts: usize) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text, parts).map_err(|wrong| format!("{}, {wrong}", path.display()))
    }

    /// Reads the text of a list.
    ///
    /// # Errors
    ///
    /// Where a line has not `parts` parts between the path and the reason.
    pub fn parse(text: &str, parts: usize) -> Result<Self, String> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let names = lines.map(|(number, line)| match line.split(" | ").collect::<Vec<_>>()[..] {
            [path, ref between @ .., reason] if between.len() == parts && !reason.is_empty() => {
                let parts = between.iter().map(|part| (*part).to_owned()).collect();
                Ok(Name { path: path.to_owned(), parts, used: false })
            }
            _ => Err(format!("line {}: not a path, {parts} part(s) and a reason", number + 1)),
        });
        names.collect::<Result<_, _>>().map(Self)
    }

    /// Whether something is in the list: its path is an entry's, and each of `texts` contains that entry's part.
    pub fn has(&mut self, path: &str, texts: &[&str]) -> bool {
        let fits = |name: &&mut Name| {
            name.path == path && name.parts.iter().zip(texts).all(|(part, text)| text.contains(part.as_str()))
        };
        self.0.iter_mut().find(fits).map(|name| name.used = true).is_some()
    }

    /// Entries that were of no use.
    pub fn unused(&self) -> impl Iterator<Item = String> {
        let unused = self.0.iter().filter(|name| !name.used);
        unused.map(|name| format!("{}: {}", name.path, name.parts.join(" | ")))
    }
}
