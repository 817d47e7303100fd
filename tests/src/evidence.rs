//! What a campaign has tried and found, said once: a line for whoever watches, and, where `POBJ_EVIDENCE` names a
//! directory, a file in it. `cargo run -p tests --bin campaign -- book` makes the book's tables from `tests/evidence`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{env, fmt, fs, io};

use serde::{Deserialize, Serialize};

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The row of the campaign's plan, for example `R8`.
    pub row: String,
    /// What was tried, for example `kill -9 between durable commits on a file`. One file per row and text.
    pub what: String,
    /// What was counted, in the order in which it is told.
    pub figures: Vec<(String, u64)>,
    /// How many times something was wrong.
    pub violations: u64,
    /// What a reader must know beside the figures: what is left out, what the figure does not say. May be empty.
    pub note: String,
    /// How long it took.
    pub seconds: u64,
    /// The day, as seconds since 1970.
    pub when: u64,
}

impl Evidence {
    /// Evidence for a row, with nothing counted yet.
    #[must_use]
    pub fn of(row: &str, what: impl Into<String>) -> Self {
        let when = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let (row, what) = (row.to_owned(), what.into());
        Self { row, what, figures: Vec::new(), violations: 0, note: String::new(), seconds: 0, when }
    }

    /// With one more figure.
    #[must_use]
    pub fn with(mut self, name: &str, count: u64) -> Self {
        self.figures.push((name.to_owned(), count));
        self
    }

    /// With so many violations.
    #[must_use]
    pub fn violations(self, violations: u64) -> Self {
        Self { violations, ..self }
    }

    /// With something that a reader must know.
    #[must_use]
    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Prints a line, and keeps it where `POBJ_EVIDENCE` says.
    ///
    /// # Panics
    ///
    /// If the directory cannot be written.
    pub fn tell(self, took: Duration) {
        let told = Self { seconds: took.as_secs(), ..self };
        println!("{told}");
        if let Some(directory) = env::var_os("POBJ_EVIDENCE") {
            told.keep(Path::new(&directory)).expect("the directory for evidence can be written");
        }
    }

    fn keep(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        fs::write(directory.join(self.file_name()), json)
    }

    fn file_name(&self) -> PathBuf {
        let slug: String = self
            .what
            .chars()
            .map(|char| if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '-' })
            .collect();
        format!("{}-{}.json", self.row, slug.trim_matches('-')).into()
    }

    /// All that a directory keeps, by row and text.
    ///
    /// # Errors
    ///
    /// Where the directory cannot be read, or holds something else.
    pub fn all(directory: &Path) -> io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                all.push(serde_json::from_slice::<Self>(&fs::read(path)?)?);
            }
        }
        all.sort_by(|a, b| (a.row_number(), &a.what).cmp(&(b.row_number(), &b.what)));
        Ok(all)
    }

    /// `R8` is 8.
    #[must_use]
    pub fn row_number(&self) -> u32 {
        self.row.trim_start_matches('R').parse().unwrap_or(u32::MAX)
    }

    /// The day on which it was found, as in `2026-11-21`.
    #[must_use]
    pub fn day(&self) -> String {
        let (mut year, mut day) = (1970, self.when / 86_400);
        let leap =
            |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
        while day >= 365 + u64::from(leap(year)) {
            day -= 365 + u64::from(leap(year));
            year += 1;
        }
        let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut month = 0;
        while day >= lengths[month] {
            day -= lengths[month];
            month += 1;
        }
        format!("{year}-{:02}-{:02}", month + 1, day + 1)
    }
}

/// With a space between thousands.
#[must_use]
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && digits.len() > 4 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.row, self.what)?;
        for (name, count) in &self.figures {
            write!(f, "{} {name}, ", grouped(*count))?;
        }
        write!(f, "{} violations, {} s", grouped(self.violations), self.seconds)?;
        if self.note.is_empty() { Ok(()) } else { write!(f, " ({})", self.note) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_thousands_are_written_out() {
        let day = |when| Evidence { when, ..Evidence::of("R1", "x") }.day();
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(951_782_400), "2000-02-29");
        assert_eq!(day(1_795_219_200), "2026-11-21");
        assert_eq!(grouped(1234), "1234");
        assert_eq!(grouped(1_234_567), "1 234 567");
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let told = Evidence::of("R10", "flips, every bit").with("flips", 3).violations(1).note("why");
        told.keep(directory.path()).unwrap();
        let earlier = Evidence::of("R9", "cuts");
        earlier.keep(directory.path()).unwrap();
        assert_eq!(Evidence::all(directory.path()).unwrap(), [earlier, told]);
    }
}
