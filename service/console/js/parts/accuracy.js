// How good a version was on its validation images: a confusion matrix, and figures for each label, as its file has them.

import { count, percent } from "../lib/format.js";
import { html } from "../lib/html.js";
import { T } from "../strings.js";

const [WIDE, AXIS] = [520, 20]; // of the matrix; AXIS holds what the labels are
const [LETTER, SPACE] = [7, 8]; // widths beside the matrix
const NAMED = 24; // labels beside the matrix at most; more would overlap
const COUNTED = 16; // labels with a number in each cell at most
const LETTERS = 11; // of a label beside the matrix
const MATRIX = 200; // labels at most; a larger matrix has cells below the size of a pixel
const ROWS = 200; // of the table
const MISTAKES = 8;

/** `detail`: a version as the API describes it. */
export function Accuracy({ detail }) {
  const figures = detail.answers?.validation;
  if (!figures) return null;
  const { labels, answers } = detail;
  const cells = figures.confusion;
  const drawn = cells.length > 0 && labels.length <= MATRIX;
  return html`<section class="card" aria-label=${T.accuracy.title}>
    <h2>${T.accuracy.title}</h2>
    <p class="faint">${T.accuracy.lead(count(figures.images))} ${cells.length > 0 && T.accuracy.right(percent(rightShare(cells)))}</p>
    <div class="columns even accuracy">
      ${drawn && html`<${Matrix} labels=${labels} cells=${cells} />`}
      <div class="stack">
        ${cells.length > 0 && html`<${Mistakes} labels=${labels} cells=${cells} />`}
        <${PerLabel} ...${{ labels, figures, thresholds: answers.thresholds }} />
      </div>
    </div>
  </section>`;
}

function rightShare(cells) {
  const all = cells.reduce((total, [, , images]) => total + images, 0);
  return cells.reduce((total, [truth, said, images]) => total + (truth === said ? images : 0), 0) / all;
}

function Matrix({ labels, cells }) {
  const named = labels.length <= NAMED;
  const longest = Math.max(...labels.map((label) => Math.min(label.length, LETTERS)));
  const start = AXIS + (named ? SPACE + LETTER * longest : 0);
  const step = (WIDE - start) / labels.length;
  const middle = start + (WIDE - start) / 2;
  const totals = labels.map(() => 0);
  for (const [truth, , images] of cells) totals[truth] += images;
  const wrong = cells.reduce((total, [truth, said, images]) => total + (truth === said ? 0 : images), 0);
  return html`<figure class="matrix">
    <svg viewBox=${`0 0 ${WIDE} ${WIDE}`} role="img" aria-label=${T.accuracy.chart(labels.length, count(wrong))}>
      <rect class="ground" x=${start} y=${start} width=${WIDE - start} height=${WIDE - start} />
      ${named && labels.map((label, index) => html`<${Names} ...${{ label, at: start + (index + 0.5) * step, start }} />`)}
      ${cells.map(([truth, said, images]) => html`<${Cell} ...${{ labels, truth, said, images, total: totals[truth], step, start }} />`)}
      <text class="axis" x=${middle} y="13" text-anchor="middle">${T.accuracy.said}</text>
      <text class="axis" transform=${`translate(13 ${middle}) rotate(-90)`} text-anchor="middle">${T.accuracy.truth}</text>
    </svg>
    <figcaption class="faint">${T.accuracy.caption}</figcaption>
  </figure>`;
}

function Names({ label, at, start }) {
  const text = label.length > LETTERS ? `${label.slice(0, LETTERS - 1)}…` : label;
  return html`<g><title>${label}</title>
    <text x=${start - 6} y=${at + 4} text-anchor="end">${text}</text>
    <text transform=${`translate(${at + 4} ${start - 6}) rotate(-90)`}>${text}</text></g>`;
}

function Cell({ labels, truth, said, images, total, step, start }) {
  const [x, y] = [start + said * step, start + truth * step];
  const share = images / total;
  const gap = Math.min(1, step / 12);
  return html`<g class=${truth === said ? "hit" : "miss"}>
    <title>${T.accuracy.cell(labels[truth], labels[said], count(images), percent(share, 0))}</title>
    <rect x=${x + gap} y=${y + gap} width=${step - 2 * gap} height=${step - 2 * gap} rx=${Math.min(3, step / 8)} fill-opacity=${0.15 + 0.85 * share} />
    ${labels.length <= COUNTED && html`<text class=${share > 0.45 ? "on" : ""} x=${x + step / 2} y=${y + step / 2 + 4} text-anchor="middle">${images}</text>`}
  </g>`;
}

function Mistakes({ labels, cells }) {
  const wrong = cells.filter(([truth, said]) => truth !== said).sort((a, b) => b[2] - a[2]);
  if (!wrong.length) return html`<p>${T.accuracy.noMistakes}</p>`;
  return html`<div><h3>${T.accuracy.mistakes}</h3>
    <ol class="tags">${wrong.slice(0, MISTAKES).map(([truth, said, images]) => html`
      <li>${T.accuracy.mistake(labels[truth], labels[said], count(images))}</li>`)}</ol></div>`;
}

function PerLabel({ labels, figures, thresholds }) {
  const { label, precision, recall, average, threshold } = T.accuracy.columns;
  const rows = labels.slice(0, ROWS);
  return html`<div><h3>${T.accuracy.labels}</h3>
    <div class="scroll tall" role="region" aria-label=${T.accuracy.labels} tabindex="0"><table>
      <thead><tr><th scope="col">${label}</th>${[precision, recall, average, threshold].map((text) => html`
        <th scope="col" class="number">${text}</th>`)}</tr></thead>
      <tbody>${rows.map((name, index) => html`<tr><th scope="row">${name}</th>
        ${[figures.precision, figures.recall, figures.average_precision].map((values) => html`<td class="number">${percent(values[index])}</td>`)}
        <td class="number">${percent(thresholds[index])}</td></tr>`)}</tbody>
    </table></div>
    ${labels.length > ROWS && html`<p class="faint">${T.task.manyLabels(count(labels.length - ROWS))}</p>`}</div>`;
}
