//! SVGs of what `compare --json` and `growth --json` printed: how many times better than 1.11.0, and costs by size.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use serde_json::Value;

use crate::figures::figure;

const BAR_PIXELS: i32 = 18;
const LABEL_PIXELS: i32 = 470;
const MARGIN_PIXELS: i32 = 40;
const WIDTH_PIXELS: u32 = 1100;
const GROWTH_PIXELS: (u32, u32) = (760, 480);
const FONT: (&str, i32) = ("sans-serif", 12);
const COLORS: [RGBColor; 5] =
    [RGBColor(31, 119, 180), RGBColor(214, 39, 40), RGBColor(44, 160, 44), RGBColor(148, 103, 189), BLACK];

/// A figure of which both masters have one.
struct Bar {
    label: String,
    times: f64,
    goal: Option<f64>,
}

struct Curve {
    what: String,
    unit: String,
    power: f64,
    points: Vec<(f64, f64)>,
}

#[derive(Default)]
struct Data {
    bars: Vec<Bar>,
    /// By workload, in the order in which they came.
    growths: Vec<(String, String, Vec<Curve>)>,
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
                power: line["power"].as_f64().unwrap_or(f64::NAN),
                points: points.filter(|(x, y)| *x > 0.0 && *y > 0.0).collect(),
            };
            let key = (workload.to_string(), text(line, "who"));
            match self.growths.iter_mut().find(|(of, who, _)| (of, who) == (&key.0, &key.1)) {
                Some((.., curves)) => curves.push(curve),
                None => self.growths.push((key.0, key.1, vec![curve])),
            }
        } else if let Some(times) = line["times"].as_f64().filter(|times| *times > 0.0) {
            let what = text(line, "what");
            // An answer of the same size is no merit.
            if !what.ends_with(", size") {
                let label = format!("{}, {}: {what}", text(line, "workload"), text(line, "size"));
                self.bars.push(Bar { label, times, goal: line["goal"]["times"].as_f64() });
            }
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
        for line in content.lines().filter(|line| !line.trim().is_empty()) {
            data.take(&serde_json::from_str(line).map_err(|error| named(&error))?);
        }
    }
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut made = Vec::new();
    if !data.bars.is_empty() {
        let path = folder.join("compare.svg");
        let height = MARGIN_PIXELS * 2 + BAR_PIXELS * data.bars.len() as i32;
        bars(&SVGBackend::new(&path, (WIDTH_PIXELS, height as u32)).into_drawing_area(), &data.bars)?;
        made.push(path);
    }
    for (workload, who, curves) in &data.growths {
        let who = if who == "Messor" { String::new() } else { format!("-{who}") };
        let path = folder.join(format!("growth-{workload}{who}.svg"));
        growth(&SVGBackend::new(&path, GROWTH_PIXELS).into_drawing_area(), workload, curves)?;
        made.push(path);
    }
    if made.is_empty() { Err("there is nothing to draw in these files".to_string()) } else { Ok(made) }
}

/// Bars to the right are better, on a scale of logarithms; a black line is a goal.
fn bars(area: &DrawingArea<SVGBackend<'_>, Shift>, bars: &[Bar]) -> Result<(), String> {
    area.fill(&WHITE).map_err(wrong)?;
    let most = bars.iter().flat_map(|bar| [bar.times, bar.goal.unwrap_or(1.0)]).fold(10.0, f64::max);
    let least = bars.iter().map(|bar| bar.times).fold(0.5, f64::min);
    let width = f64::from(WIDTH_PIXELS as i32 - LABEL_PIXELS - MARGIN_PIXELS * 2);
    let place = |times: f64| {
        let share = (times.ln() - least.ln()) / (most.ln() - least.ln());
        LABEL_PIXELS + MARGIN_PIXELS / 2 + (share * width) as i32
    };
    let draw_text =
        |text: String, at: (i32, i32)| area.draw_text(&text, &FONT.into_text_style(area), at).map_err(wrong);
    let bottom = MARGIN_PIXELS + BAR_PIXELS * bars.len() as i32;
    draw_text(
        "times better than Apache Mesos 1.11.0 in the same run (black: the goal)".to_string(),
        (10, 8),
    )?;
    for (number, bar) in bars.iter().enumerate() {
        let top = MARGIN_PIXELS + BAR_PIXELS * number as i32;
        let color = if bar.times >= 1.0 { COLORS[0] } else { COLORS[1] };
        let (from, to) = (place(bar.times.min(1.0)), place(bar.times.max(1.0)));
        let shape = [(from, top + 2), (to, top + BAR_PIXELS - 3)];
        area.draw(&Rectangle::new(shape, color.filled())).map_err(wrong)?;
        draw_text(bar.label.clone(), (6, top + 2))?;
        draw_text(figure(bar.times), (to + 5, top + 2))?;
        if let Some(goal) = bar.goal {
            let line = [(place(goal), top), (place(goal), top + BAR_PIXELS - 1)];
            area.draw(&PathElement::new(line.to_vec(), BLACK.stroke_width(2))).map_err(wrong)?;
        }
    }
    for times in [1.0, 10.0, 100.0].into_iter().filter(|times| (least..=most).contains(times)) {
        let line = [(place(times), MARGIN_PIXELS - 6), (place(times), bottom)];
        area.draw(&PathElement::new(line.to_vec(), BLACK.mix(0.3))).map_err(wrong)?;
        draw_text(format!("{times}"), (place(times) - 4, bottom + 4))?;
    }
    area.present().map_err(wrong)
}

/// Both scales are of logarithms: a straight line with a slope of one is linear growth, which the dashes show.
fn growth(area: &DrawingArea<SVGBackend<'_>, Shift>, workload: &str, curves: &[Curve]) -> Result<(), String> {
    area.fill(&WHITE).map_err(wrong)?;
    let all: Vec<(f64, f64)> = curves.iter().flat_map(|curve| curve.points.iter().copied()).collect();
    let range = |of: fn(&(f64, f64)) -> f64| {
        all.iter()
            .map(of)
            .fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)))
    };
    let ((left, right), (low, high)) = (range(|point| point.0), range(|point| point.1));
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{workload}: what all of it costs"), ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d((left * 0.9..right * 1.1).log_scale(), (low * 0.5..high * 4.0).log_scale())
        .map_err(wrong)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| figure(*y))
        .draw()
        .map_err(wrong)?;
    for (curve, color) in curves.iter().zip(COLORS.into_iter().cycle()) {
        let label = format!("{}, {}: power {:.2}", curve.what, curve.unit, curve.power);
        chart
            .draw_series(LineSeries::new(curve.points.iter().copied(), color.stroke_width(2)).point_size(3))
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
        .map_err(wrong)?;
    area.present().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let (lines, svgs) = (folder.path().join("lines"), folder.path().join("svgs"));
        let compared =
            r#"{"workload":"w","size":"3 agents","what":"CPU","times":12.5,"goal":{"times":10.0}}"#;
        let grown = r#"{"growth":"launch","who":"Messor","what":"CPU","unit":"s","power":1.0,
            "points":[{"x":10,"value":1.0},{"x":20,"value":2.0}]}"#
            .replace('\n', "");
        std::fs::write(&lines, format!("{compared}\n{grown}\n")).unwrap();
        let made = draw(std::slice::from_ref(&lines), &svgs).unwrap();
        let names: Vec<_> = made.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["compare.svg", "growth-launch.svg"]);
        let compare = std::fs::read_to_string(&made[0]).unwrap();
        assert!(compare.contains("w, 3 agents: CPU") && compare.contains("12.5"), "{compare}");
        assert!(std::fs::read_to_string(&made[1]).unwrap().contains("power 1.00"));
        std::fs::write(&lines, "{}").unwrap();
        assert!(draw(&[lines], &svgs).unwrap_err().contains("nothing to draw"));
    }
}
