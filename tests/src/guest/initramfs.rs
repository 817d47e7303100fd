//! The guest's files: an archive in the kernel's own format (cpio, "newc"), with programs, the libraries that they are linked
//! with, and the modules of a kernel in the order in which they are to be loaded.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules that the guest needs where its kernel has them as such; what they depend on comes with them.
const MODULES: [&str; 9] = [
    "crc32c_generic",
    "crc32c-intel",
    "nfit",
    "nd_pmem",
    "virtio_pci",
    "virtio_pmem",
    "ext4",
    "xfs",
    "dax_pmem",
];

/// An archive in the making.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    directories: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
}

impl Archive {
    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) {
        let name = path.strip_prefix("/").unwrap_or(path).to_str().expect("a name of ours").to_owned() + "\0";
        let inode = self.files.len() + self.directories.len() + 1;
        self.bytes.extend_from_slice(b"070701");
        for field in [inode, mode as usize, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len(), 0] {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn parents(&mut self, path: &Path) {
        let Some(parent) = path.parent().filter(|parent| *parent != Path::new("/")) else { return };
        if !self.directories.contains(parent) {
            self.parents(parent);
            self.entry(parent, 0o040_755, b"");
            self.directories.insert(parent.to_owned());
        }
    }

    /// Adds an empty directory.
    pub fn directory(&mut self, path: &str) {
        self.parents(&Path::new(path).join("inside"));
    }

    fn file(&mut self, path: &Path, mode: u32, content: &[u8]) {
        if self.files.contains(path) {
            return;
        }
        self.parents(path);
        self.entry(path, 0o100_000 | mode, content);
        self.files.insert(path.to_owned());
    }

    /// Adds a program as `path`, without what only a debugger reads, and the libraries that it is linked with.
    ///
    /// # Errors
    ///
    /// What cannot be read.
    pub fn program(&mut self, program: &Path, path: &str) -> Result<(), String> {
        let say = |error: std::io::Error| format!("{}: {error}", program.display());
        let stripped = std::env::temp_dir().join(format!("pobj-guest-{}", std::process::id()));
        let strip = Command::new("strip").arg("-o").args([&stripped, program]).status();
        let small = strip.is_ok_and(|status| status.success());
        let content = fs::read(if small { &stripped } else { program }).map_err(say)?;
        let _ = fs::remove_file(&stripped);
        self.file(Path::new(path), 0o755, &content);
        let libraries = Command::new("ldd").arg(program).output().map_err(say)?;
        for line in String::from_utf8_lossy(&libraries.stdout).lines() {
            // `libc.so.6 => /lib/.../libc.so.6 (0x...)`, or `/lib64/ld-linux-x86-64.so.2 (0x...)`.
            let Some(library) = line.split_whitespace().find(|word| word.starts_with('/')) else { continue };
            let library = Path::new(library);
            self.file(library, 0o755, &fs::read(library).map_err(say)?);
        }
        Ok(())
    }

    /// Adds the modules, numbered in the order of loading.
    ///
    /// # Errors
    ///
    /// What cannot be read.
    pub fn modules(&mut self, kernel: &Path) -> Result<(), String> {
        let all = modules_under(&kernel.join("lib/modules"))?;
        let mut order = Vec::new();
        for name in MODULES {
            in_order(&all, name, &mut order)?;
        }
        for (number, module) in order.iter().enumerate() {
            let content = fs::read(module).map_err(|error| format!("{}: {error}", module.display()))?;
            self.file(Path::new(&format!("/modules/{number:03}.ko")), 0o644, &content);
        }
        Ok(())
    }

    /// Writes the archive.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(mut self, path: &Path) -> Result<(), String> {
        self.entry(Path::new("TRAILER!!!"), 0, b"");
        let say = |error: std::io::Error| format!("{}: {error}", path.display());
        fs::write(path, &self.bytes).map_err(say)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(say)
    }
}

/// The name by which modules call a module: `nd-pmem.ko` is `nd_pmem`.
fn name_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.strip_suffix(".ko")?.replace('-', "_"))
}

fn modules_under(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let kind = entry.file_type().map_err(|error| error.to_string())?;
        match kind.is_dir() {
            true => found.extend(modules_under(&entry.path())?),
            false => found.extend(name_of(&entry.path()).map(|_| entry.path())),
        }
    }
    Ok(found)
}

/// Appends a module after those that it depends on; one that the kernel does not have is part of it.
fn in_order(all: &[PathBuf], name: &str, order: &mut Vec<PathBuf>) -> Result<(), String> {
    let name = name.replace('-', "_");
    let Some(path) = all.iter().find(|path| name_of(path).as_deref() == Some(&*name)) else { return Ok(()) };
    if order.contains(path) {
        return Ok(());
    }
    let content = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    for needed in depends(&content).split(',').filter(|needed| !needed.is_empty()) {
        in_order(all, needed, order)?;
    }
    order.push(path.clone());
    Ok(())
}

/// The line `depends=a,b` among a module's information.
fn depends(module: &[u8]) -> String {
    let key = b"\0depends=";
    let Some(at) = module.windows(key.len()).position(|window| window == key) else { return String::new() };
    let value = module[at + key.len()..].iter().take_while(|byte| **byte != 0);
    value.map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_directories_before_files_and_each_once() {
        let mut archive = Archive::default();
        archive.file(Path::new("/a/b/c"), 0o644, b"12345");
        archive.file(Path::new("/a/b/c"), 0o644, b"12345");
        archive.directory("/a/d");
        assert_eq!(archive.bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&archive.bytes);
        let places: Vec<_> =
            ["a\0", "a/b\0", "a/b/c\0", "12345", "a/d\0"].iter().map(|name| text.find(name)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
        assert_eq!(text.matches("070701").count(), 4);
    }

    #[test]
    fn a_module_says_what_it_depends_on() {
        assert_eq!(depends(b"x\0depends=jbd2,crc16\0intree=Y\0"), "jbd2,crc16");
        assert_eq!(depends(b"x\0depends=\0"), "");
        assert_eq!(depends(b"nothing"), "");
    }
}
