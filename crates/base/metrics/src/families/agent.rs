//! What agents measure, and what both do of their host.

use super::{MEGABYTE, Table, always};
use crate::catalogue::Presence;

const IMAGES: &str = "container images are not built";
const DOCKER: &str = "the Docker containerizer is not built";
const PROVIDERS: &str = "resource providers are not built";

pub(super) fn of_agent(table: &mut Table) {
    table.gauge(
        "agent_registered",
        "1 while a master has the agent registered, 0 otherwise.",
        [always("slave/registered")],
    );
    table.gauge("agent_uptime_seconds", "For how long the agent runs.", [always("slave/uptime_secs")]);
    table.gauge(
        "agent_recovery_errors",
        "What could not be read of what an agent of before left.",
        [always("slave/recovery_errors")],
    );
    table.gauge(
        "agent_recovery_seconds",
        "How long it took to take up what an agent of before left, if anything.",
        [always("slave/recovery_time_secs").when("once the agent has recovered")],
    );
    table.gauge(
        "agent_executors",
        "Executors by state.",
        [always("slave/executors_<state:registering|running|terminating>")],
    );
    table.counter(
        "agent_executors_terminated",
        "Executors that ended.",
        [always("slave/executors_terminated")],
    );
    table.counter(
        "agent_executors_preempted",
        "Executors that were killed since the agent was too busy.",
        [always("slave/executors_preempted")],
    );
    table.counter(
        "agent_container_launch_errors",
        "Containers that did not start.",
        [always("slave/container_launch_errors")],
    );
    table.gauge(
        "agent_frameworks_active",
        "Frameworks that have executors here.",
        [always("slave/frameworks_active")],
    );
    table.gauge(
        "agent_tasks",
        "Tasks that did not end, by state.",
        [always("slave/tasks_<state:killing|running|staging|starting>")],
    );
    table.counter(
        "agent_tasks_ended",
        "Tasks that ended, by their last state.",
        [always("slave/tasks_<state:failed|finished|gone|killed|lost>")],
    );
    table.counter(
        "agent_valid_messages",
        "Messages that were passed on, by kind.",
        [always("slave/valid_<message:framework_messages|status_updates>")],
    );
    table.counter(
        "agent_invalid_messages",
        "Messages that were dropped as invalid, by kind.",
        [always("slave/invalid_<message:framework_messages|status_updates>")],
    );
    resource!(table, "agent", "slave", "cpus", "", 1.0);
    resource!(table, "agent", "slave", "gpus", "", 1.0);
    resource!(table, "agent", "slave", "mem", "_bytes", MEGABYTE);
    resource!(table, "agent", "slave", "disk", "_bytes", MEGABYTE);
    table.gauge(
        "agent_executor_directory_max_allowed_age_seconds",
        "For how long sandboxes are kept as the disk stands now.",
        [always("slave/executor_directory_max_allowed_age_secs")],
    );
    table.gauge(
        "agent_path_removals_pending",
        "Sandboxes that are to be removed.",
        [always("gc/path_removals_pending")],
    );
    table.counter(
        "agent_path_removals",
        "Sandboxes that were removed, or could not be.",
        [always("gc/path_removals_<outcome:failed|succeeded>")],
    );
    table.counter(
        "agent_resource_provider_events",
        "Resource providers that came and went.",
        [always("resource_provider_manager/events/<event:disconnect|subscribe>").absent(PROVIDERS)],
    );
    table.gauge(
        "agent_resource_providers_subscribed",
        "Resource providers that are there.",
        [always("resource_provider_manager/subscribed").absent(PROVIDERS)],
    );
    let plugin = "resource_providers/<provider>/csi_plugin/<event:container_terminations|rpcs_cancelled|rpcs_failed|rpcs_finished>";
    table.counter(
        "agent_csi_plugin_events",
        "Ends of plugins and of calls to them.",
        [always(plugin).absent(PROVIDERS)],
    );
    table.gauge(
        "agent_csi_plugin_rpcs_pending",
        "Calls that plugins did not answer yet.",
        [always("resource_providers/<provider>/csi_plugin/rpcs_pending").absent(PROVIDERS)],
    );
    table.counter(
        "agent_resource_provider_operations_ended",
        "Operations of resource providers that ended, by last state.",
        [always("resource_providers/<provider>/operations/<operation>/<state:dropped|failed|finished>")
            .absent(PROVIDERS)],
    );
    table.gauge(
        "agent_resource_provider_operations_pending",
        "Operations of resource providers that did not end.",
        [always("resource_providers/<provider>/operations/<operation>/pending").absent(PROVIDERS)],
    );
    table.gauge(
        "agent_volume_gids",
        "Groups for volumes, those that are free and all.",
        [always("volume_gid_manager/volume_gids_<which:free|total>").when("with --volume_gid_range")],
    );
}

pub(super) fn of_containers(table: &mut Table) {
    table.counter(
        "containerizer_container_destroy_errors",
        "Containers that could not be cleaned up.",
        [always("containerizer/mesos/container_destroy_errors")],
    );
    table.gauge(
        "containerizer_disk_project_ids",
        "Project ids of XFS, those that are free and all.",
        [always("containerizer/mesos/disk/project_ids_<which:free|total>")
            .when("with the isolator disk/xfs")],
    );
    table.gauge(
        "fetcher_cache_size_bytes",
        "How large the cache of artifacts may become.",
        [always("containerizer/fetcher/cache_size_total_bytes")],
    );
    table.gauge(
        "fetcher_cache_used_bytes",
        "How much of the cache of artifacts is used.",
        [always("containerizer/fetcher/cache_size_used_bytes")],
    );
    table.counter(
        "fetcher_task_fetches",
        "Tasks whose artifacts were fetched, or could not be.",
        [always("containerizer/fetcher/task_fetches_<outcome:failed|succeeded>")],
    );
    table.counter(
        "containerizer_rootfs_removal_errors",
        "Root filesystems of images that could not be removed.",
        [always("containerizer/mesos/provisioner/bind/remove_rootfs_errors").absent(IMAGES)],
    );
    table.counter(
        "containerizer_provisioned_removal_errors",
        "Provisioned containers that could not be removed.",
        [always("containerizer/mesos/provisioner/remove_container_errors").absent(IMAGES)],
    );
    let (images, docker) = (Presence::Absent(IMAGES), Presence::Absent(DOCKER));
    timer!(
        table,
        "containerizer_image_pull",
        "How long it takes to pull an image",
        "containerizer/mesos/provisioner/docker_store/image_pull_ms",
        images,
        images
    );
    timer!(
        table,
        "docker_image_pull",
        "How long Docker takes to pull an image",
        "containerizer/docker/image_pull_ms",
        docker,
        docker
    );
}

pub(super) fn of_hosts(table: &mut Table) {
    table.gauge("system_cpus", "Processors of the host.", [always("system/cpus_total")]);
    table.gauge("system_load", "The load of the host.", [always("system/load_<period:15min|1min|5min>")]);
    table.gauge("system_mem_bytes", "Memory of the host.", [always("system/mem_total_bytes")]);
    table.gauge(
        "system_mem_free_bytes",
        "Memory of the host that nothing uses.",
        [always("system/mem_free_bytes")],
    );
}
