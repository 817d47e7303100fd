//! Would catch heads that are not what the table's searches take them for, and keys that begin alike and are not told apart.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::kv::Map;
use crate::media::RamMedia;
use crate::{Durability, Pool};

type Root = Map<'static, Ordered>;

/// Keys that a part cannot hold, so that there are a few parts.
const COUNT: u32 = if cfg!(miri) { 40 } else { 3 * PART_MAX as u32 };

fn pool() -> Pool<Root> {
    let options = Pool::<Root>::options().max_size(16 << 20).size(1 << 20).ring_size(1 << 20);
    let media = RamMedia::new(16 << 20).unwrap();
    options.durability(Durability::Eventual).create_on(Arc::new(media), |tx| Map::new(tx)).unwrap()
}

/// A key of the few that begin otherwise, or of the many that begin alike.
fn key(number: u32) -> Vec<u8> {
    match number % 100 {
        0 => format!("{number}").into_bytes(),
        1 => format!("town/{number}").into_bytes(),
        _ => format!("country/town/street/{number:09}").into_bytes(),
    }
}

/// Records are where they belong, and heads say as much as they can. Gives the longest beginning that is left out.
fn check(pool: &Pool<Root>, keys: &BTreeSet<Vec<u8>>) -> usize {
    let guard = pool.read();
    let entries: Vec<&Entry<'_>> = guard.table.row.get(&guard).values().collect();
    let fences: Vec<&[u8]> = entries.iter().map(|entry| entry.key()).collect();
    assert!(fences.is_sorted());
    for (head, pair) in guard.table.first.get(&guard).iter() {
        assert_eq!(*head, Bytewise::head(pair.key()));
        assert!(fences.first().is_none_or(|fence| pair.key() < *fence));
    }
    for (number, entry) in entries.iter().enumerate() {
        let (low, high) = (fences[number], fences.get(number + 1).copied());
        let skip = entry.skip();
        assert_eq!(skip, common_len::<Bytewise>(Some(low), high) as usize, "{low:?} {high:?}");
        for (head, pair) in entry.part.get(&guard).iter() {
            assert_eq!(*head, head_behind::<Bytewise>(pair.key(), skip));
            assert!(pair.key() >= low && high.is_none_or(|high| pair.key() < high));
        }
    }
    assert!(guard.iter(&guard).map(|(key, _)| key).eq(keys.iter().map(Vec::as_slice)));
    assert!(keys.iter().all(|key| guard.get(key, &guard) == Some(&b"value"[..])));
    entries.iter().map(|entry| entry.skip()).max().unwrap_or(0)
}

#[test]
fn heads_begin_behind_what_keys_have_in_common() {
    let (pool, mut keys) = (pool(), BTreeSet::new());
    // Odd, so that the order is another one than that of the keys.
    let shuffled = |number: u32| number.wrapping_mul(2_654_435_761) % 1_000_000;
    let numbers: Vec<u32> = (0..COUNT).map(shuffled).collect();
    for (round, numbers) in numbers.chunks(COUNT as usize / 8).enumerate() {
        pool.share(|map, tx| {
            numbers.iter().try_for_each(|number| map.put(tx, &key(*number), b"value").map(drop))
        })
        .unwrap();
        keys.extend(numbers.iter().map(|number| key(*number)));
        let skip = check(&pool, &keys);
        assert!(cfg!(miri) || round < 7 || skip >= "country/town/street/".len(), "{skip}");
    }
    // Parts go, from the middle, from the end and from the beginning; those before them have keys of more kinds then.
    let middle: Vec<Vec<u8>> = keys.iter().skip(keys.len() / 3).take(keys.len() / 3).cloned().collect();
    for removed in middle.chunks(PART_MAX) {
        pool.share(|map, tx| removed.iter().try_for_each(|key| map.remove(key, tx).map(drop))).unwrap();
        removed.iter().for_each(|key| assert!(keys.remove(key)));
        check(&pool, &keys);
    }
    for (number, last) in (0..keys.len() / PART_MAX.min(100)).map(|number| (number, number % 2 == 0)) {
        pool.share(|map, tx| {
            (0..PART_MAX.min(100)).try_for_each(|_| match last {
                true => map.pop_last(tx, |_, _| ()).map(drop),
                false => map.pop_first(tx, |_, _| ()).map(drop),
            })
        })
        .unwrap();
        (0..PART_MAX.min(100)).for_each(|_| drop(if last { keys.pop_last() } else { keys.pop_first() }));
        if number % 8 == 0 {
            check(&pool, &keys);
        }
    }
    pool.share(|map, tx| {
        numbers.iter().try_for_each(|number| map.put(tx, &key(*number), b"value").map(drop))
    })
    .unwrap();
    keys.extend(numbers.iter().map(|number| key(*number)));
    check(&pool, &keys);
}

/// A transaction that holds the part before the one that it empties keeps both: the heads there must not change under it.
#[test]
fn a_part_that_is_held_keeps_its_heads() {
    let (pool, mut keys) = (pool(), BTreeSet::new());
    pool.share(|map, tx| (0..COUNT).try_for_each(|number| map.put(tx, &key(number), b"value").map(drop)))
        .unwrap();
    keys.extend((0..COUNT).map(key));
    let fences: Vec<Vec<u8>> = {
        let guard = pool.read();
        guard.table.row.get(&guard).values().map(|entry| entry.key().to_vec()).collect()
    };
    let [.., before, last] = fences.as_slice() else { return };
    let emptied: Vec<Vec<u8>> = keys.range(last.clone()..).cloned().collect();
    pool.share(|map, tx| {
        map.get_with(before, tx, |_| {
            // The part of `before` is looked at meanwhile.
            emptied.iter().try_for_each(|key| map.remove(key, tx).map(drop))
        })?
        .transpose()
        .map(drop)
    })
    .unwrap();
    emptied.iter().for_each(|key| assert!(keys.remove(key)));
    check(&pool, &keys);
}
