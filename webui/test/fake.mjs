// A master that is none: 5,000 agents and 100,000 tasks made up, and tasks that go on changing.
//
//   node test/fake.mjs [port]     to look at it by hand

import { serve } from "./serve.mjs";

export const AGENTS = 5_000;
export const TASKS = 100_000;
const FRAMEWORKS = 40;
const START = 1_795_000_000;
const STATES = ["TASK_RUNNING", "TASK_RUNNING", "TASK_RUNNING", "TASK_RUNNING", "TASK_RUNNING", "TASK_STAGING",
  "TASK_FINISHED", "TASK_FINISHED", "TASK_FAILED", "TASK_KILLED"];
const OVER = new Set(["TASK_FINISHED", "TASK_FAILED", "TASK_KILLED"]);

const scalar = (name, value) => ({ name, type: "SCALAR", scalar: { value } });
const agentId = (n) => ({ value: `5e0f2a51-3d2c-4f7b-9c61-8f0a1b2c3d4e-S${n}` });
const frameworkId = (n) => ({ value: `5e0f2a51-3d2c-4f7b-9c61-8f0a1b2c3d4e-${String(n).padStart(4, "0")}` });

function agent(n) {
  return {
    agent_info: {
      hostname: `node-${String(n).padStart(4, "0")}.rack${n % 50}.example`, port: 5051, id: agentId(n),
      attributes: [{ name: "rack", type: "TEXT", text: { value: `r${n % 50}` } }],
    },
    active: n % 97 !== 0, version: "1.11.0", pid: `slave(1)@10.0.${n >> 8}.${n & 255}:5051`,
    registered_time: { nanoseconds: (START + n) * 1e9 },
    total_resources: [scalar("cpus", 64), scalar("mem", 262_144), scalar("disk", 1_000_000)],
  };
}

function task(n) {
  const state = STATES[(n * 7) % STATES.length];
  const role = `team${n % 20}/${n % 3 ? "service" : "batch"}`;
  const began = START + n;
  const status = (name, time) => ({
    task_id: { value: `task-${n}` }, state: name, timestamp: time, source: "SOURCE_EXECUTOR",
    container_status: { container_id: { value: `c-${n}` } },
  });
  return {
    name: `${["web", "api", "worker", "cron", "cache"][n % 5]}-${n}`, task_id: { value: `task-${n}.${n % 1000}` },
    framework_id: frameworkId(n % FRAMEWORKS), agent_id: agentId((n * 31) % AGENTS), state,
    resources: [{ ...scalar("cpus", 0.5 + (n % 8) / 2), allocation_info: { role } }, { ...scalar("mem", 256 + (n % 16) * 64), allocation_info: { role } }],
    statuses: [status("TASK_STARTING", began), status(state, began + 3)],
  };
}

function snapshot() {
  const tasks = [];
  const completed = [];
  for (let n = 0; n < TASKS; n += 1) {
    const made = task(n);
    (OVER.has(made.state) ? completed : tasks).push(made);
  }
  const frameworks = Array.from({ length: FRAMEWORKS }, (_, n) => ({
    framework_info: { id: frameworkId(n), name: `framework-${n}`, user: "root", roles: [`team${n % 20}/service`] },
    active: true, connected: true, registered_time: { nanoseconds: START * 1e9 },
  }));
  return {
    get_tasks: { tasks, completed_tasks: completed }, get_executors: { executors: [] },
    get_frameworks: { frameworks, completed_frameworks: [] },
    get_agents: { agents: Array.from({ length: AGENTS }, (_, n) => agent(n)), recovered_agents: [] },
  };
}

const record = (value) => {
  const body = Buffer.from(JSON.stringify(value));
  return Buffer.concat([Buffer.from(`${body.length}\n`), body]);
};

/** Serves; `rate` tasks change their state each second. */
export async function fake({ port = 0, rate = 200 } = {}) {
  const first = record({ type: "SUBSCRIBED", subscribed: { get_state: snapshot(), heartbeat_interval_seconds: 15 } });
  const json = (response, value) => response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(value));
  const api = async (request, response) => {
    let text = "";
    for await (const piece of request) text += piece;
    const path = new URL(request.url, "http://page").pathname;
    const type = path === "/api/v1" && text ? JSON.parse(text).type : "";
    if (type === "SUBSCRIBE") {
      response.writeHead(200, { "Content-Type": "application/json" });
      response.write(first);
      let n = 0;
      const timer = setInterval(() => {
        const events = [];
        for (let each = 0; each < rate / 10; each += 1) {
          n = (n + 7919) % TASKS;
          const made = task(n);
          const state = n % 2 ? "TASK_RUNNING" : "TASK_KILLING";
          events.push(record({ type: "TASK_UPDATED", task_updated: {
            framework_id: made.framework_id, state, status: { ...made.statuses[1], task_id: made.task_id, state, timestamp: Date.now() / 1000 },
          } }));
        }
        response.write(Buffer.concat(events));
      }, 100);
      response.on("close", () => clearInterval(timer));
    } else if (type === "GET_MASTER") {
      json(response, { get_master: { master_info: { hostname: "fake", port: 5050, id: "fake" } } });
    } else if (type === "GET_FRAMEWORKS") {
      json(response, { get_frameworks: { frameworks: [] } });
    } else if (path.endsWith("/roles")) {
      json(response, { roles: [] });
    } else {
      response.writeHead(404, { "Content-Type": "text/plain" }).end("not here");
    }
  };
  return serve(api, port);
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const server = await fake({ port: Number(process.argv[2] ?? 0) });
  console.log(server.url);
}
