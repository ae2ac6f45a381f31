// The same request as curl and as Python, to copy.

import { address } from "../lib/api.js";
import { keyFor } from "../lib/keys.js";
import { html, useState } from "../lib/html.js";
import { T } from "../strings.js";

/** `tasks`: a list of names, or "all". The key itself never shows: the code reads it from a variable. */
export function Snippets({ file, tasks, topK }) {
  const [kind, setKind] = useState("curl");
  const text = (kind === "curl" ? curl : python)(file, tasks, topK, Boolean(keyFor("predict")));
  return html`<section class="card snippets" aria-label=${T.try.same}>
    <header>
      <h2>${T.try.same}</h2>
      <div class="segments" role="group" aria-label=${T.try.same}>
        ${Object.entries(T.try.code).map(([key, name]) => html`
          <button type="button" aria-pressed=${kind === key} onClick=${() => setKind(key)}>${name}</button>`)}
      </div>
      <${Copy} text=${text} />
    </header>
    <pre tabindex="0"><code>${text}</code></pre>
  </section>`;
}

/** A button that copies a text, and says so. */
export function Copy({ text }) {
  const [said, setSaid] = useState("");
  const copy = async () => {
    const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    setSaid(done ? T.copied : T.copyFailed);
    setTimeout(() => setSaid(""), 2500);
  };
  return html`<button type="button" class="quiet" onClick=${copy}>${T.copy}</button>
    <span class="faint" role="status">${said}</span>`;
}

function curl(file, tasks, topK, needsKey) {
  const key = needsKey ? `-H "Authorization: Bearer $MIMI_KEY" ` : "";
  const image = `--data-binary @${quoted(file)}`;
  if (tasks !== "all" && tasks.length === 1) {
    return `curl ${key}${image} \\\n  '${address(`/v1/tasks/${tasks[0]}/predict`)}?top_k=${topK}'`;
  }
  const names = tasks === "all" ? ["all"] : tasks;
  return `curl ${key}${image} \\\n  '${address("/v1/predict")}?${names.map((name) => `tasks=${name}&`).join("")}top_k=${topK}'`;
}

function python(file, tasks, topK, needsKey) {
  const url = address("/").replace(/\/$/, "");
  const key = needsKey ? `, key=os.environ["MIMI_KEY"]` : "";
  const one = tasks !== "all" && tasks.length === 1;
  const asked = one
    ? `answer = client.predict("${tasks[0]}", path, top_k=${topK})`
    : `answer = client.predict_many(${tasks === "all" ? '"all"' : JSON.stringify(tasks)}, path, top_k=${topK})`;
  return `${needsKey ? "import os\n" : ""}from pathlib import Path

from service.client import Client

path = Path(${JSON.stringify(file)})
with Client("${url}"${key}) as client:
    ${asked}
${one ? "print(answer.results[0].predictions)" : "for each in answer.answers:\n    print(each.task, each.results[0].predictions)"}`;
}

function quoted(file) {
  return /^[\w.-]+$/.test(file) ? file : `'${file.replaceAll("'", `'\\''`)}'`;
}
