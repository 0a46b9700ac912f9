//! The agent machine with its edges: events in, effects carried out.

use std::path::PathBuf;
use std::sync::Arc;

use messor_agent_core::{Agent, ContainerCommand, Effect, Event, Launch, Level, Timer, View};
use messor_containerizer::Containerizer;
use messor_http_api::{AgentSite, Files, Machine};
use messor_net::{Net, NetEvent};
use messor_runtime::{Driver, Timers};
use messor_stdx::Time;

use crate::garbage::Garbage;

pub struct AgentDriver {
    pub agent: Agent,
    pub site: Arc<AgentSite>,
    pub net: Net,
    /// `slave(1)`.
    pub process: String,
    pub containerizer: Containerizer,
    pub garbage: Garbage,
    pub files: Files,
    pub work_dir: PathBuf,
    pub own: Machine<Event, View>,
    pub timers: Timers<Timer>,
    pub effects: Vec<Effect>,
    /// Whether the log says already that checkpoints are not written.
    pub told_of_checkpoints: bool,
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
                Effect::Container(mut command) => {
                    if let ContainerCommand::Launch(launch) = &mut command {
                        self.attach(&launch.directory);
                        ends_with_the_agent(launch);
                        if launch.checkpoint && !std::mem::replace(&mut self.told_of_checkpoints, true) {
                            tracing::warn!(
                                "framework {} asks for checkpoint=true, which has no effect yet: nothing is \
                                 written, and a restarted agent does not find its executors again",
                                launch.framework
                            );
                        }
                    }
                    self.containerizer.command(command);
                }
                Effect::Persist { ticket, .. } => {
                    // Recovery is not built: nothing would read what is written. The log and COMPATIBILITY.md say so.
                    self.own.event(Event::Persisted { ticket, outcome: Ok(()) });
                }
                Effect::ScheduleGc { path } | Effect::ScheduleGcOfOld { path } => self.garbage.schedule(&path),
                Effect::UnscheduleGc { path } => self.garbage.unschedule(&path),
                Effect::SetTimer { timer, at } => self.timers.set(timer, at),
                Effect::CancelTimer { timer } => self.timers.cancel(&timer),
                Effect::Abort { reason } => {
                    tracing::error!("ending: {reason}");
                    self.over = true;
                }
                Effect::Log { level, line, at } => match level {
                    Level::Info => tracing::info!(log.file = at.file(), log.line = at.line(), "{line}"),
                    Level::Warning => tracing::warn!(log.file = at.file(), log.line = at.line(), "{line}"),
                    Level::Error => tracing::error!(log.file = at.file(), log.line = at.line(), "{line}"),
                },
                // Taken by the site above.
                Effect::StreamOpened { .. }
                | Effect::Stream { .. }
                | Effect::CloseStream { .. }
                | Effect::Reply { .. } => (),
            }
        }
    }

    /// Makes a sandbox readable over HTTP: by its real path, which the web page and tools use, by the link to the
    /// latest run, and by the short path without the agent.
    fn attach(&self, directory: &str) {
        let real = self.work_dir.join(directory);
        self.files.attach(&real.to_string_lossy(), real.clone());
        let Some((executor, _)) = directory.rsplit_once("/runs/") else { return };
        let latest = format!("{executor}/runs/latest");
        self.files.attach(&self.work_dir.join(&latest).to_string_lossy(), real.clone());
        if let Some(at) = latest.find("/frameworks/") {
            self.files.attach(&latest[at..], real);
        }
    }
}

/// An agent that comes back does not look for its executors: they must not wait for it, as nobody would know of them
/// while their resources are offered again. Recovery (the issue "Nothing is lost") ends this.
fn ends_with_the_agent(launch: &mut Launch) {
    launch.environment.retain(|(name, _)| name != "MESOS_RECOVERY_TIMEOUT");
    for (_, value) in launch.environment.iter_mut().filter(|(name, _)| name == "MESOS_CHECKPOINT") {
        *value = "0".to_string();
    }
}

impl Driver for AgentDriver {
    type Event = Event;
    type View = View;

    fn handle(&mut self, now: Time, event: Event) {
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

    fn view(&mut self, now: Time) -> Arc<View> {
        Arc::new(self.agent.view(now))
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_types::ContainerId;

    #[test]
    fn executors_do_not_wait_for_an_agent_that_does_not_look_for_them() {
        let variable = |name: &str, value: &str| (name.to_string(), value.to_string());
        let mut launch = Launch {
            container: ContainerId::new("c"),
            framework: "F".into(),
            executor_id: "e".into(),
            executor: Default::default(),
            task: None,
            command: Default::default(),
            container_info: None,
            uris: Vec::new(),
            resources: Vec::new(),
            directory: String::new(),
            user: None,
            environment: vec![
                variable("HOME", "/"),
                variable("MESOS_CHECKPOINT", "1"),
                variable("MESOS_RECOVERY_TIMEOUT", "15mins"),
            ],
            checkpoint: true,
        };
        ends_with_the_agent(&mut launch);
        assert_eq!(launch.environment, [variable("HOME", "/"), variable("MESOS_CHECKPOINT", "0")]);
    }
}
