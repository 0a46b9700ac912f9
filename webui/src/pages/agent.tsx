// One agent: resources by role, reservations, volumes, containers over time, its tasks; and what can be done with it.

import { useEffect, useMemo, useRef } from "preact/hooks";
import { agentPath, call, read } from "../data/api";
import { live, useLive, useRead } from "../data/live";
import { SUMS, sumsOf, noSums, type RawResource, type Sums, type Task } from "../data/model";
import { amount, bytes, count, megabytes, resource, RESOURCE_NAMES } from "../format";
import { Ago, Card, Copy, Empty, Facts, Id, Meters, Page, Problem, ResourceList, Tags, resourceText } from "../parts/bits";
import { BINARY_STEPS, Chart } from "../parts/chart";
import { useQuestion, type Question } from "../parts/dialog";
import { browseHref, href } from "../router";
import { AgentBadge } from "./agents";
import { TaskTable } from "./tasks";

interface SlaveDocument {
  slaves: {
    reserved_resources_full?: Record<string, RawResource[]>;
    unreserved_resources_full?: RawResource[];
    used_resources_full?: RawResource[];
    offered_resources_full?: RawResource[];
    drain_info?: { state: string; config?: { max_grace_period?: { nanoseconds?: number }; mark_gone?: boolean } };
    estimated_drain_start_time_seconds?: number;
    deactivated?: boolean;
    active?: boolean;
  }[];
}

interface Container {
  container_id: string;
  executor_id?: string;
  framework_id?: string;
  statistics?: {
    timestamp: number;
    cpus_user_time_secs?: number;
    cpus_system_time_secs?: number;
    cpus_limit?: number;
    cpus_soft_limit?: number;
    mem_rss_bytes?: number;
    mem_total_bytes?: number;
    mem_limit_bytes?: number;
    disk_used_bytes?: number;
    processes?: number;
    threads?: number;
  };
}

function ByRole({ document }: { document: SlaveDocument["slaves"][0] }) {
  const rows = new Map<string, { reserved: Sums; used: Sums; offered: Sums }>();
  const row = (role: string) => {
    if (!rows.has(role)) rows.set(role, { reserved: noSums(), used: noSums(), offered: noSums() });
    return rows.get(role)!;
  };
  for (const [role, list] of Object.entries(document.reserved_resources_full ?? {})) row(role).reserved = sumsOf(list);
  const split = (list: RawResource[] | undefined, name: "used" | "offered") => {
    for (const r of list ?? []) {
      const sums = row(r.allocation_info?.role ?? "*")[name];
      const own = sumsOf([r]);
      for (const sum of SUMS) sums[sum] += own[sum];
    }
  };
  split(document.used_resources_full, "used");
  split(document.offered_resources_full, "offered");
  const names = SUMS.filter((name) => name !== "gpus" || (live.model.total.gpus ?? 0) > 0);
  const cell = (sums: Sums, name: keyof Sums) => (sums[name] > 0 ? resource(name, sums[name]) : <span class="quiet">–</span>);
  if (rows.size === 0) return <Empty>Nothing here is reserved, used or offered.</Empty>;
  return (
    <div class="scroll-x">
      <table class="plain">
        <thead>
          <tr><th rowSpan={2}>Role</th>{names.map((name) => <th key={name} colSpan={3} class="group">{RESOURCE_NAMES[name]}</th>)}</tr>
          <tr>{names.flatMap((name) => ["reserved", "used", "offered"].map((what) => <th key={name + what} class="number quiet">{what}</th>))}</tr>
        </thead>
        <tbody>
          {[...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([role, sums]) => (
            <tr key={role}><td><a href={`#/roles?search=${encodeURIComponent(role)}`}>{role}</a></td>
              {names.flatMap((name) => [
                <td key={`${name}r`} class="number">{cell(sums.reserved, name)}</td>,
                <td key={`${name}u`} class="number">{cell(sums.used, name)}</td>,
                <td key={`${name}o`} class="number">{cell(sums.offered, name)}</td>])}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Reservations({ document }: { document: SlaveDocument["slaves"][0] }) {
  const all = Object.entries(document.reserved_resources_full ?? {}).flatMap(([role, list]) => list.map((r) => ({ role, r })));
  const volumes = all.filter(({ r }) => r.disk?.persistence);
  // What was made a volume stays reserved: with it the sum is that of the table above.
  const rest = [...all.filter(({ r }) => !r.disk?.persistence), ...volumes];
  const last = (r: RawResource) => r.reservations?.at(-1);
  return (
    <>
      <Card title="Reservations" aside={<span class="quiet">{rest.length}</span>} flush>
        {rest.length === 0 ? <Empty>Nothing is reserved.</Empty> : (
          <div class="scroll-x"><table class="plain">
            <thead><tr><th>Role</th><th>What</th><th class="number">How much</th><th>Kind</th><th>Principal</th><th>Labels</th></tr></thead>
            <tbody>{rest.map(({ role, r }, at) => (
              <tr key={at}><td>{role}</td><td>{RESOURCE_NAMES[r.name] ?? r.name}{r.disk?.persistence && <span class="quiet"> in volume {r.disk.persistence.id}</span>}</td><td class="number">{resourceText(r)}</td>
                <td>{(last(r)?.type ?? "STATIC").toLowerCase()}</td><td>{last(r)?.principal ?? ""}</td>
                <td>{last(r)?.labels?.labels?.length ? <Tags tags={last(r)!.labels!.labels!.map((l) => [l.key, l.value ?? ""])} /> : ""}</td></tr>
            ))}</tbody>
          </table></div>
        )}
      </Card>
      <Card title="Persistent volumes" aside={<span class="quiet">{volumes.length}</span>} flush>
        {volumes.length === 0 ? <Empty>There are no persistent volumes.</Empty> : (
          <div class="scroll-x"><table class="plain">
            <thead><tr><th>Volume</th><th>Role</th><th class="number">Size</th><th>Path in the container</th><th>Mode</th><th>Principal</th></tr></thead>
            <tbody>{volumes.map(({ role, r }) => (
              <tr key={`${role}/${r.disk!.persistence!.id}`}><td><b>{r.disk!.persistence!.id}</b></td><td>{role}</td><td class="number">{megabytes(r.scalar?.value ?? 0)}</td>
                <td><code>{r.disk!.volume?.container_path ?? ""}</code></td><td>{r.disk!.volume?.mode ?? ""}</td><td>{r.disk!.persistence!.principal ?? ""}</td></tr>
            ))}</tbody>
          </table></div>
        )}
      </Card>
    </>
  );
}

interface Track {
  times: number[];
  cpus: (number | null)[];
  memory: (number | null)[];
  latest: number;
  seconds: number;
}

/** So many points of each container are kept, one each two seconds. */
const POINTS = 150;
/** Charts of more containers than this are not drawn; their figures are. */
const CHARTS = 24;

function Containers({ agent, tasks }: { agent: string; tasks: Task[] }) {
  const { data, error } = useRead<Container[]>((signal) => read(agentPath(agent, "containers"), signal), 2, [agent]);
  const tracks = useRef(new Map<string, Track>());
  useEffect(() => {
    const seen = new Set<string>();
    for (const container of data ?? []) {
      const s = container.statistics;
      if (!s) continue;
      seen.add(container.container_id);
      const seconds = (s.cpus_user_time_secs ?? 0) + (s.cpus_system_time_secs ?? 0);
      const track = tracks.current.get(container.container_id) ?? { times: [], cpus: [], memory: [], latest: 0, seconds };
      const passed = s.timestamp - track.latest;
      if (passed > 0) {
        track.times = [...track.times, s.timestamp].slice(-POINTS);
        track.cpus = [...track.cpus, track.latest > 0 ? Math.max(0, (seconds - track.seconds) / passed) : null].slice(-POINTS);
        track.memory = [...track.memory, s.mem_rss_bytes ?? s.mem_total_bytes ?? null].slice(-POINTS);
        track.latest = s.timestamp;
        track.seconds = seconds;
      }
      tracks.current.set(container.container_id, track);
    }
    for (const id of tracks.current.keys()) if (!seen.has(id)) tracks.current.delete(id);
  }, [data]);
  return (
    <Card title="Containers" aside={<span class="quiet">{data ? count(data.length) : "…"}</span>}>
      {error && <Problem>{error}</Problem>}
      {data?.length === 0 && <Empty>No containers run.</Empty>}
      <ul class="containers">
        {data?.map((container, at) => {
          const track = tracks.current.get(container.container_id);
          const s = container.statistics;
          const task = tasks.find((t) => t.framework === container.framework_id && (t.executor || t.id) === container.executor_id);
          const limit = s?.cpus_limit ?? s?.cpus_soft_limit;
          const name = task?.name || container.executor_id || container.container_id;
          return (
            <li key={container.container_id}>
              <h3>{task ? <a href={href("tasks", task.framework, task.id)}>{name}</a> : name}</h3>
              <p class="quiet"><Id id={container.container_id} whole /></p>
              {at < CHARTS && track && (
                <div class="chart-pair">
                  <div><p class="quiet">CPUs{limit ? ` of ${amount(limit)}` : ""}</p>
                    <Chart label={`CPUs of ${name}`} height={84} times={track.times} format={amount} atLeast={0.1}
                      lines={[{ label: "CPUs", color: "--accent", filled: true, values: track.cpus }]} /></div>
                  <div><p class="quiet">Memory{s?.mem_limit_bytes ? ` of ${bytes(s.mem_limit_bytes)}` : ""}</p>
                    <Chart label={`Memory of ${name}`} height={84} times={track.times} format={bytes} atLeast={16 * 1024 * 1024} steps={BINARY_STEPS}
                      lines={[{ label: "memory", color: "--second", filled: true, values: track.memory }]} /></div>
                </div>
              )}
              {at >= CHARTS && s && <p>{bytes(s.mem_rss_bytes ?? 0)} of memory</p>}
            </li>
          );
        })}
      </ul>
    </Card>
  );
}

/** What can be asked to be done with an agent. */
export function agentQuestions(id: string, name: string): Record<"drain" | "deactivate" | "reactivate" | "gone", Question> {
  const agent_id = { value: id };
  return {
    drain: {
      title: `Drain ${name}?`, verb: "Drain",
      body: (
        <>
          <p>Its tasks are killed, gently, and it gets no new ones until it is reactivated. Frameworks that know of draining start them elsewhere.</p>
          <label class="field">Grace period, in seconds: tasks that take longer to end are killed
            <input name="grace" type="number" min={0} step={1} placeholder="as the tasks say" /></label>
          <label class="check"><input name="gone" type="checkbox" /> Mark it as gone for good once it is drained</label>
        </>
      ),
      act: (form) => {
        const grace = Number(form.get("grace"));
        return call({ type: "DRAIN_AGENT", drain_agent: {
          agent_id, mark_gone: form.get("gone") === "on", ...(form.get("grace") ? { max_grace_period: { seconds: grace } } : {}),
        } });
      },
    },
    deactivate: {
      title: `Deactivate ${name}?`, verb: "Deactivate", body: <p>Its tasks run on, and it gets no new ones until it is reactivated.</p>,
      act: () => call({ type: "DEACTIVATE_AGENT", deactivate_agent: { agent_id } }),
    },
    reactivate: {
      title: `Reactivate ${name}?`, verb: "Reactivate", body: <p>Its resources are offered again.</p>,
      act: () => call({ type: "REACTIVATE_AGENT", reactivate_agent: { agent_id } }),
    },
    gone: {
      title: `Mark ${name} as gone?`, verb: "Mark as gone", danger: true, type: name,
      body: <p>All its tasks are told as gone, its volumes are given up, and it can never come back with this id. This cannot be taken back.</p>,
      act: () => call({ type: "MARK_AGENT_GONE", mark_agent_gone: { agent_id } }),
    },
  };
}

export function Agent({ id }: { id: string }) {
  const { version, phase } = useLive();
  const agent = live.model.agents.get(id);
  const { data, error, reload } = useRead<SlaveDocument>((signal) => read(`/master/slaves?slave_id=${encodeURIComponent(id)}`, signal), 5, [id]);
  const tasks = useMemo(() => [...live.model.tasks.values()].filter((task) => task.agent === id), [version, id]);
  const [dialog, ask] = useQuestion(reload);
  useEffect(() => {
    const told = data?.slaves[0];
    if (!told) return;
    const { active = false, deactivated = false } = told;
    if (live.model.agentTold(id, { active, deactivated, drain: told.drain_info?.state ?? "" })) live.changed();
  }, [data]);
  const trail: [string, string][] = [["Agents", "#/agents"]];
  if (!agent) {
    return <Page title={id} trail={trail}><Card><Empty>{phase === "connecting" ? "Loading…" : "No agent of this id is registered."}</Empty></Card></Page>;
  }
  const document = data?.slaves[0];
  const name = `${agent.hostname}:${agent.port}`;
  const questions = agentQuestions(id, name);
  const idle = agent.deactivated || agent.drain !== "";
  return (
    <Page title={name} trail={trail} status={<AgentBadge agent={agent} />} actions={(
      <>
        {idle ? <button type="button" onClick={() => ask(questions.reactivate)}>Reactivate…</button> : (
          <>
            <button type="button" onClick={() => ask(questions.drain)}>Drain…</button>
            <button type="button" onClick={() => ask(questions.deactivate)}>Deactivate…</button>
          </>
        )}
        <button type="button" class="danger ghost" onClick={() => ask(questions.gone)}>Mark as gone…</button>
      </>
    )}>
      {dialog}
      {error && <Problem>{error}</Problem>}
      <div class="columns even">
        <Card title="Agent">
          <Facts facts={[
            ["Id", <><Id id={id} whole /> <Copy text={id} label="the agent's id" /></>],
            ["Address", agent.pid], ["Version", agent.version],
            ["Registered", <Ago at={agent.registered} />],
            ["Fault domain", agent.domain],
            ["Attributes", agent.attributes.length > 0 && <Tags tags={agent.attributes} />],
            ["Draining", document?.drain_info && `${document.drain_info.state.toLowerCase()}${document.drain_info.config?.mark_gone ? ", then it is marked as gone" : ""}`],
            ["Log", <a href={browseHref(id, "/slave/log", "/slave/log")}>what the agent writes</a>],
          ]} />
        </Card>
        <Card title="Used by tasks"><Meters used={agent.used} total={agent.total} /></Card>
      </div>
      {document && <Card title="Resources by role" flush><ByRole document={document} /></Card>}
      {document && document.unreserved_resources_full && (
        <p class="aside-line quiet">Not reserved: <ResourceList resources={document.unreserved_resources_full} /></p>
      )}
      {document && <Reservations document={document} />}
      <Containers key={id} agent={id} tasks={tasks} />
      <Card title="Tasks" flush><TaskTable tasks={tasks} label="tasks of the agent" without={["Agent"]} /></Card>
    </Page>
  );
}
