"""How a scenario is declared: its name is that of its function, and it says what the cluster must be like."""

RESOURCES = "cpus:4;mem:4096;disk:10000;ports:[31000-31999]"


def register(scenarios, agents=1, differs=None, documented=None, **flags):
    """`scenario` of a module: keeps the function with the number of agents and the flags (without MESOS_) that it needs.

    `differs`: why Messor's answers are not those of 1.11.0, on purpose; that they are the same is an error then.
    `documented`: where the documentation of Apache Mesos says what to expect, as the real one cannot be asked here; the answers
    are in documented.jsonl then.
    """
    wanted = dict({"resources": RESOURCES, "allocation_interval": "200ms"}, **flags)

    def keep(function):
        function.agents, function.differs, function.documented = agents, differs, documented
        function.flags = {"MESOS_" + k.upper(): v for k, v in wanted.items()}
        scenarios[function.__name__.replace("_", "-")] = function
        return function

    return keep
