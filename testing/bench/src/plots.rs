//! SVGs of what `compare --json` and `growth --json` printed: how many times better than 1.11.0, and costs by size.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use serde_json::Value;

use crate::chart::Chart;
use crate::figures::figure;
use crate::made::beneath;
use crate::workloads::grouped;

const GROWTH_PIXELS: (u32, u32) = (760, 504);
const FONT: (&str, i32) = ("sans-serif", 12);
const SMALL: (&str, i32) = ("sans-serif", 10);
/// Two lines of it.
const BENEATH_PIXELS: i32 = 32;
/// So many marks an axis has at most that stand at the sizes themselves.
const MARKS: usize = 6;
const COLORS: [RGBColor; 5] =
    [RGBColor(31, 119, 180), RGBColor(214, 39, 40), RGBColor(44, 160, 44), RGBColor(148, 103, 189), BLACK];

struct Curve {
    what: String,
    unit: String,
    /// Where a size has no figure there is none.
    power: Option<f64>,
    points: Vec<(f64, f64)>,
}

struct Growth {
    workload: String,
    who: String,
    /// What made them.
    made: [String; 2],
    curves: Vec<Curve>,
}

#[derive(Default)]
struct Data {
    chart: Chart,
    /// By workload, in the order in which they came.
    growths: Vec<Growth>,
    /// What made the file that is read now.
    made: [String; 2],
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_string()
}

impl Data {
    fn take(&mut self, line: &Value) {
        if let Some(workload) = line["growth"].as_str() {
            let points = line["points"].as_array().into_iter().flatten();
            let points = points.filter_map(|point| Some((point["x"].as_f64()?, point["value"].as_f64()?)));
            let curve = Curve {
                what: text(line, "what"),
                unit: text(line, "unit"),
                power: line["power"].as_f64(),
                points: points.filter(|(x, y)| *x > 0.0 && *y > 0.0).collect(),
            };
            let (workload, who) = (workload.to_string(), text(line, "who"));
            let same = |growth: &&mut Growth| growth.workload == workload && growth.who == who;
            match self.growths.iter_mut().find(same) {
                Some(growth) => growth.curves.push(curve),
                None => {
                    let made = self.made.clone();
                    self.growths.push(Growth { workload, who, made, curves: vec![curve] });
                }
            }
        } else if line["workload"].is_string() {
            self.chart.made.clone_from(&self.made);
            self.chart.take(line);
        } else if let Some(lines) = beneath(line) {
            self.made = lines;
        }
    }
}

fn wrong(error: impl Display) -> String {
    format!("it cannot be drawn: {error}")
}

/// Draws everything that these files hold into a folder, and says what it made.
pub fn draw(files: &[PathBuf], folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut data = Data::default();
    for path in files {
        let named = |error: &dyn Display| format!("{}: {error}", path.display());
        let content = std::fs::read_to_string(path).map_err(|error| named(&error))?;
        data.made = Default::default();
        for line in content.lines().filter(|line| !line.trim().is_empty()) {
            data.take(&serde_json::from_str(line).map_err(|error| named(&error))?);
        }
    }
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut made = Vec::new();
    if !data.chart.is_empty() {
        let path = folder.join("compare.svg");
        std::fs::write(&path, data.chart.to_svg()).map_err(|error| format!("{}: {error}", path.display()))?;
        made.push(path);
    }
    for growth in &data.growths {
        let who = if growth.who == "Messor" { String::new() } else { format!("-{}", growth.who) };
        let path = folder.join(format!("growth-{}{who}.svg", growth.workload));
        growth.draw(&path)?;
        made.push(path);
    }
    if made.is_empty() { Err("there is nothing to draw in these files".to_string()) } else { Ok(made) }
}

/// Where a scale of logarithms has marks: at the sizes themselves where they are few, else at the powers of ten and what lies between.
fn marks(mut sizes: Vec<f64>) -> Vec<f64> {
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let (Some(least), Some(most)) = (sizes.first().copied(), sizes.last().copied()) else {
        return sizes;
    };
    if sizes.len() <= MARKS {
        return sizes;
    }
    let powers = least.log10().floor() as i32..=most.log10().ceil() as i32;
    let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10.0_f64.powi(power)));
    all.filter(|mark| (least..=most).contains(mark)).collect()
}

impl Growth {
    /// What it costs, and beneath it what made the figures.
    fn draw(&self, path: &Path) -> Result<(), String> {
        let area = SVGBackend::new(path, GROWTH_PIXELS).into_drawing_area();
        area.fill(&WHITE).map_err(wrong)?;
        let (above, beneath) = area.split_vertically(GROWTH_PIXELS.1 as i32 - BENEATH_PIXELS);
        self.draw_curves(&above)?;
        for (line, y) in self.made.iter().zip([2, 16]).filter(|(line, _)| !line.is_empty()) {
            beneath.draw_text(line, &SMALL.into_text_style(&beneath), (12, y)).map_err(wrong)?;
        }
        area.present().map_err(wrong)
    }

    /// Both scales are of logarithms: a straight line with a slope of one is linear growth, which the dashes show.
    fn draw_curves(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), String> {
        let all: Vec<(f64, f64)> =
            self.curves.iter().flat_map(|curve| curve.points.iter().copied()).collect();
        let range = |of: fn(&(f64, f64)) -> f64| {
            all.iter()
                .map(of)
                .fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)))
        };
        let ((left, right), (low, high)) = (range(|point| point.0), range(|point| point.1));
        let sizes = marks(all.iter().map(|(x, _)| *x).collect());
        let mut chart = ChartBuilder::on(area)
            .caption(format!("{}: what all of it costs", self.workload), ("sans-serif", 16))
            .margin(12)
            .x_label_area_size(30)
            .y_label_area_size(60)
            .build_cartesian_2d(
                (left * 0.9..right * 1.1).log_scale().with_key_points(sizes),
                (low * 0.5..high * 4.0).log_scale(),
            )
            .map_err(wrong)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&|x| grouped(x.round() as usize))
            .y_label_formatter(&|y| figure(*y))
            .draw()
            .map_err(wrong)?;
        for (curve, color) in self.curves.iter().zip(COLORS.into_iter().cycle()) {
            let power = curve.power.map_or("no power".to_string(), |power| format!("power {power:.2}"));
            let label = format!("{}, {}: {power}", curve.what, curve.unit);
            let points = curve.points.iter().copied();
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(3))
                .map_err(wrong)?
                .label(label)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
            if let Some((x, y)) = curve.points.first() {
                let linear = [(*x, *y), (right, y * right / x)];
                let dashes = DashedLineSeries::new(linear, 3, 5, color.mix(0.5).into());
                chart.draw_series(dashes).map_err(wrong)?;
            }
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .label_font(FONT)
            .draw()
            .map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_marks() {
        assert_eq!(marks(vec![6250.0, 12_500.0, 6250.0, 25_000.0]), [6250.0, 12_500.0, 25_000.0]);
        let many = marks((3..40).map(f64::from).collect());
        assert_eq!(many, [5.0, 10.0, 20.0]);
        assert!(marks(Vec::new()).is_empty());
    }

    #[test]
    fn lines_become_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let (lines, svgs) = (folder.path().join("lines"), folder.path().join("svgs"));
        let compared = r#"{"workload":"w","size":"3 agents","what":"CPU","unit":"s","times":12.5,"goal":{"times":10.0}}"#;
        let grown = r#"{"growth":"launch","who":"Messor","what":"CPU","unit":"s","power":1.0,
            "points":[{"x":10,"value":1.0},{"x":20,"value":2.0}]}"#
            .replace('\n', "");
        let first = r#"{"machine":"2 cores","commit":"abc","command":"growth --json"}"#;
        std::fs::write(&lines, format!("{first}\n{compared}\n{grown}\n")).unwrap();
        let made = draw(std::slice::from_ref(&lines), &svgs).unwrap();
        let names: Vec<_> = made.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["compare.svg", "growth-launch.svg"]);
        let compare = std::fs::read_to_string(&made[0]).unwrap();
        assert!(compare.contains("w: 3 agents") && compare.contains("12.5"), "{compare}");
        assert!(compare.contains("2 cores") && compare.contains("commit abc: growth --json"), "{compare}");
        let growth = std::fs::read_to_string(&made[1]).unwrap();
        let text = |wanted: &str| growth.lines().any(|line| line.trim() == wanted);
        for wanted in ["10", "20", "2 cores", "commit abc: growth --json"] {
            assert!(text(wanted), "{wanted} is not in {growth}");
        }
        assert!(growth.contains("power 1.00"), "{growth}");
        std::fs::write(&lines, "{}").unwrap();
        assert!(draw(&[lines], &svgs).unwrap_err().contains("nothing to draw"));
    }
}
