//! How many operations are in which state, as the metrics master/operations/… tell it: of those that ended, all that this
//! master ever saw; of the others, those that there are now.

use std::collections::BTreeMap;

use messor_proto::mesos::OperationState as State;
use messor_proto::mesos::offer::operation::Type;
use messor_types::is_terminal_operation;

/// The kinds that are counted by themselves too; others count in the sums alone.
const KINDS: [(Type, &str); 8] = [
    (Type::Reserve, "reserve"),
    (Type::Unreserve, "unreserve"),
    (Type::Create, "create"),
    (Type::Destroy, "destroy"),
    (Type::GrowVolume, "grow_volume"),
    (Type::ShrinkVolume, "shrink_volume"),
    (Type::CreateDisk, "create_disk"),
    (Type::DestroyDisk, "destroy_disk"),
];

const STATES: [(State, &str); 8] = [
    (State::OperationPending, "pending"),
    (State::OperationRecovering, "recovering"),
    (State::OperationUnreachable, "unreachable"),
    (State::OperationFinished, "finished"),
    (State::OperationFailed, "failed"),
    (State::OperationError, "error"),
    (State::OperationDropped, "dropped"),
    (State::OperationGoneByOperator, "gone_by_operator"),
];

#[derive(Debug, Default)]
pub(crate) struct OperationCounts(BTreeMap<(Type, State), i64>);

impl OperationCounts {
    pub fn count(&mut self, kind: Type, state: State) {
        self.change(kind, state, 1);
    }

    pub fn transition(&mut self, kind: Type, from: State, to: State) {
        self.change(kind, from, -1);
        self.change(kind, to, 1);
    }

    /// An operation of this latest state is known no more.
    pub fn forget(&mut self, kind: Type, state: State) {
        if !is_terminal_operation(state) {
            self.change(kind, state, -1);
        }
    }

    fn change(&mut self, kind: Type, state: State, by: i64) {
        *self.0.entry((kind, state)).or_default() += by;
    }

    /// The metrics with their values.
    pub fn list(&self) -> Vec<(String, f64)> {
        let mut list = Vec::new();
        self.list_of("master/operations", |_| true, &mut list);
        for (kind, name) in KINDS {
            self.list_of(&format!("master/operations/{name}"), |other| other == kind, &mut list);
        }
        list
    }

    fn list_of(&self, prefix: &str, counts: impl Fn(Type) -> bool, list: &mut Vec<(String, f64)>) {
        let mut total = 0;
        for (state, name) in STATES {
            let of_state = self.0.iter().filter(|((kind, other), _)| *other == state && counts(*kind));
            let sum: i64 = of_state.map(|(_, count)| count).sum();
            total += sum;
            list.push((format!("{prefix}/{name}"), sum as f64));
        }
        list.push((format!("{prefix}/total"), total as f64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_stays_counted() {
        let mut counts = OperationCounts::default();
        for _ in 0..2 {
            counts.count(Type::Reserve, State::OperationPending);
        }
        counts.transition(Type::Reserve, State::OperationPending, State::OperationFinished);
        counts.forget(Type::Reserve, State::OperationFinished);
        counts.forget(Type::Reserve, State::OperationPending);
        counts.count(Type::Launch, State::OperationError);
        let list = counts.list();
        assert_eq!(list.len(), 81);
        let shown: Vec<_> =
            list.iter().filter(|(_, n)| *n != 0.0).map(|(name, n)| (name.as_str(), *n)).collect();
        assert_eq!(
            shown,
            [
                ("master/operations/finished", 1.0),
                ("master/operations/error", 1.0),
                ("master/operations/total", 2.0),
                ("master/operations/reserve/finished", 1.0),
                ("master/operations/reserve/total", 1.0),
            ]
        );
    }
}
