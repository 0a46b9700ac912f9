//! What is counted of each framework, and its metrics, `master/frameworks/<name>/<id>/…`.
//!
//! There may be thousands of frameworks with some 75 metrics each: their names are made by who reads a view and wants
//! them, not by the machine.

use std::cell::Cell;

use messor_proto::WireEnum;
use messor_proto::mesos::offer::operation;
use messor_proto::mesos::scheduler::{call, event};
use messor_proto::mesos::{Task, TaskState};
use messor_types::is_terminal_task;
use messor_validation::framework_roles;

use crate::view::{FrameworkView, View};

/// Counters by the number of a wire enum's value, all below this; what is not is not counted.
const KINDS: usize = 32;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([u64; KINDS]);

impl Tally {
    pub(crate) fn add(&mut self, kind: impl WireEnum, count: u64) {
        if let Some(counter) = usize::try_from(kind.number()).ok().and_then(|number| self.0.get_mut(number)) {
            *counter = counter.saturating_add(count);
        }
    }

    fn get(&self, number: i32) -> u64 {
        usize::try_from(number).ok().and_then(|number| self.0.get(number)).copied().unwrap_or(0)
    }

    fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// What readers see of the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameworkCounts {
    pub calls: Tally,
    pub events: Tally,
    pub operations: Tally,
    pub ended_tasks: Tally,
    pub offers_accepted: u64,
    pub offers_declined: u64,
    pub offers_rescinded: u64,
    pub offers_sent: u64,
}

/// The counters of a framework. Events are counted where the framework is told something, which changes nothing else of
/// it.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    pub counts: FrameworkCounts,
    events: Cell<Tally>,
}

impl Counting {
    pub fn told(&self, event: event::Type) {
        let mut events = self.events.get();
        events.add(event, 1);
        self.events.set(events);
    }

    pub fn view(&self) -> FrameworkCounts {
        FrameworkCounts { events: self.events.get(), ..self.counts.clone() }
    }
}

impl View {
    /// Of all frameworks that are known or remembered.
    pub fn framework_metrics(&self) -> Vec<(String, f64)> {
        let mut list = Vec::new();
        for framework in self.frameworks.iter().chain(&self.completed_frameworks) {
            list_framework(framework, &mut list);
        }
        list
    }
}

fn list_framework(framework: &FrameworkView, list: &mut Vec<(String, f64)>) {
    let (record, counts) = (&framework.framework, &framework.counts);
    let prefix = format!("master/frameworks/{}/{}", encode(&record.info.name), record.id);
    let mut metric = |name: &str, value: u64| list.push((format!("{prefix}/{name}"), value as f64));
    metric("subscribed", u64::from(record.connected));
    metric("offers/accepted", counts.offers_accepted);
    metric("offers/declined", counts.offers_declined);
    metric("offers/rescinded", counts.offers_rescinded);
    metric("offers/sent", counts.offers_sent);
    for (what, tally, kinds) in [
        ("calls", &counts.calls, kinds::<call::Type>()),
        ("events", &counts.events, kinds::<event::Type>()),
        ("operations", &counts.operations, kinds::<operation::Type>()),
    ] {
        metric(what, tally.sum());
        for (number, name) in kinds {
            metric(&format!("{what}/{name}"), tally.get(number));
        }
    }
    // Active ones are counted as they are now, so that none stays behind when its agent is forgotten.
    let mut active = Tally::default();
    let tasks = framework.pending_tasks.iter().chain(&framework.tasks).chain(&framework.unreachable_tasks);
    tasks.for_each(|task| active.add(Task::state(task), 1));
    for (number, name) in kinds::<TaskState>() {
        let Some(state) = TaskState::from_number(number) else { continue };
        if is_terminal_task(state) {
            metric(&format!("tasks/terminal/{name}"), counts.ended_tasks.get(number));
        } else {
            metric(&format!("tasks/active/{name}"), active.get(number));
        }
    }
    for role in framework_roles(&record.info) {
        let suppressed = record.suppressed_roles.contains(&role);
        metric(&format!("roles/{role}/suppressed"), u64::from(suppressed));
    }
}

/// Number and name of every value but UNKNOWN.
fn kinds<E: WireEnum>() -> Vec<(i32, String)> {
    let values = E::TABLE.values.iter().filter(|value| value.name != "UNKNOWN");
    values.map(|value| (value.number, value.name.to_lowercase())).collect()
}

/// As libprocess encodes a part of a URL, so that no slash of a framework's name divides the metric's.
fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte < b' ' || !byte.is_ascii() || b" \"#$%&+,/:;<=>?@[\\]^`{|}~".contains(&byte) {
            encoded.push_str(&format!("%{byte:02X}"));
        } else {
            encoded.push(char::from(byte));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_counter() {
        fn check<E: WireEnum>(unknown: usize) {
            let fits = |number: i32| usize::try_from(number).is_ok_and(|number| number < KINDS);
            assert!(kinds::<E>().iter().all(|(number, _)| fits(*number)), "{}", E::TABLE.name);
            assert_eq!(kinds::<E>().len() + unknown, E::TABLE.values.len());
        }
        check::<call::Type>(1);
        check::<event::Type>(1);
        check::<operation::Type>(1);
        check::<TaskState>(0);
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(encode("my fw/x-1.0_~é(*)"), "my%20fw%2Fx-1.0_%7E%C3%A9(*)");
    }
}
