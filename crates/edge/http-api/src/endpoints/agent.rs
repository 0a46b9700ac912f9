//! Endpoints of an agent, under the id that the first agent of a port has.

use super::{DONE, Endpoint, GET, LIVE, POST, READ, WRONG};

const JSONP: (&str, &str) = ("jsonp", "a JavaScript function that is called with the answer");
const STATISTICS: &str = "An object for each executor: framework_id, executor_id, executor_name, source, and statistics: what \
                          its container was given and has used (cpus_limit, cpus_user_time_secs, mem_limit_bytes, \
                          mem_rss_bytes, and so on, as the isolators tell).";
const CALL_CODES: &[(u16, &str)] = &[
    (200, "done; reads have their answer in the body"),
    (202, "an executor's call was taken"),
    (400, "the call is wrong, or Content-Type is missing; the answer says what"),
    (404, "there is no such container, framework or executor"),
    (406, "Accept allows neither JSON nor protobuf"),
    (415, "Content-Type is neither JSON nor protobuf (nor RecordIO, for a stream)"),
    (500, "a container cannot be attached to, as it has no switchboard"),
    (501, "a call that is not supported yet"),
    (503, "the agent has not finished recovery"),
];

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/slave(1)/api/v1", POST, "The v1 operator API of the agent.")
        .about("Calls are told in Apache Mesos's docs/operator-http-api.md; COMPATIBILITY.md lists those that are here.")
        .body("A mesos.v1.agent.Call as JSON or protobuf; of ATTACH_CONTAINER_INPUT a RecordIO stream of them.")
        .answer("A mesos.v1.agent.Response in what Accept asks for; of sessions and attached outputs a stream.")
        .codes(CALL_CODES)
        .authenticated(),
    Endpoint::new("/slave(1)/api/v1/executor", POST, "The v1 executor API.")
        .about("SUBSCRIBE opens a stream of events, which stays open; other calls are answered by 202.")
        .body("A mesos.v1.executor.Call as JSON or protobuf.")
        .answer("Of SUBSCRIBE: a RecordIO stream of mesos.v1.executor.Event.")
        .codes(&[
            (200, "SUBSCRIBE: the stream"),
            (202, "the call was taken"),
            (400, "the call is wrong, or of an executor that is not known"),
            (403, "the executor is another one than the call says"),
            (406, "Accept allows neither JSON nor protobuf"),
            (415, "Content-Type is neither JSON nor protobuf"),
            (503, "the agent has not finished recovery"),
        ])
        .authenticated(),
    Endpoint::new("/slave(1)/api/v1/resource_provider", POST, "The v1 resource provider API.")
        .later()
        .body("A mesos.v1.resource_provider.Call as JSON or protobuf.")
        .codes(&[WRONG, (415, "Content-Type is neither JSON nor protobuf")])
        .authenticated(),
    Endpoint::new("/slave(1)/containerizer/debug", GET, "What is being done to containers at this moment.")
        .about("It helps to find out what a container that does not start waits for. Its form may change.")
        .query(&[JSONP])
        .answer("An object: pending, a list of objects: operation, and args with the containerId.")
        .codes(&[DONE])
        .authenticated(),
    Endpoint::new("/slave(1)/containers", &[], "Containers with their status and statistics.")
        .query(&[
            ("show_nested", "true: nested containers, too"),
            ("show_standalone", "true: containers that operators launched, too"),
            JSONP,
        ])
        .answer("As /monitor/statistics, with container_id and status (network_infos, cgroup_info, executor_pid).")
        .codes(&[DONE])
        .authorized("viewing each container"),
    Endpoint::new("/slave(1)/flags", &[], "The flags that the agent runs with.")
        .query(&[JSONP])
        .answer("An object: flags, an object with a text for each flag.")
        .codes(&[DONE])
        .authorized("viewing flags"),
    Endpoint::new("/slave(1)/health", &[], "Answers while the agent serves.").codes(&[(200, "it does")]),
    Endpoint::new("/slave(1)/health/live", READ, LIVE)
        .codes(&[(200, "it does"), (503, "it hangs")])
        .own(),
    Endpoint::new("/slave(1)/health/ready", READ, "Whether the agent has recovered and is registered.")
        .answer("An object: ready, why it is not, and what is known of the master.")
        .codes(&[(200, "it is"), (503, "it is not; the answer says why")])
        .own(),
    Endpoint::new("/slave(1)/monitor/statistics", &[], "What the containers of executors were given and use.")
        .query(&[JSONP])
        .answer(STATISTICS)
        .codes(&[DONE])
        .authorized("viewing each container"),
    Endpoint::new("/slave(1)/state", &[], "All that the agent knows: itself, its frameworks, executors and tasks.")
        .query(&[JSONP])
        .answer(
            "An object: id, pid, hostname, resources (total, reserved, unreserved), attributes, flags, master_hostname, \
             frameworks and completed_frameworks with their executors and tasks, and more.",
        )
        .codes(&[DONE, (503, "the agent has not finished recovery")])
        .authorized("viewing each framework, executor and task; the others are left out"),
];
