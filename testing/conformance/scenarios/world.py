"""What a scenario is played with: frameworks and operators over HTTP, and the list of lines that says what came back.

It knows no scenario and no program: only URLs, calls and events. A line never tells ids, times or addresses: an id is
`agent1`, `framework1`, … in the order in which they are first seen.
"""
import http.client
import json
import queue
import re
import threading
import time
import urllib.parse

PATIENCE = 8.0
CAPABILITIES = ("MULTI_ROLE", "PARTITION_AWARE", "RESERVATION_REFINEMENT", "SHARED_RESOURCES", "TASK_KILLING_STATE")
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
ID = re.compile(UUID + r"(?:-[SOCI]?\d+)?")
# The script apache-mesos-local has had a framework of its own.
LEFT_OUT = {"completed_frameworks"}
# Values that say when, where or in which build something is, and nothing that could be compared.
MASKED = {"port", "ip", "pid", "uuid", "timestamp", "start_time",
          "heartbeat_interval_seconds", "elected_time", "version", "message", "url", "master_info", "executor_pid"}


def scalar(name, value, **more):
    return dict({"name": name, "type": "SCALAR", "scalar": {"value": value}}, **more)


def reserved(resource, *reservations, role=None):
    """With reservations, outermost first, each `role` or `role principal`; allocated to `role` or to nobody."""
    stack = []
    for text in reservations:
        name, _, principal = text.partition(" ")
        kind = "STATIC" if name.startswith("static:") else "DYNAMIC"
        one = {"type": kind, "role": name.removeprefix("static:")}
        stack.append(dict(one, principal=principal) if principal else one)
    out = dict(resource, reservations=stack) if stack else dict(resource)
    return dict(out, allocation_info={"role": role}) if role else out


def volume(resource, name, path="data", principal=None, **more):
    persistence = dict({"id": name}, **({"principal": principal} if principal else {}))
    disk = dict(resource.get("disk", {}), persistence=persistence, volume={"container_path": path, "mode": "RW"})
    return dict(resource, disk=disk, **more)


class Names:
    """Gives every id that is seen a name by its kind and turn."""

    def __init__(self):
        self.known, self.counts = {}, {}

    def name(self, match):
        found = match.group(0)
        if found not in self.known:
            last = found.rsplit("-", 1)[-1]
            if not re.fullmatch(r"[SOCI]?\d+", last):
                kind = "uuid"
            else:
                kind = {"S": "agent", "O": "offer"}.get(last[0], "framework" if len(last) == 4 else "id")
            if kind in ("offer", "uuid"):
                return "<%s>" % kind
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.known[found] = "%s%d" % (kind, self.counts[kind])
        return self.known[found]

    def mask(self, text):
        return re.sub(r"(slave\()\d+\)", r"\1N)", re.sub(r"127\.0\.0\.1(:\d+)?", "<address>", ID.sub(self.name, text)))


def is_resource(value):
    return isinstance(value, dict) and "name" in value and ("scalar" in value or "ranges" in value or "set" in value)


def resource_text(resource):
    rest = {k: v for k, v in resource.items() if k not in ("name", "type", "scalar", "ranges", "set")}
    if "scalar" in resource:
        amount = "%g" % round(resource["scalar"]["value"], 3)
    elif "ranges" in resource:
        amount = ",".join("%d-%d" % (r["begin"], r["end"]) for r in resource["ranges"].get("range", []))
    else:
        amount = ",".join(sorted(resource["set"].get("item", [])))
    stack = "".join("(%s %s%s%s)" % (r.get("type"), r.get("role"), " " + r["principal"] if "principal" in r else "",
                                     " " + json.dumps(r["labels"]) if "labels" in r else "")
                    for r in rest.pop("reservations", []))
    role = rest.pop("allocation_info", {}).get("role")
    more = " " + json.dumps(rest, sort_keys=True) if rest else ""
    return "%s:%s%s%s%s" % (resource["name"], amount, " " + stack if stack else "", " for " + role if role else "", more)


def plain(value, key=None):
    """JSON with resources as texts, lists in the order of their texts, and what cannot be compared as `?`."""
    if is_resource(value):
        return resource_text(value)
    if key in MASKED:
        return "?"
    if isinstance(value, dict):
        return {k: plain(v, k) for k, v in value.items() if k not in LEFT_OUT}
    if isinstance(value, list):
        return sorted((plain(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    now = isinstance(value, (int, float)) and (1.6e9 < value < 2.5e9 or 1.6e18 < value < 2.5e18)
    return "?" if now else value


def records(answer):
    """The records of a stream, as they come."""
    buffer = b""
    while True:
        piece = answer.read1(65536)
        if not piece:
            return
        buffer += piece
        while b"\n" in buffer:
            length, _, rest = buffer.partition(b"\n")
            if len(rest) < int(length):
                break
            yield json.loads(rest[:int(length)])
            buffer = rest[int(length):]


class Stream:
    """A RecordIO stream of JSON events, read by a thread."""

    def __init__(self, base, path, call):
        url = urllib.parse.urlsplit(base)
        self.connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        self.connection.request("POST", path, json.dumps(call),
                                {"Content-Type": "application/json", "Accept": "application/json"})
        self.answer = self.connection.getresponse()
        self.code, self.id = self.answer.status, self.answer.getheader("Mesos-Stream-Id")
        self.events = queue.Queue()
        if self.code == 200:
            threading.Thread(target=self.read, daemon=True).start()
        else:
            self.answer.read()

    def read(self):
        try:
            for event in records(self.answer):
                if event.get("type") != "HEARTBEAT":
                    self.events.put(event)
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass
        self.events.put({"type": "(closed)"})

    def next(self, seconds):
        try:
            return self.events.get(timeout=max(0.01, seconds))
        except queue.Empty:
            return None

    def close(self):
        try:
            self.connection.sock.shutdown(2)
        except (OSError, AttributeError):
            pass


class Framework:
    """A v1 scheduler. What it calls and what it hears goes into the world's lines."""

    def __init__(self, world, name, info, suppressed, constraints):
        self.world, self.name, self.id, self.offers, self.inverse, self.last = world, name, None, [], [], None
        self.told_of = {}
        subscribe = {"framework_info": info}
        if suppressed:
            subscribe["suppressed_roles"] = suppressed
        if constraints:
            subscribe["offer_constraints"] = constraints
        call = {"type": "SUBSCRIBE", "subscribe": subscribe}
        if "id" in info:
            call["framework_id"] = self.id = info["id"]
        self.info = info
        self.stream = Stream(world.base, "/master/api/v1/scheduler", call)
        world.say("%s: SUBSCRIBE %d" % (name, self.stream.code))
        if self.stream.code == 200:
            event = self.expect("SUBSCRIBED")
            if event:
                self.id = event["subscribed"]["framework_id"]
                self.info = dict(info, id=self.id)

    def call(self, kind, **body):
        headers = {"Content-Type": "application/json", "Mesos-Stream-Id": self.stream.id or ""}
        call = dict({"type": kind, "framework_id": self.id}, **body)
        code, _ = self.world.request("POST", "/master/api/v1/scheduler", json.dumps(call), headers)
        self.world.say("%s: %s %d" % (self.name, kind, code))
        return code

    def told(self, event):
        kind = event["type"]
        if kind == "OFFERS":
            texts = []
            for offer in event["offers"]["offers"]:
                self.offers.append(offer)
                self.told_of[offer["id"]["value"]] = offer
                extra = {k: v for k, v in offer.items() if k in ("unavailability", "attributes", "executor_ids", "domain")}
                extra = " " + json.dumps(plain(extra), sort_keys=True) if extra else ""
                texts.append(("for %s: %s%s" % (offer.get("allocation_info", {}).get("role"),
                                                "; ".join(sorted(resource_text(r) for r in offer["resources"])), extra),
                              offer["agent_id"]["value"]))
            # Agents get their names after the texts are in order: which agent it is, is not always decided by anything.
            body = sorted("%s %s" % (self.world.mask(agent), text) for text, agent in sorted(texts))
        elif kind == "RESCIND":
            # Told by what it was.
            gone = self.told_of.get(event["rescind"]["offer_id"]["value"])
            self.offers = [o for o in self.offers if o is not gone]
            body = self.world.mask("%s for %s" % (gone["agent_id"]["value"], gone["allocation_info"]["role"])) if gone else "unknown"
        else:
            self.inverse += [o["id"] for o in event.get("inverse_offers", {}).get("inverse_offers", [])]
            body = plain({k: v for k, v in event.items() if k != "type"})
        text = self.world.mask(json.dumps(body, sort_keys=True)) if body else ""
        self.world.say("%s: < %s %s" % (self.name, kind, text))

    def expect(self, kind, seconds=PATIENCE, match=lambda event: True):
        """Says every event up to one of this kind, which it returns."""
        end = time.time() + seconds
        while time.time() < end:
            event = self.stream.next(end - time.time())
            if event is None:
                break
            self.told(event)
            if event["type"] == kind and match(event):
                return event
            if event["type"] == "(closed)":
                return None
        self.world.say("%s: no %s came" % (self.name, kind))
        return None

    def expect_all(self, *kinds, seconds=PATIENCE):
        """Events of these kinds, whose order is nobody's promise: said in the order of their texts."""
        left, kept = list(kinds), self.world.lines
        self.world.lines = []
        end = time.time() + seconds
        while left and time.time() < end:
            event = self.stream.next(end - time.time())
            if event is None:
                break
            self.told(event)
            if event["type"] in left:
                left.remove(event["type"])
        kept.extend(sorted(self.world.lines))
        self.world.lines = kept
        for kind in left:
            self.world.say("%s: no %s came" % (self.name, kind))

    def quiet(self, seconds=0.9, merge=False):
        """Says what comes in this time, or that nothing does.

        `merge`: offers of several agents may come in one event or in several, and are said as if in one.
        """
        end, events = time.time() + seconds, []
        while time.time() < end:
            event = self.stream.next(end - time.time())
            if event is None:
                continue
            kind = event["type"].lower()
            same = [e for e in events if merge and e["type"] == event["type"] and kind in ("offers", "inverse_offers")]
            if same:
                same[0][kind][kind].extend(event[kind][kind])
            else:
                events.append(event)
                if not merge:
                    self.told(event)
        for event in events if merge else ():
            self.told(event)
        if not events:
            self.world.say("%s: nothing comes" % self.name)

    def offer(self, role=None, agent=None, seconds=PATIENCE):
        """The next offer; there must be one."""
        fits = lambda o: (role is None or o["allocation_info"]["role"] == role) and (agent is None or o["agent_id"] == agent)
        end = time.time() + seconds
        while time.time() < end:
            found = [o for o in self.offers if fits(o)]
            if found:
                self.offers.remove(found[0])
                self.last = found[0]
                return self.last
            if self.expect("OFFERS", end - time.time()) is None:
                break
        raise Stopped("%s has no offer" % self.name)

    def accept(self, offers, *operations, refuse=0):
        offers = offers if isinstance(offers, list) else [offers]
        self.call("ACCEPT", accept={"offer_ids": [o["id"] for o in offers], "operations": list(operations),
                                    "filters": {"refuse_seconds": refuse}})

    def decline(self, *offers, refuse=0):
        self.offers = [o for o in self.offers if o not in offers]
        self.call("DECLINE", decline={"offer_ids": [o["id"] for o in offers], "filters": {"refuse_seconds": refuse}})

    def end(self):
        self.call("TEARDOWN")
        self.stream.close()


class Stopped(Exception):
    """A scenario that cannot go on; its lines say why."""


class World:
    """One master, one scenario."""

    def __init__(self, base):
        self.base, self.lines, self.names, self.streams = base, [], Names(), []

    def say(self, text):
        self.lines.append(text.rstrip())

    def mask(self, text):
        return self.names.mask(text)

    def request(self, method, path, body=None, headers=None):
        url = urllib.parse.urlsplit(self.base)
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        connection.close()
        return answer.status, text

    def framework(self, name="f", roles=("a",), capabilities=CAPABILITIES, suppressed=None, constraints=None, **info):
        info = dict({"user": "root", "name": name, "roles": list(roles),
                     "capabilities": [{"type": t} for t in capabilities]}, **info)
        framework = Framework(self, name, info, suppressed, constraints)
        self.streams.append(framework.stream)
        return framework

    def read(self, path, *keys):
        """A GET, whose answer is said; of an object only these keys where any are named."""
        code, text = self.request("GET", path if path.startswith("/allocator") else "/master" + path)
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        shown = {k: body.get(k, "(absent)") for k in keys} if keys and isinstance(body, dict) else body
        self.say("GET %s %d %s" % (path, code, self.mask(json.dumps(plain(shown), sort_keys=True))))
        return body

    def write(self, method, path, body):
        """A PUT, POST or DELETE of an endpoint; errors are each program's own words, so only their codes are said."""
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        code, answer = self.request(method, "/master" + path, text, {})
        self.say("%s %s %d" % (method, self.mask(path), code))
        return code

    def operator(self, kind, show=True, keep=None, **body):
        """A v1 call; the answer is said where there is one, or a part of it."""
        call = dict({"type": kind}, **({kind.lower(): body} if body else {}))
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        code, text = self.request("POST", "/master/api/v1", json.dumps(call), headers)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        line = "operator: %s %d" % (kind, code)
        if code == 200 and show and answer is not None:
            shown = plain(keep(answer) if keep else answer.get(kind.lower(), answer))
            line += " " + self.mask(json.dumps(shown, sort_keys=True))
        self.say(line)
        return answer

    def until(self, what, call, seconds=PATIENCE):
        """Waits for something that no event tells of, without a word of how often it was asked."""
        end = time.time() + seconds
        while time.time() < end:
            if call():
                return
            time.sleep(0.05)
        self.say("not " + what)

    def ask(self, kind, **body):
        """A v1 call of which nothing is said."""
        call = dict({"type": kind}, **({kind.lower(): body} if body else {}))
        _, text = self.request("POST", "/master/api/v1", json.dumps(call),
                               {"Content-Type": "application/json", "Accept": "application/json"})
        return json.loads(text) if text else {}

    def agents(self):
        """The ids of the agents, named in this order from here on."""
        found = [a["agent_info"]["id"] for a in self.ask("GET_AGENTS")["get_agents"].get("agents", [])]
        found.sort(key=lambda a: a["value"])
        for agent in found:
            self.mask(agent["value"])
        return found

    def count(self, name):
        """One metric, of which nothing is said."""
        return json.loads(self.request("GET", "/metrics/snapshot")[1]).get(name)

    def metrics(self, prefix):
        """Counts that are there under a prefix, by name."""
        code, text = self.request("GET", "/metrics/snapshot")
        # `consumed` is what 1.11.0 counts of roles with reservations, quota or not, under a name that it does not document.
        kept = {k: v for k, v in json.loads(text).items() if k.startswith(prefix) and not k.endswith("/consumed")}
        self.say("metrics %s %s" % (prefix, self.mask(json.dumps(kept, sort_keys=True))))

    def close(self):
        for stream in self.streams:
            stream.close()

    def ordered(self):
        """The lines; what is rescinded at once is rescinded in no order."""
        out, run = [], []
        for line in self.lines:
            if run and (" < RESCIND " not in line or line.split(":")[0] != run[0].split(":")[0]):
                out, run = out + sorted(run), []
            (run if " < RESCIND " in line else out).append(line)
        return out + sorted(run)
