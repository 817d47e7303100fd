//! The rule as a table, and the platform's word from made-up trees of sysfs.
//!
//! Would catch a file that counts as persistent memory because it merely lies on DAX, and an unsafe shutdown that
//! goes unnoticed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rustix::fs::{fstat, major, minor};

use super::*;

use Domain::{Byte, CacheLine, Page};

fn said(map_sync: bool, word: Option<&str>, can_flush: bool) -> Probe {
    Probe { map_sync, persistence_domain: word.map(str::to_owned), can_flush }
}

/// Every row: what the kernel grants, what the platform says, whether the processor can flush, and the domain.
const TABLE: [(bool, Option<&str>, bool, Domain); 20] = [
    // Without MAP_SYNC the file is a file, whatever lies under it.
    (false, None, true, Page),
    (false, Some("cpu_cache"), true, Page),
    (false, Some("memory_controller"), true, Page),
    (false, Some("unknown"), true, Page),
    (false, Some("CPU_CACHE"), true, Page),
    (false, None, false, Page),
    (false, Some("cpu_cache"), false, Page),
    (false, Some("memory_controller"), false, Page),
    (false, Some("unknown"), false, Page),
    (false, Some("CPU_CACHE"), false, Page),
    // With it, only the exact word spares the flushes.
    (true, None, true, CacheLine),
    (true, Some("cpu_cache"), true, Byte),
    (true, Some("memory_controller"), true, CacheLine),
    (true, Some("unknown"), true, CacheLine),
    (true, Some("CPU_CACHE"), true, CacheLine),
    // A processor that cannot flush needs persistent caches.
    (true, None, false, Page),
    (true, Some("cpu_cache"), false, Byte),
    (true, Some("memory_controller"), false, Page),
    (true, Some("unknown"), false, Page),
    (true, Some("CPU_CACHE"), false, Page),
];

#[test]
fn every_row_of_the_rule() {
    let path = Path::new("/mnt/pmem/file");
    let choices = [None, Some(Byte), Some(CacheLine), Some(Page)];
    for (map_sync, word, can_flush, natural) in TABLE {
        let probe = said(map_sync, word, can_flush);
        for forced in choices {
            let wanted = forced.unwrap_or(natural);
            for required in choices {
                let row = format!("{probe:?}, forced {forced:?}, required {required:?}");
                match (decide(path, &probe, forced, required), required) {
                    (Ok(found), None) => assert_eq!(found, wanted, "{row}"),
                    (Ok(found), Some(coarsest)) => {
                        assert_eq!(found, wanted, "{row}");
                        assert!(found <= coarsest, "{row}");
                    }
                    (Err(Error::Domain { path: named, needed, found }), Some(coarsest)) => {
                        assert_eq!((named.as_path(), needed, found), (path, coarsest, wanted), "{row}");
                        assert!(found > coarsest, "{row}");
                    }
                    (other, _) => panic!("{row}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn the_environment_forces_by_name() {
    for (name, domain) in [("byte", Byte), ("line", CacheLine), ("page", Page)] {
        assert_eq!(forced_by(Some(name.as_ref())).unwrap(), Some(domain));
    }
    assert_eq!(forced_by(None).unwrap(), None);
    for name in ["", "Line", "eadr"] {
        let refused = forced_by(Some(name.as_ref()));
        assert!(matches!(refused, Err(Error::InvalidOption { option: "POBJ_DOMAIN", .. })), "{name}");
    }
}

/// A made-up sysfs, and a file whose device it describes.
struct Tree {
    directory: tempfile::TempDir,
    file: File,
}

const BUS: &str = "devices/LNXSYSTM:00/ACPI0012:00/ndbus0";

impl Tree {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = File::create(directory.path().join("file")).unwrap();
        fs::create_dir_all(directory.path().join("sys/dev/block")).unwrap();
        Self { directory, file }
    }

    fn sysfs(&self) -> PathBuf {
        self.directory.path().join("sys")
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.sysfs().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    /// Lets the file's device be the one at `target`, relative to the tree.
    fn device(&self, target: &str) {
        let device = fstat(&self.file).unwrap().st_dev;
        let link = self.sysfs().join(format!("dev/block/{}:{}", major(device), minor(device)));
        fs::create_dir_all(self.sysfs().join(target)).unwrap();
        let _ = fs::remove_file(&link);
        symlink(format!("../../{target}"), link).unwrap();
    }

    /// A region spread over modules of the given identities and counts.
    fn region(&self, number: u32, word: &str, modules: &[(u32, &str, &str)]) -> String {
        let region = format!("{BUS}/region{number}");
        self.put(&format!("{region}/persistence_domain"), word);
        for (place, (module, id, count)) in modules.iter().enumerate() {
            self.put(&format!("{region}/mapping{place}"), &format!("nmem{module},0,8589934592,{place}"));
            self.put(&format!("{BUS}/nmem{module}/nfit/id"), id);
            self.put(&format!("{BUS}/nmem{module}/nfit/dirty_shutdown"), count);
        }
        format!("{region}/namespace{number}.0/block/pmem{number}")
    }

    fn word(&self) -> Option<String> {
        Regions::under(&self.sysfs(), &self.file)?.persistence_domain()
    }

    fn mark(&self) -> u64 {
        shutdown_mark_in(&self.sysfs(), &self.file)
    }
}

#[test]
fn the_platforms_word_is_the_regions() {
    let tree = Tree::new();
    assert_eq!(tree.word(), None, "no such device");
    for word in ["cpu_cache", "memory_controller", "unknown"] {
        let pmem = tree.region(0, word, &[]);
        tree.device(&pmem);
        assert_eq!(tree.word().as_deref(), Some(word));
        tree.device(&format!("{pmem}/pmem0p1"));
        assert_eq!(tree.word().as_deref(), Some(word), "a partition");
    }
    tree.device("devices/pci0000:00/0000:00:02.0/virtio1/block/vda");
    assert_eq!(tree.word(), None, "an ordinary disk");
    tree.device("devices/pci0000:00/region/block/vda");
    assert_eq!(tree.word(), None, "a directory whose name merely resembles a region's");
}

#[test]
fn a_device_made_of_regions_is_as_good_as_they_agree() {
    let tree = Tree::new();
    let (first, second) = (tree.region(0, "cpu_cache", &[]), tree.region(1, "cpu_cache", &[]));
    let ordinary = "devices/pci0000:00/block/vda".to_owned();
    let made = "devices/virtual/block/dm-0";
    tree.device(made);
    let slaves = tree.sysfs().join(made).join("slaves");
    fs::create_dir_all(&slaves).unwrap();
    assert_eq!(tree.word(), None, "made of nothing");
    for (name, target) in [("pmem0", &first), ("pmem1", &second)] {
        fs::create_dir_all(tree.sysfs().join(target)).unwrap();
        symlink(format!("../../../../../{target}"), slaves.join(name)).unwrap();
    }
    assert_eq!(tree.word().as_deref(), Some("cpu_cache"));
    tree.region(1, "memory_controller", &[]);
    assert_eq!(tree.word(), None, "they differ");
    tree.region(1, "cpu_cache", &[]);
    fs::create_dir_all(tree.sysfs().join(&ordinary)).unwrap();
    symlink(format!("../../../../../{ordinary}"), slaves.join("vda")).unwrap();
    assert_eq!(tree.word(), None, "an ordinary disk is among them");
    assert_eq!(tree.mark(), 0);
}

#[test]
fn the_mark_changes_with_a_count_and_with_a_device() {
    let tree = Tree::new();
    assert_eq!(tree.mark(), 0, "no such device");
    tree.device(&tree.region(0, "memory_controller", &[(0, "8089-a2-1", "3"), (1, "8089-a2-2", "0")]));
    let mark = tree.mark();
    assert_ne!(mark, 0);
    assert_eq!(tree.mark(), mark, "nothing happened");
    for changed in [
        [(0, "8089-a2-1", "4"), (1, "8089-a2-2", "0")],
        [(0, "8089-a2-1", "3"), (1, "8089-a2-2", "1")],
        [(0, "8089-a2-9", "3"), (1, "8089-a2-2", "0")],
    ] {
        tree.region(0, "memory_controller", &changed);
        assert!(![0, mark].contains(&tree.mark()), "{changed:?}");
    }
    tree.region(0, "memory_controller", &[(0, "8089-a2-1", "0x3"), (1, "8089-a2-2", "0")]);
    assert_eq!(tree.mark(), mark, "the same count in another notation");
}

#[test]
fn a_platform_that_says_nothing_has_no_mark() {
    let count = format!("{BUS}/nmem1/nfit/dirty_shutdown");
    let modules = [(0, "8089-a2-1", "3"), (1, "8089-a2-2", "0")];
    let tree = Tree::new();
    tree.device(&tree.region(0, "memory_controller", &modules));
    for text in ["", "many", "-1", "99999999999999999999"] {
        tree.put(&count, text);
        assert_eq!(tree.mark(), 0, "{text:?}");
    }
    fs::remove_file(tree.sysfs().join(&count)).unwrap();
    assert_eq!(tree.mark(), 0, "one module has no count");
    fs::create_dir(tree.sysfs().join(&count)).unwrap();
    assert_eq!(tree.mark(), 0, "the count cannot be read");
    fs::remove_dir(tree.sysfs().join(&count)).unwrap();
    tree.region(0, "memory_controller", &modules);
    assert_ne!(tree.mark(), 0);
    fs::remove_file(tree.sysfs().join(format!("{BUS}/nmem1/nfit/id"))).unwrap();
    assert_eq!(tree.mark(), 0, "one module has no identity");
    tree.put(&format!("{BUS}/region0/mapping1"), "../../etc,0,1,1");
    assert_eq!(tree.mark(), 0, "a mapping that names no module");
    fs::remove_file(tree.sysfs().join(format!("{BUS}/region0/mapping0"))).unwrap();
    assert_eq!(tree.mark(), 0, "a region without modules");
}

#[test]
fn modules_of_other_buses_count_too() {
    for kind in ["cxl", "papr"] {
        let tree = Tree::new();
        tree.device(&tree.region(0, "memory_controller", &[]));
        tree.put(&format!("{BUS}/region0/mapping0"), "nmem7,0,8589934592,0");
        tree.put(&format!("{BUS}/nmem7/{kind}/id"), "serial");
        tree.put(&format!("{BUS}/nmem7/{kind}/dirty_shutdown"), "1");
        let mark = tree.mark();
        tree.put(&format!("{BUS}/nmem7/{kind}/dirty_shutdown"), "2");
        assert!(mark != 0 && tree.mark() != mark, "{kind}");
    }
}

/// On a disk and in memory the kernel refuses `MAP_SYNC`, for an empty file as for a full one.
#[test]
fn an_ordinary_file_is_in_the_domain_of_pages() {
    let file = tempfile::tempfile().unwrap();
    let probe = probe_in(&Tree::new().sysfs(), &file);
    assert_eq!(probe.persistence_domain, None);
    if probe.map_sync {
        println!("skipped: the temporary directory lies on persistent memory");
        return;
    }
    let path = Path::new("file");
    assert_eq!(decide(path, &super::probe(&file), None, None).unwrap(), Page);
    assert_eq!(decide(path, &super::probe(&file), Some(CacheLine), Some(CacheLine)).unwrap(), CacheLine);
    assert!(decide(path, &super::probe(&file), None, Some(CacheLine)).is_err());
}
