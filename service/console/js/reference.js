// The reference of the API: /openapi.json as a page. It needs no help from elsewhere, and works offline.

import { read } from "./lib/api.js";
import { useLoaded } from "./lib/hooks.js";
import { html, render, useMemo, useState } from "./lib/html.js";
import { Loading, Trouble } from "./parts/feedback.js";
import { KeyDialog } from "./parts/key_dialog.js";
import { Forget, Mark, Theme } from "./parts/toolbar.js";
import { T } from "./strings.js";

const D = T.docs;
const BAD = 400; // the first status that is an error

function App() {
  const { value, error, loading, reload } = useLoaded(() => read("/openapi.json"), []);
  return html`
    <a class="skip" href="#main">${T.skip}</a>
    <header class="bar">
      <a class="brand" href="./"><${Mark} />${T.product}</a>
      <nav aria-label=${T.product}>
        ${["tasks", "try", "live"].map((key) => html`<a href=${`./#/${key}`}>${T.pages[key]}</a>`)}
        <a href="docs" aria-current="page">${T.pages.docs}</a>
      </nav>
      <div class="tools"><${Forget} /><${Theme} /></div>
    </header>
    <main id="main" tabindex="-1" class=${value ? "reference" : ""}>
      <div class="head"><div><h1>${D.title}</h1>${value && html`<p class="lead">${value.info.summary} ${D.lead(value.info.version)}</p>`}</div></div>
      <${Trouble} error=${error} retry=${reload} />
      ${!value && loading && html`<${Loading} />`}
      ${value && html`<${Routes} document=${value} />`}
    </main>
    <${KeyDialog} />
  `;
}

function Routes({ document }) {
  const [search, setSearch] = useState("");
  const operations = useMemo(() => operationsOf(document), [document]);
  const words = search.toLowerCase().split(/\s+/);
  const found = operations.filter(({ text }) => words.every((word) => text.includes(word)));
  const groups = Object.groupBy(found, ({ group }) => group);
  return html`
    <nav class="contents" aria-label=${D.contents}>
      <label>${D.search}<input type="search" value=${search} onInput=${(event) => setSearch(event.currentTarget.value)} /></label>
      ${Object.entries(groups).map(([group, members]) => html`<div><h2>${group}</h2>
        ${members.map((each) => html`<a href=${`#${each.id}`}><span class=${`verb ${each.method}`}>${each.method}</span><span>${broken(each.path)}</span></a>`)}</div>`)}
    </nav>
    <div class="stack">
      ${!found.length && html`<p class="empty">${D.empty}</p>`}
      ${found.map((each) => html`<${Operation} key=${each.id} ...${each} document=${document} />`)}
    </div>
  `;
}

function operationsOf(document) {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      path,
      method,
      operation,
      id: operation.operationId,
      group: operation.tags?.[0] ?? D.other,
      text: `${method} ${path} ${operation.summary} ${operation.description}`.toLowerCase(),
    })),
  );
}

function Operation({ id, path, method, operation, document }) {
  const commands = operation["x-codeSamples"] ?? [];
  return html`<article class="card operation" id=${id} tabindex="-1">
    <h3><span class=${`verb ${method}`}>${method}</span> <code>${path}</code></h3>
    ${paragraphs(operation.description)}
    ${operation.parameters?.length > 0 && html`<${Parameters} parameters=${operation.parameters} />`}
    ${commands.length > 0 && html`<h4>${D.command}</h4><pre tabindex="0">${commands.map(({ source }) => source).join("\n")}</pre>`}
    ${operation.requestBody && html`<h4>${D.body}</h4><${Content} content=${operation.requestBody.content} document=${document} />`}
    <h4>${D.answers}</h4>
    ${Object.entries(operation.responses).map(([status, response]) => html`<details>
      <summary><span class=${Number(status) < BAD ? "status" : "status bad"}>${status}</span>${response.description}</summary>
      <${Content} content=${response.content ?? {}} document=${document} /></details>`)}
  </article>`;
}

function Parameters({ parameters }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${D.parameters}><table>
    <thead><tr><th scope="col">${D.name}</th><th scope="col">${D.where}</th><th scope="col">${D.meaning}</th></tr></thead>
    <tbody>${parameters.map((each) => html`<tr>
      <th scope="row"><code>${each.name}</code></th><td>${each.in}</td>
      <td>${described(each)}${each.required && html` <span class="faint">${D.required}</span>`}</td></tr>`)}</tbody>
  </table></div>`;
}

function Content({ content, document }) {
  const bytes = Object.keys(content).filter((type) => content[type].schema?.format === "binary");
  const others = Object.entries(content).filter(([type]) => !bytes.includes(type));
  const shapes = others.map(([type, { schema, example, examples }]) => html`
    <h4><code>${type}</code></h4>
    ${examplesOf(example, examples).map(([name, value]) => html`<p class="faint">${name}</p><pre tabindex="0">${shown(value)}</pre>`)}
    ${schema && html`<details><summary>${D.shape}</summary><pre tabindex="0">${shown(resolved(schema, document))}</pre></details>`}`);
  return html`${bytes.length > 0 && html`<p><span class="faint">${D.bytes}</span> ${bytes.map((type) => html`<code class="type">${type}</code> `)}</p>`}${shapes}`;
}

/** A description: paragraphs between empty lines, with code between backticks. */
function paragraphs(text = "") {
  return text.split(/\n\s*\n/).map((paragraph) => html`<p>${coded(paragraph)}</p>`);
}

function coded(text) {
  return text.split("`").map((part, index) => (index % 2 ? html`<code>${part}</code>` : part));
}

/** A path that may break before its slashes. */
function broken(path) {
  return path.split(/(?=\/)/).map((part) => html`${part}<wbr />`);
}

/** What a parameter means; FastAPI puts it into the schema of one that may be left out. */
function described({ description, schema = {} }) {
  return coded(description ?? schema.description ?? schema.anyOf?.find((each) => each.description)?.description ?? "");
}

function examplesOf(one, several) {
  const named = Object.entries(several ?? {}).map(([name, { value }]) => [name, value]);
  return one === undefined ? named : [[D.example, one], ...named];
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** A schema with the schemas that it names in their place; one that contains itself keeps its name. */
function resolved(schema, document, seen = []) {
  if (Array.isArray(schema)) return schema.map((each) => resolved(each, document, seen));
  if (schema === null || typeof schema !== "object") return schema;
  const name = schema.$ref?.split("/").at(-1);
  if (name && !seen.includes(name)) return resolved(document.components.schemas[name], document, [...seen, name]);
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, resolved(value, document, seen)]));
}

render(html`<${App} />`, document.getElementById("app"));
