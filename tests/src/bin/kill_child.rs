//! The process that makes the children of the kill suite. See `tests::kill::server`.

fn main() {
    assert!(tests::kill::server::served(), "usage: kill_child {}", tests::kill::server::SERVE);
}
