// What stands at the end of the bar: forgetting keys, and the appearance.

import { forgetKeys, holdsKey, onKeys } from "../lib/keys.js";
import { html, useEffect, useState } from "../lib/html.js";
import { T } from "../strings.js";

/** A button that drops every key; nothing while none is held. */
export function Forget() {
  const [held, setHeld] = useState(holdsKey);
  useEffect(() => onKeys(() => setHeld(holdsKey())), []);
  return held ? html`<button class="quiet" onClick=${forgetKeys}>${T.key.forget}</button>` : null;
}

/** Light, dark, or as the system has it; for as long as the page is open. */
export function Theme() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "auto");
  const choose = (event) => {
    document.documentElement.dataset.theme = event.currentTarget.value;
    setTheme(event.currentTarget.value);
    dispatchEvent(new Event("themechange"));
  };
  return html`<select class="quiet" aria-label=${T.theme.label} value=${theme} onChange=${choose}>
    ${["auto", "light", "dark"].map((value) => html`<option value=${value}>${T.theme[value]}</option>`)}
  </select>`;
}

/** The mark: a bare trunk, then neurons. */
export function Mark() {
  return html`<svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
    <g fill="currentColor"><rect x="1" y="12" width="3" height="6" opacity=".4" /><rect x="6" y="12" width="3" height="6" opacity=".4" />
    <rect x="11" y="7" width="3" height="11" /><rect x="16" y="2" width="3" height="16" /></g></svg>`;
}
