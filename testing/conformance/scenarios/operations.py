"""ACCEPT: several operations, several offers, feedback, and what is wrong with some of them."""
from reservations import reserve, unreserve
from setup import register
from volumes import create, disk, made
from world import reserved, scalar

SCENARIOS = {}


def scenario(**options):
    return register(SCENARIOS, **options)


def cpus(amount, *stack, role="a"):
    return reserved(scalar("cpus", amount), *stack, role=role)


def task(offer, name, resources=None, **more):
    role = offer["allocation_info"]["role"]
    resources = resources or [scalar("cpus", 0.1, allocation_info={"role": role}), scalar("mem", 32, allocation_info={"role": role})]
    return dict({"name": name, "task_id": {"value": name}, "agent_id": offer["agent_id"], "resources": resources,
                 "command": {"value": "true"}}, **more)


def launch(*tasks):
    return {"type": "LAUNCH", "launch": {"task_infos": list(tasks)}}


@scenario()
def operations_tell_of_themselves(w):
    f = w.framework(roles=["a"], principal="p")
    offer = f.offer()
    agent = offer["agent_id"]
    f.call("SUPPRESS")
    f.accept(offer, reserve(cpus(1, "a p"), id="r"))
    status = f.expect("UPDATE_OPERATION_STATUS")["update_operation_status"]["status"]
    w.operator("GET_OPERATIONS")
    f.call("RECONCILE_OPERATIONS", reconcile_operations={"operations": [{"operation_id": {"value": "r"}, "agent_id": agent}]})
    f.expect("UPDATE_OPERATION_STATUS")
    f.call("RECONCILE_OPERATIONS", reconcile_operations={"operations": []})
    f.expect("UPDATE_OPERATION_STATUS")
    # An acknowledgement of something else changes nothing.
    f.call("ACKNOWLEDGE_OPERATION_STATUS", acknowledge_operation_status={
        "agent_id": agent, "uuid": "AAAAAAAAQACAAAAAAAAAAA==", "operation_id": {"value": "r"}})
    f.call("ACKNOWLEDGE_OPERATION_STATUS", acknowledge_operation_status={
        "agent_id": agent, "uuid": status["uuid"]["value"], "operation_id": {"value": "r"}})
    w.until("acknowledged", lambda: not w.ask("GET_OPERATIONS")["get_operations"].get("operations"))
    w.operator("GET_OPERATIONS")
    f.call("RECONCILE_OPERATIONS", reconcile_operations={"operations": [
        {"operation_id": {"value": "r"}, "agent_id": agent}]})
    f.expect("UPDATE_OPERATION_STATUS")
    f.call("RECONCILE_OPERATIONS", reconcile_operations={"operations": [{"operation_id": {"value": "never"}}]})
    f.expect("UPDATE_OPERATION_STATUS")
    f.call("RECONCILE_OPERATIONS", reconcile_operations={"operations": [
        {"operation_id": {"value": "x"}, "agent_id": {"value": "nowhere"}}]})
    f.expect("UPDATE_OPERATION_STATUS")
    f.end()
    w.metrics("master/operations/")


@scenario()
def an_invalid_operation_among_valid_ones(w):
    f = w.framework(roles=["a"], principal="p")
    offer = f.offer()
    f.call("SUPPRESS")
    f.accept(offer,
             reserve(cpus(1, "a p"), id="first"),
             reserve(cpus(9, "a p"), id="too-much"),
             reserve(disk(64), id="third"),
             create(made(64), id="fourth"),
             create(made(64), id="again"),
             unreserve(cpus(0.5, "a p"), id="sixth"))
    for _ in range(6):
        f.expect("UPDATE_OPERATION_STATUS")
    f.call("REVIVE")
    f.offer()
    f.end()
    w.metrics("master/operations/")


@scenario()
def ids_of_operations(w):
    f = w.framework(roles=["a"], principal="p")
    f.accept(f.offer(), reserve(cpus(1, "a p"), id="same"), reserve(cpus(1, "a p"), id="same"))
    f.expect_all("UPDATE_OPERATION_STATUS", "UPDATE_OPERATION_STATUS", "OFFERS", seconds=3)
    w.operator("GET_OPERATIONS")
    f.end()
    g = w.framework("g", roles=["a"], principal="p")
    g.accept(g.offer(), launch(task({"allocation_info": {"role": "a"}, "agent_id": w.agents()[0]}, "t")) | {"id": {"value": "launch"}})
    g.quiet()
    g.end()


@scenario()
def offers_that_are_not_there(w):
    f = w.framework("f", roles=["a"], principal="p")
    g = w.framework("g", roles=["a"], principal="p", suppressed=["a"])
    offer = f.offer()
    unknown = dict(offer, id={"value": "unknown"})
    f.accept(unknown, reserve(cpus(1, "a p"), id="unknown"))
    f.expect("UPDATE_OPERATION_STATUS")
    f.accept(unknown, launch(task(offer, "unknown-offer")))
    f.expect("UPDATE")
    g.accept(offer, reserve(cpus(1, "a p"), id="of-another"))
    g.expect("UPDATE_OPERATION_STATUS")
    g.accept(offer, launch(task(offer, "of-another")))
    g.expect("UPDATE")
    f.accept([offer, offer], reserve(cpus(1, "a p"), id="twice"))
    f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    f.accept([f.offer(), unknown], reserve(cpus(1, "a p"), id="one-unknown"))
    f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    f.accept([], reserve(cpus(1, "a p"), id="none"))
    f.quiet()
    f.end()
    g.end()


@scenario(agents=2)
def offers_of_two_agents_at_once(w):
    f = w.framework(roles=["a"], principal="p")
    agents = w.agents()
    first, second = f.offer(agent=agents[0]), f.offer(agent=agents[1])
    f.accept([first, second], reserve(cpus(1, "a p"), id="both"), launch(task(first, "t")))
    f.expect_all("UPDATE_OPERATION_STATUS", "UPDATE", "OFFERS")
    f.end()


@scenario()
def offers_of_two_roles_at_once(w):
    w.operator("UPDATE_QUOTA", force=True, quota_configs=[{"role": "a", "limits": {"cpus": {"value": 1}, "mem": {"value": 1024}}}])
    f = w.framework(roles=["a", "b"], principal="p", suppressed=["b"])
    first = f.offer("a")
    f.call("REVIVE", revive={"roles": ["b"]})
    second = f.offer("b")
    f.accept([first, second], reserve(cpus(1, "a p"), id="both"), launch(task(first, "t")))
    f.expect_all("UPDATE_OPERATION_STATUS", "UPDATE", "OFFERS", seconds=5)
    f.end()


@scenario()
def two_offers_of_one_agent_at_once(w):
    limit = lambda n, m: w.operator("UPDATE_QUOTA", force=True, quota_configs=[
        {"role": "a", "limits": {"cpus": {"value": n}, "mem": {"value": m}}}])
    limit(1, 1024)
    f = w.framework(roles=["a"], principal="p")
    first = f.offer()
    limit(3, 2048)
    second = f.offer()
    # More than each of them has.
    f.accept([first, second], reserve(cpus(2.5, "a p"), reserved(scalar("mem", 2000), "a p", role="a"), id="both"))
    f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    f.end()


@scenario()
def tasks_that_are_refused(w):
    f = w.framework(roles=["a"], principal="p", checkpoint=True)
    amount = lambda name, n: scalar(name, n, allocation_info={"role": "a"})
    both = [amount("cpus", 1), amount("mem", 64)]
    linux = {"container": {"type": "MESOS", "linux_info": {"share_cgroups": False}}}
    cases = [
        ("limit-below-request", {"limits": {"cpus": {"value": 0.5}}}),
        ("mem-limit-below-request", {"limits": {"mem": {"value": 32}}}),
        ("limit-of-something-else", {"limits": {"disk": {"value": 100}}}),
        ("limit-of-ports", {"limits": {"cpus": {"value": 2}, "ports": {"value": 1}}}),
        ("too-much", {"resources": [amount("cpus", 5)]}),
        ("other-role", {"resources": [scalar("cpus", 1, allocation_info={"role": "b"})]}),
        ("no-resources", {"resources": []}),
        ("twice-the-same-volume", {"resources": both + [made(10, "v"), made(10, "v")]}),
        ("volume-that-is-not", {"resources": both + [made(10, "v")]}),
        ("mixed-revocable", {"resources": [amount("cpus", 1), dict(amount("cpus", 1), revocable={})]}),
        ("bad-unit", {"resources": [amount("cpus", -1)]}),
        ("id/with-slash", {}),
        ("no-command", {"command": None}),
        ("both", {"executor": {"executor_id": {"value": "e"}, "command": {"value": "x"}}}),
        ("executor-of-another", {"command": None, "executor": {
            "executor_id": {"value": "e"}, "framework_id": {"value": "other"}, "command": {"value": "x"}}}),
        ("negative-grace", {"kill_policy": {"grace_period": {"nanoseconds": -1}}}),
        ("health-check-of-nothing", {"health_check": {"type": "HTTP"}}),
        ("check-of-nothing", {"check": {"type": "COMMAND"}}),
        ("negative-completion", {"max_completion_time": {"nanoseconds": -1}}),
        ("unreachable-without-partition", {"command": {"value": "true", "environment": {"variables": [{"name": "x"}]}}}),
        ("linux-info", linux | {"limits": {"cpus": {"value": 0.1}}}),
    ]
    for name, change in cases:
        offer = f.offer()
        info = dict(task(offer, name, both), **change)
        f.accept(offer, launch({k: v for k, v in info.items() if v is not None}))
        f.expect_all("UPDATE", "OFFERS", seconds=5)
    # Limits may be as large as one likes, also of one among several tasks.
    offer = f.offer()
    f.accept(offer, launch(task(offer, "wrong-agent", both, agent_id={"value": "nowhere"})))
    f.expect_all("UPDATE", "OFFERS", seconds=5)
    f.end()


@scenario()
def task_groups_that_are_refused(w):
    f = w.framework(roles=["a"], principal="p")
    amount = lambda name, n: scalar(name, n, allocation_info={"role": "a"})
    both = [amount("cpus", 0.1), amount("mem", 32)]
    executor = {"type": "DEFAULT", "executor_id": {"value": "e"}, "framework_id": f.id,
                "resources": both + [amount("disk", 32)]}
    group = lambda tasks, executor: {"type": "LAUNCH_GROUP", "launch_group": {"executor": executor, "task_group": {"tasks": tasks}}}
    bare = {k: v for k, v in executor.items() if k != "type"}
    cases = [
        ("one-too-large", lambda o: group([task(o, "g1", both), task(o, "g2", [amount("cpus", 9), amount("mem", 1)])], executor)),
        ("docker", lambda o: group([task(o, "g3", both, container={"type": "DOCKER", "docker": {"image": "i"}})], executor)),
        ("executor-without-type", lambda o: group([task(o, "g5", both)], bare)),
        ("executor-without-resources", lambda o: group([task(o, "g6", both)], dict(executor, resources=[]))),
        ("executor-with-command", lambda o: group([task(o, "g7", both)], dict(executor, command={"value": "x"}))),
    ]
    for name, make in cases:
        w.say("# " + name)
        offer = f.offer()
        operation = make(offer)
        f.accept(offer, operation)
        f.expect_all(*["UPDATE"] * len(operation["launch_group"]["task_group"]["tasks"]), "OFFERS", seconds=5)
    f.end()


@scenario(agents=1)
def operations_of_an_agent_that_is_gone(w):
    agent = w.agents()[0]
    f = w.framework(roles=["a"], principal="p")
    f.accept(f.offer(), reserve(cpus(1, "a p"), id="r"))
    f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    w.operator("MARK_AGENT_GONE", agent_id=agent)
    f.quiet(1)
    f.call("RECONCILE_OPERATIONS", reconcile_operations={"operations": [
        {"operation_id": {"value": "r"}, "agent_id": agent}, {"operation_id": {"value": "s"}, "agent_id": agent}]})
    f.expect("UPDATE_OPERATION_STATUS")
    f.expect("UPDATE_OPERATION_STATUS")
    w.operator("MARK_AGENT_GONE", agent_id=agent)
    w.operator("MARK_AGENT_GONE", agent_id={"value": "never"})
    f.call("RECONCILE", reconcile={"tasks": [{"task_id": {"value": "t"}, "agent_id": agent}]})
    f.expect("UPDATE")
    w.operator("GET_AGENTS")
    f.end()
