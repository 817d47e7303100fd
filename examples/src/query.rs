//! Questions to a persistent index. Each is answered from the pool's bytes in place.

use std::collections::HashMap;

use crate::persistent::WordIndex;
use crate::words;

/// A file in which all words occur.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The absolute path.
    pub path: String,
    /// Occurrences of all words together.
    pub count: u64,
    /// Rare words and words that occur often in the file count for more.
    pub score: f64,
}

/// A word and where it occurs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// The word.
    pub word: String,
    /// Its occurrences.
    pub count: u64,
    /// Files that have it.
    pub files: u64,
}

/// The files in which all words of `question` occur, the best first.
///
/// A file's score is the sum over the words of (1 + ln n) ln(1 + N / f), where n is the number of occurrences in the file,
/// N the number of files and f the number of files with the word: tf-idf.
#[must_use]
pub fn search(index: &WordIndex<'_>, question: &[String]) -> Vec<Hit> {
    let text = words::text(question.join(" ").into_bytes());
    let mut asked = words::words(&text).collect::<Vec<_>>();
    asked.sort_unstable();
    asked.dedup();
    let mut hits = HashMap::<u32, (usize, u64, f64)>::new();
    for (number, word) in asked.iter().enumerate() {
        let found = index.words.get(*word).map_or_else(Vec::new, |number| index.postings(*number));
        let rarity = (1.0 + index.files.len() as f64 / found.len().max(1) as f64).ln();
        for (file, count) in found {
            let (words, total, score) = hits.entry(file).or_default();
            // A file that lacks an earlier word is out for good.
            if *words == number {
                *words += 1;
                *total += u64::from(count);
                *score += (1.0 + f64::from(count).ln()) * rarity;
            }
        }
    }
    let mut hits = hits
        .into_iter()
        .filter(|(_, (words, ..))| *words == asked.len())
        .filter_map(|(file, (_, count, score))| {
            Some(Hit { path: index.files.get(&file)?.path.to_string(), count, score })
        })
        .collect::<Vec<_>>();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.path.cmp(&b.path)));
    hits
}

/// The `count` words with the most occurrences.
#[must_use]
pub fn top(index: &WordIndex<'_>, count: usize) -> Vec<Total> {
    let by_number = index.totals();
    let total = |number: u32| by_number.get(number as usize).copied().unwrap_or_default();
    let mut totals = index
        .words
        .iter()
        .map(|(word, number)| (total(*number), word.as_str()))
        .filter(|((count, _), _)| *count > 0)
        .collect::<Vec<_>>();
    totals.sort_unstable_by(|a, b| b.0.0.cmp(&a.0.0).then_with(|| a.1.cmp(b.1)));
    totals.truncate(count);
    totals.into_iter().map(|((count, files), word)| Total { word: word.to_owned(), count, files }).collect()
}
