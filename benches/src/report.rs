//! Rows and how they are printed: a table for people, JSON for programs.

use std::fmt;

use serde::{Serialize, Serializer};

/// What the design asks of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// The figure, in the row's unit, is at most this.
    AtMost(f64),
    /// The figure, in the row's unit, is at least this.
    AtLeast(f64),
    /// The figure is at most this many times the limit.
    RatioAtMost(f64),
    /// The figure is at least this many times the limit.
    RatioAtLeast(f64),
    /// Nothing: the row is for information.
    None,
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::RatioAtMost(most) => write!(f, "ratio <= {most}"),
            Self::RatioAtLeast(least) => write!(f, "ratio >= {least}"),
            Self::None => f.write_str("-"),
        }
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            budget => serializer.collect_str(budget),
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What is measured.
    pub row: String,
    /// How much it came to; NaN (JSON: null) if it could not be measured here.
    pub figure: f64,
    /// The unit of figure and limit.
    pub unit: &'static str,
    /// What the bare operation came to in the same run.
    pub limit: Option<f64>,
    /// Figure over limit.
    pub ratio: Option<f64>,
    /// What the design asks for.
    pub budget: Budget,
    /// Whether it is met; absent without a budget, a figure, or the limit that it is judged by.
    pub pass: Option<bool>,
}

impl Row {
    /// A row for information, without limit and budget.
    #[must_use]
    pub fn new(row: impl Into<String>, figure: f64, unit: &'static str) -> Self {
        Self { row: row.into(), figure, unit, limit: None, ratio: None, budget: Budget::None, pass: None }
    }

    /// Adds the limit that was measured beside the figure.
    #[must_use]
    pub fn limit(self, limit: f64) -> Self {
        let ratio = self.figure / limit;
        self.limit_and_ratio(limit, ratio)
    }

    /// Adds the limit and a ratio of its own, for rows whose ratio is the median over pairs of measurements.
    #[must_use]
    pub fn limit_and_ratio(mut self, limit: f64, ratio: f64) -> Self {
        self.limit = Some(limit);
        self.ratio = Some(ratio);
        self
    }

    /// Judges the row; comes after the limit.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self.pass = match budget {
            _ if self.figure.is_nan() || self.ratio.is_some_and(f64::is_nan) => None,
            Budget::AtMost(most) => Some(self.figure <= most),
            Budget::AtLeast(least) => Some(self.figure >= least),
            Budget::RatioAtMost(most) => self.ratio.map(|ratio| ratio <= most),
            Budget::RatioAtLeast(least) => self.ratio.map(|ratio| ratio >= least),
            Budget::None => None,
        };
        self
    }
}

/// A number with as many digits as carry meaning.
fn number(value: f64) -> String {
    match value.abs() {
        unknown if unknown.is_nan() => "-".into(),
        0.0 => "0".into(),
        // What misses 1 by little must not look like 1.
        nearly if nearly != 1.0 && (nearly - 1.0).abs() < 0.0005 => format!("{value:.6}"),
        small if small < 10.0 => format!("{value:.3}"),
        middle if middle < 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), number)
}

/// The table's head.
#[must_use]
pub fn table_head() -> String {
    format!(
        "{:<54} {:>10} {:<12} {:>10} {:>8}  {:<14} {}",
        "row", "figure", "unit", "limit", "ratio", "budget", "pass"
    )
}

fn verdict(row: &Row) -> &'static str {
    match row.pass {
        Some(true) => "pass",
        Some(false) => "MISS",
        None if row.budget != Budget::None => "not measured",
        None => "-",
    }
}

/// All rows as a table of markdown; those that missed are bold.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from("\n| row | figure | limit | ratio | budget | |\n|---|--:|--:|--:|---|---|\n");
    for row in rows {
        let pass = match row.pass {
            Some(false) => "**MISS**",
            _ => verdict(row),
        };
        let (figure, limit, ratio) = (number(row.figure), optional(row.limit), optional(row.ratio));
        let name = row.row.replace('|', "\\|");
        text.push_str(&format!(
            "| {name} | {figure} {} | {limit} | {ratio} | {} | {pass} |\n",
            row.unit, row.budget
        ));
    }
    text
}

/// A row as a line of the table.
#[must_use]
pub fn table_line(row: &Row) -> String {
    format!(
        "{:<54} {:>10} {:<12} {:>10} {:>8}  {:<14} {}",
        row.row,
        number(row.figure),
        row.unit,
        optional(row.limit),
        optional(row.ratio),
        row.budget.to_string(),
        verdict(row)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a budget that is judged against the wrong column.
    #[test]
    fn budgets_judge_figure_or_ratio() {
        let row = || Row::new("r", 20.0, "ns").limit(10.0);
        assert_eq!(row().budget(Budget::AtMost(20.0)).pass, Some(true));
        assert_eq!(row().budget(Budget::AtLeast(21.0)).pass, Some(false));
        assert_eq!(row().budget(Budget::RatioAtMost(1.9)).pass, Some(false));
        assert_eq!(row().budget(Budget::RatioAtLeast(2.0)).pass, Some(true));
        assert_eq!(Row::new("r", 1.0, "ns").budget(Budget::RatioAtMost(2.0)).pass, None);
    }

    /// Catches a figure that is missing and counts as one that missed its budget.
    #[test]
    fn what_is_not_measured_is_not_judged() -> crate::Result<()> {
        let row = Row::new("r", f64::NAN, "ns").limit(10.0).budget(Budget::RatioAtLeast(2.0));
        assert_eq!(row.pass, None);
        assert!(table_line(&row).ends_with("not measured"), "{}", table_line(&row));
        assert!(serde_json::to_value(&row)?["figure"].is_null());
        let row = Row::new("r", 10.0, "ns").limit(f64::NAN).budget(Budget::RatioAtLeast(2.0));
        assert_eq!(row.pass, None);
        Ok(())
    }

    /// Catches a renamed key: later programs read these.
    #[test]
    fn json_has_the_promised_keys() -> crate::Result<()> {
        let json = serde_json::to_value(Row::new("r", 1.0, "ns"))?;
        let keys: Vec<&str> = json.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let mut promised = ["row", "figure", "unit", "limit", "ratio", "budget", "pass"];
        promised.sort_unstable();
        assert_eq!(keys, promised);
        Ok(())
    }
}
