// All tasks: searched, chosen by state, sorted. A hundred thousand are no trouble.

import { useMemo, useState } from "preact/hooks";
import { live, useLive } from "../data/live";
import { isActive, taskHref, type Task } from "../data/model";
import { amount, megabytes } from "../format";
import { Ago, Page, State } from "../parts/bits";
import { Table, Two, type Column } from "../parts/table";
import { place, setQuery } from "../router";

const frameworkName = (task: Task) => live.model.frameworks.get(task.framework)?.name ?? task.framework;
const hostname = (task: Task) => live.model.agents.get(task.agent)?.hostname ?? task.agent;

const ALL: Column<Task>[] = [
  { name: "Task", width: "minmax(0, 2fr)", by: (task) => task.name || task.id, cell: (task) => <Two top={task.name || task.id} below={task.id} /> },
  { name: "State", width: "112px", by: (task) => task.state, cell: (task) => <State state={task.state} /> },
  { name: "Framework", width: "minmax(0, 1fr)", by: frameworkName, from: "medium", cell: (task) => <Two top={frameworkName(task)} below={task.role} /> },
  { name: "Agent", width: "minmax(0, 1.1fr)", by: hostname, from: "medium", cell: hostname },
  { name: "CPUs", width: "70px", number: true, by: (task) => task.cpus, from: "medium", cell: (task) => amount(task.cpus) },
  { name: "Memory", width: "84px", number: true, by: (task) => task.mem, from: "medium", cell: (task) => megabytes(task.mem) },
  { name: "Started", width: "112px", number: true, by: (task) => task.started, from: "wide", cell: (task) => <Ago at={task.started} /> },
  { name: "Changed", width: "104px", number: true, by: (task) => task.changed, cell: (task) => <Ago at={task.changed} /> },
];

export function TaskTable({ tasks, label, without = [], visible, remember = false, controls }: {
  tasks: Task[]; label: string; without?: string[]; visible?: number; remember?: boolean; controls?: preact.ComponentChildren;
}) {
  return (
    <Table label={label} rows={tasks} columns={ALL.filter((column) => !without.includes(column.name))}
      rowKey={(task) => task.key} href={taskHref} text={(task) => task.text} sort="Changed" descending
      remember={remember} empty="No tasks." {...(visible ? { visible } : {})} controls={controls} />
  );
}

const CHOICES: [string, string, (task: Task) => boolean][] = [
  ["active", "Active", (task) => isActive(task.state)],
  ["over", "Ended", (task) => !isActive(task.state)],
  ["failed", "Failed", (task) => ["TASK_FAILED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED", "TASK_GONE", "TASK_UNREACHABLE"].includes(task.state)],
  ["", "All", () => true],
];

/** Made anew when the cluster changed, but not more often than it can be drawn in peace. */
function useSlowVersion(): number {
  const { version, model } = useLive();
  const step = model.tasks.size > 20_000 ? 10 : model.tasks.size > 3_000 ? 3 : 1;
  const [seen, set] = useState(version);
  if (version - seen >= step) set(version);
  return seen;
}

export function Tasks() {
  const version = useSlowVersion();
  const [state, setState] = useState(place().query.get("state") ?? "");
  const tasks = useMemo(() => {
    const choice = CHOICES.find(([value]) => value === state);
    const wanted = choice ? choice[2] : (task: Task) => task.state === state;
    return [...live.model.tasks.values()].filter(wanted);
  }, [version, state]);
  const choose = (value: string) => {
    setState(value);
    setQuery({ state: value });
  };
  const exact = state.startsWith("TASK_") ? state : "";
  return (
    <Page title="Tasks">
      <section class="card flush tall">
        <TaskTable tasks={tasks} label="tasks" visible={1000} remember controls={(
          <div class="choices" role="group" aria-label="Which tasks">
            {CHOICES.map(([value, name]) => (
              <button type="button" key={name} aria-pressed={state === value} onClick={() => choose(value)}>{name}</button>
            ))}
            {exact && <button type="button" aria-pressed onClick={() => choose("")}><State state={exact} /></button>}
          </div>
        )} />
      </section>
    </Page>
  );
}
