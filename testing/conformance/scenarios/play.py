#!/usr/bin/env python3
"""Plays what schedulers and operators do with resources against a master, and says what came back, one JSON line a scenario.

    play.py run --messor BINARY [--only NAME,…] [--jobs N]    each scenario on a fresh `messor local`
    play.py run --real SCRIPT   [--only NAME,…] [--jobs N]    on a fresh Apache Mesos 1.11.0 (the script apache-mesos-local)
    play.py run --master URL    [--only NAME,…]               on a master that runs, with the flags that `list` names
    play.py diff [--same] EXPECTED.jsonl… ANSWERS.jsonl       exit status 1 where they differ, on purpose excepted
    play.py list

Compared are codes, events in their order with everything they say of resources, states and reasons, and the whole answers
of reads. Ids, times, addresses and the words of errors are not. Exit status 3: the program cannot run here.
"""
import argparse
import concurrent.futures
import difflib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import agents, containers, isolated, metrics, offers, operations, quotas, reservations, roles, volumes  # noqa: E401
from world import Stopped, World

SCENARIOS = {}
for module in (reservations, volumes, operations, offers, roles, quotas, agents, metrics, containers, isolated):
    SCENARIOS.update(module.SCENARIOS)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Unable(Exception):
    pass


class Messor:
    def __init__(self, binary, flags, agents):
        self.folder = tempfile.mkdtemp(prefix="scenario-")
        port = free_port()
        self.url = "http://127.0.0.1:%d" % port
        environment = {"PATH": os.environ["PATH"], "LIBPROCESS_IP": "127.0.0.1", "LIBPROCESS_PORT": str(port),
                       "MESOS_LAUNCHER": "posix", "MESOS_SYSTEMD_ENABLE_SUPPORT": "false",
                       "MESOS_NUM_SLAVES": str(agents), "MESOS_WORK_DIR": self.folder + "/work", **flags}
        self.log = open(self.folder + "/log", "w")
        self.process = subprocess.Popen([os.path.abspath(binary), "local"], env=environment, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT, cwd=self.folder)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        remove(self.folder)

    def said(self):
        return open(self.folder + "/log").read()[-2000:]


class Real:
    """Of the script's home only what it unpacked is shared: each start needs a place of its own for its pid."""

    def __init__(self, script, flags, agents):
        self.script, self.folder, port = script, tempfile.mkdtemp(prefix="scenario-real-"), free_port()
        for name in os.listdir(unpacked()):
            if name in ("usr", "py2", "ready") or ".so" in name:
                os.symlink(os.path.join(unpacked(), name), os.path.join(self.folder, name))
        started = subprocess.run([script, "--home", self.folder, "start", "--agents", str(agents), "--port", str(port)] +
                                 ["%s=%s" % f for f in flags.items()], capture_output=True, text=True)
        if started.returncode == 3:
            raise Unable(started.stderr.strip())
        self.url, self.port = started.stdout.strip(), port

    def stop(self):
        subprocess.run([self.script, "--home", self.folder, "stop"], capture_output=True)
        remove(self.folder)

    def said(self):
        return open("%s/local-%d.log" % (self.folder, self.port)).read()[-2000:]


def unpacked():
    return os.environ.get("APACHE_MESOS_HOME", os.path.join(tempfile.gettempdir(), "apache-mesos-1.11.0"))


def ready(url, agents):
    for _ in range(300):
        try:
            with urllib.request.urlopen(url + "/master/slaves", timeout=2) as answer:
                if len(json.load(answer)["slaves"]) == agents:
                    return
        except (OSError, ValueError):
            pass
        time.sleep(0.1)
    raise Stopped("no %d agents at %s" % (agents, url))


def has_groups():
    return os.geteuid() == 0 and all(os.path.isdir("/sys/fs/cgroup/" + name) for name in ("freezer", "cpu", "memory"))


def alone(world):
    """The script's own framework, which takes offers of "*", goes before anything is played."""
    found = []
    world.until("rid of the script's framework", lambda: found.extend(
        f["framework_info"]["id"]["value"] for f in world.ask("GET_FRAMEWORKS")["get_frameworks"].get("frameworks", [])) or found)
    world.request("POST", "/master/teardown", "frameworkId=" + found[0])


def play(name, options):
    function = SCENARIOS[name]
    folder, program, mount = tempfile.mkdtemp(prefix="scenario-disk-"), None, None
    try:
        if function.flags.get("MESOS_LAUNCHER") == "linux" and not has_groups():
            return {"name": name, "skipped": "no control groups of version 1 here, or not root"}
        if any("{mount}" in value for value in function.flags.values()):
            mount = os.path.join(folder, "mount")
            os.mkdir(mount)
            if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "scenario", mount], capture_output=True).returncode:
                return {"name": name, "skipped": "nothing can be mounted here"}
        programs = os.path.join(folder, "programs")
        if any("{programs}" in value for value in function.flags.values()):
            if not (options.programs or options.messor):
                return {"name": name, "skipped": "no --programs to launch containers with"}
            subprocess.run([options.programs or options.messor, "install", programs], check=True, capture_output=True)
        flags = {k: v.replace("{folder}", folder).replace("{mount}", str(mount)).replace("{programs}", programs).replace("{cgroups}", os.path.basename(folder))
                 for k, v in function.flags.items()}
        if options.messor:
            program = Messor(options.messor, flags, function.agents)
        elif options.real:
            program = Real(options.real, flags, function.agents)
        world = World(program.url if program else options.master)
        world.names.known[folder] = "{folder}"
        try:
            ready(world.base, function.agents)
            if options.real:
                alone(world)
            function(world)
        except (Stopped, OSError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            world.say("stopped: %s: %s" % (type(error).__name__, world.mask(str(error))))
            if program and options.verbose:
                print(program.said(), file=sys.stderr)
        world.close()
        answer = {"name": name, "lines": [line.replace(folder, "{folder}") for line in world.ordered()]}
        return dict(answer, source=function.documented) if function.documented else answer
    finally:
        if program:
            program.stop()
        remove(folder)
        remove_groups(os.path.basename(folder))


def remove(folder):
    """With what an agent has mounted there."""
    with open("/proc/self/mountinfo") as file:
        paths = [line.split()[4] for line in file]
    for path in reversed(paths):
        if path.startswith(folder + "/"):
            subprocess.run(["umount", "--lazy", path], capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def remove_groups(name):
    """The agent's, with those of containers that ended when it did."""
    for hierarchy in os.listdir("/sys/fs/cgroup") if os.path.isdir("/sys/fs/cgroup") else ():
        for path, _, _ in os.walk(os.path.join("/sys/fs/cgroup", hierarchy, name), topdown=False):
            try:
                os.rmdir(path)
            except OSError:
                pass


def run(options):
    known = [name for name, function in SCENARIOS.items() if not (options.real and function.documented)]
    only = options.only.split(",") if options.only else known
    unknown = [name for name in only if name not in SCENARIOS]
    if unknown:
        sys.exit("no such scenario: " + ", ".join(unknown))
    if options.real and not os.path.exists(os.path.join(unpacked(), "ready")):
        made = subprocess.run([options.real, "--home", unpacked(), "driver", "local", "1"], capture_output=True, text=True)
        if made.returncode == 3:
            sys.stderr.write(made.stderr)
            return 3
    with concurrent.futures.ThreadPoolExecutor(1 if options.master else options.jobs) as pool:
        for answer in pool.map(lambda name: play(name, options), only):
            print(json.dumps(answer, sort_keys=True), flush=True)
    return 0


def load(path):
    with open(path) as file:
        return {j["name"]: j.get("lines") for j in map(json.loads, filter(str.strip, file))}


def diff(options):
    got, wrong = load(options.answers), 0
    expected = {name: lines for path in options.expected for name, lines in load(path).items()}
    for name, want in expected.items():
        have = got.get(name, ["(not played)"])
        why = SCENARIOS[name].differs if name in SCENARIOS and not options.same else None
        if have is None or want is None:
            print("skipped: " + name)
        elif why and have != want:
            print("differs on purpose: %s: %s" % (name, why))
        elif why:
            wrong += 1
            print("## %s\n   is the same: take it off what differs" % name)
        elif have != want:
            wrong += 1
            print("## " + name)
            for line in difflib.unified_diff(want, have, "expected", "answers", lineterm="", n=4):
                print("   " + line)
    for name in sorted(set(got) - set(expected)):
        wrong += 1
        print("## %s\n   not among what is expected" % name)
    print("%d passed, %d failed" % (len(expected) - wrong, wrong))
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    r = verbs.add_parser("run")
    where = r.add_mutually_exclusive_group(required=True)
    for flag in ("--messor", "--real", "--master"):
        where.add_argument(flag)
    r.add_argument("--programs", help="Messor's binary, with which the agent of 1.11.0 launches containers")
    r.add_argument("--only")
    r.add_argument("--jobs", type=int, default=8)
    r.add_argument("--verbose", action="store_true")
    d = verbs.add_parser("diff")
    d.add_argument("expected", nargs="+")
    d.add_argument("answers")
    d.add_argument("--same", action="store_true", help="of the same program: nothing differs on purpose")
    verbs.add_parser("list")
    options = parser.parse_args()
    if options.verb == "list":
        for name, function in SCENARIOS.items():
            print("%-40s agents=%d %s" % (name, function.agents, json.dumps(function.flags)))
        return
    sys.exit(run(options) if options.verb == "run" else diff(options))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
