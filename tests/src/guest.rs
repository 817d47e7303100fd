//! Real persistent memory, as far as one machine can give it to itself: a guest of QEMU whose NVDIMM is a file of the host,
//! with ext4 and XFS mounted by DAX on it. There the kernel grants `MAP_SYNC`, so the library is on its own: no forced
//! domain, no page cache. [`host`] starts guests and kills them, [`init`] is the guest's first and only program, and
//! [`initramfs`] is what the two have in common.
//!
//! A killed guest loses what its kernel had not put on the medium, file lengths and names included, and no store: the
//! caches of its processors are the host's. Which stores a cache may lose is what the simulator is for (R1).

pub mod host;
pub mod init;
pub mod initramfs;

use crate::kill::{Facility, Mark, Marks};
use crate::workload::KillMode;

/// A file that is worked on in each boot of the guest: which file system's, and how.
pub const LANES: [(usize, Facility, KillMode); 7] = [
    (0, Facility::Heap, KillMode::Dax),
    (0, Facility::Hash, KillMode::DaxInPlace),
    (0, Facility::Log, KillMode::Dax),
    (0, Facility::Shared, KillMode::Dax),
    (1, Facility::Heap, KillMode::DaxInPlace),
    (1, Facility::Ordered, KillMode::Dax),
    (1, Facility::Blocks, KillMode::DaxInPlace),
];

/// `G.N,G.N,G.N,G.N`.
#[must_use]
pub fn written(marks: &Marks) -> String {
    let marks: Vec<_> = marks.iter().map(|mark| format!("{}.{}", mark.generation, mark.number)).collect();
    marks.join(",")
}

/// What [`written`] has written.
#[must_use]
pub fn read(text: &str) -> Option<Marks> {
    let mut marks = Marks::default();
    let mut words = text.split(',');
    for mark in &mut marks {
        let (generation, number) = words.next()?.split_once('.')?;
        *mark = Mark { generation: generation.parse().ok()?, number: number.parse().ok()? };
    }
    words.next().is_none().then_some(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_they_were_written() {
        let mut marks = Marks::default();
        marks[2] = Mark { generation: 3, number: 40 };
        assert_eq!(written(&marks), "0.0,0.0,3.40,0.0");
        assert_eq!(read(&written(&marks)), Some(marks));
        for wrong in ["", "0.0", "0.0,0.0,0.0,0.0,0.0", "0.0,0.0,0,0.0", "x.0,0.0,0.0,0.0"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
