// What the server does now, and over the last minutes. All of it comes from /metrics.

import { lookAgain, useFeed } from "../lib/feed.js";
import { bytes, count, milliseconds, number, percent } from "../lib/format.js";
import { useConnection } from "../lib/hooks.js";
import { html } from "../lib/html.js";
import { Chart } from "../parts/chart.js";
import { Loading, Trouble } from "../parts/feedback.js";
import { T } from "../strings.js";

const plain = (value) => number(value);
const S = T.live.series;
const CHARTS = [
  { title: T.live.charts.throughput, unit: plain, keys: ["requests", "images"] },
  { title: T.live.charts.latency, unit: milliseconds, keys: ["p50", "p95", "p99"] },
  { title: T.live.charts.batch, unit: plain, keys: ["batch", "mixed"] },
  { title: T.live.charts.queue, unit: plain, keys: ["queue"] },
  { title: T.live.charts.memory, unit: bytes, keys: ["bytes"], binary: true },
];

/** The page. */
export function LivePage() {
  const { points, last, recent, error } = useFeed({ ask: true });
  const { online } = useConnection();
  return html`
    <div class="head"><div><h1 tabindex="-1">${T.live.title}</h1><p class="lead">${T.live.lead}</p></div></div>
    ${!online && html`<p class="caution" role="alert">${T.live.paused}</p>`}
    ${online && html`<${Trouble} error=${error} retry=${lookAgain} />`}
    ${!last && !error && html`<${Loading} />`}
    ${last && html`<div class=${online ? "" : "stale"}>
      <${Tiles} last=${last} recent=${recent} />
      <div class="charts">
        ${CHARTS.map(({ keys, ...chart }) => html`
          <${Chart} key=${chart.title} ...${chart} points=${points} series=${keys.map((key) => ({ key, label: S[key] }))} />`)}
        <${Refusals} refusals=${last.refusals} />
      </div>
    </div>`}
  `;
}

function Tiles({ last, recent }) {
  const L = T.live.tiles;
  const held = total(last.bytes);
  const alone = last.spent + last.saved + last.shared;
  const tiles = [
    [L.requests, number(recent?.requests), T.live.minute],
    [L.images, number(recent?.images), T.live.minute],
    [L.p50, milliseconds(recent?.p50), T.live.minute],
    [L.p99, milliseconds(recent?.p99), T.live.minute],
    [L.queue, count(last.queue), T.live.ofLimit(count(last.queueLimit))],
    [L.batch, number(recent?.batch), T.live.minute],
    [L.saved, percent(alone ? (last.saved + last.shared) / alone : NaN), T.live.savedHelp(share(last.saved, alone), share(last.shared, alone))],
    [L.memory, bytes(held), T.live.ofLimit(bytes(total(last.budget)))],
    [L.evictions, count(last.evictions), ""],
    [L.tasks, count(last.tasks.ready), T.live.ofLimit(count(total(last.tasks)))],
  ];
  return html`<dl class="tiles">${tiles.map(([name, value, help]) => html`
    <div class="card"><dt>${name}</dt><dd>${value}</dd><dd class="faint">${help}</dd></div>`)}</dl>`;
}

const total = (values) => Object.values(values).reduce((sum, value) => sum + value, 0);
const share = (part, whole) => percent(whole ? part / whole : NaN);

function Refusals({ refusals }) {
  const rows = Object.entries(refusals).sort(([, a], [, b]) => b - a);
  return html`<section class="card" aria-label=${T.live.refusals}>
    <h2>${T.live.refusals}</h2>
    ${!rows.length && html`<p class="faint">${T.live.noRefusals}</p>`}
    ${rows.length > 0 && html`<table>
      <thead><tr><th scope="col">${T.live.reason}</th><th scope="col" class="number">${T.live.times}</th></tr></thead>
      <tbody>${rows.map(([reason, times]) => html`<tr><th scope="row"><code>${reason}</code></th><td class="number">${count(times)}</td></tr>`)}</tbody>
    </table>`}
  </section>`;
}
