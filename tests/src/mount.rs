//! File systems of the kernel, on loop devices over files: made, mounted where nobody else sees them, cut as by a loss of
//! power, mounted again.
//!
//! The cut is the file system's own shutdown request without a flush of its log: from then on nothing reaches the device, and
//! what was not synced is lost; the next mount replays the journal. The device itself loses nothing that was written to it, but
//! what the kernel remembers of it goes, as it would: each mount has a loop device of its own. (A device that stays open keeps
//! metadata in memory that never was committed, and the journal's replay then mixes old and new.)

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

/// `FS_IOC_SHUTDOWN`, `_IOR('X', 125, u32)`.
const SHUTDOWN: libc::c_ulong = 0x8004_587D;
/// Without a flush of the log.
const NO_LOG_FLUSH: u32 = 2;
const LOOP_GET_FREE: libc::c_ulong = 0x4C82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
/// The device goes when nobody has it open any more.
const AUTOCLEAR: u32 = 4;
/// So long a mount may be busy.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

impl FileSystem {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ext4, Self::Xfs];

    /// What `mount` calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// Bytes of an image: XFS takes no less.
    fn len(self) -> u64 {
        match self {
            Self::Ext4 => 256 << 20,
            Self::Xfs => 300 << 20,
        }
    }

    fn format(self, image: &Path) -> Result<(), String> {
        let mut command = Command::new(format!("mkfs.{}", self.name()));
        match self {
            Self::Ext4 => command.args(["-q", "-F"]),
            Self::Xfs => command.args(["-q", "-f"]),
        };
        match command.arg(image).status() {
            Ok(status) if status.success() => Ok(()),
            outcome => Err(format!("mkfs.{}: {outcome:?}", self.name())),
        }
    }
}

impl FromStr for FileSystem {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|one| one.name() == name).ok_or_else(|| format!("no file system {name}"))
    }
}

fn done(what: &str, result: libc::c_int) -> Result<libc::c_int, String> {
    if result < 0 { Err(format!("{what}: {}", io::Error::last_os_error())) } else { Ok(result) }
}

fn text(what: &str, path: &Path) -> impl FnOnce(io::Error) -> String {
    let place = format!("{what} {}", path.display());
    move |error| format!("{place}: {error}")
}

fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path without a zero")
}

/// What this machine lacks for mounts of its own, if anything. Moves this process to a mount namespace of its own: call it
/// before there are other threads.
#[must_use]
pub fn missing() -> Option<String> {
    // SAFETY: the call has no arguments.
    if unsafe { libc::geteuid() } != 0 {
        return Some("not root".to_owned());
    }
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/loop-control") {
        return Some(format!("/dev/loop-control: {error}"));
    }
    let lacks = |one: &FileSystem| Command::new(format!("mkfs.{}", one.name())).arg("-V").output().is_err();
    if let Some(one) = FileSystem::ALL.iter().find(|one| lacks(one)) {
        return Some(format!("no mkfs.{}", one.name()));
    }
    private_mounts().err()
}

fn private_mounts() -> Result<(), String> {
    // SAFETY: the call takes a number.
    done("a mount namespace", unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let (none, flags) = (std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
    // SAFETY: the path is a C string, and the other arguments are not looked at.
    done("private mounts", unsafe { libc::mount(none, c"/".as_ptr(), none, flags, none.cast()) })?;
    Ok(())
}

/// A file as a block device; it goes with this object and the mounts of it.
fn loop_device(image: &Path) -> Result<(File, PathBuf), String> {
    let both = |path: &Path| OpenOptions::new().read(true).write(true).open(path).map_err(text("open", path));
    let control = both(Path::new("/dev/loop-control"))?;
    let backing = both(image)?;
    let mut tries = 0;
    loop {
        // SAFETY: the request takes no argument.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_GET_FREE) };
        let number = done("a free loop device", number)?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = both(&path)?;
        // struct loop_config: the descriptor, the block's size, then loop_info64 with its flags, then nothing.
        let mut config = [0u32; 76];
        config[0] = backing.as_raw_fd() as u32;
        config[15] = AUTOCLEAR;
        // SAFETY: the structure has the 304 bytes that the request reads.
        let configured = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, config.as_ptr()) };
        match done("configure a loop device", configured) {
            Ok(_) => return Ok((device, path)),
            // Somebody else was faster.
            Err(_) if tries < 20 => tries += 1,
            Err(wrong) => return Err(wrong),
        }
    }
}

/// Mounts `device` at `path`.
///
/// # Errors
///
/// What the system says.
pub fn mount_at(device: impl AsRef<Path>, path: &Path, kind: &str, options: &str) -> Result<(), String> {
    let device = device.as_ref();
    let what = format!("mount {} as {kind}", device.display());
    let [device, place, kind, options] = [device, path, Path::new(kind), Path::new(options)].map(c_string);
    // SAFETY: all four are C strings.
    let mounted =
        unsafe { libc::mount(device.as_ptr(), place.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
    done(&what, mounted).map(drop)
}

/// A mounted file system.
#[derive(Debug)]
pub struct Mount {
    file_system: FileSystem,
    image: PathBuf,
    path: PathBuf,
}

impl Mount {
    /// Makes one in `directory`, which should be in memory.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn make(file_system: FileSystem, directory: &Path) -> Result<Self, String> {
        let (image, path) = (directory.join("image"), directory.join("mount"));
        let file = File::create(&image).map_err(text("create", &image))?;
        file.set_len(file_system.len()).map_err(text("lengthen", &image))?;
        fs::create_dir(&path).map_err(text("create", &path))?;
        file_system.format(&image)?;
        let made = Self { file_system, image, path };
        made.mount()?;
        Ok(made)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn mount(&self) -> Result<(), String> {
        // Open until the mount has it.
        let (_open, device) = loop_device(&self.image)?;
        mount_at(&device, &self.path, self.file_system.name(), "")
    }

    /// Makes all that is there durable.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn sync(&self) -> Result<(), String> {
        let directory = File::open(&self.path).map_err(text("open", &self.path))?;
        // SAFETY: the descriptor is open.
        done("syncfs", unsafe { libc::syncfs(directory.as_raw_fd()) }).map(drop)
    }

    /// Bytes in use.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn used(&self) -> Result<u64, String> {
        let path = c_string(&self.path);
        let mut found = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: the path is a C string, and there is room for the answer.
        done("statvfs", unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) })?;
        // SAFETY: all zero is a value of it, and the call has filled it in.
        let found = unsafe { found.assume_init() };
        Ok((found.f_blocks - found.f_bfree) * found.f_frsize)
    }

    /// Cuts its power.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn cut(&self) -> Result<(), String> {
        let directory = File::open(&self.path).map_err(text("open", &self.path))?;
        let how = NO_LOG_FLUSH;
        // SAFETY: the request reads the number that it is given.
        done("shut down", unsafe { libc::ioctl(directory.as_raw_fd(), SHUTDOWN, &raw const how) }).map(drop)
    }

    /// Mounts it again; nobody may use it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn again(&self) -> Result<(), String> {
        let begun = Instant::now();
        while let Err(busy) = self.unmount(0) {
            // Another thread's child has a copy of our descriptors until it is the program that it becomes.
            if begun.elapsed() > PATIENCE {
                return Err(busy);
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.mount()
    }

    fn unmount(&self, flags: libc::c_int) -> Result<(), String> {
        let path = c_string(&self.path);
        // SAFETY: the path is a C string.
        done("unmount", unsafe { libc::umount2(path.as_ptr(), flags) }).map(drop)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Also where somebody still uses it.
        let _ = self.unmount(libc::MNT_DETACH);
    }
}
