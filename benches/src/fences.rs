//! Fences of commits on persistent memory, pobj's beside libpmemobj's: the rows of [`memory`](crate::rows::memory) as
//! figures.

use crate::Result;
use crate::bench::Bench;
use crate::names;
use crate::report::Row;
use crate::results::{Figure, Subject};
use crate::rows::memory::{change, objects};

/// Runs the rows of four jobs and gives their figures; libpmemobj's are missing where it is.
///
/// # Errors
///
/// If a file cannot be made, or libpmemobj has not done what was asked.
pub fn figures(bench: &Bench) -> Result<Vec<Figure>> {
    let mut rows = change::word_rows(bench)?;
    rows.extend(change::range_rows(bench)?);
    rows.extend(objects::list_rows(bench)?);
    rows.extend(objects::map_rows(bench)?);
    Ok(rows.iter().filter_map(figure).collect())
}

/// A row's name says whose it is, and what.
fn figure(row: &Row) -> Option<Figure> {
    let name = row.row.as_str();
    let [ours, peer] = names::FENCERS;
    let (contender, measure) = [
        ("- fences per commit, ", ours, names::FENCES_OF),
        ("- libpmemobj's fences, ", peer, names::FENCES_OF),
        ("- libpmemobj, ", peer, names::TIME_OF),
        ("memory: ", ours, names::TIME_OF),
    ]
    .iter()
    .find_map(|(prefix, contender, measure)| {
        Some((*contender, format!("{measure}{}", name.strip_prefix(prefix)?)))
    })?;
    let of = Subject { part: names::FENCES, contender, medium: names::MEMORY, records: 0 };
    (!row.figure.is_nan()).then(|| Figure::new(&of, &measure, row.unit, vec![row.figure]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a row whose name was changed, and which is then missing in the pictures.
    #[test]
    fn every_job_has_fences_and_time() -> Result<()> {
        let figures = figures(&Bench::new(None, None, true)?)?;
        let of = |start: &str| {
            let ours = figures.iter().filter(|figure| figure.contender == names::FENCERS[0]);
            ours.filter(|figure| figure.measure.starts_with(start)).count()
        };
        assert!(of(names::FENCES_OF) >= 4 && of(names::TIME_OF) >= 4, "{figures:?}");
        Ok(())
    }
}
