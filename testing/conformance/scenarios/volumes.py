"""Persistent volumes: created, grown, shrunk, shared, destroyed."""
from reservations import reserve, unreserve
from setup import register
from world import CAPABILITIES, reserved, scalar, volume

SCENARIOS = {}


def scenario(**options):
    return register(SCENARIOS, **options)


def of(kind, body, id=None):
    return dict({"type": kind.upper(), kind: body}, **({"id": {"value": id}} if id else {}))


def create(*volumes, id=None):
    return of("create", {"volumes": list(volumes)}, id)


def destroy(*volumes, id=None):
    return of("destroy", {"volumes": list(volumes)}, id)


def grow(target, addition, id=None):
    return of("grow_volume", {"volume": target, "addition": addition}, id)


def shrink(target, amount, id=None):
    return of("shrink_volume", {"volume": target, "subtract": {"value": amount}}, id)


def disk(amount, role="a"):
    return reserved(scalar("disk", amount), "a p", role=role)


def made(amount, name="v", **more):
    return volume(disk(amount), name, **dict({"principal": "p"}, **more))


@scenario()
def a_volume_is_created_and_destroyed(w):
    f = w.framework(roles=["a"], principal="p")
    f.accept(f.offer(), reserve(disk(100)), create(made(64)))
    offer = f.offer()
    w.operator("GET_AGENTS")
    # What is under a volume stays reserved.
    f.accept(offer, unreserve(disk(100)))
    f.accept(f.offer(), destroy(made(64)), unreserve(disk(100)))
    f.offer()
    f.end()


@scenario()
def volumes_that_are_refused(w):
    f = w.framework(roles=["a"], principal="p")
    f.accept(f.offer(), reserve(disk(1000)), create(made(64, "taken")))
    free = scalar("disk", 10, allocation_info={"role": "a"})
    cases = {
        "id-is-taken": create(made(10, "taken")),
        "not-reserved": create(volume(free, "x", principal="p")),
        "too-large": create(made(2000, "x")),
        "absolute-path": create(made(10, "x", path="/abs")),
        "path-goes-up": create(made(10, "x", path="../up")),
        "id-with-slash": create(made(10, "a/b")),
        "empty-id": create(made(10, "")),
        "no-persistence": create(disk(10)),
        "read-only": create(dict(made(10, "x"), disk={"persistence": {"id": "x", "principal": "p"}, "volume": {"container_path": "p", "mode": "RO"}})),
        "host-path": create(dict(made(10, "x"), disk={"persistence": {"id": "x", "principal": "p"},
                                                      "volume": {"container_path": "p", "host_path": "h", "mode": "RW"}})),
        "cpus": create(volume(reserved(scalar("cpus", 1), "a p", role="a"), "x", principal="p")),
        "no-principal": create(volume(disk(10), "x")),
        "other-principal": create(dict(made(10, "x"), disk={"persistence": {"id": "x", "principal": "q"},
                                                            "volume": {"container_path": "p", "mode": "RW"}})),
        "twice": create(made(10, "x"), made(10, "x")),
        "destroy-unknown": destroy(made(64, "unknown")),
        "destroy-part": destroy(made(32, "taken")),
        "destroy-other-path": destroy(made(64, "taken", path="other")),
    }
    for name, operation in cases.items():
        f.accept(f.offer(), dict(operation, id={"value": name}))
        f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    f.end()


@scenario()
def a_volume_grows_and_is_destroyed(w):
    f = w.framework(roles=["a"], principal="p")
    f.accept(f.offer(), reserve(disk(200)), create(made(64)))
    f.accept(f.offer(), grow(made(64), disk(36)))
    f.accept(f.offer(), destroy(made(100)))
    f.offer()
    f.end()


@scenario()
def a_volume_shrinks(w):
    f = w.framework(roles=["a"], principal="p")
    f.accept(f.offer(), reserve(disk(64)), create(made(64)))
    f.accept(f.offer(), shrink(made(64), 50))
    f.accept(f.offer(), destroy(made(14)))
    f.offer()
    f.end()


@scenario(differs="what a volume frees is offered again: 1.11.0 loses it where the offer had free disk of that reservation")
def a_volume_shrinks_beside_free_disk(w):
    f = w.framework(roles=["a"], principal="p")
    f.accept(f.offer(), reserve(disk(200)), create(made(64)))
    f.accept(f.offer(), shrink(made(64), 50))
    f.offer()
    f.end()


@scenario()
def sizes_that_volumes_do_not_take(w):
    f = w.framework(roles=["a"], principal="p")
    f.accept(f.offer(), reserve(disk(200)), create(made(64)))
    other = reserved(scalar("disk", 10), "a", role="a")
    cases = {
        "grow-by-free-disk": grow(made(64), scalar("disk", 10, allocation_info={"role": "a"})),
        "grow-by-another": grow(made(64), other),
        "grow-by-cpus": grow(made(64), reserved(scalar("cpus", 1), "a p", role="a")),
        "grow-by-more-than-there-is": grow(made(64), disk(1000)),
        "grow-by-nothing": grow(made(64), disk(0)),
        "grow-another-size": grow(made(60), disk(10)),
        "grow-no-volume": grow(disk(64), disk(10)),
        "shrink-by-all": shrink(made(64), 64),
        "shrink-by-more": shrink(made(64), 65),
        "shrink-by-nothing": shrink(made(64), 0),
        "shrink-by-less-than-nothing": shrink(made(64), -1),
        "shrink-unknown": shrink(made(64, "unknown"), 1),
    }
    for name, operation in cases.items():
        f.accept(f.offer(), dict(operation, id={"value": name}))
        f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    # What has changed size is offered as such only later, so nothing else in the same call may use it.
    f.accept(f.offer(), grow(made(64), disk(36)), destroy(made(100), id="destroy-grown"))
    f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    f.end()


# A shared volume alone is enough to be offered; then it is offered again and again, so who has it suppresses.
LITTLE = {"min_allocatable_resources": "cpus:0.01|mem:32|disk:1", "allocation_interval": "1secs"}


def share(w):
    """Two frameworks that were offered the same volume at the same time."""
    f = w.framework("first", roles=["a"], principal="p")
    f.accept(f.offer(), reserve(disk(100)), create(made(64, shared={})))
    first = f.offer()
    f.call("SUPPRESS")
    g = w.framework("second", roles=["a"], principal="p")
    second = g.offer()
    g.call("SUPPRESS")
    return f, first, g, second


@scenario(**LITTLE)
def a_shared_volume_is_offered_to_several(w):
    f, first, g, second = share(w)
    third = w.framework("third", roles=["a"], principal="p", capabilities=[c for c in CAPABILITIES if c != "SHARED_RESOURCES"])
    third.quiet(1.2)
    f.accept(first, grow(made(64, shared={}), disk(10), id="grow"), shrink(made(64, shared={}), 10, id="shrink"), refuse=1000)
    f.expect("UPDATE_OPERATION_STATUS")
    f.expect("UPDATE_OPERATION_STATUS")
    g.accept(second, destroy(made(64, shared={}), id="destroy"), refuse=1000)
    g.expect("UPDATE_OPERATION_STATUS")
    w.read("/slaves")
    for one in (f, g, third):
        one.end()


@scenario(**LITTLE)
def a_shared_volume_is_taken_from_the_offers_of_others(w):
    f, first, g, second = share(w)
    f.accept(first, destroy(made(64, shared={}), id="d"), refuse=1000)
    f.expect("UPDATE_OPERATION_STATUS")
    g.quiet()
    w.read("/slaves")
    f.end()
    g.end()


@scenario()
def shared_volumes_need_the_capability(w):
    f = w.framework(roles=["a"], principal="p", capabilities=[c for c in CAPABILITIES if c != "SHARED_RESOURCES"])
    f.accept(f.offer(), reserve(disk(100)), create(made(64, shared={}), id="c"))
    f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    f.end()


MOUNT = """[{"name":"cpus","type":"SCALAR","scalar":{"value":4}},{"name":"mem","type":"SCALAR","scalar":{"value":4096}},
{"name":"disk","type":"SCALAR","scalar":{"value":500},"disk":{"source":{"type":"MOUNT","mount":{"root":"{mount}"}}}},
{"name":"disk","type":"SCALAR","scalar":{"value":300},"disk":{"source":{"type":"PATH","path":{"root":"{folder}"}}}}]"""


@scenario(resources=MOUNT.replace("\n", ""))
def volumes_on_mounts_and_paths(w):
    f = w.framework(roles=["a"], principal="p")
    first = f.offer()
    roots = {r["disk"]["source"]["type"]: r["disk"] for r in first["resources"] if "disk" in r}
    mount = lambda n: dict(disk(n), disk=roots["MOUNT"])
    path = lambda n: dict(disk(n), disk=roots["PATH"])
    f.accept(first, reserve(mount(100), id="part-of-a-mount"))
    f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    f.accept(f.offer(), reserve(mount(500)), reserve(path(100)), create(volume(path(64), "on-path", principal="p")),
             create(volume(mount(500), "on-mount", principal="p")))
    f.accept(f.offer(), shrink(volume(mount(500), "on-mount", principal="p"), 10, id="shrink-mount"),
             grow(volume(path(64), "on-path", principal="p"), path(10)))
    f.expect_all("UPDATE_OPERATION_STATUS", "OFFERS")
    f.accept(f.offer(), destroy(volume(mount(500), "on-mount", principal="p")), destroy(volume(path(74), "on-path", principal="p")))
    f.offer()
    f.end()


@scenario()
def operators_make_volumes(w):
    agent = w.agents()[0]
    bare = reserved(scalar("disk", 100), "a op")
    one = lambda n, name="v": volume(reserved(scalar("disk", n), "a op"), name)
    w.operator("CREATE_VOLUMES", agent_id=agent, volumes=[one(64)])
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[bare])
    w.operator("CREATE_VOLUMES", agent_id=agent, volumes=[one(64)])
    w.operator("CREATE_VOLUMES", agent_id=agent, volumes=[one(10)])
    w.operator("CREATE_VOLUMES", agent_id=agent, volumes=[one(640, "w")])
    w.operator("CREATE_VOLUMES", agent_id={"value": "none"}, volumes=[one(10, "w")])
    w.operator("GROW_VOLUME", agent_id=agent, volume=one(64), addition=reserved(scalar("disk", 36), "a op"))
    w.operator("GROW_VOLUME", agent_id=agent, volume=one(64), addition=reserved(scalar("disk", 36), "a op"))
    w.operator("SHRINK_VOLUME", agent_id=agent, volume=one(100), subtract={"value": 50})
    w.operator("SHRINK_VOLUME", agent_id=agent, volume=one(50), subtract={"value": 50})
    w.operator("SHRINK_VOLUME", agent_id=agent, volume=one(50), subtract={"value": 0})
    w.read("/slaves")
    w.operator("UNRESERVE_RESOURCES", agent_id=agent, resources=[bare])
    w.operator("DESTROY_VOLUMES", agent_id=agent, volumes=[one(100)])
    w.operator("DESTROY_VOLUMES", agent_id=agent, volumes=[one(50)])
    w.operator("DESTROY_VOLUMES", agent_id=agent, volumes=[one(50)])
    w.operator("UNRESERVE_RESOURCES", agent_id=agent, resources=[bare])
    w.read("/slaves")


@scenario()
def operators_take_back_what_volumes_need(w):
    agent = w.agents()[0]
    f = w.framework(roles=["a"], principal="op")
    f.offer()
    w.operator("RESERVE_RESOURCES", agent_id=agent, resources=[reserved(scalar("disk", 100), "a op")])
    f.quiet(1.2)
    w.operator("CREATE_VOLUMES", agent_id=agent, volumes=[volume(reserved(scalar("disk", 64), "a op"), "v")])
    f.quiet(1.2)
    w.operator("DESTROY_VOLUMES", agent_id=agent, volumes=[volume(reserved(scalar("disk", 64), "a op"), "v")])
    f.quiet(1.2)
    f.end()
