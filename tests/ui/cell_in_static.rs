//! A cell is not `Sync`, so no static can hold one.

use pobj::PCell;

static VISITS: PCell<'static, u64> = PCell::new(0);

fn main() {
    println!("{}", VISITS.get());
}
