// The connection to the master's event stream, and telling the page when something changed.

import { useEffect, useState } from "preact/hooks";
import { ApiError, call } from "./api";
import { isOver, Model, type Raw } from "./model";
import { Records } from "./recordio";

export type Phase = "connecting" | "live" | "broken";

export interface Master {
  hostname: string;
  port: number;
  id: string;
}

/** Without a heartbeat for so many of its intervals, the stream is taken for dead. */
const MISSED_HEARTBEATS = 3;
/** The page is drawn anew this often at most, and so many times longer than drawing takes. */
const TELL_MILLIS = 300;

class Live {
  readonly model = new Model();
  phase: Phase = "connecting";
  problem = "";
  master: Master | undefined;
  version = 0;
  private listeners = new Set<() => void>();
  private timer: number | undefined;
  private pause = 500;
  private started = false;

  start() {
    if (this.started) return;
    this.started = true;
    void this.run();
    setInterval(() => {
      if (this.phase !== "live") return;
      this.model.sample(Date.now() / 1000);
      this.changed();
    }, 1000);
  }

  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  changed() {
    this.timer ??= window.setTimeout(() => {
      this.timer = undefined;
      this.version += 1;
      this.listeners.forEach((listener) => listener());
    }, TELL_MILLIS);
  }

  private set(phase: Phase, problem = "") {
    this.phase = phase;
    this.problem = problem;
    this.changed();
  }

  private async run() {
    for (;;) {
      try {
        await this.follow();
        this.set("broken", "the stream ended");
      } catch (error) {
        this.set("broken", error instanceof ApiError || error instanceof Error ? error.message : String(error));
      }
      await new Promise((resolve) => setTimeout(resolve, this.pause));
      this.pause = Math.min(this.pause * 2, 15_000);
    }
  }

  private async follow() {
    const stop = new AbortController();
    const answer = await fetch("/api/v1", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ type: "SUBSCRIBE" }),
      signal: stop.signal,
      redirect: "manual",
    });
    if (answer.type === "opaqueredirect") {
      goToLeader();
      throw new Error("another master leads");
    }
    if (!answer.ok || !answer.body) throw new ApiError(answer.status, (await answer.text()).slice(0, 300));
    const records = new Records();
    const reader = answer.body.getReader();
    let patience = 60_000;
    for (;;) {
      const dead = setTimeout(() => stop.abort(new Error("the master is silent")), patience);
      const { done, value } = await reader.read().finally(() => clearTimeout(dead));
      if (done) return;
      for (const record of records.push(value)) {
        const event: Raw = JSON.parse(new TextDecoder().decode(record));
        if (event.type === "SUBSCRIBED") {
          patience = MISSED_HEARTBEATS * 1000 * (event.subscribed?.heartbeat_interval_seconds ?? 15);
          this.subscribed(event.subscribed ?? {});
        } else if (this.model.event(event)) {
          this.changed();
        }
      }
    }
  }

  private subscribed(raw: Raw) {
    this.model.snapshot(raw.get_state);
    void this.askMaster();
    this.pause = 500;
    this.model.sample(Date.now() / 1000);
    this.set("live");
  }

  /** Who leads: the stream does not say. */
  private async askMaster() {
    try {
      const answer = await call<Raw>({ type: "GET_MASTER" });
      const info = answer?.get_master?.master_info ?? {};
      this.master = {
        hostname: info.hostname ?? info.address?.hostname ?? location.hostname, port: info.port ?? 5050, id: info.id ?? "",
      };
      this.changed();
    } catch {
      // The page shows all the rest without it.
    }
  }
}

/** Another master leads. This one sends whoever asks for the page there, with what is said after `#`. */
function goToLeader() {
  const last = Number(sessionStorage.getItem("gone-to-leader") ?? 0);
  if (Date.now() - last < 10_000) return;
  sessionStorage.setItem("gone-to-leader", String(Date.now()));
  location.reload();
}

export const live = new Live();

/** Draws the calling component anew when the cluster changed. */
export function useLive(): Live {
  const [, draw] = useState(0);
  useEffect(() => live.listen(() => draw(live.version)), []);
  return live;
}

/** Whether no task writes to the sandbox of an executor any more: there were some, and all are over. */
export function hasEnded(agent: string, framework: string, executor: string): boolean {
  let seen = false;
  for (const task of live.model.tasks.values()) {
    if (task.framework !== framework || task.agent !== agent || (task.executor || task.id) !== executor) continue;
    if (!isOver(task.state)) return false;
    seen = true;
  }
  return seen;
}

/** What a path answers with, asked again every `seconds` while the page is looked at. */
export function useRead<T>(
  get: ((signal: AbortSignal) => Promise<T>) | undefined, every: number, dependencies: unknown[],
): { data: T | undefined; error: string; reload: () => void } {
  const [state, set] = useState<{ data: T | undefined; error: string }>({ data: undefined, error: "" });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!get) return;
    const stop = new AbortController();
    let timer: number | undefined;
    const round = async () => {
      if (!document.hidden) {
        try {
          const data = await get(stop.signal);
          if (stop.signal.aborted) return;
          set({ data, error: "" });
        } catch (error) {
          if (stop.signal.aborted) return;
          set((before) => ({ data: before.data, error: error instanceof Error ? error.message : String(error) }));
        }
      }
      if (every > 0 && !stop.signal.aborted) timer = window.setTimeout(round, every * 1000);
    };
    void round();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [...dependencies, turn]);
  return { ...state, reload: () => setTurn((before) => before + 1) };
}

/** More agents than this are asked for seldom: their answer has megabytes. */
const MANY_AGENTS = 1000;

/** Keeps what the stream does not tell of agents true while a page shows it. */
export function useAgentStates() {
  const ask = async () => {
    const answer = await call<Raw>({ type: "GET_AGENTS" });
    if (live.model.agentsTold(answer?.get_agents?.agents ?? [])) live.changed();
  };
  useRead(ask, live.model.agents.size > MANY_AGENTS ? 60 : 5, [live.phase]);
}
