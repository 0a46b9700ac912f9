//! What must hold after each step of a run. Each has a name; a run that breaks one says it.

use std::collections::BTreeSet;

use messor_allocator::Allocator;
use messor_master_core::View;
use messor_proto::Wire;
use messor_proto::mesos::internal::StatusUpdateAcknowledgementMessage;

/// A task that was begun once is never begun again, on whichever agent.
pub fn no_task_runs_twice<'t>(begun: impl Iterator<Item = &'t String>) {
    let mut seen = BTreeSet::new();
    for task in begun {
        assert!(seen.insert(task), "no task runs twice: {task} was begun a second time");
    }
}

/// What an agent's tasks use and what is offered of it is never more than what it has.
pub fn nothing_is_allocated_twice(view: &View) {
    for agent in &view.agents {
        let mut taken = agent.used.clone().unallocated();
        taken += &agent.offered.clone().unallocated();
        assert!(
            agent.total.contains(&taken),
            "nothing is allocated twice: agent {} has {}, used are {}, offered {}",
            agent.id,
            agent.total,
            agent.used,
            agent.offered
        );
    }
}

/// The allocator's own books balance: what is taken and what is free add up, and everybody stands where its share says.
pub fn the_allocator_agrees_with_itself(allocator: &Allocator) {
    if let Err(broken) = allocator.audit() {
        panic!("the allocator agrees with itself: {broken}");
    }
}

/// An agent hears that an update is acknowledged only if the scheduler noted it.
pub fn acknowledged_only_once_delivered(body: &[u8], noted: &BTreeSet<Vec<u8>>) {
    let message = StatusUpdateAcknowledgementMessage::decode_checked(body)
        .expect("the master's own messages are right");
    assert!(
        noted.contains(&message.uuid),
        "an update is acknowledged only once delivered: that of task {} was not",
        message.task_id.value
    );
}
