//! A disk with bad blocks: a FUSE file system of one file under many names, which are numbers. Under the name `n` block
//! `n % NAMES` of the file cannot be read (EIO). Each name is a file of its own, so what is written under one is not seen
//! under another.
//!
//! The kernel's protocol is spoken directly (linux/fuse.h, version 7.31), so nothing needs to be installed. Mounting needs
//! `/dev/fuse` and the right to mount.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread::JoinHandle;

/// Bytes of a block.
pub const BLOCK: usize = 4096;
/// Names with a bad block of their own; the next so many have the same.
pub const NAMES: usize = 10_000;
const ROOT: u64 = 1;
/// A file's node is its name and this.
const FIRST_NODE: u64 = 2;

/// The mounted file system. Dropping it unmounts.
pub struct BadDisk {
    at: std::ffi::CString,
    server: Option<JoinHandle<()>>,
}

impl BadDisk {
    /// Mounts it at a directory; says why if that cannot be.
    pub fn mount(at: &Path, contents: Vec<u8>) -> Result<Self, String> {
        use std::os::unix::ffi::OsStrExt;
        let failed = |what: &str| format!("{what}: {}", std::io::Error::last_os_error());
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(|error| format!("/dev/fuse: {error}"))?;
        let at = std::ffi::CString::new(at.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let options = std::ffi::CString::new(options).map_err(|error| error.to_string())?;
        let (kind, flags) = (c"fuse".as_ptr(), libc::MS_NOSUID | libc::MS_NODEV);
        // SAFETY: all arguments are C strings.
        if unsafe { libc::mount(kind, at.as_ptr(), kind, flags, options.as_ptr().cast()) } != 0 {
            return Err(failed("no FUSE mount"));
        }
        let server = std::thread::spawn(move || Server { device, contents, files: HashMap::new() }.serve());
        Ok(Self { at, server: Some(server) })
    }
}

impl Drop for BadDisk {
    fn drop(&mut self) {
        // SAFETY: the argument is a C string.
        unsafe { libc::umount2(self.at.as_ptr(), libc::MNT_DETACH) };
        let _ = self.server.take().map(JoinHandle::join);
    }
}

struct Server {
    device: File,
    contents: Vec<u8>,
    files: HashMap<u64, Vec<u8>>,
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .map_or(0, |bytes| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
}

fn half(bytes: &[u8], at: usize) -> u32 {
    word(&[&bytes[at..at + 4], &[0; 4]].concat(), 0) as u32
}

impl Server {
    fn serve(mut self) {
        let mut request = vec![0; 1 << 20];
        // Ends when the file system is unmounted.
        while let Ok(len) = self.device.read(&mut request) {
            let (unique, opcode, node) = (word(&request, 8), half(&request, 4), word(&request, 16));
            let Some(answer) = self.answer(opcode, node, &request[40..len]) else { continue };
            let (error, body) = match answer {
                Ok(body) => (0, body),
                Err(error) => (-error, Vec::new()),
            };
            let mut reply = ((16 + body.len()) as u32).to_le_bytes().to_vec();
            reply.extend(error.to_le_bytes());
            reply.extend(unique.to_le_bytes());
            reply.extend(body);
            // An error: whoever asked is gone.
            let _ = self.device.write(&reply);
        }
    }

    /// The answer to a request; `None` to those that want none.
    fn answer(&mut self, opcode: u32, node: u64, body: &[u8]) -> Option<Result<Vec<u8>, i32>> {
        Some(match opcode {
            // LOOKUP
            1 => {
                let name = String::from_utf8_lossy(body);
                match name.trim_end_matches('\0').parse::<u64>() {
                    Ok(number) => {
                        let node = number + FIRST_NODE;
                        self.files.entry(node).or_insert_with(|| self.contents.clone());
                        let mut entry = [node.to_le_bytes(), [0; 8], [0; 8], [0; 8], [0; 8]].concat();
                        entry.extend(self.attributes(node));
                        Ok(entry)
                    }
                    Err(_) => Err(libc::ENOENT),
                }
            }
            // FORGET, INTERRUPT, BATCH_FORGET
            2 | 36 | 42 => return None,
            // GETATTR
            3 => Ok([vec![0; 16], self.attributes(node)].concat()),
            // SETATTR: of a new length, if that is one of the fields.
            4 => {
                if half(body, 0) & 1 << 3 != 0 {
                    self.files.entry(node).or_default().resize(word(body, 16) as usize, 0);
                }
                Ok([vec![0; 16], self.attributes(node)].concat())
            }
            // OPEN, OPENDIR
            14 | 27 => Ok(vec![0; 16]),
            // READ
            15 => self.read(node, word(body, 8) as usize, half(body, 16) as usize),
            // WRITE
            16 => {
                let (offset, data) = (word(body, 8) as usize, &body[40..]);
                let file = self.files.entry(node).or_default();
                file.resize(file.len().max(offset + data.len()), 0);
                file[offset..offset + data.len()].copy_from_slice(data);
                Ok([(data.len() as u32).to_le_bytes(), [0; 4]].concat())
            }
            // RELEASE, FSYNC, FLUSH, RELEASEDIR
            18 | 20 | 25 | 29 => Ok(Vec::new()),
            // INIT: version, no reading ahead, no flags, writes of at most 128 KiB.
            26 => {
                let mut init = vec![0; 64];
                init[0] = 7;
                init[4] = 31;
                init[20..24].copy_from_slice(&(128u32 << 10).to_le_bytes());
                init[24] = 1;
                Ok(init)
            }
            _ => Err(libc::ENOSYS),
        })
    }

    fn read(&self, node: u64, offset: usize, len: usize) -> Result<Vec<u8>, i32> {
        let file = self.files.get(&node).ok_or(libc::ENOENT)?;
        let (start, end) = (offset.min(file.len()), (offset + len).min(file.len()));
        let bad = (node - FIRST_NODE) as usize % NAMES * BLOCK;
        if start < bad + BLOCK && bad < end { Err(libc::EIO) } else { Ok(file[start..end].to_vec()) }
    }

    /// `struct fuse_attr`
    fn attributes(&self, node: u64) -> Vec<u8> {
        let len = self.files.get(&node).map_or(0, Vec::len) as u64;
        let mode: u32 = if node == ROOT { 0o40755 } else { 0o100_644 };
        let mut attributes = vec![0; 88];
        attributes[0..8].copy_from_slice(&node.to_le_bytes());
        attributes[8..16].copy_from_slice(&len.to_le_bytes());
        attributes[16..24].copy_from_slice(&len.div_ceil(512).to_le_bytes());
        attributes[60..64].copy_from_slice(&mode.to_le_bytes());
        attributes[64] = 1;
        attributes[80..84].copy_from_slice(&(BLOCK as u32).to_le_bytes());
        attributes
    }
}
