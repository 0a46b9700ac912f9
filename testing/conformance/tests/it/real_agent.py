# Run under CPython 2.7 with the libraries of the oracle: a real Apache Mesos 1.11.0 agent under any master.
# Usage: real_agent.py HOST:PORT of that master; the agent's flags are in the environment, as MESOS_<FLAG>.
#
# The oracle's agents are part of its "local" mode, where a detector that is told who leads tells them of the master in
# the same process. In this process, and nowhere on disk, that detector takes the given master for what it is told.
# The master beside it never leads, then, and the driver that starts both finds none.
import ctypes
import os
import struct
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

library = ctypes.CDLL(site + "/mesos/scheduler/_scheduler.so")
pointer = ctypes.c_void_p
appoint = "_ZN5mesos6master8detector24StandaloneMasterDetector7appointE"
# Who leads, as the local mode says it, and as an address says it.
by_info = ctypes.cast(getattr(library, appoint + "RK6OptionINS_10MasterInfoEE"), pointer).value
by_address = ctypes.CFUNCTYPE(None, pointer, pointer)((appoint + "RKN7process4UPIDE", library))
make_address = ctypes.CFUNCTYPE(None, pointer, ctypes.c_char_p)(("_ZN7process4UPIDC1EPKc", library))

address = ctypes.create_string_buffer(1024)
make_address(ctypes.addressof(address), "master@" + sys.argv[1])
given = ctypes.CFUNCTYPE(None, pointer, pointer)(lambda detector, _: by_address(detector, ctypes.addressof(address)))

# mov rax, given; jmp rax
jump = "\x48\xb8" + struct.pack("<Q", ctypes.cast(given, pointer).value) + "\xff\xe0"
size = os.sysconf("SC_PAGESIZE")
readable, writable, executable = 1, 2, 4
page = by_info & ~(size - 1)
if ctypes.CDLL(None).mprotect(pointer(page), ctypes.c_size_t(2 * size), readable | writable | executable) != 0:
    sys.exit("the code of the detector cannot be changed")
ctypes.memmove(by_info, jump, len(jump))

framework = mesos_pb2.FrameworkInfo()
framework.user, framework.name = "root", "unheard"
driver = mesos.scheduler.MesosSchedulerDriver(mesos.interface.Scheduler(), framework, "local", 1)
driver.start()
while True:
    time.sleep(60)
