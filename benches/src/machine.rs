//! The machine that figures are of, in words that a reader can compare with a machine of theirs.

use std::fs::{File, OpenOptions, read_to_string};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::bench::{Bench, file_system};
use crate::tables::quantity;
use crate::timing::median;

/// What figures depend on.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Machine {
    /// The processor's model, as the kernel names it.
    pub cpu: String,
    /// Processors that this program may use.
    pub cores: u64,
    /// Memory in GiB.
    pub memory_gib: f64,
    /// The kernel's version.
    pub kernel: String,
    /// The medium `disk`.
    pub disk: Place,
    /// The medium `memory`.
    pub memory: Place,
    /// The load of the machine over the last minute, when the run began: 0 is quiet.
    pub load: f64,
}

/// A directory for files.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Place {
    /// Its file system.
    pub file_system: String,
    /// Microseconds of a bare durable write: 4 KiB of a written-out file overwritten, and `fdatasync`; a median.
    pub sync_us: f64,
}

impl Machine {
    /// This machine, with the places of `bench`.
    ///
    /// # Errors
    ///
    /// If no file can be written there.
    pub fn here(bench: &Bench) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let kibibytes = line_of("/proc/meminfo", "MemTotal:").and_then(|line| first_number(&line));
        let load = read_to_string("/proc/loadavg").ok().and_then(|text| first_number(&text));
        Ok(Self {
            cpu: line_of("/proc/cpuinfo", "model name")
                .map_or_else(|| "unknown".into(), |line| line.trim_start_matches([':', ' ', '\t']).into()),
            cores: cores as u64,
            memory_gib: (kibibytes.unwrap_or(0.0) / f64::from(1 << 20) * 10.0).round() / 10.0,
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            disk: Place::at(&bench.durable("sync"))?,
            memory: Place::at(&bench.memory("sync"))?,
            load: load.unwrap_or(0.0),
        })
    }

    /// All of it, as a sentence or two.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!(
            "{} ({} cores, {} GiB of memory), Linux {}. Disk: {}, a durable write of 4 KiB takes {}; memory: {}. Load of \
             the machine when the run began: {}.",
            self.cpu,
            self.cores,
            self.memory_gib,
            self.kernel,
            self.disk.file_system,
            quantity(self.disk.sync_us, "us"),
            self.memory.file_system,
            self.load,
        )
    }
}

impl Place {
    /// Measures at `path`, where a file is made and removed again.
    fn at(path: &Path) -> Result<Self> {
        const BLOCKS: u64 = 64;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        std::io::Write::write_all(&mut file, &vec![1; 4096 * BLOCKS as usize])?;
        file.sync_all()?;
        let syncs = (0..BLOCKS).map(|block| {
            let start = Instant::now();
            write_block(&file, block)?;
            Ok(start.elapsed().as_secs_f64() * 1e6)
        });
        let sync_us = median(syncs.collect::<Result<_>>()?);
        let file_system = file_system(path);
        std::fs::remove_file(path)?;
        Ok(Self { file_system, sync_us: (sync_us * 10.0).round() / 10.0 })
    }
}

fn write_block(file: &File, block: u64) -> Result<()> {
    file.write_all_at(&[block as u8; 4096], block * 4096)?;
    Ok(file.sync_data()?)
}

/// What follows `name` in the first line of a file that begins with it.
pub(crate) fn line_of(path: &str, name: &str) -> Option<String> {
    let text = read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
}

/// The number that a text begins with.
pub(crate) fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a description that says nothing.
    #[test]
    fn the_machine_is_described() -> Result<()> {
        let machine = Machine::here(&Bench::new(None, None, true)?)?;
        assert!(!machine.cpu.is_empty() && !machine.cpu.starts_with(':'), "{}", machine.cpu);
        assert!(machine.cores >= 1 && machine.memory_gib > 0.1 && !machine.kernel.is_empty());
        assert!(machine.disk.sync_us > 0.0 && !machine.disk.file_system.is_empty());
        Ok(())
    }
}
