//! The counters of the master, by their names in /metrics/snapshot. Gauges are counted when a view is taken.

use std::collections::BTreeMap;

use messor_metrics::Counter;
use messor_proto::mesos::{TaskState, task_status};
use messor_proto::{Version, WireEnum};

macro_rules! counters {
    ($($name:ident,)*) => {
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Counters {
            $(pub $name: Counter,)*
            /// Of --role_priorities; shown as soon as there was one.
            pub preempted_offers: Counter,
            pub preempted_tasks: Counter,
            /// Terminal updates by state, source and reason.
            states: BTreeMap<(i32, i32, i32), Counter>,
            /// Messages of drivers whose frameworks have the principal: that came, and that were handled.
            principals: BTreeMap<String, [Counter; 2]>,
        }

        impl Counters {
            /// Each with its value, in the order of their names but for those by reason.
            pub fn list(&self) -> Vec<(String, f64)> {
                let mut list = vec![
                    // Rust has no slash in names: `slave_removals_reason_…` is `slave_removals/reason_…`.
                    $((format!("master/{}", stringify!($name).replace("_reason_", "/reason_")), self.$name.get() as f64),)*
                ];
                let preempted =
                    [("offers", &self.preempted_offers), ("tasks", &self.preempted_tasks)].map(|(what, c)| (what, c.get()));
                if preempted.iter().any(|(_, count)| *count > 0) {
                    list.extend(preempted.map(|(what, count)| (format!("master/preempted_{what}"), count as f64)));
                }
                for (principal, [received, processed]) in &self.principals {
                    list.push((format!("frameworks/{principal}/messages_received"), received.get() as f64));
                    list.push((format!("frameworks/{principal}/messages_processed"), processed.get() as f64));
                }
                for ((state, source, reason), counter) in &self.states {
                    list.push((state_name(*state, *source, *reason), counter.get() as f64));
                }
                list
            }
        }
    };
}

counters! {
    dropped_messages,
    invalid_executor_to_framework_messages,
    invalid_framework_to_executor_messages,
    invalid_operation_status_update_acknowledgements,
    invalid_operation_status_updates,
    invalid_status_update_acknowledgements,
    invalid_status_updates,
    messages_authenticate,
    messages_deactivate_framework,
    messages_decline_offers,
    messages_executor_to_framework,
    messages_exited_executor,
    messages_framework_to_executor,
    messages_kill_task,
    messages_launch_tasks,
    messages_operation_status_update,
    messages_operation_status_update_acknowledgement,
    messages_reconcile_operations,
    messages_reconcile_tasks,
    messages_register_framework,
    messages_register_slave,
    messages_reregister_framework,
    messages_reregister_slave,
    messages_resource_request,
    messages_revive_offers,
    messages_status_update,
    messages_status_update_acknowledgement,
    messages_suppress_offers,
    messages_unregister_framework,
    messages_unregister_slave,
    messages_update_slave,
    recovery_slave_removals,
    slave_registrations,
    slave_removals,
    slave_reregistrations,
    slave_shutdowns_canceled,
    slave_shutdowns_completed,
    slave_shutdowns_scheduled,
    slave_unreachable_canceled,
    slave_unreachable_completed,
    slave_unreachable_scheduled,
    slave_removals_reason_registered,
    slave_removals_reason_unhealthy,
    slave_removals_reason_unregistered,
    tasks_dropped,
    tasks_error,
    tasks_failed,
    tasks_finished,
    tasks_gone,
    tasks_gone_by_operator,
    tasks_killed,
    tasks_lost,
    valid_executor_to_framework_messages,
    valid_framework_to_executor_messages,
    valid_operation_status_update_acknowledgements,
    valid_operation_status_updates,
    valid_status_update_acknowledgements,
    valid_status_updates,
}

/// `master/task_lost/source_slave/reason_executor_terminated`
fn state_name(state: i32, source: i32, reason: i32) -> String {
    fn name<E: WireEnum>(number: i32) -> String {
        E::from_number(number).map_or("unknown", |value| value.wire_name(Version::V0)).to_lowercase()
    }
    let (state, source) = (name::<TaskState>(state), name::<task_status::Source>(source));
    format!("master/{state}/{source}/{}", name::<task_status::Reason>(reason))
}

impl Counters {
    /// A task came to an end in this state.
    pub fn count_end(&mut self, state: TaskState) {
        match state {
            TaskState::TaskFinished => self.tasks_finished.increment(),
            TaskState::TaskFailed => self.tasks_failed.increment(),
            TaskState::TaskKilled => self.tasks_killed.increment(),
            TaskState::TaskLost => self.tasks_lost.increment(),
            TaskState::TaskError => self.tasks_error.increment(),
            TaskState::TaskDropped => self.tasks_dropped.increment(),
            TaskState::TaskGone => self.tasks_gone.increment(),
            TaskState::TaskGoneByOperator => self.tasks_gone_by_operator.increment(),
            TaskState::TaskStaging
            | TaskState::TaskStarting
            | TaskState::TaskRunning
            | TaskState::TaskKilling
            | TaskState::TaskUnreachable
            | TaskState::TaskUnknown => {}
        }
    }

    /// A framework of this principal is there: its messages are counted from now on.
    pub fn know_principal(&mut self, principal: &str) {
        if !self.principals.contains_key(principal) {
            self.principals.insert(principal.to_string(), Default::default());
        }
    }

    /// No framework of this principal is left.
    pub fn forget_principal(&mut self, principal: &str) {
        self.principals.remove(principal);
    }

    pub fn received_of(&mut self, principal: &str) {
        if let Some([received, _]) = self.principals.get_mut(principal) {
            received.increment();
        }
    }

    pub fn processed_of(&mut self, principal: &str) {
        if let Some([_, processed]) = self.principals.get_mut(principal) {
            processed.increment();
        }
    }

    pub fn count_reason(&mut self, state: TaskState, source: i32, reason: i32) {
        // Numbers from the wire that are not known make no metric: there would be no bound on their count.
        if task_status::Source::from_number(source).is_some()
            && task_status::Reason::from_number(reason).is_some()
        {
            self.states.entry((state as i32, source, reason)).or_default().increment();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_the_names_of_mesos() {
        let mut counters = Counters::default();
        counters.slave_removals_reason_unhealthy.increment();
        counters.count_end(TaskState::TaskLost);
        let (source, reason) =
            (task_status::Source::Agent as i32, task_status::Reason::ExecutorTerminated as i32);
        counters.count_reason(TaskState::TaskLost, source, reason);
        counters.count_reason(TaskState::TaskLost, 99, reason);
        let list = counters.list();
        let find = |name: &str| list.iter().find(|(found, _)| found == name).map(|(_, value)| *value);
        assert_eq!(find("master/slave_removals/reason_unhealthy"), Some(1.0));
        assert_eq!(find("master/tasks_lost"), Some(1.0));
        assert_eq!(find("master/task_lost/source_slave/reason_executor_terminated"), Some(1.0));
        assert_eq!(find("master/messages_register_slave"), Some(0.0));
        assert_eq!(list.iter().filter(|(name, _)| name.contains("task_lost/")).count(), 1);
    }
}
