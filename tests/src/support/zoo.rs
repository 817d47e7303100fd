//! A pool with one of everything, and what it takes to damage copies of it by the ten thousand.

use std::fs;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pobj::media::Media;
use pobj::media::sim::SimMedia;
use pobj::{
    Error, Options, PBox, PCell, PDeque, PHashMap, PHashSet, PList, PListKey, POption, PRc, PRefCell,
    PString, PVec, PWeak, Persistent, Pool, Tx,
};

use super::{Link, quick_directory, small};

#[derive(Persistent, Clone, Copy, Default, PartialEq)]
#[repr(u8)]
pub enum Mood {
    #[default]
    Calm = 3,
    Wild = 200,
}

#[derive(Persistent)]
#[repr(u16)]
pub enum Beast<'p> {
    Fish,
    Bird { wings: bool, song: PString<'p> } = 7,
    Herd(PVec<'p, char>, Mood),
    Pair(PBox<'p, u64>, Option<PBox<'p, Beast<'p>>>) = 900,
}

/// What several visitors hold.
#[derive(Persistent)]
#[repr(C)]
pub struct Ticket<'p> {
    holder: PString<'p>,
    used: PCell<'p, bool>,
    letter: POption<char>,
    twin: PRefCell<'p, Option<PRc<'p, Ticket<'p>>>>,
}

#[derive(Persistent, Default)]
#[repr(C)]
pub struct Zoo<'p> {
    links: Option<PBox<'p, Link<'p>>>,
    open: bool,
    letter: char,
    mood: Mood,
    number: Option<NonZeroU32>,
    grid: [[bool; 3]; 2],
    first: Option<PBox<'p, Beast<'p>>>,
    name: PString<'p>,
    beasts: PVec<'p, Beast<'p>>,
    keepers: PHashMap<'p, PString<'p>, PVec<'p, u16>>,
    by_number: PHashMap<'p, u32, char>,
    plain: PVec<'p, u64>,
    queue: PDeque<'p, PString<'p>>,
    parade: PList<'p, Beast<'p>>,
    leader: Option<PListKey>,
    seats: PHashSet<'p, u16>,
    tickets: PVec<'p, PRc<'p, Ticket<'p>>>,
    lost: Option<PWeak<'p, Ticket<'p>>>,
}

/// Room for a chunk of each size of block that the animals take.
const MAX_SIZE: u64 = 5 << 19;

pub fn options() -> Options<Zoo<'static>> {
    small(MAX_SIZE)
}

fn text<'p>(tx: &Tx<'p>, number: u64) -> pobj::Result<PString<'p>> {
    PString::from_str(tx, &format!("keeper \u{e9}\u{1F418} {number} ").repeat(1 + number as usize % 5))
}

fn beast<'p>(tx: &Tx<'p>, number: u64) -> pobj::Result<Beast<'p>> {
    Ok(match number % 4 {
        0 => Beast::Fish,
        1 => Beast::Bird { wings: number % 8 == 1, song: text(tx, number)? },
        2 => Beast::Herd(PVec::from_slice(tx, &['a', '\u{10FFFF}', '\u{d7ff}'])?, Mood::Wild),
        _ => Beast::Pair(PBox::new(tx, number)?, Some(PBox::new(tx, beast(tx, number / 4)?)?)),
    })
}

/// One transaction: something of everything is made, changed and removed.
pub fn live<'p>(zoo: &mut Zoo<'p>, tx: &Tx<'p>, number: u64) -> pobj::Result<()> {
    for value in 0..3 {
        let next = zoo.links.take();
        zoo.links = Some(PBox::new(tx, Link { value: number * 10 + value, next })?);
    }
    if let Some(link) = zoo.links.take() {
        zoo.links = link.into_inner(tx).next;
    }
    zoo.open = !zoo.open;
    zoo.letter = char::from_u32(97 + number as u32 % 26).unwrap_or('?');
    zoo.mood = if number.is_multiple_of(2) { Mood::Wild } else { Mood::Calm };
    zoo.number = NonZeroU32::new(number as u32 % 3);
    zoo.grid[number as usize % 2][number as usize % 3] ^= true;
    zoo.first = Some(PBox::new(tx, beast(tx, number)?)?);
    zoo.name.push_str(tx, "z\u{fc}")?;
    let beast = beast(tx, number + 1)?;
    zoo.beasts.push(tx, beast)?;
    if number % 4 == 3 {
        drop(zoo.beasts.swap_remove(0, tx));
    }
    let key = text(tx, number % 11)?;
    zoo.keepers.entry(key, tx).or_default()?.push(tx, number as u16)?;
    zoo.by_number.insert(tx, number as u32 * 77, zoo.letter)?;
    zoo.by_number.remove(&(number as u32 * 77 / 3), tx);
    zoo.queue.push_back(tx, text(tx, number)?)?;
    if number % 3 == 2 {
        zoo.queue.pop_front();
    }
    let key = zoo.parade.push_back(tx, self::beast(tx, number + 2)?)?;
    match number % 4 {
        1 => zoo.leader = Some(key),
        2 => drop(zoo.leader.and_then(|leader| zoo.parade.remove(leader, tx))),
        _ => drop(zoo.parade.move_to_front(key, tx)),
    }
    zoo.seats.insert(tx, number as u16 * 7)?;
    zoo.seats.remove(&(number as u16 / 2 * 7), tx);
    if zoo.plain.len() < 5000 {
        zoo.plain.extend(tx, (0..1000).map(|word| word ^ number << 32))?;
    }
    sell(zoo, tx, number)
}

/// A change of so many words that its record lies outside the ring.
pub fn spill<'p>(zoo: &mut Zoo<'p>, tx: &Tx<'p>) -> pobj::Result<()> {
    zoo.plain.extend(tx, (0..6000).map(|word| word ^ 0x5555))
}

/// A change of so many words that, in place, the old ones lie outside the ring.
pub fn touch_all<'p>(zoo: &mut Zoo<'p>, tx: &Tx<'p>) -> pobj::Result<()> {
    live(zoo, tx, 30)?;
    zoo.plain.iter_mut(tx).for_each(|word| *word ^= 0x7777);
    Ok(())
}

/// Shared tickets: one is made, one is used, one is cloned, and from time to time one is dropped.
fn sell<'p>(zoo: &mut Zoo<'p>, tx: &Tx<'p>, number: u64) -> pobj::Result<()> {
    let last = zoo.tickets.last().map(|last| last.clone(tx));
    let ticket = PRc::new(
        tx,
        Ticket {
            holder: text(tx, number)?,
            used: PCell::new(false),
            letter: Some(zoo.letter).filter(|_| !number.is_multiple_of(3)).into(),
            twin: PRefCell::new(last),
        },
    )?;
    ticket.used.set(number.is_multiple_of(2), tx);
    zoo.lost = Some(PRc::downgrade(&ticket, tx));
    zoo.tickets.push(tx, ticket.clone(tx))?;
    if !number.is_multiple_of(2) {
        zoo.tickets.push(tx, ticket)?;
    }
    if zoo.tickets.len() > 6 {
        let first = zoo.tickets.remove(0, tx);
        first.into_iter().for_each(|first| drop(first.twin.take(tx)));
    }
    Ok(())
}

impl Zoo<'_> {
    /// How many transactions it has seen, up to five.
    pub fn lived(&self) -> u64 {
        self.plain.len() as u64 / 1000
    }
}

/// Mixes everything that is reachable into one number.
pub fn walk(zoo: &Zoo<'_>) -> u64 {
    let mut sum = Sum(1);
    let mut link = zoo.links.as_deref();
    while let Some(Link { value, next }) = link {
        sum.add(*value);
        link = next.as_deref();
    }
    sum.add(u64::from(zoo.open) << 40 | u64::from(zoo.letter as u32) << 8 | zoo.mood as u64);
    sum.add(zoo.number.map_or(0, |number| u64::from(number.get())));
    zoo.grid.iter().flatten().for_each(|cell| sum.add(u64::from(*cell)));
    if let Some(first) = &zoo.first {
        walk_beast(first, &mut sum);
    }
    sum.add_text(&zoo.name);
    zoo.beasts.iter().for_each(|beast| walk_beast(beast, &mut sum));
    let mut keys: Vec<_> = zoo.keepers.iter().collect();
    keys.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
    for (key, value) in keys {
        sum.add_text(key);
        value.iter().for_each(|number| sum.add(u64::from(*number)));
        // Looking up must end; it finds what the map's own index says.
        let _ = zoo.keepers.get(key.as_str());
    }
    let mut numbers: Vec<_> = zoo.by_number.iter().map(|(key, letter)| (*key, *letter)).collect();
    numbers.sort_unstable();
    numbers.iter().for_each(|(key, letter)| sum.add(u64::from(*key) << 32 | u64::from(*letter as u32)));
    zoo.plain.iter().for_each(|word| sum.add(*word));
    zoo.queue.iter().for_each(|text| sum.add_text(text));
    zoo.parade.iter().for_each(|beast| walk_beast(beast, &mut sum));
    assert_eq!(zoo.parade.iter().rev().count(), zoo.parade.len());
    if let Some(leader) = zoo.leader.and_then(|key| zoo.parade.get(key)) {
        walk_beast(leader, &mut sum);
    }
    let mut seats: Vec<u16> = zoo.seats.iter().copied().collect();
    seats.sort_unstable();
    seats.iter().for_each(|seat| sum.add(u64::from(*seat)));
    for ticket in &zoo.tickets {
        walk_ticket(ticket, &mut sum);
        if let Some(twin) = &*ticket.twin.borrow() {
            walk_ticket(twin, &mut sum);
        }
    }
    sum.add(zoo.lost.as_ref().map_or(0, PWeak::strong_count));
    sum.0
}

fn walk_ticket(ticket: &PRc<'_, Ticket<'_>>, sum: &mut Sum) {
    sum.add_text(&ticket.holder);
    sum.add(u64::from(ticket.used.get()) << 40 | ticket.letter.copied().map_or(0, u64::from));
    sum.add(PRc::strong_count(ticket) << 8 | PRc::weak_count(ticket));
}

fn walk_beast(mut beast: &Beast<'_>, sum: &mut Sum) {
    loop {
        match beast {
            Beast::Fish => return sum.add(1),
            Beast::Bird { wings, song } => {
                sum.add(2 + u64::from(*wings));
                return sum.add_text(song);
            }
            Beast::Herd(letters, mood) => {
                sum.add(4 + *mood as u64);
                return letters.iter().for_each(|letter| sum.add(u64::from(*letter as u32)));
            }
            Beast::Pair(number, next) => {
                sum.add(**number);
                let Some(next) = next else { return };
                beast = next;
            }
        }
    }
}

/// Mixes words into a number.
pub struct Sum(pub u64);

impl Sum {
    /// One more word.
    pub fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
    }

    /// A text, whose characters are looked at.
    pub fn add_text(&mut self, text: &str) {
        assert!(text.chars().count() <= text.len());
        text.bytes().for_each(|byte| self.add(u64::from(byte)));
        self.add(u64::MAX);
    }
}

/// What became of a file.
#[derive(Debug)]
pub enum Fate {
    Refused(Error),
    /// It opened; what the walk gave.
    Lives(u64),
}

/// Where damaged copies are opened.
pub enum Place {
    /// In a file, as programs do.
    File(tempfile::TempDir),
    /// In memory, which spares most of the system calls: for the suites that try every bit.
    Memory(SimMedia),
}

impl Place {
    pub fn path(directory: &tempfile::TempDir) -> PathBuf {
        directory.path().join("patient.pobj")
    }

    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::File(directory) => fs::read(Self::path(directory)).unwrap(),
            Self::Memory(media) => media.bytes(),
        }
    }

    pub fn create(&self) -> Pool<Zoo<'static>> {
        match self {
            Self::File(directory) => options().create(Self::path(directory)).unwrap(),
            Self::Memory(media) => {
                options().create_on(Arc::new(media.clone()), |_| Ok(Zoo::default())).unwrap()
            }
        }
    }

    /// Opens these bytes, and uses them if they open. `Err` is what must not happen.
    pub fn try_use(&self, bytes: &[u8]) -> Result<Fate, String> {
        match self {
            Self::File(directory) => {
                let path = Self::path(directory);
                // Over the old bytes: a file made anew costs more than all the rest.
                let file = fs::File::options().create(true).truncate(false).write(true).open(&path).unwrap();
                file.set_len(bytes.len() as u64).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, bytes, 0).unwrap();
                drop(file);
                use_pool(&|| options().open(&path))
            }
            Self::Memory(media) => {
                let media: Arc<dyn Media> = Arc::new(media.ram_with_bytes(bytes.to_vec()));
                use_pool(&|| options().open_on(Arc::clone(&media)))
            }
        }
    }
}

/// A pool to damage.
pub struct Patient {
    pub place: Place,
    pub bytes: Vec<u8>,
    /// What the pool holds; for a crashed one after each transaction that its journal holds.
    pub walks: Vec<u64>,
    pub slowest: Duration,
    pub refused: u64,
    pub lived: u64,
}

const TRANSACTIONS: u64 = 24;

impl Patient {
    pub fn file() -> Place {
        Place::File(quick_directory())
    }

    pub fn memory() -> Place {
        Place::Memory(SimMedia::new(MAX_SIZE).unwrap())
    }

    /// A pool that was closed.
    pub fn closed(place: Place) -> Self {
        let pool = Self::fill(&place);
        let walks = vec![walk(&pool.read())];
        pool.close().unwrap();
        Self::new(place, walks)
    }

    /// A pool as a crash leaves it: its last transactions are in the journal only.
    pub fn crashed(place: Place) -> Self {
        let pool = Self::fill(&place);
        pool.checkpoint().unwrap();
        let mut walks = vec![walk(&pool.read())];
        for number in TRANSACTIONS..TRANSACTIONS + 5 {
            pool.write(|zoo, tx| live(zoo, tx, number)).unwrap();
            walks.push(walk(&pool.read()));
        }
        let mut patient = Self::new(place, walks);
        // What was made ready for growth is not the pool's yet: a file without it is whole.
        patient.bytes.truncate(pool.stats().len as usize);
        drop(pool);
        patient
    }

    fn fill(place: &Place) -> Pool<Zoo<'static>> {
        let pool = place.create();
        for number in 0..TRANSACTIONS {
            pool.write(|zoo, tx| live(zoo, tx, number)).unwrap();
        }
        pool
    }

    fn new(place: Place, walks: Vec<u64>) -> Self {
        let bytes = place.bytes();
        Self { place, bytes, walks, slowest: Duration::ZERO, refused: 0, lived: 0 }
    }

    /// Opens a copy with these bytes, and uses it if it opens.
    pub fn treat(&mut self, bytes: &[u8], what: &dyn Fn() -> String) -> Fate {
        let begun = Instant::now();
        let fate = catch_unwind(AssertUnwindSafe(|| self.place.try_use(bytes)));
        let took = begun.elapsed();
        self.slowest = self.slowest.max(took);
        assert!(took < Duration::from_secs(1), "{}: took {took:?}", what());
        match fate {
            Err(_) => panic!("{}: panicked", what()),
            Ok(Err(wrong)) => panic!("{}: {wrong}", what()),
            Ok(Ok(fate)) => {
                *(if matches!(fate, Fate::Refused(_)) { &mut self.refused } else { &mut self.lived }) += 1;
                fate
            }
        }
    }

    /// `POBJ_BITS_EVERY`, for who has no time to flip every bit: each so-manieth is.
    pub fn bits_every() -> usize {
        std::env::var("POBJ_BITS_EVERY").ok().and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
    }

    /// Flips every bit of a range in turn ([`bits_every`](Self::bits_every)). Where the file opens, it must hold what one
    /// of `walks` says.
    pub fn flip_all(&mut self, name: &str, range: std::ops::Range<usize>, every: usize) {
        let mut bytes = self.bytes.clone();
        let (refused, lived) = (self.refused, self.lived);
        for bit in (range.start * 8..range.end * 8).step_by(every * Self::bits_every()) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let what = || format!("{name}: bit {} of byte {:#x}", bit % 8, bit / 8);
            if let Fate::Lives(found) = self.treat(&bytes, &what) {
                assert!(self.walks.contains(&found), "{}: opened with another content", what());
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        println!("{name}: {} bits refused, {} harmless", self.refused - refused, self.lived - lived);
    }

    pub fn word(&self, at: usize) -> usize {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap()) as usize
    }

    pub fn finish(&self, name: &str) {
        println!("{name}: {} refused, {} lived, slowest {:?}", self.refused, self.lived, self.slowest);
    }
}

/// Opens, walks, changes, closes and reopens; an error only for what must not happen.
pub fn use_pool(open: &dyn Fn() -> pobj::Result<Pool<Zoo<'static>>>) -> Result<Fate, String> {
    let pool = match open() {
        Ok(pool) => pool,
        Err(error) => return Ok(Fate::Refused(error)),
    };
    let found = walk(&pool.read());
    match pool.write(|zoo, tx| live(zoo, tx, 5)) {
        // Damage may have filled it up; that is known and rolled back.
        Ok(()) | Err(Error::PoolFull { .. }) => {}
        Err(error) => return Err(format!("it opened, and a transaction failed: {error}")),
    }
    let after = walk(&pool.read());
    pool.close().map_err(|error| format!("it opened, and closing failed: {error}"))?;
    let pool = open().map_err(|error| format!("it opened once, and not again: {error}"))?;
    if walk(&pool.read()) != after {
        return Err("reopening changed its content".to_owned());
    }
    Ok(Fate::Lives(found))
}

pub const HEADERS: [usize; 2] = [0, 0x1000];
pub const RING_STATES: [usize; 2] = [0x2000, 0x3000];
pub const SUPERBLOCK: usize = 0x4000;
pub const DIRECTORY: usize = 0x5000;
/// Words of the header: offset and length of the schema, of the ring.
pub const SCHEMA_WORD: usize = 104;
pub const RING_WORD: usize = 136;
