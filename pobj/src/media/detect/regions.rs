//! The regions of persistent memory under a file, and what sysfs says of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{fstat, major, minor};

use crate::ground::checksum::checksum;

/// How deep devices made of devices are followed.
const DEPTH_MAX: usize = 8;
/// Where a module keeps its own attributes, by the kind of its bus.
const MODULE_KINDS: [&str; 3] = ["nfit", "cxl", "papr"];

/// The directories of the regions under one file, at least one.
pub(super) struct Regions(Vec<PathBuf>);

impl Regions {
    /// Finds them by the device that holds the file. None if any part of that device is no persistent memory.
    pub(super) fn under(sysfs: &Path, file: &File) -> Option<Self> {
        let device = fstat(file).ok()?.st_dev;
        let link = sysfs.join(format!("dev/block/{}:{}", major(device), minor(device)));
        let mut found = Vec::new();
        collect(&link, 0, &mut found)?;
        found.sort();
        found.dedup();
        (!found.is_empty()).then_some(Self(found))
    }

    /// What all regions say of their persistence domain.
    pub(super) fn persistence_domain(&self) -> Option<String> {
        let mut words = self.0.iter().map(|region| attribute(&region.join("persistence_domain")));
        let first = words.next()??;
        words.all(|word| word.as_ref() == Some(&first)).then_some(first)
    }

    /// A hash of every module's identity and count of unsafe shutdowns, never 0; or 0 if not all have a count.
    pub(super) fn shutdown_mark(&self) -> u64 {
        let mut text = String::new();
        for region in &self.0 {
            let Some(modules) = modules(region) else { return 0 };
            for module in modules {
                let Some((identity, count)) = unsafe_shutdowns(&module) else { return 0 };
                text.push_str(&format!("{identity}={count}\n"));
            }
        }
        checksum(0, text.as_bytes()).max(1)
    }
}

/// Adds the regions under the block device that `link` leads to; none if there is something else under it.
fn collect(link: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Option<()> {
    let target = link.parent()?.join(fs::read_link(link).ok()?);
    if let Some(region) = target.ancestors().find(|it| is_numbered(it, "region")) {
        found.push(region.to_owned());
        return Some(());
    }
    if depth == DEPTH_MAX || !target.components().any(|part| part.as_os_str() == "virtual") {
        return None;
    }
    // A partition of such a device has its directory inside the device's.
    let parts = [target.as_path(), target.parent()?]
        .into_iter()
        .find_map(|it| fs::read_dir(it.join("slaves")).ok())?;
    let mut any = None;
    for part in parts {
        any = Some(collect(&part.ok()?.path(), depth + 1, found)?);
    }
    any
}

/// Whether the path's last name is `name` and a number.
fn is_numbered(path: &Path, name: &str) -> bool {
    let number = path.file_name().and_then(|it| it.to_str()).and_then(|it| it.strip_prefix(name));
    number.is_some_and(|it| !it.is_empty() && it.bytes().all(|digit| digit.is_ascii_digit()))
}

/// The directories of the modules that a region is spread over, at least one.
fn modules(region: &Path) -> Option<Vec<PathBuf>> {
    let mut found = Vec::new();
    while let Some(mapping) = attribute(&region.join(format!("mapping{}", found.len()))) {
        let module = region.parent()?.join(mapping.split(',').next()?);
        if !is_numbered(&module, "nmem") {
            return None;
        }
        found.push(module);
    }
    (!found.is_empty()).then_some(found)
}

/// A module's identity and its count of unsafe shutdowns.
fn unsafe_shutdowns(module: &Path) -> Option<(String, u64)> {
    MODULE_KINDS.iter().find_map(|kind| {
        let attributes = module.join(kind);
        let count = number(&attribute(&attributes.join("dirty_shutdown"))?)?;
        // The kernel hides the count where the module has none; an identity is always there.
        Some((attribute(&attributes.join("id"))?, count))
    })
}

/// Decimal, or hexadecimal after `0x`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// One line of sysfs, without its end.
fn attribute(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
