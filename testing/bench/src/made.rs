//! What made a file of figures: its first line, by which they can be made again.

use std::fmt;
use std::process::Command;

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::usage;

#[derive(Clone, Debug)]
pub struct Made {
    /// Of the repository, with "-dirty" where files were changed since.
    pub commit: String,
    pub command: String,
    pub date: String,
    pub cores: usize,
    pub model: String,
    pub kernel: String,
    pub load: String,
}

/// What the repository is at, if this is one.
fn commit() -> Option<String> {
    let mut git = Command::new("git");
    git.arg("-C").arg(messor_testkit::root());
    let done = git.args(["describe", "--always", "--dirty", "--abbrev=9", "--exclude=*"]).output().ok()?;
    let name = String::from_utf8(done.stdout).ok()?.trim().to_string();
    (done.status.success() && !name.is_empty()).then_some(name)
}

impl Made {
    /// The commit is taken from --commit, else from MESSOR_COMMIT, else from git.
    pub fn take(arguments: &mut Arguments) -> Result<Made, String> {
        let named = arguments.value::<String>("--commit")?;
        let named = named.or_else(|| std::env::var("MESSOR_COMMIT").ok());
        let (cores, model) = usage::processors();
        // The name that it was called with, without its folder.
        let mut words = std::env::args();
        let program = words.next().unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or_default().to_string();
        Ok(Made {
            commit: named.or_else(commit).unwrap_or_else(|| "unknown".to_string()),
            command: std::iter::once(name).chain(words).collect::<Vec<_>>().join(" "),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            cores,
            model,
            kernel: usage::kernel(),
            load: usage::load(),
        })
    }

    /// On what was measured and when, and what else it had to do at the start.
    pub fn machine(&self) -> String {
        let Made { date, cores, model, kernel, load, .. } = self;
        format!("{date}, {cores} cores of {model}, Linux {kernel}, load {load} at the start")
    }

    pub fn to_json(&self) -> Value {
        json!({
            "machine": self.machine(),
            "commit": self.commit,
            "command": self.command,
            "date": self.date,
            "cores": self.cores,
            "model": self.model,
            "kernel": self.kernel,
        })
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; commit {}: {}", self.machine(), self.commit, self.command)
    }
}

/// The two lines beneath a picture of what was made so; older files know the machine alone, and what is no first line knows nothing.
pub(crate) fn beneath(line: &Value) -> Option<[String; 2]> {
    let machine = line["machine"].as_str()?.to_string();
    let how = match (line["commit"].as_str(), line["command"].as_str()) {
        (Some(commit), Some(command)) => format!("commit {commit}: {command}"),
        _ => String::new(),
    };
    Some([machine, how])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_says_how_it_was_made() {
        let mut arguments = Arguments::new(["--commit", "abc1234", "--json"].map(String::from));
        let made = Made::take(&mut arguments).unwrap();
        assert!(arguments.flag("--json") && arguments.finish().is_ok());
        let line = made.to_json();
        assert_eq!((&line["commit"], made.cores > 0), (&json!("abc1234"), true));
        let text = line["machine"].as_str().unwrap();
        assert!(text.contains(" UTC, ") && text.contains("cores of"), "{text}");
        let [machine, how] = beneath(&line).unwrap();
        assert_eq!(machine, text);
        assert!(how.starts_with("commit abc1234: "), "{how}");
        assert!(made.to_string().ends_with(&how), "{made}");
        assert_eq!(beneath(&json!({"machine": "old"})), Some(["old".to_string(), String::new()]));
        assert_eq!(beneath(&json!({"workload": "launch"})), None);
    }
}
