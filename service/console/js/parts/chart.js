// A line chart over time by uPlot, in the colours of the page. It follows the page's width and appearance.

import uPlot from "../../vendor/uplot.mjs";
import { html, useEffect, useRef } from "../lib/html.js";

const HEIGHT = 190;
const POWERS = Array.from({ length: 45 }, (_, exponent) => 2 ** exponent);

/**
 * `series`: a list of { key, label }, each a number in every point; `points`: objects with `at` in seconds.
 * `unit`: a function from a number to text; `binary`: the axis counts in powers of two, as bytes want it.
 */
export function Chart({ title, points, series, unit, binary = false }) {
  const place = useRef(null);
  const plot = useRef(null);
  const data = [points.map(({ at }) => at), ...series.map(({ key }) => points.map((point) => finite(point[key])))];
  useEffect(() => {
    const host = place.current;
    const made = new uPlot(options(host, series, { unit, binary }), data, host);
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: host.clientWidth, height: HEIGHT }));
    resized.observe(host);
    const recolour = () => made.redraw(false);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("themechange", recolour);
    scheme.addEventListener("change", recolour);
    return () => {
      resized.disconnect();
      removeEventListener("themechange", recolour);
      scheme.removeEventListener("change", recolour);
      made.destroy();
    };
  }, []);
  useEffect(() => plot.current.setData(data), [points]);
  const last = points.at(-1);
  return html`<figure class="card chart">
    <figcaption><h2>${title}</h2>
      <ul class="legend">${series.map(({ key, label }, index) => html`
        <li><span class=${`swatch line${index}`}></span>${label} <b>${last ? unit(last[key]) : ""}</b></li>`)}</ul>
    </figcaption>
    <div ref=${place} class="plot" aria-hidden="true"></div>
  </figure>`;
}

function options(place, series, { unit, binary }) {
  const colour = (name) => () => resolved(place, name);
  const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  return {
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.15, high === 0 || high == null ? 1 : 0)] } },
    axes: [
      { ...axis, size: 28, values: "{HH}:{mm}:{ss}", space: 80 },
      { ...axis, size: 64, values: (_, ticks) => ticks.map(unit), ...(binary ? { incrs: POWERS } : {}) },
    ],
    series: [
      {},
      ...series.map((_, index) => ({ stroke: colour(`--line${index}`), width: 2, points: { size: 4, fill: colour(`--line${index}`) }, spanGaps: true })),
    ],
  };
}

/** A custom property as a colour that a canvas knows. */
function resolved(place, name) {
  place.style.color = `var(${name})`;
  return getComputedStyle(place).color;
}

const finite = (value) => (Number.isFinite(value) ? value : null);
