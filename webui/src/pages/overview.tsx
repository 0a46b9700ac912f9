// The cluster at a glance, all of it from the event stream.

import { read } from "../data/api";
import { live, useAgentStates, useLive, useRead } from "../data/live";
import { SUMS, type Agent, type SumName } from "../data/model";
import { count, percent, resource, RESOURCE_NAMES, stateName, stateTone } from "../format";
import { Ago, Badge, Card, Empty, Page, State, Track } from "../parts/bits";
import { Chart, WHOLE_STEPS } from "../parts/chart";

const ORDER = ["TASK_RUNNING", "TASK_STARTING", "TASK_STAGING", "TASK_KILLING", "TASK_UNREACHABLE", "TASK_FINISHED",
  "TASK_FAILED", "TASK_KILLED", "TASK_LOST", "TASK_ERROR", "TASK_DROPPED", "TASK_GONE", "TASK_GONE_BY_OPERATOR"];

function ResourceCard({ name }: { name: SumName }) {
  const { used, total, history } = live.model;
  return (
    <section class="card stat" aria-label={RESOURCE_NAMES[name]}>
      <header><h2>{RESOURCE_NAMES[name]}</h2><span class="aside quiet">{percent(used[name], total[name])}</span></header>
      <p class="big">{resource(name, used[name])} <span class="of">of {resource(name, total[name])}</span></p>
      <Track name={name} used={used[name]} total={total[name]} />
      <Chart label={`${RESOURCE_NAMES[name]} used by tasks`} height={64} bare times={history.map((point) => point.time)}
        format={(value) => resource(name, value)} atLeast={total[name] / 1.1}
        lines={[
          { label: "used", color: "--accent", filled: true, values: history.map((point) => point.used[name]) },
        ]} />
    </section>
  );
}

export function Overview() {
  const { model, master } = useLive();
  useAgentStates();
  const agents = [...model.agents.values()];
  const frameworks = [...model.frameworks.values()].filter((framework) => !framework.completed);
  const states = ORDER.filter((state) => (model.states.get(state) ?? 0) > 0);
  const sum = states.reduce((all, state) => all + model.states.get(state)!, 0);
  const cluster = useRead<{ flags: Record<string, string> }>((signal) => read("/master/flags", signal), 0, []).data?.flags["cluster"];
  // Each agent counts once, as its own page has it.
  const counted = (fits: (agent: Agent) => boolean) => agents.filter(fits).length;
  const draining = counted((agent) => agent.drain === "DRAINING");
  const drained = counted((agent) => agent.drain === "DRAINED");
  const deactivated = counted((agent) => !agent.drain && agent.deactivated);
  const lost = counted((agent) => !agent.drain && !agent.deactivated && !agent.active);
  return (
    <Page title={cluster || "Cluster"} status={master && <span class="quiet">{master.hostname}:{master.port} leads</span>}>
      <div class="stats">
        {SUMS.filter((name) => name !== "gpus" || model.total.gpus > 0).map((name) => <ResourceCard key={name} name={name} />)}
      </div>
      <div class="columns">
        <div class="stack">
          <Card title="Tasks" aside={<a href="#/tasks">All {count(model.tasks.size)}</a>}>
            {sum === 0 ? <Empty>No task was launched yet.</Empty> : (
              <>
                <div class="parts" role="img" aria-label={states.map((s) => `${count(model.states.get(s)!)} ${stateName(s)}`).join(", ")}>
                  {states.map((state) => <span key={state} class={stateTone(state)} style={{ flexGrow: model.states.get(state)! }} />)}
                </div>
                <ul class="state-list">
                  {states.map((state) => (
                    <li key={state}><a href={`#/tasks?state=${state}`}><State state={state} /><b>{count(model.states.get(state)!)}</b></a></li>
                  ))}
                </ul>
              </>
            )}
            <Chart label="Running tasks" height={130} times={model.history.map((point) => point.time)} format={count} atLeast={1} steps={WHOLE_STEPS}
              lines={[{ label: "running", color: "--good", filled: true, values: model.history.map((point) => point.running) }]} />
          </Card>
          <div class="pair">
            <a class="card tile" href="#/agents"><span class="quiet">Agents</span><b>{count(agents.length)}</b>
              <span class="notes">{lost > 0 && <Badge tone="warn">{lost} disconnected</Badge>}
                {draining > 0 && <Badge tone="busy">{draining} draining</Badge>}
                {drained > 0 && <Badge tone="quiet">{drained} drained</Badge>}
                {deactivated > 0 && <Badge tone="quiet">{deactivated} deactivated</Badge>}
                {lost + draining + drained + deactivated === 0 && agents.length > 0 && <Badge tone="good">All active</Badge>}</span></a>
            <a class="card tile" href="#/frameworks"><span class="quiet">Frameworks</span><b>{count(frameworks.length)}</b>
              <span class="notes">{frameworks.some((f) => !f.connected)
                ? <Badge tone="warn">{frameworks.filter((f) => !f.connected).length} not connected</Badge>
                : frameworks.length > 0 && <Badge tone="good">All connected</Badge>}</span></a>
          </div>
        </div>
        <Card title="What happens" flush>
          {model.happenings.length === 0
            ? <Empty>Nothing has happened yet. What does shows here at once.</Empty>
            : (
              <ol class="happenings">
                {model.happenings.slice(0, 20).map((h, at) => (
                  <li key={`${h.time}${h.href}${at}`}>
                    <a href={h.href}>
                      <span class="what">{h.what}</span>
                      {h.state ? <State state={h.state} /> : <span class="quiet">{h.kind} {h.detail}</span>}
                      <span class="when quiet"><Ago at={h.time} /></span>
                      {h.state && h.detail && h.detail !== "added" && <span class="detail quiet">{h.detail}</span>}
                    </a>
                  </li>
                ))}
              </ol>
            )}
        </Card>
      </div>
    </Page>
  );
}
