// A table of any length: only the rows in sight are in the document. Searched and sorted; the arrow keys move in it.

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { count } from "../format";
import { setQuery, place } from "../router";

export interface Column<Row> {
  name: string;
  /** A track of a CSS grid: "2fr", "90px". */
  width: string;
  cell: (row: Row) => ComponentChildren;
  /** What it is sorted by; columns without it are not. */
  by?: (row: Row) => string | number;
  /** Figures stand at the right; the largest come first. */
  number?: boolean;
  /** The largest come first, though it is no column of figures. */
  largestFirst?: boolean;
  /** The narrowest page on which it shows. */
  from?: "medium" | "wide";
}

export interface TableProps<Row> {
  label: string;
  rows: Row[];
  columns: Column<Row>[];
  rowKey: (row: Row) => string;
  href?: (row: Row) => string | undefined;
  /** What a row is searched by, in lower case. */
  text?: (row: Row) => string;
  /** The column that it is sorted by at first, and whether the largest comes first. */
  sort?: string;
  descending?: boolean;
  /** Rows at a time; longer ones are scrolled inside. */
  visible?: number;
  rowHeight?: number;
  controls?: ComponentChildren;
  empty?: string;
  /** Keeps search and order in the address. */
  remember?: boolean;
}

const SPARE_ROWS = 8;
const HEAD_PIXELS = 32;

const words = (search: string) => search.toLowerCase().split(/\s+/).filter(Boolean);

function order<Row>(rows: Row[], column: Column<Row> | undefined, descending: boolean): Row[] {
  const by = column?.by;
  if (!by) return rows;
  const sign = descending ? -1 : 1;
  const keyed = rows.map((row) => {
    const key = by(row);
    return { row, key: typeof key === "string" ? key.toLowerCase() : key };
  });
  keyed.sort((a, b) => (a.key < b.key ? -sign : a.key > b.key ? sign : 0));
  return keyed.map(({ row }) => row);
}

export function Table<Row>(props: TableProps<Row>) {
  const { rows, columns, rowKey, href, text, label, rowHeight = 44, remember = false } = props;
  const asked = useMemo(() => (remember ? place().query : new URLSearchParams()), []);
  const [search, setSearch] = useState(asked.get("search") ?? "");
  const [sort, setSort] = useState({
    name: asked.get("sort") ?? props.sort ?? "",
    descending: asked.has("sort") ? asked.get("order") === "desc" : (props.descending ?? false),
  });
  const [chosen, setChosen] = useState(-1);
  const [window_, setWindow] = useState({ top: 0, height: 600 });
  const body = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);

  useEffect(() => {
    if (remember) setQuery({ search, sort: sort.name === props.sort ? "" : sort.name,
      order: sort.name !== props.sort && sort.descending ? "desc" : "" });
  }, [search, sort]);

  // Ordered first: what is typed then only leaves out rows.
  const ordered = useMemo(
    () => order(rows, columns.find((column) => column.name === sort.name), sort.descending), [rows, sort.name, sort.descending],
  );
  const shown = useMemo(() => {
    const wanted = text ? words(search) : [];
    if (wanted.length === 0 || !text) return ordered;
    return ordered.filter((row) => {
      const all = text(row);
      return wanted.every((word) => all.includes(word));
    });
  }, [ordered, search]);

  useLayoutEffect(() => {
    const element = body.current;
    if (!element) return;
    const look = () => setWindow({ top: element.scrollTop, height: element.clientHeight });
    look();
    element.addEventListener("scroll", look, { passive: true });
    const watch = new ResizeObserver(look);
    watch.observe(element);
    return () => {
      element.removeEventListener("scroll", look);
      watch.disconnect();
    };
  }, []);

  // "/" goes to the search, as in many programs.
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.key !== "/" || event.ctrlKey || event.metaKey || target.matches("input, textarea, select")) return;
      if (field.current) {
        event.preventDefault();
        field.current.focus();
        field.current.select();
      }
    };
    if (!remember) return;
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);

  const first = Math.max(0, Math.floor(window_.top / rowHeight) - SPARE_ROWS);
  const last = Math.min(shown.length, Math.ceil((window_.top + window_.height) / rowHeight) + SPARE_ROWS);
  const template = columns.map((column) => column.width).join(" ");
  const medium = columns.filter((c) => c.from !== "wide").map((c) => c.width).join(" ");
  const narrow = columns.filter((c) => !c.from).map((c) => c.width).join(" ");
  const grid = { "--wide": template, "--medium": medium, "--narrow": narrow, "--row": `${rowHeight}px` };

  const go = (to: number) => {
    const at = Math.max(0, Math.min(shown.length - 1, to));
    setChosen(at);
    const element = body.current;
    if (!element) return;
    const top = at * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + rowHeight + HEAD_PIXELS > element.scrollTop + element.clientHeight) {
      element.scrollTop = top + rowHeight + HEAD_PIXELS - element.clientHeight;
    }
  };
  const pressed = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor(window_.height / rowHeight) - 1);
    const moves: Record<string, number> = {
      ArrowDown: chosen + 1, ArrowUp: chosen - 1, PageDown: chosen + page, PageUp: chosen - page,
      Home: 0, End: shown.length - 1,
    };
    const to = moves[event.key];
    if (to !== undefined && shown.length > 0) {
      event.preventDefault();
      go(to);
    } else if (event.key === "Enter" && event.target === body.current) {
      const row = shown[chosen];
      const target = row && href?.(row);
      if (target) location.hash = target;
    }
  };
  const rowId = (at: number) => `${label.replaceAll(/\W+/g, "-")}-${at}`;
  const lines = Math.max(1, Math.min(shown.length, props.visible ?? 14));

  return (
    <div class="table" style={grid}>
      {(text || props.controls) && (
        <div class="table-tools">
          {text && (
            <input ref={field} type="search" placeholder={remember ? "Search  ( / )" : "Search"} value={search}
              aria-label={`Search ${label}`} spellcheck={false} autocomplete="off"
              onInput={(event) => { setSearch(event.currentTarget.value); setChosen(-1); if (body.current) body.current.scrollTop = 0; }}
              onKeyDown={(event) => { if (event.key === "ArrowDown") { event.preventDefault(); body.current?.focus(); go(0); } }} />
          )}
          {props.controls}
          <span class="found quiet" role="status">{shown.length === rows.length ? count(rows.length) : `${count(shown.length)} of ${count(rows.length)}`}</span>
        </div>
      )}
      <div ref={body} role="grid" aria-label={label} aria-rowcount={shown.length + 1} class="body" tabIndex={0} onKeyDown={pressed}
        aria-activedescendant={chosen >= first && chosen < last ? rowId(chosen) : undefined}
        style={{ height: `${lines * rowHeight + HEAD_PIXELS}px` }}>
        <div role="row" class="line head" aria-rowindex={1}>
          {columns.map((column) => {
            const own = sort.name === column.name;
            return (
              <div role="columnheader" key={column.name} class={cellClass(column)}
                aria-sort={own ? (sort.descending ? "descending" : "ascending") : undefined}>
                {column.by ? (
                  <button type="button" onClick={() => {
                    setSort({ name: column.name, descending: own ? !sort.descending : (column.number ?? column.largestFirst) === true });
                    if (body.current) body.current.scrollTop = 0;
                  }}>{column.name}<span aria-hidden="true" class="arrow">{own ? (sort.descending ? "↓" : "↑") : ""}</span></button>
                ) : column.name}
              </div>
            );
          })}
        </div>
        {shown.length === 0 && <p class="empty">{rows.length === 0 ? (props.empty ?? "Nothing here.") : "Nothing matches."}</p>}
        <div role="rowgroup" class="rows" style={{ height: `${shown.length * rowHeight}px` }}>
          <div role="presentation" style={{ transform: `translateY(${first * rowHeight}px)` }}>
            {shown.slice(first, last).map((row, offset) => {
              const at = first + offset;
              const target = href?.(row);
              return (
                <div role="row" key={rowKey(row)} id={rowId(at)} class={`line ${at === chosen ? "chosen" : ""}`}
                  aria-rowindex={at + 2} aria-selected={at === chosen}>
                  {columns.map((column, number) => (
                    <div role="gridcell" key={column.name} class={cellClass(column)}>
                      {number === 0 && target ? <a class="row-link" href={target}>{column.cell(row)}</a> : column.cell(row)}
                    </div>
                  ))}
                </div>
              );
            })}
          </div>
        </div>
      </div>
    </div>
  );
}

function cellClass(column: { number?: boolean; from?: string }): string {
  return ["cell", column.number ? "number" : "", column.from ? `from-${column.from}` : ""].join(" ").trim();
}

/** A cell of two lines. Where there is no room for the second one, `ends` shows its end. */
export const Two = ({ top, below, ends = false }: { top: ComponentChildren; below: ComponentChildren; ends?: boolean }) => (
  <span class="two"><span class="top">{top}</span><span class={`below ${ends ? "ends" : ""}`}>{ends ? <bdi>{below}</bdi> : below}</span></span>
);
