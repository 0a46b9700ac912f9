//! Lists of what the master's stream of events does not tell of: roles, quota, weights, maintenance, reservations and
//! volumes. They are looked at once, or again and again: a terminal shows the table, drawn anew; a file or another program
//! gets a line for each row that is new, differs or is gone, or with `--json` each answer that differs from the one before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use messor_proto::{Version, Wire};

use super::away::Away;
use super::screen::Rows;
use super::{Console, ConsoleError};

/// Between two looks, at least.
const EVERY: Duration = Duration::from_secs(1);
/// And so many times what a look took: whoever watches a large cluster asks its master for a twentieth of the time at most. An
/// event of our own would spare that, but clients of Apache Mesos do not know it and some end at what they do not know.
const REST: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    Roles,
    Quota,
    Weights,
    Maintenance,
    Reservations,
    Volumes,
}

/// What there is at one moment.
pub struct Look {
    pub rows: Rows,
    /// What is said where there is nothing.
    pub nothing: &'static str,
    /// So many columns name a row.
    pub keys: usize,
    /// The answer itself.
    pub json: Vec<u8>,
}

impl Look {
    pub fn new(rows: Rows, nothing: &'static str, keys: usize, answer: &impl Wire) -> Look {
        let mut json = Vec::new();
        answer.write_json(&mut json, Version::V1);
        json.push(b'\n');
        Look { rows, nothing, keys, json }
    }
}

/// What rows say, by what names them.
type Known = BTreeMap<String, String>;

impl Console<'_, '_> {
    pub fn list(&mut self, what: Listed) -> Result<(), ConsoleError> {
        let look = self.look(what)?;
        if self.screen.json {
            return Ok(self.screen.out.write_all(&look.json)?);
        }
        Ok(self.screen.table(look.rows, look.nothing)?)
    }

    fn look(&mut self, what: Listed) -> Result<Look, ConsoleError> {
        match what {
            Listed::Roles => self.look_at_roles(),
            Listed::Quota => self.look_at_quota(),
            Listed::Weights => self.look_at_weights(),
            Listed::Maintenance => self.look_at_maintenance(),
            Listed::Reservations => self.look_at_reservations(),
            Listed::Volumes => self.look_at_volumes(),
        }
    }

    /// Looks again and again.
    pub fn watch_list(&mut self, what: Listed) -> Result<(), ConsoleError> {
        let mut away = Away::default();
        let mut known = None;
        let mut last_json = Vec::new();
        match self.screen.redraws {
            true => write!(self.screen.out, "\x1b[2J")?,
            // Rows are known by their whole names.
            false => self.screen.never_cut(),
        }
        loop {
            let began = Instant::now();
            let look = self.look(what);
            let took = began.elapsed();
            match look {
                Ok(look) if self.screen.json => {
                    away.is_back();
                    if look.json != last_json {
                        self.screen.out.write_all(&look.json)?;
                        last_json = look.json;
                    }
                }
                Ok(look) if self.screen.redraws => {
                    away.is_back();
                    let lines = self.screen.render(look.rows, look.nothing);
                    self.draw(lines)?;
                }
                Ok(look) => {
                    away.is_back();
                    let now = look.rows.named(look.keys);
                    for line in changes(known.as_ref(), &now) {
                        self.stamped(&line)?;
                    }
                    known = Some(now);
                }
                Err(error) => {
                    away.wait(error, |error| self.tell_away(error))?;
                    // Where nobody leads yet, the same master is asked again.
                    let _ = self.api.find_again();
                    continue;
                }
            }
            self.screen.out.flush()?;
            // No event of the master tells of roles, quota, reservations or maintenance: they are asked for again.
            std::thread::sleep(pause(took));
        }
    }
}

fn pause(took: Duration) -> Duration {
    EVERY.max(took.saturating_mul(REST))
}

/// A line for each row that is new, differs, or is gone.
fn changes(before: Option<&Known>, now: &Known) -> Vec<String> {
    let old = |name: &String| before.and_then(|before| before.get(name));
    let line = |name: &str, rest: &str| format!("{name}  {rest}").trim_end().to_owned();
    let mut lines: Vec<String> = now
        .iter()
        .filter(|(name, rest)| old(name) != Some(rest))
        .map(|(name, rest)| line(name, rest))
        .collect();
    let gone = before.into_iter().flatten().filter(|(name, _)| !now.contains_key(*name));
    lines.extend(gone.map(|(name, _)| line(name, "gone")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_that_takes_long_is_asked_seldom() {
        assert_eq!(pause(Duration::from_millis(3)), Duration::from_secs(1));
        assert_eq!(pause(Duration::from_millis(400)), Duration::from_secs(8));
    }

    #[test]
    fn rows_that_differ_are_told_once() {
        let known = |rows: &[(&str, &str)]| -> Known {
            rows.iter().map(|(name, rest)| ((*name).to_owned(), (*rest).to_owned())).collect()
        };
        let first = known(&[("a", "weight 1"), ("b", "weight 1")]);
        assert_eq!(changes(None, &first), ["a  weight 1", "b  weight 1"]);
        assert!(changes(Some(&first), &first).is_empty());
        let second = known(&[("b", "weight 2"), ("c", "")]);
        assert_eq!(changes(Some(&first), &second), ["b  weight 2", "c", "a  gone"]);
    }
}
