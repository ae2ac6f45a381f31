// The shell: which page is shown, what stands around it, and the question for a key.

import { useConnection, useRoute } from "./lib/hooks.js";
import { html, render, useEffect, useRef, useState } from "./lib/html.js";
import { LivePage } from "./pages/live.js";
import { TaskPage } from "./pages/task.js";
import { TasksPage } from "./pages/tasks.js";
import { TryPage } from "./pages/try.js";
import { KeyDialog } from "./parts/key_dialog.js";
import { Forget, Mark, Theme } from "./parts/toolbar.js";
import { T } from "./strings.js";

const NAV = [
  ["tasks", T.pages.tasks],
  ["try", T.pages.try],
  ["live", T.pages.live],
];

function App() {
  const [name = "tasks", ...rest] = useRoute();
  const page = name || "tasks";
  const main = useRef(null);
  const first = useRef(true);
  useEffect(() => {
    document.title = `${titleOf(page, rest)} · ${T.product}`;
    if (!first.current) main.current.querySelector("h1")?.focus();
    first.current = false;
    scrollTo(0, 0);
  }, [page, rest.join("/")]);
  return html`
    <a class="skip" href="#main" onClick=${(event) => skipTo(event, main.current)}>${T.skip}</a>
    <header class="bar">
      <a class="brand" href="#/tasks"><${Mark} />${T.product}</a>
      <nav aria-label=${T.product}>
        ${NAV.map(([key, text]) => html`
          <a href=${`#/${key}`} aria-current=${isUnder(page, key) ? "page" : undefined}>${text}</a>`)}
        <a href="docs">${T.pages.docs}</a>
      </nav>
      <div class="tools"><${Forget} /><${Theme} /></div>
    </header>
    <${Lost} />
    <main id="main" ref=${main} tabindex="-1"><${Page} page=${page} rest=${rest} /></main>
    <${KeyDialog} />
  `;
}

function Page({ page, rest }) {
  if (page === "tasks") return html`<${TasksPage} />`;
  if (page === "task" && rest[0]) return html`<${TaskPage} key=${rest[0]} name=${rest[0]} />`;
  if (page === "try") return html`<${TryPage} first=${rest[0] ?? ""} />`;
  if (page === "live") return html`<${LivePage} />`;
  return html`<h1 tabindex="-1">${T.notFound}</h1>`;
}

function Lost() {
  const { online, healed } = useConnection();
  const [back, setBack] = useState(false);
  useEffect(() => {
    if (!healed) return undefined;
    setBack(true);
    const timer = setTimeout(() => setBack(false), 4000);
    return () => clearTimeout(timer);
  }, [healed]);
  return html`<div role="status" class="connection">
    ${!online && html`<p class="lost">${T.connection.lost}</p>`}
    ${online && back && html`<p class="back">${T.connection.back}</p>`}
  </div>`;
}

function titleOf(page, rest) {
  return page === "task" ? rest[0] : (T.pages[page] ?? T.notFound);
}

function isUnder(page, key) {
  return page === key || (page === "task" && key === "tasks");
}

function skipTo(event, main) {
  event.preventDefault();
  main.focus();
}

render(html`<${App} />`, document.getElementById("app"));
