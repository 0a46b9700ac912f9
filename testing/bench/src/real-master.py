# A master of Apache Mesos 1.11.0 alone: the driver is made, which starts the master within this process, and never started.
# Run by CPython 2.7 in the environment that oracle/apache-mesos-local describes. It waits for a line first, so that the memory
# of Python itself can be told from the master's.
import os
import sys
import types

home = os.environ["ORACLE_HOME"]
site = home + "/usr/local/lib/python2.7/dist-packages"
sys.path[:0] = [site, home + "/py2"]
package = types.ModuleType("mesos")
package.__path__ = [site + "/mesos"]
sys.modules["mesos"] = package

import mesos.interface
from mesos.interface import mesos_pb2

framework = mesos_pb2.FrameworkInfo()
framework.user, framework.name = "root", "bench"
scheduler = mesos.interface.Scheduler()
sys.stdout.write("waiting\n")
sys.stdout.flush()
sys.stdin.readline()

import mesos.scheduler

driver = mesos.scheduler.MesosSchedulerDriver(scheduler, framework, "local", 1)
# Until the bench is gone.
sys.stdin.readline()
