// What the tasks said about an image: ranked labels with bars, what is below the limit, times, and what was shared.

import { count, milliseconds, number, percent } from "../lib/format.js";
import { getVersion } from "../lib/api.js";
import { useLoaded } from "../lib/hooks.js";
import { html, useEffect, useState } from "../lib/html.js";
import { T } from "../strings.js";

const PAGE = 24; // answers

/** `answer`: as the API gives it, with `wholeMs`; `limit`: the probability below which a task counts as not sure. */
export function Answers({ answer, limit }) {
  const [shown, setShown] = useState(PAGE);
  useEffect(() => setShown(PAGE), [answer]);
  const { answers, timings, wholeMs } = answer;
  const rest = answers.length - shown;
  return html`<section class="stack" aria-label=${T.try.results}>
    <div class="card slim">
      <p role="status" class="hidden">${T.try.answered(answers.length)}</p>
      <dl class="facts">
        <div><dt>${T.try.timings.decode}</dt><dd>${milliseconds(timings.decode_ms)}</dd></div>
        <div><dt>${T.try.timings.queue}</dt><dd>${milliseconds(timings.queue_ms)}</dd></div>
        <div><dt>${T.try.timings.compute}</dt><dd>${milliseconds(timings.compute_ms)}</dd></div>
        <div><dt>${T.try.timings.whole}</dt><dd>${milliseconds(wholeMs)}</dd></div>
      </dl>
    </div>
    <div class="answers">${answers.slice(0, shown).map((each) => html`<${Answer} key=${each.task} each=${each} limit=${limit} />`)}</div>
    ${rest > 0 && html`<button onClick=${() => setShown(shown + PAGE)}>${T.next} (${count(rest)})</button>`}
  </section>`;
}

function Answer({ each, limit }) {
  const [result] = each.results;
  const [best] = result.predictions;
  const unknown = result.known === false;
  const none = result.labels?.length === 0; // no label reaches the threshold in the task's file
  const below = best.probability < limit;
  const sure = !unknown && !none && !below;
  return html`<article class=${sure ? "card answer" : "card answer unsure"}>
    <header><h3><a href=${`#/task/${each.task}`}>${each.task}</a></h3>
      <span class="faint">${T.try.version(each.version)}</span></header>
    ${unknown && html`<p class="caution">${T.try.unknown(number(result.unknown_score))}</p>`}
    ${!unknown && none && html`<${NoLabel} each=${each} best=${best} />`}
    ${!unknown && below && html`<p class="caution">${T.try.below(percent(best.probability), percent(limit, 0))}</p>`}
    <ol class="labels">${result.predictions.map((label) => html`<li class=${label.probability < limit ? "below" : ""}>
      <span class="label">${label.label}</span>
      <meter min="0" max="1" value=${label.probability} aria-label=${label.label}>${percent(label.probability)}</meter>
      <span class="share">${percent(label.probability)}</span></li>`)}
    </ol>
    <p class="faint costs"><span>${T.try.cost} ${number(result.gflops_spent)}</span>
      <span title=${T.try.sharedHelp}>${T.try.shared} ${percent(result.trunk_share, 0)}</span></p>
  </article>`;
}

/** No label reaches the threshold in the task's file: the best one, and what it needs. */
function NoLabel({ each, best }) {
  const { value } = useLoaded(() => getVersion(each.task, each.version), [each.task, each.version]);
  const threshold = value?.answers?.thresholds[best.index];
  const needs = threshold == null ? "" : T.try.needs(best.label, percent(best.probability), percent(threshold));
  return html`<p class="caution">${T.try.noLabel} ${needs}</p>`;
}
