//! Engines are the library's.
use pobj::kv::Store;

struct Mine;

fn keep(_: &Store<Mine>) {}

fn main() {}
