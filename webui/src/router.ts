// Where the page is: `#/agents/ID?path=…`. The paths are those of the page of Apache Mesos 1.11.0, and more.

import { useEffect, useState } from "preact/hooks";

export interface Place {
  parts: string[];
  query: URLSearchParams;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function place(hash = location.hash): Place {
  // Older links begin with `#!/`, or have no slash.
  const [path = "", query = ""] = hash.replace(/^#!?\/?/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(decode);
  if (parts[0] === "slaves") parts[0] = "agents";
  return { parts, query: new URLSearchParams(query) };
}

export function usePlace(): Place {
  const [now, set] = useState(place);
  useEffect(() => {
    const moved = () => set(place());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return now;
}

const e = encodeURIComponent;
export const href = (...parts: string[]) => `#/${parts.map(e).join("/")}`;

export function browseHref(agent: string, path: string, file = ""): string {
  const tail = `path=${e(path)}${file ? `&file=${e(file)}` : ""}`;
  return agent ? `#/agents/${e(agent)}/browse?${tail}` : `#/master/log?${tail}`;
}

/** Changes what is said after `?` without a new entry in the history. */
export function setQuery(changes: Record<string, string>) {
  const { query } = place();
  for (const [name, value] of Object.entries(changes)) value ? query.set(name, value) : query.delete(name);
  const path = location.hash.split("?")[0] || "#/";
  const text = query.toString();
  history.replaceState(null, "", text ? `${path}?${text}` : path);
}
