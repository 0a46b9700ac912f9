"""A pymesos framework with an executor of its own: two tasks on one executor. Exit status 0 when both finished.

    python_framework.py MASTER COMMAND          the executor sends a message for each task by itself
    python_framework.py MASTER COMMAND DATA     tasks have DATA; the executor is sent a message for each and answers it
"""
import os
import sys
import threading
import time
import uuid

from addict import Dict
from pymesos import MesosSchedulerDriver, Scheduler, encode_data

master, command = sys.argv[1:3]
data = sys.argv[3] if len(sys.argv) > 3 else None
finished, messages = [], []
done = threading.Event()


class Two(Scheduler):
    launched = 0

    def resourceOffers(self, driver, offers):
        for offer in offers:
            if self.launched >= 2:
                driver.declineOffer(offer.id)
                continue
            tasks = []
            executor = Dict()
            executor.executor_id.value = "threads"
            executor.command.value = command
            executor.resources = [dict(name="cpus", type="SCALAR", scalar=dict(value=0.1)),
                                  dict(name="mem", type="SCALAR", scalar=dict(value=64))]
            for _ in range(2):
                task = Dict()
                task.task_id.value = str(uuid.uuid4())
                task.agent_id.value = offer.agent_id.value
                task.name = "thread"
                if data:
                    task.data = encode_data(data.encode())
                task.executor = executor
                task.resources = [dict(name="cpus", type="SCALAR", scalar=dict(value=0.1)),
                                  dict(name="mem", type="SCALAR", scalar=dict(value=32))]
                tasks.append(task)
            self.launched += 2
            driver.launchTasks(offer.id, tasks)

    def statusUpdate(self, driver, update):
        print("update", update.task_id.value, update.state, flush=True)
        if data and update.state == "TASK_RUNNING":
            executor, agent = Dict(value="threads"), Dict(value=update.agent_id.value)
            driver.sendFrameworkMessage(executor, agent, encode_data(b"hello"))
        if update.state == "TASK_FINISHED":
            finished.append(update.task_id.value)
        self.check()

    def frameworkMessage(self, driver, executor_id, agent_id, message):
        print("message", executor_id.value, message, flush=True)
        messages.append(message)
        self.check()

    def check(self):
        if len(finished) == 2 and len(messages) == 2:
            done.set()


framework = Dict()
framework.user, framework.name, framework.hostname = "root", "python", "localhost"
framework.checkpoint = True
driver = MesosSchedulerDriver(Two(), framework, master, use_addict=True)
driver.start()
done.wait(30)
driver.stop()
time.sleep(0.2)
os._exit(0 if done.is_set() else 1)
