// Asks for a key when an action needs one. The key goes to lib/keys.js and stays in memory.

import { setAsker } from "../lib/keys.js";
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { T } from "../strings.js";

/** The dialog; it is in the page once, and opens by itself. */
export function KeyDialog() {
  const [question, setQuestion] = useState(null); // { scope, refused, answer }
  const dialog = useRef(null);
  useEffect(() => setAsker((asked) => new Promise((answer) => setQuestion({ ...asked, answer }))), []);
  useEffect(() => {
    if (question) dialog.current.showModal();
  }, [question]);
  if (!question) return null;
  const answer = (key) => {
    dialog.current.close();
    setQuestion(null);
    question.answer(key);
  };
  const submit = (event) => {
    event.preventDefault();
    answer(event.currentTarget.elements.key.value.trim() || null);
  };
  const cancelled = (event) => {
    event.preventDefault();
    answer(null);
  };
  return html`<dialog ref=${dialog} aria-labelledby="key-title" onCancel=${cancelled}>
    <form onSubmit=${submit}>
      <h2 id="key-title">${T.key.title}</h2>
      ${question.refused && html`<p class="problem" role="alert">${T.key.refused}</p>`}
      <p>${T.key.why[question.scope]}</p>
      <label>${T.key.label}<input name="key" type="password" autocomplete="off" spellcheck="false" required /></label>
      <p class="faint">${T.key.memory}</p>
      <div class="buttons">
        <button type="button" onClick=${() => answer(null)}>${T.cancel}</button>
        <button class="main">${T.key.use}</button>
      </div>
    </form>
  </dialog>`;
}
