//! Every endpoint, once: its path, its methods, what it is for, whether it is built. Help pages come from here, and a
//! test compares it with what a running 1.11.0 listed.

/// `methods` empty: any.
pub struct Endpoint {
    pub path: &'static str,
    pub methods: &'static [&'static str],
    pub summary: &'static str,
    pub built: bool,
}

const fn built(path: &'static str, methods: &'static [&'static str], summary: &'static str) -> Endpoint {
    Endpoint { path, methods, summary, built: true }
}

const fn later(path: &'static str, methods: &'static [&'static str], summary: &'static str) -> Endpoint {
    Endpoint { path, methods, summary, built: false }
}

const LIVE: &str = "200 while the program does its work; 503 when it hangs, though it can be reached.";
const NO_MEMORY_PROFILER: &str = "404: there is no memory profiler in this program.";

const GET: &[&str] = &["GET"];
const READ: &[&str] = &["GET", "HEAD"];
const POST: &[&str] = &["POST"];

pub const ENDPOINTS: &[Endpoint] = &[
    built("/version", &[], "Version and build of the program."),
    built("/metrics/snapshot", &[], "Current metrics; timeout=5secs bounds the time it takes."),
    built(
        "/metrics",
        READ,
        "Current metrics for Prometheus: the text format 0.0.4, or OpenMetrics 1.0 where Accept asks for it.",
    ),
    built("/files/browse", &[], "Lists the folder path=VALUE of a sandbox."),
    built(
        "/files/read",
        &[],
        "Reads path=VALUE from offset=VALUE, at most length=VALUE bytes; offset=-1 tells the size.",
    ),
    built("/files/download", &[], "The file path=VALUE, whole."),
    built("/files/debug", &[], "Which virtual paths stand for which real ones."),
    built(
        "/logging/toggle",
        &[],
        "Shows the verbosity of the log, or sets it to level=VALUE for duration=VALUE.",
    ),
    built("/system/stats.json", &[], "Load, memory and processors of the machine."),
    built("/profiler/start", &[], "400: there is no profiler in this program; perf can sample it."),
    built("/profiler/stop", &[], "400: there is no profiler in this program; perf can sample it."),
    built("/memory-profiler/start", &[], NO_MEMORY_PROFILER),
    built("/memory-profiler/stop", &[], NO_MEMORY_PROFILER),
    built("/memory-profiler/state", &[], NO_MEMORY_PROFILER),
    built("/memory-profiler/statistics", &[], NO_MEMORY_PROFILER),
    built("/memory-profiler/download/raw", &[], NO_MEMORY_PROFILER),
    built("/memory-profiler/download/text", &[], NO_MEMORY_PROFILER),
    built("/memory-profiler/download/graph", &[], NO_MEMORY_PROFILER),
    built(
        "/allocator/offer_constraints_debug",
        GET,
        "Which agents the offer constraints of a framework leave out.",
    ),
    built("/registrar(1)/registry", GET, "The registry as it is stored."),
    built(
        "/master/agents",
        GET,
        "Reads of an agent, passed on: /master/agents/AGENT/state, containers, monitor/statistics, flags, files/browse, \
         files/read, files/download, metrics/snapshot, version.",
    ),
    built(
        "/master/task/logs",
        GET,
        "What a task wrote, read from its agent: framework_id=VALUE, task_id=VALUE, file=stdout, offset=0, length=65536.",
    ),
    built(
        "/master/agent/log",
        GET,
        "The log of an agent, read from it: agent_id=VALUE, offset=0, length=65536; agents write one with --log_dir.",
    ),
    built("/master/api/v1", POST, "The v1 operator API: calls as JSON or protobuf."),
    built("/master/api/v1/scheduler", POST, "The v1 scheduler API: SUBSCRIBE opens a stream of events."),
    built("/master/create-volumes", POST, "Creates persistent volumes on reserved resources."),
    built("/master/destroy-volumes", POST, "Destroys persistent volumes."),
    built("/master/flags", GET, "The flags that the master runs with."),
    built("/master/frameworks", &[], "Frameworks with their tasks; framework_id=VALUE for one."),
    built("/master/health", &[], "200 while the master serves."),
    built("/master/health/live", READ, LIVE),
    built(
        "/master/health/ready",
        READ,
        "200 while the master leads and has its registry, or knows who leads; 503 otherwise; JSON that says why.",
    ),
    built("/master/machine/down", POST, "Takes machines under maintenance down."),
    built("/master/machine/up", POST, "Brings machines back up."),
    built(
        "/master/maintenance/schedule",
        &["GET", "POST"],
        "The maintenance schedule, to read or to replace.",
    ),
    built("/master/maintenance/status", GET, "Which machines are draining or down."),
    built("/master/quota", &["GET", "POST", "DELETE"], "Quotas of roles: to read, to set, to remove."),
    built("/master/redirect", &[], "Redirects to the leading master."),
    built("/master/reserve", POST, "Reserves resources of an agent for a role."),
    built("/master/roles", &[], "Roles with their weights and resources."),
    built("/master/slaves", &[], "Agents with their resources; slave_id=VALUE for one."),
    built("/master/state", &[], "The whole state of the cluster."),
    built("/master/state-summary", &[], "Agents and frameworks with counts of their tasks."),
    built("/master/tasks", &[], "Tasks, latest first: limit, offset, order=asc, framework_id, task_id."),
    built("/master/teardown", POST, "Ends the framework frameworkId=VALUE and its tasks."),
    built("/master/unreserve", POST, "Gives reserved resources back."),
    built(
        "/master/weights",
        &["GET", "PUT"],
        "Weights of roles; PUT takes a list of {\"role\": …, \"weight\": …}.",
    ),
    built("/slave(1)/api/v1", POST, "The v1 operator API of the agent."),
    built("/slave(1)/api/v1/executor", POST, "The v1 executor API."),
    later("/slave(1)/api/v1/resource_provider", POST, "The v1 resource provider API."),
    built("/slave(1)/containerizer/debug", GET, "What is being done to containers at this moment."),
    built("/slave(1)/containers", &[], "Containers with their status and statistics."),
    built("/slave(1)/flags", GET, "The flags that the agent runs with."),
    built("/slave(1)/health", &[], "200 while the agent serves."),
    built("/slave(1)/health/live", READ, LIVE),
    built(
        "/slave(1)/health/ready",
        READ,
        "200 while the agent has recovered and is registered; 503 otherwise; JSON that says why.",
    ),
    built("/slave(1)/monitor/statistics", &[], "Statistics of executors."),
    built("/slave(1)/state", &[], "The whole state of the agent."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_endpoint_is_listed_twice() {
        let mut paths: Vec<_> = ENDPOINTS.iter().map(|e| e.path).collect();
        paths.sort_unstable();
        assert!(paths.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
