//! Files that say impossible things of their blocks. Catches a shape, a table or a slot that `open` believes: a read
//! beyond a block, a table that owns blocks which no number leads to.

use std::sync::Arc;

use super::array::{BAD, PART, Slot};
use super::*;
use crate::collections::PVec;
use crate::media::RamMedia;

const COUNT: u64 = PART + 3;

fn options() -> Options {
    Blocks::options().max_size(1 << 20).size(64 << 10).ring_size(64 << 10).validation_threads(1)
}

/// Makes an array, changes it behind its back, and opens it again.
fn crafted(craft: impl for<'p> FnOnce(&mut Array<'p>, &Tx<'p>) -> Result<()>) -> Result<Blocks> {
    let media = Arc::new(RamMedia::new(1 << 20)?);
    let blocks = options().create_on(media.clone(), 16, COUNT)?;
    blocks.write(1, &[1; 16])?;
    blocks.write(PART + 2, &[2; 16])?;
    blocks.pool.write(craft)?;
    blocks.close()?;
    options().open_on(media, None)
}

fn refused(says: &str, craft: impl for<'p> FnOnce(&mut Array<'p>, &Tx<'p>) -> Result<()>) {
    match crafted(craft) {
        Err(Error::Corrupt { what, .. }) => assert!(what.contains(says), "{what}, not {says}"),
        Err(other) => panic!("{other}, not {says}"),
        Ok(_) => panic!("opened, not {says}"),
    }
}

#[test]
fn what_was_not_crafted_opens() {
    let blocks = crafted(|_, _| Ok(())).unwrap();
    let mut block = [0; 16];
    blocks.read(PART + 2, &mut block).unwrap();
    assert_eq!(block, [2; 16]);
}

#[test]
fn a_crafted_shape_is_refused() {
    for (block_size, count, says) in [
        (0, COUNT, "515 blocks of 0 bytes"),
        (16, 0, "0 blocks of 16 bytes"),
        (1 << 40, 1 << 40, "blocks of 1099511627776 bytes"),
        (u64::MAX, 1, "1 blocks of"),
        (15, COUNT, "block 1 has 16 bytes, not 15"),
        (17, COUNT, "block 1 has 16 bytes, not 17"),
        (16, PART, "has 2 parts, 1 at most"),
        (16, COUNT - 1, "part 1 of a table of blocks has 3 slots, not 2"),
        (16, COUNT + 1, "part 1 of a table of blocks has 3 slots, not 4"),
    ] {
        let says = if cfg!(miri) { says.split(' ').next().unwrap_or_default() } else { says };
        refused(says, |array, _| {
            (array.block_size, array.count) = (block_size, count);
            Ok(())
        });
    }
}

#[test]
fn a_crafted_table_is_refused() {
    refused("3 parts, 2 at most", |array, tx| array.parts.push(tx, PVec::new()));
    refused("part 0 of a table of blocks has 3 slots", |array, tx| {
        assert!(array.parts.swap(0, 1, tx));
        Ok(())
    });
}

#[test]
fn a_crafted_slot_is_refused() {
    let craft = |says: &str, state: u64, len: usize| {
        refused(says, |array, tx| {
            let data = PVec::from_slice(tx, &vec![1; len])?;
            let slot = array.parts[0][0].try_write(tx)?;
            *slot.ok_or(Error::Deadlock)? = Slot { state, data };
            Ok(())
        });
    };
    craft("block 0 has 15 bytes, not 16", 0, 15);
    craft("block 0 has 32 bytes, not 16", 0, 32);
    craft("block 0 is marked as bad and has 16 bytes", BAD, 16);
    craft("block 0 is in state 2", 2, 16);
    craft("block 0 is in state 7", 7, 0);
}
