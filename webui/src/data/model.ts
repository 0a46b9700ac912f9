// The cluster as the page knows it: the first snapshot of the event stream, kept true by its events.
//
// Tasks are kept short (a cluster has a hundred thousand). What more there is of one is asked for when it is looked at.

export interface Sums {
  cpus: number;
  mem: number;
  disk: number;
  gpus: number;
}
export type SumName = keyof Sums;
export const SUMS: SumName[] = ["cpus", "mem", "disk", "gpus"];
export const noSums = (): Sums => ({ cpus: 0, mem: 0, disk: 0, gpus: 0 });

export interface RawResource {
  name: string;
  type?: string;
  scalar?: { value: number };
  ranges?: { range: { begin: number; end: number }[] };
  set?: { item: string[] };
  role?: string;
  revocable?: object;
  allocation_info?: { role?: string };
  reservations?: { type?: string; role?: string; principal?: string; labels?: { labels?: Label[] } }[];
  disk?: {
    persistence?: { id: string; principal?: string };
    volume?: { mode?: string; container_path?: string };
    source?: { type?: string };
  };
}
export interface Label {
  key: string;
  value?: string;
}

export interface Status {
  state: string;
  time: number;
  message: string;
  reason: string;
  source: string;
  healthy: boolean | undefined;
  container: string;
}

export interface Task {
  key: string;
  id: string;
  name: string;
  framework: string;
  agent: string;
  /** The executor's id; a command task's executor has the id of the task. */
  executor: string;
  state: string;
  role: string;
  cpus: number;
  mem: number;
  disk: number;
  gpus: number;
  /** Of its first and of its last status. */
  started: number;
  changed: number;
  statuses: Status[];
  /** What is searched, in lower case. */
  text: string;
}

export interface Agent {
  id: string;
  hostname: string;
  port: number;
  version: string;
  pid: string;
  active: boolean;
  deactivated: boolean;
  drain: string;
  attributes: [string, string][];
  registered: number;
  domain: string;
  total: Sums;
  used: Sums;
  tasks: number;
}

export interface Framework {
  id: string;
  name: string;
  user: string;
  principal: string;
  hostname: string;
  webui: string;
  roles: string[];
  capabilities: string[];
  active: boolean;
  connected: boolean;
  recovered: boolean;
  completed: boolean;
  checkpoint: boolean;
  failoverTimeout: number;
  registered: number;
  ended: number;
  used: Sums;
  tasks: number;
}

export interface Happening {
  time: number;
  kind: "task" | "agent" | "framework";
  what: string;
  href: string;
  state: string;
  detail: string;
}

const OVER = new Set([
  "TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED", "TASK_GONE",
  "TASK_GONE_BY_OPERATOR",
]);
export const isOver = (state: string) => OVER.has(state);
/** Neither over nor out of reach: it holds resources. */
export const isActive = (state: string) => !OVER.has(state) && state !== "TASK_UNREACHABLE";

// What comes over the wire, as far as it is read. Fields of a message may all be missing.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Raw = any;

const seconds = (time: Raw): number => (time ? Number(time.nanoseconds ?? 0) / 1e9 : 0);

export function sumsOf(resources: RawResource[] | undefined): Sums {
  const sums = noSums();
  for (const resource of resources ?? []) {
    const name = resource.name as SumName;
    if (name in sums && !resource.revocable) sums[name] += resource.scalar?.value ?? 0;
  }
  return sums;
}

function status(raw: Raw): Status {
  return {
    state: raw.state ?? "TASK_STAGING",
    time: raw.timestamp ?? 0,
    message: raw.message ?? "",
    reason: raw.reason ?? "",
    source: raw.source ?? "",
    healthy: raw.healthy,
    container: raw.container_status?.container_id?.value ?? "",
  };
}

export function agentOf(raw: Raw): Agent {
  const info = raw.agent_info ?? {};
  const zone = info.domain?.fault_domain;
  return {
    id: info.id?.value ?? "",
    hostname: info.hostname ?? "",
    port: info.port ?? 5051,
    version: raw.version ?? "",
    pid: raw.pid ?? "",
    active: raw.active ?? false,
    deactivated: raw.deactivated ?? false,
    drain: raw.drain_info?.state ?? "",
    attributes: (info.attributes ?? []).map((attribute: Raw) => [attribute.name, attributeText(attribute)]),
    registered: seconds(raw.reregistered_time ?? raw.registered_time),
    domain: zone ? `${zone.region?.name ?? ""}/${zone.zone?.name ?? ""}` : "",
    total: sumsOf(raw.total_resources ?? info.resources),
    used: noSums(),
    tasks: 0,
  };
}

function attributeText(attribute: Raw): string {
  if (attribute.scalar) return String(attribute.scalar.value);
  if (attribute.ranges) return `[${attribute.ranges.range.map((r: Raw) => `${r.begin}-${r.end}`).join(", ")}]`;
  if (attribute.set) return `{${attribute.set.item.join(", ")}}`;
  return attribute.text?.value ?? "";
}

function frameworkOf(raw: Raw, completed: boolean): Framework {
  const info = raw.framework_info ?? {};
  return {
    id: info.id?.value ?? "",
    name: info.name ?? "",
    user: info.user ?? "",
    principal: info.principal ?? "",
    hostname: info.hostname ?? "",
    webui: /^https?:\/\//.test(info.webui_url ?? "") ? info.webui_url : "",
    roles: info.roles?.length ? info.roles : [info.role ?? "*"],
    capabilities: (info.capabilities ?? []).map((capability: Raw) => capability.type ?? ""),
    active: raw.active ?? false,
    connected: raw.connected ?? false,
    recovered: raw.recovered ?? false,
    completed,
    checkpoint: info.checkpoint ?? false,
    failoverTimeout: info.failover_timeout ?? 0,
    registered: seconds(raw.reregistered_time ?? raw.registered_time),
    ended: seconds(raw.unregistered_time),
    used: noSums(),
    tasks: 0,
  };
}

export const taskKey = (framework: string, task: string) => `${framework}/${task}`;

/** Tasks that are over and came by events stay, but not without end. */
const OVER_LIMIT = 20_000;
const HAPPENINGS = 40;
/** One point a second, for so long. */
const HISTORY = 600;

export class Model {
  agents = new Map<string, Agent>();
  frameworks = new Map<string, Framework>();
  tasks = new Map<string, Task>();
  states = new Map<string, number>();
  happenings: Happening[] = [];
  /** Seconds, and what was used and there was of cpus, mem, disk and gpus; running tasks. */
  history: { time: number; used: Sums; total: Sums; running: number }[] = [];
  used = noSums();
  total = noSums();
  private overByEvents: string[] = [];

  snapshot(state: Raw) {
    this.agents.clear();
    this.frameworks.clear();
    this.tasks.clear();
    this.states.clear();
    this.overByEvents = [];
    this.used = noSums();
    this.total = noSums();
    for (const raw of state?.get_agents?.agents ?? []) this.putAgent(agentOf(raw));
    for (const raw of state?.get_frameworks?.completed_frameworks ?? []) this.putFramework(frameworkOf(raw, true));
    for (const raw of state?.get_frameworks?.frameworks ?? []) this.putFramework(frameworkOf(raw, false));
    const lists = state?.get_tasks ?? {};
    for (const name of ["completed_tasks", "orphan_tasks", "unreachable_tasks", "tasks"]) {
      for (const raw of lists[name] ?? []) this.putTask(raw);
    }
    for (const executor of state?.get_executors?.executors ?? []) {
      this.hold(executor.executor_info?.framework_id?.value, executor.agent_id?.value,
        sumsOf(executor.executor_info?.resources), 1);
    }
    this.recall();
  }

  /** What happened last, before the page came: the latest statuses of tasks. */
  private recall() {
    const latest = [...this.tasks.values()].sort((a, b) => b.changed - a.changed).slice(0, HAPPENINGS / 2);
    this.happenings = latest.map((task) => ({
      time: task.changed, kind: "task", what: task.name || task.id, href: taskHref(task), state: task.state,
      detail: task.statuses.at(-1)?.message ?? "",
    }));
  }

  /** Takes an event; false when it says nothing that is shown. */
  event(event: Raw): boolean {
    const now = Date.now() / 1000;
    switch (event.type) {
      case "TASK_ADDED": {
        const task = this.putTask(event.task_added?.task);
        if (task) this.happen(now, "task", task.name || task.id, taskHref(task), task.state, "added");
        return true;
      }
      case "TASK_UPDATED": return this.taskUpdated(event.task_updated ?? {}, now);
      case "AGENT_ADDED": {
        const agent = agentOf(event.agent_added?.agent ?? {});
        this.putAgent(agent);
        this.happen(now, "agent", agent.hostname, `#/agents/${agent.id}`, "", "registered");
        return true;
      }
      case "AGENT_REMOVED": {
        const id = event.agent_removed?.agent_id?.value ?? "";
        const agent = this.agents.get(id);
        if (agent) {
          add(this.total, agent.total, -1);
          this.agents.delete(id);
          this.happen(now, "agent", agent.hostname, "#/agents", "", "removed");
        }
        return true;
      }
      case "FRAMEWORK_ADDED": case "FRAMEWORK_UPDATED": {
        const added = event.type === "FRAMEWORK_ADDED";
        const framework = frameworkOf((added ? event.framework_added : event.framework_updated)?.framework ?? {}, false);
        this.putFramework(framework);
        this.happen(now, "framework", framework.name, `#/frameworks/${framework.id}`, "",
          added ? "subscribed" : framework.active ? "is active" : framework.connected ? "is inactive" : "is disconnected");
        return true;
      }
      case "FRAMEWORK_REMOVED": {
        const id = event.framework_removed?.framework_info?.id?.value ?? "";
        const framework = this.frameworks.get(id);
        if (framework) {
          this.frameworks.set(id, { ...framework, completed: true, active: false, connected: false, ended: now });
          this.happen(now, "framework", framework.name, `#/frameworks/${id}`, "", "ended");
        }
        return true;
      }
      default: return false;
    }
  }

  /** What the stream does not tell of agents: whether they are heard, deactivated or drained. True when it was news. */
  agentsTold(raws: Raw[]): boolean {
    let news = false;
    for (const raw of raws) {
      const { id, active, deactivated, drain } = agentOf(raw);
      news = this.agentTold(id, { active, deactivated, drain }) || news;
    }
    return news;
  }

  agentTold(id: string, told: Pick<Agent, "active" | "deactivated" | "drain">): boolean {
    const agent = this.agents.get(id);
    if (!agent || (agent.active === told.active && agent.deactivated === told.deactivated && agent.drain === told.drain)) {
      return false;
    }
    this.agents.set(id, { ...agent, ...told });
    return true;
  }

  sample(time: number) {
    this.history.push({
      time, used: { ...this.used }, total: { ...this.total }, running: this.states.get("TASK_RUNNING") ?? 0,
    });
    if (this.history.length > HISTORY) this.history.shift();
  }

  private putAgent(agent: Agent) {
    const before = this.agents.get(agent.id);
    if (before) {
      add(this.total, before.total, -1);
      agent.used = before.used;
      agent.tasks = before.tasks;
    }
    add(this.total, agent.total, 1);
    this.agents.set(agent.id, agent);
  }

  private putFramework(framework: Framework) {
    const before = this.frameworks.get(framework.id);
    if (before) {
      framework.used = before.used;
      framework.tasks = before.tasks;
      framework.registered ||= before.registered;
    }
    this.frameworks.set(framework.id, framework);
  }

  private putTask(raw: Raw): Task | undefined {
    if (!raw?.task_id) return undefined;
    const id: string = raw.task_id.value;
    const framework: string = raw.framework_id?.value ?? "";
    const key = taskKey(framework, id);
    const before = this.tasks.get(key);
    if (before) this.account(before, -1);
    const sums = sumsOf(raw.resources);
    const statuses: Status[] = (raw.statuses ?? []).map(status);
    const first = statuses[0];
    const last = statuses[statuses.length - 1];
    const agent: string = raw.agent_id?.value ?? "";
    const name: string = raw.name ?? "";
    const role: string = raw.resources?.[0]?.allocation_info?.role ?? "";
    const task: Task = {
      key, id, name, framework, agent,
      executor: raw.executor_id?.value ?? "",
      state: raw.state ?? "TASK_STAGING",
      role, ...sums,
      started: first?.time ?? Date.now() / 1000,
      changed: last?.time ?? Date.now() / 1000,
      statuses,
      text: [name, id, this.frameworks.get(framework)?.name ?? framework, this.agents.get(agent)?.hostname ?? "", agent,
        role].join("\n").toLowerCase(),
    };
    this.tasks.set(key, task);
    this.account(task, 1);
    return task;
  }

  private taskUpdated(raw: Raw, now: number): boolean {
    const key = taskKey(raw.framework_id?.value ?? "", raw.status?.task_id?.value ?? "");
    const before = this.tasks.get(key);
    if (!before) return false;
    const told = status(raw.status ?? {});
    // The latest state that the agent knows may be later than the status that is told now.
    const state: string = raw.state ?? told.state;
    this.account(before, -1);
    const task: Task = {
      ...before, state, changed: told.time || now, statuses: [...before.statuses, told],
      agent: before.agent || raw.status?.agent_id?.value || "",
    };
    this.tasks.set(key, task);
    this.account(task, 1);
    if (isOver(state) && !isOver(before.state)) {
      this.overByEvents.push(key);
      if (this.overByEvents.length > OVER_LIMIT) this.forget(this.overByEvents.shift()!);
    }
    if (state !== before.state || told.healthy !== before.statuses.at(-1)?.healthy) {
      this.happen(told.time || now, "task", task.name || task.id, taskHref(task), state, told.message);
    }
    return true;
  }

  private forget(key: string) {
    const task = this.tasks.get(key);
    if (!task || !isOver(task.state)) return;
    this.account(task, -1);
    this.tasks.delete(key);
  }

  private account(task: Task, sign: 1 | -1) {
    this.states.set(task.state, (this.states.get(task.state) ?? 0) + sign);
    if (!isActive(task.state)) return;
    this.hold(task.framework, task.agent, task, sign);
    const agent = this.agents.get(task.agent);
    const framework = this.frameworks.get(task.framework);
    if (agent) agent.tasks += sign;
    if (framework) framework.tasks += sign;
  }

  private hold(framework: string, agent: string, sums: Sums, sign: 1 | -1) {
    add(this.used, sums, sign);
    const holder = this.agents.get(agent);
    const owner = this.frameworks.get(framework);
    if (holder) add(holder.used, sums, sign);
    if (owner) add(owner.used, sums, sign);
  }

  private happen(time: number, kind: Happening["kind"], what: string, href: string, state: string, detail: string) {
    this.happenings = [{ time, kind, what, href, state, detail }, ...this.happenings.slice(0, HAPPENINGS - 1)];
  }
}

export const taskHref = (task: { framework: string; id: string }) =>
  `#/tasks/${encodeURIComponent(task.framework)}/${encodeURIComponent(task.id)}`;

function add(to: Sums, sums: Sums, sign: 1 | -1) {
  for (const name of SUMS) to[name] = Math.max(0, round(to[name] + sign * sums[name]));
}
/** As Mesos does with scalars: three digits. */
const round = (value: number) => Math.round(value * 1000) / 1000;
