// Small things that every page is made of.

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ago, resource, shortId, stamp, stateName, stateTone, type Tone, percent, RESOURCE_NAMES } from "../format";
import { SUMS, type RawResource, type Sums } from "../data/model";

export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}><span class="dot" aria-hidden="true" />{children}</span>;
}

export const State = ({ state }: { state: string }) => <Badge tone={stateTone(state)}>{stateName(state)}</Badge>;

/** A time as "3 m ago", with the whole of it as a title. */
export function Ago({ at }: { at: number }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 10_000);
    return () => clearInterval(timer);
  }, []);
  if (!at) return <span class="quiet">–</span>;
  return <time dateTime={new Date(at * 1000).toISOString()} title={stamp(at)}>{ago(at)}</time>;
}

export function Id({ id, whole = false }: { id: string; whole?: boolean }) {
  return <span class="id" title={id}>{whole ? id : shortId(id)}</span>;
}

/** Browsers give pages the clipboard over https alone, and on the machine itself; elsewhere what is selected can be copied. */
async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

export function Copy({ text, label }: { text: string; label: string }) {
  const [told, tell] = useState("");
  const copy = async () => {
    const done = await toClipboard(text);
    tell(done ? "Copied" : "Not copied");
    setTimeout(() => tell(""), 1500);
  };
  return <button type="button" class="small ghost" onClick={copy} aria-label={`Copy ${label}`}>{told || "Copy"}</button>;
}

/** How much of something is taken, as a bar. */
export function Track({ name, used, total }: { name: string; used: number; total: number }) {
  const share = total > 0 ? Math.min(1, used / total) : 0;
  return (
    <div class={`track ${share > 0.95 ? "full" : ""}`} role="meter" aria-label={RESOURCE_NAMES[name] ?? name} aria-valuemin={0}
      aria-valuemax={total} aria-valuenow={used} aria-valuetext={`${resource(name, used)} of ${resource(name, total)}`}>
      <span style={{ width: `${100 * share}%` }} />
    </div>
  );
}

/** The bar with its figures below. */
export function Meter({ name, used, total }: { name: string; used: number; total: number }) {
  return (
    <div class="meter" title={`${RESOURCE_NAMES[name] ?? name}: ${resource(name, used)} of ${resource(name, total)}`}>
      <Track name={name} used={used} total={total} />
      <span class="figure">{resource(name, used)}<span class="quiet"> / {resource(name, total)}</span></span>
    </div>
  );
}

export function Meters({ used, total }: { used: Sums; total: Sums }) {
  return (
    <dl class="meters">
      {SUMS.filter((name) => total[name] > 0).map((name) => (
        <div key={name}>
          <dt>{RESOURCE_NAMES[name]} <span class="quiet">{percent(used[name], total[name])}</span></dt>
          <dd><Meter name={name} used={used[name]} total={total[name]} /></dd>
        </div>
      ))}
    </dl>
  );
}

/** Names and what they stand for; what is empty is left out. */
export function Facts({ facts }: { facts: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {facts.filter(([, value]) => value !== "" && value !== undefined && value !== null && value !== false)
        .map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}

export function Tags({ tags }: { tags: (string | [string, string])[] }) {
  if (tags.length === 0) return <span class="quiet">none</span>;
  return (
    <span class="tags">
      {tags.map((tag) => typeof tag === "string"
        ? <span class="tag" key={tag}>{tag}</span>
        : <span class="tag" key={tag[0]}><span class="quiet">{tag[0]}</span> {tag[1]}</span>)}
    </span>
  );
}

export function Card({ title, aside, children, id, flush = false }: {
  title?: ComponentChildren; aside?: ComponentChildren; children: ComponentChildren; id?: string; flush?: boolean;
}) {
  return (
    <section class={`card ${flush ? "flush" : ""}`} id={id}>
      {title && <header><h2>{title}</h2>{aside && <div class="aside">{aside}</div>}</header>}
      {children}
    </section>
  );
}

export function Page({ title, trail = [], status, actions, children }: {
  title: string; trail?: [string, string][]; status?: ComponentChildren; actions?: ComponentChildren;
  children: ComponentChildren;
}) {
  useEffect(() => {
    document.title = `${title} · Messor`;
  }, [title]);
  return (
    <>
      <header class="page-head">
        {trail.length > 0 && (
          <nav class="trail" aria-label="Where you are">
            {trail.map(([name, to]) => <a key={to} href={to}>{name}</a>)}
          </nav>
        )}
        <div class="title-row">
          <h1 tabIndex={-1}>{title}</h1>
          {status}
          {actions && <div class="actions">{actions}</div>}
        </div>
      </header>
      {children}
    </>
  );
}

export const Empty = ({ children }: { children: ComponentChildren }) => <p class="empty">{children}</p>;

export const Problem = ({ children }: { children: ComponentChildren }) => <p class="problem" role="alert">{children}</p>;

/** A resource as words: "2 CPUs", "ports 31000–32000". */
export function resourceText(r: RawResource): string {
  if (r.scalar) return resource(r.name, r.scalar.value);
  if (r.ranges) return r.ranges.range.map((range) => `${range.begin}–${range.end}`).join(", ");
  return (r.set?.item ?? []).join(", ");
}

export function ResourceList({ resources }: { resources: RawResource[] }) {
  return (
    <span class="resource-list">
      {resources.map((r, at) => (
        <span key={at}><span class="quiet">{RESOURCE_NAMES[r.name] ?? r.name}</span> {resourceText(r)}
          {r.revocable && <span class="quiet"> revocable</span>}</span>
      ))}
    </span>
  );
}
