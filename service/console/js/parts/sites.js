// Neurons per site as bars, from the input to the output, with the bare trunk visible: Figure 5 of the MiMi paper.

import { html } from "../lib/html.js";
import { T } from "../strings.js";

const [WIDE, HIGH, LEFT, BOTTOM, TOP] = [760, 240, 34, 34, 26];

/** `widths` and `initial`: neurons at each site, now and before pruning; `first`: the first live site, or null. */
export function Sites({ widths, initial, first }) {
  const live = widths.filter(Boolean).length;
  const most = Math.max(1, ...widths, ...initial);
  const step = (WIDE - LEFT) / widths.length;
  const height = (neurons) => (neurons / most) * (HIGH - BOTTOM - TOP);
  const trunk = first ?? widths.length;
  return html`<figure class="sites">
    <div class="scroll" role="region" aria-label=${T.task.chartArea} tabindex="0"><svg viewBox=${`0 0 ${WIDE} ${HIGH}`} role="img" aria-label=${T.task.chart(live, widths.length)}>
      ${trunk > 0 && html`<g class="trunk">
        <rect x=${LEFT} y="4" width=${trunk * step} height=${HIGH - BOTTOM - 4} rx="4" />
        ${trunk * step > 130 && html`<text x=${LEFT + (trunk * step) / 2} y="19" text-anchor="middle">${T.task.trunk}</text>`}
      </g>`}
      ${[0, most].map((value) => html`<g class="grid">
        <line x1=${LEFT} x2=${WIDE} y1=${HIGH - BOTTOM - height(value)} y2=${HIGH - BOTTOM - height(value)} />
        <text x=${LEFT - 6} y=${HIGH - BOTTOM - height(value) + 4} text-anchor="end">${value}</text></g>`)}
      ${widths.map((neurons, site) => html`<${Bar} ...${{ site, neurons, step, height, before: initial[site] ?? 0 }} />`)}
      <text class="end" x=${LEFT} y=${HIGH - 2}>${T.task.input}</text>
      <text class="end" x=${WIDE} y=${HIGH - 2} text-anchor="end">${T.task.output}</text>
    </svg></div>
    <figcaption class="legend">
      ${[["neurons", T.task.neurons], ["before", T.task.initial], ["bare", T.task.trunk]].map(([kind, text]) => html`
        <span class="nowrap"><span class=${`swatch ${kind}`}></span>${text}</span>`)}
    </figcaption>
    <details><summary>${T.task.table}</summary><${Table} widths=${widths} initial=${initial} /></details>
  </figure>`;
}

function Bar({ site, neurons, before, step, height }) {
  const x = LEFT + site * step + step * 0.16;
  const wide = step * 0.68;
  const rect = (name, value) => html`
    <rect class=${name} x=${x} y=${HIGH - BOTTOM - height(value)} width=${wide} height=${height(value)} rx="2" />`;
  return html`<g>
    <title>${`${T.task.site} ${site}: ${neurons} ${T.task.neurons} (${T.task.initial}: ${before})`}</title>
    ${before > 0 && rect("before", before)}
    ${neurons > 0 && rect("neurons", neurons)}
    ${neurons > 0 && html`<text class="value" x=${x + wide / 2} y=${HIGH - BOTTOM - height(neurons) - 4} text-anchor="middle">${neurons}</text>`}
    <text class="tick" x=${x + wide / 2} y=${HIGH - BOTTOM + 13} text-anchor="middle">${site}</text>
  </g>`;
}

function Table({ widths, initial }) {
  return html`<div class="scroll" tabindex="0"><table>
    <thead><tr><th scope="col">${T.task.site}</th><th scope="col">${T.task.neurons}</th><th scope="col">${T.task.initial}</th></tr></thead>
    <tbody>${widths.map((neurons, site) => html`<tr><th scope="row">${site}</th><td>${neurons}</td><td>${initial[site] ?? 0}</td></tr>`)}</tbody>
  </table></div>`;
}
