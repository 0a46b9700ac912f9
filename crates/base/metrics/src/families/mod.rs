//! The table of all metrics, by family.
//!
//! Resources: mem and disk are megabytes in Mesos and bytes here, `percent` is a share of 1 in both. What is reserved for
//! or used by a role is in Mesos' own units, as any resource may be meant.

use crate::catalogue::{Catalogue, Family, Kind, Presence, Source, Sum};
use crate::pattern::Pattern;

/// A timer of this name in Mesos, with `_ms`.
macro_rules! timer {
    ($table:ident, $name:literal, $what:literal, $mesos:literal, $first:expr, $second:expr) => {
        $table.timer(
            $name,
            $what,
            [$mesos, concat!($mesos, "/min"), concat!($mesos, "/max"), concat!($mesos, "/count")],
            [
                (concat!($mesos, "/p50"), "0.5"),
                (concat!($mesos, "/p90"), "0.9"),
                (concat!($mesos, "/p95"), "0.95"),
                (concat!($mesos, "/p99"), "0.99"),
                (concat!($mesos, "/p999"), "0.999"),
                (concat!($mesos, "/p9999"), "0.9999"),
            ],
            [$first, $second],
        )
    };
}

/// A resource of a master, or of an agent: what it is to Prometheus, its unit there, its name in Mesos.
macro_rules! resource {
    ($table:ident, $of:literal, $mesos:literal, $name:literal, $unit:literal, $scale:expr) => {
        $table.resource(
            $name,
            [
                concat!($of, "_", $name, $unit),
                concat!($of, "_", $name, "_used", $unit),
                concat!($of, "_", $name, "_used_ratio"),
            ],
            $scale,
            [
                [concat!($mesos, "/", $name, "_total"), concat!($mesos, "/", $name, "_revocable_total")],
                [concat!($mesos, "/", $name, "_used"), concat!($mesos, "/", $name, "_revocable_used")],
                [concat!($mesos, "/", $name, "_percent"), concat!($mesos, "/", $name, "_revocable_percent")],
            ],
        )
    };
}

mod agent;
mod master;

const MEGABYTE: f64 = 1024.0 * 1024.0;
const MILLISECOND: f64 = 0.001;

fn always(pattern: &'static str) -> Source {
    Source { pattern: Pattern::parse(pattern), labels: Vec::new(), presence: Presence::Always }
}

impl Source {
    fn with(mut self, label: &'static str, value: &'static str) -> Source {
        self.labels.push((label, value));
        self
    }

    fn when(self, what: &'static str) -> Source {
        Source { presence: Presence::Sometimes(what), ..self }
    }

    fn absent(self, why: &'static str) -> Source {
        Source { presence: Presence::Absent(why), ..self }
    }
}

#[derive(Default)]
struct Table {
    families: Vec<Family>,
    sums: Vec<Sum>,
}

impl Table {
    fn family(&mut self, kind: Kind, name: &str, help: &str, scale: f64, sources: impl Into<Vec<Source>>) {
        let (name, help) = (format!("mesos_{name}"), help.to_string());
        self.families.push(Family { name, kind, help, scale, sources: sources.into() });
    }

    fn counter(&mut self, name: &str, help: &str, sources: impl Into<Vec<Source>>) {
        self.family(Kind::Counter, name, help, 1.0, sources);
    }

    fn gauge(&mut self, name: &str, help: &str, sources: impl Into<Vec<Source>>) {
        self.family(Kind::Gauge, name, help, 1.0, sources);
    }

    fn sum(&mut self, why: &'static str, sources: impl Into<Vec<Source>>) {
        self.sums.extend(sources.into().into_iter().map(|source| Sum { source, why }));
    }

    /// What there is of a resource, what is used of it, and which share that is; each plain and revocable.
    fn resource(&mut self, what: &str, names: [&str; 3], scale: f64, patterns: [[&'static str; 2]; 3]) {
        let helps = [
            format!("Resource {what}: what there is."),
            format!("Resource {what}: what tasks and executors use."),
            format!("Resource {what}: which share of it is used, from 0 to 1."),
        ];
        for (((name, help), scale), patterns) in
            names.into_iter().zip(helps).zip([scale, scale, 1.0]).zip(patterns)
        {
            let [plain, revocable] = patterns.map(always);
            let sources = [plain.with("revocable", "false"), revocable.with("revocable", "true")];
            self.family(Kind::Gauge, name, &help, scale, sources);
        }
    }

    /// The last duration of something, the least, the greatest and the quantiles of the latest thousand. `first` and
    /// `second` say when it was measured once, and twice.
    fn timer(
        &mut self,
        name: &str,
        what: &str,
        [last, least, most, count]: [&'static str; 4],
        quantiles: [(&'static str, &'static str); 6],
        presence: [Presence; 2],
    ) {
        let source = |pattern| Source { presence: presence[1], ..always(pattern) };
        let quantile = |(pattern, label)| source(pattern).with("quantile", label);
        let mut add = |kind, end: &str, help: String, scale, sources: Vec<Source>| {
            self.family(kind, &format!("{name}{end}"), &help, scale, sources);
        };
        let seconds = format!("{what}, in seconds");
        add(
            Kind::Gauge,
            "_last_seconds",
            format!("{seconds}: the last time."),
            MILLISECOND,
            vec![Source { presence: presence[0], ..always(last) }],
        );
        let window = "of the latest thousand times";
        add(
            Kind::Gauge,
            "_min_seconds",
            format!("{seconds}: the least {window}."),
            MILLISECOND,
            vec![source(least)],
        );
        add(
            Kind::Gauge,
            "_max_seconds",
            format!("{seconds}: the most {window}."),
            MILLISECOND,
            vec![source(most)],
        );
        add(
            Kind::Gauge,
            "_measurements",
            format!("{what}: how many measurements the quantiles are of, a thousand at most."),
            1.0,
            vec![source(count)],
        );
        add(
            Kind::Summary,
            "_seconds",
            format!("{seconds}: quantiles {window}."),
            MILLISECOND,
            quantiles.map(quantile).to_vec(),
        );
    }
}

pub(crate) fn all() -> Catalogue {
    let mut table = Table::default();
    master::of_master(&mut table);
    master::of_operations(&mut table);
    master::of_frameworks(&mut table);
    master::of_allocator(&mut table);
    master::of_registrar(&mut table);
    agent::of_agent(&mut table);
    agent::of_containers(&mut table);
    agent::of_hosts(&mut table);
    Catalogue { families: table.families, sums: table.sums }
}
