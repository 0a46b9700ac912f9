//! The agent's flags of isolation, images, Docker and container networks.

use std::time::Duration;

use crate::checks;
use crate::macros::flag_set;
use crate::value::{Json, Location, Size};

flag_set! {
    /// How the agent makes containers.
    pub struct ContainerFlags {
        "Containers" {
            containerizers: String = "mesos", check containerizers
                => "Containerizers with commas in between, tried in this order.";
            isolation: String = "posix/cpu,posix/mem"
                => "Isolators with commas in between, such as cgroups/cpu,cgroups/mem. The older names process and cgroups mean posix/cpu,posix/mem and cgroups/cpu,cgroups/mem.";
            launcher: Option<String>, check checks::launcher
                => "Launcher of containers: linux, which isolation by cgroups and namespaces needs, or posix. Without it: linux where the agent is root and the control groups freezer, or those of version 2, can be used; else posix.";
            default_container_info: Option<Json>
                => "ContainerInfo for executors that have none, as JSON; images are not supported yet.";
            sandbox_directory: String = "/mnt/mesos/sandbox", no_effect "container images are not built"
                => "Where a container with its own image sees its sandbox.";
            volume_gid_range: Option<String>
                => "Group ids, such as [10000-20000], for volumes that several users share.";
            host_path_volume_force_creation: Option<String>
                => "Directories with : in between under which volume/host_path makes directories that do not exist.";
            container_disk_watch_interval: Duration = "15secs"
                => "Time between two looks at the disk usage of containers (disk/du, disk/xfs).";
            enforce_container_disk_quota: bool = "false"
                => "Whether a container that uses too much disk is killed (disk/du, disk/xfs).";
            disallow_sharing_agent_ipc_namespace: bool = "false"
                => "Whether no container may share the agent's IPC namespace and /dev/shm (namespaces/ipc).";
            default_container_shm_size: Option<Size>
                => "Size of /dev/shm of containers with their own that do not say (namespaces/ipc).";
            disallow_sharing_agent_pid_namespace: bool = "false"
                => "Whether no container may share the agent's process namespace (namespaces/pid).";
            effective_capabilities: Option<Json>, alias "allowed_capabilities"
                => "Capabilities that tasks get unless they say otherwise, as JSON: {\"capabilities\": [\"NET_RAW\"]} (linux/capabilities). Without it, all.";
            bounding_capabilities: Option<Json>
                => "Capabilities that tasks may get at most, as JSON (linux/capabilities). Without it, all.";
            seccomp_config_dir: Option<Location>
                => "Directory of seccomp profiles (linux/seccomp).";
            seccomp_profile_name: Option<String>
                => "Seccomp profile of containers that do not say, a path under --seccomp_config_dir (linux/seccomp).";
            nvidia_gpu_devices: Option<String>
                => "Numbers of the Nvidia GPUs that may be used, with commas in between (gpu/nvidia).";
            xfs_project_range: String = "[5000-10000]", only_with "xfs-disk-isolator"
                => "XFS project ids for containers (disk/xfs).";
            xfs_kill_containers: bool = "false", only_with "xfs-disk-isolator"
                => "Whether a container over its XFS quota is killed (disk/xfs).";
            xfs_quota_headroom: Size = "10MB", only_with "xfs-disk-isolator"
                => "By how much the hard XFS quota is more than the soft one (disk/xfs).";
        }

        "Control groups" {
            cgroups_hierarchy: Location = "/sys/fs/cgroup"
                => "Where the hierarchies of control groups are mounted.";
            cgroups_root: String = "mesos"
                => "Name of the control group that all containers' groups are in.";
            cgroups_enable_cfs: bool = "false"
                => "Whether CPU is limited hard, by CFS bandwidth.";
            cgroups_limit_swap: bool = "false"
                => "Whether memory and swap are limited together, rather than memory alone.";
            cgroups_cpu_enable_pids_and_tids_count: bool = "false"
                => "Whether a container's processes and threads are counted.";
            cgroups_destroy_timeout: Duration = "1mins"
                => "How long the removal of a control group may take.";
            cgroups_net_cls_primary_handle: Option<String>, check checks::net_cls_handle
                => "Primary net_cls handle, 0xAAAA (cgroups/net_cls).";
            cgroups_net_cls_secondary_handles: Option<String>
                => "Range of secondary net_cls handles, 0xAAAA,0xBBBB (cgroups/net_cls).";
            allowed_devices: Option<Json>
                => "Devices that containers may use beside the usual ones, as JSON (cgroups/devices).";
            agent_subsystems: Option<String>, alias "slave_subsystems"
                => "Controllers in whose hierarchies the agent has a control group of its own, such as memory,cpuacct.";
            revocable_cpu_low_priority: bool = "true"
                => "Whether containers with revocable CPU have a lower share of it (cgroups/cpu).";
            perf_events: Option<String>
                => "Events of perf to sample, with commas in between (cgroups/perf_event).";
            perf_interval: Duration = "60secs"
                => "Time between the beginnings of two samples (cgroups/perf_event).";
            perf_duration: Duration = "10secs"
                => "Length of a sample, less than --perf_interval (cgroups/perf_event).";
        }

        "Images" {
            image_providers: Option<String>, not_yet "container images are not built"
                => "Kinds of images, APPC and DOCKER, with a comma in between.";
            image_provisioner_backend: Option<String>, not_yet "container images are not built"
                => "How root file systems are made of images: aufs, bind, copy or overlay.";
            image_gc_config: Option<Json>, not_yet "container images are not built"
                => "When images are removed by themselves, as JSON: {\"image_disk_headroom\": 0.1, \"image_disk_watch_interval\": {\"nanoseconds\": 3600000000000}, \"excluded_images\": []}.";
            appc_simple_discovery_uri_prefix: String = "http://", not_yet "container images are not built"
                => "What URIs of appc images begin with.";
            appc_store_dir: Location = "{tmp}/mesos/store/appc", not_yet "container images are not built"
                => "Directory of appc images.";
            docker_registry: String = "https://registry-1.docker.io", not_yet "container images are not built"
                => "Where Docker images come from: a registry, or a directory of archives.";
            docker_store_dir: Location = "{tmp}/mesos/store/docker", not_yet "container images are not built"
                => "Directory of Docker images.";
            docker_config: Option<Json>, not_yet "container images are not built"
                => "Docker's configuration with credentials of registries, as JSON or a file's path.";
            docker_ignore_runtime: bool = "false", not_yet "container images are not built"
                => "Whether WORKDIR, ENV, CMD and the like of Docker images are ignored.";
        }

        "Docker containerizer" {
            docker: Location = "docker", no_effect "the docker containerizer is not built"
                => "Path of the docker program.";
            docker_socket: Location = "/var/run/docker.sock", no_effect "the docker containerizer is not built"
                => "Socket of the Docker daemon.";
            docker_remove_delay: Duration = "6hrs", no_effect "the docker containerizer is not built"
                => "How long a container of Docker that is done is kept.";
            docker_kill_orphans: bool = "true", no_effect "the docker containerizer is not built"
                => "Whether containers of Docker that no executor belongs to are killed.";
            docker_mesos_image: Option<String>, no_effect "the docker containerizer is not built"
                => "Image that this agent itself runs from, if it runs in Docker.";
            docker_stop_timeout: Duration = "0ns", no_effect "it is deprecated in favour of the kill policy of tasks"
                => "Deprecated: use the kill policy of tasks.";
            docker_volume_checkpoint_dir: Location = "/var/run/mesos/isolators/docker/volume", not_yet "the isolator docker/volume is not built"
                => "Directory where docker/volume notes which container has which volume.";
            docker_volume_chown: bool = "false", not_yet "the isolator docker/volume is not built"
                => "Whether the root of a volume of docker/volume is given to the container's user.";
        }
    }
}

flag_set! {
    /// How the agent gives networks to containers.
    pub struct NetworkFlags {
        "Container networks" {
            network_cni_plugins_dir: Option<Location>, not_yet "the isolator network/cni is not built"
                => "Directories of CNI plugins, with : in between (network/cni).";
            network_cni_config_dir: Option<Location>, not_yet "the isolator network/cni is not built"
                => "Directory of CNI networks, a file with JSON each (network/cni).";
            network_cni_root_dir_persist: bool = "false", not_yet "the isolator network/cni is not built"
                => "Whether the state of network/cni outlives a reboot.";
            network_cni_metrics: bool = "true", no_effect "the isolator network/cni is not built"
                => "Whether network/cni has metrics.";
            default_container_dns: Option<Json>, not_yet "DNS for containers is not built"
                => "DNS of containers in CNI and Docker networks, as JSON.";
            enforce_container_ports: bool = "false", not_yet "the isolator network/ports is not built", only_with "network-ports-isolator"
                => "Whether a container that listens on a port it was not given is killed (network/ports).";
            check_agent_port_range_only: bool = "false", not_yet "the isolator network/ports is not built", only_with "network-ports-isolator"
                => "Whether ports outside the agent's resources are free for all (network/ports).";
            container_ports_watch_interval: Duration = "30secs", no_effect "the isolator network/ports is not built", only_with "network-ports-isolator"
                => "Time between two looks at the ports that containers listen on (network/ports).";
            container_ports_isolated_range: Option<String>, not_yet "the isolator network/ports is not built", only_with "network-ports-isolator"
                => "The only ports to look at, such as [0-35000] (network/ports).";
        }
    }
}

flag_set! {
    /// The flags of the isolator network/port_mapping.
    pub struct PortMappingFlags {
        "Isolator network/port_mapping" {
            ephemeral_ports_per_container: u16 = "1024", not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Ephemeral ports of each container, a power of 2.";
            eth0_name: Option<String>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Name of the public network interface.";
            lo_name: Option<String>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Name of the loopback interface.";
            egress_rate_limit_per_container: Option<Size>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Most bytes a second out of a container.";
            egress_rate_per_cpu: Option<String>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Most bytes a second out of a container for each whole CPU it has, or auto.";
            minimum_egress_rate_limit: Option<Size>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Least that --egress_rate_per_cpu comes to.";
            maximum_egress_rate_limit: Option<Size>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Most that --egress_rate_per_cpu comes to.";
            egress_ceil_limit: Option<Size>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Rate of a burst out of a container.";
            egress_burst: Option<Size>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Bytes of a burst out of a container.";
            egress_unique_flow_per_container: bool = "false", not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Whether each container has its own flow out.";
            egress_flow_classifier_parent: String = "root", not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Where the classifier of flows is put.";
            ingress_rate_limit_per_container: Option<Size>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Most bytes a second into a container.";
            ingress_rate_per_cpu: Option<String>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Most bytes a second into a container for each whole CPU it has, or auto.";
            minimum_ingress_rate_limit: Option<Size>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Least that --ingress_rate_per_cpu comes to.";
            maximum_ingress_rate_limit: Option<Size>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Most that --ingress_rate_per_cpu comes to.";
            ingress_ceil_limit: Option<Size>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Rate of a burst into a container.";
            ingress_burst: Option<Size>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Bytes of a burst into a container.";
            ingress_isolate_existing_containers: bool = "true", not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Whether the limits hold for containers that already run.";
            network_link_speed: Option<Size>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Bytes a second of the machine's link, for a rate of auto.";
            network_enable_socket_statistics_summary: bool = "false", not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Whether a summary of sockets is kept for each container.";
            network_enable_socket_statistics_details: bool = "false", not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Whether details of sockets are kept for each container.";
            network_enable_snmp_statistics: bool = "false", not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Whether SNMP statistics are kept for each container.";
            network_enable_rate_statistics: bool = "false", not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Whether rates are kept for each container.";
            network_rate_statistics_window: Option<Duration>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Window of those rates.";
            network_rate_statistics_interval: Option<Duration>, not_yet "the isolator network/port_mapping is not built", only_with "port-mapping-isolator"
                => "Time between two samples of those rates.";
        }
    }
}

/// The names in a value of `--isolation`, older ones put in today's words (U106).
pub fn isolators(text: &str) -> Vec<&str> {
    let mut isolators = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let names = match name {
            "process" => vec!["posix/cpu", "posix/mem"],
            "cgroups" => vec!["cgroups/cpu", "cgroups/mem"],
            "posix/disk" => vec!["disk/du"],
            name => vec![name],
        };
        for name in names {
            if !isolators.contains(&name) {
                isolators.push(name);
            }
        }
    }
    isolators
}

fn containerizers(text: &str) -> Result<(), String> {
    for name in text.split(',') {
        match name {
            "mesos" => {}
            "docker" => {
                return Err(
                    "the docker containerizer is not supported yet: give --containerizers=mesos".to_string()
                );
            }
            other => return Err(format!("'{other}' is no containerizer: give --containerizers=mesos")),
        }
    }
    Ok(())
}
