//! The index in a pool. One transaction for each file, so whatever ends the program leaves whole files.
//!
//! **Two forms.** A word has a number. A file that was just read brings a list (word number, count), stored with the
//! file: the *forward* form, one block, whatever the words. When many files wait, [`settle`] moves their postings to the
//! words, (file id, count): the *inverted* form. So a word that a thousand files share is touched once and not a
//! thousand times. Readers look at both forms, and an answer never depends on which one a file is in.
//!
//! **Ids.** Each version of a file gets an id of its own, which is never used again. So forgetting a file is removing its
//! id from `files`: its postings are dead from then on, wherever they are, and whoever reads postings skips ids that
//! are not in `files`. When a quarter of all postings is dead, [`settle`] drops them, a few thousand words in each
//! transaction; killed half-way, it has done half of the work.
//!
//! **Space.** Lists are bytes ([`postings`](crate::postings)); ids only grow, so a new posting goes to the end. A word
//! takes 24 bytes in the dictionary and 16 in its index, 24 for its list, and its text and postings.
//!
//! [`settle`]: PersistentIndex::settle

use std::collections::HashMap;
use std::path::Path;

use pobj::{Durability, Error, PHashMap, PString, PVec, Persistent, Pool, Tx};

use crate::Failure;
use crate::postings::{Encoded, decode};
use crate::update::{Content, Index};
use crate::walk::Found;

/// The pool's root.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct WordIndex<'p> {
    /// The number of each word.
    pub words: PHashMap<'p, PString<'p>, u32>,
    /// What is indexed, by id.
    pub files: PHashMap<'p, u32, File<'p>>,
    /// The postings of each word, by number: pages of [`PAGE`] lists, so that growing copies none.
    lists: PVec<'p, PVec<'p, List<'p>>>,
    /// Numbers of words that occur nowhere any more, for the next new words.
    free_numbers: PVec<'p, u32>,
    /// Files whose postings are in forward form; some may be gone.
    waiting: PVec<'p, u32>,
    /// Postings of these files.
    waiting_postings: u64,
    /// Postings in `lists`.
    listed_postings: u64,
    /// Of them, those whose file is gone.
    dead_postings: u64,
    /// The id of the next file.
    next_file: u32,
}

/// The postings of a word: file ids and counts.
#[derive(Persistent, Default)]
#[repr(C)]
struct List<'p> {
    postings: PVec<'p, u8>,
    /// The last file in them.
    last_file: u32,
}

/// A version of a file.
#[derive(Persistent)]
#[repr(C)]
pub struct File<'p> {
    /// The absolute path.
    pub path: PString<'p>,
    /// Word numbers and counts, until they are in the words' lists.
    waiting: PVec<'p, u8>,
    /// Length in bytes.
    pub len: u64,
    /// Time of the last change in nanoseconds since 1970.
    pub modified_ns: i64,
    /// Number of different words.
    pub words: u32,
    /// What it holds.
    pub kind: Kind,
}

/// What a file holds.
#[derive(Persistent, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Words.
    Text,
    /// No words.
    Binary,
}

/// Lists in a page.
const PAGE: usize = 1024;
/// Postings wait until they are so many, and this part of those in the lists.
const WAITING_MIN: u64 = 200_000;
const WAITING_PART: u64 = 4;
/// Fewer dead postings than this are not worth a pass; the pass begins when this part of all is dead.
const DEAD_MIN: u64 = 10_000;
const DEAD_PART: u64 = 4;
/// Words that one transaction of such a pass looks at.
const PASS: u32 = 4096;
/// A larger ring makes checkpoints rarer, so that a page that changes often is written home less often.
const RING_SIZES: std::ops::RangeInclusive<u64> = 1 << 20..=32 << 20;
/// The ring's part of the bytes that are to be indexed.
const RING_PART: u64 = 16;

impl<'p> WordIndex<'p> {
    /// Postings of files that are there.
    #[must_use]
    pub fn live_postings(&self) -> u64 {
        self.waiting_postings + self.listed_postings - self.dead_postings
    }

    /// The postings (file id, count) of a word in files that are there, given its number.
    #[must_use]
    pub fn postings(&self, number: u32) -> Vec<(u32, u32)> {
        let listed = self.list(number).map_or(&[][..], |list| &list.postings);
        let listed = decode(listed).filter(|(file, _)| self.files.contains_key(file));
        let waiting =
            self.waiting().filter(|&(_, word, _)| word == number).map(|(file, _, count)| (file, count));
        listed.chain(waiting).collect()
    }

    /// Occurrences of each word and the files that have it, by word number.
    #[must_use]
    pub fn totals(&self) -> Vec<(u64, u64)> {
        let mut totals = vec![(0, 0); self.lists.len() * PAGE];
        let listed = self.lists.iter().flat_map(|page| page.iter()).map(|list| decode(&list.postings));
        for (total, postings) in totals.iter_mut().zip(listed) {
            for (_, count) in postings.filter(|(file, _)| self.files.contains_key(file)) {
                *total = (total.0 + u64::from(count), total.1 + 1);
            }
        }
        for (_, word, count) in self.waiting() {
            if let Some(total) = totals.get_mut(word as usize) {
                *total = (total.0 + u64::from(count), total.1 + 1);
            }
        }
        totals
    }

    fn list(&self, number: u32) -> Option<&List<'p>> {
        self.lists.get(number as usize / PAGE)?.get(number as usize % PAGE)
    }

    /// Postings in forward form: (file id, word number, count).
    fn waiting(&self) -> impl Iterator<Item = (u32, u32, u32)> {
        let files = self.waiting.iter().filter_map(|&id| Some((id, self.files.get(&id)?)));
        files.flat_map(|(id, file)| decode(&file.waiting).map(move |(word, count)| (id, word, count)))
    }
}

/// The index in a pool, open for writing.
#[derive(Debug)]
pub struct PersistentIndex {
    pool: Pool<WordIndex<'static>>,
    /// The process is killed inside the transaction of the file with this number, counted from 1 at opening.
    kill_after: Option<u64>,
    replaced: u64,
}

impl PersistentIndex {
    /// Opens the index at `path`, or makes an empty one, fit for `bytes` bytes of text.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::open_or_create`].
    pub fn open_or_create(path: &Path, bytes: u64) -> Result<Self, Failure> {
        let ring_size = (bytes / RING_PART).clamp(*RING_SIZES.start(), *RING_SIZES.end());
        let options = Pool::<WordIndex>::options().durability(Durability::Eventual).ring_size(ring_size);
        Ok(Self { pool: options.open_or_create(path)?, kill_after: None, replaced: 0 })
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &Pool<WordIndex<'static>> {
        &self.pool
    }

    /// Has the process killed inside the transaction of the `count`-th file from now on.
    pub fn kill_after(&mut self, count: u64) {
        self.kill_after = Some(self.replaced + count);
    }

    /// Brings all postings into inverted form, drops dead ones if there are many, and makes everything durable.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::write`]; what was done until then is done.
    pub fn settle(&self) -> Result<(), Failure> {
        self.invert()?;
        let (dead, all) = {
            let index = self.pool.read();
            (index.dead_postings, index.listed_postings)
        };
        if dead >= DEAD_MIN.max(all / DEAD_PART) {
            self.drop_dead_postings()?;
            self.drop_unused_words()?;
        }
        Ok(self.pool.sync()?)
    }

    fn invert(&self) -> pobj::Result<()> {
        self.pool.write(|index, tx| {
            let mut postings = index.waiting().collect::<Vec<_>>();
            postings.sort_unstable_by_key(|&(file, word, _)| (word, file));
            let mut bytes = Vec::new();
            for postings in postings.chunk_by(|a, b| a.1 == b.1) {
                let Some(&(_, word, _)) = postings.first() else { continue };
                let Some(page) = index.lists.get_mut(word as usize / PAGE, tx) else { continue };
                let Some(list) = page.get_mut(word as usize % PAGE, tx) else { continue };
                bytes.clear();
                for &(file, _, count) in postings {
                    bytes.extend_from_slice(Encoded::new(file - list.last_file, count).as_slice());
                    list.last_file = file;
                }
                list.postings.extend_from_slice(tx, &bytes)?;
            }
            for id in &index.waiting {
                if let Some(file) = index.files.get_mut(id, tx) {
                    file.waiting = PVec::new();
                }
            }
            index.waiting = PVec::new();
            index.listed_postings += postings.len() as u64;
            index.waiting_postings = 0;
            Ok(())
        })
    }

    fn drop_dead_postings(&self) -> pobj::Result<()> {
        let numbers = (self.pool.read().lists.len() * PAGE) as u32;
        for first in (0..numbers).step_by(PASS as usize) {
            self.pool.write(|index, tx| {
                for number in first..numbers.min(first + PASS) {
                    drop_dead(index, tx, number)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Forgets words without postings. No file waits, so nothing else knows their numbers.
    fn drop_unused_words(&self) -> pobj::Result<()> {
        let unused = {
            let index = self.pool.read();
            let unused = |number| index.list(number).is_some_and(|list| list.postings.is_empty());
            let words = index.words.iter().filter(|(_, number)| unused(**number));
            words.map(|(word, _)| word.to_string()).collect::<Vec<_>>()
        };
        for words in unused.chunks(PASS as usize) {
            self.pool.write(|index, tx| {
                for word in words {
                    if let Some(number) = index.words.remove(word.as_str(), tx) {
                        index.free_numbers.push(tx, number)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Makes everything durable and closes the pool.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::close`].
    pub fn close(self) -> Result<(), Failure> {
        Ok(self.pool.close()?)
    }
}

impl Index for PersistentIndex {
    fn known(&self) -> HashMap<String, (u32, Found)> {
        let index = self.pool.read();
        let found = |(id, file): (&u32, &File<'_>)| {
            let path = file.path.to_string();
            (path.clone(), (*id, Found { path, len: file.len, modified_ns: file.modified_ns }))
        };
        index.files.iter().map(found).collect()
    }

    fn replace(&mut self, old: Option<u32>, file: &Found, content: &Content<'_>) -> Result<(), Failure> {
        self.replaced += 1;
        let kill = self.kill_after == Some(self.replaced);
        let many_wait = self.pool.write(|index, tx| {
            if let Some(id) = old {
                forget(index, tx, id);
            }
            take_in(index, tx, file, content)?;
            if kill {
                // As a power button would: nothing is unwound, nothing flushed, and the transaction never commits.
                let _ =
                    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            }
            Ok(index.waiting_postings >= WAITING_MIN.max(index.listed_postings / WAITING_PART))
        })?;
        if many_wait {
            self.invert()?;
        }
        Ok(())
    }

    fn remove(&mut self, id: u32) -> Result<(), Failure> {
        Ok(self.pool.write(|index, tx| {
            forget(index, tx, id);
            Ok(())
        })?)
    }
}

/// Takes a file out. Its postings are gone, or dead from now on.
fn forget<'p>(index: &mut WordIndex<'p>, tx: &Tx<'p>, id: u32) {
    let Some(file) = index.files.remove(&id, tx) else { return };
    if file.waiting.is_empty() {
        index.dead_postings += u64::from(file.words);
    } else {
        index.waiting_postings -= u64::from(file.words);
    }
}

/// Gives a file a new id, and new words numbers.
fn take_in<'p>(
    index: &mut WordIndex<'p>,
    tx: &Tx<'p>,
    file: &Found,
    content: &Content<'_>,
) -> pobj::Result<()> {
    let id = index.next_file;
    index.next_file =
        id.checked_add(1).ok_or_else(|| Error::abort("the index has no file ids left; make a new one"))?;
    let mut postings = Vec::new();
    if let Content::Text(counts) = content {
        for (&word, &count) in counts {
            let known = index.words.get(word).copied();
            let number = known.map_or_else(|| add_word(index, tx, word), Ok)?;
            postings.push((number, count));
        }
    }
    postings.sort_unstable();
    let mut bytes = Vec::new();
    let mut last = 0;
    for &(number, count) in &postings {
        bytes.extend_from_slice(Encoded::new(number - last, count).as_slice());
        last = number;
    }
    let file = File {
        path: PString::from_str(tx, &file.path)?,
        waiting: PVec::from_slice(tx, &bytes)?,
        len: file.len,
        modified_ns: file.modified_ns,
        words: postings.len() as u32,
        kind: if matches!(content, Content::Binary) { Kind::Binary } else { Kind::Text },
    };
    index.files.insert(tx, id, file)?;
    index.waiting.push(tx, id)?;
    index.waiting_postings += postings.len() as u64;
    Ok(())
}

fn add_word<'p>(index: &mut WordIndex<'p>, tx: &Tx<'p>, word: &str) -> pobj::Result<u32> {
    let number = match index.free_numbers.pop() {
        Some(number) => number,
        None => next_number(index, tx)?,
    };
    let word = PString::from_str(tx, word)?;
    index.words.insert(tx, word, number)?;
    Ok(number)
}

/// The number of a new list.
fn next_number<'p>(index: &mut WordIndex<'p>, tx: &Tx<'p>) -> pobj::Result<u32> {
    if index.lists.last().is_none_or(|page| page.len() == PAGE) {
        let page = PVec::with_capacity(tx, PAGE)?;
        index.lists.push(tx, page)?;
    }
    let full = (index.lists.len() - 1) * PAGE;
    let Some(page) = index.lists.last_mut(tx) else { return Err(Error::abort("the index has no page")) };
    page.push(tx, List::default())?;
    u32::try_from(full + page.len() - 1).map_err(|_| Error::abort("the index has no word numbers left"))
}

/// Drops the postings of a word whose files are gone.
fn drop_dead<'p>(index: &mut WordIndex<'p>, tx: &Tx<'p>, number: u32) -> pobj::Result<()> {
    let Some(list) = index.list(number) else { return Ok(()) };
    let mut live = Vec::new();
    let mut last_file = 0;
    let mut dropped = 0;
    for (file, count) in decode(&list.postings) {
        if index.files.contains_key(&file) {
            live.extend_from_slice(Encoded::new(file - last_file, count).as_slice());
            last_file = file;
        } else {
            dropped += 1;
        }
    }
    if dropped == 0 {
        return Ok(());
    }
    let postings = PVec::from_slice(tx, &live)?;
    if let Some(page) = index.lists.get_mut(number as usize / PAGE, tx)
        && let Some(list) = page.get_mut(number as usize % PAGE, tx)
    {
        *list = List { postings, last_file };
    }
    index.listed_postings -= dropped;
    index.dead_postings -= dropped;
    Ok(())
}
