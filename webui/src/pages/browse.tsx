// A sandbox by its path, and where older links to sandboxes lead.

import { useEffect, useState } from "preact/hooks";
import { hasEnded, live, useLive } from "../data/live";
import { taskKey } from "../data/model";
import { Card, Page, Problem } from "../parts/bits";
import { Folder, LogView, sandboxRoot } from "../parts/files";
import { browseHref, href } from "../router";
import { findSandbox } from "./task";

/** Not of a task: what an agent writes with --log_dir. */
const AGENT_LOG = "/slave/log";

export function Browse({ agent, path, file }: { agent: string; path: string; file: string }) {
  useLive();
  const host = live.model.agents.get(agent);
  const run = /\/frameworks\/([^/]+)\/executors\/([^/]+)\/runs\//.exec(path);
  // A command task's executor has the id of its task.
  const task = run && live.model.tasks.get(taskKey(run[1]!, run[2]!));
  const ended = run !== null && hasEnded(agent, run[1]!, run[2]!);
  const trail: [string, string][] = [["Agents", "#/agents"], [host ? `${host.hostname}:${host.port}` : agent, href("agents", agent)]];
  if (task) trail.push([task.name || task.id, href("tasks", task.framework, task.id)]);
  const own = path === AGENT_LOG;
  return (
    <Page title={own ? "Log of the agent" : "Sandbox"} trail={trail} status={<code class="path quiet">{sandboxRoot(path)}</code>}>
      {!path && <Card><Problem>The address names no path.</Problem></Card>}
      {path && path !== file && <Card flush><Folder agent={agent} path={path} file={file} /></Card>}
      {file && <Card flush><LogView key={file} agent={agent} path={file} ended={ended} /></Card>}
    </Page>
  );
}

/** `/agents/A/frameworks/F/executors/E[/tasks/T]/browse`: to the sandbox, once the agent said where it is. */
export function FindSandbox({ agent, framework, executor, task }: { agent: string; framework: string; executor: string; task: string }) {
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const stop = new AbortController();
    findSandbox({ agent, framework, executor, id: task || executor }, stop.signal).then(
      (path) => {
        if (!path) return setProblem("The agent knows no such executor: its sandbox may be gone.");
        const below = task && !path.endsWith(`/tasks/${task}`) ? `${path}/tasks/${task}` : path;
        location.replace(browseHref(agent, below));
      },
      (error: unknown) => { if (!stop.signal.aborted) setProblem(error instanceof Error ? error.message : String(error)); },
    );
    return () => stop.abort();
  }, [agent, framework, executor, task]);
  return (
    <Page title="Sandbox" trail={[["Agents", "#/agents"], [agent, href("agents", agent)]]}>
      <Card>{problem ? <Problem>{problem}</Problem> : <p class="quiet">Looking for it…</p>}</Card>
    </Page>
  );
}
