//! A list of notes that survives the program: run it a few times.

use pobj::{PHashMap, PString, PVec, Persistent, Pool};

#[derive(Persistent, Default)]
#[repr(C)]
struct Notebook<'p> {
    notes: PVec<'p, PString<'p>>,
    words: PHashMap<'p, PString<'p>, u64>,
    runs: u64,
}

fn main() -> pobj::Result<()> {
    let pool = Pool::<Notebook>::open_or_create("notebook.pobj")?;
    pool.write(|book, tx| {
        book.runs += 1;
        let note = format!("this is run {}", book.runs);
        for word in note.split(' ') {
            let word = PString::from_str(tx, word)?;
            *book.words.entry(word, tx).or_insert(0)? += 1;
        }
        let note = PString::from_str(tx, &note)?;
        book.notes.push(tx, note)
    })?; // durable from here on

    let book = pool.read();
    for note in &book.notes {
        println!("{note}");
    }
    println!("\"run\" was written {} times", book.words.get("run").unwrap_or(&0));
    Ok(())
}
