// Roles as the tree that they are: weights, shares, quota at every level.

import { useMemo, useState } from "preact/hooks";
import { call, read } from "../data/api";
import { live, useLive, useRead } from "../data/live";
import { SUMS, type SumName } from "../data/model";
import { amount, count, resource, RESOURCE_NAMES } from "../format";
import { Card, Empty, Page, Problem } from "../parts/bits";
import { useQuestion, type Question } from "../parts/dialog";
import { href, place, setQuery } from "../router";

type Amounts = Partial<Record<SumName, number>>;
interface Role {
  name: string;
  weight: number;
  allocated: Amounts;
  offered: Amounts;
  reserved: Amounts;
  frameworks: string[];
  quota?: { guarantee: Amounts; limit: Amounts; consumed: Amounts };
}
interface Node {
  path: string;
  name: string;
  depth: number;
  role: Role | undefined;
  children: Node[];
}

/** Parents that nobody asked for are shown too, without figures. */
function tree(roles: Role[]): Node[] {
  const top: Node[] = [];
  const all = new Map<string, Node>();
  const node = (path: string): Node => {
    const known = all.get(path);
    if (known) return known;
    const cut = path.lastIndexOf("/");
    const parent = cut > 0 ? node(path.slice(0, cut)) : undefined;
    const made: Node = { path, name: path.slice(cut + 1), depth: parent ? parent.depth + 1 : 0, role: undefined, children: [] };
    (parent?.children ?? top).push(made);
    all.set(path, made);
    return made;
  };
  for (const role of roles) node(role.name).role = role;
  const sort = (nodes: Node[]) => {
    nodes.sort((a, b) => (a.name < b.name ? -1 : 1));
    nodes.forEach((each) => sort(each.children));
  };
  sort(top);
  return top;
}

/** The largest part that a role has of any resource of the cluster. */
function dominantShare(amounts: Amounts): number {
  const { total } = live.model;
  return Math.max(0, ...SUMS.map((name) => (total[name] > 0 ? (amounts[name] ?? 0) / total[name] : 0)));
}

const sum = (a: Amounts, b: Amounts): Amounts =>
  Object.fromEntries(SUMS.map((name) => [name, (a[name] ?? 0) + (b[name] ?? 0)])) as Amounts;

function Quota({ role }: { role: Role }) {
  const quota = role.quota;
  const named = SUMS.filter((name) => quota?.limit[name] !== undefined || quota?.guarantee[name] !== undefined);
  if (!quota || named.length === 0) return <span class="quiet">–</span>;
  return (
    <div class="quota">
      {named.map((name) => {
        const consumed = quota.consumed[name] ?? 0;
        const limit = quota.limit[name];
        const guarantee = quota.guarantee[name];
        const top = Math.max(limit ?? 0, guarantee ?? 0, consumed);
        const show = (value: number | undefined) => (value === undefined ? "none" : resource(name, value));
        return (
          <div class="meter" key={name} title={`${RESOURCE_NAMES[name]}: ${show(consumed)} consumed, guarantee ${show(guarantee)}, limit ${show(limit)}`}>
            <div class={`track ${limit !== undefined && consumed >= limit ? "full" : ""}`} role="meter" aria-label={`${RESOURCE_NAMES[name]} of the quota`}
              aria-valuemin={0} aria-valuemax={top} aria-valuenow={consumed}
              aria-valuetext={`${show(consumed)} consumed, guarantee ${show(guarantee)}, limit ${show(limit)}`}>
              <span style={{ width: `${top > 0 ? (100 * consumed) / top : 0}%` }} />
              {guarantee !== undefined && top > 0 && <i style={{ left: `${(100 * guarantee) / top}%` }} />}
            </div>
            <span class="figure"><span class="quiet">{RESOURCE_NAMES[name]}</span> {show(consumed)}<span class="quiet"> / {limit === undefined ? "∞" : show(limit)}</span></span>
          </div>
        );
      })}
    </div>
  );
}

function quotaQuestion(role: Role | undefined, path: string): Question {
  const field = (kind: "guarantee" | "limit", name: SumName) => role?.quota?.[kind][name];
  const values = (form: FormData, kind: string) => Object.fromEntries(SUMS.flatMap((name) => {
    const text = form.get(`${kind}-${name}`);
    return text ? [[name, { value: Number(text) }]] : [];
  }));
  return {
    title: `Quota and weight of ${path}`, verb: "Save",
    body: (
      <>
        <p class="quiet">Empty: nothing is guaranteed, or nothing is limited. Memory and disk in megabytes.</p>
        <div class="quota-form">
          <span /><b>Guarantee</b><b>Limit</b>
          {SUMS.map((name) => (
            <>
              <span>{RESOURCE_NAMES[name]}</span>
              {(["guarantee", "limit"] as const).map((kind) => (
                <input key={kind + name} name={`${kind}-${name}`} type="number" min={0} step="any" aria-label={`${kind} of ${RESOURCE_NAMES[name]}`} defaultValue={field(kind, name)?.toString() ?? ""} />
              ))}
            </>
          ))}
          <span>Weight</span><input name="weight" type="number" min={0.001} step="any" aria-label="Weight" defaultValue={String(role?.weight ?? 1)} /><span />
        </div>
      </>
    ),
    act: async (form) => {
      const guarantees = values(form, "guarantee");
      const limits = values(form, "limit");
      const had = role?.quota && [role.quota.guarantee, role.quota.limit].some((amounts) => Object.keys(amounts).length > 0);
      if (had || Object.keys(guarantees).length + Object.keys(limits).length > 0) {
        await call({ type: "UPDATE_QUOTA", update_quota: { quota_configs: [{ role: path, guarantees, limits }] } });
      }
      const weight = Number(form.get("weight"));
      if (weight > 0 && weight !== (role?.weight ?? 1)) {
        await call({ type: "UPDATE_WEIGHTS", update_weights: { weight_infos: [{ role: path, weight }] } });
      }
    },
  };
}

export function Roles() {
  const { phase } = useLive();
  const { data, error, reload } = useRead<{ roles: Role[] }>((signal) => read("/master/roles", signal), 4, [phase]);
  const [search, setSearch] = useState(place().query.get("search") ?? "");
  const [closed, setClosed] = useState(new Set<string>());
  const [dialog, ask] = useQuestion(reload);
  const top = useMemo(() => tree(data?.roles ?? []), [data]);
  const words = search.toLowerCase();
  const lines: { node: Node; siblings: Node[] }[] = [];
  const matches = (node: Node): boolean => node.path.toLowerCase().includes(words) || node.children.some(matches);
  const walk = (nodes: Node[]) => nodes.filter((node) => !words || matches(node)).forEach((node) => {
    lines.push({ node, siblings: nodes });
    if (!closed.has(node.path) || words) walk(node.children);
  });
  walk(top);
  const held = (node: Node): Amounts => (node.role ? sum(node.role.allocated, node.role.offered) : {});
  const weightOf = (node: Node) => node.role?.weight ?? 1;
  const toggle = (path: string) => setClosed((before) => {
    const after = new Set(before);
    if (!after.delete(path)) after.add(path);
    return after;
  });
  return (
    <Page title="Roles and quota">
      {dialog}
      {error && <Problem>{error}</Problem>}
      <Card flush>
        <div class="table-tools">
          <input type="search" placeholder="Search" aria-label="Search roles" value={search} spellcheck={false}
            onInput={(event) => { setSearch(event.currentTarget.value); setQuery({ search: event.currentTarget.value }); }} />
          <span class="found quiet" role="status">{count(data?.roles.length ?? 0)}</span>
          <button type="button" class="small" onClick={() => ask({
            title: "Quota of a role without one", verb: "Next",
            body: <label class="field">Role<input name="role" required pattern="[^\s]+" autocomplete="off" spellcheck={false} /></label>,
            act: async (form) => {
              const name = String(form.get("role"));
              setTimeout(() => ask(quotaQuestion(data?.roles.find((role) => role.name === name), name)));
            },
          })}>Set quota…</button>
        </div>
        {data && lines.length === 0 && <Empty>{words ? "Nothing matches." : "No role is in use, and none has quota or a weight."}</Empty>}
        {lines.length > 0 && (
          <div class="scroll-x">
            <table class="plain roles" role="treegrid" aria-label="roles">
              <thead><tr><th>Role</th><th class="number">Weight</th><th>Share, and fair share</th><th>Allocated</th><th>Quota: consumed of its limit</th><th class="number">Frameworks</th><th><span class="hidden">Actions</span></th></tr></thead>
              <tbody>
                {lines.map(({ node, siblings }) => {
                  const share = dominantShare(held(node));
                  const weights = siblings.reduce((all, each) => all + weightOf(each), 0);
                  const parts = siblings.reduce((all, each) => all + dominantShare(held(each)), 0);
                  // Among its siblings, by weight, of what they have together.
                  const fair = weights > 0 ? (parts * weightOf(node)) / weights : 0;
                  const allocated = SUMS.filter((name) => (node.role?.allocated[name] ?? 0) > 0);
                  return (
                    <tr key={node.path} role="row" aria-level={node.depth + 1} aria-expanded={node.children.length > 0 ? !closed.has(node.path) : undefined}>
                      <td><span class="tree-name" style={{ paddingLeft: `${node.depth * 20}px` }}>
                        {node.children.length > 0
                          ? <button type="button" class="twist" aria-label={`${closed.has(node.path) ? "Open" : "Close"} ${node.path}`} onClick={() => toggle(node.path)}>{closed.has(node.path) && !words ? "▸" : "▾"}</button>
                          : <span class="twist" />}
                        <span title={node.path}>{node.name}</span></span></td>
                      <td class="number">{amount(weightOf(node))}</td>
                      <td><div class="meter" title={`Dominant share ${(100 * share).toFixed(1)}%, by weight among its siblings ${(100 * fair).toFixed(1)}%`}>
                        <div class="track" role="meter" aria-label={`Share of ${node.path}`} aria-valuemin={0} aria-valuemax={1} aria-valuenow={share} aria-valuetext={`${(100 * share).toFixed(1)}%, fair ${(100 * fair).toFixed(1)}%`}>
                          <span style={{ width: `${100 * share}%` }} /><i style={{ left: `${Math.min(100, 100 * fair)}%` }} /></div>
                        <span class="figure">{(100 * share).toFixed(1)}%<span class="quiet"> / {(100 * fair).toFixed(1)}%</span></span></div></td>
                      <td>{allocated.length === 0 ? <span class="quiet">–</span> : <span class="resource-list">{allocated.map((name) => <span key={name}><span class="quiet">{RESOURCE_NAMES[name]}</span> {resource(name, node.role!.allocated[name]!)}</span>)}</span>}</td>
                      <td>{node.role ? <Quota role={node.role} /> : <span class="quiet">–</span>}</td>
                      <td class="number">{node.role?.frameworks.length === 1
                        ? <a href={href("frameworks", node.role.frameworks[0]!)}>{live.model.frameworks.get(node.role.frameworks[0]!)?.name ?? 1}</a>
                        : count(node.role?.frameworks.length ?? 0)}</td>
                      <td class="number"><button type="button" class="small ghost" aria-label={`Change quota and weight of ${node.path}`} onClick={() => ask(quotaQuestion(node.role, node.path))}>Change…</button></td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          </div>
        )}
      </Card>
      <p class="aside-line quiet">The share is the largest part that a role and those below it hold, with what they are offered, of any resource of the cluster. The mark is
        what it would be if it and its siblings held what they hold together by their weights.</p>
    </Page>
  );
}
