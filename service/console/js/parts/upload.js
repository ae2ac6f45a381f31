// Uploads a task adapter file: first every check without publishing, then, on a click, for good.

import { Problem, putTask } from "../lib/api.js";
import { useAction } from "../lib/hooks.js";
import { html, useState } from "../lib/html.js";
import { T } from "../strings.js";
import { Drop } from "./drop.js";
import { Trouble } from "./feedback.js";

const FAILED = /The check that failed is: ([a-z ]+)/;
const PATTERN = "[a-z0-9][a-z0-9_\\-]{0,63}";
const NAME = new RegExp(`^${PATTERN}$`);
const ORDER = Object.keys(T.upload.names);

/** Without `task`, the person names it. */
export function Upload({ task, onPublished }) {
  const [name, setName] = useState(task ?? "");
  const [file, setFile] = useState(null);
  const [report, setReport] = useState(null); // { checks, answer?, problem?, done? }
  const fresh = !task; // a new task must not become a version of one that exists
  const check = useAction(async (chosen) => {
    const named = name || suggested(chosen.name);
    setName(named);
    setFile(chosen);
    setReport(null);
    setReport(await reported(() => putTask(named, chosen, { dryRun: true, fresh })));
  });
  const publish = useAction(async (activate) => {
    const found = await reported(() => putTask(name, file, { activate, fresh }));
    setReport({ ...found, done: !found.problem });
    if (!found.problem) await onPublished(name, found.answer);
  });
  return html`<section class="card upload" aria-label=${task ? T.upload.title : T.upload.newTitle}>
    <h2>${task ? T.upload.title : T.upload.newTitle}</h2>
    ${!task && html`<label>${T.upload.name}
      <input value=${name} pattern=${PATTERN} spellcheck="false" autocomplete="off" aria-describedby="name-help"
        onInput=${(event) => setName(event.currentTarget.value)} />
      <span class="faint" id="name-help">${T.upload.nameHelp}</span></label>`}
    <${Drop} text=${T.upload.drop} pick=${T.upload.pick} accept=".safetensors" onFile=${check.run} />
    <div role="status">${check.busy && html`<p class="loading">${T.upload.checking(file?.name ?? "")}</p>`}</div>
    <${Trouble} error=${check.error ?? publish.error} />
    ${report && html`<${Report} ...${report} name=${name} />`}
    ${report && !report.problem && !report.done && html`<div class="buttons">
      ${task && html`<button disabled=${publish.busy} onClick=${() => publish.run(false)}>${T.upload.publish}</button>`}
      <button class="main" disabled=${publish.busy || !NAME.test(name)} onClick=${() => publish.run(true)}>${T.upload.activate}</button>
    </div>`}
  </section>`;
}

function Report({ checks, answer, problem, done, name }) {
  return html`<div class="report">
    <div role="status">
      ${problem && html`<p class="problem">${T.upload.bad} ${problem.detail.replace(FAILED, "").trim()}</p>`}
      ${answer && html`<p class="good">${summary(answer, name, done)}</p>`}
    </div>
    ${answer?.warnings.length > 0 && html`<div class="caution"><h3>${T.upload.warnings}</h3>
      <ul>${answer.warnings.map((warning) => html`<li>${warning}</li>`)}</ul></div>`}
    <h3>${T.upload.checks}</h3>
    <ul class="checks">${checks.map(({ name: check, outcome, detail }) => html`
      <li class=${outcome}><span class="outcome">${T.upload.outcomes[outcome]}</span>
        <span>${T.upload.names[check] ?? check}${detail && html` <span class="faint">${detail}</span>`}</span></li>`)}
    </ul>
  </div>`;
}

function summary(answer, name, done) {
  if (done) return T.upload.published(answer.version);
  return answer.created ? T.upload.good(name, answer.version) : T.upload.known(answer.version);
}

/** What became of each check. A refusal names the check that failed: those before it have passed, those after did not run. */
async function reported(send) {
  try {
    const answer = await send();
    return { answer, checks: answer.checks };
  } catch (error) {
    const failed = error instanceof Problem ? FAILED.exec(error.detail)?.[1].trim() : null;
    if (!failed) throw error;
    return { problem: error, checks: upTo(failed) };
  }
}

function upTo(failed) {
  const at = ORDER.indexOf(failed);
  const outcome = (index) => (index < at ? (index < 2 ? "skipped" : "passed") : index === at ? "failed" : "open");
  return ORDER.map((name, index) => ({ name, outcome: outcome(index), detail: "" }));
}

/** A name for the task, from that of the file. */
function suggested(file) {
  const plain = file.toLowerCase().replace(/\.[a-z]+$/, "").replace(/[^a-z0-9_-]+/g, "-").replace(/^[-_]+|[-_]+$/g, "");
  return NAME.test(plain) ? plain : "new-task";
}
