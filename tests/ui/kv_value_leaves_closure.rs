//! A value is lent to the closure of `get` and does not leave it.
use pobj::kv::{Hash, Store};

fn main() {
    let store = Store::<Hash>::open("p.pobj").unwrap();
    let value: Option<&[u8]> = store.get(b"key", |value| value).unwrap();
    drop(value);
}
