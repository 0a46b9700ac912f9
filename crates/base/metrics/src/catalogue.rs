//! Every metric that there is: its name in /metrics/snapshot, which is that of Apache Mesos, and what it is to
//! Prometheus. Tests compare it with what masters and agents serve, and with what COMPATIBILITY.md says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::families;
use crate::pattern::Pattern;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; its samples end with `_total`.
    Counter,
    Gauge,
    /// Quantiles of the latest measurements.
    Summary,
}

/// Metrics of one name in Prometheus, told apart by labels.
#[derive(Debug)]
pub struct Family {
    /// Without `_total`.
    pub name: String,
    pub kind: Kind,
    pub help: String,
    /// From the unit of Mesos to the base unit.
    pub scale: f64,
    pub sources: Vec<Source>,
}

/// Names in /metrics/snapshot; what is in their places becomes labels.
#[derive(Clone, Debug)]
pub struct Source {
    pub pattern: Pattern,
    /// Labels that the name does not hold as they are.
    pub labels: Vec<(&'static str, &'static str)>,
    pub presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// From the start of a master, or of an agent.
    Always,
    /// As soon as there is something to count: says what.
    Sometimes(&'static str),
    /// Apache Mesos has it; here it is absent, for this reason.
    Absent(&'static str),
}

/// Names in /metrics/snapshot that Prometheus is not told: it can sum up by itself.
#[derive(Clone, Debug)]
pub struct Sum {
    pub source: Source,
    pub why: &'static str,
}

/// Where a name belongs.
#[derive(Debug)]
pub struct Place<'n> {
    pub family: &'static Family,
    pub labels: Vec<(&'static str, Cow<'n, str>)>,
}

pub struct Catalogue {
    pub families: Vec<Family>,
    pub sums: Vec<Sum>,
}

impl Catalogue {
    /// All names, whether Prometheus is told of them or not.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.families.iter().flat_map(|family| &family.sources).chain(self.sums.iter().map(|sum| &sum.source))
    }
}

static ALL: LazyLock<Catalogue> = LazyLock::new(families::all);

pub fn catalogue() -> &'static Catalogue {
    &ALL
}

/// Names without open places are looked up, the others tried by what they begin with.
struct Index {
    exact: BTreeMap<String, (usize, usize)>,
    open: BTreeMap<&'static str, Vec<(usize, usize)>>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { exact: BTreeMap::new(), open: BTreeMap::new() };
    for (number, family) in ALL.families.iter().enumerate() {
        for (at, source) in family.sources.iter().enumerate() {
            match source.pattern.names() {
                Some(names) => index.exact.extend(names.into_iter().map(|name| (name, (number, at)))),
                None => index.open.entry(source.pattern.beginning()).or_default().push((number, at)),
            }
        }
    }
    index
});

/// None for names that are not known, and for sums.
pub fn place(name: &str) -> Option<Place<'_>> {
    let mut held = Vec::new();
    let mut read = |(number, at): &(usize, usize)| {
        let family = &ALL.families[*number];
        let source = &family.sources[*at];
        source.pattern.read_into(name, &mut held).then_some((family, source))
    };
    let (family, source) = match INDEX.exact.get(name) {
        Some(found) => read(found)?,
        None => {
            let open = INDEX.open.iter().filter(|(beginning, _)| name.starts_with(**beginning));
            open.flat_map(|(_, patterns)| patterns).find_map(read)?
        }
    };
    // Names of frameworks are encoded in the names of metrics, since they may hold anything.
    let held = held.into_iter().map(|(label, value)| match label {
        "framework_name" => (label, decode(value)),
        _ => (label, Cow::Borrowed(value)),
    });
    let fixed = source.labels.iter().map(|(label, value)| (*label, Cow::Borrowed(*value)));
    Some(Place { family, labels: held.chain(fixed).collect() })
}

/// `%2F` as `/`. What is no such code stays.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.filter(|_| *first == b'%').and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_is_twice_and_all_are_good() {
        let mut names = BTreeSet::new();
        let mut families = BTreeSet::new();
        for family in &catalogue().families {
            let name = &family.name;
            assert!(families.insert(name), "{name}");
            assert!(
                name.starts_with("mesos_") && !family.help.is_empty() && family.help.ends_with('.'),
                "{name}"
            );
            // What promtool's checks ask for.
            let ends = ["_total", "_count", "_sum", "_bucket", "_ms", "_secs", "_info"];
            assert!(ends.iter().all(|end| !name.ends_with(end)), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
        }
        for source in catalogue().sources() {
            for choice in source.pattern.choices() {
                assert!(names.insert(choice.to_string()), "{choice} is there twice");
            }
        }
    }

    #[test]
    fn places_become_labels() {
        let place = place("master/frameworks/my%20fw%2Fx/id-0001/roles/a/b/suppressed").unwrap();
        assert_eq!(place.family.name, "mesos_framework_role_suppressed");
        let labels: Vec<_> = place.labels.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        assert_eq!(labels, [("framework_name", "my fw/x"), ("framework_id", "id-0001"), ("role", "a/b")]);
        assert!(super::place("master/frameworks/x/id-0001/calls").is_none());
        assert_eq!(super::decode("%zz%4"), "%zz%4");
    }
}
