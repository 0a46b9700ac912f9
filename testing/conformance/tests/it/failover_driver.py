# Run under CPython 2.7 with the libraries of the oracle: a real Apache Mesos 1.11.0 scheduler driver whose tasks take a
# while. Usage: failover_driver.py MASTER SECONDS_OF_A_TASK TASKS. A line for each callback; it ends when all tasks did.
import os
import sys
import time
import types

home = os.environ["ORACLE_HOME"]
site = home + "/usr/local/lib/python2.7/dist-packages"
sys.path[:0] = [site, home + "/py2"]
package = types.ModuleType("mesos")
package.__path__ = [site + "/mesos"]
sys.modules["mesos"] = package

import mesos.interface
from mesos.interface import mesos_pb2
import mesos.scheduler

master, seconds, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3])
launched, ended = [], []


def say(*words):
    print(" ".join(str(w) for w in words))
    sys.stdout.flush()


class Scheduler(mesos.interface.Scheduler):
    def registered(self, driver, framework_id, master_info):
        say("registered", master_info.port, framework_id.value)

    def reregistered(self, driver, master_info):
        say("reregistered", master_info.port)

    def disconnected(self, driver):
        say("disconnected")

    def resourceOffers(self, driver, offers):
        for offer in offers:
            tasks = []
            while len(launched) < wanted and len(tasks) < 3:
                task = mesos_pb2.TaskInfo()
                task.name = "sleep"
                task.task_id.value = "t%d" % len(launched)
                task.slave_id.value = offer.slave_id.value
                task.command.value = "sleep " + seconds
                for name, amount in (("cpus", 0.1), ("mem", 32)):
                    resource = task.resources.add()
                    resource.name, resource.type = name, mesos_pb2.Value.SCALAR
                    resource.scalar.value = amount
                launched.append(task.task_id.value)
                tasks.append(task)
            driver.launchTasks(offer.id, tasks)

    def statusUpdate(self, driver, update):
        state = mesos_pb2.TaskState.Name(update.state)
        say("update", update.task_id.value, state)
        if state not in ("TASK_STAGING", "TASK_STARTING", "TASK_RUNNING"):
            ended.append(update.task_id.value)

    def error(self, driver, message):
        say("error", message)


framework = mesos_pb2.FrameworkInfo()
framework.user, framework.name, framework.checkpoint, framework.failover_timeout = "root", "failover", True, 600.0
driver = mesos.scheduler.MesosSchedulerDriver(Scheduler(), framework, master, 1)
driver.start()
end = time.time() + 90
while len(ended) < wanted and time.time() < end:
    time.sleep(0.1)
driver.stop()
