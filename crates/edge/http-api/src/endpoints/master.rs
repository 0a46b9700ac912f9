//! Endpoints of a master, of its registrar and its allocator.

use super::{DONE, Endpoint, GET, LIVE, POST, READ, WRONG};

const JSONP: (&str, &str) = ("jsonp", "a JavaScript function that is called with the answer");
const FILTERED: &str = "viewing each framework, executor, task and role; the others are left out";
const TAKEN: (u16, &str) = (202, "it is right as far as the master knows, and on its way to the agent");
const CONFLICT: (u16, &str) = (409, "it does not fit what there is, or no longer");
const AGENT: (u16, &str) = (400, "the request is wrong, or there is no such agent; the answer says what");
const AGENT_WRONG: (u16, &str) = (502, "the agent answers wrongly");
const AGENT_SILENT: (u16, &str) = (504, "the agent did not answer within 10 seconds");
const OFFSET: (&str, &str) = ("offset", "the first byte; 0 if it is left out");
const LENGTH: (&str, &str) = ("length", "at most so many bytes, up to 65536");
const PIECE: &str = "An object: agent_id, path, size, offset, length, data.";

const fn operation(path: &'static str, summary: &'static str) -> Endpoint {
    Endpoint::new(path, POST, summary)
        .about(
            "The agent is asked when the request was answered, and may fail: /slaves shows what came of it. The v1 call \
             of the same meaning does the same.",
        )
        .of_leader()
        .codes(&[TAKEN, AGENT, CONFLICT])
}

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new(
        "/allocator/offer_constraints_debug",
        &[],
        "Which agents the offer constraints of each framework leave out.",
    )
    .query(&[JSONP])
    .answer("An object: frameworks; of each by its id suppressed_roles and excluded_by_attribute_constraints, by role.")
    .codes(&[DONE])
    .authorized("viewing each framework"),
    Endpoint::new("/registrar(1)/registry", &[], "The registry as it is stored.")
        .about("What outlives the master: agents, machines and their maintenance, quota, weights.")
        .query(&[JSONP])
        .answer("A mesos.internal.Registry; an empty object before it is recovered.")
        .codes(&[DONE])
        .authenticated(),
    Endpoint::new("/master/agents", READ, "Reads of an agent, passed on by the master.")
        .about(
            "/master/agents/AGENT/ and one of state, containers, monitor/statistics, flags, files/browse, files/read, \
             files/download, metrics/snapshot, version. The agent gets the query and the credentials of the request. \
             Downloads pass through as they come; other answers have up to 64 MB. 64 downloads and 16 other reads go on at a time, \
             and of one address 16 and 8; more are answered 503.",
        )
        .answer("What the agent answers.")
        .codes(&[
            DONE,
            (404, "no agent of this id is registered, or this is none of the reads"),
            (502, "the agent cannot be reached or read"),
        ])
        .of_leader()
        .own(),
    Endpoint::new("/master/task/logs", GET, "What a task wrote, read from its agent.")
        .query(&[
            ("framework_id", "the framework of the task"),
            ("task_id", "the task"),
            ("file", "a path in its sandbox; stdout if it is left out"),
            OFFSET,
            LENGTH,
        ])
        .answer(PIECE)
        .codes(&[
            DONE,
            (400, "a parameter is missing or wrong"),
            (404, "there is no such framework, task, agent or file; the answer says which"),
            AGENT_WRONG,
            AGENT_SILENT,
        ])
        .of_leader()
        .own(),
    Endpoint::new("/master/agent/log", GET, "The log of an agent, read from it.")
        .about("Agents write one with --log_dir.")
        .query(&[
            ("agent_id", "the agent"),
            OFFSET,
            LENGTH,
        ])
        .answer(PIECE)
        .codes(&[
            DONE,
            (400, "a parameter is missing or wrong"),
            (404, "there is no such agent, or it writes no log"),
            AGENT_WRONG,
            AGENT_SILENT,
        ])
        .of_leader()
        .own(),
    Endpoint::new("/master/api/v1", POST, "The v1 operator API of the master.")
        .about(
            "Calls are told in Apache Mesos's docs/operator-http-api.md; COMPATIBILITY.md lists those that are here. \
             SUBSCRIBE opens a stream of events, which begins with the state of the cluster.",
        )
        .body("A mesos.v1.master.Call as JSON or protobuf.")
        .answer("A mesos.v1.master.Response in what Accept asks for; of SUBSCRIBE a RecordIO stream of Events.")
        .codes(&[
            (200, "done; reads have their answer in the body"),
            (202, "the change is on its way to the agent"),
            (400, "the call is wrong, or Content-Type is missing; the answer says what"),
            (403, "it may not be done"),
            (404, "there is no such agent"),
            (406, "Accept allows neither JSON nor protobuf"),
            CONFLICT,
            (415, "Content-Type is neither JSON nor protobuf"),
            (501, "a call that is not supported yet"),
        ])
        .of_leader()
        .authorized("each call, and viewing what it tells"),
    Endpoint::new("/master/api/v1/scheduler", POST, "The v1 scheduler API.")
        .about(
            "SUBSCRIBE opens a stream of events and names it in Mesos-Stream-Id, which other calls have as a header, too. \
             See Apache Mesos's docs/scheduler-http-api.md.",
        )
        .body("A mesos.v1.scheduler.Call as JSON or protobuf.")
        .answer("Of SUBSCRIBE: a RecordIO stream of mesos.v1.scheduler.Event.")
        .codes(&[
            (200, "SUBSCRIBE: the stream"),
            (202, "the call was taken"),
            (400, "the call is wrong, or Mesos-Stream-Id is; the answer says what"),
            (403, "the framework is not subscribed, or not by this stream"),
            (406, "Accept allows neither JSON nor protobuf"),
            (415, "Content-Type is neither JSON nor protobuf"),
            (501, "a call of a type that is not known"),
        ])
        .of_leader()
        .authorized("registering in each role"),
    operation("/master/create-volumes", "Makes persistent volumes of an agent's reserved disk.")
        .body("A form (application/x-www-form-urlencoded): slaveId, the agent; volumes, a JSON list of mesos.Resource.")
        .authorized("creating volumes in the role of each"),
    operation("/master/destroy-volumes", "Destroys persistent volumes with what is in them.")
        .body("A form (application/x-www-form-urlencoded): slaveId, the agent; volumes, a JSON list of mesos.Resource.")
        .authorized("destroying volumes of those who made them"),
    Endpoint::new("/master/flags", &[], "The flags that the master runs with.")
        .query(&[JSONP])
        .answer("An object: flags, an object with a text for each flag.")
        .codes(&[DONE])
        .authorized("viewing flags"),
    Endpoint::new("/master/frameworks", &[], "Frameworks with their executors and tasks.")
        .query(&[("framework_id", "this framework alone"), JSONP])
        .answer("An object: frameworks, completed_frameworks, unregistered_frameworks.")
        .codes(&[DONE])
        .of_leader()
        .authorized(FILTERED),
    Endpoint::new("/master/health", &[], "Answers while the master serves.").codes(&[(200, "it does")]),
    Endpoint::new("/master/health/live", READ, LIVE)
        .codes(&[(200, "it does"), (503, "it hangs")])
        .own(),
    Endpoint::new(
        "/master/health/ready",
        READ,
        "Whether the master leads and has its registry, or knows who leads.",
    )
    .answer("An object: ready, why it is not, whether it leads, and who does.")
    .codes(&[(200, "it is"), (503, "it is not; the answer says why")])
    .own(),
    Endpoint::new("/master/machine/down", POST, "Takes machines that are draining down.")
        .about("Their agents are shut down, and are not let in until the machine is up again.")
        .body("A JSON list of machines: [{\"hostname\": …, \"ip\": …}].")
        .of_leader()
        .codes(&[(200, "they are down"), WRONG, CONFLICT])
        .authorized("taking each machine down"),
    Endpoint::new("/master/machine/up", POST, "Brings machines that are down up again.")
        .about("They are taken off the maintenance schedule.")
        .body("A JSON list of machines: [{\"hostname\": …, \"ip\": …}].")
        .of_leader()
        .codes(&[(200, "they are up"), WRONG, CONFLICT])
        .authorized("bringing each machine up"),
    Endpoint::new("/master/maintenance/schedule", &["GET", "POST"], "The maintenance schedule: to read, or to replace.")
        .about("Frameworks on machines of the schedule are sent inverse offers; the machines are draining.")
        .query(&[JSONP])
        .body("POST: a mesos.maintenance.Schedule, that is {\"windows\": [{\"machine_ids\": […], \"unavailability\": …}]}.")
        .answer("GET: the schedule, in the same form.")
        .codes(&[DONE, WRONG, CONFLICT])
        .of_leader()
        .authorized("viewing, or changing, the schedule of each machine"),
    Endpoint::new("/master/maintenance/status", GET, "Which machines are draining or down.")
        .query(&[JSONP])
        .answer("An object: draining_machines with what frameworks answered to inverse offers, and down_machines.")
        .codes(&[DONE])
        .of_leader()
        .authorized("viewing the state of each machine"),
    Endpoint::new("/master/quota", &["GET", "POST", "DELETE"], "Quota of roles: to read, to set, to remove.")
        .about("DELETE /master/quota/ROLE removes it. The v1 calls GET_QUOTA and UPDATE_QUOTA know limits, too.")
        .query(&[JSONP])
        .body("POST: a mesos.quota.QuotaRequest, that is {\"role\": …, \"guarantee\": [resources], \"force\": false}.")
        .answer("GET: an object: infos, and configs with guarantees and limits.")
        .codes(&[DONE, WRONG, (403, "it may not be done"), CONFLICT])
        .of_leader()
        .authorized("viewing, or changing, the quota of each role"),
    Endpoint::new("/master/redirect", &[], "Sends to the leading master.").of_leader(),
    operation("/master/reserve", "Reserves resources of an agent for a role.")
        .body(
            "A form (application/x-www-form-urlencoded): slaveId, the agent; resources, a JSON list of mesos.Resource with \
             their reservations; source, how they were reserved before, if they were.",
        )
        .authorized("reserving for each role"),
    Endpoint::new("/master/roles", &[], "Roles with their weights, quota, resources and frameworks.")
        .query(&[JSONP])
        .answer("An object: roles, a list of objects: name, weight, quota, resources, allocated, offered, reserved, frameworks.")
        .codes(&[DONE])
        .of_leader()
        .authorized("viewing each role; the others are left out"),
    Endpoint::new("/master/slaves", &[], "Agents with their resources, reservations and volumes.")
        .query(&[("slave_id", "this agent alone"), JSONP])
        .answer("An object: slaves, and recovered_slaves, which have not come back after a failover.")
        .codes(&[DONE])
        .of_leader()
        .authorized("viewing each role of reservations; the others are left out"),
    Endpoint::new("/master/state", &[], "All that the master knows: itself, agents, frameworks, executors and tasks.")
        .about("Large in large clusters: /state-summary, /tasks and the v1 event stream tell less at a time.")
        .query(&[JSONP])
        .answer(
            "An object: version and build, id, pid, hostname, leader_info, flags, start_time, elected_time, slaves, \
             frameworks, completed_frameworks, and more.",
        )
        .codes(&[DONE])
        .of_leader()
        .authorized(FILTERED),
    Endpoint::new("/master/state-summary", &[], "Agents and frameworks with counts of their tasks.")
        .query(&[JSONP])
        .answer("An object: hostname, cluster, slaves, frameworks; each with resources and counts of tasks by state.")
        .codes(&[DONE])
        .of_leader()
        .authorized(FILTERED),
    Endpoint::new("/master/tasks", &[], "Tasks of all frameworks, the latest first.")
        .query(&[
            ("limit", "at most so many; 100 if it is left out"),
            ("offset", "how many are passed over"),
            ("order", "asc for the oldest first; des if it is left out"),
            ("framework_id", "tasks of this framework alone"),
            ("task_id", "tasks of this id alone"),
            JSONP,
        ])
        .answer("An object: tasks.")
        .codes(&[DONE])
        .of_leader()
        .authorized(FILTERED),
    Endpoint::new("/master/teardown", POST, "Ends a framework with all its tasks and executors.")
        .body("A form (application/x-www-form-urlencoded): frameworkId.")
        .of_leader()
        .codes(&[(200, "it is being torn down"), (400, "frameworkId is missing, or there is no such framework")])
        .authorized("tearing down frameworks of its principal"),
    operation("/master/unreserve", "Gives an agent's reserved resources back.")
        .body("A form (application/x-www-form-urlencoded): slaveId, the agent; resources, a JSON list of mesos.Resource.")
        .authorized("unreserving what each principal reserved"),
    Endpoint::new("/master/weights", &["GET", "PUT"], "Weights of roles: to read, to set.")
        .about("A role of weight 2 is due twice as much as one of weight 1, which all others have.")
        .query(&[JSONP])
        .body("PUT: a JSON list: [{\"role\": …, \"weight\": …}].")
        .answer("GET: such a list.")
        .codes(&[DONE, WRONG])
        .of_leader()
        .authorized("viewing, or changing, the weight of each role"),
];
