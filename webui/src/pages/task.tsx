// One task: its states over time, what it has, its sandbox.

import { useEffect, useState } from "preact/hooks";
import { agentPath, read } from "../data/api";
import { hasEnded, live, useLive, useRead } from "../data/live";
import { isOver, taskKey, type Status, type Task as TaskRecord } from "../data/model";
import { amount, clock, duration, megabytes, stamp, stateName, stateTone } from "../format";
import { Ago, Badge, Card, Copy, Empty, Facts, Id, Page, Problem, State, Tags } from "../parts/bits";
import { Folder, LogView } from "../parts/files";
import { href } from "../router";

function Timeline({ task }: { task: TaskRecord }) {
  const statuses: Status[] = task.statuses.length > 0 ? task.statuses
    : [{ state: task.state, time: task.started, message: "", reason: "", source: "", healthy: undefined, container: "" }];
  const now = Date.now() / 1000;
  const spans = statuses.map((status, at) => {
    const end = statuses[at + 1]?.time ?? (isOver(status.state) ? status.time : now);
    return { status, length: Math.max(0, end - status.time), last: at === statuses.length - 1 };
  });
  return (
    <>
      <div class="parts timeline" aria-hidden="true">
        {spans.map(({ status, length, last }, at) => (
          <span key={at} class={stateTone(status.state)} title={stateName(status.state)}
            style={{ flexGrow: last && isOver(status.state) ? 0 : length, minWidth: "10px" }} />
        ))}
      </div>
      <ol class="statuses" aria-label="States over time">
        {spans.map(({ status, length, last }, at) => (
          <li key={at} class={stateTone(status.state)}>
            <span class="when"><time dateTime={new Date(status.time * 1000).toISOString()} title={stamp(status.time)}>{clock(status.time)}</time></span>
            <span class="line-body">
              <State state={status.state} />
              {status.healthy !== undefined && <Badge tone={status.healthy ? "good" : "bad"}>{status.healthy ? "Healthy" : "Unhealthy"}</Badge>}
              {!(last && isOver(status.state)) && <span class="quiet">{last ? "for " : ""}{duration(length)}</span>}
              {status.message && <span class="message">{status.message}</span>}
              {status.reason && <span class="quiet">{stateName(status.reason.replace(/^REASON_/, ""))}</span>}
            </span>
          </li>
        ))}
      </ol>
    </>
  );
}

interface AgentExecutor {
  id: string;
  container: string;
  directory: string;
  type?: string;
}
interface AgentState {
  frameworks?: AgentFramework[];
  completed_frameworks?: AgentFramework[];
}
interface AgentFramework {
  id: string;
  executors?: AgentExecutor[];
  completed_executors?: AgentExecutor[];
}

/** The folder of a task on its agent: that of its executor, or below it where the executor runs several. */
export async function findSandbox(
  task: { agent: string; framework: string; executor: string; id: string; container?: string }, signal?: AbortSignal,
): Promise<string | undefined> {
  const state = await read<AgentState>(agentPath(task.agent, "state"), signal);
  const executors = [...(state.frameworks ?? []), ...(state.completed_frameworks ?? [])]
    .filter((framework) => framework.id === task.framework)
    .flatMap((framework) => [...(framework.executors ?? []), ...(framework.completed_executors ?? [])]);
  const wanted = task.executor || task.id;
  const found = executors.filter((executor) => executor.id === wanted);
  const executor = found.find((one) => one.container === task.container) ?? found[0];
  if (!executor) return undefined;
  return executor.type === "DEFAULT" ? `${executor.directory}/tasks/${task.id}` : executor.directory;
}

function Sandbox({ task }: { task: TaskRecord }) {
  const [directory, setDirectory] = useState<string>();
  const [problem, setProblem] = useState("");
  const [file, setFile] = useState("stdout");
  const container = task.statuses.findLast((status) => status.container)?.container ?? "";
  useEffect(() => {
    if (!task.agent) return;
    const stop = new AbortController();
    setProblem("");
    findSandbox({ ...task, container }, stop.signal).then(
      (found) => {
        setDirectory(found);
        if (!found) setProblem("The agent knows this task no more: its sandbox may be gone.");
      },
      (error: unknown) => { if (!stop.signal.aborted) setProblem(String(error instanceof Error ? error.message : error)); },
    );
    return () => stop.abort();
  }, [task.key, task.agent, container]);
  // Of several in one executor, each of a pod has a folder of its own; others share theirs.
  const ended = directory?.endsWith(`/tasks/${task.id}`) ? isOver(task.state)
    : isOver(task.state) && hasEnded(task.agent, task.framework, task.executor || task.id);
  if (problem) return <Card title="Sandbox"><Problem>{problem}</Problem></Card>;
  if (!directory) return <Card title="Sandbox"><p class="quiet">Looking for it…</p></Card>;
  return (
    <>
      <Card flush>
        <LogView agent={task.agent} path={`${directory}/${file}`} ended={ended} lead={(
          <>
            <h2>Output</h2>
            <div class="choices" role="group" aria-label="Which output">
              {["stdout", "stderr"].map((name) => (
                <button type="button" key={name} aria-pressed={file === name} onClick={() => setFile(name)}>{name}</button>
              ))}
            </div>
          </>
        )} />
      </Card>
      <Card title="Sandbox" flush><Folder agent={task.agent} path={directory} file="" /></Card>
    </>
  );
}

interface TaskDocument {
  tasks: { labels?: { key: string; value?: string }[]; discovery?: object; health_check?: { type?: string }; container?: { type?: string } }[];
}

export function Task({ framework, id }: { framework: string; id: string }) {
  useLive();
  const task = live.model.tasks.get(taskKey(framework, id));
  const query = `framework_id=${encodeURIComponent(framework)}&task_id=${encodeURIComponent(id)}`;
  const more = useRead((signal) => read<TaskDocument>(`/master/tasks?${query}`, signal), 0, [framework, id, task?.state]);
  const trail: [string, string][] = [["Tasks", "#/tasks"]];
  if (!task) {
    return <Page title={id} trail={trail}><Card><Empty>{live.phase === "connecting" ? "Loading…" : "The master knows no such task. Of tasks that ended it keeps the latest only."}</Empty></Card></Page>;
  }
  const details = more.data?.tasks[0];
  const agent = live.model.agents.get(task.agent);
  const owner = live.model.frameworks.get(task.framework);
  const container = task.statuses.findLast((status) => status.container)?.container ?? "";
  return (
    <Page title={task.name || task.id} trail={trail} status={<State state={task.state} />}>
      <div class="columns even">
        <Card title="States"><Timeline task={task} /></Card>
        <Card title="Task">
          <Facts facts={[
            ["Id", <><Id id={task.id} whole /> <Copy text={task.id} label="the task's id" /></>],
            ["Framework", <a href={href("frameworks", task.framework)}>{owner?.name ?? task.framework}</a>],
            ["Agent", agent ? <a href={href("agents", task.agent)}>{agent.hostname}:{agent.port}</a> : <Id id={task.agent} whole />],
            ["Role", task.role && <a href={`#/roles?search=${encodeURIComponent(task.role)}`}>{task.role}</a>],
            ["Resources", [`${amount(task.cpus)} CPUs`, megabytes(task.mem), task.disk > 0 ? `${megabytes(task.disk)} disk` : "", task.gpus > 0 ? `${amount(task.gpus)} GPUs` : ""].filter(Boolean).join(" · ")],
            ["Started", <Ago at={task.started} />],
            ["Executor", task.executor && task.executor !== task.id ? <Id id={task.executor} whole /> : ""],
            ["Container", container && <><Id id={container} whole /> <Copy text={container} label="the container's id" /></>],
            ["Health check", details?.health_check?.type ?? ""],
            ["Labels", details?.labels?.length ? <Tags tags={details.labels.map((label) => [label.key, label.value ?? ""])} /> : ""],
          ]} />
        </Card>
      </div>
      {task.agent && <Sandbox key={task.key} task={task} />}
    </Page>
  );
}
