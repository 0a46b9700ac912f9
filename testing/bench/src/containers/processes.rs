//! Processes of this host, as /proc has them.

use std::collections::BTreeSet;
use std::fs;

#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    pub name: String,
}

/// Without those that have ended and are not reaped yet.
pub fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let (state, parent) = (fields.next()?, fields.next()?.parse().ok()?);
        (state != "Z").then(|| Process { pid, parent, name: name.to_string() })
    })
    .collect()
}

/// All below one.
pub fn below(all: &[Process], pid: u32) -> Vec<Process> {
    let mut known = BTreeSet::from([pid]);
    let mut found: Vec<Process> = Vec::new();
    loop {
        let more: Vec<&Process> =
            all.iter().filter(|one| known.contains(&one.parent) && !known.contains(&one.pid)).collect();
        if more.is_empty() {
            return found;
        }
        known.extend(more.iter().map(|one| one.pid));
        found.extend(more.into_iter().cloned());
    }
}
