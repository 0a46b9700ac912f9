"""Roles: weights, fair shares, who may have which, and what is told of them."""
from setup import register
from world import reserved, scalar

SCENARIOS = {}


def scenario(**options):
    return register(SCENARIOS, **options)


def shares(w, *frameworks, agents=4):
    """How many agents each of them was offered, when all were free at once."""
    for f in frameworks:
        while sum(len(g.offers) for g in frameworks) < agents:
            event = f.stream.next(1)
            if event is None:
                break
            f.offers.extend(event.get("offers", {}).get("offers", []))
    w.say("agents: %s" % {f.name: len(f.offers) for f in frameworks})


@scenario(agents=4)
def weights_divide(w):
    w.write("PUT", "/weights", [{"role": "a", "weight": 3}, {"role": "b", "weight": 1}])
    hold = w.framework("hold", roles=["hold"])
    hold.expect("OFFERS")
    f, g = w.framework("a", roles=["a"]), w.framework("b", roles=["b"])
    hold.decline(*hold.offers, refuse=1000)
    shares(w, f, g)
    w.read("/roles")
    # New weights take back what is offered, and divide anew.
    f.offers.clear()
    g.offers.clear()
    w.operator("UPDATE_WEIGHTS", weight_infos=[{"role": "a", "weight": 1}, {"role": "b", "weight": 3}])
    w.operator("GET_WEIGHTS")
    shares(w, f, g)
    for one in (hold, f, g):
        one.end()


@scenario(agents=4)
def weights_of_nested_roles(w):
    w.write("PUT", "/weights", [{"role": "x", "weight": 1}, {"role": "y", "weight": 1}, {"role": "x/a", "weight": 1}])
    hold = w.framework("hold", roles=["hold"])
    hold.expect("OFFERS")
    every = [w.framework(role, roles=[role]) for role in ("x/a", "x/b", "y")]
    hold.decline(*hold.offers, refuse=1000)
    shares(w, *every)
    w.operator("GET_ROLES")
    hold.end()
    for one in every:
        one.end()


@scenario()
def weights_that_are_refused(w):
    for body in ([{"role": "a", "weight": 0}], [{"role": "a", "weight": -1}], [{"role": "", "weight": 1}], [{"role": "a/../b", "weight": 1}],
                 [{"role": "a"}], [{"weight": 1}], "no json", [{"role": "a", "weight": 2}, {"role": "a", "weight": 3}], []):
        w.write("PUT", "/weights", body)
    w.read("/weights")
    w.operator("UPDATE_WEIGHTS", weight_infos=[{"role": "b", "weight": -1}])
    w.operator("UPDATE_WEIGHTS", weight_infos=[{"role": "b", "weight": 2.5}])
    w.operator("GET_WEIGHTS")
    w.read("/roles")


@scenario(roles="a,b/c")
def only_some_roles_are_allowed(w):
    w.read("/roles")
    w.framework("yes", roles=["a"]).end()
    w.framework("no", roles=["other"]).quiet(0.3)
    w.framework("one-of-two", roles=["a", "other"]).quiet(0.3)
    w.framework("below", roles=["a/x"]).quiet(0.3)
    w.framework("nested", roles=["b/c"]).end()
    w.framework("star", roles=["*"]).end()
    f = w.framework("f", roles=["a"])
    f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(f.info, roles=["other"])})
    f.end()
    w.write("PUT", "/weights", [{"role": "other", "weight": 2}])
    w.operator("UPDATE_QUOTA", quota_configs=[{"role": "other", "limits": {"cpus": {"value": 1}}}])
    w.operator("RESERVE_RESOURCES", agent_id=w.agents()[0], resources=[reserved(scalar("cpus", 1), "other")])
    w.read("/roles")


@scenario()
def roles_that_are_no_roles(w):
    for role in ("", ".", "..", "-a", "a b", "a/", "/a", "a//b", "a/*", "a/.", "é"):
        w.framework("r", roles=[role]).quiet(0.2)
    w.framework("both", roles=["a"], role="a").quiet(0.2)
    w.framework("twice", roles=["a", "a"]).quiet(0.2)
    w.framework("without", roles=["a", "b"], capabilities=[]).quiet(0.2)
    w.framework("none", roles=[]).quiet(0.4)
    w.framework("suppressed", roles=["a"], suppressed=["b"]).quiet(0.2)


@scenario()
def what_is_told_of_roles(w):
    agents = w.agents()
    w.operator("UPDATE_QUOTA", quota_configs=[{"role": "q", "guarantees": {"cpus": {"value": 1}}, "limits": {"cpus": {"value": 2}}}])
    w.write("PUT", "/weights", [{"role": "heavy", "weight": 2}])
    w.operator("RESERVE_RESOURCES", agent_id=agents[0], resources=[reserved(scalar("cpus", 1), "kept")])
    w.operator("RESERVE_RESOURCES", agent_id=agents[0], resources=[reserved(scalar("cpus", 0.5), "kept", "kept/below")])
    ports = {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31009}]}}
    w.operator("RESERVE_RESOURCES", agent_id=agents[0], resources=[reserved(ports, "kept")])
    f = w.framework("f", roles=["a/b", "q"], suppressed=["a/b"])
    g = w.framework("g", roles=["a", "kept/below"], suppressed=["a"])
    w.until("offered", lambda: len(w.ask("GET_ROLES")["get_roles"]["roles"]) >= 6)
    f.quiet(0.6)
    w.read("/roles")
    w.operator("GET_ROLES")
    w.operator("GET_QUOTA")
    w.read("/quota")
    f.end()
    g.end()
    w.read("/roles")


@scenario(agents=4, fair_sharing_excluded_resource_names="ports,disk")
def what_is_left_out_of_shares(w):
    agents = w.agents()
    # A role that has much disk alone has no share.
    w.operator("RESERVE_RESOURCES", agent_id=agents[0], resources=[reserved(scalar("disk", 9000), "a")])
    f, g = w.framework("a", roles=["a"]), None
    f.expect("OFFERS")
    g = w.framework("b", roles=["b"])
    f.decline(*f.offers, refuse=0)
    f.offers.clear()
    shares(w, f, g)
    f.end()
    g.end()
