//! Results as pictures, each as SVG and as PNG.
//!
//! **Growth curves** have the number of records to the right and what it costs upwards, both in powers of ten; a line for
//! each contender, its name at its end. **Bars** have a group for each contender, or for each job. pobj is blue
//! everywhere. The letters are DejaVu Sans, which comes with a crate: the picture looks the same on every machine.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use crate::Result;
use crate::names;
use crate::results::{Run, Subject};
use crate::stores::is_durable;
use crate::tables::{jobs, quantity, thousands};

const SIZE: (u32, u32) = (1200, 720);
const FONT: &str = "sans-serif";
/// Room for names at the ends of lines, or before bars.
const NAMES_WIDTH: i32 = 300;
const PALE: RGBColor = RGBColor(225, 225, 225);
const DARK: RGBColor = RGBColor(60, 60, 60);
const BLUE: RGBColor = RGBColor(31, 87, 195);
const LIGHT_BLUE: RGBColor = RGBColor(110, 165, 240);
/// Others' colours: each is told from its neighbours by those who see few, too.
const OTHERS: [RGBColor; 8] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(150, 110, 0),
    RGBColor(120, 120, 120),
    RGBColor(190, 30, 45),
    RGBColor(90, 60, 150),
    RGBColor(60, 60, 60),
];

type Area<'a, B> = DrawingArea<B, Shift>;

/// Draws every plot that the results have figures for, and gives the files.
///
/// # Errors
///
/// If a file cannot be written.
pub fn draw(run: &Run, out: &Path) -> Result<Vec<PathBuf>> {
    for (style, bytes) in
        [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())]
    {
        register_font(FONT, style, bytes).map_err(|_| "the font cannot be read")?;
    }
    std::fs::create_dir_all(out)?;
    let mut files = Vec::new();
    for (name, measure, title, unit) in CURVES {
        let curves = Curves::of(run, measure, title, unit);
        if !curves.lines.is_empty() {
            files.extend(both(out, name, |svg| curves.draw(svg), |png| curves.draw(png))?);
        }
    }
    for (name, bars) in [
        ("stores-durable", Bars::stores(run, true)),
        ("stores-fast", Bars::stores(run, false)),
        ("fences", Bars::fences(run)),
    ] {
        if !bars.groups.is_empty() {
            files.extend(both(out, name, |svg| bars.draw(svg), |png| bars.draw(png))?);
        }
    }
    Ok(files)
}

/// File, measure, title, unit.
const CURVES: [(&str, &str, &str, &str); 6] = [
    ("change-one", names::CHANGE_ONE, "Change one field, durable on return (disk)", "us"),
    ("change-many", names::CHANGE_MANY, "Change 1,000 fields, durable on return (disk)", "us"),
    ("start", names::START, "From opening to the first value read (page cache warm)", "ms"),
    ("scan", names::FULL_SCAN, "Add everything up", "ms"),
    ("memory", names::PEAK, "Most memory of a session: start, scan, change", "MiB"),
    ("file", names::ON_MEDIUM, "File on the disk", "MiB"),
];

/// One picture in both formats.
fn both(
    out: &Path,
    name: &str,
    svg: impl Fn(&Area<'_, SVGBackend<'_>>) -> Result<()>,
    png: impl Fn(&Area<'_, BitMapBackend<'_>>) -> Result<()>,
) -> Result<[PathBuf; 2]> {
    let files = ["svg", "png"].map(|ending| out.join(format!("{name}.{ending}")));
    {
        let area = SVGBackend::new(&files[0], SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        svg(&area)?;
        area.present()?;
        let area = BitMapBackend::new(&files[1], SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        png(&area)?;
        area.present()?;
    }
    Ok(files)
}

/// A line's name, colour, width, and points.
struct Line {
    name: String,
    color: RGBColor,
    width: u32,
    points: Vec<(f64, f64)>,
}

/// Cost against size, a line for each contender.
struct Curves<'a> {
    title: &'a str,
    unit: &'a str,
    lines: Vec<Line>,
}

impl<'a> Curves<'a> {
    fn of(run: &Run, measure: &str, title: &'a str, unit: &'a str) -> Self {
        let mut lines = Vec::new();
        let mut others = OTHERS.iter().cycle();
        for contender in run.contenders(names::SERIAL, names::DISK) {
            let points = run.sizes(names::SERIAL, names::DISK).into_iter().filter_map(|records| {
                let of = Subject { part: names::SERIAL, contender, medium: names::DISK, records };
                Some((records as f64, run.get(&of, measure)?))
            });
            let (color, width) = match contender {
                names::POBJ => (BLUE, 4),
                names::POBJ_TRUSTED => (LIGHT_BLUE, 4),
                _ => (*others.next().unwrap_or(&DARK), 2),
            };
            let points: Vec<_> = points.collect();
            if !points.is_empty() {
                lines.push(Line { name: contender.into(), color, width, points });
            }
        }
        // pobj's lines are drawn last: on top.
        lines.reverse();
        Self { title, unit, lines }
    }

    /// The least and the most of a coordinate, out to powers of ten.
    fn decades(&self, of: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let values = || self.lines.iter().flat_map(|line| &line.points).map(&of).filter(|value| *value > 0.0);
        let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        let (least, most) = (10f64.powf(least.log10().floor()), 10f64.powf(most.log10().ceil()));
        (least, if most > least { most } else { least * 10.0 })
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<'_, B>) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        let (x, y) = (self.decades(|point| point.0), self.decades(|point| point.1));
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FONT, 26).into_font().style(FontStyle::Bold))
            .margin(20)
            .margin_right(NAMES_WIDTH)
            .x_label_area_size(60)
            .y_label_area_size(100)
            .build_cartesian_2d((x.0..x.1).log_scale(), (y.0..y.1).log_scale())
            .map_err(failed)?;
        chart
            .configure_mesh()
            .x_desc("records")
            .x_label_formatter(&|records| thousands(*records as u64))
            .y_label_formatter(&|value| quantity(*value, self.unit))
            .label_style((FONT, 18))
            .axis_desc_style((FONT, 18))
            .bold_line_style(PALE)
            .light_line_style(WHITE)
            .draw()
            .map_err(failed)?;
        let mut ends = Vec::new();
        for line in &self.lines {
            let style = line.color.stroke_width(line.width);
            chart.draw_series(LineSeries::new(line.points.clone(), style)).map_err(failed)?;
            let dots = line.points.iter().map(|point| Circle::new(*point, 5, line.color.filled()));
            chart.draw_series(dots).map_err(failed)?;
            if let Some(end) = line.points.last() {
                ends.push((chart.backend_coord(end), line));
            }
        }
        name_ends(area, ends)
    }
}

/// Writes the lines' names beside their ends, none over another.
fn name_ends<B: DrawingBackend>(area: &Area<'_, B>, mut ends: Vec<((i32, i32), &Line)>) -> Result<()>
where
    B::ErrorType: 'static,
{
    const APART: i32 = 24;
    ends.sort_by_key(|((_, y), _)| *y);
    let mut places: Vec<i32> = ends.iter().map(|((_, y), _)| *y).collect();
    // Down from the top, then up from the bottom where that went too far.
    for index in 1..places.len() {
        places[index] = places[index].max(places[index - 1] + APART);
    }
    let mut lowest = SIZE.1 as i32 - 90;
    for place in places.iter_mut().rev() {
        *place = (*place).min(lowest);
        lowest = *place - APART;
    }
    for (((x, y), line), place) in ends.into_iter().zip(places) {
        let link = [(x + 8, y), (x + 26, place), (x + 34, place)];
        area.draw(&PathElement::new(link, line.color.stroke_width(1))).map_err(failed)?;
        let style = text(18, line.width > 2).color(&line.color);
        area.draw(&Text::new(line.name.clone(), (x + 40, place), style)).map_err(failed)?;
    }
    Ok(())
}

/// Letters whose middle is at the height that they are put at.
fn text(size: i32, bold: bool) -> TextStyle<'static> {
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    TextStyle::from((FONT, size).into_font().style(style)).pos(Pos::new(HPos::Left, VPos::Center))
}

/// Bars in groups.
struct Bars {
    title: &'static str,
    /// What one bar of a group is, and its colour where the group is pobj's, and where it is not.
    series: Vec<(&'static str, RGBColor, RGBColor)>,
    /// Name, whether it is pobj's, and a value for each of the series.
    groups: Vec<(String, bool, Vec<Option<f64>>)>,
}

impl Bars {
    fn stores(run: &Run, durable: bool) -> Self {
        let records = run.sizes(names::STORES, names::DISK).last().copied().unwrap_or(0);
        let mut groups = Vec::new();
        for contender in run.contenders(names::STORES, names::DISK) {
            if is_durable(contender) != Some(durable) {
                continue;
            }
            let of = Subject { part: names::STORES, contender, medium: names::DISK, records };
            let rate = |measure| run.get(&of, measure).map(|micros| 1e6 / micros);
            let values = vec![rate(names::PUT_ONE), rate(names::PUT_MANY)];
            groups.push((contender.to_owned(), contender.starts_with("pobj"), values));
        }
        let title = match durable {
            true => "Puts in a second, durable when the transaction returns (disk)",
            false => "Puts in a second, not durable at once (disk)",
        };
        let light = RGBColor(190, 190, 190);
        let series = vec![
            ("1 per transaction", LIGHT_BLUE, light),
            ("1,000 per transaction", BLUE, RGBColor(110, 110, 110)),
        ];
        Self { title, series, groups }
    }

    fn fences(run: &Run) -> Self {
        let group = |job: &str| {
            let count = |contender: &&str| {
                let of = Subject { part: names::FENCES, contender, medium: names::MEMORY, records: 0 };
                run.get(&of, &format!("{}{job}", names::FENCES_OF))
            };
            (job.to_owned(), false, names::FENCERS.iter().map(count).collect())
        };
        let [ours, peer] = names::FENCERS;
        let series = vec![(ours, BLUE, BLUE), (peer, OTHERS[0], OTHERS[0])];
        let groups = jobs(run).into_iter().map(group).collect();
        Self { title: "Store fences of one commit (persistent memory)", series, groups }
    }

    /// The scale's first and last value, powers of ten. The least value has a bar, too.
    fn scale(&self) -> (f64, f64) {
        let values = || self.groups.iter().flat_map(|(.., values)| values).filter_map(|value| *value);
        let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(1.0, f64::max));
        (10f64.powf((least * 0.99).log10().floor()), 10f64.powf(most.log10().ceil()))
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<'_, B>) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        let (left, right, top, bottom) = (NAMES_WIDTH + 20, SIZE.0 as i32 - 120, 100, SIZE.1 as i32 - 60);
        let (from, to) = self.scale();
        let place = |value: f64| {
            let part = (value / from).log10() / (to / from).log10();
            left + (part * f64::from(right - left)) as i32
        };
        let title = text(26, true).pos(Pos::new(HPos::Center, VPos::Center));
        area.draw(&Text::new(self.title, (SIZE.0 as i32 / 2, 32), title)).map_err(failed)?;
        self.draw_legend(area, left)?;
        let decades = (to / from).log10().round() as i32;
        for mark in (0..=decades).map(|decade| from * 10f64.powi(decade)) {
            let line = [(place(mark), top), (place(mark), bottom)];
            area.draw(&PathElement::new(line, PALE.stroke_width(1))).map_err(failed)?;
            let style = text(18, false).pos(Pos::new(HPos::Center, VPos::Center)).color(&DARK);
            area.draw(&Text::new(quantity(mark, ""), (place(mark), bottom + 22), style)).map_err(failed)?;
        }
        let step = (bottom - top) / self.groups.len().max(1) as i32;
        for (index, (name, ours, values)) in self.groups.iter().enumerate() {
            let y = top + step * index as i32;
            let style = text(18, *ours).pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(name.clone(), (left - 12, y + step / 2), style)).map_err(failed)?;
            let height = (step - 10).min(64) / values.len().max(1) as i32;
            let first = y + step / 2 - height * values.len() as i32 / 2;
            for (series, value) in values.iter().enumerate() {
                let Some(value) = value else { continue };
                let y = first + height * series as i32;
                let (_, blue, other) = self.series[series];
                let color = if *ours { blue } else { other };
                let bar = [(left, y + 1), (place(*value).max(left + 2), y + height - 1)];
                area.draw(&Rectangle::new(bar, color.filled())).map_err(failed)?;
                let label = quantity(if *value >= 100.0 { value.round() } else { *value }, "");
                let style = text(15.min(height), false).color(&DARK);
                area.draw(&Text::new(label, (bar[1].0 + 6, y + height / 2), style)).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn draw_legend<B: DrawingBackend>(&self, area: &Area<'_, B>, left: i32) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        let mut x = left;
        for (name, blue, other) in &self.series {
            let colors = [(blue, 0), (other, 18)];
            for (color, shift) in colors.into_iter().take(if blue == other { 1 } else { 2 }) {
                let square = [(x + shift, 62), (x + shift + 16, 78)];
                area.draw(&Rectangle::new(square, color.filled())).map_err(failed)?;
            }
            area.draw(&Text::new(*name, (x + 42, 70), text(18, false))).map_err(failed)?;
            x += 280;
        }
        Ok(())
    }
}

/// A backend's error, without its borrow.
fn failed(error: impl std::fmt::Display) -> Box<dyn std::error::Error + Send + Sync> {
    error.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::results::Figure;
    use crate::tables::PLOTS;

    /// Catches a picture that the book's page names and nobody draws, and one that is empty.
    #[test]
    fn every_picture_of_the_page_is_drawn() -> Result<()> {
        let mut run = Run::begin(Machine::default());
        let mut add = |part, contender, medium, records, measure: &str| {
            let of = Subject { part, contender, medium, records };
            run.figures.push(Figure::new(&of, measure, "us", vec![records as f64 + 3.0]));
        };
        for (_, measure, ..) in CURVES {
            for records in [1000, 10_000] {
                add(names::SERIAL, names::POBJ, names::DISK, records, measure);
                add(names::SERIAL, "postcard", names::DISK, records, measure);
            }
        }
        for measure in [names::PUT_ONE, names::PUT_MANY] {
            add(names::STORES, "pobj kv hash, Immediate", names::DISK, 10, measure);
            add(names::STORES, "pobj kv hash, Eventual", names::DISK, 10, measure);
        }
        add(names::FENCES, "pobj", names::MEMORY, 0, "fences, one 8-byte change");
        let dir = tempfile::tempdir()?;
        let files = draw(&run, dir.path())?;
        assert_eq!(files.len(), 2 * PLOTS.len());
        for (name, _) in PLOTS {
            let svg = std::fs::read_to_string(dir.path().join(format!("{name}.svg")))?;
            assert!(svg.contains("<text") && svg.contains("pobj"), "{name}: {svg}");
            assert!(std::fs::metadata(dir.path().join(format!("{name}.png")))?.len() > 5000, "{name}");
        }
        Ok(())
    }
}
