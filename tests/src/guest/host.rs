//! The host of the guests: builds what they need, starts them, listens, kills them, and starts them again on the same files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::initramfs::Archive;
use super::{LANES, read, written};
use crate::kill::Marks;
use crate::support::Random;

/// Suites that run in the guest, with both kinds of image.
pub const SUITES: [&str; 9] = [
    "transactions",
    "large_transactions",
    "space",
    "in_place",
    "open_create",
    "tx_block",
    "derive",
    "hooks",
    "share",
];
/// Bytes of each module of memory: XFS takes no less than 300 MiB.
const MODULE: &str = "384M";
/// An interpreted clock that a busy host holds up must not end the boot.
const KERNEL_OPTIONS: &str = "console=ttyS0 panic=-1 rdinit=/init quiet no_timer_check nowatchdog";
/// A kernel may fail to boot so many times, before the guest has said anything.
const BOOTS: u32 = 3;
/// A guest that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(900);

/// Where things are.
#[derive(Debug)]
pub struct Place {
    /// The kernel's image.
    kernel: PathBuf,
    /// The guest's files.
    small: PathBuf,
    /// The same with the suites.
    large: PathBuf,
    /// The files that are the guest's memory.
    memory: PathBuf,
    /// What the guest's kernel says.
    console: PathBuf,
}

/// What kind of memory a guest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// NVDIMMs: stores are durable after a flush and a fence.
    Nvdimm,
    /// Memory whose flush is a request to the host.
    Virtio,
}

fn text(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> String {
    move |error| format!("{what}: {error}")
}

/// The test programs of [`SUITES`], built.
fn suites(root: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--release", "-p", "tests", "--no-run", "--message-format=json"]);
    cargo.args(SUITES.iter().flat_map(|suite| ["--test", suite]));
    let output = cargo.current_dir(root).stderr(Stdio::inherit()).output().map_err(text("cargo"))?;
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let name = message["target"]["name"].as_str();
        if let (Some(name), Some(path)) = (name, message["executable"].as_str())
            && SUITES.contains(&name)
        {
            found.push((name.to_owned(), path.into()));
        }
    }
    if found.len() == SUITES.len() { Ok(found) } else { Err(format!("built {found:?} of {SUITES:?}")) }
}

impl Place {
    /// Makes the guest's files in `work`, for the kernel that `kernel` holds (`boot/vmlinuz-*`, `lib/modules`); the
    /// guest's memory will be there too.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn make(root: &Path, kernel: &Path, work: &Path, with_suites: bool) -> Result<Self, String> {
        let boot = kernel.join("boot");
        let image = fs::read_dir(&boot).map_err(text(boot.display()))?.flatten().map(|entry| entry.path());
        let image = image.filter(|path| path.display().to_string().contains("vmlinuz")).max();
        let place = Self {
            kernel: image.ok_or_else(|| format!("no kernel in {}", boot.display()))?,
            small: work.join("small.cpio"),
            large: work.join("large.cpio"),
            memory: work.to_owned(),
            console: work.join("console"),
        };
        let program = std::env::current_exe().map_err(text("this program"))?;
        let common = || -> Result<Archive, String> {
            let mut archive = Archive::default();
            ["/dev", "/proc", "/sys", "/tmp", "/mnt/ext4", "/mnt/xfs", "/suites"]
                .iter()
                .for_each(|path| archive.directory(path));
            archive.program(&program, "/init")?;
            archive.modules(kernel)?;
            Ok(archive)
        };
        common()?.write(&place.small)?;
        let mut archive = common()?;
        for name in ["mkfs.ext4", "mkfs.xfs"] {
            let paths = ["/usr/sbin", "/sbin", "/usr/bin"].map(|directory| Path::new(directory).join(name));
            let path = paths.iter().find(|path| path.exists()).ok_or_else(|| format!("no {name}"))?;
            archive.program(path, &format!("/bin/{name}"))?;
        }
        if with_suites {
            for (name, path) in suites(root)? {
                archive.program(&path, &format!("/suites/{name}"))?;
            }
        }
        archive.write(&place.large)?;
        Ok(place)
    }

    /// Starts a guest that does `task`.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn start(&self, memory: Memory, large: bool, task: &str) -> Result<Guest, String> {
        // Hardware's help is asked for by name: where machines are nested it may hang instead of failing.
        let accelerator = std::env::var("POBJ_GUEST_ACCEL").unwrap_or_else(|_| "tcg,thread=multi".to_owned());
        let processor = if accelerator.starts_with("kvm") { "host" } else { "max" };
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-machine", "q35,nvdimm=on,nvdimm-persistence=mem-ctrl", "-accel", &accelerator]);
        qemu.args(["-cpu", processor, "-smp", "2", "-m", "1G,slots=4,maxmem=4G"]);
        qemu.args(["-display", "none", "-monitor", "none", "-nodefaults", "-no-reboot"]);
        qemu.arg("-serial").arg(format!("file:{}", self.console.display())).args(["-serial", "stdio"]);
        for module in 0..2 {
            let file = self.memory.join(format!("module{module}"));
            let backing = format!(
                "memory-backend-file,id=m{module},share=on,size={MODULE},mem-path={}",
                file.display()
            );
            let device = match memory {
                Memory::Nvdimm => format!("nvdimm,id=d{module},memdev=m{module}"),
                Memory::Virtio => format!("virtio-pmem-pci,id=d{module},memdev=m{module}"),
            };
            qemu.args(["-object", &backing, "-device", &device]);
        }
        qemu.arg("-kernel").arg(&self.kernel).arg("-initrd").arg(if large {
            &self.large
        } else {
            &self.small
        });
        qemu.arg("-append").arg(format!("{KERNEL_OPTIONS} -- {task}"));
        // SAFETY: the call takes numbers only, and may be made between fork and exec.
        let die_with_this = || match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        };
        // SAFETY: the closure makes one system call.
        unsafe { qemu.pre_exec(die_with_this) };
        let mut process = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(text("QEMU"))?;
        let output = BufReader::new(process.stdout.take().ok_or("no output")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            lines.map(|line| line.trim_end().to_owned()).try_for_each(|line| sender.send(line)).ok();
        });
        Ok(Guest { process, lines, console: self.console.clone() })
    }

    /// As [`start`](Self::start), and waits for the first line: a kernel that does not boot says nothing of the library.
    ///
    /// # Errors
    ///
    /// If it does not come up.
    pub fn start_speaking(&self, memory: Memory, large: bool, task: &str) -> Result<(Guest, String), String> {
        for boot in 1.. {
            let guest = self.start(memory, large, task)?;
            match guest.line(PATIENCE) {
                Ok(Some(line)) => return Ok((guest, line)),
                Err(wrong) if boot < BOOTS => println!("   boot {boot}: {wrong}"),
                Err(wrong) => return Err(wrong),
                Ok(None) => break,
            }
        }
        Err("the guest is silent".to_owned())
    }

    /// Forgets what was in the guest's memory.
    pub fn clear(&self) {
        for module in 0..2 {
            let _ = fs::remove_file(self.memory.join(format!("module{module}")));
        }
    }
}

/// A running guest.
#[derive(Debug)]
pub struct Guest {
    process: Child,
    lines: Receiver<String>,
    console: PathBuf,
}

impl Guest {
    /// The next line, if it comes in time; an error if the guest is gone.
    fn line(&self, time: Duration) -> Result<Option<String>, String> {
        match self.lines.recv_timeout(time) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                let mut console = String::new();
                if let Ok(file) = File::open(&self.console) {
                    let lines: Vec<_> = BufReader::new(file).lines().map_while(Result::ok).collect();
                    console = lines[lines.len().saturating_sub(30)..].join("\n");
                }
                Err(format!("the guest is gone; its kernel's last words:\n{console}"))
            }
        }
    }

    /// Listens until `done`, and gives each line to `hear`, the first of which was heard already.
    ///
    /// # Errors
    ///
    /// What the guest found wrong, or its silence.
    pub fn hear(&self, first: String, mut hear: impl FnMut(&str)) -> Result<(), String> {
        let (mut wrong, mut first) = (None, Some(first));
        loop {
            let line = first.take().map_or_else(|| self.line(PATIENCE), |line| Ok(Some(line)))?;
            let line = line.ok_or("the guest is silent")?;
            match line.split_once(' ') {
                _ if line == "done" => return wrong.map_or(Ok(()), Err),
                Some(("wrong", what)) => wrong = Some(what.to_owned()),
                _ => hear(&line),
            }
        }
    }

    /// Kills it as a whole.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What cycles have shown.
#[derive(Clone, Debug, Default)]
pub struct Cycles {
    /// What must be there.
    known: BTreeMap<usize, Marks>,
    /// Guests that were killed.
    pub kills: u64,
    /// Of them, before they worked: while they recovered.
    pub early: u64,
    /// Files that were opened and compared.
    pub checks: u64,
}

impl Cycles {
    /// One boot: the guest looks at its files, works, and is killed.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn one(&mut self, place: &Place, random: &mut Random, seed: u64, last: bool) -> Result<(), String> {
        let marks: Vec<_> = (0..LANES.len())
            .map(|lane| written(&self.known.get(&lane).copied().unwrap_or_default()))
            .collect();
        let task = format!("cycle {seed} {}", marks.join(" "));
        let (mut guest, first) = place.start_speaking(Memory::Nvdimm, false, &task)?;
        // A guest that is killed early is in the midst of its looking at the files, and of their recovery.
        let early = !last && random.below(5) == 0;
        let (mut until, mut working, mut first) = (None, false, Some(first));
        let begun = Instant::now();
        loop {
            let now = Instant::now();
            let left = until.map_or(PATIENCE, |until: Instant| until.saturating_duration_since(now));
            if left.is_zero() {
                break;
            }
            let Some(line) = first.take().map_or_else(|| guest.line(left), |line| Ok(Some(line)))? else {
                break;
            };
            match line.split_once(' ') {
                _ if line == "done" => return Err("the guest ended by itself".to_owned()),
                Some(("wrong", what)) => return Err(what.to_owned()),
                Some(("checked", what)) => self.checks += u64::from(what.ends_with('1')),
                Some(("known", what)) => {
                    let (lane, marks) = what.split_once(' ').ok_or("half a line")?;
                    // A line may be cut by the kill, not before.
                    let marks = read(marks).ok_or_else(|| format!("the guest says {line}"))?;
                    self.known.insert(lane.parse().map_err(|_| line.clone())?, marks);
                    // It lives on after the first step: however slow the guest is, it has done something.
                    if working && until.is_none() {
                        until = Some(now + Duration::from_micros(random.below(3_000_000)));
                    }
                }
                _ if line == "mounted" && early => {
                    until = Some(now + Duration::from_micros(random.below(400_000)))
                }
                _ if line == "working" && last => break,
                _ if line == "working" => working = true,
                _ => {}
            }
            if begun.elapsed() > PATIENCE {
                return Err("the guest does not come to work".to_owned());
            }
        }
        guest.kill();
        if !last {
            self.kills += 1;
            self.early += u64::from(early);
        }
        Ok(())
    }

    /// Steps that are known.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.known.values().flatten().map(|mark| mark.number).sum()
    }
}
