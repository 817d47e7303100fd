//! System calls that fail on purpose, in a forked child and nowhere else.
//!
//! A seccomp filter turns the calls in [`CALLS`] into the signal SIGSYS, whoever makes them: the C library, `std`, or
//! rustix, which asks the kernel itself. The handler counts them over all threads, makes them (through `syscall`, which
//! the filter lets pass), or answers in the kernel's place. So a run costs microseconds for a call, counts begin
//! where the scenario does, and a short write really writes the part that it claims.
//!
//! What the C library's allocator asks for is left alone: memory that a Rust program cannot get ends it, see
//! [`super::memory`].

use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::board::Board;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It does nothing, and returns this error.
    Errno(i32),
    /// A write that writes one half, and then returns this error.
    Torn(i32),
    /// It transfers one half, and says so.
    Short,
}

use Kind::{Errno, Short, Torn};

/// A system call, and how it may fail.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    number: i64,
    /// All ways in which it may fail.
    pub kinds: &'static [Kind],
    /// What the system says where it does not have the call, if pobj then goes another way.
    pub missing: Option<i32>,
}

const fn call(name: &'static str, number: i64, kinds: &'static [Kind]) -> Call {
    Call { name, number, kinds, missing: None }
}

const EIO: Kind = Errno(libc::EIO);
const EINTR: Kind = Errno(libc::EINTR);
const ENOSPC: Kind = Errno(libc::ENOSPC);
const EDQUOT: Kind = Errno(libc::EDQUOT);
const EFBIG: Kind = Errno(libc::EFBIG);
const ENOMEM: Kind = Errno(libc::ENOMEM);
const EACCES: Kind = Errno(libc::EACCES);
const WRITE: &[Kind] = &[EIO, ENOSPC, EDQUOT, EINTR, EFBIG, Short, Torn(libc::EIO)];
const SYNC: &[Kind] = &[EIO, ENOSPC, EDQUOT, EINTR];

/// How many calls there are in [`CALLS`].
pub const COUNT: usize = 25;

/// The calls that pobj makes, as `strace` lists them, but for `close`, whose errors say nothing that a sync did not.
/// A thread fails to start where the address space for its stack is refused (`mmap`).
pub static CALLS: [Call; COUNT] = [
    call("pwrite64", libc::SYS_pwrite64, WRITE),
    Call { missing: Some(libc::EOPNOTSUPP), ..call("pwritev2", libc::SYS_pwritev2, WRITE) },
    call("fdatasync", libc::SYS_fdatasync, SYNC),
    call("fsync", libc::SYS_fsync, SYNC),
    call("msync", libc::SYS_msync, SYNC),
    Call {
        missing: Some(libc::EOPNOTSUPP),
        ..call("fallocate", libc::SYS_fallocate, &[EIO, ENOSPC, EDQUOT, EINTR, EFBIG])
    },
    call("ftruncate", libc::SYS_ftruncate, &[EIO, ENOSPC, EDQUOT, EINTR, EFBIG]),
    call("mmap", libc::SYS_mmap, &[ENOMEM, EIO, Errno(libc::EAGAIN)]),
    call("munmap", libc::SYS_munmap, &[ENOMEM]),
    call("mprotect", libc::SYS_mprotect, &[ENOMEM]),
    call("madvise", libc::SYS_madvise, &[EIO, ENOMEM, EINTR]),
    call("openat", libc::SYS_openat, &[EIO, ENOSPC, EDQUOT, EINTR, EACCES, Errno(libc::EMFILE)]),
    call("newfstatat", libc::SYS_newfstatat, &[EIO, EACCES]),
    call("fstat", libc::SYS_fstat, &[EIO]),
    call("statx", libc::SYS_statx, &[EIO]),
    call("flock", libc::SYS_flock, &[EIO, EINTR, Errno(libc::ENOLCK)]),
    call("pread64", libc::SYS_pread64, &[EIO, EINTR, Short]),
    call("read", libc::SYS_read, &[EIO, EINTR, Short]),
    Call {
        missing: Some(libc::EINVAL),
        ..call("renameat2", libc::SYS_renameat2, &[EIO, ENOSPC, EDQUOT, EACCES])
    },
    call("linkat", libc::SYS_linkat, &[EIO, ENOSPC, EDQUOT, EACCES]),
    call("unlinkat", libc::SYS_unlinkat, &[EIO, EACCES]),
    call("getdents64", libc::SYS_getdents64, &[EIO]),
    call("readlinkat", libc::SYS_readlinkat, &[EIO]),
    call("getrandom", libc::SYS_getrandom, &[EINTR, Errno(libc::ENOSYS)]),
    call("fcntl", libc::SYS_fcntl, &[Errno(libc::EMFILE)]),
];

/// Calls that EINTR meets "from then on": no system interrupts for ever, and whoever tries again would not end.
const INTERRUPTIONS: u64 = 40;

/// What is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A place in [`CALLS`].
    pub call: usize,
    /// How.
    pub kind: Kind,
    /// The first call that fails, counted from 0.
    pub number: u64,
    /// Whether all later ones fail too.
    pub forever: bool,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { call, kind, number, forever } = self;
        let from = if *forever { "from" } else { "at" };
        write!(f, "{} {kind:?} {from} call {number}", CALLS[*call].name)
    }
}

/// The child's board, for the handler.
static BOARD: AtomicPtr<Board> = AtomicPtr::new(std::ptr::null_mut());
/// Slot of the call that fails, and the rest of the fault.
static CALL: AtomicU32 = AtomicU32::new(u32::MAX);
static FIRST: AtomicU64 = AtomicU64::new(0);
static END: AtomicU64 = AtomicU64::new(0);
static KIND: AtomicU32 = AtomicU32::new(0);
/// The calls that the system is to lack are missing.
static LACKING: AtomicU32 = AtomicU32::new(0);
/// Where the C library is.
static LIBRARY: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

const SHORT: u32 = 1 << 16;
const TORN: u32 = 1 << 17;

/// Why faults cannot be injected here, if they cannot.
#[must_use]
pub fn lacks() -> Option<&'static str> {
    (!cfg!(all(target_arch = "x86_64", target_env = "gnu")))
        .then_some("faults are injected on x86-64 with glibc only")
}

/// From now on this process, a forked child with one thread, counts its calls on `board` and meets `fault`. If `old`,
/// the system lacks what file systems may lack.
///
/// # Errors
///
/// The system's, if it grants no filter.
pub fn arm(board: &'static Board, fault: Option<Fault>, old: bool) -> std::io::Result<()> {
    if let Some(Fault { call, kind, number, forever }) = fault {
        let kind = match kind {
            Errno(errno) => errno as u32,
            Torn(errno) => errno as u32 | TORN,
            Short => SHORT,
        };
        let interrupts = kind == libc::EINTR as u32;
        let count = if !forever {
            1
        } else if interrupts {
            INTERRUPTIONS
        } else {
            u64::MAX - number
        };
        CALL.store(call as u32, Relaxed);
        FIRST.store(number, Relaxed);
        END.store(number + count, Relaxed);
        KIND.store(kind, Relaxed);
    }
    LACKING.store(u32::from(old), Relaxed);
    BOARD.store(std::ptr::from_ref(board).cast_mut(), Relaxed);
    trap::install()
}

#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
mod trap {
    //! The filter and the handler.

    use super::*;
    use std::io;

    /// Bytes of the C library's `syscall`, up to the end of the instruction of that name.
    const SYSCALL_LEN: u64 = 40;

    pub(super) fn install() -> io::Result<()> {
        let gate = libc::syscall as *const () as u64;
        let library = library(gate)?;
        LIBRARY[0].store(library.0, Relaxed);
        LIBRARY[1].store(library.1, Relaxed);
        // SAFETY: all zeros is a valid action, filled in below.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_trap as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        // SAFETY: the handler does only what a handler may: atomics and system calls.
        if unsafe { libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut filter = filter(gate, library);
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: takes numbers only.
        let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        // SAFETY: the program outlives the call, which copies it.
        let done = done | unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The mapping of code that holds `address`.
    fn library(address: u64) -> io::Result<(u64, u64)> {
        let maps = std::fs::read_to_string("/proc/self/maps")?;
        let range = |line: &str| {
            let (start, rest) = line.split_once('-')?;
            let end = rest.split(' ').next()?;
            Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
        };
        let found = maps.lines().filter_map(range).find(|(start, end)| (*start..*end).contains(&address));
        found.ok_or_else(|| io::Error::other("the C library is nowhere"))
    }

    /// Traps the calls of the table, unless `gate` makes them, or the C library those of its threads.
    fn filter(gate: u64, library: (u64, u64)) -> Vec<libc::sock_filter> {
        let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
        let jump = |code: u32, k: u32, jt: usize, jf: usize| libc::sock_filter {
            code: (libc::BPF_JMP | code | libc::BPF_K) as u16,
            jt: jt as u8,
            jf: jf as u8,
            k,
        };
        let load = |offset: u32| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
        let give = |what: u32| statement(libc::BPF_RET | libc::BPF_K, what);
        // Lets the call pass if its caller is in the range, which does not cross a multiple of 4 GiB.
        let pass = |(start, end): (u64, u64)| {
            [
                load(12),
                jump(libc::BPF_JEQ, (start >> 32) as u32, 0, 4),
                load(8),
                jump(libc::BPF_JGE, start as u32, 0, 2),
                jump(libc::BPF_JGT, end as u32, 1, 0),
                give(libc::SECCOMP_RET_ALLOW),
                give(libc::SECCOMP_RET_TRAP),
            ]
        };
        let of_gate = pass((gate, gate + SYSCALL_LEN));
        // The number of the call is the first word of what a filter sees; the caller's address is at 8.
        let mut program = vec![load(0)];
        for (place, call) in CALLS.iter().enumerate() {
            let after = CALLS.len() - place;
            let to = if is_of_threads(call.number) { after + of_gate.len() } else { after };
            program.push(jump(libc::BPF_JEQ, call.number as u32, to, 0));
        }
        program.push(give(libc::SECCOMP_RET_ALLOW));
        program.extend(of_gate);
        program.extend(pass(library));
        program
    }

    /// Whether the C library makes it for its threads, with all signals blocked, where a trap would kill.
    fn is_of_threads(number: i64) -> bool {
        matches!(number, libc::SYS_munmap | libc::SYS_madvise | libc::SYS_mprotect)
    }

    extern "C" fn on_trap(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel gives a handler of this kind the state of the thread, which is this handler's own.
        let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        let at = |register: i32| registers[register as usize];
        let number = at(libc::REG_RAX);
        let arguments =
            [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10, libc::REG_R8, libc::REG_R9].map(at);
        let caller = at(libc::REG_RIP) as u64;
        // SAFETY: the place of this thread's own `errno`.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        let kept = unsafe { *errno };
        registers[libc::REG_RAX as usize] = answer(number, arguments, caller);
        // SAFETY: as above.
        unsafe { *errno = kept };
    }

    /// Makes the call.
    fn make(number: i64, [a, b, c, d, e, f]: [i64; 6]) -> i64 {
        // SAFETY: it is the very call that the program was making.
        match unsafe { libc::syscall(number, a, b, c, d, e, f) } {
            // SAFETY: the place of this thread's own `errno`.
            -1 => -i64::from(unsafe { *libc::__errno_location() }),
            result => result,
        }
    }

    fn answer(number: i64, arguments: [i64; 6], caller: u64) -> i64 {
        let board = BOARD.load(Relaxed);
        // SAFETY: null, or the board, which lives as long as the process.
        let board = unsafe { board.as_ref() };
        let slot = CALLS.iter().position(|call| call.number == number);
        let (Some(board), Some(slot)) = (board, slot) else { return make(number, arguments) };
        if is_allocator(number, arguments, caller) || is_terminal(number, arguments) || !board.is_armed() {
            return make(number, arguments);
        }
        let count = board.calls[slot].fetch_add(1, Relaxed);
        if let Some(errno) = CALLS[slot].missing.filter(|_| LACKING.load(Relaxed) != 0) {
            return -i64::from(errno);
        }
        let hit =
            CALL.load(Relaxed) == slot as u32 && (FIRST.load(Relaxed)..END.load(Relaxed)).contains(&count);
        if !hit {
            return make(number, arguments);
        }
        board.fired.fetch_add(1, Relaxed);
        let kind = KIND.load(Relaxed);
        let errno = kind & 0xFFFF;
        if is_lost(number, arguments, errno) {
            board.lost.fetch_add(1, Relaxed);
        }
        if kind & SHORT != 0 {
            return part(number, arguments);
        }
        if kind & TORN != 0 {
            part(number, arguments);
        }
        -i64::from(errno)
    }

    /// Whether it is memory for the C library itself. (The stack of a thread is not.)
    fn is_allocator(number: i64, arguments: [i64; 6], caller: u64) -> bool {
        let of_library = (LIBRARY[0].load(Relaxed)..LIBRARY[1].load(Relaxed)).contains(&caller);
        // Not that for the signals of a new thread: `std` ends the process where it gets none.
        let is_stack = arguments[3] as i32 & libc::MAP_STACK != 0 && arguments[2] as i32 == libc::PROT_NONE;
        number == libc::SYS_mmap && of_library && arguments[4] as i32 == -1 && !is_stack
    }

    /// Whether it is about the standard streams.
    fn is_terminal(number: i64, arguments: [i64; 6]) -> bool {
        matches!(number, libc::SYS_read | libc::SYS_fcntl) && (0..=2).contains(&(arguments[0] as i32))
    }

    /// Whether after this nobody can know what is durable: the pool must not go on.
    fn is_lost(number: i64, arguments: [i64; 6], errno: u32) -> bool {
        match number {
            libc::SYS_fdatasync | libc::SYS_fsync | libc::SYS_msync => errno != libc::EINTR as u32,
            libc::SYS_pwritev2 => errno == libc::EIO as u32 && arguments[5] as i32 & libc::RWF_DSYNC != 0,
            _ => false,
        }
    }

    /// Makes the call for one half of its bytes.
    fn part(number: i64, mut arguments: [i64; 6]) -> i64 {
        if number == libc::SYS_pwritev2 {
            // SAFETY: the call's own list of buffers; pobj writes one at a time.
            let first = unsafe { *(arguments[1] as *const libc::iovec) };
            let half = libc::iovec { iov_base: first.iov_base, iov_len: (first.iov_len / 2).max(1) };
            arguments[1] = std::ptr::from_ref(&half) as i64;
            arguments[2] = 1;
            return make(number, arguments);
        }
        arguments[2] = (arguments[2] / 2).max(1.min(arguments[2]));
        make(number, arguments)
    }
}

#[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
mod trap {
    //! Nothing.

    pub(super) fn install() -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}
