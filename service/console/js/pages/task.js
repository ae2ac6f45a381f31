// One task: what it is, where its neurons sit, what answers now; and every change that can be made to it.

import { deleteTask, getTask, getVersion, rollBack } from "../lib/api.js";
import { NONE, bytes, count, milliseconds, number } from "../lib/format.js";
import { useFeed } from "../lib/feed.js";
import { useAction, useLoaded } from "../lib/hooks.js";
import { html, useEffect, useState } from "../lib/html.js";
import { Accuracy } from "../parts/accuracy.js";
import { Confirm, Loading, Trouble } from "../parts/feedback.js";
import { Provenance } from "../parts/provenance.js";
import { Sites } from "../parts/sites.js";
import { Canary, SplitBar } from "../parts/split.js";
import { Upload } from "../parts/upload.js";
import { Versions } from "../parts/versions.js";
import { T } from "../strings.js";

/** `name`: of the task. */
export function TaskPage({ name }) {
  const task = useLoaded(() => getTask(name), [name]);
  const [chosen, setChosen] = useState(null);
  const shown = chosen ?? task.value?.version ?? null;
  const version = useLoaded(() => (shown === null ? null : getVersion(name, shown)), [name, shown]);
  const changed = async () => {
    await task.reload();
    setChosen(null);
  };
  return html`
    <p class="crumbs"><a href="#/tasks">${T.task.back}</a></p>
    <div class="head"><div><h1 tabindex="-1">${name}</h1>
      ${task.value?.description && html`<p class="lead">${task.value.description}</p>`}</div>
      ${task.value && html`<${State} task=${task.value} />`}</div>
    <${Trouble} error=${task.error} retry=${task.reload} />
    ${!task.value && task.loading && html`<${Loading} />`}
    ${task.value && html`<${Body} ...${{ task: task.value, version, shown, setChosen, changed }} />`}
  `;
}

function State({ task }) {
  return html`<div class="buttons">
    <span class=${task.ready ? "badge good" : "badge bad"} title=${task.reason ?? ""}>${task.ready ? T.task.ready : T.task.notReady}</span>
    <a class="button" href=${`#/try/${task.task}`}>${T.task.tryIt}</a>
  </div>`;
}

function Body({ task, version, shown, setChosen, changed }) {
  const detail = version.value?.version === shown ? version.value : null;
  return html`
    ${task.reason && html`<p class="problem">${task.reason}</p>`}
    <${Trouble} error=${version.error} retry=${version.reload} />
    ${detail && html`<${Facts} detail=${detail} /><${SitesCard} detail=${detail} />`}
    <div class="columns even">
      <${Live} task=${task} changed=${changed} />
      <${Upload} task=${task.task} onPublished=${changed} />
    </div>
    <${Versions} ...${{ task, shown, onShow: setChosen, changed }} />
    ${detail && html`<${Accuracy} detail=${detail} /><${Provenance} detail=${detail} />`}
    <${Danger} name=${task.task} />
  `;
}

function Facts({ detail }) {
  const F = T.task.facts;
  const all = detail.widths.length;
  const facts = [
    [F.version, detail.version],
    [F.classes, detail.labels.length],
    [F.sites, T.task.ofSites(detail.live_sites, all)],
    [F.size, bytes(detail.bytes)],
    [F.cost, number(detail.gflops)],
    [F.saved, detail.gflops_saved == null ? NONE : number(detail.gflops_saved)],
  ];
  return html`<dl class="card facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${!detail.servable && html`<p class="problem">${T.task.foreign}</p>`}`;
}

function SitesCard({ detail }) {
  return html`<section class="card" aria-label=${T.task.sites}>
    <h2>${T.task.sites}</h2>
    <p class="faint">${T.task.sitesLead(detail.first_live_site, detail.widths.length)}</p>
    <${Sites} widths=${detail.widths} initial=${detail.provenance.initial_widths} first=${detail.first_live_site} />
  </section>`;
}

function Live({ task, changed }) {
  const live = task.aliases.find(({ alias }) => alias === "live")?.weights;
  const [said, setSaid] = useState("");
  const inForce = async () => {
    await changed();
    setSaid(T.task.applied);
  };
  useEffect(() => {
    const timer = said ? setTimeout(() => setSaid(""), 4000) : 0;
    return () => clearTimeout(timer);
  }, [said]);
  const back = useAction(async () => {
    await rollBack(task.task);
    await inForce();
  });
  return html`<section class="card" aria-label=${T.task.live}>
    <h2>${T.task.live}</h2>
    ${live ? html`<${SplitBar} shares=${live} />` : html`<p class="caution">${T.task.liveNone}</p>`}
    ${live && html`<${Canary} ...${{ task: task.task, shares: live, versions: task.versions, generation: task.generation, onChanged: inForce }} />`}
    ${live && Object.keys(live).length > 1 && html`<${Compared} task=${task.task} shares=${live} />`}
    ${live && html`<div class="buttons"><button disabled=${back.busy} title=${T.task.rollbackHelp} onClick=${() => back.run()}>${T.task.rollback}</button>
      <span class="faint">${T.task.rollbackHelp}</span></div>`}
    <p role="status" class="good">${said}</p>
    <${Trouble} error=${back.error} />
  </section>`;
}

/** The versions that share the traffic, side by side, from the metrics; nothing where this browser may not read those. */
function Compared({ task, shares }) {
  const { canaries, last } = useFeed();
  if (!last) return null;
  const rows = Object.keys(shares).map((version) => [version, canaries[task]?.[version]]);
  const { version, requests, rate, p50, p99 } = T.task.compared;
  return html`<div class="scroll" role="region" aria-label=${T.task.compared.title} tabindex="0"><table>
    <thead><tr><th scope="col">${version}</th>${[requests, rate, p50, p99].map((text) => html`<th scope="col" class="number">${text}</th>`)}</tr></thead>
    <tbody>${rows.map(([name, found]) => html`<tr><th scope="row">${name}</th>
      <td class="number">${count(found?.count ?? 0)}</td><td class="number">${number(found?.rate, 2)}</td>
      <td class="number">${milliseconds(found?.p50)}</td><td class="number">${milliseconds(found?.p99)}</td></tr>`)}</tbody>
  </table></div>`;
}

function Danger({ name }) {
  const [sure, setSure] = useState(false);
  const remove = useAction(async () => {
    setSure(false);
    await deleteTask(name);
    location.hash = "#/tasks";
  });
  return html`<section class="card risk" aria-label=${T.task.danger}>
    <div><h2>${T.task.danger}</h2><p class="faint">${T.task.dangerHelp}</p></div>
    <button class="danger" disabled=${remove.busy} onClick=${() => setSure(true)}>${T.task.danger}</button>
    <${Trouble} error=${remove.error} />
    ${sure && html`<${Confirm} title=${T.confirm.task(name)} help=${T.confirm.taskHelp(name)} typed=${name}
      onYes=${() => remove.run()} onNo=${() => setSure(false)} />`}
  </section>`;
}
