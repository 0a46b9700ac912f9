//! `mesos task logs --pod`: what all tasks of one executor write, side by side.

use messor_proto::mesos::Task;

use super::sandbox::{CHUNK_BYTES, Sandbox, checked};
use super::{Console, ConsoleError};

/// A line that is longer is printed in pieces.
const LINE_BYTES: usize = 64 * 1024;

/// One task's file as it is read.
struct Source {
    task: Task,
    sandbox: Sandbox,
    path: String,
    offset: u64,
    /// The beginning of a line that has not ended.
    rest: Vec<u8>,
}

impl Console<'_, '_> {
    pub fn pod_logs(
        &mut self,
        task: &Task,
        file: &str,
        follow: bool,
        lines: Option<usize>,
    ) -> Result<(), ConsoleError> {
        let file = checked(file)?;
        let mut sources = Vec::new();
        for task in self.pod_of(task)? {
            let sandbox = self.sandbox(&task)?;
            let path = format!("{}/{file}", sandbox.folder);
            let offset = match lines {
                Some(lines) => self.start_of_last(&sandbox.agent, &path, lines)?,
                None => 0,
            };
            sources.push(Source { task, sandbox, path, offset, rest: Vec::new() });
        }
        let width = sources.iter().map(|source| source.task.name.chars().count()).max().unwrap_or_default();
        if !follow {
            let printed = self.print_sources(&mut sources, width, false);
            // What came before an error was printed.
            self.screen.out.flush()?;
            return printed.map(drop);
        }
        self.follow_output(task, |console, moved| {
            if let Some(agent) = moved {
                sources.iter_mut().for_each(|source| source.sandbox.agent = agent.clone());
            }
            console.print_sources(&mut sources, width, true)
        })
    }

    /// Prints what there is of all, and says whether nothing more comes.
    fn print_sources(
        &mut self,
        sources: &mut [Source],
        width: usize,
        follow: bool,
    ) -> Result<bool, ConsoleError> {
        let mut ended = true;
        for source in sources {
            // Asked before the rest is read: what it wrote before its end is there then.
            let done = !follow || self.has_ended(&source.task)?;
            ended &= done;
            self.print_source(source, width, done)?;
        }
        Ok(ended)
    }

    /// All tasks of a task's executor, by their ids.
    fn pod_of(&mut self, task: &Task) -> Result<Vec<Task>, ConsoleError> {
        if task.executor_id.as_ref().is_none_or(|id| id.value.is_empty()) {
            return Err(ConsoleError::Wrong(format!(
                "task {} is of no pod: leave --pod out",
                task.task_id.value
            )));
        }
        let all = self.tasks()?;
        let lists = [all.tasks, all.unreachable_tasks, all.completed_tasks];
        let is_of_pod = |one: &Task| {
            one.executor_id == task.executor_id
                && one.framework_id == task.framework_id
                && one.agent_id == task.agent_id
        };
        let mut pod: Vec<Task> = lists.into_iter().flatten().filter(is_of_pod).collect();
        pod.sort_by(|one, other| one.task_id.value.cmp(&other.task_id.value));
        pod.dedup_by(|one, other| one.task_id == other.task_id);
        Ok(pod)
    }

    fn print_source(&mut self, source: &mut Source, width: usize, done: bool) -> Result<(), ConsoleError> {
        loop {
            let part = self.read_file(&source.sandbox.agent, &source.path, source.offset, CHUNK_BYTES)?;
            if part.data.is_empty() {
                // One that was cut meanwhile begins again.
                source.offset = source.offset.min(part.size);
                break;
            }
            source.offset += part.data.len() as u64;
            source.rest.extend(part.data);
            while let Some(end) = end_of_line(&source.rest) {
                let line: Vec<u8> = source.rest.drain(..end).collect();
                self.print_line(&source.task.name, width, &line)?;
            }
        }
        if done && !source.rest.is_empty() {
            let line = std::mem::take(&mut source.rest);
            self.print_line(&source.task.name, width, &line)?;
        }
        Ok(())
    }

    fn print_line(&mut self, name: &str, width: usize, line: &[u8]) -> Result<(), ConsoleError> {
        write!(self.screen.out, "{name:width$} | ")?;
        self.screen.out.write_all(line.strip_suffix(b"\n").unwrap_or(line))?;
        Ok(writeln!(self.screen.out)?)
    }
}

/// Where the first line ends, its line break included.
fn end_of_line(text: &[u8]) -> Option<usize> {
    match text.iter().position(|byte| *byte == b'\n') {
        Some(at) => Some(at + 1),
        None => (text.len() >= LINE_BYTES).then_some(LINE_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_they_end_or_are_too_long() {
        assert_eq!(end_of_line(b"a\nb"), Some(2));
        assert_eq!(end_of_line(b"ab"), None);
        assert_eq!(end_of_line(&vec![b'x'; LINE_BYTES + 1]), Some(LINE_BYTES));
    }
}
