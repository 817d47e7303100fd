//! Text to index, made by copying source trees.

use std::path::{Path, PathBuf};

use crate::Result;
use crate::bench::Bench;

/// What counts as text by its name.
const EXTENSIONS: &[&str] = &["rs", "md", "toml", "txt", "c", "h", "cpp", "py", "js", "html", "json"];
/// Larger files are data rather than text.
const FILE_LEN_MAX: u64 = 1 << 20;
/// Files in one directory.
const PER_DIRECTORY: usize = 500;

/// Copies `len` bytes of text files into a directory of their own. They come from where the run says, or else from
/// the sources that cargo has downloaded and this repository; if that is too little, some of them several times.
///
/// # Errors
///
/// If there is no text, or it cannot be copied.
pub fn copy_text(bench: &Bench, len: u64) -> Result<PathBuf> {
    let mut files = Vec::new();
    for source in sources(bench) {
        list(&source, &mut files);
    }
    files.sort();
    if files.is_empty() {
        return Err("there is no text to index; name a directory with --text".into());
    }
    let target = bench.durable("text");
    let mut copied = 0;
    for (number, file) in files.iter().cycle().enumerate() {
        if copied >= len {
            break;
        }
        let directory = target.join(format!("{:04}", number / PER_DIRECTORY));
        std::fs::create_dir_all(&directory)?;
        let name = file.extension().unwrap_or_default();
        copied += std::fs::copy(file, directory.join(format!("{number:06}")).with_extension(name))?.max(1);
    }
    Ok(target)
}

fn sources(bench: &Bench) -> Vec<PathBuf> {
    if let Some(text) = bench.text() {
        return vec![text.to_owned()];
    }
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    home.map(|home| home.join("registry/src")).into_iter().chain([repository]).collect()
}

/// Adds the text files below `directory`; what cannot be read is left out.
fn list(directory: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(metadata) = entry.metadata() else { continue };
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if metadata.is_dir() && name != "target" && !name.starts_with('.') {
            list(&path, files);
        } else if metadata.is_file() && metadata.len() <= FILE_LEN_MAX {
            let known = path.extension().and_then(|extension| extension.to_str());
            if known.is_some_and(|extension| EXTENSIONS.contains(&extension)) {
                files.push(path);
            }
        }
    }
}
