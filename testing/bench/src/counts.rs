//! How many instructions the hot paths take, counted by callgrind: a machine that is busy with other things changes nothing
//! about that. What was counted before stands in `counts.tsv`, for the dev and the release build.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::hot::PATHS;

/// More than so much above what was counted before is an error. Other processors have other versions of memcpy, other
/// releases of the compiler other inlining.
pub const TOLERANCE: f64 = 0.1;
/// What callgrind calls the function that is counted.
const COUNTED: &str = "*hot::counted*";

pub const PROFILE: &str = if cfg!(debug_assertions) { "dev" } else { "release" };

pub struct Count {
    pub name: &'static str,
    pub what: &'static str,
    pub instructions: u64,
    pub before: Option<u64>,
}

impl Count {
    pub fn change(&self) -> Option<f64> {
        self.before.map(|before| self.instructions as f64 / before as f64 - 1.0)
    }

    pub fn is_worse(&self) -> bool {
        self.change().is_none_or(|change| change > TOLERANCE)
    }
}

/// By profile and path.
type Kept = BTreeMap<(String, String), u64>;

pub fn kept_in() -> PathBuf {
    messor_testkit::root().join("testing/bench/counts.tsv")
}

fn read(path: &Path) -> Result<Kept, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text).ok_or_else(|| format!("{} is not understood", path.display()))
}

fn parse(text: &str) -> Option<Kept> {
    let line = |line: &str| {
        let mut fields = line.split('\t');
        let key = (fields.next()?.to_string(), fields.next()?.to_string());
        Some((key, fields.next()?.parse().ok()?))
    };
    text.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

fn print(kept: &Kept) -> String {
    let mut out =
        "# Instructions of the hot paths under callgrind; `messor-bench counts --record` writes it.\n"
            .to_string();
    for ((profile, name), instructions) in kept {
        let _ = writeln!(out, "{profile}\t{name}\t{instructions}");
    }
    out
}

/// Whether there is a valgrind that can count.
pub fn can_count() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Counts every path with this program, which goes it when it is called `walk NAME`.
pub fn count(program: &Path) -> Result<Vec<Count>, String> {
    let kept = read(&kept_in())?;
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    PATHS
        .iter()
        .map(|path| {
            let file = folder.path().join(path.name);
            let output = Command::new("valgrind")
                .args(["--tool=callgrind", "--quiet", &format!("--toggle-collect={COUNTED}")])
                .arg(format!("--callgrind-out-file={}", file.display()))
                .arg(program)
                .args(["walk", path.name])
                .output()
                .map_err(|error| format!("valgrind: {error}"))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                return Err(format!("{} under callgrind: {said}", path.name));
            }
            let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", path.name))?;
            let instructions = total(&text).filter(|count| *count > 0);
            let instructions = instructions.ok_or_else(|| format!("{}: nothing was counted", path.name))?;
            let before = kept.get(&(PROFILE.to_string(), path.name.to_string())).copied();
            Ok(Count { name: path.name, what: path.what, instructions, before })
        })
        .collect()
}

fn total(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("totals:"))?.trim().parse().ok()
}

pub fn record(counts: &[Count]) -> Result<(), String> {
    let path = kept_in();
    let mut kept = if path.exists() { read(&path)? } else { Kept::new() };
    kept.retain(|(profile, _), _| profile != PROFILE);
    kept.extend(
        counts.iter().map(|count| ((PROFILE.to_string(), count.name.to_string()), count.instructions)),
    );
    std::fs::write(&path, print(&kept)).map_err(|error| format!("{}: {error}", path.display()))
}

pub fn table(counts: &[Count]) -> String {
    let mut out = "| path | what, in the build for ".to_string();
    let _ = writeln!(out, "{PROFILE} | instructions | before | change |\n| --- | --- | --- | --- | --- |");
    for count in counts {
        let before = count.before.map(|before| before.to_string()).unwrap_or_default();
        let change = count.change().map(|change| format!("{:+.1} %", change * 100.0)).unwrap_or_default();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {before} | {change} |",
            count.name, count.what, count.instructions
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let kept: Kept =
            [(("dev".to_string(), "a".to_string()), 7), (("release".into(), "a".into()), 5)].into();
        assert_eq!(parse(&print(&kept)), Some(kept));
        assert_eq!(parse("dev\ta\n"), None);
        assert_eq!(total("events: Ir\ntotals: 12\n"), Some(12));
    }

    #[test]
    fn more_is_worse() {
        let count = |instructions, before| Count { name: "", what: "", instructions, before };
        assert!(count(111, Some(100)).is_worse() && !count(109, Some(100)).is_worse());
        assert!(!count(50, Some(100)).is_worse() && count(1, None).is_worse());
    }

    #[test]
    fn every_path_is_kept_for_both_builds() {
        let kept = read(&kept_in()).unwrap();
        for profile in ["dev", "release"] {
            let names: Vec<&str> =
                kept.keys().filter(|(of, _)| of == profile).map(|(_, name)| name.as_str()).collect();
            let mut paths: Vec<&str> = PATHS.iter().map(|path| path.name).collect();
            paths.sort_unstable();
            assert_eq!(names, paths, "{profile}");
        }
    }
}
