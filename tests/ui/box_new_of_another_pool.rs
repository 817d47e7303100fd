//! A value that holds a box of one pool cannot be put into a block of another.

use pobj::{PBox, Persistent, Pool};

#[derive(Persistent)]
#[repr(C)]
struct Node<'p> {
    next: Option<PBox<'p, Node<'p>>>,
}

#[derive(Persistent, Default)]
#[repr(C)]
struct App<'p> {
    head: Option<PBox<'p, Node<'p>>>,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<App>::open("a.pobj")?;
    let other = Pool::<App>::open("b.pobj")?;
    pool.write(|app, tx| {
        other.write(|other_app, _| {
            app.head = Some(PBox::new(tx, Node { next: other_app.head.take() })?);
            Ok(())
        })
    })?;
    Ok(())
}
