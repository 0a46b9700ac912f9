"""What is counted of a framework."""
from operations import cpus, launch, task
from reservations import reserve
from setup import register
from world import scalar

SCENARIOS = {}


def scenario(**options):
    return register(SCENARIOS, **options)


@scenario()
def metrics_of_a_framework(w):
    name = "master/frameworks/f%2F1%20%22x%22/"
    f = w.framework("f/1 \"x\"", roles=["a", "b/c"], suppressed=["b/c"], principal="p")
    offer = f.offer()
    f.call("SUPPRESS")
    f.decline(offer)
    f.call("REVIVE", revive={"roles": ["a"]})
    offer = f.offer()
    f.call("SUPPRESS")
    many = [scalar("cpus", 99, allocation_info={"role": "a"})]
    f.accept(offer, reserve(cpus(1, "a p"), id="r"), launch(task(offer, "large", many)))
    f.expect_all("UPDATE", "UPDATE_OPERATION_STATUS")
    # Of an offer that is gone: a call, and nothing accepted.
    f.accept(offer, launch(task(offer, "late")))
    f.expect("UPDATE")
    f.call("RECONCILE", reconcile={"tasks": [{"task_id": {"value": "unknown"}}]})
    f.expect("UPDATE")
    f.call("RECONCILE", reconcile={"tasks": []})
    f.quiet()
    w.metrics(name)
    f.end()
    w.metrics(name)
