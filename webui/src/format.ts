// How figures, sizes, times and names read.

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (value: number) => WHOLE.format(value);

/** CPUs and the like: as many digits as say something. */
export function amount(value: number): string {
  return value >= 1000 ? WHOLE.format(value) : NUMBER.format(value);
}

/** Bytes, in powers of 1024. */
export function bytes(value: number): string {
  const units = ["B", "KB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits).replace(/\.0$/, "")} ${units[unit]}`;
}

/** What Mesos counts in megabytes. */
export const megabytes = (value: number) => bytes(value * 1024 * 1024);

export function resource(name: string, value: number): string {
  return name === "mem" || name === "disk" ? megabytes(value) : amount(value);
}

export const RESOURCE_NAMES: Record<string, string> = { cpus: "CPUs", mem: "Memory", disk: "Disk", gpus: "GPUs" };

export function percent(part: number, whole: number): string {
  return whole > 0 ? `${Math.round((100 * part) / whole)}%` : "–";
}

/** Seconds as "3 d 4 h", "5 m 2 s", "12 s". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const s = Math.max(0, seconds);
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  const parts: [number, string][] = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  const at = parts.findIndex(([size]) => s >= size);
  const [size, unit] = parts[at]!;
  const first = Math.floor(s / size);
  const next = parts[at + 1];
  const rest = next ? Math.floor((s - first * size) / next[0]) : 0;
  return next && rest > 0 ? `${first} ${unit} ${rest} ${next[1]}` : `${first} ${unit}`;
}

export function ago(seconds: number, now = Date.now() / 1000): string {
  const passed = now - seconds;
  if (passed < 5) return "just now";
  return `${duration(passed).split(" ").slice(0, 2).join(" ")} ago`;
}

const STAMP = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
export const stamp = (seconds: number) => STAMP.format(new Date(seconds * 1000));

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
export const clock = (seconds: number) => CLOCK.format(new Date(seconds * 1000));

/** The end of an id tells it from its neighbours; its beginning is the master's. */
export function shortId(id: string): string {
  const parts = id.split("-");
  return parts.length > 4 ? `…${parts.slice(4).join("-").slice(-17)}` : id;
}

/** TASK_RUNNING as "Running". */
export function stateName(state: string): string {
  const words = state.replace(/^TASK_/, "").replaceAll("_", " ").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export type Tone = "good" | "busy" | "done" | "bad" | "warn" | "quiet";

export function stateTone(state: string): Tone {
  switch (state) {
    case "TASK_RUNNING": return "good";
    case "TASK_STAGING": case "TASK_STARTING": case "TASK_KILLING": return "busy";
    case "TASK_FINISHED": return "done";
    case "TASK_FAILED": case "TASK_ERROR": return "bad";
    case "TASK_LOST": case "TASK_UNREACHABLE": case "TASK_GONE": case "TASK_DROPPED":
    case "TASK_GONE_BY_OPERATOR": return "warn";
    default: return "quiet";
  }
}
