//! A map belongs to its pool: it is not read under a guard of another one.
use pobj::Pool;
use pobj::kv::{Hash, Map};

fn main() {
    let one = Pool::<Map<'_, Hash>>::open("one.pobj").unwrap();
    let other = Pool::<Map<'_, Hash>>::open("other.pobj").unwrap();
    one.write(|map, tx| {
        other.write(|stranger, _| {
            stranger.put(tx, b"key", b"value")?;
            std::mem::swap(map, stranger);
            Ok(())
        })
    })
    .unwrap();
}
