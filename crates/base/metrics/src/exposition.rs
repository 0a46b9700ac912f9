//! A snapshot as Prometheus reads it: the text format 0.0.4, and OpenMetrics 1.0.
//!
//! It is written from a snapshot that was taken before, hence holds nothing up. (The library prometheus-client would
//! want to own every counter, and writes OpenMetrics alone; here the counters are the machines' own.)

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::catalogue::{self, Kind, Place};

/// What the reader understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Constant labels with the value 1: of which build this program is, and the like.
#[derive(Clone, Copy, Debug)]
pub struct Information<'i> {
    /// Without `_info`.
    pub name: &'i str,
    pub help: &'i str,
    pub labels: &'i [(&'i str, &'i str)],
}

/// All metrics that the catalogue knows, by family, with labels and in base units.
pub fn write<'m>(
    information: &[Information<'_>],
    metrics: impl IntoIterator<Item = (&'m str, f64)>,
    format: Format,
) -> String {
    // Families must not be mixed, so samples are gathered first. Within one they stay in the order of their names.
    let mut families: BTreeMap<&'static str, (&'static catalogue::Family, String)> = BTreeMap::new();
    for (name, value) in metrics {
        let Some(Place { family, labels }) = catalogue::place(name) else { continue };
        let (_, samples) = families.entry(&family.name).or_insert_with(|| (family, String::new()));
        let suffix = if family.kind == Kind::Counter { "_total" } else { "" };
        let labels = labels.iter().map(|(name, value)| (*name, value.as_ref()));
        sample(samples, &family.name, suffix, labels, value * family.scale);
    }
    let mut out = String::new();
    for one in information {
        let kind = if format == Format::OpenMetrics { "info" } else { "gauge" };
        let full = format!("{}_info", one.name);
        head(&mut out, if format == Format::OpenMetrics { one.name } else { &full }, kind, one.help, format);
        sample(&mut out, &full, "", one.labels.iter().copied(), 1.0);
    }
    for (family, samples) in families.values() {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
        };
        // The text format knows a counter by the name of its samples, OpenMetrics by that without `_total`.
        let suffix = if family.kind == Kind::Counter && format == Format::Text { "_total" } else { "" };
        head(&mut out, &format!("{}{suffix}", family.name), kind, &family.help, format);
        out.push_str(samples);
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str, format: Format) {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    let help = if format == Format::OpenMetrics { help.replace('"', "\\\"") } else { help };
    // A String takes all that is written to it.
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn sample<'l>(
    out: &mut String,
    name: &str,
    suffix: &str,
    labels: impl Iterator<Item = (&'l str, &'l str)>,
    value: f64,
) {
    out.push_str(name);
    out.push_str(suffix);
    let mut separator = '{';
    for (label, value) in labels {
        out.push(separator);
        out.push_str(label);
        out.push_str("=\"");
        let mut rest = value;
        while let Some(at) = rest.find(['\\', '"', '\n']) {
            out.push_str(&rest[..at]);
            out.push_str(match rest.as_bytes()[at] {
                b'\n' => "\\n",
                b'"' => "\\\"",
                _ => "\\\\",
            });
            rest = &rest[at + 1..];
        }
        out.push_str(rest);
        out.push('"');
        separator = ',';
    }
    if separator == ',' {
        out.push('}');
    }
    let _ = writeln!(out, " {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILD: &[Information<'static>] = &[Information {
        name: "mesos_build",
        help: "Of which build it is.",
        labels: &[("version", "1.11.0")],
    }];

    fn written(metrics: &[(&str, f64)], format: Format) -> String {
        write(&[], metrics.iter().copied(), format)
    }

    #[test]
    fn counters_gauges_and_summaries_have_their_heads() {
        let metrics = [
            ("master/messages_kill_task", 3.0),
            ("master/messages_register_slave", 1.0),
            ("master/mem_total", 2.0),
            ("registrar/state_store_ms/p50", 1500.0),
            ("nothing/known", 1.0),
            // The sum of others, which is Prometheus' own affair.
            ("master/operations/finished", 4.0),
        ];
        let text = written(&metrics, Format::Text);
        assert!(text.contains("# TYPE mesos_master_messages_total counter\nmesos_master_messages_total{message=\"kill_task\"} 3\nmesos_master_messages_total{message=\"register_slave\"} 1\n"), "{text}");
        assert!(
            text.contains(
                "# TYPE mesos_master_mem_bytes gauge\nmesos_master_mem_bytes{revocable=\"false\"} 2097152\n"
            ),
            "{text}"
        );
        assert!(text.contains("# TYPE mesos_registrar_state_store_seconds summary\nmesos_registrar_state_store_seconds{quantile=\"0.5\"} 1.5\n"), "{text}");
        assert!(!text.contains("known") && !text.contains("operations") && !text.contains("EOF"), "{text}");
        let open = written(&metrics, Format::OpenMetrics);
        assert!(
            open.contains("# TYPE mesos_master_messages counter\nmesos_master_messages_total{"),
            "{open}"
        );
        assert!(open.ends_with("\n# EOF\n"), "{open}");
    }

    #[test]
    fn labels_are_escaped_and_families_stay_together() {
        let metrics = [
            ("frameworks/a\"b\\c\nd/e/messages_processed", 1.0),
            ("frameworks/a\"b\\c\nd/e/messages_received", 2.0),
            ("frameworks/z/messages_processed", 3.0),
        ];
        let text = written(&metrics, Format::Text);
        let line = r#"mesos_principal_messages_processed_total{principal="a\"b\\c\nd/e"} 1"#;
        assert!(text.contains(line), "{text}");
        assert_eq!(text.matches("# TYPE").count(), 2, "{text}");
    }

    #[test]
    fn information_is_told_in_both_ways() {
        let text = write(BUILD, [], Format::Text);
        assert_eq!(
            text,
            "# HELP mesos_build_info Of which build it is.\n# TYPE mesos_build_info gauge\nmesos_build_info{version=\"1.11.0\"} 1\n"
        );
        let open = write(BUILD, [], Format::OpenMetrics);
        assert_eq!(
            open,
            "# HELP mesos_build Of which build it is.\n# TYPE mesos_build info\nmesos_build_info{version=\"1.11.0\"} 1\n# EOF\n"
        );
    }
}
