// The frame around every page: where one can go, whether the cluster is heard, light and dark.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { live, useLive } from "./data/live";
import { count } from "./format";
import { Card, Page } from "./parts/bits";
import { repaintCharts } from "./parts/chart";
import { Agent } from "./pages/agent";
import { Agents } from "./pages/agents";
import { Browse, FindSandbox } from "./pages/browse";
import { Framework, Frameworks } from "./pages/frameworks";
import { Maintenance } from "./pages/maintenance";
import { MasterLog, MasterPage } from "./pages/master";
import { Offers } from "./pages/offers";
import { Overview } from "./pages/overview";
import { Roles } from "./pages/roles";
import { Task } from "./pages/task";
import { Tasks } from "./pages/tasks";
import { usePlace, type Place } from "./router";

const PLACES: [string, string, string][] = [
  ["", "Cluster", "c"], ["tasks", "Tasks", "t"], ["agents", "Agents", "a"], ["frameworks", "Frameworks", "f"],
  ["roles", "Roles", "r"], ["offers", "Offers", "o"], ["maintenance", "Maintenance", "m"], ["master", "Master", "s"],
];

/** The page at a place. Those of Apache Mesos 1.11.0 have their old addresses. */
function route({ parts, query }: Place): ComponentChildren {
  const [first, id, second, framework, third, executor] = parts;
  const get = (name: string) => query.get(name) ?? "";
  switch (first) {
    case undefined: return <Overview />;
    case "tasks":
      return id && second ? <Task key={`${id}/${second}`} framework={id} id={second} /> : <Tasks key="tasks" />;
    case "agents":
      if (!id) return <Agents />;
      if (second === "browse") return <Browse key={get("path")} agent={id} path={get("path")} file={get("file")} />;
      if (second === "frameworks" && framework && third === "executors" && executor) {
        const task = parts[6] === "tasks" ? (parts[7] ?? "") : "";
        return <FindSandbox agent={id} framework={framework} executor={executor} task={task} />;
      }
      if (second === "frameworks" && framework) return <Framework key={framework} id={framework} />;
      return <Agent key={id} id={id} />;
    case "frameworks": return id ? <Framework key={id} id={id} /> : <Frameworks />;
    case "roles": return <Roles />;
    case "offers": return <Offers />;
    case "maintenance": return <Maintenance />;
    case "master": return id === "log" ? <MasterLog path={get("path")} /> : <MasterPage />;
    default:
      return <Page title="Not here"><Card><p>There is no such page. <a href="#/">To the cluster</a></p></Card></Page>;
  }
}

type Theme = "auto" | "light" | "dark";
const THEMES: Theme[] = ["auto", "light", "dark"];

function useTheme(): [Theme, () => void] {
  const [theme, set] = useState<Theme>(() => {
    const kept = localStorage.getItem("messor-theme") as Theme;
    return THEMES.includes(kept) ? kept : "auto";
  });
  useEffect(() => {
    document.documentElement.dataset["theme"] = theme;
    localStorage.setItem("messor-theme", theme);
    repaintCharts();
  }, [theme]);
  useEffect(() => {
    const wish = matchMedia("(prefers-color-scheme: dark)");
    wish.addEventListener("change", repaintCharts);
    return () => wish.removeEventListener("change", repaintCharts);
  }, []);
  return [theme, () => set(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!)];
}

/** `g` and a letter go to a page; `?` shows the keys. */
function useKeys(showKeys: () => void) {
  useEffect(() => {
    let waits = 0;
    const pressed = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || target.matches("input, textarea, select")) return;
      if (event.key === "?") return showKeys();
      if (event.key === "g") {
        waits = Date.now();
        return;
      }
      const to = Date.now() - waits < 1500 ? PLACES.find(([, , key]) => key === event.key) : undefined;
      waits = 0;
      if (to) location.hash = `#/${to[0]}`;
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

function Connection() {
  const { phase, problem } = useLive();
  const [text, tone] = phase === "live" ? ["Live", "good"] : phase === "connecting" ? ["Connecting", "busy"] : ["Not connected", "bad"];
  return <span class={`connection ${tone}`} role="status" title={problem}><span class="dot" aria-hidden="true" />{text}</span>;
}

function Keys({ close }: { close: () => void }) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => element.current?.showModal(), []);
  return (
    <dialog ref={element} class="keys" aria-label="Keys" onClick={close} onCancel={(event) => { event.preventDefault(); close(); }}>
      <h2>Keys</h2>
      <dl>
        {PLACES.map(([path, name, key]) => <div key={path}><dt><kbd>g</kbd> <kbd>{key}</kbd></dt><dd>{name}</dd></div>)}
        <div><dt><kbd>/</kbd></dt><dd>Search the table</dd></div>
        <div><dt><kbd>↓</kbd> <kbd>↑</kbd> <kbd>Enter</kbd></dt><dd>Move in a table, open a row</dd></div>
      </dl>
      <button type="button" autofocus onClick={close}>Close</button>
    </dialog>
  );
}

export function App() {
  const at = usePlace();
  const { phase, problem, model } = useLive();
  const [theme, nextTheme] = useTheme();
  const [keys, setKeys] = useState(false);
  useKeys(() => setKeys(true));
  useEffect(() => live.start(), []);
  const where = at.parts.join("/");
  useEffect(() => {
    scrollTo(0, 0);
    setKeys(false);
    // Where the places are a line that is wider than the window.
    document.querySelector(".places [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [where]);
  const counts: Record<string, number> = { tasks: model.tasks.size, agents: model.agents.size, frameworks: [...model.frameworks.values()].filter((f) => !f.completed).length };
  return (
    <div class="frame">
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>To the content</a>
      <header class="bar">
        <a class="brand" href="#/"><img src="/favicon.svg" alt="" width="24" height="24" /> Messor</a>
        <nav class="places" aria-label="Pages">
          {PLACES.map(([path, name]) => {
            const here = (at.parts[0] ?? "") === path;
            return (
              <a key={path} href={`#/${path}`} aria-current={here ? "page" : undefined}>{name}
                {counts[path] !== undefined && phase === "live" && <span class="count">{count(counts[path]!)}</span>}</a>
            );
          })}
        </nav>
        <div class="bar-end">
          <Connection />
          <button type="button" class="small ghost" onClick={nextTheme} aria-label={`Colours: ${theme}. Change`}>
            <span aria-hidden="true">{theme === "light" ? "☀" : theme === "dark" ? "☾" : "◐"}</span> <span class="theme-name">{theme}</span></button>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {phase === "broken" && <p class="problem banner" role="alert">The master is not heard ({problem}). What is shown may be old; trying again.</p>}
        {route(at)}
      </main>
      {keys && <Keys close={() => setKeys(false)} />}
    </div>
  );
}
