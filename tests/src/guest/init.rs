//! The guest's first program. It loads modules, makes and mounts the file systems, and does what the host has asked for on the
//! kernel's command line: `first` (suites and kills on fresh file systems), `cycle SEED MARKS...` (looks at what the last
//! boot has left, then works until the guest is killed), `virtio` (the device whose flushes are asynchronous).
//!
//! It speaks to the host in lines: `fact ...`, `suite ...`, `checked ...`, `known LANE MARKS`, `wrong ...`, `done`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pobj::media::Domain;
use pobj::pmem::MapOptions;

use super::{LANES, read, written};
use crate::kill::lane::{Lane, kill_often};
use crate::kill::{End, Facility};
use crate::mount::{FileSystem, mount_at};
use crate::workload::KillMode;

/// Where the host listens.
const LINE: &str = "/dev/ttyS1";
/// Kills of processes in the guest, for each lane.
const KILLS: u64 = 25;
/// Nobody has said what was done last before a kill of the whole guest.
const UNSAID: u64 = 1 << 40;

/// Whether this is a guest.
#[must_use]
pub fn is_guest() -> bool {
    std::process::id() == 1
}

/// Plays the guest; never returns.
pub fn play() -> ! {
    let outcome = begin().and_then(|mut host| {
        let outcome = follow(&mut host);
        if let Err(wrong) = &outcome {
            host.say(&format!("wrong {wrong}"));
        }
        host.say("done");
        outcome
    });
    if let Err(wrong) = outcome {
        eprintln!("guest: {wrong}");
    }
    // SAFETY: the call has no arguments.
    unsafe { libc::sync() };
    // SAFETY: the call takes a number.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
    std::process::abort()
}

/// The line to the host.
struct Host(File);

impl Host {
    /// Says a line; it has left when this returns.
    fn say(&mut self, line: &str) {
        let _ = self.0.write_all(format!("{}\n", line.replace('\n', " / ")).as_bytes());
        // SAFETY: the descriptor is open.
        unsafe { libc::tcdrain(self.0.as_raw_fd()) };
    }
}

fn text(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> String {
    move |error| format!("{what}: {error}")
}

fn begin() -> Result<Host, String> {
    for (kind, place) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/tmp")] {
        mount_at(kind, Path::new(place), kind, "")?;
    }
    let host = OpenOptions::new().write(true).open(LINE).map_err(text(LINE))?;
    let mut modules: Vec<_> = fs::read_dir("/modules").map_err(text("/modules"))?.flatten().collect();
    modules.sort_by_key(fs::DirEntry::file_name);
    for module in modules {
        let file = File::open(module.path()).map_err(text("a module"))?;
        // SAFETY: the parameters are a C string.
        let loaded = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
        if loaded != 0 {
            // What this processor cannot do is no loss; what is needed is missed later.
            eprintln!("guest: {}: {}", module.path().display(), std::io::Error::last_os_error());
        }
    }
    Ok(Host(host))
}

fn follow(host: &mut Host) -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments.as_slice() {
        ["first", seed] => first(host, number(seed)?),
        ["cycle", seed, ref marks @ ..] => cycle(host, number(seed)?, marks),
        ["virtio", seed] => virtio(host, number(seed)?),
        _ => Err(format!("asked for {arguments:?}")),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("no number: {text}"))
}

// ---- devices ----

/// Waits until something is there.
fn wait_for(path: &Path) -> Result<(), String> {
    let begun = Instant::now();
    while !path.exists() {
        if begun.elapsed() > Duration::from_secs(20) {
            return Err(format!("{} does not come", path.display()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn sys(path: &str) -> Result<String, String> {
    let path = Path::new("/sys/bus/nd").join(path);
    Ok(fs::read_to_string(&path).map_err(text(path.display()))?.trim().to_owned())
}

fn set(path: &str, value: &str) -> Result<(), String> {
    let path = Path::new("/sys/bus/nd").join(path);
    fs::write(&path, value).map_err(text(format!("{} in {}", value, path.display())))
}

/// Turns a region's raw namespace into one whose pages the kernel knows, as DAX needs: what `ndctl create-namespace -m
/// fsdax` does. It is found again at the next boot.
fn make_dax(region: usize) -> Result<(), String> {
    let namespace = format!("namespace{region}.0");
    wait_for(&Path::new("/sys/bus/nd/devices").join(&namespace))?;
    wait_for(Path::new(&format!("/dev/pmem{region}")))?;
    set("drivers/nd_pmem/unbind", &namespace)?;
    let seed = sys(&format!("devices/region{region}/pfn_seed"))?;
    set(&format!("devices/{seed}/uuid"), &format!("6f3a1c9e-52d4-4c0b-9d0e-0000000000{region:02}"))?;
    set(&format!("devices/{seed}/mode"), "ram")?;
    set(&format!("devices/{seed}/namespace"), &namespace)?;
    set("drivers/nd_pmem/bind", &seed)
}

fn format(file_system: FileSystem, device: &str) -> Result<(), String> {
    let options: &[&str] = match file_system {
        FileSystem::Ext4 => &["-q", "-F", "-b", "4096"],
        FileSystem::Xfs => &["-q", "-f", "-m", "reflink=0"],
    };
    let program = format!("/bin/mkfs.{}", file_system.name());
    let status = Command::new(&program).args(options).arg(device).status().map_err(text(&program))?;
    if status.success() { Ok(()) } else { Err(format!("{program}: {status}")) }
}

fn place(file_system: FileSystem) -> PathBuf {
    Path::new("/mnt").join(file_system.name())
}

fn mount(region: usize, file_system: FileSystem) -> Result<PathBuf, String> {
    let (device, path) = (format!("/dev/pmem{region}"), place(file_system));
    wait_for(Path::new(&device))?;
    mount_at(&device, &path, file_system.name(), "dax")?;
    Ok(path)
}

/// Whether the kernel grants `MAP_SYNC`, asked without the library.
fn map_sync(directory: &Path) -> Result<bool, String> {
    let path = directory.join("asked");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
    let file = file.map_err(text(path.display()))?;
    file.set_len(4096).map_err(text(path.display()))?;
    let flags = libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC;
    // SAFETY: a mapping at an address of the kernel's choice replaces nothing; it stays until the guest ends.
    let mapped = unsafe {
        libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, file.as_raw_fd(), 0)
    };
    Ok(mapped != libc::MAP_FAILED)
}

/// What the library takes the medium for.
fn domain(directory: &Path) -> Result<Domain, String> {
    let map =
        MapOptions::new().size(4096).create(directory.join("mapped")).map_err(|error| error.to_string())?;
    Ok(map.domain())
}

fn facts(host: &mut Host, region: usize, file_system: FileSystem) -> Result<(), String> {
    let path = place(file_system);
    let name = file_system.name();
    let said =
        sys(&format!("devices/region{region}/persistence_domain")).unwrap_or_else(|_| "nothing".to_owned());
    host.say(&format!("fact {name} map_sync {}", u8::from(map_sync(&path)?)));
    host.say(&format!("fact {name} domain {:?}", domain(&path)?));
    host.say(&format!("fact {name} platform {said}"));
    Ok(())
}

// ---- what the host asks for ----

/// Fresh file systems; what the kernel says of them; the suites there; kills of processes there.
fn first(host: &mut Host, seed: u64) -> Result<(), String> {
    for (region, file_system) in FileSystem::ALL.into_iter().enumerate() {
        make_dax(region)?;
        let device = format!("/dev/pmem{region}");
        wait_for(Path::new(&device))?;
        format(file_system, &device)?;
        mount(region, file_system)?;
        facts(host, region, file_system)?;
    }
    kill(host, seed, &LANES)?;
    let mut suites: Vec<_> = fs::read_dir("/suites").map_err(text("/suites"))?.flatten().collect();
    suites.sort_by_key(fs::DirEntry::file_name);
    for file_system in FileSystem::ALL {
        for image in ["private", "in-place"] {
            for suite in &suites {
                run_suite(host, &suite.path(), file_system, image)?;
            }
        }
    }
    Ok(())
}

fn run_suite(host: &mut Host, suite: &Path, file_system: FileSystem, image: &str) -> Result<(), String> {
    let mut command = Command::new(suite);
    command.arg("--test-threads=2").env("TMPDIR", place(file_system)).env("POBJ_IMAGE", image);
    let output = command.stdin(Stdio::null()).output().map_err(text(suite.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let name = suite.file_name().unwrap_or_default().display();
    let result = said.lines().rev().find(|line| line.starts_with("test result")).unwrap_or("no result");
    host.say(&format!(
        "suite {} {} {image} {name}: {result}",
        u8::from(output.status.success()),
        file_system.name()
    ));
    if !output.status.success() {
        for line in said.lines().chain(String::from_utf8_lossy(&output.stderr).lines()) {
            host.say(&format!("| {line}"));
        }
    }
    Ok(())
}

fn lane_of(
    number: usize,
    file_system: usize,
    facility: Facility,
    mode: KillMode,
    seed: u64,
) -> Result<Lane, String> {
    let directory = place(FileSystem::ALL[file_system]).join(format!("lane{number}"));
    fs::create_dir_all(&directory).map_err(text(directory.display()))?;
    Ok(Lane::new(Path::new("/init"), &directory, facility, mode, seed))
}

/// Kills of processes.
fn kill(host: &mut Host, seed: u64, lanes: &[(usize, Facility, KillMode)]) -> Result<(), String> {
    for (number, &(file_system, facility, mode)) in lanes.iter().enumerate() {
        let mut lane = lane_of(number, file_system, facility, mode, seed)?;
        let count = kill_often(&mut lane, KILLS, Duration::from_millis(400))?;
        lane.renew(facility, mode);
        let name = FileSystem::ALL[file_system].name();
        host.say(&format!("killed {} {} {name} {facility:?} {mode:?}", count.kills, count.checks));
    }
    Ok(())
}

/// Looks at what is there, then works until the guest is killed.
fn cycle(host: &mut Host, seed: u64, marks: &[&str]) -> Result<(), String> {
    for (region, file_system) in FileSystem::ALL.into_iter().enumerate() {
        mount(region, file_system)?;
    }
    host.say("mounted");
    let mut lanes = Vec::new();
    for (number, (file_system, facility, mode)) in LANES.into_iter().enumerate() {
        let mut lane = lane_of(number, file_system, facility, mode, seed)?;
        lane.known.done = marks.get(number).and_then(|marks| read(marks)).ok_or("no marks")?;
        lane.known.unsaid = UNSAID;
        let there = lane.check(End::PowerCut)?;
        host.say(&format!("checked {number} {}", u8::from(there)));
        host.say(&format!("known {number} {}", written(&lane.known.done)));
        lanes.push(lane);
    }
    lanes.iter_mut().for_each(Lane::begin);
    host.say("working");
    let mut before: Vec<_> = lanes.iter().map(|lane| lane.known.done).collect();
    loop {
        for (number, lane) in lanes.iter_mut().enumerate() {
            if let Some(ended) = lane.listen(Duration::from_millis(2)) {
                return Err(format!("{}: the child ended by itself: {ended:?}", lane.job));
            }
            if before[number] != lane.known.done {
                before[number] = lane.known.done;
                host.say(&format!("known {number} {}", written(&lane.known.done)));
            }
        }
    }
}

/// A device that is memory, and whose flushes are requests: DAX without `MAP_SYNC`.
fn virtio(host: &mut Host, seed: u64) -> Result<(), String> {
    for (region, file_system) in FileSystem::ALL.into_iter().enumerate() {
        let device = format!("/dev/pmem{region}");
        wait_for(Path::new(&device))?;
        format(file_system, &device)?;
        let directory = mount(region, file_system)?;
        facts(host, region, file_system)?;
        let refused = MapOptions::new().size(4096).require_domain(Domain::CacheLine);
        match refused.create(directory.join("refused")) {
            Err(pobj::Error::Domain { .. }) => {}
            other => return Err(format!("persistent memory was required, and {other:?} came")),
        }
    }
    let lanes =
        Facility::ALL.map(|facility| (usize::from(facility != Facility::Heap), facility, KillMode::Found));
    kill(host, seed, &lanes)
}
