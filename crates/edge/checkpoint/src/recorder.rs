//! The thread that makes records durable, in order, and says so.
//!
//! What waits is made durable together, with one wait for the disk. The queue is bounded: when it is full, the machine
//! waits for the disk, as it could not say anything of what it adds before that anyway.

#[cfg(test)]
pub(crate) mod power_loss;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use messor_agent_core::{Connection, Record};
use messor_proto::mesos::internal::slave::ResourceState;
use messor_proto::mesos::{Operation, Resource};
use messor_types::AgentId;

use crate::files::{FileError, framed};
use crate::form::downgrade;
use crate::layout::{LATEST, Layout, NEXT_LATEST, PathError};
use crate::steps::{Batch, Safe, Step};
use crate::volumes::{self, VolumeError};

/// Records that wait for the disk.
const QUEUE_LIMIT: usize = 4096;
/// Records that are made durable together; each has a few files open until then.
const BATCH_LIMIT: usize = 128;

/// What is in framework.pid of a scheduler that has none.
pub(crate) const NO_PID: &str = "@0.0.0.0:0";

#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error("a record of an agent that has no id yet")]
    NoAgent,
}

type Answer = Box<dyn Fn(u64, Result<(), String>) + Send>;

/// Dropping it waits until all that was asked for is durable.
pub struct Recorder {
    queue: Option<SyncSender<(u64, Record)>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// `agent` and `resources` as they were read; `boot_id` of the host's present run. `answer` is called for each
    /// record, on the recorder's thread.
    pub fn start(
        work_dir: &Path,
        agent: Option<AgentId>,
        resources: Vec<Resource>,
        boot_id: String,
        answer: impl Fn(u64, Result<(), String>) + Send + 'static,
    ) -> io::Result<Recorder> {
        Recorder::start_telling(work_dir, agent, resources, boot_id, answer, |_| ())
    }

    /// As `start`; `removed` is called for the directory of each persistent volume that is gone, on the same thread.
    pub fn start_telling(
        work_dir: &Path,
        agent: Option<AgentId>,
        resources: Vec<Resource>,
        boot_id: String,
        answer: impl Fn(u64, Result<(), String>) + Send + 'static,
        removed: impl Fn(&Path) + Send + 'static,
    ) -> io::Result<Recorder> {
        let (queue, records) = sync_channel(QUEUE_LIMIT);
        let writer = Writer {
            work_dir: work_dir.to_path_buf(),
            layout: Layout::new(work_dir),
            agent,
            resources,
            boot_id,
            safe: Safe::default(),
            removed: Box::new(removed),
            has_failed: false,
        };
        let answer: Answer = Box::new(answer);
        let thread = std::thread::Builder::new().name("recorder".into());
        let thread = thread.spawn(move || writer.run(&records, &answer))?;
        Ok(Recorder { queue: Some(queue), thread: Some(thread) })
    }

    /// Takes a record; the answer comes when it is durable, with all before it, or has failed.
    pub fn record(&self, ticket: u64, record: Record) {
        if let Some(queue) = &self.queue {
            // The thread ends only with its queue.
            let _ = queue.send((ticket, record));
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the recorder's thread has panicked");
        }
    }
}

struct Writer {
    work_dir: PathBuf,
    layout: Layout,
    agent: Option<AgentId>,
    /// As they are in resources.info.
    resources: Vec<Resource>,
    boot_id: String,
    safe: Safe,
    removed: Box<dyn Fn(&Path) + Send>,
    /// Something could not be made durable. The agent ends on that; nothing may be there that rests on what is not.
    has_failed: bool,
}

impl Writer {
    fn run(mut self, records: &Receiver<(u64, Record)>, answer: &Answer) {
        let mut waiting = None;
        while let Some(first) = waiting.take().or_else(|| records.recv().ok()) {
            let mut together = vec![first];
            while together.len() < BATCH_LIMIT {
                let stands_alone = matches!(together[0].1, Record::Resources { .. });
                match if stands_alone { None } else { records.try_recv().ok() } {
                    Some(next) if matches!(next.1, Record::Resources { .. }) => {
                        waiting = Some(next);
                        break;
                    }
                    Some(next) => together.push(next),
                    None => break,
                }
            }
            self.make_durable(together, answer);
        }
    }

    fn make_durable(&mut self, records: Vec<(u64, Record)>, answer: &Answer) {
        let tickets: Vec<u64> = records.iter().map(|(ticket, _)| *ticket).collect();
        let mut outcomes: Vec<Result<(), String>> = vec![Ok(()); records.len()];
        let mut batch = Batch::knowing(std::mem::take(&mut self.safe));
        for (index, (_, record)) in records.into_iter().enumerate() {
            if self.has_failed {
                outcomes[index] = Err("a record before it could not be written".to_string());
                continue;
            }
            let steps = self.steps(record);
            if let Err(error) = steps.and_then(|steps| Ok(batch.write(index, steps)?)) {
                outcomes[index] = Err(error.to_string());
                self.has_failed = true;
            }
        }
        self.safe = commit(batch, &mut outcomes);
        self.has_failed |= outcomes.iter().any(Result::is_err);
        for (ticket, outcome) in tickets.into_iter().zip(outcomes) {
            if let Err(error) = &outcome {
                tracing::error!("a checkpoint is not written: {error}");
            }
            answer(ticket, outcome);
        }
    }

    /// The volumes change between two moments: first it is safe what they are to become, and last that they became
    /// it. A start in between goes on from there.
    fn write_resources(
        &mut self,
        resources: Vec<Resource>,
        operations: Vec<Operation>,
    ) -> Result<(), RecordError> {
        let layout = &self.layout;
        let changed = resources != self.resources;
        let state = ResourceState { operations, resources: resources.clone() };
        let mut target = vec![Step::Write { path: layout.resource_state_target(), bytes: framed(&state) }];
        let mut place =
            vec![Step::Rename { from: layout.resource_state_target(), to: layout.resource_state() }];
        if changed || !layout.resources().exists() {
            target.push(Step::Write { path: layout.resources_target(), bytes: older(resources.clone()) });
            place.push(Step::Rename { from: layout.resources_target(), to: layout.resources() });
        }
        all(target)?;
        volumes::bring(&self.work_dir, &self.resources, &resources, &*self.removed)?;
        all(place)?;
        self.resources = resources;
        Ok(())
    }

    fn agent(&self) -> Result<&AgentId, RecordError> {
        self.agent.as_ref().ok_or(RecordError::NoAgent)
    }

    fn steps(&mut self, record: Record) -> Result<Vec<Step>, RecordError> {
        // Comes alone, as what it needs are not steps of one moment.
        if let Record::Resources { resources, operations } = record {
            self.write_resources(resources, operations)?;
            return Ok(Vec::new());
        }
        let layout = &self.layout;
        let text = |path: PathBuf, text: String| Step::Write { path, bytes: text.into_bytes() };
        Ok(match record {
            Record::Boot => vec![text(layout.boot_id(), self.boot_id.clone())],
            Record::Agent { id, mut info } => {
                let directory = layout.agent(&id)?;
                downgrade(&mut info.resources);
                let steps = vec![
                    Step::Write { path: directory.join("slave.info"), bytes: framed(&*info) },
                    Step::Link {
                        path: layout.latest_agent(),
                        next: layout.agents().join(NEXT_LATEST),
                        target: directory,
                    },
                ];
                self.agent = Some(id);
                steps
            }
            Record::Forget => vec![Step::Remove { path: layout.latest_agent() }],
            Record::Framework { id, info, pid } => {
                let directory = layout.framework(self.agent()?, &id)?;
                let pid = pid.map_or_else(|| NO_PID.to_string(), |pid| pid.to_string());
                vec![
                    Step::Write { path: directory.join("framework.info"), bytes: framed(&*info) },
                    text(directory.join("framework.pid"), pid),
                ]
            }
            Record::Executor { framework, executor, mut info, container, command_executor } => {
                let agent = self.agent()?;
                let directory = layout.executor(agent, &framework, &executor)?;
                let run = layout.run(agent, &framework, &executor, &container)?;
                downgrade(&mut info.resources);
                let generated = if command_executor { "1" } else { "0" };
                vec![
                    Step::Write { path: directory.join("executor.info"), bytes: framed(&*info) },
                    text(directory.join("executor_generated_for_command_task"), generated.to_string()),
                    Step::Directory { path: run.clone() },
                    Step::Link {
                        path: directory.join("runs").join(LATEST),
                        next: directory.join("runs").join(NEXT_LATEST),
                        target: run,
                    },
                ]
            }
            Record::ExecutorConnection { framework, executor, container, connection } => {
                let run = layout.run(self.agent()?, &framework, &executor, &container)?;
                match connection {
                    Connection::Http => vec![Step::Touch { path: run.join("http.marker") }],
                    Connection::Driver(pid) => vec![text(run.join("pids/libprocess.pid"), pid.to_string())],
                }
            }
            Record::ExecutorCompleted { framework, executor, container } => {
                let run = layout.run(self.agent()?, &framework, &executor, &container)?;
                vec![Step::Touch { path: run.join("executor.sentinel") }]
            }
            Record::Task { framework, executor, container, mut task } => {
                let id = (&task.task_id).into();
                let directory = layout.task(self.agent()?, &framework, &executor, &container, &id)?;
                downgrade(&mut task.resources);
                vec![Step::Write { path: directory.join("task.info"), bytes: framed(&*task) }]
            }
            Record::Update { framework, executor, container, task, record } => {
                let directory = layout.task(self.agent()?, &framework, &executor, &container, &task)?;
                vec![Step::Append { path: directory.join("task.updates"), bytes: framed(&*record) }]
            }
            Record::OperationUpdate { uuid, record } => {
                let directory = layout.operation(self.agent()?, &uuid)?;
                vec![Step::Append { path: directory.join("operation.updates"), bytes: framed(&*record) }]
            }
            Record::OperationCompleted { uuid } => {
                vec![Step::Remove { path: layout.operation(self.agent()?, &uuid)? }]
            }
            Record::DrainConfig(config) => {
                let path = layout.agent(self.agent()?)?.join("drain.config");
                match config {
                    Some(config) => vec![Step::Write { path, bytes: framed(&*config) }],
                    None => vec![Step::Remove { path }],
                }
            }
            Record::Resources { .. } => Vec::new(),
        })
    }
}

/// As resources.info has them: one behind the other, in the older form.
fn older(mut resources: Vec<Resource>) -> Vec<u8> {
    downgrade(&mut resources);
    resources.iter().flat_map(framed).collect()
}

fn all(steps: Vec<Step>) -> Result<(), FileError> {
    let mut batch = Batch::default();
    batch.write(0, steps)?;
    let mut first = None;
    batch.commit(&mut |_, error| {
        first.get_or_insert(error);
    });
    first.map_or(Ok(()), Err)
}

fn commit(batch: Batch, outcomes: &mut [Result<(), String>]) -> Safe {
    batch.commit(&mut |index, error| {
        let text = error.to_string();
        let of = match index {
            Some(index) => index..index + 1,
            // A directory: it may be that of any.
            None => 0..outcomes.len(),
        };
        for outcome in &mut outcomes[of] {
            if outcome.is_ok() {
                *outcome = Err(text.clone());
            }
        }
    })
}
