//! Results as markdown, between the markers of a page.
//!
//! `<!-- measure: NAME -->` begins a block and `<!-- measure: end -->` ends it; what lies between is replaced by the block
//! of that name, and nothing else of the page changes. The blocks:
//!
//! | block | what it holds |
//! |---|---|
//! | `machine` | what the figures were measured on, and when |
//! | `bars` | pobj against the fastest full save and full load |
//! | `serial` | keeping beside saving and loading, at the largest size and on both media |
//! | `stores` | beside embedded stores, durable and not |
//! | `fences` | beside libpmemobj |
//! | `plots` | the pictures that `measure plots` draws of the same results |
//! | `summary` | one table of each, for a front page |
//! | `budgets` | the rows of the program `compare`, which writes them itself |
//!
//! The best figure of a column is bold, whosever it is.

use std::fmt::Write;
use std::path::Path;

use crate::Result;
use crate::names;
use crate::results::{Run, Subject};
use crate::stores::is_durable;

const BEGIN: &str = "<!-- measure: ";
const CLOSE: &str = " -->";
const END: &str = "<!-- measure: end -->";

/// Writes the blocks of a page anew.
///
/// # Errors
///
/// If the page cannot be read or written, or its markers are wrong.
pub fn rewrite_file(page: &Path, run: &Run) -> Result<()> {
    rewrite_blocks(page, |name| block(name, run))
}

/// Writes what `block` gives between the markers of a page.
///
/// # Errors
///
/// As [`rewrite_file`].
pub fn rewrite_blocks(page: &Path, block: impl Fn(&str) -> Option<String>) -> Result<()> {
    let wrong = |error: String| format!("{}: {error}", page.display());
    let text = std::fs::read_to_string(page).map_err(|error| wrong(error.to_string()))?;
    let text = rewrite(&text, block).map_err(|error| wrong(error.to_string()))?;
    std::fs::write(page, text).map_err(|error| wrong(error.to_string()))?;
    Ok(())
}

/// The page with what `block` gives between its markers.
///
/// # Errors
///
/// If a block does not end, or has a name that `block` does not know, or there is none.
pub fn rewrite(page: &str, block: impl Fn(&str) -> Option<String>) -> Result<String> {
    let mut written = String::new();
    let mut rest = page;
    while let Some(begin) = rest.find(BEGIN) {
        let (before, after) = rest.split_at(begin + BEGIN.len());
        let (name, after) = after.split_once(CLOSE).ok_or("a marker is not closed")?;
        let text = block(name).ok_or_else(|| format!("there is no block `{name}`"))?;
        let end = after.find(END).ok_or_else(|| format!("the block `{name}` does not end"))?;
        if after[..end].contains(BEGIN) {
            return Err(format!("another block begins within `{name}`").into());
        }
        let _ = write!(written, "{before}{name}{CLOSE}\n{}\n\n{END}", text.trim_end());
        rest = &after[end + END.len()..];
    }
    if written.is_empty() {
        return Err("there is no marker".into());
    }
    written.push_str(rest);
    Ok(written)
}

/// Every block but the pictures and the summary.
#[must_use]
pub fn everything(run: &Run) -> String {
    ["machine", "bars", "serial", "stores", "fences"].iter().filter_map(|name| block(name, run)).collect()
}

/// The block of that name.
fn block(name: &str, run: &Run) -> Option<String> {
    Some(match name {
        "machine" => machine(run),
        "bars" => bars(run),
        "serial" => [names::DISK, names::MEMORY].iter().map(|medium| serial(run, medium)).collect(),
        "stores" => stores(run),
        "fences" => fences(run),
        "plots" => plots(),
        "summary" => summary(run),
        _ => return None,
    })
}

fn machine(run: &Run) -> String {
    format!(
        "\nMeasured {} with `{}`: {} Every figure is the median of {} rounds.\n",
        run.started,
        run.command,
        run.machine.sentence(),
        rounds(run),
    )
}

/// How many rounds there were at least, where there was more than one measurement.
fn rounds(run: &Run) -> u32 {
    run.figures.iter().map(|figure| figure.rounds).filter(|rounds| *rounds > 1).min().unwrap_or(1)
}

/// A table of contenders, one to a line.
struct Table<'a> {
    run: &'a Run,
    part: &'a str,
    medium: &'a str,
    records: u64,
    /// Heading, measure and unit.
    columns: &'a [(&'a str, &'a str, &'a str)],
}

impl Table<'_> {
    fn value(&self, contender: &str, measure: &str) -> Option<f64> {
        let of = Subject { part: self.part, contender, medium: self.medium, records: self.records };
        self.run.get(&of, measure)
    }

    fn lines(&self, contenders: &[&str]) -> String {
        let mut text = String::from("\n| |");
        self.columns.iter().for_each(|(heading, ..)| text.push_str(&format!(" {heading} |")));
        text.push_str("\n|---|");
        self.columns.iter().for_each(|_| text.push_str("--:|"));
        text.push('\n');
        let least = |measure: &str| {
            let values = contenders.iter().filter_map(|contender| self.value(contender, measure));
            values.fold(f64::INFINITY, f64::min)
        };
        for contender in contenders {
            text.push_str(&format!("| {contender} |"));
            for (_, measure, unit) in self.columns {
                match self.value(contender, measure) {
                    Some(value) if value <= least(measure) => {
                        text.push_str(&format!(" **{}** |", quantity(value, unit)));
                    }
                    Some(value) => text.push_str(&format!(" {} |", quantity(value, unit))),
                    None => text.push_str(" - |"),
                }
            }
            text.push('\n');
        }
        text
    }
}

/// The size that tables show: a million, or the largest there is.
fn shown(run: &Run, part: &str, medium: &str) -> Option<u64> {
    let sizes = run.sizes(part, medium);
    sizes.iter().copied().find(|records| *records == 1_000_000).or(sizes.last().copied())
}

fn serial(run: &Run, medium: &str) -> String {
    let Some(records) = shown(run, names::SERIAL, medium) else { return NOTHING.into() };
    let contenders = run.contenders(names::SERIAL, medium);
    let table = |columns| Table { run, part: names::SERIAL, medium, records, columns }.lines(&contenders);
    let times = table(&[
        ("change one field", names::CHANGE_ONE, "us"),
        ("change 1,000", names::CHANGE_MANY, "us"),
        ("start to first read", names::START, "ms"),
        ("start and full scan", names::START_SCAN, "ms"),
        ("full scan", names::FULL_SCAN, "ms"),
    ]);
    let space = table(&[
        ("most memory, first read", names::PEAK_START, "MiB"),
        ("most memory, whole session", names::PEAK, "MiB"),
        ("of that its own", names::OWN, "MiB"),
        ("file", names::ON_MEDIUM, "MiB"),
    ]);
    let place = place(medium);
    format!("\nA state of {} records, {place}:\n{times}{space}", thousands(records))
}

fn place(medium: &str) -> &'static str {
    match medium {
        names::DISK => "files on the disk",
        _ => "files in memory, which pobj takes for persistent memory behind volatile caches",
    }
}

/// What stands in a block whose part was not measured.
const NOTHING: &str = "\nNot in these results.\n";

fn bars(run: &Run) -> String {
    let mut text = String::from(
        "\n| | fastest of the others | takes | pobj | times faster | asked | |\n|---|---|--:|--:|--:|--:|---|\n",
    );
    let mut any = false;
    for medium in [names::DISK, names::MEMORY] {
        let Some(records) = shown(run, names::SERIAL, medium) else { continue };
        let value = |contender, measure| {
            run.get(&Subject { part: names::SERIAL, contender, medium, records }, measure)
        };
        for (what, ours, measure, unit, others, asked) in comparisons() {
            let fastest = others.iter().filter_map(|name| Some((value(name, measure)?, *name)));
            let fastest = fastest.min_by(|a, b| a.0.total_cmp(&b.0));
            let (Some((peer, name)), Some(pobj)) = (fastest, value(ours, measure)) else { continue };
            any = true;
            let verdict = match asked {
                Some(asked) if peer / pobj >= asked => "met",
                Some(_) => "missed",
                None => "",
            };
            let asked = asked.map_or_else(|| "-".into(), digits);
            let _ = writeln!(
                text,
                "| {what}, {medium} | {name} | {} | {} | {} | {asked} | {verdict} |",
                quantity(peer, unit),
                quantity(pobj, unit),
                times(peer / pobj),
            );
        }
    }
    if any { text } else { NOTHING.into() }
}

/// What is compared: in words, pobj's name, the measure and its unit, the others, how many times faster pobj is to be.
type Comparison =
    (&'static str, &'static str, &'static str, &'static str, &'static [&'static str], Option<f64>);

/// Those who save and load everything are asked to be beaten; those in place give up atomic changes or any check, and are
/// here so that what that is worth can be seen.
fn comparisons() -> [Comparison; 8] {
    use names::{CHANGE_MANY, CHANGE_ONE, POBJ, POBJ_TRUSTED, SAVERS, START};
    const UNCHECKED: &[&str] = &[names::RKYV_UNCHECKED, names::RECORDS_IN_PLACE];
    const CHECKED: &[&str] = &[names::RKYV_CHECKED];
    const IN_PLACE: &[&str] = &[names::RKYV_CHECKED, names::RKYV_UNCHECKED, names::RECORDS_IN_PLACE];
    [
        ("change one field, full save", POBJ, CHANGE_ONE, "us", &SAVERS, Some(1000.0)),
        ("change 1,000 fields, full save", POBJ, CHANGE_MANY, "us", &SAVERS, None),
        ("start to first read, full load; `open_trusted`", POBJ_TRUSTED, START, "ms", &SAVERS, Some(100.0)),
        ("start to first read, full load; `open`", POBJ, START, "ms", &SAVERS, Some(5.0)),
        ("change one field, in place, not atomic", POBJ, CHANGE_ONE, "us", IN_PLACE, None),
        ("change 1,000 fields, in place, not atomic", POBJ, CHANGE_MANY, "us", IN_PLACE, None),
        ("start, in place, unchecked; `open_trusted`", POBJ_TRUSTED, START, "ms", UNCHECKED, None),
        ("start, in place, checked; `open`", POBJ, START, "ms", CHECKED, None),
    ]
}

/// Columns of the stores' tables.
const STORE_COLUMNS: &[(&str, &str, &str)] = &[
    ("put, 1 per transaction", names::PUT_ONE, "us"),
    ("put, 1,000 per transaction", names::PUT_MANY, "us"),
    ("get", names::GET, "ns"),
    ("scan, per record", names::SCAN, "ns"),
    ("open to first get", names::OPEN, "ms"),
    ("`open_trusted`", names::OPEN_TRUSTED, "ms"),
    ("settle", names::SETTLE, "ms"),
    ("file, per record", names::ON_MEDIUM, "B"),
    ("most memory", names::STORE_PEAK, "MiB"),
];

fn stores(run: &Run) -> String {
    let Some(records) = shown(run, names::STORES, names::DISK) else { return NOTHING.into() };
    let mut text = String::new();
    for (durable, what) in [
        (true, "durable when a transaction returns"),
        (false, "not durable when a transaction returns (the book says what survives what)"),
    ] {
        let table = Table { run, part: names::STORES, medium: names::DISK, records, columns: STORE_COLUMNS };
        let of_kind = run.contenders(names::STORES, names::DISK);
        let of_kind: Vec<&str> =
            of_kind.into_iter().filter(|name| is_durable(name) == Some(durable)).collect();
        let _ = write!(text, "\n{} records, {what}:\n{}", thousands(records), table.lines(&of_kind));
    }
    text
}

fn fences(run: &Run) -> String {
    let [ours, peer] = names::FENCERS;
    let of = |contender| Subject { part: names::FENCES, contender, medium: names::MEMORY, records: 0 };
    let mut text = format!(
        "\n| one commit of | {ours}, fences | {peer}, fences | {ours} | {peer} |\n|---|--:|--:|--:|--:|\n"
    );
    let mut any = false;
    for job in jobs(run) {
        any = true;
        let cell = |contender, measure: &str, unit| {
            let value = run.get(&of(contender), &format!("{measure}{job}"));
            value.map_or_else(|| "-".into(), |value| quantity(value, unit))
        };
        let _ = writeln!(
            text,
            "| {job} | {} | {} | {} | {} |",
            cell(ours, names::FENCES_OF, ""),
            cell(peer, names::FENCES_OF, ""),
            cell(ours, names::TIME_OF, "ns"),
            cell(peer, names::TIME_OF, "ns"),
        );
    }
    if any { text } else { NOTHING.into() }
}

/// The jobs whose fences were counted.
#[must_use]
pub fn jobs(run: &Run) -> Vec<&str> {
    let ours = run.of(names::FENCES, names::MEMORY).filter(|figure| figure.contender == names::FENCERS[0]);
    ours.filter_map(|figure| figure.measure.strip_prefix(names::FENCES_OF)).collect()
}

/// Names of the plots' files, without their endings, and what they show.
pub const PLOTS: &[(&str, &str)] = &[
    ("change-one", "Changing one field durably, as the state grows"),
    ("change-many", "Changing 1,000 fields durably in one step, as the state grows"),
    ("start", "From opening to the first value read, as the state grows"),
    ("scan", "Adding everything up, as the state grows"),
    ("memory", "The most memory that a whole session needs, as the state grows"),
    ("file", "Bytes on the disk, as the state grows"),
    ("stores-durable", "Durable puts in a second, in embedded stores"),
    ("stores-fast", "Puts in a second that are not durable at once, in embedded stores"),
    ("fences", "Store fences of one commit on persistent memory"),
];

fn plots() -> String {
    PLOTS.iter().map(|(file, what)| format!("\n![{what}](plots/{file}.svg)\n")).collect()
}

fn summary(run: &Run) -> String {
    let mut text = machine(run);
    if let Some(records) = shown(run, names::SERIAL, names::DISK) {
        let columns = &[
            ("change one field", names::CHANGE_ONE, "us"),
            ("start to first read", names::START, "ms"),
            ("full scan", names::FULL_SCAN, "ms"),
            ("most memory", names::PEAK, "MiB"),
        ];
        let table = Table { run, part: names::SERIAL, medium: names::DISK, records, columns };
        let _ = write!(text, "\nA state of {} records, files on the disk:\n", thousands(records));
        text.push_str(&table.lines(&run.contenders(names::SERIAL, names::DISK)));
    }
    text.push_str(&stores(run));
    text
}

/// A value with as many digits as mean something, in the unit that suits it.
#[must_use]
pub fn quantity(value: f64, unit: &str) -> String {
    let nanos = match unit {
        "ns" => value,
        "us" => value * 1e3,
        "ms" => value * 1e6,
        "" => return digits(value),
        _ => return format!("{} {unit}", digits(value)),
    };
    match nanos {
        small if small < 1e3 => format!("{} ns", digits(small)),
        middle if middle < 1e6 => format!("{} us", digits(middle / 1e3)),
        large if large < 1e9 => format!("{} ms", digits(large / 1e6)),
        _ => format!("{} s", digits(nanos / 1e9)),
    }
}

/// Three digits, and no more after the point than they need.
fn digits(value: f64) -> String {
    match value {
        whole if whole.fract() == 0.0 => thousands(whole as u64),
        small if small < 10.0 => format!("{small:.2}"),
        middle if middle < 100.0 => format!("{middle:.1}"),
        _ => thousands(value.round() as u64),
    }
}

/// How many times faster; a fraction where it is slower.
fn times(ratio: f64) -> String {
    if ratio < 1.0 { format!("1/{}", digits(1.0 / ratio)) } else { digits(ratio) }
}

/// A count with commas.
#[must_use]
pub fn thousands(count: u64) -> String {
    let plain = count.to_string();
    let mut text = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::results::Figure;

    fn run() -> Run {
        let mut run = Run::begin(Machine::default());
        let mut add = |part: &str, contender: &str, records: u64, measure: &str, unit: &str, value: f64| {
            let of = Subject { part, contender, medium: names::DISK, records };
            run.figures.push(Figure::new(&of, measure, unit, vec![value; 5]));
        };
        add(names::SERIAL, names::POBJ, 1000, names::CHANGE_ONE, "us", 5.0);
        for (contender, micros) in
            [(names::POBJ, 100.0), ("serde_json", 1.0e6), ("postcard", 90_000.0), ("rkyv", 400_000.0)]
        {
            add(names::SERIAL, contender, 1_000_000, names::CHANGE_ONE, "us", micros);
        }
        add(names::STORES, "pobj kv hash, Immediate", 1000, names::GET, "ns", 120.0);
        add(names::STORES, "LMDB, sync", 1000, names::GET, "ns", 500.0);
        add(names::STORES, "pobj kv hash, Eventual", 1000, names::GET, "ns", 110.0);
        run
    }

    /// Catches a writer that touches what is not its own, or that adds to what it wrote before.
    #[test]
    fn only_blocks_change_and_writing_twice_is_writing_once() -> Result<()> {
        let page = "# A\n\n<!-- measure: machine -->\nold\n<!-- measure: end -->\n\nbetween\n\
                    <!-- measure: serial --><!-- measure: end -->\nafter, with no newline";
        let run = run();
        let once = rewrite(page, |name| block(name, &run))?;
        assert!(once.starts_with("# A\n\n<!-- measure: machine -->\n"), "{once}");
        assert!(once.contains("<!-- measure: end -->\n\nbetween\n<!-- measure: serial -->\n"), "{once}");
        assert!(once.ends_with("<!-- measure: end -->\nafter, with no newline"), "{once}");
        assert!(!once.contains("old"), "{once}");
        assert_eq!(rewrite(&once, |name| block(name, &run))?, once);
        Ok(())
    }

    /// Catches a page that silently keeps old figures because a marker is wrong.
    #[test]
    fn wrong_markers_are_errors() {
        let all = |_: &str| Some(String::new());
        assert!(rewrite("no marker", all).is_err());
        assert!(rewrite("<!-- measure: machine -->\nno end", all).is_err());
        assert!(rewrite("<!-- measure: machine", all).is_err());
        let nested = "<!-- measure: a -->\n<!-- measure: b -->\n<!-- measure: end -->";
        assert!(rewrite(nested, all).is_err());
        let run = run();
        let unknown = "<!-- measure: nobody -->\n<!-- measure: end -->";
        assert!(rewrite(unknown, |name| block(name, &run)).is_err());
    }

    /// Catches a verdict against the wrong peer, the wrong size, or the wrong way round.
    #[test]
    fn bars_are_judged_against_the_fastest() {
        let text = bars(&run());
        let line = text.lines().find(|line| line.contains("change one field, full save, disk"));
        let asked =
            "| change one field, full save, disk | postcard | 90 ms | 100 us | 900 | 1,000 | missed |";
        assert_eq!(line, Some(asked), "{text}");
    }

    /// Catches a bold figure that is not the best, and a table of another size.
    #[test]
    fn the_best_of_a_column_is_bold() {
        let text = serial(&run(), names::DISK);
        assert!(text.contains("| pobj, open | **100 us** |"), "{text}");
        assert!(text.contains("| postcard | 90 ms |"), "{text}");
        assert!(text.contains("A state of 1,000,000 records"), "{text}");
    }

    /// Catches modes that are in the wrong table, or in none, in a build without the peers too.
    #[test]
    fn durable_and_other_stores_have_tables_of_their_own() {
        let text = stores(&run());
        let (durable, other) = text.split_once("not durable").unwrap_or_default();
        assert!(durable.contains("pobj kv hash, Immediate") && !durable.contains("Eventual"), "{text}");
        assert!(durable.contains("| LMDB, sync |"), "{text}");
        assert!(other.contains("pobj kv hash, Eventual") && !other.contains("Immediate"), "{text}");
    }

    #[test]
    fn quantities() {
        assert_eq!(quantity(0.5, "us"), "500 ns");
        assert_eq!(quantity(1234.5, "us"), "1.23 ms");
        assert_eq!(quantity(2500.0, "ms"), "2.50 s");
        assert_eq!(quantity(1.0, ""), "1");
        assert_eq!(quantity(12345.6, "MiB"), "12,346 MiB");
        assert_eq!(thousands(1_000_000), "1,000,000");
        assert_eq!((times(2.0), times(0.25)), ("2".into(), "1/4".into()));
    }
}
