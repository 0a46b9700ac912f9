//! One registrar with the timers and answers that are on their way to it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use messor_proto::mesos::{AgentInfo, MasterInfo, master_info};
use messor_registry::{
    Operation, Registrar, RegistrarConfig, RegistrarEffect, RegistrarEvent, RegistrarTimer, State,
};
use messor_replog::{Answer, Command, Failure};
use messor_stdx::Time;
use messor_types::AgentId;

pub struct World {
    pub registrar: Registrar,
    pub now: Time,
    timers: BTreeMap<RegistrarTimer, Time>,
    /// Commands that the log did not answer yet: at most one is not a leftover.
    pub commands: VecDeque<(u64, Command)>,
    pub recovered: Option<State>,
    pub applied: Vec<(u64, Result<bool, String>)>,
    pub failed: Option<String>,
    pub lines: Vec<String>,
}

pub fn info(name: &str) -> Box<MasterInfo> {
    use master_info::capability::Type;
    Box::new(MasterInfo {
        id: name.to_string(),
        capabilities: [Type::AgentUpdate, Type::AgentDraining, Type::QuotaV2]
            .map(|kind| master_info::Capability { r#type: Some(kind.into()) })
            .into(),
        ..Default::default()
    })
}

pub fn admit(name: &str) -> Operation {
    Operation::AdmitAgent {
        info: Box::new(AgentInfo { id: Some(AgentId::new(name).into()), ..Default::default() }),
    }
}

pub fn names(state: &State) -> Vec<String> {
    state.agents().map(|(id, _)| id.to_string()).collect()
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            registrar: Registrar::new(RegistrarConfig::new(seed)),
            now: Time::from_nanos(1_000_000_000),
            timers: BTreeMap::new(),
            commands: VecDeque::new(),
            recovered: None,
            applied: Vec::new(),
            failed: None,
            lines: Vec::new(),
        }
    }

    pub fn handle(&mut self, event: RegistrarEvent) {
        let mut effects = Vec::new();
        self.registrar.handle(self.now, event, &mut effects);
        for effect in effects {
            let refusal = matches!(effect, RegistrarEffect::Applied { outcome: Err(_), .. });
            assert!(self.failed.is_none() || refusal, "{effect:?} comes after the end");
            match effect {
                RegistrarEffect::Recovered(state) => {
                    assert!(self.recovered.is_none(), "recovered twice");
                    self.recovered = Some(*state);
                }
                RegistrarEffect::Applied { ticket, outcome } => self.applied.push((ticket, outcome)),
                RegistrarEffect::Log { ticket, command } => self.commands.push_back((ticket, command)),
                RegistrarEffect::SetTimer { timer, at } => drop(self.timers.insert(timer, at)),
                RegistrarEffect::CancelTimer { timer } => drop(self.timers.remove(&timer)),
                RegistrarEffect::Failed { reason } => self.failed = Some(reason),
                RegistrarEffect::Say { line, .. } => self.lines.push(line),
            }
        }
        let waiting = self.commands.iter().filter(|_| self.failed.is_none()).count();
        assert!(waiting <= 1, "two commands at once: {:?}", self.commands);
    }

    pub fn start(&mut self, name: &str) {
        self.handle(RegistrarEvent::Start { info: info(name) });
    }

    pub fn apply(&mut self, ticket: u64, operation: Operation) {
        self.handle(RegistrarEvent::Apply { ticket, operation });
    }

    /// The command that the log has to answer, and its answer.
    pub fn answer(&mut self, answer: impl FnOnce(Command) -> Result<Answer, Failure>) -> bool {
        let Some((ticket, command)) = self.commands.pop_front() else { return false };
        let outcome = answer(command);
        self.handle(RegistrarEvent::Log { ticket, outcome });
        true
    }

    /// The time of the next timer comes. False if none is set.
    pub fn next_timer(&mut self) -> bool {
        let Some((timer, at)) = self.timers.iter().map(|(t, at)| (*t, *at)).min_by_key(|(_, at)| *at) else {
            return false;
        };
        self.timers.remove(&timer);
        self.now = self.now.max(at);
        self.handle(RegistrarEvent::Timer(timer));
        true
    }

    pub fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
    }

    pub fn metric(&self, name: &str) -> Option<f64> {
        self.registrar.metrics().get(name)
    }
}
