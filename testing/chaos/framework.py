"""A pymesos framework that always has some tasks, and writes a line of JSON for each launch and update.

    framework.py MASTER FOLDER SEED

It goes on until FOLDER/no-more is there, and asks the master what became of tasks that it heard nothing of.
"""
import json
import os
import random
import sys
import threading
import time

from addict import Dict
from pymesos import MesosSchedulerDriver, Scheduler

master, folder, seed = sys.argv[1:]
AT_ONCE = 8
TERMINAL = ("TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED", "TASK_GONE")
chance = random.Random(int(seed))
lock = threading.RLock()
journal = open(os.path.join(folder, "journal.jsonl"), "a")
# Tasks without an end: their agent, and when they were last heard of.
waiting = {}
number = 0


def note(**entry):
    with lock:
        entry["time"] = time.time()
        journal.write(json.dumps(entry) + "\n")
        journal.flush()


def more():
    return not os.path.exists(os.path.join(folder, "no-more"))


class Chaos(Scheduler):
    def registered(self, driver, framework_id, master_info):
        note(event="registered", framework=framework_id.value, master=master_info.get("hostname"))

    def reregistered(self, driver, master_info):
        note(event="reregistered", master=master_info.get("hostname"))

    def disconnected(self, driver):
        note(event="disconnected")

    def error(self, driver, message):
        note(event="error", message=message)

    def resourceOffers(self, driver, offers):
        global number
        for offer in offers:
            tasks = []
            with lock:
                while more() and len(waiting) < AT_ONCE and len(tasks) < 4:
                    number += 1
                    task = Dict()
                    task.task_id.value = "t%05d" % number
                    task.agent_id.value = offer.agent_id.value
                    task.name = "chaos"
                    path = os.path.join(folder, "tasks", task.task_id.value)
                    task.command.value = "echo start >> %s; sleep %.1f; echo end >> %s" % (
                        path, chance.uniform(0.1, 12), path)
                    task.resources = [dict(name="cpus", type="SCALAR", scalar=dict(value=0.1)),
                                      dict(name="mem", type="SCALAR", scalar=dict(value=32))]
                    tasks.append(task)
                    waiting[task.task_id.value] = [offer.agent_id.value, time.time()]
                    note(task=task.task_id.value, event="launch", agent=offer.agent_id.value)
            driver.launchTasks(offer.id, tasks, dict(refuse_seconds=0.5))

    def statusUpdate(self, driver, update):
        task = update.task_id.value
        with lock:
            note(task=task, state=update.state, message=update.get("message"), reason=update.get("reason"))
            if update.state in TERMINAL:
                waiting.pop(task, None)
            elif task in waiting:
                waiting[task][1] = time.time()


framework = Dict()
framework.user, framework.name, framework.hostname = "root", "chaos", "localhost"
framework.checkpoint = True
framework.failover_timeout = 3600
driver = MesosSchedulerDriver(Chaos(), framework, master, use_addict=True)
driver.start()
while True:
    time.sleep(2)
    with lock:
        silent = [dict(task_id=dict(value=task), agent_id=dict(value=agent))
                  for task, (agent, heard) in waiting.items() if time.time() - heard > 5]
    if silent:
        try:
            driver.reconcileTasks(silent)
        except Exception as error:
            note(event="reconciliation failed", message=str(error))
