//! `mesos-scp`: files of this machine go to the machines of all agents, by the system's scp. No shell sees their names.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::SmallError;
use crate::console::{Console, ConsoleError};

/// So many copies go on at the same time.
const AT_ONCE: usize = 16;

/// What goes where.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    files: Vec<String>,
    directory: String,
}

impl Wanted {
    pub fn of(words: &[String]) -> Result<Wanted, SmallError> {
        let wrong = |text: &str| Err(SmallError::Wrong(text.to_owned()));
        let Some((directory, files)) = words.split_last().filter(|(_, files)| !files.is_empty()) else {
            return wrong(
                "give the files, and behind them the directory on the agents: mesos-scp --master=… FILE... DIRECTORY",
            );
        };
        if directory.is_empty() {
            return wrong("the directory on the agents is empty");
        }
        // scp takes what has a colon before any slash for a file of another machine.
        let is_here = |file: &String| !file.split('/').next().unwrap_or_default().contains(':');
        if let Some(file) = files.iter().find(|file| !is_here(file)) {
            return Err(SmallError::Wrong(format!(
                "'{file}' is no file of this machine to scp: write './{file}'"
            )));
        }
        Ok(Wanted { files: files.to_vec(), directory: directory.clone() })
    }
}

impl Console<'_, '_> {
    pub fn copy_to_agents(&mut self, wanted: &Wanted) -> Result<(), ConsoleError> {
        let agents = self.agents()?.agents;
        let hosts: BTreeSet<String> = agents.into_iter().map(|agent| agent.agent_info.hostname).collect();
        let total = hosts.len();
        let workers = total.min(AT_ONCE);
        let left = Mutex::new(hosts.into_iter());
        let ends = Mutex::new(Vec::new());
        let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(host) = next() {
                        let end = copy(wanted, &host);
                        ends.lock().unwrap_or_else(PoisonError::into_inner).push((host, end));
                    }
                });
            }
        });
        let mut ends = ends.into_inner().unwrap_or_else(PoisonError::into_inner);
        ends.sort();
        let failed = ends.iter().filter(|(_, end)| end.is_err()).count();
        for (host, end) in &ends {
            match end {
                Ok(()) => self.screen.line(&format!("{host}\tuploaded"))?,
                Err(why) => self.screen.line(&format!("{host}\tfailed: {why}"))?,
            }
        }
        self.screen
            .line(&format!("----- {} uploaded, {failed} failed of total {total} slaves", total - failed))?;
        match failed {
            0 => Ok(()),
            _ => Err(ConsoleError::Wrong(format!("nothing was copied to {failed} of {total} agents"))),
        }
    }
}

/// One run of scp; why it failed, on one line.
fn copy(wanted: &Wanted, host: &str) -> Result<(), String> {
    if !is_hostname(host) {
        return Err("that is no name of a host".to_owned());
    }
    let target = if host.contains(':') {
        format!("[{host}]:{}", wanted.directory)
    } else {
        format!("{host}:{}", wanted.directory)
    };
    let output = Command::new("scp")
        // Times and modes are kept, directories copied; nobody is asked for passwords; no word after this is an option.
        .args(["-p", "-r", "-B", "--"])
        .args(&wanted.files)
        .arg(target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
            Err(last.map_or_else(|| format!("scp ended with {}", output.status), str::to_owned))
        }
        Err(error) => Err(format!("scp does not start: {error}")),
    }
}

/// Agents say what they are called: it must not be taken for an option, a user or a path.
fn is_hostname(host: &str) -> bool {
    !host.is_empty()
        && !host.starts_with('-')
        && host.chars().all(|character| character.is_ascii_alphanumeric() || "-._:".contains(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(words: &[&str]) -> Result<Wanted, String> {
        Wanted::of(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn files_and_a_directory_are_wanted() {
        let found = wanted(&["a", "b", "/tmp"]).unwrap();
        assert_eq!((found.files.len(), found.directory.as_str()), (2, "/tmp"));
        assert!(wanted(&["a"]).unwrap_err().contains("FILE... DIRECTORY"));
        assert!(wanted(&["host:a", "/tmp"]).unwrap_err().contains("./host:a"));
        assert!(wanted(&["./host:a", "/tmp"]).is_ok());
    }

    #[test]
    fn agents_cannot_slip_options_in() {
        for host in ["", "-oProxyCommand=x", "a b", "u@h", "a/b", "a;b"] {
            assert!(!is_hostname(host), "{host}");
        }
        assert!(is_hostname("agent-1.example.com") && is_hostname("10.0.0.1") && is_hostname("fe80::1"));
    }
}
