// Offers that frameworks hold at this moment.

import { useMemo } from "preact/hooks";
import { call } from "../data/api";
import { live, useRead } from "../data/live";
import { sumsOf, type RawResource } from "../data/model";
import { amount, megabytes } from "../format";
import { Id, Page, Problem, ResourceList } from "../parts/bits";
import { Table, Two, type Column } from "../parts/table";

interface RawOffer {
  id: { value: string };
  framework_id: { value: string };
  agent_id: { value: string };
  hostname?: string;
  resources?: RawResource[];
  allocation_info?: { role?: string };
  unavailability?: object;
}
interface Answer {
  get_frameworks: { frameworks?: { framework_info: { name?: string }; offers?: RawOffer[]; inverse_offers?: RawOffer[] }[] };
}
interface Offer {
  id: string;
  framework: string;
  name: string;
  agent: string;
  host: string;
  role: string;
  resources: RawResource[];
  cpus: number;
  mem: number;
  inverse: boolean;
}

/** An inverse offer without resources asks for all that the framework has on the agent. */
const allOr = (offer: Offer, text: string) => (offer.inverse && offer.resources.length === 0 ? <span class="quiet">all</span> : text);

const COLUMNS: Column<Offer>[] = [
  { name: "Framework", width: "minmax(0, 1fr)", by: (o) => o.name, cell: (o) => <Two top={o.name} below={o.inverse ? "asked to give back" : o.role} /> },
  { name: "Agent", width: "minmax(0, 1fr)", by: (o) => o.host, cell: (o) => <Two top={<a href={`#/agents/${o.agent}`}>{o.host}</a>} below={o.agent} ends /> },
  { name: "CPUs", width: "76px", number: true, by: (o) => o.cpus, cell: (o) => allOr(o, amount(o.cpus)) },
  { name: "Memory", width: "84px", number: true, by: (o) => o.mem, cell: (o) => allOr(o, megabytes(o.mem)) },
  { name: "All of it", width: "minmax(0, 1.8fr)", from: "wide", cell: (o) => <ResourceList resources={o.resources} /> },
  { name: "Offer", width: "minmax(0, 0.9fr)", by: (o) => o.id, from: "medium", cell: (o) => <Id id={o.id} /> },
];

export function Offers() {
  const { data, error } = useRead<Answer>(() => call<Answer>({ type: "GET_FRAMEWORKS" }), 5, []);
  const rows = useMemo(() => (data?.get_frameworks.frameworks ?? []).flatMap((framework) => {
    const make = (inverse: boolean) => (raw: RawOffer): Offer => {
      const agent = live.model.agents.get(raw.agent_id.value);
      const { cpus, mem } = sumsOf(raw.resources);
      return {
        id: raw.id.value, framework: raw.framework_id.value, name: framework.framework_info.name ?? raw.framework_id.value,
        agent: raw.agent_id.value, host: agent ? `${agent.hostname}:${agent.port}` : (raw.hostname ?? raw.agent_id.value),
        role: raw.allocation_info?.role ?? "", resources: raw.resources ?? [], cpus, mem, inverse,
      };
    };
    return [...(framework.offers ?? []).map(make(false)), ...(framework.inverse_offers ?? []).map(make(true))];
  }), [data]);
  return (
    <Page title="Offers" status={<span class="quiet">as of this moment; asked again every 5 s</span>}>
      {error && <Problem>{error}</Problem>}
      <section class="card flush tall">
        <Table label="offers" rows={rows} columns={COLUMNS} rowKey={(o) => o.id} href={(o) => `#/frameworks/${o.framework}`}
          text={(o) => [o.name, o.host, o.role, o.id].join("\n").toLowerCase()} sort="Framework" visible={1000} remember
          empty={data ? "Nobody holds an offer now." : "Loading…"} />
      </section>
    </Page>
  );
}
