// The versions of a task as a table, with what can be done to each.

import { deleteVersion, getFile, setLive } from "../lib/api.js";
import { bytes, date, short } from "../lib/format.js";
import { useAction } from "../lib/hooks.js";
import { html, useState } from "../lib/html.js";
import { T } from "../strings.js";
import { Confirm, Trouble } from "./feedback.js";

/** `shown`: the version that the page describes; `onShow` chooses another one. */
export function Versions({ task, shown, onShow, changed }) {
  const [doomed, setDoomed] = useState(null); // the version to be deleted, while it is asked for
  const activate = useAction(async (version) => {
    await setLive(task.task, { [version]: 1 }, task.generation);
    await changed();
  });
  const download = useAction(async (version) => save(await getFile(task.task, version), `${task.task}-${version}.safetensors`));
  const remove = useAction(async (version) => {
    setDoomed(null);
    await deleteVersion(task.task, version);
    await changed();
  });
  const live = task.aliases.find(({ alias }) => alias === "live")?.weights ?? {};
  const busy = activate.busy || download.busy || remove.busy;
  return html`<section class="card flush" aria-label=${T.task.versions}>
    <h2>${T.task.versions}</h2>
    <${Trouble} error=${activate.error ?? download.error ?? remove.error} />
    <div class="scroll" role="region" aria-label=${T.task.versions} tabindex="0"><table>
      <thead><tr>${[T.task.facts.version, T.task.created, T.task.file, T.task.facts.size, T.task.aliases, T.task.actions].map((text) => html`
        <th scope="col">${text}</th>`)}</tr></thead>
      <tbody>${task.versions.map((info) => html`<${Row} key=${info.version} ...${{ info, busy, sole: live[info.version] === 1, shown: info.version === shown }}
        onShow=${onShow} onActivate=${activate.run} onDownload=${download.run} onDelete=${setDoomed} />`)}</tbody>
    </table></div>
    ${doomed !== null && html`<${Confirm} title=${T.confirm.version(doomed)} help=${T.confirm.versionHelp}
      onYes=${() => remove.run(doomed)} onNo=${() => setDoomed(null)} />`}
  </section>`;
}

function Row({ info, shown, sole, busy, onShow, onActivate, onDownload, onDelete }) {
  const { version, aliases } = info;
  const action = (text, run, disabled = false) => html`
    <button class="small" disabled=${busy || disabled} aria-label=${T.task.forVersion(text, version)} onClick=${() => run(version)}>${text}</button>`;
  return html`<tr class=${shown ? "chosen" : ""}>
    <th scope="row">${version}</th>
    <td class="nowrap">${date(info.created_at)}</td>
    <td><code title=${info.sha256}>${short(info.sha256)}</code></td>
    <td class="nowrap">${bytes(info.bytes)}</td>
    <td>${aliases.map((alias) => html`<span class="badge">${alias}</span> `)}</td>
    <td class="actions">
      ${action(shown ? T.task.shown : T.task.show, onShow, shown)}
      ${action(T.task.activate, onActivate, sole)}
      ${action(T.task.download, onDownload)}
      ${action(T.task.remove, onDelete, aliases.length > 0)}
    </td>
  </tr>`;
}

/** Hand bytes to the browser as a file. */
function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
