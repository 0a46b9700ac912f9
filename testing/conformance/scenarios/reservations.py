"""Reservations: made, refined, taken off, moved from role to role; by frameworks and by operators."""
import json
import urllib.parse

from setup import register
from world import reserved, scalar

SCENARIOS = {}


def scenario(**options):
    return register(SCENARIOS, **options)


def reserve(*resources, source=None, id=None):
    body = {"resources": list(resources)}
    if source:
        body["source"] = source
    return dict({"type": "RESERVE", "reserve": body}, **({"id": {"value": id}} if id else {}))


def unreserve(*resources, id=None):
    return dict({"type": "UNRESERVE", "unreserve": {"resources": list(resources)}}, **({"id": {"value": id}} if id else {}))


@scenario()
def reserve_refine_and_unreserve(w):
    eng = w.framework("eng", roles=["eng"], principal="p")
    eng.accept(eng.offer(), reserve(reserved(scalar("cpus", 2), "eng p", role="eng")), refuse=1000)
    eng.call("SUPPRESS")
    f = w.framework("web", roles=["eng/web"], principal="p")
    outer = reserved(scalar("cpus", 2), "eng p", role="eng/web")
    inner = reserved(scalar("cpus", 1.5), "eng p", "eng/web p", role="eng/web")
    f.accept(f.offer(), reserve(inner))
    offer = f.offer()
    # The outer reservation cannot be taken from under the inner one.
    f.accept(offer, unreserve(reserved(scalar("cpus", 1.5), "eng p", role="eng/web"), id="from-under"))
    f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    f.accept(f.offer(), unreserve(inner))
    f.accept(f.offer(), unreserve(outer))
    f.offer()
    f.end()
    eng.end()


@scenario(resources="cpus:2;cpus(eng):2;mem:1024;mem(eng/web):1024;disk:1000")
def static_reservations_are_refined_and_stay(w):
    agents = w.agents()
    f = w.framework("web", roles=["eng/web"], principal="p")
    static = reserved(scalar("cpus", 2), "static:eng", role="eng/web")
    refined = reserved(scalar("cpus", 2), "static:eng", "eng/web p", role="eng/web")
    offer = f.offer()
    # A static reservation is not taken off by anybody.
    f.accept(offer, unreserve(static))
    f.accept(f.offer(), reserve(refined))
    f.accept(f.offer(), unreserve(refined))
    offer = f.offer()
    w.operator("UNRESERVE_RESOURCES", agent_id=agents[0], resources=[reserved(scalar("cpus", 2), "static:eng")])
    w.read("/slaves")
    f.end()
    g = w.framework("other", roles=["ops"])
    g.offer()
    g.end()


@scenario()
def reservations_go_from_role_to_role(w):
    agent = w.agents()[0]
    eng, at_a = reserved(scalar("cpus", 2), "eng p"), reserved(scalar("cpus", 2), "eng p", "eng/a p")
    at_b = reserved(scalar("cpus", 2), "eng p", "eng/b p")
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[eng])
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[at_a])
    f = w.framework("a", roles=["eng/a"], principal="p")
    f.offer()
    w.operator("RESERVE_RESOURCES", agent_id=agent, source=[at_a], resources=[at_b])
    f.quiet(1.2)
    w.operator("RESERVE_RESOURCES", agent_id=agent, source=[at_a], resources=[at_b])
    g = w.framework("b", roles=["eng/b"], principal="p")
    offer = g.offer()
    # A framework gives to its own roles alone.
    g.accept(offer, reserve(reserved(scalar("cpus", 1), "eng p", "eng/a p", role="eng/b"),
                            source=[reserved(scalar("cpus", 1), "eng p", "eng/b p", role="eng/b")], id="to-a"))
    g.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    g.end()
    w.operator("RESERVE_RESOURCES", agent_id=agent, source=[at_b], resources=[reserved(scalar("cpus", 2), "ops p", "ops/x p")])
    w.operator("GET_AGENTS")
    f.end()


@scenario()
def what_reservations_may_come_from(w):
    f = w.framework(roles=["a"], principal="p")
    one = lambda n, *stack: reserved(scalar("cpus", n), *stack, role="a")
    f.accept(f.offer(), reserve(one(2, "a p")))
    cases = {
        "source-is-larger": ([one(2, "a p")], [one(1, "a p", "a/b p")]),
        "source-is-another": ([one(3, "a p")], [one(3, "a q")]),
        "source-is-unreserved": ([one(1)], [one(1, "a p")]),
        "same": ([one(1, "a p")], [one(1, "a p")]),
        "labels": ([one(1, "a p")], [dict(one(1, "a p"), reservations=[
            {"type": "DYNAMIC", "role": "a", "principal": "p", "labels": {"labels": [{"key": "k", "value": "v"}]}}])]),
    }
    for name, (source, target) in cases.items():
        f.accept(f.offer(), reserve(*target, source=source, id=name))
        f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    f.end()


@scenario()
def reservations_that_are_refused(w):
    f = w.framework(roles=["a", "b"], principal="p", suppressed=["b"])
    cases = {
        "wrong-principal": reserved(scalar("cpus", 1), "a q", role="a"),
        "no-principal": reserved(scalar("cpus", 1), "a", role="a"),
        "role-of-nobody": reserved(scalar("cpus", 1), "c p", role="a"),
        "role-of-another-offer": reserved(scalar("cpus", 1), "b p", role="a"),
        "not-reserved": scalar("cpus", 1, allocation_info={"role": "a"}),
        "star": reserved(scalar("cpus", 1), "* p", role="a"),
        "static": reserved(scalar("cpus", 1), "static:a", role="a"),
        "too-much": reserved(scalar("cpus", 5), "a p", role="a"),
        "not-allocated": reserved(scalar("cpus", 1), "a p"),
        "allocated-to-another": reserved(scalar("cpus", 1), "a p", role="b"),
        "negative": reserved(scalar("cpus", -1), "a p", role="a"),
        "unknown": reserved(scalar("apples", 1), "a p", role="a"),
        "revocable": dict(reserved(scalar("cpus", 1), "a p", role="a"), revocable={}),
        "not-below": reserved(scalar("cpus", 1), "a p", "b p", role="a"),
        "bad-role": reserved(scalar("cpus", 1), "a/../b p", role="a"),
        "old-form": dict(scalar("cpus", 1, allocation_info={"role": "a"}), role="a", reservation={"principal": "p"}),
        "both-forms": dict(reserved(scalar("cpus", 1), "a p", role="a"), role="a"),
    }
    for name, resource in cases.items():
        f.accept(f.offer("a"), reserve(resource, id=name))
        f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    f.accept(f.offer("a"), unreserve(reserved(scalar("cpus", 1), "a p", role="a"), id="unreserve-free"))
    f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    f.end()


@scenario()
def frameworks_of_the_older_form(w):
    old = w.framework("old", roles=["a"], principal="p", capabilities=["MULTI_ROLE"])
    older = lambda n: dict(scalar("cpus", n, allocation_info={"role": "a"}), role="a", reservation={"principal": "p"})
    old.accept(old.offer(), reserve(older(1)))
    offer = old.offer()
    old.accept(offer, unreserve(older(0.5)))
    old.offer()
    old.end()
    new = w.framework("new", roles=["a/b"], principal="p")
    new.accept(new.offer(), reserve(reserved(scalar("cpus", 0.5), "a p", "a/b p", role="a/b")))
    new.offer()
    new.end()
    # What is refined is not offered to who cannot read it.
    old = w.framework("older", roles=["a/b"], capabilities=["MULTI_ROLE"])
    old.offer()
    old.end()
    oldest = w.framework("oldest", roles=[], role="a", capabilities=[])
    oldest.offer()
    oldest.end()


@scenario()
def reservations_with_labels_are_kept_apart(w):
    f = w.framework(roles=["a"], principal="p")
    labelled = lambda n, v: dict(scalar("cpus", n, allocation_info={"role": "a"}), reservations=[
        {"type": "DYNAMIC", "role": "a", "principal": "p", "labels": {"labels": [{"key": "k", "value": v}]}}])
    f.accept(f.offer(), reserve(labelled(1, "x"), labelled(1, "y")), reserve(labelled(0.5, "x")))
    f.accept(f.offer(), unreserve(labelled(2, "y"), id="too-much"), unreserve(labelled(1.5, "x")))
    f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    f.end()


@scenario(resources="cpus:2;mem:1024;disk:1000;ports:[31000-31999];names:{x,y,z}")
def ports_and_sets_are_reserved(w):
    f = w.framework(roles=["a"], principal="p")
    ports = lambda *pairs: {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": b, "end": e} for b, e in pairs]}}
    names = lambda *items: {"name": "names", "type": "SET", "set": {"item": list(items)}}
    f.accept(f.offer(), reserve(reserved(ports((31000, 31009), (31020, 31020)), "a p", role="a")),
             reserve(reserved(names("x", "y"), "a p", role="a")))
    f.accept(f.offer(), unreserve(reserved(names("y"), "a p", role="a")), unreserve(reserved(names("z"), "a p", role="a"), id="free"), unreserve(reserved(ports((31003, 31004)), "a p", role="a")),
             unreserve(reserved(ports((31020, 31021)), "a p", role="a"), id="not-all"))
    f.expect_all("UPDATE_OPERATION_STATUS", "UPDATE_OPERATION_STATUS", "OFFERS")
    f.end()


@scenario()
def operators_reserve(w):
    agent = w.agents()[0]
    keep = reserved(scalar("cpus", 1), "a op")
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[keep])
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[reserved(scalar("cpus", 1), "a op", "a/b op")])
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[reserved(scalar("cpus", 4), "a op")])
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[scalar("cpus", 1)])
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[reserved(scalar("cpus", 1), "static:a")])
    w.operator("RESERVE_RESOURCES", agent_id={"value": "none"}, resources=[keep])
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[])
    w.operator("RESERVE_RESOURCES", agent_id=agent, source=[reserved(scalar("cpus", 1), "a op", "a/b op")],
               resources=[reserved(scalar("cpus", 1), "a op")])
    w.read("/slaves")
    w.operator("UNRESERVE_RESOURCES", agent_id=agent, resources=[reserved(scalar("cpus", 2), "a op")])
    w.operator("UNRESERVE_RESOURCES", agent_id=agent, resources=[reserved(scalar("cpus", 0.25), "a op")])
    w.operator("UNRESERVE_RESOURCES", agent_id=agent, resources=[scalar("cpus", 1)])
    # Those of an offer are taken back from whoever has it.
    f = w.framework(roles=["a"], principal="op")
    f.offer()
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[reserved(scalar("mem", 512), "a op")])
    f.quiet(2)
    w.operator("UNRESERVE_RESOURCES", agent_id=agent, resources=[keep])
    f.quiet(2)
    w.operator("GET_OPERATIONS")
    f.end()
    w.read("/roles")


@scenario()
def forms_reserve_and_make_volumes(w):
    agent = w.agents()[0]["value"]
    form = lambda **fields: urllib.parse.urlencode({k: v if isinstance(v, str) else json.dumps(v) for k, v in fields.items()})
    disk = reserved(scalar("disk", 64), "a op")
    volume = dict(disk, disk={"persistence": {"id": "v"}, "volume": {"container_path": "p", "mode": "RW"}})
    w.write("POST", "/reserve", form(slaveId=agent, resources=[disk]))
    w.write("POST", "/reserve", form(slaveId=agent, resources=[dict(scalar("cpus", 1), role="b", reservation={"principal": "op"})]))
    w.write("POST", "/reserve", form(slaveId=agent, resources="cpus"))
    w.write("POST", "/reserve", form(slaveId=agent))
    w.write("POST", "/reserve", form(resources=[disk]))
    w.write("POST", "/reserve", form(slaveId="none", resources=[disk]))
    w.write("POST", "/reserve", form(slaveId=agent, resources=[reserved(scalar("disk", 99999), "a op")]))
    w.write("POST", "/create-volumes", form(slaveId=agent, volumes=[volume]))
    w.write("POST", "/create-volumes", form(slaveId=agent, volumes=[volume]))
    w.read("/slaves")
    w.write("POST", "/unreserve", form(slaveId=agent, resources=[disk]))
    w.write("POST", "/destroy-volumes", form(slaveId=agent, volumes=[volume]))
    w.write("POST", "/destroy-volumes", form(slaveId=agent, volumes=[volume]))
    w.write("POST", "/unreserve", form(slaveId=agent, resources=[disk]))
    w.write("POST", "/unreserve", form(slaveId=agent, resources=[disk]))
    w.read("/slaves")
