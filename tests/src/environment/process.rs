//! What a case does to its own process: forks, limits, ids, its own view of the mounts.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// How a forked child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

/// Starts a forked child that does `act` and ends. (Panics end it with 101.)
pub fn fork(act: impl FnOnce()) -> i32 {
    // SAFETY: a case has one thread where it forks, but for those of open pools, whose locks are free; the child ends with
    // `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_err();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(if panicked { 101 } else { 0 }) };
    }
    pid
}

/// Waits for a child.
pub fn wait(pid: i32) -> End {
    let mut status = 0;
    // SAFETY: waits for a child that was made by `fork` above.
    while unsafe { libc::waitpid(pid, &mut status, 0) } != pid {}
    if libc::WIFSIGNALED(status) {
        End::Signal(libc::WTERMSIG(status))
    } else {
        End::Exit(libc::WEXITSTATUS(status))
    }
}

/// Does `act` in a child, and waits for it.
pub fn in_child(act: impl FnOnce()) -> End {
    wait(fork(act))
}

/// What `act` says, in a child.
pub fn told_by_child(act: impl FnOnce() -> String) -> String {
    let (mut mine, mut its) = UnixStream::pair().expect("a pair of sockets");
    let pid = fork(|| its.write_all(act().as_bytes()).expect("the parent listens"));
    drop(its);
    let mut text = String::new();
    mine.read_to_string(&mut text).expect("the child talks");
    assert_eq!(wait(pid), End::Exit(0), "{text}");
    text
}

/// A child that does `act`, says so, and stays until it is killed.
pub fn holder(act: impl FnOnce() -> Box<dyn std::any::Any>) -> i32 {
    let (mut mine, mut its) = UnixStream::pair().expect("a pair of sockets");
    let pid = fork(|| {
        let _held = act();
        its.write_all(b"!").expect("the parent listens");
        std::thread::sleep(std::time::Duration::from_secs(30));
    });
    mine.read_exact(&mut [0]).expect("the child has begun");
    pid
}

/// Kills a child with SIGKILL, and waits for its end.
pub fn kill(pid: i32) {
    // SAFETY: the child was made by `fork` above.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    assert_eq!(wait(pid), End::Signal(libc::SIGKILL));
}

/// Limits this process.
pub fn limit(which: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: `limit` outlives the call.
    assert_eq!(unsafe { libc::setrlimit(which, &limit) }, 0, "a limit");
}

/// Whether this process is root.
#[must_use]
pub fn is_root() -> bool {
    // SAFETY: asks and changes nothing.
    unsafe { libc::geteuid() == 0 }
}

/// Becomes nobody, if this process is root.
pub fn become_nobody() {
    if is_root() {
        // SAFETY: changes the ids of this process only.
        let groups = unsafe { libc::setgroups(0, std::ptr::null()) };
        // SAFETY: as above.
        let group = unsafe { libc::setgid(65534) };
        // SAFETY: as above.
        let user = unsafe { libc::setuid(65534) };
        assert_eq!((groups, group, user), (0, 0, 0), "nobody");
    }
}

/// What becomes of a signal: `SIG_IGN` or `SIG_DFL`.
pub fn set_signal(signal: i32, action: libc::sighandler_t) {
    // SAFETY: neither action runs any code of ours.
    unsafe { libc::signal(signal, action) };
}

/// Gives this process its own view of the mounts.
///
/// # Errors
///
/// Why that is not granted.
pub fn own_mounts() -> Result<(), String> {
    let failed = |what: &str| Err(format!("{what}: {}", std::io::Error::last_os_error()));
    // SAFETY: changes this process only.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return failed("no mount namespace");
    }
    let none = std::ptr::null();
    // SAFETY: keeps later mounts to this view; all arguments are C strings or null where the call allows it.
    if unsafe { libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) } != 0 {
        return failed("no private mounts");
    }
    Ok(())
}

/// Runs a program of the system.
///
/// # Errors
///
/// What it said, or that it is missing.
pub fn run(program: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Result<(), String> {
    let mut command = std::process::Command::new(program);
    arguments.iter().for_each(|argument| _ = command.arg(argument));
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {said}")) }
}

/// Mounts a file system in memory, of so many MiB.
///
/// # Errors
///
/// What `mount` said.
pub fn mount_memory(at: &Path, mib: u64) -> Result<(), String> {
    run("mount", &[&"-t", &"tmpfs", &"-o", &format!("size={mib}m"), &"tmpfs", &at])
}

/// Makes and mounts an ext4 file system, of so many MiB, in the file `image`.
///
/// # Errors
///
/// What is missing.
pub fn mount_ext4(image: &Path, at: &Path, mib: u64) -> Result<(), String> {
    let file = std::fs::File::create(image).map_err(|error| error.to_string())?;
    file.set_len(mib << 20).map_err(|error| error.to_string())?;
    run("mkfs.ext4", &[&"-q", &"-E", &"lazy_itable_init=1,nodiscard", &"-b", &"4096", &image])?;
    run("mount", &[&"-o", &"loop,errors=continue", &image, &at])
}
