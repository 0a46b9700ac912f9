// When machines are to be unavailable, which are draining or down, and changing that.

import { useMemo } from "preact/hooks";
import { call, read } from "../data/api";
import { live, useAgentStates, useLive, useRead } from "../data/live";
import { duration, stamp } from "../format";
import { Ago, Badge, Card, Empty, Page, Problem } from "../parts/bits";
import { useQuestion, type Question } from "../parts/dialog";
import { href } from "../router";
import { AgentBadge } from "./agents";
import { agentQuestions } from "./agent";

interface Machine {
  hostname?: string;
  ip?: string;
}
interface Window {
  machine_ids: Machine[];
  unavailability: { start: { nanoseconds: number }; duration?: { nanoseconds: number } };
}
interface Status {
  draining_machines?: { id: Machine; statuses?: { framework_id?: { value: string }; status?: string }[] }[];
  down_machines?: Machine[];
}

const nameOf = (machine: Machine) => [machine.hostname, machine.ip].filter(Boolean).join(" ");
const keyOf = (machine: Machine) => `${machine.hostname ?? ""}/${machine.ip ?? ""}`;
const ipOf = (pid: string) => /@(.*):\d+$/.exec(pid)?.[1] ?? "";

export function Maintenance() {
  const { version } = useLive();
  useAgentStates();
  const schedule = useRead<{ windows?: Window[] }>((signal) => read("/master/maintenance/schedule", signal), 4, []);
  const status = useRead<Status>((signal) => read("/master/maintenance/status", signal), 4, []);
  const reload = () => { schedule.reload(); status.reload(); };
  const [dialog, ask] = useQuestion(reload);
  const machines = useMemo(() => {
    const found = new Map<string, Machine>();
    for (const agent of live.model.agents.values()) {
      const machine = { hostname: agent.hostname, ip: ipOf(agent.pid) };
      found.set(keyOf(machine), machine);
    }
    return [...found.values()].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  }, [version]);
  const drained = [...live.model.agents.values()].filter((agent) => agent.drain || agent.deactivated);
  const windows = schedule.data?.windows ?? [];
  const down = new Set((status.data?.down_machines ?? []).map(keyOf));
  const draining = new Map((status.data?.draining_machines ?? []).map((each) => [keyOf(each.id), each]));

  const replace = (next: Window[]) => call({ type: "UPDATE_MAINTENANCE_SCHEDULE", update_maintenance_schedule: { schedule: { windows: next } } });
  const scheduleQuestion: Question = {
    title: "Schedule maintenance", verb: "Schedule",
    body: (
      <>
        <p>Frameworks are asked to leave the machines before it begins. Machines are taken down when you say so.</p>
        <fieldset class="field"><legend>Machines</legend>
          <div class="check-list">{machines.map((machine) => (
            <label class="check" key={keyOf(machine)}><input type="checkbox" name="machine" value={keyOf(machine)} /> {nameOf(machine)}</label>
          ))}</div></fieldset>
        <div class="field-pair">
          <label class="field">Begins<input name="start" type="datetime-local" required defaultValue={localTime(Date.now() + 3600_000)} /></label>
          <label class="field">Lasts, in minutes<input name="minutes" type="number" min={1} step={1} placeholder="until it is ended" /></label>
        </div>
      </>
    ),
    act: async (form) => {
      const chosen = new Set(form.getAll("machine").map(String));
      if (chosen.size === 0) throw new Error("choose at least one machine");
      const minutes = Number(form.get("minutes"));
      const nanoseconds = new Date(String(form.get("start"))).getTime() * 1e6;
      const added: Window = {
        machine_ids: machines.filter((machine) => chosen.has(keyOf(machine))),
        unavailability: { start: { nanoseconds }, ...(minutes > 0 ? { duration: { nanoseconds: minutes * 60e9 } } : {}) },
      };
      // A machine is in one window at a time: this one.
      const kept = windows.map((each) => ({ ...each, machine_ids: each.machine_ids.filter((machine) => !chosen.has(keyOf(machine))) }));
      await replace([...kept.filter((each) => each.machine_ids.length > 0), added]);
    },
  };
  const machineQuestion = (machine: Machine, what: "down" | "up" | "cancel"): Question => ({
    down: {
      title: `Take ${nameOf(machine)} down?`, verb: "Take down", danger: true,
      body: <p>Its agents are shut down with all their tasks, and may not come back until the machine is brought up.</p>,
      act: () => call({ type: "START_MAINTENANCE", start_maintenance: { machines: [machine] } }),
    },
    up: {
      title: `Bring ${nameOf(machine)} up?`, verb: "Bring up", body: <p>Its agents may register again, and it leaves the schedule.</p>,
      act: () => call({ type: "STOP_MAINTENANCE", stop_maintenance: { machines: [machine] } }),
    },
    cancel: {
      title: `Take ${nameOf(machine)} out of the schedule?`, verb: "Take out", body: <p>Frameworks may use it as before.</p>,
      act: () => replace(windows.map((each) => ({ ...each, machine_ids: each.machine_ids.filter((one) => keyOf(one) !== keyOf(machine)) }))
        .filter((each) => each.machine_ids.length > 0)),
    },
  })[what];

  return (
    <Page title="Maintenance" actions={<button type="button" class="primary" onClick={() => ask(scheduleQuestion)}>Schedule…</button>}>
      {dialog}
      {(schedule.error || status.error) && <Problem>{schedule.error || status.error}</Problem>}
      <Card title="Schedule" flush>
        {windows.length === 0 && <Empty>No maintenance is scheduled.</Empty>}
        {windows.map((window, at) => {
          const start = window.unavailability.start.nanoseconds / 1e9;
          const length = window.unavailability.duration ? window.unavailability.duration.nanoseconds / 1e9 : undefined;
          return (
            <div class="window" key={at}>
              <h3>{stamp(start)} <span class="quiet">{start > Date.now() / 1000 ? `in ${duration(start - Date.now() / 1000)}` : <Ago at={start} />}
                {length ? `, for ${duration(length)}` : ", until it is ended"}</span></h3>
              <div class="scroll-x"><table class="plain"><tbody>
                {window.machine_ids.map((machine) => {
                  const key = keyOf(machine);
                  const answers = draining.get(key)?.statuses ?? [];
                  return (
                    <tr key={key}><td><b>{machine.hostname}</b> <span class="quiet">{machine.ip}</span></td>
                      <td>{down.has(key) ? <Badge tone="bad">Down</Badge> : <Badge tone="busy">Draining</Badge>}</td>
                      <td class="quiet">{answers.map((answer) => `${live.model.frameworks.get(answer.framework_id?.value ?? "")?.name ?? answer.framework_id?.value ?? ""}: ${(answer.status ?? "").toLowerCase()}`).join(", ")}</td>
                      <td class="number">{down.has(key)
                        ? <button type="button" class="small" onClick={() => ask(machineQuestion(machine, "up"))}>Bring up…</button>
                        : <><button type="button" class="small danger ghost" onClick={() => ask(machineQuestion(machine, "down"))}>Take down…</button>
                          <button type="button" class="small ghost" onClick={() => ask(machineQuestion(machine, "cancel"))}>Cancel…</button></>}</td></tr>
                  );
                })}
              </tbody></table></div>
            </div>
          );
        })}
      </Card>
      <Card title="Agents that are drained or deactivated" flush>
        {drained.length === 0 ? <Empty>None. An agent is drained on <a href="#/agents">its own page</a>.</Empty> : (
          <div class="scroll-x"><table class="plain"><tbody>
            {drained.map((agent) => {
              const name = `${agent.hostname}:${agent.port}`;
              return (
                <tr key={agent.id}><td><a href={href("agents", agent.id)}>{name}</a></td><td><AgentBadge agent={agent} /></td>
                  <td class="number">{agent.tasks} {agent.tasks === 1 ? "task" : "tasks"}</td>
                  <td class="number"><button type="button" class="small" onClick={() => ask(agentQuestions(agent.id, name).reactivate)}>Reactivate…</button></td></tr>
              );
            })}
          </tbody></table></div>
        )}
      </Card>
    </Page>
  );
}

function localTime(millis: number): string {
  const date = new Date(millis - new Date(millis).getTimezoneOffset() * 60_000);
  return date.toISOString().slice(0, 16);
}
