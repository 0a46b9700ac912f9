"""Quota: guarantees, limits, headroom, the capacity heuristic and force, at every level of roles."""
from reservations import reserve
from setup import register
from world import reserved, scalar

SCENARIOS = {}


def scenario(**options):
    return register(SCENARIOS, **options)


def amounts(**values):
    return {name: {"value": value} for name, value in values.items()}


def quota(role, guarantees=None, limits=None):
    return dict({"role": role}, **({"guarantees": amounts(**guarantees)} if guarantees is not None else {}),
                **({"limits": amounts(**limits)} if limits is not None else {}))


@scenario(agents=2)
def a_quota_of_the_older_kind(w):
    ask = lambda cpus, **more: dict({"role": "a", "guarantee": [scalar("cpus", cpus), scalar("mem", 512)]}, **more)
    w.read("/quota")
    w.write("POST", "/quota", ask(100))
    w.write("POST", "/quota", ask(2))
    w.write("POST", "/quota", ask(2))
    w.read("/quota")
    w.write("POST", "/quota", dict(ask(2), role="*"))
    w.write("POST", "/quota", dict(ask(2), role="b", guarantee=[]))
    w.write("POST", "/quota", dict(ask(2), role="b", guarantee=[scalar("cpus", 1), scalar("cpus", 2)]))
    w.write("POST", "/quota", dict(ask(2), role="b", guarantee=[reserved(scalar("cpus", 1), "b")]))
    w.write("POST", "/quota", dict(ask(2), role="b", guarantee=[{"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 2}]}}]))
    w.write("POST", "/quota", dict(ask(2), role="b/c", guarantee=[scalar("cpus", -1)]))
    w.write("POST", "/quota", {"guarantee": [scalar("cpus", 1)]})
    w.write("POST", "/quota", "no json")
    w.write("POST", "/quota", dict(ask(100, force=True), role="large"))
    w.operator("GET_QUOTA")
    w.write("DELETE", "/quota/large", None)
    w.operator("SET_QUOTA", quota_request=dict(ask(100), role="c"))
    w.operator("SET_QUOTA", quota_request=dict(ask(1), role="c"))
    w.operator("SET_QUOTA", quota_request=dict(ask(1), role="c"))
    w.operator("REMOVE_QUOTA", role="c")
    # 1.11.0 ends itself when it is asked to remove a quota that is not there by REMOVE_QUOTA.
    w.write("DELETE", "/quota/a", None)
    w.write("DELETE", "/quota/a", None)
    w.write("DELETE", "/quota", None)
    w.write("DELETE", "/quota/a/b", None)
    w.read("/quota")
    w.read("/roles")


@scenario()
def quotas_that_are_refused(w):
    cases = {
        "star": quota("*", limits={"cpus": 1}),
        "bad-role": quota("a/../b", limits={"cpus": 1}),
        "empty-role": quota("", limits={"cpus": 1}),
        "negative-guarantee": quota("a", guarantees={"cpus": -1}),
        "negative-limit": quota("a", limits={"cpus": -1}),
        "limit-below-guarantee": quota("a", guarantees={"cpus": 2}, limits={"cpus": 1}),
        "overcommitted": quota("a", guarantees={"cpus": 5}, limits={"cpus": 5}),
        "two-of-a-role": None,
        "unknown-resource": quota("a", limits={"apples": 1}),
        "tiny": quota("a", limits={"cpus": 0.0001}),
        "huge": quota("a", limits={"cpus": 1e13}),
        "just-below-the-largest": quota("a", limits={"cpus": 1e12}),
        "not-a-number": None,
        "nothing": quota("a"),
    }
    for name, config in cases.items():
        w.say("# " + name)
        if name == "two-of-a-role":
            w.operator("UPDATE_QUOTA", quota_configs=[quota("a", limits={"cpus": 1}), quota("a", limits={"cpus": 2})])
        elif name == "not-a-number":
            w.operator("UPDATE_QUOTA", quota_configs=[{"role": "a", "limits": {"cpus": {"value": "much"}}}])
        else:
            w.operator("UPDATE_QUOTA", quota_configs=[config])
    w.operator("UPDATE_QUOTA")
    w.operator("UPDATE_QUOTA", quota_configs=[])
    w.operator("UPDATE_QUOTA", quota_configs=[quota("ok", limits={"cpus": 1}), quota("bad", limits={"cpus": -1})])
    w.operator("UPDATE_QUOTA", force=True, quota_configs=[quota("a", guarantees={"cpus": 50}, limits={"cpus": 50})])
    # A nested role is refused as well where the one above it has nothing for it.
    w.operator("UPDATE_QUOTA", quota_configs=[quota("z/y", guarantees={"cpus": 1})])
    w.operator("GET_QUOTA")
    w.operator("UPDATE_QUOTA", quota_configs=[quota("b", guarantees={"cpus": 1}, limits={"cpus": 1})])
    w.operator("UPDATE_QUOTA", quota_configs=[quota("a", guarantees={"cpus": 3}, limits={"cpus": 50}), quota("b", guarantees={"cpus": 1})])
    w.operator("GET_QUOTA")


@scenario()
def limits_cut_offers(w):
    w.operator("UPDATE_QUOTA", quota_configs=[quota("a", limits={"cpus": 1.5, "mem": 1000, "disk": 0})])
    f = w.framework("limited", roles=["a"])
    f.offer()
    g = w.framework("free", roles=["b"])
    g.decline(g.offer(), refuse=1000)
    w.operator("GET_ROLES")
    f.quiet(0.6)
    # Higher limits: the rest; lower ones take back what is offered.
    w.operator("UPDATE_QUOTA", quota_configs=[quota("a", limits={"cpus": 2, "mem": 2000})])
    f.quiet()
    w.operator("UPDATE_QUOTA", quota_configs=[quota("a", limits={"cpus": 1, "mem": 100})])
    f.quiet()
    w.operator("UPDATE_QUOTA", quota_configs=[quota("a")])
    f.quiet()
    f.end()
    g.end()


@scenario(differs="a quota without guarantees and limits is none: 1.11.0 goes on listing it")
def a_quota_that_is_emptied(w):
    w.operator("UPDATE_QUOTA", quota_configs=[quota("a", limits={"cpus": 1})])
    w.operator("UPDATE_QUOTA", quota_configs=[quota("a")])
    w.operator("GET_QUOTA")


@scenario()
def limits_count_reservations(w):
    agent = w.agents()[0]
    w.operator("UPDATE_QUOTA", quota_configs=[quota("a", limits={"cpus": 2})])
    f = w.framework(roles=["a"], principal="p")
    own = lambda n: reserved(scalar("cpus", n), "a p", role="a")
    f.accept(f.offer(), reserve(own(2)), refuse=0)
    offer = f.offer()
    w.operator("GET_ROLES")
    # What is reserved is offered also above a limit, which was lowered meanwhile.
    w.operator("UPDATE_QUOTA", quota_configs=[quota("a", limits={"cpus": 1})])
    w.operator("UPDATE_QUOTA", force=True, quota_configs=[quota("a", limits={"cpus": 1})])
    f.quiet()
    w.operator("GET_ROLES")
    f.decline(*(f.offers or [offer]), refuse=0)
    f.quiet(0.5)
    f.end()
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[reserved(scalar("cpus", 1), "a p")])
    w.read("/roles")


@scenario(agents=2)
def guarantees_keep_room(w):
    w.operator("UPDATE_QUOTA", quota_configs=[quota("g", guarantees={"cpus": 5, "mem": 1000})])
    f = w.framework("other", roles=["o"])
    f.quiet(1)
    held = w.framework("guaranteed", roles=["g"])
    held.quiet(1)
    f.quiet(0.5)
    w.operator("GET_ROLES")
    held.end()
    f.quiet(0.5)
    w.operator("REMOVE_QUOTA", role="g")
    f.quiet(1)
    f.end()


@scenario()
def what_is_beyond_a_guarantee(w):
    w.operator("UPDATE_QUOTA", quota_configs=[quota("g", guarantees={"cpus": 1, "mem": 512})])
    f = w.framework("g", roles=["g"])
    f.quiet(1)
    other = w.framework("o", roles=["o"])
    other.quiet(1)
    w.operator("GET_ROLES")
    f.end()
    other.end()


@scenario()
def an_offer_takes_guarantees_back(w):
    f = w.framework("o", roles=["o"])
    f.offer()
    held = w.framework("g", roles=["g"])
    held.quiet(0.4)
    # What somebody was offered is rescinded where a new guarantee needs it.
    w.operator("UPDATE_QUOTA", quota_configs=[quota("g", guarantees={"cpus": 2, "mem": 512}, limits={"cpus": 2, "mem": 512})])
    held.quiet(1)
    f.quiet(0.5)
    f.end()
    held.end()


NESTED = "quota holds at every level of roles: 1.11.0 refuses it for nested roles, and limits nothing below a role"


@scenario(agents=2, differs=NESTED)
def quotas_of_nested_roles(w):
    update = lambda *configs, **more: w.operator("UPDATE_QUOTA", quota_configs=list(configs), **more)
    # A role below may have no more than the one above it.
    update(quota("a/b", guarantees={"cpus": 2}, limits={"cpus": 3}))
    update(quota("a", guarantees={"cpus": 1}, limits={"cpus": 4}), quota("a/b", guarantees={"cpus": 2}, limits={"cpus": 3}))
    update(quota("a", guarantees={"cpus": 3}, limits={"cpus": 4}), quota("a/b", guarantees={"cpus": 2}, limits={"cpus": 3}))
    update(quota("a/c", guarantees={"cpus": 2}, limits={"cpus": 2}))
    update(quota("a/c", guarantees={"cpus": 2}, limits={"cpus": 2}), force=True)
    update(quota("a/c", guarantees={"cpus": 1}, limits={"cpus": 5}))
    update(quota("a/c", guarantees={"cpus": 1}))
    update(quota("a/c", guarantees={"cpus": 1}, limits={"cpus": 2}))
    update(quota("a/b/x", limits={"cpus": 3}))
    update(quota("a/b/x", limits={"cpus": 4}))
    update(quota("a/b/y", limits={"mem": 4}))
    w.operator("GET_QUOTA")
    update(quota("a"))
    update(quota("a", limits={"cpus": 2}))
    update(quota("a/c"))
    update(quota("a"), quota("a/b"), quota("a/c"), quota("a/b/x"))
    w.operator("GET_QUOTA")
    w.write("POST", "/quota", {"role": "x/y", "guarantee": [scalar("cpus", 1)]})
    w.write("POST", "/quota", {"role": "x", "guarantee": [scalar("cpus", 1)]})
    w.write("POST", "/quota", {"role": "x/y", "guarantee": [scalar("cpus", 2)]})
    w.write("POST", "/quota", {"role": "x/y", "guarantee": [scalar("cpus", 1)]})
    w.write("POST", "/quota", {"role": "x/z", "guarantee": [scalar("cpus", 1)]})
    w.write("DELETE", "/quota/x", None)
    w.write("DELETE", "/quota/x/y", None)
    w.write("DELETE", "/quota/x", None)
    w.operator("GET_QUOTA")


@scenario(agents=2, differs=NESTED)
def limits_of_nested_roles_hold(w):
    w.operator("UPDATE_QUOTA", quota_configs=[quota("a", limits={"cpus": 3, "mem": 3000}), quota("a/b", limits={"cpus": 2, "mem": 2000})])
    f = w.framework("b", roles=["a/b"])
    f.quiet(0.8)
    g = w.framework("c", roles=["a/c"])
    g.quiet(0.8)
    w.operator("GET_ROLES")
    w.operator("GET_QUOTA")
    f.end()
    g.end()


@scenario(agents=2)
def consumption_is_told(w):
    agent = w.agents()[0]
    w.operator("UPDATE_QUOTA", quota_configs=[quota("a", guarantees={"cpus": 1}, limits={"cpus": 60, "mem": 50000})])
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[reserved(scalar("cpus", 1), "a"), reserved(scalar("mem", 100), "a/b")])
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[reserved(scalar("cpus", 0.5), "a", "a/b")])
    w.read("/roles")
    f = w.framework(roles=["a/b"])
    f.offer()
    w.read("/roles")
    w.operator("GET_ROLES")
    f.end()


@scenario()
def suppressed_roles_and_guarantees(w):
    w.operator("UPDATE_QUOTA", quota_configs=[quota("g", guarantees={"cpus": 2, "mem": 1024})])
    held = w.framework("g", roles=["g"], suppressed=["g"])
    f = w.framework("o", roles=["o"])
    f.quiet(1)
    held.call("REVIVE")
    held.quiet(1)
    held.end()
    f.end()


@scenario()
def metrics_of_quota_and_shares(w):
    w.operator("UPDATE_QUOTA", quota_configs=[quota("q", guarantees={"cpus": 1}, limits={"cpus": 2, "mem": 1024})])
    w.operator("RESERVE_RESOURCES", agent_id=w.agents()[0], resources=[reserved(scalar("cpus", 0.5), "q")])
    f = w.framework("q", roles=["q"])
    f.offer()
    g = w.framework("other", roles=["o"])
    g.decline(g.offer(), refuse=1000)
    w.until("declined", lambda: w.count("allocator/mesos/offer_filters/roles/o/active") == 1)
    for prefix in ("quota", "roles", "offer_filters", "resources"):
        w.metrics("allocator/mesos/%s/" % prefix)
    f.end()
    g.end()
    w.operator("REMOVE_QUOTA", role="q")
    w.until("gone", lambda: w.count("allocator/mesos/quota/roles/q/resources/cpus/limit") is None)
    w.metrics("allocator/mesos/quota/")
