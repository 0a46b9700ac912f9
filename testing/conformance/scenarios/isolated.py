"""Containers with the linux launcher and isolators, on control groups of version 1: what tasks are given, what happens when they
take more, and what the agent measures of them. A task finds out by itself, and ends well where it is right."""
import json

from containers import Agent, cid, little, made, of_task, played, shell, updates
from operations import launch, task
from reservations import reserve
from setup import register
from volumes import create
from world import reserved, scalar

SCENARIOS = {}


def scenario(isolation, **options):
    return register(SCENARIOS, **dict({"launcher_dir": "{programs}", "launcher": "linux", "isolation": isolation, "cgroups_root": "{cgroups}"},
                                      **options))


def tried(w, cases, either=(), **more):
    """Tasks beside each other, of commands or of more; which of the reasons in `either` is told is chance."""
    f = w.framework(roles=["a"], **more)
    offer = f.offer()
    f.call("SUPPRESS")
    tasks = [task(offer, name, **(dict(command=shell(case)) if isinstance(case, str) else case)) for name, case in cases.items()]
    f.accept(offer, launch(*tasks), refuse=1000)
    updates(f, len(tasks), either=either)
    f.end()
    Agent(w).until_none()


def of_group(controller, file):
    """A file of the shell's own control group."""
    return "$(cat /sys/fs/cgroup/%s$(sed -n 's/^[0-9]*:\\(.*,\\)*%s\\(,.*\\)*:\\(.*\\)/\\3/p' /proc/self/cgroup)/%s)" % (controller, controller, file)


@scenario("cgroups/cpu,cgroups/mem")
def a_task_of_too_much_memory(w):
    # Its executor is stopped, as it is chance in 1.11.0 whose word comes first.
    tried(w, {"hog": "sleep 1; kill -STOP $PPID; tail /dev/zero"})


@scenario("cgroups/cpu,cgroups/mem")
def containers_of_too_much_memory(w):
    agent = Agent(w)
    agent.call("LAUNCH_CONTAINER", container_id=cid("hog"), command=shell("sleep 1; exec tail /dev/zero"), resources=little())
    agent.call("WAIT_CONTAINER", container_id=cid("hog"))
    agent.until_none()


@scenario("cgroups/cpu,cgroups/mem", cgroups_enable_cfs="true")
def control_groups_have_what_is_asked_for(w):
    role = {"allocation_info": {"role": "a"}}
    # The executor of a command has 0.1 cpus and 32 MB on top.
    amounts = [scalar("cpus", 0.5, **role), scalar("mem", 64, **role)]
    tried(w, {
        "shares": dict(resources=amounts, command=shell('test "%s" = 614' % of_group("cpu", "cpu.shares"))),
        "quota": dict(resources=amounts, command=shell('test "%s" = 60000' % of_group("cpu", "cpu.cfs_quota_us"))),
        "hard": dict(resources=amounts, command=shell('test "%s" = %d' % (of_group("memory", "memory.limit_in_bytes"), 96 << 20))),
        "soft": dict(resources=amounts, command=shell('test "%s" = %d' % (of_group("memory", "memory.soft_limit_in_bytes"), 96 << 20))),
        "below-the-root": "grep -q /scenario-disk- /proc/self/cgroup",
        "limited": dict(resources=amounts, limits={"cpus": {"value": 1}, "mem": {"value": 128}}, command=shell(
            'test "%s:%s" = 110000:%d' % (of_group("cpu", "cpu.cfs_quota_us"), of_group("memory", "memory.limit_in_bytes"), 160 << 20))),
        "without-limit": dict(resources=amounts, limits={"cpus": {"value": "Infinity"}}, command=shell(
            'test "%s" = -1' % of_group("cpu", "cpu.cfs_quota_us"))),
    })


def without(body, *names):
    return [dict(one, statistics={k: v for k, v in one["statistics"].items() if k not in names}) for one in body]


# What Messor tells beside it: the kernel's memory for containers, of which 1.11.0 has fields.
MORE = ("mem_kmem_usage_bytes", "mem_kmem_tcp_usage_bytes")


@scenario("cgroups/cpu,cgroups/mem,cgroups/pids,cgroups/devices", cgroups_enable_cfs="true", cgroups_cpu_enable_pids_and_tids_count="true")
def what_is_measured_of_tasks(w):
    agent, f = Agent(w), w.framework(roles=["a"])
    offer = f.offer()
    f.call("SUPPRESS")
    f.accept(offer, launch(task(offer, "t", command=shell("exec sleep 1000"))), refuse=1000)
    updates(f, 1, "TASK_RUNNING")
    agent.read("/monitor/statistics", lambda body: of_task("executor_id", "source", "statistics")(without(body, *MORE)))
    statistics = json.loads(agent.request("GET", "/monitor/statistics")[1])[0]["statistics"]
    for name in ("cpus_limit", "mem_limit_bytes", "mem_soft_limit_bytes", "processes", "threads"):
        value = statistics.get(name)
        w.say("%s: %s" % (name, "some" if name in ("processes", "threads") and value else value))
    w.say("memory is counted: %s" % (0 < statistics["mem_rss_bytes"] <= statistics["mem_total_bytes"] <= statistics["mem_limit_bytes"]))
    f.call("KILL", kill={"task_id": {"value": "t"}, "agent_id": offer["agent_id"]})
    updates(f, 1)
    f.end()
    agent.until_none()


@scenario("filesystem/linux,namespaces/pid,namespaces/ipc,cgroups/cpu,cgroups/mem")
def tasks_in_namespaces(w):
    tried(w, {
        "pid": "test $$ -lt 20 && test $(ls -d /proc/[0-9]* | wc -l) -lt 10",
        "ipc": {"command": shell("test $(ipcs -q | grep -c 0x) = 0")},
        "shm": {"command": shell("test $(df -B1M --output=size /dev/shm | tail -1) = 8"),
                "container": {"type": "MESOS", "linux_info": {"ipc_mode": "PRIVATE", "shm_size": 8}}},
        "shm-of-the-host": {"command": shell("test $(stat -fc %T /dev/shm) = tmpfs"),
                            "container": {"type": "MESOS", "linux_info": {"ipc_mode": "SHARE_PARENT"}}},
        "shm-size-without-one-of-its-own": {"command": shell("true"),
                                            "container": {"type": "MESOS", "linux_info": {"ipc_mode": "SHARE_PARENT", "shm_size": 8}}},
    })


@scenario("posix/rlimits,linux/nnp,filesystem/linux")
def rights_of_tasks(w):
    def limit(kind, **more):
        return {"type": "MESOS", "rlimit_info": {"rlimits": [dict({"type": kind}, **more)]}}

    tried(w, {
        "files": {"command": shell("test $(ulimit -n) = 50"), "container": limit("RLMT_NOFILE", soft=50, hard=60)},
        "core": {"command": shell("test $(ulimit -c) = unlimited"), "container": limit("RLMT_CORE")},
        "no-new-privileges": "grep -q 'NoNewPrivs:.1' /proc/self/status",
    })


@scenario("posix/rlimits", launcher="posix")
def limits_that_are_none(w):
    """Messor does not launch such a container. In 1.11.0 its process ends at once, and it is chance whether the launch has failed by then."""
    def limit(**more):
        return {"type": "MESOS", "rlimit_info": {"rlimits": [dict({"type": "RLMT_NOFILE"}, **more)]}}

    tried(w, {"half": {"command": shell("true"), "container": limit(soft=50)},
              "soft-over-hard": {"command": shell("true"), "container": limit(soft=60, hard=50)}},
          either=("REASON_CONTAINER_LAUNCH_FAILED", "REASON_EXECUTOR_TERMINATED"))


@scenario("linux/capabilities,filesystem/linux", documented="docs/isolators/linux-capabilities.md")
def capabilities_of_tasks(w):
    """The isolator of 1.11.0 ends on kernels with capabilities that it does not know, as this one is."""
    def capable(**fields):
        return {"type": "MESOS", "linux_info": {k: {"capabilities": v} for k, v in fields.items()}}

    mask = "test $(sed -n 's/^%s:.//p' /proc/self/status) = %016x"
    tried(w, {
        "effective": {"command": shell(mask % ("CapEff", 1 | 1 << 5)), "container": capable(effective_capabilities=["CHOWN", "KILL"])},
        "bounding": {"command": shell(mask % ("CapBnd", 1)), "container": capable(bounding_capabilities=["CHOWN"])},
        "more-than-its-bounds": {"command": shell("true"),
                                 "container": capable(effective_capabilities=["CHOWN", "KILL"], bounding_capabilities=["CHOWN"])},
    })


@scenario("filesystem/linux,volume/host_path", differs="a path that leaves the sandbox is refused")
def a_volume_beside_the_sandbox(w):
    tried(w, {"climbs": {"command": shell("true"), "container": {"type": "MESOS", "volumes": [
        {"container_path": "../out", "mode": "RW", "source": {"type": "HOST_PATH", "host_path": {"path": "/usr"}}}]}}})


@scenario("filesystem/linux,volume/sandbox_path,volume/host_path")
def volumes_of_tasks(w):
    def volume(source, path="data", mode="RW"):
        return {"type": "MESOS", "volumes": [{"container_path": path, "mode": mode, "source": source}]}

    shared = {"type": "SANDBOX_PATH", "sandbox_path": {"type": "PARENT", "path": "shared"}}
    of_itself = {"type": "SANDBOX_PATH", "sandbox_path": {"type": "SELF", "path": "inner"}}
    host = {"type": "HOST_PATH", "host_path": {"path": "/usr"}}
    tried(w, {
        "of-the-host": {"command": shell("test -d data/bin"), "container": volume(host)},
        "that-is-read": {"command": shell("test -d data/bin && ! touch data/no 2>/dev/null"), "container": volume(host, mode="RO")},
        "that-is-not-there": {"command": shell("true"), "container": volume({"type": "HOST_PATH", "host_path": {"path": "/no/such/path"}})},
        "of-the-parent-of-nobody": {"command": shell("true"), "container": volume(shared)},
        "of-itself": {"command": shell("touch data/x && test -e inner/x"), "container": volume(of_itself)},
    })
    played(w, made("writer", "echo hello > data/word; sleep 2", container=volume(shared)),
           made("reader", "until grep hello data/word; do sleep 0.1; done", container=volume(shared)))


@scenario("filesystem/linux,cgroups/cpu,cgroups/mem")
def a_volume_that_outlives_its_task(w):
    f = w.framework(roles=["a"], principal="p")
    offer = f.offer()
    f.call("SUPPRESS")
    disk = reserved(scalar("disk", 16), "a p", role="a")
    kept = dict(disk, disk={"persistence": {"id": "v", "principal": "p"}, "volume": {"container_path": "data", "mode": "RW"}})
    amounts = [scalar("cpus", 0.1, allocation_info={"role": "a"}), scalar("mem", 32, allocation_info={"role": "a"}), kept]
    f.accept(offer, reserve(disk), create(kept), launch(task(offer, "first", resources=amounts, command=shell("echo hello > data/word"))))
    updates(f, 1)
    f.call("REVIVE")
    offer = f.offer()
    f.call("SUPPRESS")
    f.accept(offer, launch(task(offer, "second", resources=amounts, command=shell("grep -q hello data/word"))), refuse=1000)
    updates(f, 1)
    f.end()
    Agent(w).until_none()


@scenario("cgroups/cpu,cgroups/mem,filesystem/linux,namespaces/pid")
def pods_in_control_groups(w):
    apart = {"type": "MESOS", "linux_info": {"share_cgroups": False}}
    role = {"allocation_info": {"role": "a"}}
    amounts = [scalar("cpus", 0.2, **role), scalar("mem", 64, **role)]
    played(w, made("in-common", "test \"%s\" = %d" % (of_group("memory", "memory.limit_in_bytes"), (32 + 64 + 32) << 20), resources=amounts),
           made("beside", "test $(ls -d /proc/[0-9]* | wc -l) -lt 10; sleep 1"))
    played(w, made("of-its-own", "test \"%s\" = %d" % (of_group("memory", "memory.limit_in_bytes"), 64 << 20), resources=amounts, container=apart),
           made("stays-with-its-own", "exec sleep 2", container=apart))
    played(w, made("hog", "sleep 1; tail /dev/zero", container=apart), made("stays", "exec sleep 1000", container=apart))


@scenario("disk/du", launcher="posix", enforce_container_disk_quota="true", container_disk_watch_interval="500ms")
def a_task_of_too_much_disk(w):
    role = {"allocation_info": {"role": "a"}}
    amounts = [scalar("cpus", 0.1, **role), scalar("mem", 32, **role), scalar("disk", 8, **role)]
    tried(w, {"disk": dict(resources=amounts, command=shell("dd if=/dev/zero of=full bs=1M count=64; exec sleep 1000")),
              "little": dict(resources=amounts, command=shell("dd if=/dev/zero of=some bs=1M count=1; sleep 2"))})


@scenario("filesystem/linux,linux/devices,cgroups/devices",
          allowed_devices='{"allowed_devices": [{"device": {"path": "/dev/kmsg"}, "access": {"read": true}}]}')
def devices_of_tasks(w):
    """Without an image, /dev is the host's; with one, linux/devices would fill it."""
    tried(w, {
        "usual": "head -c 1 /dev/zero > /dev/null && test -c /dev/kmsg",
        "allowed": ": < /dev/kmsg",
        "allowed-to-read-alone": "! (: > /dev/kmsg)",
        "of-others": "! (: < /dev/mem)",
        "not-made": "mknod mine c 1 1 && ! (: < mine)",
    })
