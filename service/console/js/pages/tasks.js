// All tasks as a table: searched, filtered, sorted, and shown a page at a time, so that 3,000 are as quick as three.

import { listTasks } from "../lib/api.js";
import { NONE, bytes, count, milliseconds, number } from "../lib/format.js";
import { useFeed } from "../lib/feed.js";
import { useLoaded } from "../lib/hooks.js";
import { html, useMemo, useState } from "../lib/html.js";
import { Loading, Trouble } from "../parts/feedback.js";
import { SplitBar } from "../parts/split.js";
import { Upload } from "../parts/upload.js";
import { T } from "../strings.js";

const PAGE = 25; // rows
const C = T.tasks.columns;
const COLUMNS = [
  { key: "task", label: C.task, value: (row) => row.task },
  { key: "version", label: C.version, value: (row) => row.version },
  { key: "split", label: C.split, value: (row) => Object.keys(row.shares ?? {}).length },
  { key: "sites", label: C.sites, value: (row) => row.live_sites, numeric: true },
  { key: "bytes", label: C.bytes, value: (row) => row.bytes, numeric: true },
  { key: "saved", label: C.saved, value: (row) => row.gflops_saved, numeric: true },
  { key: "rate", label: C.rate, value: (row) => row.rate, numeric: true },
  { key: "p99", label: C.p99, value: (row) => row.p99, numeric: true },
];
const KEEPS = {
  all: () => true,
  ready: (row) => row.ready,
  canary: (row) => Object.keys(row.shares ?? {}).length > 1,
  problem: (row) => !row.ready,
};

/** The page. */
export function TasksPage() {
  const { value, error, loading, reload } = useLoaded(listTasks, []);
  const feed = useFeed();
  const [adding, setAdding] = useState(false);
  const published = async (name) => {
    await reload();
    location.hash = `#/task/${name}`;
  };
  return html`
    <div class="head"><div><h1 tabindex="-1">${T.tasks.title}</h1>
      ${value && html`<p class="lead">${T.tasks.lead(count(value.tasks.length), value.backbone)}</p>`}</div>
      <button class="main" aria-expanded=${adding} onClick=${() => setAdding(!adding)}>${T.tasks.add}</button></div>
    ${adding && html`<${Upload} onPublished=${published} />`}
    <${Trouble} error=${error} retry=${reload} />
    ${!value && loading && html`<${Loading} />`}
    ${value && html`<${Table} tasks=${value.tasks} traffic=${feed.tasks} />`}
  `;
}

function Table({ tasks, traffic }) {
  const [search, setSearch] = useState("");
  const [filter, setFilter] = useState("all");
  const [order, setOrder] = useState({ key: "task", up: true });
  const [wanted, setPage] = useState(0);
  const rows = useMemo(() => arranged(tasks, traffic, search, filter, order), [tasks, traffic, search, filter, order]);
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  const page = Math.min(wanted, pages - 1);
  const shown = rows.slice(page * PAGE, (page + 1) * PAGE);
  const change = (set) => (event) => {
    set(event.currentTarget.value);
    setPage(0);
  };
  if (!tasks.length) return html`<p class="empty">${T.tasks.nothing}</p>`;
  return html`
    <div class="filters" role="search">
      <label class="grow">${T.tasks.search}<input type="search" value=${search} onInput=${change(setSearch)} /></label>
      <label>${T.tasks.filter}<select value=${filter} onChange=${change(setFilter)}>
        ${Object.entries(T.tasks.filters).map(([key, text]) => html`<option value=${key}>${text}</option>`)}
      </select></label>
    </div>
    <div class="scroll card flush" role="region" aria-label=${T.tasks.caption} tabindex="0"><table class="tasks">
      <caption class="hidden">${T.tasks.caption}</caption>
      <thead><tr>${COLUMNS.map((column) => html`<${Heading} ...${{ column, order, setOrder }} />`)}</tr></thead>
      <tbody>${shown.map((row) => html`<${Row} key=${row.task} row=${row} />`)}</tbody>
    </table></div>
    ${!rows.length && html`<p class="empty">${T.tasks.empty}</p>`}
    <nav class="pager" aria-label=${T.tasks.page(page + 1, pages)}>
      <span role="status">${rows.length ? T.tasks.shown(count(page * PAGE + 1), count(page * PAGE + shown.length), count(rows.length)) : ""}</span>
      <button disabled=${page === 0} onClick=${() => setPage(page - 1)}>${T.previous}</button>
      <span>${T.tasks.page(page + 1, pages)}</span>
      <button disabled=${page === pages - 1} onClick=${() => setPage(page + 1)}>${T.next}</button>
    </nav>
  `;
}

function Heading({ column, order, setOrder }) {
  const chosen = order.key === column.key;
  const sort = () => setOrder({ key: column.key, up: chosen ? !order.up : !column.numeric });
  return html`<th scope="col" class=${column.numeric ? "number" : ""} aria-sort=${chosen ? (order.up ? "ascending" : "descending") : undefined}>
    <button class="sort" onClick=${sort}>${column.label}<span aria-hidden="true">${chosen ? (order.up ? "\u00a0↑" : "\u00a0↓") : ""}</span></button>
  </th>`;
}

function Row({ row }) {
  const canary = Object.keys(row.shares ?? {}).length > 1;
  return html`<tr>
    <th scope="row"><a href=${`#/task/${row.task}`}>${row.task}</a>
      ${!row.ready && html` <span class="badge bad" title=${row.reason}>${T.tasks.notReady}</span>`}
      ${canary && html` <span class="badge">${T.tasks.canary}</span>`}</th>
    <td>${row.version ?? NONE}</td>
    <td>${row.shares ? html`<${SplitBar} shares=${row.shares} compact />` : html`<span class="faint">${row.reason ?? NONE}</span>`}</td>
    <td class="number">${count(row.live_sites)}</td>
    <td class="number">${bytes(row.bytes)}</td>
    <td class="number">${number(row.gflops_saved)}</td>
    <td class="number">${number(row.rate, 2)}</td>
    <td class="number">${milliseconds(row.p99)}</td>
  </tr>`;
}

function arranged(tasks, traffic, search, filter, { key, up }) {
  const words = search.trim().toLowerCase().split(/\s+/);
  const column = COLUMNS.find((each) => each.key === key);
  const rows = tasks
    .filter((row) => KEEPS[filter](row) && words.every((word) => row.task.includes(word)))
    .map((row) => ({ ...row, ...traffic[row.task] }));
  return rows.sort((a, b) => compared(column.value(a), column.value(b), up) || compared(a.task, b.task, true));
}

/** What is not known comes last, whatever the direction. */
function compared(a, b, up) {
  const [noA, noB] = [unknown(a), unknown(b)];
  if (noA || noB) return Number(noA) - Number(noB);
  if (a === b) return 0;
  return a < b === up ? -1 : 1;
}

const unknown = (value) => value == null || Number.isNaN(value);
