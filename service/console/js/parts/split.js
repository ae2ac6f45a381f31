// Which versions answer, and with which share: shown as one bar, and changed with a slider.

import { setLive } from "../lib/api.js";
import { percent } from "../lib/format.js";
import { useAction } from "../lib/hooks.js";
import { html, useEffect, useState } from "../lib/html.js";
import { T } from "../strings.js";
import { Trouble } from "./feedback.js";

const TONES = 5;

/** Shares as a bar: { "3": 0.9, "4": 0.1 }. */
export function SplitBar({ shares, compact = false }) {
  const parts = Object.entries(shares).map(([version, share]) => ({ version, share }));
  const said = T.split(parts.map(({ version, share }) => ({ version, share: percent(share) })));
  return html`<span class=${compact ? "split compact" : "split"}>
    <svg class="splitbar" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=${said}>
      ${parts.map(({ share }, index) => html`
        <rect class=${`tone${index % TONES}`} x=${100 * sumBefore(parts, index)} width=${100 * share} height="8" />`)}
    </svg>
    <span class="splittext" aria-hidden="true">
      ${parts.map(({ version, share }) => html`<span>v${version} ${parts.length > 1 && percent(share)}</span>`)}
    </span>
  </span>`;
}

function sumBefore(parts, index) {
  return parts.slice(0, index).reduce((total, { share }) => total + share, 0);
}

/** The slider: so much of the traffic for one other version, the rest for what is live with the largest share. */
export function Canary({ task, shares, versions, generation, onChanged }) {
  const main = Number(Object.entries(shares).sort(([, a], [, b]) => b - a)[0][0]);
  const others = versions.map(({ version }) => version).filter((version) => version !== main);
  const [chosen, setChosen] = useState(null);
  const candidate = others.includes(chosen) ? chosen : (others.find((version) => shares[version]) ?? others[0]);
  const [share, setShare] = useState(() => Math.round((shares[candidate] ?? 0.1) * 100));
  useEffect(() => setShare(Math.round((shares[candidate] ?? 0.1) * 100)), [candidate, generation]);
  const change = useAction(async () => {
    await setLive(task, { [main]: (100 - share) / 100, [candidate]: share / 100 }, generation);
    await onChanged();
  });
  if (!others.length) return null;
  const submit = (event) => {
    event.preventDefault();
    change.run();
  };
  return html`<form class="canary" onSubmit=${submit}>
    <h3>${T.task.canary}</h3>
    <label>${T.task.candidate}
      <select value=${candidate} onChange=${(event) => setChosen(Number(event.currentTarget.value))}>
        ${others.map((version) => html`<option value=${version}>${version}</option>`)}
      </select>
    </label>
    <label class="grow">${T.task.share}
      <input type="range" min="0" max="100" value=${share} aria-valuetext=${percent(share / 100, 0)}
        onInput=${(event) => setShare(Number(event.currentTarget.value))} />
    </label>
    <output>${percent(share / 100, 0)}</output>
    <button class="main" disabled=${change.busy}>${T.task.apply}</button>
    <${Trouble} error=${change.error} />
  </form>`;
}
