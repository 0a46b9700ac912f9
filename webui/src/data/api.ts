// Calls to the master, and through it to agents. Nothing else is asked.

export class ApiError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

async function refusal(answer: Response): Promise<ApiError> {
  const words = (await answer.text().catch(() => "")).trim();
  return new ApiError(answer.status, words.slice(0, 500) || `the master answers ${answer.status}`);
}

export async function read<T>(path: string, signal?: AbortSignal): Promise<T> {
  const answer = await fetch(path, { headers: { Accept: "application/json" }, signal: signal ?? null });
  if (!answer.ok) throw await refusal(answer);
  return (await answer.json()) as T;
}

/** A v1 call of the operator API. */
export async function call<T = unknown>(body: { type: string } & Record<string, unknown>): Promise<T> {
  const answer = await fetch("/api/v1", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw await refusal(answer);
  const text = await answer.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

const e = encodeURIComponent;

export function agentPath(agent: string, what: string, query: Record<string, string | number> = {}): string {
  const pairs = Object.entries(query).map(([name, value]) => `${e(name)}=${e(String(value))}`);
  return `/master/agents/${e(agent)}/${what}${pairs.length ? `?${pairs.join("&")}` : ""}`;
}

export interface FileEntry {
  path: string;
  nlink: number;
  size: number;
  mtime: number;
  mode: string;
  uid: string;
  gid: string;
}

/** Where files are: at an agent, or at the master itself (""). */
function filesPath(agent: string, what: string, query: Record<string, string | number>): string {
  if (agent) return agentPath(agent, `files/${what}`, query);
  return `/files/${what}?${Object.entries(query).map(([n, v]) => `${n}=${e(String(v))}`).join("&")}`;
}

export const browse = (agent: string, path: string, signal?: AbortSignal) =>
  read<FileEntry[]>(filesPath(agent, "browse", { path }), signal);

export const downloadPath = (agent: string, path: string) => filesPath(agent, "download", { path });

export async function fileSize(agent: string, path: string, signal?: AbortSignal): Promise<number> {
  return (await read<{ offset: number }>(filesPath(agent, "read", { path, offset: -1 }), signal)).offset;
}

/** An agent answers with so many bytes at a time. */
export const PIECE_BYTES = 64 * 1024;

/** So many bytes of a file as text. Where they end within a letter the text ends before it; `end` says where. */
export async function readPiece(
  agent: string, path: string, offset: number, length: number, signal?: AbortSignal,
): Promise<{ text: string; end: number }> {
  const wanted = Math.min(length, PIECE_BYTES);
  for (let less = 0; less < 4 && less < wanted; less += 1) {
    const part = wanted - less;
    const { data } = await read<{ data: string }>(filesPath(agent, "read", { path, offset, length: part }), signal);
    if (!data.endsWith("\ufffd") || less === 3) return { text: data, end: offset + part };
  }
  return { text: "", end: offset };
}
