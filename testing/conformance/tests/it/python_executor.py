"""A custom executor: runs its tasks in threads and sends a message to the framework for each."""
import sys
import threading
import time

from addict import Dict
from pymesos import Executor, MesosExecutorDriver, encode_data


class Threads(Executor):
    def launchTask(self, driver, task):
        def run():
            for state in ("TASK_RUNNING", "TASK_FINISHED"):
                update = Dict()
                update.task_id.value = task.task_id.value
                update.state = state
                update.timestamp = time.time()
                if state == "TASK_FINISHED":
                    driver.sendFrameworkMessage(encode_data(("done " + task.task_id.value).encode()))
                driver.sendStatusUpdate(update)

        threading.Thread(target=run).start()


driver = MesosExecutorDriver(Threads(), use_addict=True)
driver.run()
sys.exit(0)
