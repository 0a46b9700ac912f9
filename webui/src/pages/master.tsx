// The master itself: who leads, its log and replicas, its flags, every metric.

import { useMemo, useState } from "preact/hooks";
import { read } from "../data/api";
import { useLive, useRead } from "../data/live";
import { amount, count, duration } from "../format";
import { Badge, Card, Facts, Id, Page, Problem } from "../parts/bits";
import { Table, type Column } from "../parts/table";
import { LogView } from "../parts/files";

type Metrics = Record<string, number>;
interface Version {
  version?: string;
  git_sha?: string;
  git_tag?: string;
  build_date?: string;
}
type Pair = [string, string | number];

const COLUMNS: Column<Pair>[] = [
  { name: "Name", width: "minmax(0, 3fr)", by: ([name]) => name, cell: ([name]) => <code>{name}</code> },
  { name: "Value", width: "minmax(0, 1.4fr)", number: true, by: ([, value]) => value, cell: ([, value]) => <span class="cut" title={String(value)}>{typeof value === "number" ? amount(value) : value || "–"}</span> },
];

export function MasterPage() {
  const { master, model } = useLive();
  const metrics = useRead<Metrics>((signal) => read("/metrics/snapshot", signal), 5, []);
  const version = useRead<Version>((signal) => read("/version", signal), 0, []);
  const flags = useRead<{ flags: Record<string, string> }>((signal) => read("/master/flags", signal), 0, []);
  const [shown, show] = useState<"metrics" | "flags">("metrics");
  const m = metrics.data ?? {};
  const rows = useMemo<Pair[]>(() => Object.entries(shown === "metrics" ? m : (flags.data?.flags ?? {})), [metrics.data, flags.data, shown]);
  const up = m["master/uptime_secs"];
  const quorum = flags.data?.flags["quorum"];
  const replicated = "registrar/log/recovered" in m;
  const agents = [...model.agents.values()];
  const connected = agents.filter((agent) => agent.active).length;
  const milliseconds = (name: string) => (m[name] === undefined ? "" : `${amount(m[name]!)} ms`);
  return (
    <Page title="Master" status={<Badge tone={m["master/elected"] === 0 ? "quiet" : "good"}>{m["master/elected"] === 0 ? "Standby" : "Leading"}</Badge>}>
      {metrics.error && <Problem>{metrics.error}</Problem>}
      <div class="columns even">
        <Card title="This master">
          <Facts facts={[
            ["Address", master ? `${master.hostname}:${master.port}` : ""],
            ["Id", master?.id && <Id id={master.id} whole />],
            ["Up for", up === undefined ? "" : duration(up)],
            ["Speaks", version.data?.version && `Apache Mesos ${version.data.version}`],
            ["Build", version.data && [version.data.git_tag, version.data.git_sha?.slice(0, 10), version.data.build_date].filter(Boolean).join(" · ")],
            ["Agents", `${count(connected)} of ${count(agents.length)} connected`],
            ["Events waiting", `${count((m["master/event_queue_messages"] ?? 0) + (m["master/event_queue_dispatches"] ?? 0) + (m["master/event_queue_http_requests"] ?? 0))}`],
          ]} />
        </Card>
        <Card title="Registry and replicas">
          <Facts facts={[
            ["Kept in", flags.data?.flags["registry"]?.replaceAll("_", " ")],
            ["Quorum", quorum ? `${quorum} of the replicas` : "one replica"],
            ["Replicas seen", m["registrar/log/ensemble_size"] !== undefined && count(m["registrar/log/ensemble_size"]!)],
            ["This replica", replicated && (m["registrar/log/recovered"] === 1 ? <Badge tone="good">Recovered</Badge> : <Badge tone="warn">Recovering</Badge>)],
            ["Size of the registry", m["registrar/registry_size_bytes"] !== undefined && `${count(m["registrar/registry_size_bytes"]!)} bytes`],
            ["Writes waiting", m["registrar/queued_operations"] !== undefined && count(m["registrar/queued_operations"]!)],
            ["Write latency, median", milliseconds("registrar/state_store_ms/p50")],
            ["Write latency, 99%", milliseconds("registrar/state_store_ms/p99")],
            ["Other masters", flags.data?.flags["zk"] ? `elected over ${withoutPassword(flags.data.flags["zk"])}` : "none: this master is alone"],
          ]} />
        </Card>
      </div>
      <Card flush title={shown === "metrics" ? "Metrics" : "Flags"} aside={(
        <div class="choices" role="group" aria-label="What is listed">
          {(["metrics", "flags"] as const).map((name) => <button type="button" key={name} aria-pressed={shown === name} onClick={() => show(name)}>{name === "metrics" ? "Metrics" : "Flags"}</button>)}
        </div>
      )}>
        <Table key={shown} label={shown} rows={rows} columns={COLUMNS} rowKey={([name]) => name} rowHeight={32} visible={16}
          text={([name, value]) => `${name} ${value}`.toLowerCase()} sort="Name" />
      </Card>
      <p class="aside-line"><a href="/help">Every endpoint</a> · <a href="#/master/log?path=/master/log">Log of this master</a> · <a href="/assets/licenses.txt">Licences of what this page is made with</a></p>
    </Page>
  );
}

/** zk://user:password@host:port/path */
const withoutPassword = (zk: string) => zk.replace(/\/\/[^/]*@/, "//");

export function MasterLog({ path }: { path: string }) {
  return (
    <Page title="Log" trail={[["Master", "#/master"]]}>
      <Card flush><LogView agent="" path={path || "/master/log"} /></Card>
    </Page>
  );
}
