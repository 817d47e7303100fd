//! A second pool with one of everything: what the zoo does not have. Ordered maps and sets, concurrent maps, locks,
//! atomics, shared values that count under locks, and objects of several chunks.

use std::sync::Arc;

use pobj::media::Media;
use pobj::{
    Options, PArc, PArcWeak, PAtomicU64, PBTreeMap, PBTreeSet, PBox, PConcurrentMap, PMutex, PRwLock,
    PString, PVec, Persistent, Pool, Tx,
};

use crate::support::small;
use crate::support::zoo::Sum;

const MAX_SIZE: u64 = 3 << 19;
const LARGE: usize = 9000;

#[derive(Persistent, Default)]
#[repr(C)]
pub struct Lane<'p> {
    step: u64,
    names: PVec<'p, PString<'p>>,
}

#[derive(Persistent)]
#[repr(C)]
pub struct Common<'p> {
    name: PString<'p>,
    count: PMutex<'p, u64>,
}

#[derive(Persistent, Default)]
#[repr(C)]
pub struct Cage<'p> {
    days: PBTreeMap<'p, u32, PString<'p>>,
    names: PBTreeMap<'p, PString<'p>, PVec<'p, u32>>,
    seats: PBTreeSet<'p, u16>,
    one_part: PConcurrentMap<'p, u64, u64>,
    parts: PConcurrentMap<'p, PString<'p>, PVec<'p, u32>>,
    lanes: [PRwLock<'p, Lane<'p>>; 2],
    sum: PMutex<'p, i64>,
    hits: PAtomicU64<'p>,
    common: PVec<'p, PArc<'p, Common<'p>>>,
    gone: Option<PArcWeak<'p, Common<'p>>>,
    large: Option<PBox<'p, [u64; LARGE]>>,
}

pub fn options() -> Options<Cage<'static>> {
    small(MAX_SIZE)
}

pub fn create(media: Arc<dyn Media>) -> Pool<Cage<'static>> {
    let made = options()
        .create_on(media, |tx| Ok(Cage { parts: PConcurrentMap::with_parts(tx, 3)?, ..Cage::default() }));
    made.expect("a new pool")
}

fn text<'p>(tx: &Tx<'p>, number: u64) -> pobj::Result<PString<'p>> {
    PString::from_str(tx, &format!("cage \u{fc} {number}").repeat(1 + number as usize % 3))
}

/// One transaction: something of everything is made, changed and removed.
pub fn live<'p>(cage: &mut Cage<'p>, tx: &Tx<'p>, number: u64) -> pobj::Result<()> {
    for key in 0..12 {
        let key = number * 12 + key;
        drop(cage.days.insert(tx, key as u32 * 7 % 301, text(tx, key)?)?);
        cage.seats.insert(tx, (key * 11 % 401) as u16)?;
        cage.one_part.insert(tx, key, key ^ 5)?;
    }
    drop(cage.days.remove(&(number as u32 * 5 % 301), tx));
    cage.days.pop_first(tx);
    cage.seats.remove(&(number as u16 * 3), tx);
    let list = PVec::from_slice(tx, &[number as u32; 3])?;
    drop(cage.names.insert(tx, text(tx, number)?, list)?);
    if let Some(list) = cage.names.get_mut(format!("cage \u{fc} {number}").as_str(), tx) {
        list.push(tx, 9)?;
    }
    let list = PVec::from_slice(tx, &[number as u32; 5])?;
    drop(cage.parts.insert(tx, text(tx, number)?, list)?);
    cage.one_part.remove(&(number * 3), tx)?;
    cage.one_part.update(&(number * 12 + 1), tx, |value| *value = value.wrapping_add(1))?;
    share(cage, tx, number)?;
    if number.is_multiple_of(4) {
        cage.large = Some(PBox::new(tx, [number; LARGE])?);
    }
    Ok(())
}

/// What also works while others are at it.
fn share<'p>(cage: &mut Cage<'p>, tx: &Tx<'p>, number: u64) -> pobj::Result<()> {
    let name = text(tx, number)?;
    let lane = cage.lanes[number as usize % 2].get_mut();
    lane.step = lane.step.wrapping_add(1);
    lane.names.push(tx, name)?;
    *cage.sum.get_mut() ^= number as i64;
    cage.hits.store(number, tx)?;
    let common = PArc::new(tx, Common { name: text(tx, number)?, count: PMutex::new(number) })?;
    cage.gone = Some(PArc::downgrade(&common, tx)?);
    let again = common.clone(tx)?;
    cage.common.push(tx, again)?;
    cage.common.push(tx, common)?;
    if cage.common.len() > 6 {
        drop(cage.common.remove(0, tx));
    }
    for common in &cage.common {
        *common.count.lock(tx)? ^= number;
    }
    Ok(())
}

/// Mixes everything that is reachable into one number.
pub fn walk(pool: &Pool<Cage<'static>>) -> u64 {
    let cage = pool.read();
    let mut sum = Sum(1);
    // Into lists, which trust what an iterator says of its length.
    let days: Vec<_> = cage.days.iter().collect();
    days.iter().for_each(|(day, text)| {
        sum.add(u64::from(**day));
        sum.add_text(text);
        let _ = cage.days.get(*day);
    });
    cage.days.range(10..200).rev().for_each(|(day, _)| sum.add(u64::from(*day)));
    let names: Vec<_> = cage.names.iter().collect();
    names.iter().for_each(|(name, list)| {
        sum.add_text(name);
        list.iter().for_each(|number| sum.add(u64::from(*number)));
        let _ = cage.names.get(name.as_str());
    });
    let seats: Vec<u16> = cage.seats.iter().copied().collect();
    seats.iter().for_each(|seat| sum.add(u64::from(*seat)));
    let mut numbers: Vec<_> = cage.one_part.iter(&cage).map(|(key, value)| (*key, *value)).collect();
    numbers.sort_unstable();
    numbers.iter().for_each(|(key, value)| sum.add(key ^ value.rotate_left(32)));
    let mut parts: Vec<_> = cage.parts.iter(&cage).map(|(key, list)| (key.as_str(), list)).collect();
    parts.sort_by(|a, b| a.0.cmp(b.0));
    parts.iter().for_each(|(key, list)| {
        sum.add_text(key);
        list.iter().for_each(|number| sum.add(u64::from(*number)));
        let _ = cage.parts.get(*key, &cage);
    });
    for lane in &cage.lanes {
        let lane = lane.get(&cage);
        sum.add(lane.step);
        lane.names.iter().for_each(|name| sum.add_text(name));
    }
    sum.add(*cage.sum.get(&cage) as u64);
    sum.add(cage.hits.get(&cage));
    for common in &cage.common {
        sum.add_text(&common.name);
        sum.add(*common.count.get(&cage));
    }
    cage.large.iter().flat_map(|large| large.iter()).for_each(|word| sum.add(*word));
    sum.0
}
