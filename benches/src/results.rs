//! What a run of `measure` found, as it is kept in a file: where, when, and the figures.
//!
//! A [`Figure`] is one contender's cost of one measure at one size on one medium: the median over the rounds, and the
//! least and the most of them, which show how quiet the machine was. Plots and tables are made of nothing else.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::machine::Machine;
use crate::timing::median;

/// Changes when a program that reads results would misread them.
const FORMAT: u32 = 1;

/// Everything that one run found.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Run {
    /// Version of this format.
    pub format: u32,
    /// When it began, in UTC.
    pub started: String,
    /// How it was called.
    pub command: String,
    /// Where it ran.
    pub machine: Machine,
    /// What it measured.
    pub figures: Vec<Figure>,
}

/// One contender's cost of one measure.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Figure {
    /// Which comparison it belongs to: `serial`, `stores`, `fences`.
    pub part: String,
    /// Who was measured.
    pub contender: String,
    /// Where its files were: `disk`, or `memory`.
    pub medium: String,
    /// What was measured.
    pub measure: String,
    /// How many records there were; 0 where there are none.
    pub records: u64,
    /// The unit of the values.
    pub unit: String,
    /// Median of the rounds.
    pub median: f64,
    /// Least of the rounds.
    pub least: f64,
    /// Most of the rounds.
    pub most: f64,
    /// How many rounds there were.
    pub rounds: u32,
}

impl Figure {
    /// The median, the least and the most of `values`, which has one value for each round.
    #[must_use]
    pub fn new(of: &Subject<'_>, measure: &str, unit: &str, values: Vec<f64>) -> Self {
        Self {
            part: of.part.into(),
            contender: of.contender.into(),
            medium: of.medium.into(),
            measure: measure.into(),
            records: of.records,
            unit: unit.into(),
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            rounds: values.len() as u32,
            median: median(values),
        }
    }
}

/// What figures are of.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// See [`Figure::part`].
    pub part: &'a str,
    /// See [`Figure::contender`].
    pub contender: &'a str,
    /// See [`Figure::medium`].
    pub medium: &'a str,
    /// See [`Figure::records`].
    pub records: u64,
}

impl Run {
    /// A run that begins now, without figures yet.
    #[must_use]
    pub fn begin(machine: Machine) -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Self {
            format: FORMAT,
            started: utc(seconds),
            command: format!("measure {}", arguments.join(" ")),
            machine,
            figures: Vec::new(),
        }
    }

    /// Writes the run to a file.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn store(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(())
    }

    /// Reads a run from a file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is no run of this format.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let run: Self =
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        if run.format != FORMAT {
            return Err(format!("{}: format {}, not {FORMAT}", path.display(), run.format).into());
        }
        Ok(run)
    }

    /// The median of one figure.
    #[must_use]
    pub fn get(&self, of: &Subject<'_>, measure: &str) -> Option<f64> {
        let is_it = |figure: &&Figure| {
            figure.part == of.part
                && figure.contender == of.contender
                && figure.medium == of.medium
                && figure.records == of.records
                && figure.measure == measure
        };
        self.figures.iter().find(is_it).map(|figure| figure.median)
    }

    /// The contenders of a part on a medium, in the order of their first figures.
    #[must_use]
    pub fn contenders(&self, part: &str, medium: &str) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let ours = |figure: &&Figure| figure.part == part && figure.medium == medium;
        for figure in self.figures.iter().filter(ours) {
            if !names.contains(&figure.contender.as_str()) {
                names.push(&figure.contender);
            }
        }
        names
    }

    /// The sizes that a part was measured with on a medium, ascending.
    #[must_use]
    pub fn sizes(&self, part: &str, medium: &str) -> Vec<u64> {
        let mut sizes: Vec<u64> = self.of(part, medium).map(|figure| figure.records).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// The figures of a part on a medium.
    pub fn of<'a>(&'a self, part: &'a str, medium: &'a str) -> impl Iterator<Item = &'a Figure> {
        self.figures.iter().filter(move |figure| figure.part == part && figure.medium == medium)
    }
}

/// Seconds since 1970 as a date and a time of day.
fn utc(seconds: u64) -> String {
    // Days are counted from 1 March 0000, so that the leap day is a year's last.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a date that is off at the ends of months and in leap years.
    #[test]
    fn dates() {
        assert_eq!(utc(0), "1970-01-01T00:00Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00Z");
        assert_eq!(utc(1_709_251_199), "2024-02-29T23:59Z");
        assert_eq!(utc(1_735_689_600), "2025-01-01T00:00Z");
    }

    /// Catches results that cannot be read back, and results of another format that are.
    #[test]
    fn what_is_stored_is_loaded() -> Result<()> {
        let of = Subject { part: "serial", contender: "pobj", medium: "disk", records: 10 };
        let mut run = Run::begin(Machine::default());
        run.figures.push(Figure::new(&of, "scan", "ns", vec![3.0, 1.0, 2.5]));
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("run.json");
        run.store(&path)?;
        let back = Run::load(&path)?;
        assert_eq!(back.figures, run.figures);
        assert_eq!(back.get(&of, "scan"), Some(2.5));
        assert_eq!(back.get(&of, "start"), None);
        assert_eq!(back.contenders("serial", "disk"), ["pobj"]);
        assert_eq!(back.sizes("serial", "disk"), [10]);
        run.format = 2;
        run.store(&path)?;
        assert!(Run::load(&path).is_err());
        Ok(())
    }
}
