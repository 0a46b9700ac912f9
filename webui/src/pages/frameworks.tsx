// Frameworks, and one of them.

import { useMemo } from "preact/hooks";
import { call } from "../data/api";
import { live, useLive } from "../data/live";
import type { Framework as FrameworkRecord } from "../data/model";
import { amount, count, duration, megabytes } from "../format";
import { Ago, Badge, Card, Copy, Empty, Facts, Id, Meters, Page, Tags } from "../parts/bits";
import { useQuestion } from "../parts/dialog";
import { Table, Two, type Column } from "../parts/table";
import { href } from "../router";
import { TaskTable } from "./tasks";

export function FrameworkBadge({ framework }: { framework: FrameworkRecord }) {
  if (framework.completed) return <Badge tone="done">Ended</Badge>;
  if (framework.recovered) return <Badge tone="busy">Recovered</Badge>;
  if (!framework.connected) return <Badge tone="warn">Disconnected</Badge>;
  if (!framework.active) return <Badge tone="quiet">Inactive</Badge>;
  return <Badge tone="good">Active</Badge>;
}

const stateOf = (f: FrameworkRecord) => (f.completed ? 3 : !f.connected ? 2 : !f.active ? 1 : 0);

const COLUMNS: Column<FrameworkRecord>[] = [
  { name: "Framework", width: "minmax(0, 1.6fr)", by: (f) => f.name, cell: (f) => <Two top={f.name || f.id} below={f.id} ends /> },
  { name: "State", width: "124px", by: stateOf, cell: (f) => <FrameworkBadge framework={f} /> },
  { name: "Roles", width: "minmax(0, 1fr)", by: (f) => f.roles.join(" "), from: "medium", cell: (f) => <span class="cut" title={f.roles.join(", ")}>{f.roles.join(", ")}</span> },
  { name: "User", width: "90px", by: (f) => f.user, from: "wide", cell: (f) => f.user },
  { name: "Tasks", width: "64px", number: true, by: (f) => f.tasks, cell: (f) => count(f.tasks) },
  { name: "CPUs", width: "72px", number: true, by: (f) => f.used.cpus, from: "medium", cell: (f) => amount(f.used.cpus) },
  { name: "Memory", width: "90px", number: true, by: (f) => f.used.mem, from: "medium", cell: (f) => megabytes(f.used.mem) },
  { name: "Registered", width: "112px", number: true, by: (f) => f.registered, from: "wide", cell: (f) => <Ago at={f.registered} /> },
];

export function Frameworks() {
  const { version } = useLive();
  const rows = useMemo(() => [...live.model.frameworks.values()], [version]);
  return (
    <Page title="Frameworks">
      <section class="card flush tall">
        <Table label="frameworks" rows={rows} columns={COLUMNS} rowKey={(f) => f.id} href={(f) => href("frameworks", f.id)}
          text={(f) => [f.name, f.id, f.user, f.principal, ...f.roles].join("\n").toLowerCase()} sort="State" visible={1000} remember
          empty="No framework subscribed yet." />
      </section>
    </Page>
  );
}

export function Framework({ id }: { id: string }) {
  const { version } = useLive();
  const framework = live.model.frameworks.get(id);
  const tasks = useMemo(() => [...live.model.tasks.values()].filter((task) => task.framework === id), [version, id]);
  const [dialog, ask] = useQuestion();
  const trail: [string, string][] = [["Frameworks", "#/frameworks"]];
  if (!framework) {
    return <Page title={id} trail={trail}><Card><Empty>{live.phase === "connecting" ? "Loading…" : "The master knows no such framework."}</Empty></Card></Page>;
  }
  const tearDown = () => ask({
    title: `Tear down ${framework.name}?`, verb: "Tear down", danger: true, type: framework.name,
    body: <p>Its {count(framework.tasks)} active tasks and its executors are killed, and it cannot subscribe again with its id. This cannot be taken back.</p>,
    act: () => call({ type: "TEARDOWN", teardown: { framework_id: { value: id } } }),
  });
  return (
    <Page title={framework.name || id} trail={trail} status={<FrameworkBadge framework={framework} />}
      actions={!framework.completed && <button type="button" class="danger ghost" onClick={tearDown}>Tear down…</button>}>
      {dialog}
      <div class="columns even">
        <Card title="Framework">
          <Facts facts={[
            ["Id", <><Id id={id} whole /> <Copy text={id} label="the framework's id" /></>],
            ["User", framework.user], ["Principal", framework.principal], ["Host", framework.hostname],
            ["Its page", framework.webui && <a href={framework.webui} rel="noreferrer noopener" target="_blank">{framework.webui}</a>],
            ["Registered", <Ago at={framework.registered} />],
            ["Ended", framework.ended > 0 && <Ago at={framework.ended} />],
            ["Failover timeout", framework.failoverTimeout > 0 ? duration(framework.failoverTimeout) : "none"],
            ["Checkpoints", framework.checkpoint ? "yes" : "no"],
            ["Roles", <span class="tags">{framework.roles.map((role) => <a class="tag" key={role} href={`#/roles?search=${encodeURIComponent(role)}`}>{role}</a>)}</span>],
            ["Capabilities", <Tags tags={framework.capabilities.map((name) => name.toLowerCase().replaceAll("_", " "))} />],
          ]} />
        </Card>
        <Card title="Of the cluster"><Meters used={framework.used} total={live.model.total} /></Card>
      </div>
      <Card title="Tasks" flush><TaskTable tasks={tasks} label="tasks of the framework" without={["Framework"]} /></Card>
    </Page>
  );
}
