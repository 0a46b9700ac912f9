"""Which offers come: by role, suppressed, revived, declined, filtered, constrained, too small, taken back."""
import time

from setup import register
from world import scalar

SCENARIOS = {}


def scenario(**options):
    return register(SCENARIOS, **options)


@scenario(agents=4)
def a_framework_of_several_roles(w):
    hold = w.framework("hold", roles=["hold"])
    w.agents()
    hold.expect("OFFERS")
    f = w.framework("several", roles=["a", "b", "c/d"])
    hold.decline(*hold.offers, refuse=1000)
    # By fair shares each role is offered something; which agents is nobody's promise.
    while len(f.offers) < 4:
        event = f.stream.next(3)
        if event is None:
            break
        f.offers.extend(event["offers"]["offers"])
    w.say("roles: %s" % sorted(o["allocation_info"]["role"] for o in f.offers))
    w.operator("GET_ROLES")
    hold.end()
    f.end()


@scenario()
def suppressed_and_revived_by_role(w):
    f = w.framework(roles=["a", "b"], suppressed=["a"])
    f.decline(f.offer(), refuse=1000)
    f.quiet()
    f.call("SUPPRESS", suppress={"roles": ["b"]})
    f.call("REVIVE", revive={"roles": ["a"]})
    f.decline(f.offer(), refuse=0)
    f.offer("a")
    f.call("SUPPRESS")
    f.decline(f.last, refuse=0)
    f.quiet()
    f.call("REVIVE", revive={"roles": ["none-of-mine"]})
    f.call("SUPPRESS", suppress={"roles": ["*"]})
    f.quiet()
    f.call("REVIVE", revive={"roles": ["b"]})
    f.offer()
    f.call("REVIVE")
    f.quiet()
    w.read("/roles")
    f.end()


@scenario()
def declined_for_a_time(w):
    f = w.framework(roles=["a"])
    began = time.time()
    f.decline(f.offer(), refuse=1.5)
    f.offer()
    w.say("after at least 1.4 seconds: %s" % (time.time() - began > 1.4))
    f.decline(f.last, refuse=1000)
    f.quiet()
    # Of another framework the filter says nothing.
    g = w.framework("g", roles=["a"])
    g.decline(g.offer(), refuse=1000)
    f.call("REVIVE")
    f.offer()
    f.decline(f.last, refuse=-1)
    f.quiet()
    f.end()
    g.end()


@scenario()
def accepted_with_a_filter(w):
    f = w.framework(roles=["a", "b"], principal="p", suppressed=["b"])
    one = dict(scalar("cpus", 1), allocation_info={"role": "a"}, reservations=[{"type": "DYNAMIC", "role": "a", "principal": "p"}])
    f.accept(f.offer(), {"type": "RESERVE", "reserve": {"resources": [one]}}, refuse=1000)
    # Only what is left is filtered, and only for this role.
    f.quiet()
    f.call("REVIVE", revive={"roles": ["b"]})
    f.offer()
    f.call("REVIVE", revive={"roles": ["a"]})
    f.quiet()
    f.end()


@scenario()
def filters_are_of_a_role(w):
    f = w.framework(roles=["a", "b"], suppressed=["b"])
    f.decline(f.offer(), refuse=1000)
    f.call("REVIVE", revive={"roles": ["b"]})
    f.decline(f.offer(), refuse=1000)
    f.call("REVIVE", revive={"roles": ["a"]})
    f.decline(f.offer(), refuse=1000)
    f.quiet()
    f.end()


@scenario()
def roles_that_change(w):
    f = w.framework("f", roles=["a", "b"], principal="p", suppressed=["b"], checkpoint=True, failover_timeout=10)
    f.offer()
    info = dict(f.info, roles=["b", "c"])
    f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": info, "suppressed_roles": ["c"]})
    f.quiet(1.2)
    w.read("/roles")
    w.operator("GET_FRAMEWORKS", keep=lambda a: {k: v for k, v in a["get_frameworks"]["frameworks"][0]["framework_info"].items()})
    f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": info, "suppressed_roles": ["elsewhere"]})
    f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(info, principal="q")})
    f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(info, user="nobody")})
    f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(info, checkpoint=False)})
    f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(info, roles=["/bad"])})
    f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(info, roles=["b", "b"])})
    f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(info, failover_timeout=-1)})
    f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(info, name="renamed", hostname="h",
        failover_timeout=20, webui_url="http://x", labels={"labels": [{"key": "k", "value": "v"}]})})
    f.quiet(0.5)
    w.operator("GET_FRAMEWORKS", keep=lambda a: {k: v for k, v in a["get_frameworks"]["frameworks"][0]["framework_info"].items()})
    f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(info, capabilities=[{"type": "MULTI_ROLE"}])})
    f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(info, roles=[])})
    f.quiet(0.5)
    f.end()


@scenario(agents=1)
def a_framework_comes_back(w):
    f = w.framework("f", roles=["a"], failover_timeout=60)
    f.offer()
    again = w.framework("f", roles=["a", "b"], failover_timeout=60, id=f.id, suppressed=["b"])
    again.offer()
    f.quiet(0.3)
    wrong = w.framework("g", roles=["a"], failover_timeout=60, id={"value": "no-such-framework"})
    wrong.quiet(0.3)
    again.end()
    late = w.framework("h", roles=["a"], failover_timeout=60, id=f.id)
    late.quiet(0.3)


SMALL = "cpus:0.005;mem:16;disk:1000"


@scenario(resources=SMALL)
def too_little_is_not_offered(w):
    f = w.framework(roles=["a"])
    f.quiet(1)
    f.end()
    # A framework may say itself what is enough for it.
    least = lambda **q: {"a": {"min_allocatable_resources": {"quantities": [
        {"quantities": {k: {"value": v} for k, v in q.items()}}]}}}
    g = w.framework("g", roles=["a"], offer_filters=least(disk=500))
    offer = g.offer()
    g.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(g.info, offer_filters=least(disk=5000))})
    g.decline(offer, refuse=0)
    g.quiet(1)
    g.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(g.info, offer_filters={"a": {"min_allocatable_resources": {}}})})
    g.offer()
    g.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(g.info, offer_filters={"b": {}})})
    g.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(g.info, offer_filters=least(disk=-1))})
    g.call("UPDATE_FRAMEWORK", update_framework={"framework_info": dict(g.info, offer_filters={"a": {"min_allocatable_resources": {
        "quantities": [{"quantities": {}}]}}})})
    g.end()
    h = w.framework("h", roles=["a"], offer_filters={"b": {}})
    h.quiet(0.3)


@scenario(resources=SMALL, min_allocatable_resources="cpus:1|disk:1000")
def what_is_enough_is_a_flag(w):
    f = w.framework(roles=["a"])
    f.offer()
    f.end()


@scenario(offer_timeout="1secs")
def offers_time_out(w):
    f = w.framework(roles=["a"])
    f.offer()
    f.quiet(0.5)
    f.expect("RESCIND")
    f.expect("OFFERS")
    f.end()


def constraint(predicate, name=None, pseudo=None):
    selector = {"pseudoattribute_type": pseudo} if pseudo else {"attribute_name": name}
    return {"selector": selector, "predicate": predicate}


def constraints(*groups, role="a"):
    return {"role_constraints": {role: {"groups": [{"attribute_constraints": list(g)} for g in groups]}}}


ATTRIBUTES = "rack:r1;level:3;range:[1-2];rack:r2"


@scenario(attributes=ATTRIBUTES)
def offers_are_constrained(w):
    f = w.framework(roles=["a"], constraints=constraints([constraint({"exists": {}}, "nothing")]))
    f.quiet(0.6)
    w.operator("GET_FRAMEWORKS", keep=lambda a: a["get_frameworks"]["frameworks"])
    cases = [
        ("exists", [constraint({"exists": {}}, "rack")]),
        ("not-exists", [constraint({"not_exists": {}}, "rack")]),
        ("not-exists-nothing", [constraint({"not_exists": {}}, "nothing")]),
        ("text-equals", [constraint({"text_equals": {"value": "r1"}}, "rack")]),
        ("text-equals-second", [constraint({"text_equals": {"value": "r2"}}, "rack")]),
        ("text-not-equals", [constraint({"text_not_equals": {"value": "r1"}}, "rack")]),
        ("text-not-equals-other", [constraint({"text_not_equals": {"value": "x"}}, "rack")]),
        ("scalar-equals", [constraint({"text_equals": {"value": "3"}}, "level")]),
        ("scalar-not-equals", [constraint({"text_not_equals": {"value": "3"}}, "level")]),
        ("range-matches", [constraint({"text_matches": {"regex": ".*"}}, "range")]),
        ("scalar-not-matches", [constraint({"text_not_matches": {"regex": ".*"}}, "level")]),
        ("matches", [constraint({"text_matches": {"regex": "r[0-9]"}}, "rack")]),
        ("matches-a-part", [constraint({"text_matches": {"regex": "r"}}, "rack")]),
        ("not-matches", [constraint({"text_not_matches": {"regex": "x.*"}}, "rack")]),
        ("hostname", [constraint({"text_matches": {"regex": "local.*"}}, pseudo="HOSTNAME")]),
        ("region", [constraint({"exists": {}}, pseudo="REGION")]),
        ("zone-not-exists", [constraint({"not_exists": {}}, pseudo="ZONE")]),
        ("all-of-a-group", [constraint({"exists": {}}, "rack"), constraint({"exists": {}}, "nothing")]),
    ]
    for name, group in cases:
        w.say("# " + name)
        f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": f.info, "offer_constraints": constraints(group)})
        f.call("REVIVE")
        f.quiet(0.6)
        if f.offers:
            f.decline(*f.offers, refuse=1000)
    w.say("# any of the groups")
    f.call("REVIVE")
    f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": f.info, "offer_constraints": constraints(
        [constraint({"exists": {}}, "nothing")], [constraint({"exists": {}}, "rack")])})
    f.offer()
    w.read("/allocator/offer_constraints_debug")
    f.end()


@scenario(attributes=ATTRIBUTES)
def constraints_that_are_refused(w):
    f = w.framework(roles=["a"])
    f.offer()
    bad = {
        "regex": constraints([constraint({"text_matches": {"regex": "(["}}, "rack")]),
        "back-reference": constraints([constraint({"text_matches": {"regex": r"(a)\1"}}, "rack")]),
        "huge": constraints([constraint({"text_matches": {"regex": "((a{100}){100}){100}"}}, "rack")]),
        "program-too-large": constraints([constraint({"text_matches": {"regex": "a{900}"}}, "rack")]),
        "other-role": constraints([constraint({"exists": {}}, "rack")], role="b"),
        "no-groups": {"role_constraints": {"a": {"groups": []}}},
        "empty-group": {"role_constraints": {"a": {"groups": [{"attribute_constraints": []}]}}},
        "no-selector": constraints([{"selector": {}, "predicate": {"exists": {}}}]),
        "unknown-pseudo": constraints([constraint({"exists": {}}, pseudo="UNKNOWN")]),
        "no-predicate": constraints([{"selector": {"attribute_name": "rack"}, "predicate": {}}]),
        "missing-selector": constraints([{"predicate": {"exists": {}}}]),
        "empty-name": constraints([constraint({"exists": {}}, "")]),
    }
    for name, wrong in bad.items():
        w.say("# " + name)
        f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": f.info, "offer_constraints": wrong})
    f.quiet(0.5)
    w.read("/allocator/offer_constraints_debug")
    f.end()
    for name in ("regex", "other-role", "no-groups"):
        w.framework(name, roles=["a"], constraints=bad[name]).quiet(0.3)


@scenario(attributes="rack:r1", offer_constraints_re2_max_program_size="20")
def programs_of_expressions_are_bounded(w):
    f = w.framework(roles=["a"])
    f.offer()
    for regex in ("r1", "a{900}", "[a-z]*" * 5, "x" * 40):
        f.call("UPDATE_FRAMEWORK", update_framework={"framework_info": f.info, "offer_constraints": constraints(
            [constraint({"text_not_matches": {"regex": regex}}, "rack")])})
    f.end()


@scenario(agents=2, domain='{"fault_domain":{"region":{"name":"r"},"zone":{"name":"z"}}}')
def fault_domains_are_told(w):
    w.agents()
    f = w.framework(roles=["a"], constraints=constraints([constraint({"text_equals": {"value": "r"}}, pseudo="REGION"),
                                                          constraint({"text_not_equals": {"value": "y"}}, pseudo="ZONE")]))
    f.offer()
    f.end()
