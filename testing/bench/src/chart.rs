//! The table of `compare` as a picture: how many times better each figure is than that of 1.11.0, on a scale of logarithms, with the
//! goals and both figures. An SVG with a background of its own, light or dark as whoever looks at it prefers.

use std::fmt::Write;

use serde_json::Value;

use crate::figures::figure;

const WIDTH: f64 = 1120.0;
/// Where labels begin, the scale, and where columns of figures end.
const LABEL: f64 = 28.0;
const SCALE: (f64, f64) = (452.0, 812.0);
const COLUMNS: [f64; 3] = [898.0, 980.0, 1098.0];
const TOP: f64 = 96.0;
const ROW: f64 = 19.0;
const GROUP: f64 = 30.0;
/// Lines of the scale, where they are in its range.
const TICKS: [f64; 12] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];

const STYLE: &str = "
svg { --ground: #ffffff; --ink: #1f2328; --soft: #59636e; --rule: #d8dee4; --band: #f3f5f7;
      --better: #2f6fb3; --worse: #c4501b; --met: #1a7f37; --missed: #b3261e; }
@media (prefers-color-scheme: dark) {
  svg { --ground: #14181d; --ink: #e6edf3; --soft: #9aa4af; --rule: #343b44; --band: #1b2027;
        --better: #6ea8e0; --worse: #f0965a; --met: #57c46f; --missed: #ff8079; }
}
text { font: 12px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: var(--ink); }
.title { font-size: 17px; font-weight: 600; }
.group { font-weight: 600; }
.small { font-size: 10px; }
.soft { fill: var(--soft); }
.right { text-anchor: end; font-variant-numeric: tabular-nums; }
.middle { text-anchor: middle; }
.ground { fill: var(--ground); }
.band { fill: var(--band); }
.rule { stroke: var(--rule); stroke-width: 1; }
.one { stroke: var(--soft); stroke-width: 1.5; }
.better { fill: var(--better); }
.worse { fill: var(--worse); }
.met { fill: var(--met); stroke: var(--ground); stroke-width: 1.5; }
.missed { fill: var(--ground); stroke: var(--missed); stroke-width: 2; }
text.met { stroke: none; }
text.missed { fill: var(--missed); stroke: none; }
";

/// One line of the table.
#[derive(Clone, Debug)]
struct Row {
    what: String,
    real: Option<f64>,
    messor: Option<f64>,
    times: Option<f64>,
    /// How many times better it is to be.
    goal: Option<f64>,
    met: Option<bool>,
    /// 1.11.0 was played and did not come to the end.
    failed: bool,
}

/// What was seen of one workload in one size.
#[derive(Clone, Debug)]
struct Group {
    workload: String,
    size: String,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Chart {
    /// On which machine; and with which commit and command.
    pub(crate) made: [String; 2],
    groups: Vec<Group>,
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// An absolute goal as a ratio to what 1.11.0 shows.
fn goal_times(line: &Value, real: Option<f64>) -> Option<f64> {
    let goal = &line["goal"];
    let ratio = match (goal["times"].as_f64(), goal["at_most"].as_f64(), goal["at_least"].as_f64()) {
        (Some(times), ..) => times,
        (_, Some(most), _) => real? / most,
        (.., Some(least)) => least / real?,
        _ => return None,
    };
    (ratio.is_finite() && ratio > 0.0).then_some(ratio)
}

impl Chart {
    /// One line that `compare` printed; what is not of it is left out.
    pub(crate) fn take(&mut self, line: &Value) {
        let what = text(line, "what");
        // An answer of the same size is no merit, nor are as many updates as the bench told.
        let is_condition = what.ends_with(", size") || what.ends_with(", updates meanwhile");
        if what.is_empty() || is_condition || line["growth"].is_string() {
            return;
        }
        let real = line["1.11.0"]["median"].as_f64();
        let row = Row {
            what: format!("{what}, {}", text(line, "unit")),
            real,
            messor: line["messor"]["median"].as_f64(),
            times: line["times"].as_f64().filter(|times| times.is_finite() && *times > 0.0),
            goal: goal_times(line, real),
            met: line["met"].as_bool(),
            failed: line["1.11.0"]["failed"].as_bool().unwrap_or(false),
        };
        let (workload, size) = (text(line, "workload"), text(line, "size"));
        match self.groups.iter_mut().find(|group| group.workload == workload && group.size == size) {
            Some(group) => group.rows.push(row),
            None => {
                self.groups.push(Group { workload: workload.into(), size: size.into(), rows: vec![row] });
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    fn range(&self) -> (f64, f64) {
        let rows = self.groups.iter().flat_map(|group| &group.rows);
        let all = rows.flat_map(|row| [row.times, row.goal]).flatten();
        let (least, most) = all.fold((0.8, 12.0), |(least, most): (f64, f64), times| {
            (least.min(times * 0.9), most.max(times * 1.1))
        });
        (least, most)
    }

    pub(crate) fn to_svg(&self) -> String {
        let rows: usize = self.groups.iter().map(|group| group.rows.len()).sum();
        let bottom = TOP + GROUP * self.groups.len() as f64 + ROW * rows as f64;
        let height = bottom + 50.0;
        let (least, most) = self.range();
        let place = |times: f64| {
            let share = (times.ln() - least.ln()) / (most.ln() - least.ln());
            SCALE.0 + share.clamp(0.0, 1.0) * (SCALE.1 - SCALE.0)
        };
        let mut svg = Svg(String::new());
        svg.open(WIDTH, height);
        svg.text("title", 16.0, 28.0, "Messor beside Apache Mesos 1.11.0: how many times better");
        svg.text("soft", 16.0, 47.0, &self.made[0]);
        svg.legend(66.0);
        svg.text("right soft", COLUMNS[0], TOP - 8.0, "1.11.0");
        svg.text("right soft", COLUMNS[1], TOP - 8.0, "Messor");
        svg.text("right soft", COLUMNS[2], TOP - 8.0, "times better");
        let mut y = TOP;
        let mut bands = String::new();
        let mut body = Svg(String::new());
        for group in &self.groups {
            let _ = write!(
                bands,
                "<rect class=\"band\" x=\"8\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"3\"/>",
                y + 6.0,
                WIDTH - 16.0,
                GROUP - 9.0
            );
            body.text("group", 16.0, y + 21.0, &format!("{}: {}", group.workload, group.size));
            y += GROUP;
            for row in &group.rows {
                body.row(row, y, &place);
                y += ROW;
            }
        }
        svg.0.push_str(&bands);
        for times in TICKS.into_iter().filter(|times| (least..=most).contains(times)) {
            let (class, x) = (if times == 1.0 { "one" } else { "rule" }, place(times));
            svg.line(class, (x, TOP - 2.0), (x, bottom + 6.0));
            for y in [TOP - 8.0, bottom + 20.0] {
                svg.text("middle soft", x, y, &format!("{times}×"));
            }
        }
        svg.0.push_str(&body.0);
        svg.text("soft small", 16.0, height - 10.0, &self.made[1]);
        svg.0.push_str("</svg>\n");
        svg.0
    }
}

struct Svg(String);

impl Svg {
    fn open(&mut self, width: f64, height: f64) {
        let _ = write!(
            self.0,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-label=\"Messor beside Apache Mesos 1.11.0\"><style>{STYLE}</style>\
             <rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>"
        );
    }

    fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(self.0, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let _ = write!(
            self.0,
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    fn bar(&mut self, class: &str, (from, to): (f64, f64), y: f64) {
        let _ = write!(
            self.0,
            "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"11\" rx=\"1.5\"/>",
            y - 5.5,
            (to - from).max(1.0)
        );
    }

    fn diamond(&mut self, class: &str, x: f64, y: f64) {
        let _ = write!(self.0, "<path class=\"{class}\" d=\"M{x:.1} {:.1}l6 6l-6 6l-6 -6z\"/>", y - 6.0);
    }

    fn legend(&mut self, y: f64) {
        self.bar("better", (16.0, 40.0), y);
        self.text("soft", 46.0, y + 4.0, "better than 1.11.0 in the same run");
        self.bar("worse", (276.0, 300.0), y);
        self.text("soft", 306.0, y + 4.0, "worse");
        self.diamond("met", 376.0, y);
        self.text("soft", 388.0, y + 4.0, "a goal that is met");
        self.diamond("missed", 526.0, y);
        self.text("soft", 538.0, y + 4.0, "a goal that is missed");
    }

    fn row(&mut self, row: &Row, y: f64, place: &impl Fn(f64) -> f64) {
        let (middle, base) = (y + ROW / 2.0, y + ROW / 2.0 + 4.0);
        self.text("", LABEL, base, &row.what);
        let times = row.times.map(|times| (times, place(times.min(1.0)), place(times.max(1.0))));
        if let Some((times, from, to)) = times {
            self.bar(if times >= 1.0 { "better" } else { "worse" }, (from, to), middle);
        }
        let class = if row.met == Some(true) { "met" } else { "missed" };
        if let (Some(goal), Some(_)) = (row.goal, row.met) {
            self.diamond(class, place(goal), middle);
        }
        let column = |value: Option<f64>| value.map(figure).unwrap_or_default();
        let real = if row.real.is_none() && row.failed { "failed".to_string() } else { column(row.real) };
        self.text("right", COLUMNS[0], base, &real);
        self.text("right", COLUMNS[1], base, &column(row.messor));
        match (times, row.met) {
            (Some((times, ..)), Some(_)) => {
                self.text(&format!("right {class}"), COLUMNS[2], base, &figure(times));
            }
            (Some((times, ..)), None) => self.text("right", COLUMNS[2], base, &figure(times)),
            (None, Some(met)) => {
                let word = if met { "goal met" } else { "goal missed" };
                self.text(&format!("right {class}"), COLUMNS[2], base, word);
            }
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_have_bars_goals_and_both_figures() {
        let made = ["2 cores <of> a kind", "commit abc: compare --runs 3"].map(String::from);
        let mut chart = Chart { made, ..Chart::default() };
        let line = |what: &str, real: Value, messor: f64, times: Value, goal: Value, met: Value| {
            json!({"workload": "launch", "size": "3 agents", "what": what, "unit": "ms", "1.11.0": {"median": real},
                   "messor": {"median": messor}, "times": times, "goal": goal, "met": met})
        };
        chart.take(&line("CPU", json!(25.0), 2.0, json!(12.5), json!({"times": 10.0}), json!(true)));
        chart.take(&line("rate", json!(1.0), 0.5, json!(0.5), Value::Null, Value::Null));
        chart.take(&line("memory", json!(12.0), 4.0, json!(3.0), json!({"at_most": 3.0}), json!(false)));
        chart.take(&line("alone", Value::Null, 7.0, Value::Null, Value::Null, Value::Null));
        chart.take(&line("answer, size", json!(1.0), 1.0, json!(1.0), Value::Null, Value::Null));
        let svg = chart.to_svg();
        for part in [
            "2 cores &lt;of&gt; a kind",
            ">commit abc: compare --runs 3<",
            "launch: 3 agents",
            ">12.5<",
            "class=\"worse\"",
            ">alone, ms<",
            ">7.00<",
        ] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
        assert_eq!(svg.matches("class=\"missed\" d=").count(), 2, "in the legend and of memory");
        assert!(!svg.contains("answer"), "{svg}");
        // What 1.11.0 takes to the goal of 3 is four times.
        assert_eq!(chart.groups[0].rows[2].goal, Some(4.0));
    }
}
