//! What masters measure.

use super::{MEGABYTE, MILLISECOND, Table, always};
use crate::catalogue::{Kind, Presence};

/// Operations on resources that are counted by kind.
macro_rules! operations {
    () => {
        "<operation:reserve|unreserve|create|destroy|grow_volume|shrink_volume|create_disk|destroy_disk>"
    };
}

/// The beginning of a framework's metrics.
macro_rules! framework {
    ($rest:literal) => {
        concat!("master/frameworks/<framework_name>/<framework_id>/", $rest)
    };
}

pub(super) fn of_master(table: &mut Table) {
    table.gauge("master_elected", "1 on the leading master, 0 on others.", [always("master/elected")]);
    table.gauge("master_uptime_seconds", "For how long the master runs.", [always("master/uptime_secs")]);
    table.gauge(
        "master_agents",
        "Agents by state. Those that are connected and disconnected are all that are registered, so are those that are active and inactive.",
        [always("master/slaves_<state:active|connected|disconnected|inactive|unreachable>")],
    );
    table.gauge(
        "master_frameworks",
        "Frameworks by state. Those that are connected and disconnected are all that are known, so are those that are active and inactive.",
        [always("master/frameworks_<state:active|connected|disconnected|inactive>")],
    );
    table.gauge(
        "master_outstanding_offers",
        "Offers that frameworks have.",
        [always("master/outstanding_offers")],
    );
    table.gauge(
        "master_operator_event_stream_subscribers",
        "Operators that are subscribed to the master's events.",
        [always("master/operator_event_stream_subscribers")],
    );
    table.gauge(
        "master_tasks",
        "Tasks that did not end, by state.",
        [always("master/tasks_<state:killing|running|staging|starting|unreachable>")],
    );
    table.counter(
        "master_tasks_ended",
        "Tasks that ended, by their last state.",
        [always("master/tasks_<state:dropped|error|failed|finished|gone|gone_by_operator|killed|lost>")],
    );
    table.counter(
        "master_task_endings",
        "Tasks that ended, by their last state, who said so, and why.",
        [always(
            "master/task_<state:dropped|error|failed|finished|gone|gone_by_operator|killed|lost>/source_<source>/reason_<reason>",
        )
        .when("with the first task that ends so")],
    );
    table.counter(
        "master_tasks_preempted",
        "Tasks that were killed for a role of higher priority.",
        [always("master/preempted_tasks").when("with the first preemption")],
    );
    table.counter(
        "master_offers_preempted",
        "Offers that were taken back for a role of higher priority.",
        [always("master/preempted_offers").when("with the first preemption")],
    );
    table.counter(
        "master_messages",
        "Messages and calls that came, by kind.",
        [always(
            "master/messages_<message:authenticate|deactivate_framework|decline_offers|executor_to_framework|\
             exited_executor|framework_to_executor|kill_task|launch_tasks|operation_status_update|\
             operation_status_update_acknowledgement|reconcile_operations|reconcile_tasks|register_framework|\
             register_slave|reregister_framework|reregister_slave|resource_request|revive_offers|status_update|\
             status_update_acknowledgement|suppress_offers|unregister_framework|unregister_slave|update_slave>",
        )],
    );
    for (valid, pattern) in [
        (
            "true",
            "master/valid_<message:executor_to_framework_messages|framework_to_executor_messages|\
             operation_status_update_acknowledgements|operation_status_updates|status_update_acknowledgements|\
             status_updates>",
        ),
        (
            "false",
            "master/invalid_<message:executor_to_framework_messages|framework_to_executor_messages|\
             operation_status_update_acknowledgements|operation_status_updates|status_update_acknowledgements|\
             status_updates>",
        ),
    ] {
        let name = if valid == "true" { "master_valid_messages" } else { "master_invalid_messages" };
        let what = if valid == "true" { "were passed on" } else { "were dropped as invalid" };
        table.counter(name, &format!("Messages that {what}, by kind."), [always(pattern)]);
    }
    table.counter(
        "master_dropped_messages",
        "Messages that came while this master did not lead.",
        [always("master/dropped_messages")],
    );
    table.gauge(
        "master_event_queue_length",
        "What waits for the master, by kind.",
        [always("master/event_queue_<kind:dispatches|http_requests|messages>")],
    );
    table.counter(
        "master_http_cache_hits",
        "Reads that were answered with the state that was taken for another one.",
        [always("master/http_cache_hits")],
    );
    table.counter(
        "master_agent_registrations",
        "Agents that registered.",
        [always("master/slave_registrations")],
    );
    table.counter(
        "master_agent_reregistrations",
        "Agents that came back.",
        [always("master/slave_reregistrations")],
    );
    table.counter(
        "master_agent_removals",
        "Agents that were removed, by reason.",
        [always("master/slave_removals/reason_<reason:registered|unhealthy|unregistered>")],
    );
    table.sum("the sum by reason", [always("master/slave_removals")]);
    table.counter(
        "master_recovery_agent_removals",
        "Agents that did not come back to a new master in time.",
        [always("master/recovery_slave_removals")],
    );
    table.counter(
        "master_agent_unreachable",
        "Agents that were to be marked unreachable, were, and answered before they were.",
        [always("master/slave_unreachable_<step:canceled|completed|scheduled>")],
    );
    table.counter(
        "master_agent_shutdowns",
        "Agents that were to be shut down: always 0, as in Apache Mesos since it marks them unreachable.",
        [always("master/slave_shutdowns_<step:canceled|completed|scheduled>")],
    );
    resource!(table, "master", "master", "cpus", "", 1.0);
    resource!(table, "master", "master", "gpus", "", 1.0);
    resource!(table, "master", "master", "mem", "_bytes", MEGABYTE);
    resource!(table, "master", "master", "disk", "_bytes", MEGABYTE);
}

pub(super) fn of_operations(table: &mut Table) {
    table.gauge(
        "master_operations",
        "Operations on resources that did not end, by kind and state.",
        [always(concat!("master/operations/", operations!(), "/<state:pending|recovering|unreachable>"))],
    );
    table.counter(
        "master_operations_ended",
        "Operations on resources that ended, by kind and last state.",
        [always(concat!(
            "master/operations/",
            operations!(),
            "/<state:finished|failed|error|dropped|gone_by_operator>"
        ))],
    );
    table.sum(
        "the sum of all kinds",
        [always(
            "master/operations/<state:pending|recovering|unreachable|finished|failed|error|dropped|gone_by_operator|total>",
        )],
    );
    table.sum("the sum of all states", [always(concat!("master/operations/", operations!(), "/total"))]);
}

pub(super) fn of_frameworks(table: &mut Table) {
    let of_framework =
        |pattern| always(pattern).when("with the first framework, unless --no-publish_per_framework_metrics");
    table.gauge(
        "framework_subscribed",
        "1 while the framework is connected, 0 otherwise.",
        [of_framework(framework!("subscribed"))],
    );
    table.counter(
        "framework_calls",
        "Calls of the framework, by kind.",
        [of_framework(framework!(
            "calls/<call:accept|accept_inverse_offers|acknowledge|acknowledge_operation_status|decline|decline_inverse_offers|kill|message|reconcile|reconcile_operations|request|revive|shutdown|subscribe|suppress|teardown|update_framework>"
        ))],
    );
    table.counter(
        "framework_events",
        "Events that the framework was sent, by kind.",
        [of_framework(framework!(
            "events/<event:error|failure|heartbeat|inverse_offers|message|offers|rescind|rescind_inverse_offer|subscribed|update|update_operation_status>"
        ))],
    );
    table.counter(
        "framework_offers",
        "Offers of the framework, by what became of them.",
        [of_framework(framework!("offers/<outcome:accepted|declined|rescinded|sent>"))],
    );
    table.counter(
        "framework_operations",
        "What the framework did with offers, by kind; launched tasks count one by one.",
        [of_framework(framework!(
            "operations/<operation:create|create_disk|destroy|destroy_disk|grow_volume|launch|launch_group|reserve|shrink_volume|unreserve>"
        ))],
    );
    let totals = [framework!("calls"), framework!("events"), framework!("operations")];
    table.sum("the sum of all kinds", totals.map(of_framework));
    table.gauge(
        "framework_role_suppressed",
        "1 while the framework wants no offers for the role, 0 otherwise.",
        [of_framework(framework!("roles/<role...>/suppressed"))],
    );
    table.gauge(
        "framework_tasks",
        "Tasks of the framework that did not end, by state.",
        [of_framework(framework!(
            "tasks/active/task_<state:killing|running|staging|starting|unknown|unreachable>"
        ))],
    );
    table.counter(
        "framework_tasks_ended",
        "Tasks of the framework that ended, by their last state.",
        [of_framework(framework!(
            "tasks/terminal/task_<state:dropped|error|failed|finished|gone|gone_by_operator|killed|lost>"
        ))],
    );
    let of_principal = |pattern| always(pattern).when("with the first framework that has a principal");
    table.counter(
        "principal_messages_received",
        "Messages of v0 drivers whose frameworks have the principal.",
        [of_principal("frameworks/<principal...>/messages_received")],
    );
    table.counter(
        "principal_messages_processed",
        "Those of them that the master took in hand.",
        [of_principal("frameworks/<principal...>/messages_processed")],
    );
}

pub(super) fn of_allocator(table: &mut Table) {
    table.gauge(
        "allocator_event_queue_length",
        "Events that wait for the allocator.",
        [always("allocator/mesos/event_queue_dispatches")],
    );
    table.sum(
        "the same as allocator/mesos/event_queue_dispatches",
        [always("allocator/event_queue_dispatches")],
    );
    table.counter(
        "allocator_allocation_runs",
        "Times that resources were allocated.",
        [always("allocator/mesos/allocation_runs")],
    );
    let (first, second) =
        (Presence::Sometimes("with the first allocation"), Presence::Sometimes("with the second allocation"));
    timer!(
        table,
        "allocator_allocation_run",
        "How long an allocation takes",
        "allocator/mesos/allocation_run_ms",
        first,
        second
    );
    timer!(
        table,
        "allocator_allocation_run_latency",
        "How long an allocation waits before it begins",
        "allocator/mesos/allocation_run_latency_ms",
        first,
        second
    );
    for (name, unit, patterns) in [
        (
            "cpus",
            "",
            ["allocator/mesos/resources/cpus/total", "allocator/mesos/resources/cpus/offered_or_allocated"],
        ),
        (
            "mem",
            "_bytes",
            ["allocator/mesos/resources/mem/total", "allocator/mesos/resources/mem/offered_or_allocated"],
        ),
        (
            "disk",
            "_bytes",
            ["allocator/mesos/resources/disk/total", "allocator/mesos/resources/disk/offered_or_allocated"],
        ),
    ] {
        let scale = if unit.is_empty() { 1.0 } else { MEGABYTE };
        let [total, taken] = patterns.map(always);
        let help = format!("Resource {name}: what the allocator has to give.");
        table.family(Kind::Gauge, &format!("allocator_{name}{unit}"), &help, scale, [total]);
        let help = format!("Resource {name}: what is offered or allocated.");
        table.family(
            Kind::Gauge,
            &format!("allocator_{name}_offered_or_allocated{unit}"),
            &help,
            scale,
            [taken],
        );
    }
    table.gauge(
        "allocator_active_offer_filters",
        "Filters on offers that frameworks of the role have.",
        [always("allocator/mesos/offer_filters/roles/<role...>/active")
            .when("with the first framework of a role")],
    );
    table.gauge(
        "allocator_dominant_share",
        "The role's dominant share of the cluster, from 0 to 1.",
        [always("allocator/mesos/roles/<role...>/shares/dominant")
            .when("with the first framework of a role")],
    );
    let quota = "with the first quota";
    for (name, what, pattern, when) in [
        (
            "guarantee",
            "is guaranteed to the role",
            "allocator/mesos/quota/roles/<role...>/resources/<resource>/guarantee",
            quota,
        ),
        (
            "limit",
            "the role may have",
            "allocator/mesos/quota/roles/<role...>/resources/<resource>/limit",
            "with the first quota that has limits",
        ),
        (
            "offered_or_allocated",
            "the role's own frameworks are offered or use",
            "allocator/mesos/quota/roles/<role...>/resources/<resource>/offered_or_allocated",
            quota,
        ),
        (
            "consumed",
            "counts for the quota of the role and of those below it",
            "allocator/mesos/quota/roles/<role...>/resources/<resource>/consumed",
            "with the first use or reservation",
        ),
    ] {
        let help =
            format!("How much of the resource {what}; mem and disk in megabytes, as Mesos counts them.");
        table.gauge(&format!("allocator_quota_{name}"), &help, [always(pattern).when(when)]);
    }
    let when = "with --role_priorities";
    table.counter(
        "allocator_preemptions",
        "Decisions to preempt.",
        [always("allocator/mesos/preemptions").when(when)],
    );
    table.counter(
        "allocator_preempted_offers",
        "Offers that were to be taken back for a role of higher priority.",
        [always("allocator/mesos/preempted_offers").when(when)],
    );
    table.counter(
        "allocator_preempted_tasks",
        "Tasks that were to be killed for a role of higher priority.",
        [always("allocator/mesos/preempted_tasks").when(when)],
    );
    table.gauge(
        "allocator_preemption_waiting_roles",
        "Roles that lack some of what they are guaranteed.",
        [always("allocator/mesos/preemption_waiting_roles").when(when)],
    );
}

pub(super) fn of_registrar(table: &mut Table) {
    table.gauge(
        "registrar_queued_operations",
        "Changes that wait for the registry.",
        [always("registrar/queued_operations")],
    );
    table.gauge(
        "registrar_registry_size_bytes",
        "How large the registry is.",
        [always("registrar/registry_size_bytes").when("once the registry is read")],
    );
    let replicated = "with the registry in the replicated log";
    table.gauge(
        "registrar_log_ensemble_size",
        "Replicas of the log that this one knows of, itself included.",
        [always("registrar/log/ensemble_size").when(replicated)],
    );
    table.gauge(
        "registrar_log_recovered",
        "1 once this replica of the log is ready, 0 before.",
        [always("registrar/log/recovered").when(replicated)],
    );
    table.family(
        Kind::Gauge,
        "registrar_state_fetch_seconds",
        "How long it took to read the registry.",
        MILLISECOND,
        [always("registrar/state_fetch_ms").when("once the registry is read")],
    );
    let (first, second) = (
        Presence::Sometimes("with the first change of the registry"),
        Presence::Sometimes("with the second change of the registry"),
    );
    timer!(
        table,
        "registrar_state_store",
        "How long it takes to store the registry",
        "registrar/state_store_ms",
        first,
        second
    );
}
