//! What LevelDB's files are called.

pub(crate) const CURRENT: &str = "CURRENT";
pub(crate) const LOCK: &str = "LOCK";

/// Files by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Journal,
    Manifest,
    Table,
    Temporary,
    /// Not one of LevelDB's: how much of a .log file is safe. LevelDB leaves it alone.
    Mark,
}

pub(crate) fn kind_of(name: &str) -> Option<(Kind, u64)> {
    if let Some(number) = name.strip_prefix("MANIFEST-") {
        return Some((Kind::Manifest, number.parse().ok()?));
    }
    let (number, ending) = name.split_once('.')?;
    let kind = match ending {
        "log" => Kind::Journal,
        "ldb" | "sst" => Kind::Table,
        "dbtmp" => Kind::Temporary,
        "log.safe" => Kind::Mark,
        _ => return None,
    };
    Some((kind, number.parse().ok()?))
}

pub(crate) fn journal_name(number: u64) -> String {
    format!("{number:06}.log")
}

pub(crate) fn mark_name(number: u64) -> String {
    format!("{number:06}.log.safe")
}

pub(crate) fn manifest_name(number: u64) -> String {
    format!("MANIFEST-{number:06}")
}

pub(crate) fn temporary_name(number: u64) -> String {
    format!("{number:06}.dbtmp")
}
