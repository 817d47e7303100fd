//! A pool with one of every kind of value. What it holds after so many rounds is worked out beside it in `std`, so that a
//! file is compared with this text and not with what wrote it.
//!
//! The types here are those of the kept files: they never change.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;

use pobj::{
    PArc, PArcWeak, PAtomicU64, PBTreeMap, PBTreeSet, PBox, PCell, PConcurrentMap, PDeque, PHashMap,
    PHashSet, PList, PListKey, PMutex, POption, PRc, PRefCell, PRwLock, PString, PVec, PWeak, Persistent,
    Pool, Result, Tx,
};

#[derive(Persistent, Clone, Copy, Default, PartialEq, Debug)]
#[repr(u8)]
pub enum Mood {
    #[default]
    Calm = 3,
    Wild = 200,
}

#[derive(Persistent)]
#[repr(u16)]
pub enum Exhibit<'p> {
    Empty,
    Named { seen: bool, name: PString<'p> } = 7,
    Letters(PVec<'p, char>, Mood),
    Pair(PBox<'p, u64>, Option<PBox<'p, Exhibit<'p>>>) = 900,
}

#[derive(Persistent)]
#[repr(C)]
pub struct Ticket<'p> {
    holder: PString<'p>,
    used: PCell<'p, bool>,
    before: PRefCell<'p, Option<PRc<'p, Ticket<'p>>>>,
}

#[derive(Persistent, Default)]
#[repr(C)]
pub struct Museum<'p> {
    letter: char,
    open: bool,
    mood: Mood,
    number: Option<NonZeroU32>,
    height: f64,
    grid: [[u16; 3]; 2],
    exhibit: Option<PBox<'p, Exhibit<'p>>>,
    name: PString<'p>,
    maybe: POption<char>,
    words: PVec<'p, u64>,
    queue: PDeque<'p, PString<'p>>,
    list: PList<'p, u32>,
    middle: Option<PListKey>,
    map: PHashMap<'p, PString<'p>, PVec<'p, u16>>,
    set: PHashSet<'p, u16>,
    ordered: PBTreeMap<'p, PString<'p>, i64>,
    ordered_set: PBTreeSet<'p, i32>,
    tickets: PVec<'p, PRc<'p, Ticket<'p>>>,
    last: Option<PWeak<'p, Ticket<'p>>>,
    counters: PVec<'p, PArc<'p, PMutex<'p, u64>>>,
    counter: Option<PArcWeak<'p, PMutex<'p, u64>>>,
    guarded: PMutex<'p, PVec<'p, u64>>,
    rules: PRwLock<'p, PString<'p>>,
    visitors: PAtomicU64<'p>,
    many: PConcurrentMap<'p, u32, PString<'p>>,
}

/// A text of some length, for each number another.
fn text(number: u64) -> String {
    format!("\u{e9}\u{1F3DB} {number} ").repeat(1 + number as usize % 4)
}

fn name(number: u64) -> String {
    format!("exhibit {:03}", number * 37 % 1000)
}

/// What a root is made as.
pub fn new<'p>(tx: &Tx<'p>) -> Result<Museum<'p>> {
    Ok(Museum { many: PConcurrentMap::with_parts(tx, 4)?, ..Museum::default() })
}

/// One transaction: something of everything is made, changed and removed.
pub fn round<'p>(museum: &mut Museum<'p>, tx: &Tx<'p>, round: u64) -> Result<()> {
    museum.letter = ['a', '\u{e9}', '\u{10FFFF}'][round as usize % 3];
    museum.open = !round.is_multiple_of(2);
    museum.mood = if museum.open { Mood::Wild } else { Mood::Calm };
    museum.number = NonZeroU32::new(round as u32 % 4);
    museum.height = round as f64 / 8.0;
    museum.grid[round as usize % 2][round as usize % 3] = round as u16;
    museum.exhibit = Some(PBox::new(tx, exhibit(tx, round)?)?);
    museum.name.push_str(tx, &format!("{round} "))?;
    museum.maybe = Some(museum.letter).filter(|_| museum.open).into();
    museum.words.extend(tx, (round * 50..round * 50 + 50).map(|word| word * word))?;
    museum.queue.push_back(tx, PString::from_str(tx, &text(round))?)?;
    if round % 3 == 2 {
        museum.queue.pop_front();
    }
    let key = museum.list.push_back(tx, round as u32)?;
    match round % 4 {
        1 => museum.middle = Some(key),
        2 => drop(museum.list.move_to_front(key, tx)),
        _ => {}
    }
    let key = PString::from_str(tx, &text(round % 7))?;
    museum.map.entry(key, tx).or_default()?.push(tx, round as u16)?;
    museum.set.insert(tx, round as u16 * 7)?;
    museum.set.remove(&(round as u16 / 2 * 7), tx);
    for number in round * 8..round * 8 + 8 {
        museum.ordered.insert(tx, PString::from_str(tx, &name(number))?, -(number as i64))?;
        museum.ordered_set.insert(tx, 1000 - number as i32)?;
    }
    museum.ordered.remove(name(round).as_str(), tx);
    museum.ordered_set.pop_first(tx);
    shared(museum, tx, round)
}

fn exhibit<'p>(tx: &Tx<'p>, number: u64) -> Result<Exhibit<'p>> {
    Ok(match number % 4 {
        0 => Exhibit::Empty,
        1 => Exhibit::Named { seen: number % 8 == 1, name: PString::from_str(tx, &text(number))? },
        2 => Exhibit::Letters(PVec::from_slice(tx, &['x', '\u{10FFFF}'])?, Mood::Wild),
        _ => Exhibit::Pair(PBox::new(tx, number)?, Some(PBox::new(tx, exhibit(tx, number - 1)?)?)),
    })
}

fn shared<'p>(museum: &mut Museum<'p>, tx: &Tx<'p>, round: u64) -> Result<()> {
    let before = museum.tickets.last().map(|last| last.clone(tx));
    let ticket = Ticket {
        holder: PString::from_str(tx, &text(round))?,
        used: PCell::new(false),
        before: PRefCell::new(before),
    };
    let ticket = PRc::new(tx, ticket)?;
    ticket.used.set(museum.open, tx);
    museum.last = Some(PRc::downgrade(&ticket, tx));
    museum.tickets.push(tx, ticket)?;
    if museum.tickets.len() > 3 {
        let first = museum.tickets.remove(0, tx);
        drop(first);
    }
    let counter = PArc::new(tx, PMutex::new(0))?;
    *counter.lock(tx)? = round * 3;
    museum.counter = Some(PArc::downgrade(&counter, tx)?);
    museum.counters.push(tx, counter)?;
    museum.guarded.lock(tx)?.push(tx, round)?;
    *museum.rules.write(tx)? = PString::from_str(tx, &text(round + 1))?;
    museum.visitors.fetch_add(round, tx)?;
    museum.many.insert(tx, round as u32 % 10, PString::from_str(tx, &text(round))?)?;
    museum.many.remove(&(round as u32 / 2 % 10), tx)?;
    Ok(())
}

/// Compares what a pool holds with what `rounds` rounds make, value by value.
pub fn check(pool: &Pool<Museum<'static>>, rounds: u64) {
    let museum = pool.read();
    let last = rounds - 1;
    let odd = !last.is_multiple_of(2);
    assert_eq!(museum.letter, ['a', '\u{e9}', '\u{10FFFF}'][last as usize % 3]);
    assert_eq!((museum.open, museum.mood), (odd, if odd { Mood::Wild } else { Mood::Calm }));
    assert_eq!(museum.number.map_or(0, NonZeroU32::get), last as u32 % 4);
    assert_eq!(museum.height.to_bits(), (last as f64 / 8.0).to_bits());
    let mut grid = [[0; 3]; 2];
    (0..rounds).for_each(|round| grid[round as usize % 2][round as usize % 3] = round as u16);
    assert_eq!(museum.grid, grid);
    check_exhibit(museum.exhibit.as_deref().unwrap(), last);
    assert_eq!(museum.name.as_str(), (0..rounds).map(|round| format!("{round} ")).collect::<String>());
    assert_eq!(museum.maybe.copied(), odd.then_some(museum.letter));
    assert!(museum.words.iter().copied().eq((0..rounds * 50).map(|word| word * word)));
    check_sequences(&museum, rounds);
    check_maps(&museum, rounds);

    let tickets: Vec<_> = museum.tickets.iter().map(|ticket| ticket.holder.as_str()).collect();
    assert_eq!(tickets, (rounds.saturating_sub(3)..rounds).map(text).collect::<Vec<_>>());
    let ticket = museum.tickets.last().unwrap();
    assert_eq!((PRc::strong_count(ticket), PRc::weak_count(ticket), ticket.used.get()), (1, 1, odd));
    // Tickets hold those before them, back to the first of all.
    let mut numbers = (0..rounds).rev();
    check_tickets(ticket, &mut numbers);
    assert_eq!(numbers.next(), None);

    let counters: Vec<_> = museum.counters.iter().map(|counter| *counter.get(&museum)).collect();
    assert_eq!(counters, (0..rounds).map(|round| round * 3).collect::<Vec<_>>());
    assert!(museum.guarded.get(&museum).iter().copied().eq(0..rounds));
    assert_eq!(museum.rules.get(&museum).as_str(), text(rounds));
    assert_eq!(museum.visitors.get(&museum), (0..rounds).sum::<u64>());
    let mut expected = BTreeMap::new();
    for round in 0..rounds {
        expected.insert(round as u32 % 10, text(round));
        expected.remove(&(round as u32 / 2 % 10));
    }
    let found: BTreeMap<_, _> =
        museum.many.iter(&museum).map(|(key, value)| (*key, value.to_string())).collect();
    assert_eq!(found, expected);
    assert!(expected.keys().all(|key| museum.many.get(key, &museum).is_some()));
    drop(museum);
    let counted = pool.write(|museum, tx| match &museum.counter {
        Some(weak) => {
            weak.upgrade(tx)?.map_or(Ok(None), |counter| counter.lock(tx).map(|counter| Some(*counter)))
        }
        None => Ok(None),
    });
    assert_eq!(counted.unwrap(), Some(last * 3));
}

fn check_exhibit(exhibit: &Exhibit<'_>, number: u64) {
    match (exhibit, number % 4) {
        (Exhibit::Empty, 0) => {}
        (Exhibit::Named { seen, name }, 1) => {
            assert_eq!((*seen, name.as_str()), (number % 8 == 1, text(number).as_str()));
        }
        (Exhibit::Letters(letters, Mood::Wild), 2) => assert_eq!(letters.as_slice(), ['x', '\u{10FFFF}']),
        (Exhibit::Pair(found, Some(next)), 3) => {
            assert_eq!(**found, number);
            check_exhibit(next, number - 1);
        }
        _ => panic!("another exhibit than that of {number}"),
    }
}

fn check_tickets(ticket: &PRc<'_, Ticket<'_>>, numbers: &mut impl Iterator<Item = u64>) {
    assert_eq!(ticket.holder.as_str(), text(numbers.next().unwrap()));
    if let Some(before) = &*ticket.before.borrow() {
        check_tickets(before, numbers);
    }
}

fn check_sequences(museum: &Museum<'_>, rounds: u64) {
    let (mut queue, mut list) = (VecDeque::new(), VecDeque::new());
    for round in 0..rounds {
        queue.push_back(text(round));
        if round % 3 == 2 {
            queue.pop_front();
        }
        match round % 4 {
            2 => list.push_front(round as u32),
            _ => list.push_back(round as u32),
        }
    }
    assert!(museum.queue.iter().map(PString::as_str).eq(queue.iter().map(String::as_str)));
    assert!(museum.list.iter().eq(&list) && museum.list.iter().rev().eq(list.iter().rev()));
    let middle = (0..rounds as u32).rev().find(|round| round % 4 == 1);
    assert_eq!(museum.middle.and_then(|key| museum.list.get(key)).copied(), middle);
}

fn check_maps(museum: &Museum<'_>, rounds: u64) {
    let (mut map, mut set) = (BTreeMap::<String, Vec<u16>>::new(), BTreeSet::new());
    let (mut ordered, mut ordered_set) = (BTreeMap::new(), BTreeSet::new());
    for round in 0..rounds {
        map.entry(text(round % 7)).or_default().push(round as u16);
        set.insert(round as u16 * 7);
        set.remove(&(round as u16 / 2 * 7));
        for number in round * 8..round * 8 + 8 {
            ordered.insert(name(number), -(number as i64));
            ordered_set.insert(1000 - number as i32);
        }
        ordered.remove(&name(round));
        ordered_set.pop_first();
    }
    assert_eq!(museum.map.len(), map.len());
    for (key, values) in &map {
        assert_eq!(museum.map.get(key.as_str()).map(|values| values.as_slice()), Some(values.as_slice()));
    }
    assert_eq!(museum.set.iter().copied().collect::<BTreeSet<_>>(), set);
    assert!(set.iter().all(|number| museum.set.contains(number)));
    let expected = ordered.iter().map(|(key, value)| (key.as_str(), *value));
    assert!(museum.ordered.iter().map(|(key, value)| (key.as_str(), *value)).eq(expected));
    assert!(ordered.iter().all(|(key, value)| museum.ordered.get(key.as_str()) == Some(value)));
    assert!(museum.ordered_set.iter().eq(&ordered_set));
}
