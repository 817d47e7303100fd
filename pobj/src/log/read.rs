//! Reading a log: its entries as they are now, and as they come.
//!
//! Readers copy a stretch of the log at a time, and lend entries from that copy, so nothing that is lent can change, and
//! a writer never waits for a reader's code. Every entry's checksum is verified before it is lent.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Position;
use super::core::{Core, Lap};
use super::frame::{Salt, framed_len};
use super::header::{AREA, End, Header};
use super::recover::whole_append;
use super::scan::{Frame, Window};
use crate::ground::error::{Error, Result};
use crate::media::{FileMedia, Media};

/// How often a reader looks whether something has come: soon at first, then at most so often.
const LOOK_AFTER: Duration = Duration::from_micros(50);
const LOOK_AFTER_MAX: Duration = Duration::from_millis(10);
/// A header that is being written may be read half; so often it is read again.
const HEADER_LOOKS: u32 = 20;

/// An entry, lent by who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// Where it is in the log.
    pub position: Position,
    /// What was appended.
    pub bytes: &'a [u8],
}

/// The entries that a log held when this was made; from [`Log::entries`](super::Log::entries).
///
/// As an iterator it gives copies; [`next_entry`](Self::next_entry) lends the bytes. Both verify each entry. Cost: one read of
/// up to 256 KiB for as many entries as lie there.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("app.log");
/// let log = pobj::log::Log::create(&path, 1 << 20)?;
/// log.append(b"one")?;
/// log.append(b"two")?;
/// let mut entries = log.entries();
/// while let Some(entry) = entries.next_entry()? {
///     assert_eq!(entry.bytes.len(), 3);
/// }
/// let second = log.entries().nth(1).transpose()?.map(|(_, bytes)| bytes);
/// assert_eq!(second.as_deref(), Some(b"two".as_slice()));
/// # Ok::<(), pobj::Error>(())
/// ```
#[derive(Debug)]
pub struct Entries<'l> {
    core: &'l Core,
    lap: Lap,
    at: u64,
    end: u64,
    window: Window,
}

impl<'l> Entries<'l> {
    pub(super) fn new(core: &'l Core) -> Self {
        let (lap, end) = core.view();
        Self { core, lap, at: 0, end, window: Window::default() }
    }

    pub(super) fn from(core: &'l Core, position: Position) -> Result<Self> {
        let all = Self::new(core);
        let at = check_position(position, all.lap.generation, core.align, all.end)?;
        Ok(Self { at, ..all })
    }

    /// The next entry.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] with the offset of an entry whose checksum does not fit, [`Error::Rewound`], [`Error::Io`]. Nothing
    /// follows an error.
    #[inline]
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let found = self.window.frame(&(self.core, self.lap), self.lap.salt, self.at, self.end);
        let frame = match found.and_then(|frame| frame.ok_or_else(|| unreadable(self.at))) {
            Ok(frame) => frame,
            Err(error) => {
                self.at = self.end;
                return Err(error);
            }
        };
        let position = Position { generation: self.lap.generation, offset: self.at };
        self.at += framed_len(frame.head.len(), self.core.align);
        Ok(Some(Entry { position, bytes: self.window.bytes(frame.entry) }))
    }

    /// Where these entries end.
    pub(super) fn end(&self) -> Position {
        Position { generation: self.lap.generation, offset: self.end }
    }

    /// See [`Log::walk`](super::Log::walk).
    pub(super) fn walk<B>(
        mut self,
        chunk: usize,
        len_hint: u64,
        mut each: impl FnMut(&[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        if chunk == 0 {
            let mut all = Vec::with_capacity(usize::try_from(len_hint).unwrap_or(0));
            while let Some(entry) = self.next_entry()? {
                all.extend_from_slice(entry.bytes);
            }
            return Ok(each(&all));
        }
        // What was read and is less than a piece.
        let mut rest: Vec<u8> = Vec::new();
        while let Some(entry) = self.next_entry()? {
            let mut bytes = entry.bytes;
            if !rest.is_empty() {
                let missing = (chunk - rest.len()).min(bytes.len());
                rest.extend_from_slice(&bytes[..missing]);
                bytes = &bytes[missing..];
                if rest.len() < chunk {
                    continue;
                }
                if let ControlFlow::Break(with) = each(&rest) {
                    return Ok(ControlFlow::Break(with));
                }
                rest.clear();
            }
            let mut pieces = bytes.chunks_exact(chunk);
            for piece in &mut pieces {
                if let ControlFlow::Break(with) = each(piece) {
                    return Ok(ControlFlow::Break(with));
                }
            }
            rest.extend_from_slice(pieces.remainder());
        }
        Ok(if rest.is_empty() { ControlFlow::Continue(()) } else { each(&rest) })
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<(Position, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().map(|entry| entry.map(|entry| (entry.position, entry.bytes.to_vec()))).transpose()
    }
}

/// Follows a log: gives its entries in order, and those that are appended meanwhile.
///
/// From [`Log::reader`](super::Log::reader) in the process that owns the log, or from
/// [`Log::open_read_only`](super::Log::open_read_only) in any other. The latter takes no lock and disturbs nobody; it sees what is
/// written as soon as it is in the file, which may be a moment before it is durable. Nothing is ever half seen: not half of an
/// entry, nor a part of an append of several.
///
/// ```
/// use std::time::Duration;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("app.log");
/// let log = pobj::log::Log::create(&path, 1 << 20)?;
/// let mut reader = pobj::log::Log::open_read_only(&path)?;
/// assert!(!reader.wait(Duration::from_millis(1))?);
/// log.append(b"news")?;
/// assert!(reader.wait(Duration::from_secs(5))?);
/// assert_eq!(reader.next_entry()?.map(|entry| entry.bytes.to_vec()), Some(b"news".to_vec()));
/// assert!(reader.next_entry()?.is_none());
/// # Ok::<(), pobj::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader<'l> {
    view: View<'l>,
    at: u64,
    window: Window,
}

/// What a reader knows the log by.
#[derive(Debug)]
enum View<'l> {
    /// In the owner's process.
    Here { core: &'l Core, lap: Lap },
    /// Anywhere else.
    There {
        media: Arc<dyn Media>,
        header: Header,
        /// Appends up to here were found whole.
        whole: u64,
    },
}

impl<'l> Reader<'l> {
    pub(super) fn here(core: &'l Core) -> Self {
        let (lap, _) = core.view();
        Self { view: View::Here { core, lap }, at: 0, window: Window::default() }
    }

    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::on(Arc::new(FileMedia::open_beside_writer(path)?))
    }

    pub(super) fn on(media: Arc<dyn Media>) -> Result<Self> {
        let header = load_header(&*media)?;
        Ok(Self { view: View::There { media, header, whole: 0 }, at: 0, window: Window::default() })
    }

    fn generation(&self) -> u64 {
        match &self.view {
            View::Here { lap, .. } => lap.generation,
            View::There { header, .. } => header.generation,
        }
    }

    fn align(&self) -> u64 {
        match &self.view {
            View::Here { core, .. } => core.align,
            View::There { header, .. } => header.align,
        }
    }

    /// Where the reader stands: the next entry's position. Kept somewhere, it lets a later reader go on from there.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { generation: self.generation(), offset: self.at }
    }

    /// Goes on from `position`, which this log has given.
    ///
    /// # Errors
    ///
    /// [`Error::Rewound`] if it is from before the last rewind, [`Error::OutOfRange`] if it lies beyond the end or where no entry
    /// can begin. A place inside an entry is found at the next read, as [`Error::Corrupt`].
    pub fn seek(&mut self, position: Position) -> Result<()> {
        let end = match &self.view {
            View::Here { core, .. } => core.view().1,
            View::There { header, .. } => header.capacity,
        };
        self.at = check_position(position, self.generation(), self.align(), end)?;
        Ok(())
    }

    /// The next entry, or `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// [`Error::Rewound`] once after the log was rewound: the reader stands at the new beginning then. [`Error::Corrupt`] with the
    /// offset of what was durable and is unreadable; [`Error::Io`].
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>> {
        let Some(frame) = self.find()? else { return Ok(None) };
        let position = self.position();
        self.at += framed_len(frame.head.len(), self.align());
        Ok(Some(Entry { position, bytes: self.window.bytes(frame.entry) }))
    }

    /// Waits until there is an entry, and says whether there is. Looks again and again, every 10 milliseconds at last.
    ///
    /// # Errors
    ///
    /// As [`next_entry`](Self::next_entry).
    pub fn wait(&mut self, timeout: Duration) -> Result<bool> {
        let begun = Instant::now();
        let mut pause = LOOK_AFTER;
        loop {
            if self.find()?.is_some() {
                return Ok(true);
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LOOK_AFTER_MAX);
        }
    }

    /// The frame at which the reader stands.
    fn find(&mut self) -> Result<Option<Frame>> {
        match &self.view {
            View::Here { core, lap } => {
                let (core, lap) = (*core, *lap);
                self.find_here(core, lap)
            }
            View::There { .. } => self.find_there(),
        }
    }

    fn find_here(&mut self, core: &'l Core, mine: Lap) -> Result<Option<Frame>> {
        let (lap, end) = core.view();
        if lap.generation == mine.generation {
            if self.at >= end {
                return Ok(None);
            }
            match self.window.frame(&(core, mine), mine.salt, self.at, end) {
                Err(Error::Rewound) => {}
                other => return other?.map(Some).ok_or_else(|| unreadable(self.at)),
            }
        }
        self.view = View::Here { core, lap: core.view().0 };
        self.begin_again()
    }

    fn find_there(&mut self) -> Result<Option<Frame>> {
        // What was not whole when it was read may be by now.
        let mut is_fresh = false;
        loop {
            if let Some(frame) = self.look()? {
                return Ok(Some(frame));
            }
            let View::There { media, header, whole } = &mut self.view else { return Ok(None) };
            let now = load_header(&**media)?;
            let before = std::mem::replace(header, now);
            if now.generation != before.generation {
                *whole = 0;
                return self.begin_again();
            }
            // The generation is still that in which this was read, and the header knew it to be durable before.
            if is_fresh && self.at < before.tail.offset {
                return Err(unreadable(self.at));
            }
            if is_fresh && self.at >= now.tail.offset {
                return Ok(None);
            }
            self.window.forget();
            is_fresh = true;
        }
    }

    /// The frame at which the reader stands, if the append that it is a part of is whole.
    fn look(&mut self) -> Result<Option<Frame>> {
        let View::There { media, header, whole } = &mut self.view else { return Ok(None) };
        let (media, salt) = (&**media, Salt::new(header.log_id, header.generation));
        let Some(frame) = self.window.frame(&media, salt, self.at, header.limit)? else { return Ok(None) };
        if !frame.head.continues() || self.at < *whole {
            return Ok(Some(frame));
        }
        let from = End { offset: self.at, ..End::default() };
        let Some(end) = whole_append(&media, &mut self.window, header, from)? else { return Ok(None) };
        *whole = end.offset;
        self.window.frame(&media, salt, self.at, header.limit)
    }

    fn begin_again(&mut self) -> Result<Option<Frame>> {
        self.at = 0;
        self.window.forget();
        Err(Error::Rewound)
    }
}

/// The header of a log that its owner may be writing to.
fn load_header(media: &dyn Media) -> Result<Header> {
    let mut looks = 0;
    loop {
        match Header::load(media, false) {
            Err(Error::Corrupt { .. }) if looks < HEADER_LOOKS => {
                looks += 1;
                std::thread::sleep(LOOK_AFTER);
            }
            other => return other,
        }
    }
}

fn unreadable(offset: u64) -> Error {
    Error::corrupt("an entry does not match its checksum", AREA + offset)
}

/// The offset of a position, if an entry of this generation can begin there.
fn check_position(position: Position, generation: u64, align: u64, end: u64) -> Result<u64> {
    if position.generation != generation {
        return Err(Error::Rewound);
    }
    if position.offset > end || !position.offset.is_multiple_of(align) {
        return Err(Error::OutOfRange { index: position.offset, len: end });
    }
    Ok(position.offset)
}
