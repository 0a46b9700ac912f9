// Small charts over time, drawn by uPlot.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useEffect, useRef } from "preact/hooks";

export interface Line {
  label: string;
  /** A custom property of the style sheet: "--accent". */
  color: string;
  values: (number | null)[];
  filled?: boolean;
  dashed?: boolean;
}

interface Props {
  label: string;
  times: number[];
  lines: Line[];
  height?: number;
  format: (value: number) => string;
  /** The top of the scale is at least this. */
  atLeast?: number;
  /** Only the line: figures stand beside it. */
  bare?: boolean;
  /** How far apart the figures of the scale may be, where not every round number is one of what is shown. */
  steps?: number[];
}

/** Of what is counted there are no halves. */
export const WHOLE_STEPS = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((first) => first * 10 ** power)).flat();
/** What is round in bytes. */
export const BINARY_STEPS = Array.from({ length: 51 }, (_, power) => 2 ** power);

const property = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Tells charts that the colours are others now. */
const REPAINT = "messor-theme";
export const repaintCharts = () => dispatchEvent(new Event(REPAINT));

export function Chart({ label, times, lines, height = 110, format, atLeast = 0, bare = false, steps }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const data = (): uPlot.AlignedData => [times, ...lines.map((line) => line.values)];
  const latest = useRef({ data, format, atLeast });
  latest.current = { data, format, atLeast };

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const make = () => {
      plot.current?.destroy();
      const axis = {
        stroke: property("--quiet"), font: "11px system-ui, sans-serif", ticks: { show: false },
        grid: { stroke: property("--hairline"), width: 1 },
      };
      plot.current = new uPlot({
        width: Math.max(80, element.clientWidth), height, padding: bare ? [4, 0, 2, 0] : [6, 22, 0, 0],
        legend: { show: false }, cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 } },
        scales: {
          // A minute at least: a few seconds, drawn wide, say nothing.
          x: { time: true, range: (_, min, max) => [Math.min(min, max - 60), max] },
          y: { range: (_, __, max) => [0, Math.max(max * 1.1, latest.current.atLeast, 1e-9)] },
        },
        axes: [
          { ...axis, show: !bare, grid: { show: false }, size: 20, space: 60,
            values: (_, marks) => marks.map((mark) => new Date(mark * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" })) },
          { ...axis, show: !bare, size: 58, gap: 4, space: 28, ...(steps ? { incrs: steps } : {}), values: (_, marks) => marks.map((mark) => latest.current.format(mark)) },
        ],
        series: [{}, ...lines.map((line) => {
          const color = property(line.color);
          return {
            label: line.label, stroke: color, width: 1.5, points: { show: false },
            ...(line.filled ? { fill: `color-mix(in srgb, ${color} 16%, transparent)` } : {}),
            ...(line.dashed ? { dash: [4, 4] } : {}),
          };
        })],
        hooks: { setCursor: [(u) => {
          const at = u.cursor.idx;
          element.title = at === null || at === undefined ? "" : u.series.slice(1).map((series, number) => {
            const value = u.data[number + 1]?.[at];
            return value === null || value === undefined ? "" : `${String(series.label)}: ${latest.current.format(value)}`;
          }).filter(Boolean).join("\n");
        }] },
      }, latest.current.data(), element);
    };
    make();
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: Math.max(80, element.clientWidth), height }));
    watch.observe(element);
    addEventListener(REPAINT, make);
    return () => {
      watch.disconnect();
      removeEventListener(REPAINT, make);
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [lines.map((line) => line.label).join("\n"), height]);

  useEffect(() => {
    plot.current?.setData(data());
  }, [times.at(-1), times.length]);

  const now = lines.map((line) => {
    const value = line.values.at(-1);
    return `${line.label} ${value === null || value === undefined ? "unknown" : format(value)}`;
  });
  return <div ref={frame} class="chart" role="img" aria-label={`${label}: ${now.join(", ")}`} style={{ minHeight: `${height}px` }} />;
}
