// Agents, all of them.

import { useMemo } from "preact/hooks";
import { live, useAgentStates, useLive } from "../data/live";
import type { Agent } from "../data/model";
import { count } from "../format";
import { Ago, Badge, Meter, Page } from "../parts/bits";
import { Table, Two, type Column } from "../parts/table";
import { href } from "../router";

export function AgentBadge({ agent }: { agent: Pick<Agent, "active" | "deactivated" | "drain"> }) {
  if (agent.drain === "DRAINED") return <Badge tone="quiet">Drained</Badge>;
  if (agent.drain) return <Badge tone="busy">Draining</Badge>;
  if (agent.deactivated) return <Badge tone="quiet">Deactivated</Badge>;
  if (!agent.active) return <Badge tone="warn">Disconnected</Badge>;
  return <Badge tone="good">Active</Badge>;
}

const stateOf = (a: Agent) => (a.drain ? 1 : a.deactivated ? 2 : a.active ? 0 : 3);
const share = (used: number, total: number) => (total > 0 ? used / total : 0);

const COLUMNS: Column<Agent>[] = [
  { name: "Agent", width: "minmax(0, 1.9fr)", by: (a) => `${a.hostname}:${a.port}`, cell: (a) => <Two top={`${a.hostname}:${a.port}`} below={a.id} ends /> },
  { name: "State", width: "112px", by: stateOf, cell: (a) => <AgentBadge agent={a} /> },
  { name: "Tasks", width: "56px", number: true, by: (a) => a.tasks, cell: (a) => count(a.tasks) },
  { name: "CPUs", width: "minmax(0, 1fr)", by: (a) => share(a.used.cpus, a.total.cpus), largestFirst: true, from: "medium", cell: (a) => <Meter name="cpus" used={a.used.cpus} total={a.total.cpus} /> },
  { name: "Memory", width: "minmax(0, 1.1fr)", by: (a) => share(a.used.mem, a.total.mem), largestFirst: true, from: "medium", cell: (a) => <Meter name="mem" used={a.used.mem} total={a.total.mem} /> },
  { name: "Disk", width: "minmax(0, 1.1fr)", by: (a) => share(a.used.disk, a.total.disk), largestFirst: true, from: "wide", cell: (a) => <Meter name="disk" used={a.used.disk} total={a.total.disk} /> },
  { name: "Attributes", width: "minmax(0, 0.9fr)", from: "wide", by: (a) => a.attributes.join(), cell: (a) => <span class="cut">{a.attributes.map(([name, value]) => `${name}:${value}`).join("  ")}</span> },
  { name: "Registered", width: "112px", number: true, by: (a) => a.registered, from: "wide", cell: (a) => <Ago at={a.registered} /> },
];

export function Agents() {
  const { version } = useLive();
  useAgentStates();
  const rows = useMemo(() => [...live.model.agents.values()], [version]);
  return (
    <Page title="Agents">
      <section class="card flush tall">
        <Table label="agents" rows={rows} columns={COLUMNS} rowKey={(a) => a.id} href={(a) => href("agents", a.id)}
          text={(a) => [a.hostname, a.port, a.id, a.version, a.domain, ...a.attributes.map((pair) => pair.join(":"))].join("\n").toLowerCase()}
          sort="Agent" visible={1000} remember empty="No agent has registered yet." />
      </section>
    </Page>
  );
}
