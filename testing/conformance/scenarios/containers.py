"""Containers and pods: the calls of an agent about them, right and wrong, and what becomes of task groups.

The agent of 1.11.0 has no programs of its own here (see play.py); it launches containers with Messor's, by --launcher_dir.
What its packages cannot do at all is expected as its documentation has it: see `documented` in setup.py.
"""
import base64
import http.client
import json
import time
import urllib.parse

from operations import launch, task
from setup import register
from world import plain, records, scalar

SCENARIOS = {}
ENDS = ("TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED", "TASK_GONE")


def scenario(**options):
    return register(SCENARIOS, **dict({"launcher_dir": "{programs}", "launcher": "posix"}, **options))


class Agent:
    """The calls of the only agent's v1 API, and its endpoints."""

    def __init__(self, world):
        self.world, self.sessions = world, 0

    def request(self, method, path, body=None, headers=None):
        return self.world.request(method, "/slave(1)" + path, body, headers)

    def call(self, kind, show=None, note="", **body):
        """Says the code, and the answer where there is one (`show` of it)."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        call = dict({"type": kind}, **({kind.lower(): body} if body else {}))
        code, text = self.request("POST", "/api/v1", json.dumps(call), headers)
        answer = None
        if code == 200 and text:
            answer = json.loads(text).get(kind.lower())
        line = "agent: %s%s %d" % (kind, " " + note if note else "", code)
        if answer is not None:
            line += " " + self.text(show(answer) if show else answer)
        self.world.say(line)
        return answer

    def text(self, value):
        return self.world.mask(json.dumps(plain(kinds(value)), sort_keys=True))

    def read(self, path, show=None):
        code, text = self.request("GET", path)
        body = json.loads(text) if code == 200 else None
        self.world.say("GET %s %d %s" % (path, code, self.text(show(body) if show else body)))
        return body

    def output(self, kind, **body):
        """A stream of what a container says, to its end: what it said on each side."""
        url = urllib.parse.urlsplit(self.world.base)
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
        connection.request("POST", "/slave(1)/api/v1", json.dumps({"type": kind, kind.lower(): body}),
                           {"Content-Type": "application/json", "Accept": "application/recordio", "Message-Accept": "application/json"})
        answer = connection.getresponse()
        self.world.say("agent: %s %d" % (kind, answer.status))
        said = {"STDOUT": b"", "STDERR": b""}
        for record in records(answer) if answer.status == 200 else ():
            if record.get("type") == "DATA":
                said[record["data"]["type"]] += base64.b64decode(record["data"].get("data", ""))
        connection.close()
        for side, words in said.items():
            if words:
                self.world.say("   %s: %r" % (side, words.decode("utf-8", "replace")))

    def input(self, *messages, note=""):
        """ATTACH_CONTAINER_INPUT with these messages."""
        texts = [m if isinstance(m, str) else json.dumps({"type": "ATTACH_CONTAINER_INPUT", "attach_container_input": m}) for m in messages]
        body = "".join("%d\n%s" % (len(t), t) for t in texts)
        code, _ = self.request("POST", "/api/v1", body, {"Content-Type": "application/recordio", "Message-Content-Type": "application/json",
                                                         "Accept": "application/json"})
        self.world.say("agent: ATTACH_CONTAINER_INPUT %s %d" % (note, code))

    def shown(self):
        """How many containers there are, of which nothing is said."""
        call = {"type": "GET_CONTAINERS", "get_containers": {"show_nested": True, "show_standalone": True}}
        _, text = self.request("POST", "/api/v1", json.dumps(call), {"Content-Type": "application/json", "Accept": "application/json"})
        return len(json.loads(text).get("get_containers", {}).get("containers", []))

    def until_none(self, number=0):
        self.world.until("%d containers" % number, lambda: self.shown() == number)


def kinds(value):
    """What is measured is told by its names alone."""
    if isinstance(value, dict):
        return {k: sorted(v) if k in ("resource_statistics", "statistics") else kinds(v) for k, v in value.items()}
    return [kinds(v) for v in value] if isinstance(value, list) else value


def cid(*values):
    """An id, and those of the containers around it after it."""
    out = {"value": values[0]}
    if values[1:]:
        out["parent"] = cid(*values[1:])
    return out


def shell(text, **more):
    return dict({"value": text}, **more)


def little():
    return [scalar("cpus", 0.1), scalar("mem", 32)]


def executor(f, name="e", **more):
    role = {"allocation_info": {"role": "a"}}
    return dict({"type": "DEFAULT", "executor_id": {"value": name}, "framework_id": f.id,
                 "resources": [scalar("cpus", 0.1, **role), scalar("mem", 32, **role), scalar("disk", 8, **role)]}, **more)


def group(executor, *tasks):
    return {"type": "LAUNCH_GROUP", "launch_group": {"executor": executor, "task_group": {"tasks": list(tasks)}}}


def updates(f, ends, *states, seconds=20, either=()):
    """Hears and acknowledges updates until so many tasks are in one of the states; says them task by task, as tasks go on beside each other."""
    heard, left, end = {}, ends, time.time() + seconds
    while left and time.time() < end:
        event = f.stream.next(end - time.time())
        if event is None or event["type"] == "(closed)":
            break
        if event["type"] == "FAILURE":
            f.failures = getattr(f, "failures", []) + [event]
        if event["type"] != "UPDATE":
            continue
        status = event["update"]["status"]
        kept = {k: status[k] for k in ("state", "reason", "source", "healthy", "check_status", "limitation") if k in status}
        if kept.get("reason") in either:
            kept["reason"] = " or ".join(either)
        heard.setdefault(status["task_id"]["value"], []).append(json.dumps(plain(kept), sort_keys=True))
        if "uuid" in status:
            f.world.request("POST", "/master/api/v1/scheduler", json.dumps({
                "type": "ACKNOWLEDGE", "framework_id": f.id, "acknowledge": {
                    "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"]}}),
                {"Content-Type": "application/json", "Mesos-Stream-Id": f.stream.id})
        left -= status["state"] in (states or ENDS)
    for name in sorted(heard):
        for line in heard[name]:
            f.world.say("%s: %s %s" % (f.name, name, f.world.mask(line)))
    if left:
        f.world.say("%s: %d did not come to %s" % (f.name, left, "|".join(states or ENDS)))


def failure(f):
    """The end of an executor, as the framework is told: before the ends of its tasks, or after them."""
    told, end = getattr(f, "failures", []), time.time() + 15
    while not told and time.time() < end:
        event = f.stream.next(end - time.time())
        told = [event] if event and event["type"] == "FAILURE" else []
    if told:
        f.told(told[0])
    else:
        f.world.say("%s: no FAILURE came" % f.name)


@scenario()
def containers_that_are_not_there(w):
    agent = Agent(w)
    for name in ("/containers", "/monitor/statistics", "/containers?show_nested=true", "/containers?show_standalone=true",
                 "/containers?show_nested=maybe", "/containers?container_id=c", "/containers?container_id="):
        agent.read(name)
    for body in ({}, {"show_nested": True}, {"show_standalone": True}, {"show_nested": True, "show_standalone": True}):
        agent.call("GET_CONTAINERS", **body)
    lone, inner, deep = cid("c"), cid("c", "p"), cid("c", "p", "g")
    for container in (lone, inner, deep):
        note = "of " + json.dumps(container)
        for verb in ("WAIT", "KILL"):
            for kind in ("CONTAINER", "NESTED_CONTAINER"):
                agent.call("%s_%s" % (verb, kind), note=note, container_id=container)
        agent.call("KILL_CONTAINER", note=note + " by 15", container_id=container, signal=15)
        agent.call("ATTACH_CONTAINER_OUTPUT", note=note, container_id=container)
        agent.input({"type": "CONTAINER_ID", "container_id": container}, note=note)
        agent.call("LAUNCH_NESTED_CONTAINER_SESSION", note=note, container_id=container, command=shell("true"))
        agent.call("LAUNCH_NESTED_CONTAINER", note=note, container_id=container, command=shell("true"))
    agent.call("LAUNCH_CONTAINER", note="in one that is not there", container_id=inner, command=shell("true"))


@scenario(differs="1.11.0 answers 500 where the caller is wrong")
def containers_that_cannot_be_removed(w):
    agent = Agent(w)
    agent.call("REMOVE_NESTED_CONTAINER", note="unknown", container_id=cid("c", "p"))
    agent.call("REMOVE_CONTAINER", note="unknown", container_id=cid("c", "p"))
    agent.call("LAUNCH_CONTAINER", container_id=cid("p"), command=shell("sleep 1000"), resources=little())
    agent.call("LAUNCH_NESTED_CONTAINER", container_id=cid("c", "p"), command=shell("sleep 1000"))
    agent.call("REMOVE_NESTED_CONTAINER", note="it runs", container_id=cid("c", "p"))
    agent.call("KILL_CONTAINER", container_id=cid("p"))
    agent.until_none()


@scenario()
def ids_of_containers(w):
    agent = Agent(w)
    for value in ("..", ".", "a/b", "", "a b", "a:b", "a\u00e9", "a.b", "x" * 300, "x" * 200, "a\nb"):
        name = json.dumps(value if len(value) < 20 else "%s*%d" % (value[0], len(value)))
        agent.call("WAIT_CONTAINER", note=name, container_id=cid(value))
        agent.call("KILL_NESTED_CONTAINER", note="nested " + name, container_id=cid(value, "p"))
        agent.call("KILL_NESTED_CONTAINER", note="in " + name, container_id=cid("c", value))


@scenario()
def what_is_launched_is_looked_at(w):
    agent = Agent(w)
    cases = {
        "no-id": {"command": shell("true"), "resources": little()},
        "without-resources": {"container_id": cid("a"), "command": shell("true")},
        "docker": {"container_id": cid("e"), "command": shell("true"), "container": {"type": "DOCKER", "docker": {"image": "x"}}, "resources": little()},
        "mem-less-than-none": {"container_id": cid("f"), "command": shell("true"), "resources": [scalar("mem", -1)]},
        "secret-without-value": {"container_id": cid("g"), "resources": little(), "command": shell("true", environment={"variables": [
            {"name": "S", "type": "SECRET"}]})},
        "variable-without-value": {"container_id": cid("h"), "resources": little(), "command": shell("true", environment={"variables": [{"name": "S"}]})},
        "ids-with-slashes": {"container_id": cid("a/b"), "command": shell("true"), "resources": little()},
        "hostname-of-the-hosts-network": {"container_id": cid("i"), "command": shell("true"), "resources": little(),
                                          "container": {"type": "MESOS", "hostname": "elsewhere"}},
    }
    for name, body in cases.items():
        agent.call("LAUNCH_CONTAINER", note=name, **body)
    agent.until_none()
    agent.call("LAUNCH_CONTAINER", container_id=cid("p"), command=shell("sleep 1000"), resources=little())
    for name in ("docker", "secret-without-value"):
        body = {k: v for k, v in cases[name].items() if k != "resources"}
        body["container_id"] = cid(body["container_id"]["value"], "p")
        agent.call("LAUNCH_NESTED_CONTAINER", note=name, **body)
    agent.call("LAUNCH_NESTED_CONTAINER_SESSION", note="docker", container_id=cid("s", "p"), command=shell("true"), container=cases["docker"]["container"])
    agent.call("KILL_CONTAINER", container_id=cid("p"))
    agent.until_none()


@scenario(differs="what 1.11.0 launches, which then ends at once, or answers 500 to, is 400 and a word of why")
def containers_that_cannot_be_started(w):
    agent = Agent(w)
    cases = {
        "without-command": {},
        "command-without-value": {"command": {}},
        "no-shell-without-value": {"command": {"shell": False, "arguments": ["x"]}},
        "an-unknown-user": {"command": shell("true", user="nobody-of-that-name")},
    }
    for name, body in cases.items():
        agent.call("LAUNCH_CONTAINER", note=name, container_id=cid(name), resources=little(), **body)
    agent.until_none()


@scenario()
def a_standalone_container_lives(w):
    agent = Agent(w)
    alone = cid("alone")
    agent.call("LAUNCH_CONTAINER", container_id=alone, command=shell("exec sleep 1000"), resources=little())
    agent.call("LAUNCH_CONTAINER", note="again", container_id=alone, command=shell("exec sleep 1000"), resources=little())
    agent.call("GET_CONTAINERS")
    agent.call("GET_CONTAINERS", show_standalone=True)
    agent.read("/containers")
    agent.read("/containers?show_standalone=true")
    agent.call("KILL_CONTAINER", note="by 0", container_id=alone, signal=0)
    agent.call("ATTACH_CONTAINER_OUTPUT", container_id=alone)
    agent.input({"type": "CONTAINER_ID", "container_id": alone})
    agent.call("KILL_CONTAINER", container_id=alone, signal=15)
    agent.call("WAIT_CONTAINER", container_id=alone)
    agent.until_none()
    agent.call("WAIT_CONTAINER", note="of one that ended", container_id=alone)
    agent.call("KILL_CONTAINER", note="of one that ended", container_id=alone)
    agent.call("GET_CONTAINERS", show_standalone=True)
    for name, command in (("three", "exit 3"), ("no-such-program", "exec /no/such/program"), ("killed", "kill -9 $$")):
        agent.call("LAUNCH_CONTAINER", note=name, container_id=cid(name), command=shell("sleep 1; " + command), resources=little())
        agent.call("WAIT_CONTAINER", container_id=cid(name))
    agent.until_none()


@scenario()
def containers_within_containers(w):
    agent = Agent(w)
    agent.call("LAUNCH_CONTAINER", container_id=cid("p"), command=shell("exec sleep 1000"), resources=little())
    agent.call("LAUNCH_NESTED_CONTAINER", container_id=cid("a", "p"), command=shell("exec sleep 1000"))
    agent.call("LAUNCH_NESTED_CONTAINER", note="again", container_id=cid("a", "p"), command=shell("exec sleep 1000"))
    agent.call("LAUNCH_NESTED_CONTAINER", container_id=cid("i", "a", "p"), command=shell("exec sleep 1000"))
    agent.call("LAUNCH_CONTAINER", note="nested", container_id=cid("b", "p"), command=shell("exec sleep 1000"))
    agent.read("/containers?show_nested=true")
    agent.call("KILL_NESTED_CONTAINER", note="by 10", container_id=cid("i", "a", "p"), signal=10)
    agent.call("WAIT_NESTED_CONTAINER", container_id=cid("i", "a", "p"))
    agent.call("WAIT_NESTED_CONTAINER", note="again", container_id=cid("i", "a", "p"))
    agent.call("KILL_NESTED_CONTAINER", note="it ended", container_id=cid("i", "a", "p"))
    agent.call("REMOVE_NESTED_CONTAINER", container_id=cid("i", "a", "p"))
    agent.call("WAIT_NESTED_CONTAINER", note="removed", container_id=cid("i", "a", "p"))
    agent.call("LAUNCH_NESTED_CONTAINER", note="its id is free", container_id=cid("i", "a", "p"), command=shell("exec sleep 1000"))
    for name, command in (("zero", "true"), ("three", "exit 3"), ("no-such-program", "exec /no/such/program"), ("segment", "kill -11 $$")):
        agent.call("LAUNCH_NESTED_CONTAINER", note=name, container_id=cid(name, "p"), command=shell(command))
        agent.call("WAIT_NESTED_CONTAINER", container_id=cid(name, "p"))
    agent.call("LAUNCH_NESTED_CONTAINER", note="no shell", container_id=cid("words", "p"),
               command={"shell": False, "value": "/bin/sh", "arguments": ["sh", "-c", "exit 5"]})
    agent.call("WAIT_NESTED_CONTAINER", container_id=cid("words", "p"))
    agent.call("LAUNCH_NESTED_CONTAINER", note="in one that ended", container_id=cid("late", "zero", "p"), command=shell("true"))
    # What is in it ends with it.
    agent.call("KILL_NESTED_CONTAINER", container_id=cid("a", "p"))
    agent.call("WAIT_NESTED_CONTAINER", container_id=cid("a", "p"))
    agent.call("WAIT_NESTED_CONTAINER", container_id=cid("i", "a", "p"))
    agent.call("KILL_CONTAINER", note="nested", container_id=cid("b", "p"))
    agent.call("WAIT_CONTAINER", note="nested", container_id=cid("b", "p"))
    agent.call("REMOVE_CONTAINER", note="nested", container_id=cid("b", "p"))
    agent.call("KILL_CONTAINER", container_id=cid("p"))
    agent.call("WAIT_CONTAINER", container_id=cid("p"))
    agent.until_none()
    agent.call("WAIT_NESTED_CONTAINER", note="with its parent", container_id=cid("a", "p"))
    agent.call("LAUNCH_NESTED_CONTAINER", note="without its parent", container_id=cid("a", "p"), command=shell("true"))


@scenario(differs="an id has those of the containers around it, which 1.11.0 leaves out")
def nested_containers_are_shown(w):
    agent = Agent(w)
    agent.call("LAUNCH_CONTAINER", container_id=cid("p"), command=shell("exec sleep 1000"), resources=little())
    agent.call("LAUNCH_NESTED_CONTAINER", container_id=cid("a", "p"), command=shell("exec sleep 1000"))
    agent.call("GET_CONTAINERS", show_nested=True, show_standalone=True)
    agent.call("GET_CONTAINERS", note="nested alone", show_nested=True)
    agent.call("KILL_CONTAINER", container_id=cid("p"))
    agent.until_none()


@scenario(documented="docs/operator-http-api.md: LAUNCH_NESTED_CONTAINER_SESSION, ATTACH_CONTAINER_OUTPUT, "
          "ATTACH_CONTAINER_INPUT, WAIT_NESTED_CONTAINER; codes of what "
          "is wrong: src/slave/http.cpp")
def sessions_in_containers(w):
    """An agent of 1.11.0 has no I/O switchboard when it is part of the local mode."""
    agent = Agent(w)
    agent.call("LAUNCH_CONTAINER", container_id=cid("p"), command=shell("sleep 1000"), resources=little())
    for name, command in (("words", "echo out; echo wrong >&2; exit 4"), ("nothing", "true"), ("killed", "echo so far; kill -9 $$")):
        agent.output("LAUNCH_NESTED_CONTAINER_SESSION", container_id=cid(name, "p"), command=shell(command))
        agent.call("WAIT_NESTED_CONTAINER", container_id=cid(name, "p"))
    agent.output("LAUNCH_NESTED_CONTAINER_SESSION", container_id=cid("sized", "p"), command=shell("stty size; tty >/dev/null && echo a terminal"),
                 container={"type": "MESOS", "tty_info": {"window_size": {"rows": 24, "columns": 80}}})
    agent.call("WAIT_NESTED_CONTAINER", container_id=cid("sized", "p"))
    agent.output("LAUNCH_NESTED_CONTAINER_SESSION", container_id=cid("unsized", "p"), command=shell("tty >/dev/null && echo a terminal"),
                 container={"type": "MESOS", "tty_info": {}})
    # One whose end is known, or that never had a client, has none to attach to.
    agent.call("ATTACH_CONTAINER_OUTPUT", note="it ended", container_id=cid("words", "p"))
    agent.input({"type": "CONTAINER_ID", "container_id": cid("words", "p")}, note="it ended")
    agent.call("LAUNCH_NESTED_CONTAINER", container_id=cid("plain", "p"), command=shell("sleep 1000"))
    agent.call("ATTACH_CONTAINER_OUTPUT", note="no session", container_id=cid("plain", "p"))
    agent.input({"type": "CONTAINER_ID", "container_id": cid("plain", "p")}, note="no session")
    # Streams that begin wrongly.
    data = {"type": "PROCESS_IO", "process_io": {"type": "DATA", "data": {"type": "STDIN", "data": "aGk="}}}
    agent.input(data, note="data first")
    agent.input({"type": "CONTAINER_ID"}, note="no id")
    agent.input(note="nothing")
    agent.call("KILL_CONTAINER", container_id=cid("p"))
    agent.until_none()


def of_task(*keys):
    return lambda body: sorted(({k: one.get(k, "(absent)") for k in keys} for one in body), key=str)


@scenario()
def a_pod_is_seen(w):
    agent, f = Agent(w), w.framework(roles=["a"])
    offer = f.offer()
    f.call("SUPPRESS")
    f.accept(offer, group(executor(f, name="pod"), task(offer, "one", command=shell("exec sleep 1000")),
                          task(offer, "two", command=shell("exec sleep 1000"))), refuse=1000)
    updates(f, 2, "TASK_RUNNING")
    agent.until_none(3)
    agent.read("/containers")
    agent.read("/monitor/statistics", of_task("executor_id", "executor_name", "framework_id", "source", "statistics"))
    found = json.loads(agent.request("GET", "/containers?show_nested=true")[1])
    w.say("/containers: %d with nested ones" % len(found))
    agent.call("GET_CONTAINERS")
    state = json.loads(agent.request("GET", "/state")[1])
    one = state["frameworks"][0]["executors"][0]
    kept = {k: v for k, v in one.items() if k not in ("directory", "container", "tasks")}
    w.say("GET /state executor %s" % agent.text(kept))
    nested = [t["statuses"][-1]["container_status"]["container_id"] for t in one["tasks"]]
    w.say("tasks are in containers of their executor's: %s" % all(c["parent"]["value"] == one["container"] for c in nested))
    inner = next(t["statuses"][-1]["container_status"]["container_id"] for t in one["tasks"] if t["id"] == "one")
    agent.call("KILL_NESTED_CONTAINER", note="of a task", container_id=inner, signal=9)
    updates(f, 2)
    failure(f)
    agent.until_none()
    f.end()


def played(w, *tasks, ends=None, then=None, of=None, kind=None):
    """One task group to its end."""
    f = w.framework(roles=["a"])
    offer = f.offer()
    f.call("SUPPRESS")
    f.accept(offer, group(of or executor(f), *(make(offer) for make in tasks)), refuse=1000)
    if then:
        updates(f, len(tasks), "TASK_RUNNING")
        then(f, offer)
    updates(f, ends or len(tasks))
    failure(f)
    f.end()
    Agent(w).until_none()


def made(name, command, **more):
    return lambda offer: task(offer, name, command=shell(command), **more)


@scenario()
def a_pod_to_its_end(w):
    played(w, made("short", "sleep 1"), made("longer", "sleep 2"))


@scenario()
def a_pod_of_which_one_fails(w):
    played(w, made("fails", "sleep 1; exit 3"), made("stays", "exec sleep 1000"))


@scenario()
def a_pod_of_which_one_is_killed(w):
    def kill(f, offer):
        f.call("KILL", kill={"task_id": {"value": "first"}, "agent_id": offer["agent_id"]})

    played(w, made("first", "exec sleep 1000", kill_policy={"grace_period": {"nanoseconds": 1_000_000_000}}),
           made("second", "exec sleep 1000"), then=kill)


@scenario()
def a_pod_whose_tasks_do_not_listen(w):
    def kill(f, offer):
        f.call("KILL", kill={"task_id": {"value": "deaf"}, "agent_id": offer["agent_id"],
                             "kill_policy": {"grace_period": {"nanoseconds": 500_000_000}}})

    played(w, made("deaf", "trap '' TERM; while :; do sleep 0.1; done"), then=kill)


@scenario()
def a_pod_that_is_shut_down(w):
    def end(f, offer):
        f.call("SHUTDOWN", shutdown={"executor_id": {"value": "e"}, "agent_id": offer["agent_id"]})

    played(w, made("one", "exec sleep 1000"), made("two", "exec sleep 1000"), then=end)


@scenario()
def a_pod_whose_command_is_not_there(w):
    played(w, lambda offer: task(offer, "wrong", command={"shell": False, "value": "/no/such/program"}), made("stays", "exec sleep 1000"))


@scenario()
def a_pod_whose_artifact_is_not_there(w):
    played(w, made("short", "exec sleep 1000"),
           lambda offer: task(offer, "wrong", command=shell("true", uris=[{"value": "/no/such/file"}])))


@scenario(documented="docs/health-checks.md: what built-in executors forward; docs/task-state-reasons.md: REASON_TASK_CHECK_STATUS_UPDATED, "
          "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED")
def a_pod_with_checks(w):
    """COMMAND checks are sessions in the tasks' containers; see sessions_in_containers."""
    health = {"type": "COMMAND", "command": shell("true"), "delay_seconds": 0, "interval_seconds": 0.2, "grace_period_seconds": 5}
    check = {"type": "COMMAND", "command": {"command": shell("exit 7")}, "delay_seconds": 0, "interval_seconds": 0.2}
    f = w.framework(roles=["a"])
    offer = f.offer()
    f.call("SUPPRESS")
    f.accept(offer, group(executor(f), task(offer, "healthy", command=shell("exec sleep 1000"), health_check=health),
                          task(offer, "checked", command=shell("exec sleep 1000"), check=check)), refuse=1000)
    # Each runs, and then says what its check said.
    updates(f, 4, "TASK_RUNNING")
    f.end()


@scenario()
def an_unhealthy_task_of_a_pod(w):
    health = {"type": "COMMAND", "command": shell("false"), "delay_seconds": 0, "interval_seconds": 0.2, "grace_period_seconds": 0,
              "consecutive_failures": 2}
    played(w, made("sick", "exec sleep 1000", health_check=health))


DOCKER = {"type": "DOCKER", "docker": {"image": "x"}}


@scenario()
def groups_that_are_refused(w):
    role = {"allocation_info": {"role": "a"}}

    def of(*resources):
        return lambda f, o: group(executor(f, resources=list(resources)), task(o, "t"))

    cpus, mem, disk = scalar("cpus", 0.1, **role), scalar("mem", 32, **role), scalar("disk", 8, **role)
    cases = {
        "docker": lambda f, o: group(executor(f), task(o, "t", container=DOCKER)),
        "an-executor-without-resources": of(),
        "an-executor-without-disk": of(cpus, mem),
        "an-executor-without-cpus": of(mem, disk),
        "an-executor-without-memory": of(cpus, disk),
        "an-executor-of-little": of(scalar("cpus", 0.001, **role), mem, disk),
        "an-executor-without-a-type": lambda f, o: group({k: v for k, v in executor(f).items() if k != "type"}, task(o, "t")),
        "default-with-a-command": lambda f, o: group(executor(f, command=shell("true")), task(o, "t")),
        "default-in-docker": lambda f, o: group(executor(f, container=DOCKER), task(o, "t")),
        "of-another-framework": lambda f, o: group(executor(f, framework_id={"value": "other"}), task(o, "t")),
        "with-another-executor": lambda f, o: group(executor(f), task(o, "t", executor=executor(f, name="other"))),
        "too-large": lambda f, o: group(executor(f), task(o, "t", resources=[scalar("cpus", 100, **role)]), task(o, "small")),
        "without-resources": lambda f, o: group(executor(f), dict(task(o, "t"), resources=[])),
        "an-invalid-one-beside": lambda f, o: group(executor(f), task(o, "t"), task(o, "a/b")),
    }
    f = w.framework(roles=["a"])
    for name, make in cases.items():
        w.say("# " + name)
        f.offers.clear()
        offer = f.offer()
        operation = make(f, offer)
        f.accept(offer, operation)
        updates(f, len(operation["launch_group"]["task_group"]["tasks"]), seconds=5)
    f.end()
    w.say("launched: %s" % Agent(w).shown())


@scenario()
def a_group_of_tasks_that_name_its_executor(w):
    f = w.framework(roles=["a"])
    offer = f.offer()
    f.call("SUPPRESS")
    f.accept(offer, group(executor(f), task(offer, "own", executor=executor(f))), refuse=1000)
    updates(f, 1)
    f.end()


@scenario()
def a_group_of_a_network_that_is_not_there(w):
    played(w, lambda offer: task(offer, "networks", container={"type": "MESOS", "network_infos": [{"name": "n"}]}))


@scenario(differs="it fails before it is said to run")
def a_task_of_a_pod_without_a_command(w):
    played(w, lambda offer: {k: v for k, v in task(offer, "t").items() if k != "command"})


def one_group(w, make, ends):
    f = w.framework(roles=["a"])
    offer = f.offer()
    f.accept(offer, make(f, offer))
    updates(f, ends, seconds=3)
    # What was refused is offered again.
    f.offer()
    f.end()


@scenario(differs="1.11.0 starts an executor, which waits for tasks for good, and is paid for")
def a_group_without_tasks(w):
    one_group(w, lambda f, o: group(executor(f)), 0)


@scenario(documented="docs/task-state-reasons.md: REASON_TASK_GROUP_INVALID")
def a_group_with_the_same_task_twice(w):
    """The master of 1.11.0 ends by this."""
    one_group(w, lambda f, o: group(executor(f), task(o, "twice"), task(o, "twice")), 2)


@scenario(documented="docs/endpoints/slave/containerizer/debug.md")
def what_a_containerizer_waits_for(w):
    """An agent of 1.11.0 ends by it when it is part of the local mode."""
    Agent(w).read("/containerizer/debug")


@scenario(differs="TASK_FAILED with REASON_CONTAINER_LAUNCH_FAILED, as what else keeps a container from its launch; "
          "1.11.0 drops the task as if its executor had ended")
def a_user_that_is_not_there(w):
    f = w.framework(roles=["a"])
    offer = f.offer()
    f.call("SUPPRESS")
    f.accept(offer, launch(task(offer, "no-such-user", command=shell("true", user="nobody-of-that-name"))), refuse=1000)
    updates(f, 1)
    f.end()


@scenario()
def a_command_that_cannot_be_started(w):
    f = w.framework(roles=["a"])
    offer = f.offer()
    f.call("SUPPRESS")
    f.accept(offer, launch(task(offer, "no-such-program", command={"shell": False, "value": "/no/such/program"}),
                           task(offer, "no-such-file", command=shell("true", uris=[{"value": "/no/such/file"}])),
                           task(offer, "by-a-signal", command=shell("kill -6 $$"))), refuse=1000)
    updates(f, 3)
    f.end()
