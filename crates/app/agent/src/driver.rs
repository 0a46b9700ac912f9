//! The agent machine with its edges: events in, effects carried out.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use messor_agent_core::{Agent, ContainerCommand, Effect, Event, Record, Timer, View};
use messor_checkpoint::{Recorder, WorkDirLock};
use messor_containerizer::Containerizer;
use messor_http_api::{AgentSite, Files};
use messor_net::{Net, NetEvent, Packet};
use messor_runtime::{Driver, Load, Timers};
use messor_stdx::Time;

use crate::garbage::Garbage;
use crate::oversubscription::Oversubscription;

pub struct AgentDriver {
    pub agent: Agent,
    pub site: Arc<AgentSite>,
    pub net: Net,
    /// `slave(1)`.
    pub process: String,
    pub containerizer: Containerizer,
    pub oversubscription: Oversubscription,
    pub garbage: Garbage,
    pub files: Files,
    pub work_dir: PathBuf,
    pub recorder: Recorder,
    /// Until the end: one agent alone writes there.
    pub _lock: WorkDirLock,
    pub timers: Timers<Timer>,
    pub effects: Vec<Effect>,
    /// The recovery is over.
    pub recovered: bool,
    pub cannot_write: bool,
    /// Why the agent had to end, if that is an error.
    pub failure: Arc<OnceLock<String>>,
    pub over: bool,
}

impl AgentDriver {
    fn carry_out(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            let Some(effect) = self.site.carry_out(effect) else { continue };
            match effect {
                Effect::Send { to, name, body } => self.net.send(&self.process, &to, name, body),
                // A new connection each time: an old one that half broke would not tell that the master is gone.
                Effect::Link { pid } => self.net.relink(&self.process, &pid),
                Effect::Unlink { pid } => self.net.unlink(&self.process, &pid),
                Effect::Container(command) => {
                    match &command {
                        ContainerCommand::Launch(launch) => self.attach(&launch.directory),
                        ContainerCommand::Recover { runs } => {
                            runs.iter().for_each(|run| self.attach(&run.directory));
                        }
                        ContainerCommand::Update { .. }
                        | ContainerCommand::Check { .. }
                        | ContainerCommand::Destroy { .. } => {}
                    }
                    self.containerizer.command(command);
                }
                Effect::Estimate => self.oversubscription.estimate(),
                Effect::Correct => self.oversubscription.correct(),
                Effect::Persist { ticket, record } => {
                    self.recovered |= record == Record::Boot;
                    self.recorder.record(ticket, record);
                }
                Effect::ScheduleGc { path } => self.garbage.schedule(&path),
                Effect::ScheduleGcOfOld { path } => {
                    self.attach_old(&path);
                    self.garbage.schedule_old(&path, &self.work_dir);
                }
                Effect::UnscheduleGc { path } => self.garbage.unschedule(&path),
                Effect::SetTimer { timer, at } => self.timers.set(timer, at),
                Effect::CancelTimer { timer } => self.timers.cancel(&timer),
                Effect::Abort { reason } => {
                    tracing::error!("ending: {reason}");
                    if !self.recovered || self.cannot_write {
                        let _ = self.failure.set(reason);
                    }
                    self.over = true;
                }
                Effect::Log { level, line, at } => messor_log::say(level, &line, at),
                // Taken by the site above.
                Effect::StreamOpened { .. }
                | Effect::Stream { .. }
                | Effect::CloseStream { .. }
                | Effect::Reply { .. } => (),
            }
        }
    }

    /// Makes a sandbox readable over HTTP: by its real path, which the web page and tools use, and by the short one without
    /// the agent, which the master uses.
    fn attach_run(&self, directory: &str) -> PathBuf {
        let real = self.work_dir.join(directory);
        self.files.attach(&real.to_string_lossy(), real.clone());
        if let Some(at) = directory.find("/frameworks/") {
            self.files.attach(&directory[at..], real.clone());
        }
        real
    }

    /// That of a run that is an executor's latest: by the links to the latest run, too.
    fn attach(&self, directory: &str) {
        let real = self.attach_run(directory);
        let Some((executor, _)) = directory.rsplit_once("/runs/") else { return };
        let latest = format!("{executor}/runs/latest");
        self.files.attach(&self.work_dir.join(&latest).to_string_lossy(), real.clone());
        if let Some(at) = latest.find("/frameworks/") {
            self.files.attach(&latest[at..], real);
        }
    }

    /// What ended under an agent before this one is to be read until it is removed.
    fn attach_old(&self, path: &str) {
        let run = path.rsplit_once("/runs/").is_some_and(|(_, run)| !run.contains('/'));
        if run && path.starts_with("slaves/") {
            self.attach_run(path);
        }
    }
}

impl Driver for AgentDriver {
    type Event = Event;
    type View = View;
    type Message = Packet;

    fn handle(&mut self, now: Time, event: Event) {
        self.cannot_write |= matches!(event, Event::Persisted { outcome: Err(_), .. });
        self.agent.handle(now, event, &mut self.effects);
        self.carry_out();
    }

    fn network(&mut self, now: Time, event: NetEvent) {
        let event = match event {
            NetEvent::Message(packet) => {
                Event::Message { from: packet.from, name: packet.name, body: packet.body.to_vec() }
            }
            NetEvent::Exited { pid, .. } => Event::Exited { pid },
        };
        self.handle(now, event);
    }

    fn timers(&mut self, now: Time) {
        while let Some(timer) = self.timers.take_due(now) {
            self.handle(now, Event::Timer(timer));
        }
    }

    fn next_timer(&self) -> Option<Time> {
        self.timers.next()
    }

    fn view(&mut self, now: Time, _load: Load) -> Arc<View> {
        Arc::new(self.agent.view(now))
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
