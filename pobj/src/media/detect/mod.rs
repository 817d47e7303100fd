//! What a file's medium promises: its persistence domain, and how often it lost power uncleanly.
//!
//! Three parties have a say. The **kernel** grants `MAP_SYNC` for a mapping whose stores reach persistent memory without
//! a system call, the file system's own data included; nothing less will do, and in particular not the
//! mere attribute that a file is on DAX. The **platform** says, for the region of memory behind the file's block
//! device, whether caches are persistent too. And the **caller** may force an answer, or refuse a coarse one.
//! [`decide`] is the rule, a pure function; [`probe`] asks the first two.
//!
//! All that is read lies in sysfs:
//!
//! - `dev/block/MAJOR:MINOR` leads to the block device, whose path runs through its region's directory, as in
//!   `devices/.../ndbus0/region0/namespace0.0/block/pmem0`. A device made of others (`dm-0`) names them in `slaves`.
//! - `region0/persistence_domain` is `cpu_cache`, `memory_controller`, or something else that promises nothing.
//! - `region0/mapping0` names the first module, as in `nmem0,0,8589934592,0`. Beside the region, `nmem0/nfit` (NFIT),
//!   `nmem0/cxl` (CXL) or `nmem0/papr` (POWER) has the module's `id` and its count `dirty_shutdown`.
//!
//! On an ordinary file this costs an `fstat` and a `readlink` or two.

mod regions;

use std::fs::File;
use std::path::Path;

use rustix::mm::{MapFlags, ProtFlags};

use self::regions::Regions;
use super::cpu::Cpu;
use crate::ground::domain::Domain;
use crate::ground::error::{Error, Result};

/// Where the kernel shows its devices.
const SYSFS: &str = "/sys";
/// The environment variable that forces a domain.
const DOMAIN_VARIABLE: &str = "POBJ_DOMAIN";

/// What the kernel and the platform say of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// The kernel maps the file with `MAP_SYNC`.
    pub(crate) map_sync: bool,
    /// The platform's word on the regions under the file: one of theirs if all say the same, else none.
    pub(crate) persistence_domain: Option<String>,
    /// This processor has instructions that take a line to the medium.
    pub(crate) can_flush: bool,
}

/// Asks the kernel and the platform about an open file.
pub(crate) fn probe(file: &File) -> Probe {
    probe_in(Path::new(SYSFS), file)
}

/// As [`probe`], with the platform's word from another tree.
fn probe_in(sysfs: &Path, file: &File) -> Probe {
    let map_sync = grants_map_sync(file);
    // Without it the platform has no say.
    let persistence_domain =
        if map_sync { Regions::under(sysfs, file).and_then(|it| it.persistence_domain()) } else { None };
    Probe { map_sync, persistence_domain, can_flush: Cpu::get().flushes() }
}

/// Whether the kernel maps this file with `MAP_SYNC`: tried on one page, which is never touched.
fn grants_map_sync(file: &File) -> bool {
    let len = rustix::param::page_size();
    let flags = MapFlags::SHARED_VALIDATE | MapFlags::SYNC;
    // SAFETY: a mapping at an address of the kernel's choice replaces nothing.
    let mapped = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ, flags, file, 0) };
    let Ok(start) = mapped else { return false };
    // SAFETY: the page was mapped just now, and nothing refers to it.
    let _ = unsafe { rustix::mm::munmap(start, len) };
    true
}

/// The domain of a file, or [`Error::Domain`] if it is coarser than `required`.
///
/// What is `forced` holds, whatever else is known. Otherwise it takes `MAP_SYNC` to leave [`Domain::Page`], and
/// the platform's word `cpu_cache` to reach [`Domain::Byte`].
pub(crate) fn decide(
    path: &Path,
    probe: &Probe,
    forced: Option<Domain>,
    required: Option<Domain>,
) -> Result<Domain> {
    let natural = match probe.persistence_domain.as_deref() {
        _ if !probe.map_sync => Domain::Page,
        Some("cpu_cache") => Domain::Byte,
        _ if probe.can_flush => Domain::CacheLine,
        _ => Domain::Page,
    };
    let found = forced.unwrap_or(natural);
    match required {
        Some(needed) if found > needed => Err(Error::Domain { path: path.to_owned(), needed, found }),
        _ => Ok(found),
    }
}

/// The domain that the environment forces, for callers who force none themselves.
pub(crate) fn forced_by_environment() -> Result<Option<Domain>> {
    forced_by(std::env::var_os(DOMAIN_VARIABLE).as_deref())
}

fn forced_by(name: Option<&std::ffi::OsStr>) -> Result<Option<Domain>> {
    let Some(name) = name else { return Ok(None) };
    let domain = name.to_str().and_then(|name| name.parse().ok());
    domain.map(Some).ok_or_else(|| Error::InvalidOption {
        option: DOMAIN_VARIABLE,
        reason: format!("`{}` is not byte, line or page", name.display()),
    })
}

/// A number that changes when a module under the file loses power with its stores unsaved, or when other modules are
/// under it; 0 where the platform says nothing.
///
/// A changed number is the sign that "durable" did not hold in the last power cut. A copy of the file on another
/// device has another number too.
pub(crate) fn shutdown_mark(file: &File) -> u64 {
    shutdown_mark_in(Path::new(SYSFS), file)
}

fn shutdown_mark_in(sysfs: &Path, file: &File) -> u64 {
    Regions::under(sysfs, file).map_or(0, |regions| regions.shutdown_mark())
}

#[cfg(all(test, not(miri)))]
mod tests;
