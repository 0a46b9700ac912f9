"""Agents that are to leave: maintenance, inverse offers, draining, deactivation, gone; and what operators hear of it."""
import json
import time

from operations import launch, task
from reservations import reserve
from setup import register
from world import Stream, plain, reserved, scalar

SCENARIOS = {}
FAR = 4_000_000_000_000_000_000


def scenario(**options):
    return register(SCENARIOS, **options)


def machine(hostname="localhost", ip="127.0.0.1"):
    return {"hostname": hostname, "ip": ip}


def window(*machines, start=FAR, duration=None):
    span = {"start": {"nanoseconds": start}}
    if duration is not None:
        span["duration"] = {"nanoseconds": duration}
    return {"machine_ids": list(machines), "unavailability": span}


@scenario()
def inverse_offers_are_answered(w):
    f = w.framework(roles=["a"], principal="p")
    f.accept(f.offer(), reserve(reserved(scalar("cpus", 1), "a p", role="a")), refuse=1000)
    f.quiet(0.6)
    f.offers.clear()
    w.write("POST", "/maintenance/schedule", {"windows": [window(machine(), duration=3_600_000_000_000)]})
    f.quiet(1)
    w.read("/maintenance/schedule")
    w.operator("GET_MAINTENANCE_STATUS")
    w.write("POST", "/maintenance/schedule", {})
    f.quiet(1)
    w.operator("GET_MAINTENANCE_STATUS")
    f.end()


@scenario(agents=2)
def frameworks_that_hold_offers_are_asked(w):
    w.agents()
    f = w.framework("f", roles=["a"])
    f.expect("OFFERS")
    w.write("POST", "/maintenance/schedule", {"windows": [window(machine())]})
    f.quiet(1, merge=True)
    inverse = f.inverse
    w.say("inverse offers: %d" % len(inverse))
    if inverse:
        f.call("ACCEPT_INVERSE_OFFERS", accept_inverse_offers={"inverse_offer_ids": [inverse[0]], "filters": {"refuse_seconds": 1000}})
        f.call("DECLINE_INVERSE_OFFERS", decline_inverse_offers={"inverse_offer_ids": inverse[1:], "filters": {"refuse_seconds": 1000}})
        f.quiet(0.8)
        w.operator("GET_MAINTENANCE_STATUS")
    f.call("ACCEPT_INVERSE_OFFERS", accept_inverse_offers={"inverse_offer_ids": [{"value": "unknown"}]})
    f.quiet(0.5)
    g = w.framework("g", roles=["b"])
    g.quiet(0.6)
    g.end()
    w.write("POST", "/maintenance/schedule", {"windows": [window(machine("elsewhere", "10.0.0.1"))]})
    f.quiet(1, merge=True)
    w.operator("GET_MAINTENANCE_STATUS")
    f.end()


@scenario()
def schedules_that_are_refused(w):
    cases = {
        "nobody": {"windows": [{"machine_ids": [], "unavailability": {"start": {"nanoseconds": FAR}}}]},
        "no-name": {"windows": [window({})]},
        "twice-in-one": {"windows": [window(machine("m", "10.0.0.1"), machine("m", "10.0.0.1"))]},
        "twice": {"windows": [window(machine("m", "10.0.0.1")), window(machine("m", "10.0.0.1"))]},
        "negative": {"windows": [window(machine("m", "10.0.0.1"), duration=-1)]},
        "bad-ip": {"windows": [window(machine("m", "not-an-ip"))]},
        "no-start": {"windows": [{"machine_ids": [machine("m")], "unavailability": {}}]},
        "no-json": "no json",
        "hostname-alone": {"windows": [window({"hostname": "M"})]},
        "ip-alone": {"windows": [window({"ip": "10.0.0.2"})]},
    }
    for name, body in cases.items():
        w.say("# " + name)
        w.write("POST", "/maintenance/schedule", body)
    w.read("/maintenance/schedule")
    w.write("POST", "/machine/down", [machine("unknown", "10.0.0.9")])
    w.write("POST", "/machine/down", [])
    w.write("POST", "/machine/down", [{}])
    w.write("POST", "/machine/up", [{"ip": "10.0.0.2"}])
    w.write("POST", "/machine/up", [machine("unknown", "10.0.0.9")])
    w.write("POST", "/machine/down", [{"ip": "10.0.0.2"}, {"ip": "10.0.0.2"}])
    w.write("POST", "/machine/down", [{"ip": "10.0.0.2"}])
    w.write("POST", "/machine/down", [{"ip": "10.0.0.2"}])
    # A machine that is down cannot be left out of the schedule.
    w.write("POST", "/maintenance/schedule", {})
    w.read("/maintenance/status")
    w.operator("START_MAINTENANCE", machines=[{"ip": "10.0.0.2"}])
    w.operator("STOP_MAINTENANCE", machines=[{"ip": "10.0.0.2"}])
    w.operator("STOP_MAINTENANCE", machines=[{"ip": "10.0.0.2"}])
    w.read("/maintenance/schedule")
    w.operator("UPDATE_MAINTENANCE_SCHEDULE", schedule={})
    w.operator("GET_MAINTENANCE_SCHEDULE")


@scenario()
def a_machine_goes_down_and_up(w):
    w.agents()
    f = w.framework(roles=["a"])
    f.offer()
    w.operator("START_MAINTENANCE", machines=[machine()])
    w.operator("UPDATE_MAINTENANCE_SCHEDULE", schedule={"windows": [window(machine(), start=1, duration=3_600_000_000_000)]})
    f.quiet(1)
    w.operator("START_MAINTENANCE", machines=[machine()])
    f.quiet(1)
    w.read("/maintenance/status")
    w.operator("GET_AGENTS")
    w.operator("STOP_MAINTENANCE", machines=[machine()])
    w.read("/maintenance/schedule")
    w.read("/maintenance/status")
    f.end()


def drain_state(agents):
    return [{k: v for k, v in a.items() if k in ("active", "deactivated", "drain_info", "estimated_drain_start_time")}
            for a in agents["get_agents"].get("agents", [])]


def is_drained(w):
    return any(a.get("drain_info", {}).get("state") == "DRAINED" for a in drain_state(w.ask("GET_AGENTS")))


@scenario()
def an_agent_without_tasks_is_drained(w):
    agent = w.agents()[0]
    f = w.framework(roles=["a"])
    f.offer()
    w.operator("DRAIN_AGENT", agent_id=agent, max_grace_period={"seconds": 10})
    f.quiet(1)
    w.operator("GET_AGENTS", keep=drain_state)
    w.read("/slaves")
    w.operator("DRAIN_AGENT", agent_id=agent)
    w.operator("DEACTIVATE_AGENT", agent_id=agent)
    w.operator("REACTIVATE_AGENT", agent_id=agent)
    f.offer()
    w.operator("GET_AGENTS", keep=drain_state)
    w.operator("DRAIN_AGENT", agent_id={"value": "unknown"})
    w.operator("DRAIN_AGENT")
    w.operator("REACTIVATE_AGENT", agent_id=agent)
    w.operator("REACTIVATE_AGENT", agent_id={"value": "unknown"})
    w.operator("GET_AGENTS", keep=drain_state)
    f.end()


@scenario(differs="a negative max_grace_period is refused: 1.11.0 takes it, and tasks have no time at all")
def draining_in_less_than_no_time(w):
    w.operator("DRAIN_AGENT", agent_id=w.agents()[0], max_grace_period={"seconds": -1})


@scenario()
def drained_and_gone(w):
    agent = w.agents()[0]
    f = w.framework(roles=["a"])
    f.offer()
    w.operator("DRAIN_AGENT", agent_id=agent, mark_gone=True, max_grace_period={"seconds": 0})
    f.quiet(1.5)
    w.operator("GET_AGENTS")
    w.operator("DRAIN_AGENT", agent_id=agent)
    w.operator("REACTIVATE_AGENT", agent_id=agent)
    f.call("RECONCILE", reconcile={"tasks": [{"task_id": {"value": "t"}, "agent_id": agent}]})
    f.expect("UPDATE")
    f.end()


@scenario()
def deactivated_and_reactivated(w):
    agent = w.agents()[0]
    f = w.framework(roles=["a"])
    f.offer()
    w.operator("DEACTIVATE_AGENT", agent_id=agent)
    f.quiet(1)
    w.operator("GET_AGENTS", keep=drain_state)
    w.read("/slaves")
    w.read("/state-summary", "slaves")
    w.operator("DEACTIVATE_AGENT", agent_id=agent)
    w.operator("DEACTIVATE_AGENT", agent_id={"value": "unknown"})
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[reserved(scalar("cpus", 1), "a")])
    w.until("done", lambda: not w.ask("GET_OPERATIONS")["get_operations"].get("operations"))
    w.operator("DRAIN_AGENT", agent_id=agent)
    w.until("drained", lambda: is_drained(w))
    w.operator("GET_AGENTS", keep=drain_state)
    w.operator("REACTIVATE_AGENT", agent_id=agent)
    f.offer()
    w.operator("REACTIVATE_AGENT", agent_id=agent)
    f.end()


@scenario(agents=2)
def one_of_two_agents_is_gone(w):
    first, second = w.agents()
    f = w.framework(roles=["a"])
    f.expect("OFFERS")
    w.operator("MARK_AGENT_GONE", agent_id=first)
    f.quiet(1)
    w.operator("GET_AGENTS", keep=drain_state)
    gone = {"id": {"value": "gone"}, "agent_id": first, "allocation_info": {"role": "a"}}
    f.accept(gone, launch(task(gone, "t")))
    f.expect("UPDATE")
    f.call("RECONCILE", reconcile={"tasks": [{"task_id": {"value": "x"}, "agent_id": first},
                                             {"task_id": {"value": "y"}, "agent_id": second}]})
    f.expect_all("UPDATE", "UPDATE")
    f.end()


@scenario(agents=1, differs="operators hear that an agent is gone: 1.11.0 leaves it in the picture")
def operators_hear_of_it(w):
    stream = Stream(w.base, "/master/api/v1", {"type": "SUBSCRIBE"})
    w.streams.append(stream)
    agent = w.agents()[0]

    def hear(seconds=1.0):
        end = time.time() + seconds
        while time.time() < end:
            event = stream.next(end - time.time())
            if event is not None:
                w.say("operator: < %s %s" % (event["type"], w.mask(json.dumps(plain(
                    {k: v for k, v in event.items() if k != "type"}), sort_keys=True))))

    hear()
    f = w.framework(roles=["a"], principal="p")
    hear(0.5)
    f.accept(f.offer(), reserve(reserved(scalar("cpus", 1), "a p", role="a")), refuse=1000)
    f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(f.info, roles=["b"])})
    hear(0.5)
    w.operator("DEACTIVATE_AGENT", agent_id=agent)
    w.operator("DRAIN_AGENT", agent_id=agent)
    w.operator("MARK_AGENT_GONE", agent_id=agent)
    hear(0.5)
    f.end()
    hear(0.5)
