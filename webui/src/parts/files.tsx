// A sandbox: its folders, and a file that is followed as it grows.

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { browse, downloadPath, fileSize, PIECE_BYTES, readPiece, type FileEntry } from "../data/api";
import { useRead } from "../data/live";
import { bytes } from "../format";
import { browseHref } from "../router";
import { Ago, Empty, Problem } from "./bits";

const nameOf = (path: string) => path.split("/").filter(Boolean).at(-1) ?? "/";

/** The folders from the sandbox down to the one that is shown. */
function Crumbs({ agent, root, path }: { agent: string; root: string; path: string }) {
  const below = path.startsWith(root) ? path.slice(root.length).split("/").filter(Boolean) : [];
  const steps = [{ name: "sandbox", path: root }];
  for (const name of below) steps.push({ name, path: `${steps.at(-1)!.path}/${name}` });
  return (
    <nav class="crumbs" aria-label="Folder">
      {steps.map((step, at) => at === steps.length - 1
        ? <span key={step.path} aria-current="page">{step.name}</span>
        : <a key={step.path} href={browseHref(agent, step.path)}>{step.name}</a>)}
    </nav>
  );
}

/** The folder of a run: below it is the sandbox. Elsewhere the path itself. */
export function sandboxRoot(path: string): string {
  return /^(.*\/runs\/[^/]+)(\/|$)/.exec(path)?.[1] ?? path;
}

export function Folder({ agent, path, file }: { agent: string; path: string; file: string }) {
  const { data, error } = useRead<FileEntry[]>((signal) => browse(agent, path, signal), 3, [agent, path]);
  const isFolder = (entry: FileEntry) => entry.mode.startsWith("d");
  const entries = [...(data ?? [])].sort((a, b) => Number(isFolder(b)) - Number(isFolder(a)) || (a.path < b.path ? -1 : 1));
  return (
    <>
      {path !== sandboxRoot(path) && <div class="folder-head"><Crumbs agent={agent} root={sandboxRoot(path)} path={path} /></div>}
      {error && <Problem>{error}</Problem>}
      {data && entries.length === 0 && !error && <Empty>This folder is empty.</Empty>}
      {entries.length > 0 && (
        <div class="scroll-x">
          <table class="plain files">
            <thead><tr><th>Name</th><th class="number">Size</th><th>Changed</th><th class="from-medium">Owner</th><th class="from-medium">Mode</th><th><span class="hidden">Download</span></th></tr></thead>
            <tbody>
              {entries.map((entry) => {
                const name = nameOf(entry.path);
                const folder = isFolder(entry);
                return (
                  <tr key={entry.path} class={entry.path === file ? "chosen" : ""}>
                    <td>{folder
                      ? <a class="folder" href={browseHref(agent, entry.path)}>{name}/</a>
                      : <a href={browseHref(agent, path, entry.path)}>{name}</a>}</td>
                    <td class="number">{folder ? "" : bytes(entry.size)}</td>
                    <td><Ago at={entry.mtime} /></td>
                    <td class="from-medium">{entry.uid}:{entry.gid}</td>
                    <td class="from-medium"><code>{entry.mode}</code></td>
                    <td class="number">{!folder && <a class="quiet-link" href={downloadPath(agent, entry.path)} download={name} aria-label={`Download ${name}`}>Download</a>}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

/** So much of a file is held at a time; what is before it goes. */
const HELD_CHARACTERS = 4_000_000;
const FIRST_BYTES = PIECE_BYTES;

interface Piece {
  start: number;
  end: number;
  text: string;
}

/** A file of a task that has ended is looked at so many times more without anything new; then it is left alone. */
const LAST_LOOKS = 3;

export function LogView({ agent, path, ended = false, lead }: { agent: string; path: string; ended?: boolean; lead?: ComponentChildren }) {
  const [pieces, setPieces] = useState<Piece[]>([]);
  const [problem, setProblem] = useState("");
  const [size, setSize] = useState(-1);
  const [following, setFollowing] = useState(true);
  const [over, setOver] = useState(false);
  const hasEnded = useRef(ended);
  hasEnded.current = ended;
  const [wrap, setWrap] = useState(true);
  const box = useRef<HTMLDivElement>(null);
  const held = useRef<Piece[]>([]);
  const keep = useRef<number | undefined>(undefined);

  useEffect(() => {
    const stop = new AbortController();
    held.current = [];
    setPieces([]);
    setSize(-1);
    setProblem("");
    setOver(false);
    let timer: number | undefined;
    let pause = 500;
    let looks = 0;
    const show = (next: Piece[]) => {
      let sum = next.reduce((all, piece) => all + piece.text.length, 0);
      while (next.length > 1 && sum > HELD_CHARACTERS) sum -= next.shift()!.text.length;
      held.current = next;
      setPieces(next);
    };
    const round = async () => {
      try {
        if (!document.hidden) {
          const now = await fileSize(agent, path, stop.signal);
          if (stop.signal.aborted) return;
          setSize(now);
          setProblem("");
          let end = held.current.at(-1)?.end ?? Math.max(0, now - FIRST_BYTES);
          // It was emptied or replaced: from its beginning.
          if (now < end) {
            held.current = [];
            end = 0;
          }
          const before = end;
          // What came meanwhile, unless it is more than one would read.
          if (now - end > 8 * PIECE_BYTES) end = now - FIRST_BYTES;
          while (end < now) {
            const piece = await readPiece(agent, path, end, now - end, stop.signal);
            if (stop.signal.aborted || piece.end === end) break;
            show([...(end === before || held.current.at(-1)?.end === end ? held.current : []), { start: end, end: piece.end, text: piece.text }]);
            end = piece.end;
          }
          pause = end > before ? 500 : Math.min(pause * 1.5, 3000);
          looks = hasEnded.current && end === before ? looks + 1 : 0;
          if (looks === LAST_LOOKS) return setOver(true);
        }
      } catch (error) {
        if (stop.signal.aborted) return;
        setProblem(error instanceof Error ? error.message : String(error));
        pause = Math.min(pause * 2, 15_000);
      }
      if (!stop.signal.aborted) timer = window.setTimeout(round, pause);
    };
    void round();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [agent, path]);

  const earlier = async () => {
    const first = held.current[0];
    if (!first || first.start === 0) return;
    const start = Math.max(0, first.start - PIECE_BYTES);
    try {
      const piece = await readPiece(agent, path, start, first.start - start);
      const element = box.current;
      keep.current = element ? element.scrollHeight - element.scrollTop : undefined;
      setFollowing(false);
      held.current = [{ start, end: first.start, text: piece.text }, ...held.current];
      setPieces(held.current);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    if (keep.current !== undefined) {
      element.scrollTop = element.scrollHeight - keep.current;
      keep.current = undefined;
    } else if (following) {
      element.scrollTop = element.scrollHeight;
    }
  }, [pieces, following, wrap]);

  const scrolled = () => {
    const element = box.current;
    if (!element) return;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 24;
    if (!atEnd && following) setFollowing(false);
    if (atEnd && !following && keep.current === undefined) setFollowing(true);
  };
  const start = pieces[0]?.start ?? 0;
  const name = nameOf(path);
  return (
    <section class="log" aria-label={`File ${name}`}>
      <header>
        {lead ?? <h2>{name}</h2>}
        <span class="quiet" role="status">{size < 0 ? "…" : bytes(size)}{over ? " · the task has ended" : following ? " · following" : ""}</span>
        <div class="aside">
          <button type="button" class="small ghost" aria-pressed={wrap} onClick={() => setWrap(!wrap)}>Wrap</button>
          {!over && <button type="button" class="small ghost" aria-pressed={following} onClick={() => setFollowing(!following)}>Follow</button>}
          <a class="button small ghost" href={downloadPath(agent, path)} download={name}>Download</a>
        </div>
      </header>
      {problem && <Problem>{problem}</Problem>}
      <div ref={box} class={`log-text ${wrap ? "wrap" : ""}`} onScroll={scrolled} tabIndex={0} role="log" aria-live="off" aria-label={`Text of ${name}`}>
        {start > 0 && <button type="button" class="small ghost earlier" onClick={earlier}>Earlier ({bytes(start)} before this)</button>}
        <pre>{pieces.map((piece) => <span key={piece.start}>{piece.text}</span>)}</pre>
        {size === 0 && <Empty>This file is empty.</Empty>}
      </div>
    </section>
  );
}
