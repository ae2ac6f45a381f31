// How a version was made, as its file says: method, data, seed, what was measured, and its labels.

import { count, number, percent } from "../lib/format.js";
import { html } from "../lib/html.js";
import { T } from "../strings.js";

const LABELS = 60; // shown

/** `detail`: a version as the API describes it. */
export function Provenance({ detail }) {
  const { provenance: made, labels } = detail;
  const facts = [
    ...["method", "dataset", "seed", "cycles", "epochs"].map((key) => [T.task.facts2[key], made[key]]),
    [T.task.facts2.compression, T.task.compression(number(made.initial_compression), number(made.target_compression))],
    [T.task.facts2.adapter_parameters, count(made.adapter_parameters)],
    [T.task.facts2.head_parameters, count(made.head_parameters)],
    [T.task.facts2.backbone, detail.backbone],
  ];
  const measured = Object.entries(made.metrics).map(([name, value]) => [name.replaceAll("_", " "), number(value, 4)]);
  return html`<div class="columns even">
    <section class="card" aria-label=${T.task.provenance}><h2>${T.task.provenance}</h2><${Pairs} pairs=${facts} /></section>
    <div class="stack">
      <section class="card" aria-label=${T.task.metrics}><h2>${T.task.metrics}</h2><${Pairs} pairs=${measured} /></section>
      <section class="card" aria-label=${T.task.answers}><h2>${T.task.answers}</h2>
        ${detail.answers ? html`<${Pairs} pairs=${rules(detail)} />` : html`<p class="faint">${T.task.noAnswers}</p>`}</section>
      <section class="card" aria-label=${T.task.labels}><h2>${T.task.labels}</h2>
        <ul class="tags">${labels.slice(0, LABELS).map((label) => html`<li>${label}</li>`)}
          ${labels.length > LABELS && html`<li class="faint">${T.task.manyLabels(labels.length - LABELS)}</li>`}</ul>
      </section>
    </div>
  </div>`;
}

/** How the version's answers are read. */
function rules({ answers, extensible }) {
  const { kind, kinds, temperature, known, noRule, share, extend, yes, no } = T.task.rules;
  return [
    [kind, kinds[answers.activation] ?? answers.activation],
    [temperature, number(answers.temperature)],
    [known, answers.known_share === null ? noRule : share(percent(answers.known_share))],
    [extend, extensible ? yes : no],
  ];
}

function Pairs({ pairs }) {
  return html`<dl class="pairs">${pairs.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}
