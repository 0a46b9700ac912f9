//! What tasks write: their sandboxes, read through their agents.

use std::fs::File;
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use messor_proto::mesos;
use messor_proto::mesos::agent::call::{ListFiles, ReadFile, Type};
use messor_proto::mesos::agent::{Call, response};

use super::away::{self, Away};
use super::tasks::has_ended;
use super::{AgentPlace, Console, ConsoleError};

/// Of one answer. Agents give no more than they like.
pub const CHUNK_BYTES: u64 = 256 * 1024;
/// Between two looks for more.
const LOOK: Duration = Duration::from_millis(400);
/// How deep a directory is copied.
const DEPTH_LIMIT: usize = 64;
/// Links to directories are files of type directory here, so that a copy might not end.
const FILES_LIMIT: usize = 100_000;

const TYPE_BITS: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;

pub struct Sandbox {
    pub agent: AgentPlace,
    /// As the agent's files are named over HTTP.
    pub folder: String,
}

impl Console<'_, '_> {
    pub fn sandbox(&mut self, task: &mesos::Task) -> Result<Sandbox, ConsoleError> {
        let agent = self.agent_of(task)?;
        let framework = &task.framework_id.value;
        // A command executor has the id of its task.
        let executor = task.executor_id.as_ref().map_or(&task.task_id.value, |id| &id.value);
        let run = format!("/frameworks/{framework}/executors/{executor}/runs/latest");
        let own = format!("{run}/tasks/{}", task.task_id.value);
        // A task of a group has a place of its own.
        let folder =
            if task.executor_id.is_some() && self.list_files(&agent, &own).is_ok() { own } else { run };
        Ok(Sandbox { agent, folder })
    }

    /// Where the agent of a task listens.
    pub fn agent_of(&mut self, task: &mesos::Task) -> Result<AgentPlace, ConsoleError> {
        let agents = self.agents()?.agents;
        let is_it = |id: &mesos::AgentId| *id == task.agent_id;
        let found = agents.iter().find(|one| one.agent_info.id.as_ref().is_some_and(is_it));
        found
            .and_then(|one| AgentPlace::of_pid(one.pid.as_deref()))
            .ok_or_else(|| ConsoleError::AgentAway(task.agent_id.value.clone()))
    }

    fn list_files(&self, agent: &AgentPlace, path: &str) -> Result<Vec<mesos::FileInfo>, ConsoleError> {
        let answer = self.api.ask_agent(
            agent,
            &Call {
                r#type: Some(Type::ListFiles as i32),
                list_files: Some(ListFiles { path: path.to_owned() }),
                ..Call::default()
            },
        )?;
        Ok(answer.list_files.unwrap_or_default().file_infos)
    }

    pub fn read_file(
        &self,
        agent: &AgentPlace,
        path: &str,
        offset: u64,
        length: u64,
    ) -> Result<response::ReadFile, ConsoleError> {
        let answer = self.api.ask_agent(
            agent,
            &Call {
                r#type: Some(Type::ReadFile as i32),
                read_file: Some(ReadFile { path: path.to_owned(), offset, length: Some(length) }),
                ..Call::default()
            },
        );
        match answer {
            Ok(answer) => Ok(answer.read_file.unwrap_or_default()),
            Err(error) if error.status() == Some(404) => {
                Err(ConsoleError::NoFile { path: path.to_owned(), agent: agent.clone() })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub fn logs(
        &mut self,
        task: &mesos::Task,
        file: &str,
        follow: bool,
        lines: Option<usize>,
    ) -> Result<(), ConsoleError> {
        let mut sandbox = self.sandbox(task)?;
        let file = checked(file)?;
        let mut offset = match lines {
            Some(lines) => {
                let path = format!("{}/{file}", sandbox.folder);
                self.start_of_last(&sandbox.agent, &path, lines)?
            }
            None => 0,
        };
        if !follow {
            self.print_from(&sandbox.agent, &format!("{}/{file}", sandbox.folder), &mut offset)?;
            return Ok(());
        }
        self.follow_output(task, |console, moved| {
            sandbox.agent = moved.unwrap_or(sandbox.agent.clone());
            // Asked before the rest is read: what it wrote before its end is there then.
            let ended = console.has_ended(task)?;
            console.print_from(&sandbox.agent, &format!("{}/{file}", sandbox.folder), &mut offset)?;
            Ok(ended)
        })
    }

    /// Reads until nothing more comes, also while the agent or the master is away. `read` prints what there is and says
    /// whether that was all; it hears where the agent is when that may have changed.
    pub fn follow_output(
        &mut self,
        task: &mesos::Task,
        mut read: impl FnMut(&mut Self, Option<AgentPlace>) -> Result<bool, ConsoleError>,
    ) -> Result<(), ConsoleError> {
        let mut away = Away::default();
        let mut was_read = false;
        let mut moved = None;
        loop {
            let done = read(self, moved.take());
            // What came before an error was printed.
            self.screen.out.flush()?;
            match done {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    away.is_back();
                    was_read = true;
                    // Agents tell nobody that a file has grown.
                    std::thread::sleep(LOOK);
                }
                Err(error) => {
                    away.wait(while_read(error, was_read, task), away::tell)?;
                    // It may be somewhere else when it is back, and so may the leader be.
                    let _ = self.api.find_again();
                    moved = self.agent_of(task).ok();
                }
            }
        }
    }

    /// Whether nothing more comes of a task. One that the master does not know of while its agent has yet to come back
    /// after a failover goes on.
    pub fn has_ended(&mut self, task: &mesos::Task) -> Result<bool, ConsoleError> {
        let answer = self.tasks()?;
        let is_it = |one: &&mesos::Task| {
            one.task_id == task.task_id
                && one.framework_id == task.framework_id
                && one.agent_id == task.agent_id
        };
        let live = answer.tasks.iter().chain(&answer.pending_tasks).chain(&answer.unreachable_tasks);
        let mut all = live.chain(&answer.completed_tasks).filter(is_it).peekable();
        if all.peek().is_some() {
            return Ok(all.all(|one| has_ended(one.state())));
        }
        let recovered = self.agents()?.recovered_agents;
        Ok(recovered.iter().all(|agent| agent.id.as_ref() != Some(&task.agent_id)))
    }

    /// Prints what there is; the offset is then where that ends.
    fn print_from(&mut self, agent: &AgentPlace, path: &str, offset: &mut u64) -> Result<(), ConsoleError> {
        loop {
            let part = self.read_file(agent, path, *offset, CHUNK_BYTES)?;
            if part.data.is_empty() {
                // One that was cut meanwhile begins again.
                *offset = (*offset).min(part.size);
                return Ok(());
            }
            self.screen.out.write_all(&part.data)?;
            *offset += part.data.len() as u64;
        }
    }

    /// Where the last so many lines begin.
    pub fn start_of_last(&self, agent: &AgentPlace, path: &str, lines: usize) -> Result<u64, ConsoleError> {
        let mut begin = self.read_file(agent, path, 0, 0)?.size;
        let end = begin;
        let mut seen = 0;
        while begin > 0 {
            let from = begin.saturating_sub(CHUNK_BYTES);
            let mut data = Vec::new();
            while from + (data.len() as u64) < begin {
                let at = from + data.len() as u64;
                let part = self.read_file(agent, path, at, begin - at)?;
                if part.data.is_empty() {
                    break;
                }
                data.extend(part.data);
            }
            for (index, _) in data.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
                let after = from + index as u64 + 1;
                // The end of the last line begins none.
                if after == end {
                    continue;
                }
                seen += 1;
                if seen == lines {
                    return Ok(after);
                }
            }
            begin = from;
        }
        Ok(if lines == 0 { end } else { 0 })
    }

    pub fn copy(&mut self, task: &mesos::Task, path: &str, target: &Path) -> Result<(), ConsoleError> {
        let sandbox = self.sandbox(task)?;
        let path = checked(path)?;
        let whole =
            if path.is_empty() { sandbox.folder.clone() } else { format!("{}/{path}", sandbox.folder) };
        if target == Path::new("-") {
            self.print_from(&sandbox.agent, &whole, &mut 0)?;
            return Ok(());
        }
        let name = whole.rsplit('/').next().unwrap_or(&whole).to_owned();
        let target = if target.is_dir() { target.join(&name) } else { target.to_path_buf() };
        let mut count = 0;
        // Of a file the list is empty, as of an empty directory; only a file can be read.
        match self.list_files(&sandbox.agent, &whole) {
            Ok(files) if !files.is_empty() || self.read_file(&sandbox.agent, &whole, 0, 0).is_err() => {
                self.copy_directory(&sandbox.agent, &files, &target, 0, &mut count)?;
                let files = if count == 1 { "file is" } else { "files are" };
                self.done(&format!("{count} {files} in {}", target.display()))
            }
            _ => {
                self.copy_file(&sandbox.agent, &whole, &target, &mut count)?;
                self.done(&format!("{} is there", target.display()))
            }
        }
    }

    fn copy_directory(
        &mut self,
        agent: &AgentPlace,
        files: &[mesos::FileInfo],
        target: &Path,
        depth: usize,
        count: &mut usize,
    ) -> Result<(), ConsoleError> {
        if depth > DEPTH_LIMIT {
            return Err(ConsoleError::Wrong(format!("{} is nested too deeply", target.display())));
        }
        std::fs::create_dir_all(target)
            .map_err(|source| ConsoleError::File { path: target.to_path_buf(), source })?;
        for file in files {
            let name = plain_name(&file.path)?;
            let below = target.join(name);
            if file.mode() & TYPE_BITS == DIRECTORY {
                let files = self.list_files(agent, &file.path)?;
                self.copy_directory(agent, &files, &below, depth + 1, count)?;
            } else {
                self.copy_file(agent, &file.path, &below, count)?;
            }
        }
        Ok(())
    }

    fn copy_file(
        &mut self,
        agent: &AgentPlace,
        path: &str,
        target: &Path,
        count: &mut usize,
    ) -> Result<(), ConsoleError> {
        *count += 1;
        if *count > FILES_LIMIT {
            return Err(ConsoleError::Wrong(format!("there are more than {FILES_LIMIT} files")));
        }
        let failed = |source| ConsoleError::File { path: target.to_path_buf(), source };
        let first = self.read_file(agent, path, 0, CHUNK_BYTES)?;
        let mut out = File::create(target).map_err(failed)?;
        let mut part = first.data;
        let mut offset = 0;
        while !part.is_empty() {
            out.write_all(&part).map_err(failed)?;
            offset += part.len() as u64;
            part = self.read_file(agent, path, offset, CHUNK_BYTES)?.data;
        }
        Ok(())
    }
}

/// An error while a file is followed. What was read before is there again when its agent has recovered.
fn while_read(error: ConsoleError, was_read: bool, task: &mesos::Task) -> ConsoleError {
    match error {
        ConsoleError::NoFile { .. } if was_read => ConsoleError::AgentAway(task.agent_id.value.clone()),
        error => error,
    }
}

/// A path within a sandbox, as it was given: nothing that climbs out.
pub fn checked(path: &str) -> Result<String, ConsoleError> {
    let mut parts = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            Component::CurDir | Component::RootDir => {}
            _ => return Err(ConsoleError::Wrong(format!("'{path}' leaves the sandbox"))),
        }
    }
    Ok(parts.join("/"))
}

/// The last part of a path that an agent told; it must not lead anywhere else here.
fn plain_name(path: &str) -> Result<PathBuf, ConsoleError> {
    match Path::new(path).components().next_back() {
        Some(Component::Normal(name)) => Ok(PathBuf::from(name)),
        _ => Err(ConsoleError::Wrong(format!("the agent names a file '{}'", path.escape_debug()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_sandbox() {
        assert_eq!(checked("a/./b").unwrap(), "a/b");
        assert_eq!(checked("/stdout").unwrap(), "stdout");
        assert!(checked("../x").is_err() && checked("a/../../x").is_err());
        assert_eq!(plain_name("/x/y").unwrap(), Path::new("y"));
        assert!(plain_name("/x/..").is_err() && plain_name("/").is_err());
    }
}
