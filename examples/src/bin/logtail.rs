//! A log of lines: appends what comes on standard input, prints the last entries, and follows the log while others append.
//!
//! ```text
//! date | logtail app.log --append     each line is an entry, durable once it is read
//! logtail app.log                     the last ten entries
//! logtail app.log -n 3 --follow       the last three, and then what comes
//! ```
//!
//! Printing takes no lock: it works while another process has the log open for appending.

use std::collections::VecDeque;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use pobj::Error;
use pobj::log::{Log, Reader};

/// Appends lines to a log, or prints its last entries.
#[derive(Debug, Parser)]
struct Arguments {
    /// The log.
    path: PathBuf,
    /// Append each line of standard input; the log is made if it is missing.
    #[arg(long)]
    append: bool,
    /// Room for entries in a log that is made, in bytes.
    #[arg(long, default_value_t = 16 << 20, value_name = "BYTES")]
    capacity: u64,
    /// Start over when the log is full, instead of giving up.
    #[arg(long, requires = "append")]
    rewind: bool,
    /// Print so many of the last entries.
    #[arg(short = 'n', long, default_value_t = 10, value_name = "COUNT")]
    lines: usize,
    /// Go on with entries as they are appended.
    #[arg(short, long, conflicts_with = "append")]
    follow: bool,
    /// With `--follow`: end when nothing has come for so long.
    #[arg(long, value_name = "MILLISECONDS", requires = "follow")]
    idle: Option<u64>,
}

type Result<T> = std::result::Result<T, examples::Failure>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.append { append(&arguments) } else { print(&arguments) }
}

fn append(arguments: &Arguments) -> Result<()> {
    let log = Log::open_or_create(&arguments.path, arguments.capacity)?;
    for line in io::stdin().lock().split(b'\n') {
        let line = line?;
        match log.append(&line) {
            Err(Error::LogFull { .. }) if arguments.rewind => {
                log.rewind()?;
                log.append(&line)?;
            }
            other => drop(other?),
        }
    }
    Ok(log.close()?)
}

fn print(arguments: &Arguments) -> Result<()> {
    let mut reader = Log::open_read_only(&arguments.path)?;
    let mut out = io::stdout().lock();
    for entry in last(&mut reader, &arguments.path, arguments.lines)? {
        write_line(&mut out, &entry)?;
    }
    if !arguments.follow {
        return Ok(());
    }
    let patience = arguments.idle.map_or(Duration::from_secs(3600), Duration::from_millis);
    loop {
        match reader.wait(patience) {
            Ok(true) => {
                if let Some(entry) = reader.next_entry()? {
                    write_line(&mut out, entry.bytes)?;
                }
            }
            Ok(false) if arguments.idle.is_some() => return Ok(()),
            Ok(false) => {}
            Err(Error::Rewound) => eprintln!("logtail: {} was rewound", arguments.path.display()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The last entries that there are, at most `count`.
fn last(reader: &mut Reader<'_>, path: &Path, count: usize) -> Result<VecDeque<Vec<u8>>> {
    let mut entries = VecDeque::new();
    loop {
        match reader.next_entry() {
            Ok(Some(entry)) => entries.push_back(entry.bytes.to_vec()),
            Ok(None) => return Ok(entries),
            Err(Error::Rewound) => {
                eprintln!("logtail: {} was rewound", path.display());
                entries.clear();
            }
            Err(error) => return Err(error.into()),
        }
        if entries.len() > count {
            entries.pop_front();
        }
    }
}

/// An entry as a line of its own, whatever bytes it has.
fn write_line(out: &mut impl Write, entry: &[u8]) -> io::Result<()> {
    out.write_all(entry)?;
    out.write_all(b"\n")?;
    out.flush()
}
