// One image, asked about: choose it, choose tasks, see what each of them says.

import { listTasks, predict } from "../lib/api.js";
import { percent } from "../lib/format.js";
import { useAction, useLoaded } from "../lib/hooks.js";
import { html, useEffect, useMemo, useRef, useState } from "../lib/html.js";
import { Answers } from "../parts/answers.js";
import { Camera } from "../parts/camera.js";
import { Drop } from "../parts/drop.js";
import { Loading, Trouble } from "../parts/feedback.js";
import { Snippets } from "../parts/snippets.js";
import { T } from "../strings.js";

const LISTED = 40; // tasks in the list of choices

/** `first`: a task to begin with, by name; empty for every task. */
export function TryPage({ first }) {
  const known = useLoaded(listTasks, []);
  const [file, setFile] = useState(null);
  const [chosen, setChosen] = useState(() => (first ? [first] : []));
  const [every, setEvery] = useState(!first);
  const [topK, setTopK] = useState(3);
  const [limit, setLimit] = useState(0.5);
  const [answer, setAnswer] = useState(null);
  const asked = every ? "all" : chosen;
  const ask = useAction(async (image) => {
    const began = performance.now();
    const found = await predict(image, asked, topK);
    setAnswer({ ...found, wholeMs: performance.now() - began });
  });
  const take = (image) => {
    setFile(image);
    setAnswer(null);
    ask.clear();
  };
  const missing = !file ? T.try.needImage : !every && !chosen.length ? T.try.needTask : "";
  usePaste(take);
  return html`
    <div class="head"><div><h1 tabindex="-1">${T.try.title}</h1><p class="lead">${T.try.lead}</p></div></div>
    <${Trouble} error=${known.error} retry=${known.reload} />
    <div class="columns">
      <div class="stack">
        <${ImageChoice} file=${file} onFile=${take} />
        <section class="card" aria-label=${T.try.tasks}>
          <h2>${T.try.tasks}</h2>
          ${known.value
            ? html`<${TaskChoice} ...${{ tasks: known.value.tasks, chosen, setChosen, every, setEvery }} />`
            : known.loading && html`<${Loading} />`}
          <div class="fields">
            <label>${T.try.labels}<input type="number" min="1" max="100" value=${topK}
              onInput=${(event) => setTopK(Math.min(100, Math.max(1, event.currentTarget.valueAsNumber || 1)))} /></label>
            <label>${T.try.unsure} ${percent(limit, 0)}<input type="range" min="0" max="100" value=${limit * 100}
              aria-valuetext=${percent(limit, 0)} onInput=${(event) => setLimit(event.currentTarget.valueAsNumber / 100)} /></label>
          </div>
          <div class="buttons"><button class="main wide" disabled=${Boolean(missing) || ask.busy} onClick=${() => ask.run(file)}>
            ${ask.busy ? T.try.asking : T.try.ask}</button></div>
          ${missing && html`<p class="faint">${missing}</p>`}
        </section>
      </div>
      <div class="stack">
        <${Trouble} error=${ask.error} />
        ${answer ? html`<${Answers} answer=${answer} limit=${limit} />` : html`<p class="card empty">${T.try.nothing}</p>`}
        <${Snippets} file=${file?.name || "image.png"} tasks=${every || !chosen.length ? "all" : chosen} topK=${topK} />
      </div>
    </div>
  `;
}

/** Takes the first image that is pasted anywhere on the page. */
function usePaste(take) {
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    const pasted = (event) => {
      const image = [...event.clipboardData.files].find((file) => file.type.startsWith("image/"));
      if (image) latest.current(image);
    };
    addEventListener("paste", pasted);
    return () => removeEventListener("paste", pasted);
  }, []);
}

function ImageChoice({ file, onFile }) {
  const [camera, setCamera] = useState(false);
  const [wrong, setWrong] = useState(false);
  const take = (chosen) => {
    setCamera(false);
    setWrong(!chosen.type.startsWith("image/"));
    if (chosen.type.startsWith("image/")) onFile(chosen);
  };
  return html`<section class="card" aria-label=${T.try.image}>
    <h2>${T.try.image}</h2>
    ${camera
      ? html`<${Camera} onFile=${take} onClose=${() => setCamera(false)} />`
      : html`<${Drop} text=${T.try.drop} pick=${T.try.pick} accept="image/*" onFile=${take}>
          <button type="button" onClick=${() => setCamera(true)}>${T.try.camera}</button>
        <//>`}
    ${wrong && html`<p class="problem" role="alert">${T.try.notAnImage}</p>`}
    ${file && html`<${Preview} file=${file} />`}
  </section>`;
}

function Preview({ file }) {
  const url = useMemo(() => URL.createObjectURL(file), [file]);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    setFailed(false);
    return () => URL.revokeObjectURL(url);
  }, [url]);
  return html`<figure class="preview">
    ${failed ? html`<p class="faint">${T.try.noPreview}</p>` : html`<img src=${url} alt=${T.try.preview} onError=${() => setFailed(true)} />`}
    <figcaption class="faint">${file.name}</figcaption>
  </figure>`;
}

function TaskChoice({ tasks, chosen, setChosen, every, setEvery }) {
  const [search, setSearch] = useState("");
  const ready = tasks.filter((task) => task.ready).map(({ task }) => task);
  const found = ready.filter((name) => name.includes(search.trim().toLowerCase()));
  const near = found.slice(0, LISTED);
  const listed = [...near, ...chosen.filter((name) => !near.includes(name))]; // what was ticked stays in sight
  const toggle = (name) => setChosen(chosen.includes(name) ? chosen.filter((each) => each !== name) : [...chosen, name]);
  return html`
    <div class="segments" role="group" aria-label=${T.try.tasks}>
      <button type="button" aria-pressed=${every} onClick=${() => setEvery(true)}>${T.try.all} (${ready.length})</button>
      <button type="button" aria-pressed=${!every} onClick=${() => setEvery(false)}>${T.try.some}</button>
    </div>
    ${!every && html`
      <label>${T.try.choose}<input type="search" value=${search} onInput=${(event) => setSearch(event.currentTarget.value)} /></label>
      <div class="choices" role="group" aria-label=${T.try.some}>${listed.map((name) => html`
        <label class="choice" key=${name}><input type="checkbox" checked=${chosen.includes(name)} onChange=${() => toggle(name)} />${name}</label>`)}
      </div>
      <p class="faint" role="status">${T.try.chosen(chosen.length)}${found.length > LISTED ? `, ${T.try.more(found.length - LISTED)}` : ""}</p>`}
  `;
}
