// What came of an action: errors in plain words, a spinner, and the question before something is deleted.

import { KeyWithheld, Unreachable } from "../lib/api.js";
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { T } from "../strings.js";

/** An error as a person can read it; nothing where there is none. */
export function Trouble({ error, retry }) {
  if (!error) return null;
  return html`<div class="problem" role="alert">
    <p>${textOf(error)}</p>
    ${retry && html`<button onClick=${retry}>${error instanceof KeyWithheld ? T.key.give : T.retry}</button>`}
  </div>`;
}

function textOf(error) {
  if (error instanceof KeyWithheld) return T.key.withheld;
  return error instanceof Unreachable ? T.connection.unreachable : error.message;
}

/** Something is on its way. */
export const Loading = () => html`<p class="loading" role="status">${T.loading}</p>`;

/**
 * Asks before something is deleted. With `typed`, that text must be typed first.
 */
export function Confirm({ title, help, typed, onYes, onNo }) {
  const dialog = useRef(null);
  const [text, setText] = useState("");
  useEffect(() => dialog.current.showModal(), []);
  const submit = (event) => {
    event.preventDefault();
    onYes();
  };
  const cancelled = (event) => {
    event.preventDefault();
    onNo();
  };
  return html`<dialog ref=${dialog} aria-labelledby="confirm-title" onCancel=${cancelled}>
    <form onSubmit=${submit}>
      <h2 id="confirm-title">${title}</h2>
      <p>${help}</p>
      ${typed && html`<label>${T.confirm.name}
        <input autocomplete="off" spellcheck="false" value=${text} onInput=${(event) => setText(event.currentTarget.value)} />
      </label>`}
      <div class="buttons">
        <button type="button" onClick=${onNo}>${T.cancel}</button>
        <button class="danger" disabled=${Boolean(typed) && text !== typed}>${T.confirm.yes}</button>
      </div>
    </form>
  </dialog>`;
}
