//! The book's tables of the campaigns.

use std::fmt::Write as _;

use super::{ROWS, Row, Run};
use crate::evidence::{Evidence, grouped};

const BEGIN: &str = "<!-- campaign: written by `cargo run --release -p tests --bin campaign -- book` -->\n";
const END: &str = "<!-- campaign: end -->\n";

/// The part of the page that a command writes.
#[must_use]
pub fn written(evidence: &[Evidence]) -> String {
    let mut text = BEGIN.to_owned();
    for row in &ROWS {
        let _ = write!(text, "\n### {} {}\n\n{}\n\n", row.name, row.title, row.what);
        let _ = writeln!(text, "```sh\n{}```\n", commands(row));
        let found: Vec<_> = evidence.iter().filter(|evidence| evidence.row == row.name).collect();
        if found.is_empty() {
            text.push_str("No result is kept.\n");
            continue;
        }
        text.push_str("| Tried | Counted | Violations | Time | Day |\n|---|---|---:|---:|---|\n");
        for evidence in found {
            let _ = writeln!(text, "{}", line(evidence));
        }
    }
    text.push('\n');
    text.push_str(END);
    text
}

fn commands(row: &Row) -> String {
    let lines = |size: &str, runs: &[Run]| {
        if runs.is_empty() {
            return String::new();
        }
        let commands: String = runs.iter().map(|run| format!("{}\n", run.command)).collect();
        format!("# {size}\n{commands}")
    };
    lines("each change", row.ci) + &lines("long", row.long)
}

fn line(evidence: &Evidence) -> String {
    let figures: Vec<_> =
        evidence.figures.iter().map(|(name, count)| format!("{} {name}", grouped(*count))).collect();
    let note = if evidence.note.is_empty() { String::new() } else { format!(" ({})", evidence.note) };
    format!(
        "| {}{note} | {} | {} | {} s | {} |",
        evidence.what,
        figures.join(", "),
        grouped(evidence.violations),
        grouped(evidence.seconds),
        evidence.day()
    )
}

/// `page` with the written part replaced; `None` if it has no place for it.
#[must_use]
pub fn page(page: &str, evidence: &[Evidence]) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{}{after}", written(evidence)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_written_part_changes() {
        let evidence = [Evidence::of("R8", "kills").with("kills", 10_000)];
        let old = format!("before\n{BEGIN}old\n{END}after\n");
        let new = page(&old, &evidence).unwrap();
        assert!(new.starts_with("before\n") && new.ends_with("after\n"), "{new}");
        assert!(new.contains("| kills | 10 000 kills | 0 |"), "{new}");
        assert_eq!(page(&new, &evidence).unwrap(), new);
        assert_eq!(page("nothing", &evidence), None);
    }
}
