//! What a snapshot lends is gone with it.
use pobj::kv::{Hash, Store};

fn main() {
    let store = Store::<Hash>::open("p.pobj").unwrap();
    let now = store.read().unwrap();
    let value = now.get(b"key");
    drop(now);
    println!("{value:?}");
}
