//! The three kinds of values that resources have, and how values are written as text. A fourth, free text, exists for
//! attributes only.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::{Range, Ranges, Scalar};

/// A set of words in the order in which they were named; the order means nothing.
#[derive(Clone, Debug, Default)]
pub struct Set(Vec<Arc<str>>);

/// From this many items on, look-ups are done in a tree.
const LARGE_SET: usize = 16;

impl Set {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|item| &**item)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A look-up among these items.
    fn lookup(&self) -> impl Fn(&&Arc<str>) -> bool {
        let tree: Option<BTreeSet<&str>> = (self.len() >= LARGE_SET).then(|| self.iter().collect());
        move |item| match &tree {
            Some(tree) => tree.contains(&***item),
            None => self.0.contains(*item),
        }
    }

    pub fn contains(&self, other: &Set) -> bool {
        other.len() <= self.len() && {
            let mine = self.lookup();
            other.0.iter().all(|item| mine(&item))
        }
    }

    pub fn union(&self, other: &Set) -> Set {
        let mine = self.lookup();
        Set(self.0.iter().chain(other.0.iter().filter(|item| !mine(item))).cloned().collect())
    }

    pub fn difference(&self, other: &Set) -> Set {
        let theirs = other.lookup();
        Set(self.0.iter().filter(|item| !theirs(item)).cloned().collect())
    }

    pub fn intersection(&self, other: &Set) -> Set {
        Set(self.0.iter().filter(other.lookup()).cloned().collect())
    }
}

impl<T: AsRef<str>> FromIterator<T> for Set {
    /// Of equal items the first stays.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Set {
        let mut seen = BTreeSet::new();
        let mut result = Vec::new();
        for item in items {
            let item: Arc<str> = item.as_ref().into();
            if seen.insert(item.clone()) {
                result.push(item);
            }
        }
        Set(result)
    }
}

impl PartialEq for Set {
    fn eq(&self, other: &Set) -> bool {
        self.len() == other.len() && self.contains(other)
    }
}

impl Eq for Set {}

impl fmt::Display for Set {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{{{}}}", self.0.join(", "))
    }
}

/// The value of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Scalar(Scalar),
    Ranges(Ranges),
    Set(Set),
}

impl Value {
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Scalar(scalar) => scalar.is_zero(),
            Value::Ranges(ranges) => ranges.is_empty(),
            Value::Set(set) => set.is_empty(),
        }
    }

    pub fn same_type(&self, other: &Value) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Values of different types contain nothing of each other.
    pub fn contains(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Scalar(a), Value::Scalar(b)) => b <= a,
            (Value::Ranges(a), Value::Ranges(b)) => a.contains(b),
            (Value::Set(a), Value::Set(b)) => a.contains(b),
            _ => false,
        }
    }

    /// Adds a value of the same type; one of another type changes nothing.
    pub(crate) fn add(&mut self, other: &Value) {
        match (self, other) {
            (Value::Scalar(a), Value::Scalar(b)) => *a += *b,
            (Value::Ranges(a), Value::Ranges(b)) => *a = a.union(b),
            (Value::Set(a), Value::Set(b)) => *a = a.union(b),
            _ => {}
        }
    }

    /// Takes away a value of the same type; one of another type changes nothing. A scalar may become negative.
    pub(crate) fn subtract(&mut self, other: &Value) {
        match (self, other) {
            (Value::Scalar(a), Value::Scalar(b)) => *a -= *b,
            (Value::Ranges(a), Value::Ranges(b)) => *a = a.difference(b),
            (Value::Set(a), Value::Set(b)) => *a = a.difference(b),
            _ => {}
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Scalar(scalar) => scalar.fmt(out),
            Value::Ranges(ranges) => ranges.fmt(out),
            Value::Set(set) => set.fmt(out),
        }
    }
}

/// A value read from text: what is neither a number, ranges nor a set is text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Parsed {
    /// The number as written: attributes keep its decimals.
    Number(f64),
    Ranges(Ranges),
    Set(Vec<String>),
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("the value is empty: give a number, ranges as in [1-5, 7-9], or a set as in {{a, b}}")]
    Empty,
    #[error("'{0}' has brackets that do not match")]
    Brackets(String),
    #[error("'{0}' has a bracket in the middle: ranges begin with '[' and sets with '{{'")]
    Middle(String),
    #[error("'{0}' is no list of ranges: write it as in [1-5, 7-9]")]
    Ranges(String),
    #[error("'{0}' is a number too small to be used")]
    Subnormal(String),
    #[error("'{0}' is neither a number, ranges nor a set")]
    Text(String),
    #[error("'{0}' names an item twice")]
    Duplicate(String),
    #[error("'{0}' is a number that is not zero and rounds to zero: three decimals are kept")]
    Vanishing(String),
}

fn brackets_match(text: &str) -> bool {
    [('{', '}'), ('[', ']'), ('(', ')')].into_iter().all(|(open, close)| {
        let mut depth = 0i64;
        text.chars().all(|c| {
            depth += i64::from(c == open) - i64::from(c == close);
            depth >= 0
        }) && depth == 0
    })
}

/// Reads a value as Mesos writes it in flags: spaces mean nothing.
pub(crate) fn parse_text(text: &str) -> Result<Parsed, ValueError> {
    let compact: String = text.chars().filter(|c| *c != ' ').collect();
    if compact.is_empty() {
        return Err(ValueError::Empty);
    }
    if !brackets_match(&compact) {
        return Err(ValueError::Brackets(text.to_string()));
    }
    if compact.starts_with('[') {
        let numbers: Option<Vec<u64>> = compact
            .split(['[', ']', '-', ',', '\n'])
            .filter(|token| !token.is_empty())
            .map(|token| token.parse().ok())
            .collect();
        let numbers = numbers.ok_or_else(|| ValueError::Ranges(text.to_string()))?;
        let (pairs, rest) = numbers.as_chunks::<2>();
        if !rest.is_empty() || pairs.iter().any(|[begin, end]| begin > end) {
            return Err(ValueError::Ranges(text.to_string()));
        }
        let ranges = pairs.iter().map(|&[begin, end]| Range { begin, end });
        return Ok(Parsed::Ranges(Ranges::from_unsorted(ranges)));
    }
    if compact.starts_with('{') && !compact.contains('[') {
        let items = compact.split(['{', '}', ',', '\n']).filter(|token| !token.is_empty());
        return Ok(Parsed::Set(items.map(String::from).collect()));
    }
    if compact.contains(['[', '{']) {
        return Err(ValueError::Middle(text.to_string()));
    }
    match compact.parse::<f64>() {
        Ok(number) if number.is_subnormal() => Err(ValueError::Subnormal(text.to_string())),
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(Parsed::Number(number)),
        _ => Ok(Parsed::Text(compact)),
    }
}

/// Reads the value of a resource: `4`, `[31000-32000, 33000-34000]`, `{a, b}`.
pub fn parse_value(text: &str) -> Result<Value, ValueError> {
    match parse_text(text)? {
        Parsed::Number(number) => {
            let scalar = Scalar::from_f64(number);
            if scalar.is_zero() && number != 0.0 {
                return Err(ValueError::Vanishing(text.to_string()));
            }
            Ok(Value::Scalar(scalar))
        }
        Parsed::Ranges(ranges) => Ok(Value::Ranges(ranges)),
        Parsed::Set(items) => {
            let set: Set = items.iter().collect();
            if set.len() < items.len() {
                return Err(ValueError::Duplicate(text.to_string()));
            }
            Ok(Value::Set(set))
        }
        Parsed::Text(_) => Err(ValueError::Text(text.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_read_from_text() {
        assert_eq!(parse_value("45.55"), Ok(Value::Scalar(Scalar::from_millis(45550))));
        assert_eq!(parse_value("1e3"), Ok(Value::Scalar(Scalar::from_units(1000))));
        let ranges: Ranges = [(10000, 20000), (30000, 50000)].into_iter().collect();
        assert_eq!(parse_value("[10000-20000, 30000-50000]"), Ok(Value::Ranges(ranges.clone())));
        assert_eq!(parse_value("[ 30000-50000,10000-15000, 15001-20000 ]"), Ok(Value::Ranges(ranges)));
        assert_eq!(parse_value("{sda1, sda2}").unwrap().to_string(), "{sda1, sda2}");
        assert_eq!(parse_value("[]"), Ok(Value::Ranges(Ranges::new())));
        assert_eq!(parse_value("{}"), Ok(Value::Set(Set::default())));
    }

    #[test]
    fn bad_values_say_what_is_wrong() {
        assert_eq!(parse_value(" "), Err(ValueError::Empty));
        assert_eq!(parse_value("{a"), Err(ValueError::Brackets("{a".into())));
        assert_eq!(parse_value("a{b}"), Err(ValueError::Middle("a{b}".into())));
        assert_eq!(parse_value("1[2-3]"), Err(ValueError::Middle("1[2-3]".into())));
        for text in ["[1-2-3]", "[1]", "[a-b]", "[5-4]", "[1-99999999999999999999]"] {
            assert_eq!(parse_value(text), Err(ValueError::Ranges(text.into())));
        }
        for text in ["big", "-1", "nan", "inf"] {
            assert_eq!(parse_value(text), Err(ValueError::Text(text.into())));
        }
        assert_eq!(parse_value("{a,b,a}"), Err(ValueError::Duplicate("{a,b,a}".into())));
        assert_eq!(parse_value("0.0001"), Err(ValueError::Vanishing("0.0001".into())));
        assert!(parse_value("1e-310").is_err());
    }

    fn small_set() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[a-f]{1,2}", 0..24)
    }

    proptest! {
        #[test]
        fn sets_are_sets(a in small_set(), b in small_set()) {
            let tree = |items: &[String]| items.iter().cloned().collect::<BTreeSet<String>>();
            let back = |set: &Set| set.iter().map(String::from).collect::<BTreeSet<String>>();
            let (x, y): (Set, Set) = (a.iter().collect(), b.iter().collect());
            let (p, q) = (tree(&a), tree(&b));
            prop_assert_eq!(x.len(), p.len());
            prop_assert_eq!(back(&x.union(&y)), &p | &q);
            prop_assert_eq!(back(&x.difference(&y)), &p - &q);
            prop_assert_eq!(back(&x.intersection(&y)), &p & &q);
            prop_assert_eq!(x.contains(&y), q.is_subset(&p));
            prop_assert_eq!(x == y, p == q);
        }

        #[test]
        fn any_text_is_answered(text in "\\PC*") {
            let _ = parse_value(&text);
        }

        #[test]
        fn what_is_printed_is_read(text in "[\\[{]?([a-c0-9.,-]{1,6},?){0,4}[\\]}]?") {
            if let Ok(value) = parse_value(&text) {
                prop_assert_eq!(parse_value(&value.to_string()), Ok(value));
            }
        }
    }
}
