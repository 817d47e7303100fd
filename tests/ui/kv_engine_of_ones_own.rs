//! Engines are the library's.
use pobj::kv::Store;

struct Mine;

fn main() {
    let _ = Store::<Mine>::open("p.pobj");
}
