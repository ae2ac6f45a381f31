// A place to drop a file on, with a button for those who pick one. Hands over the file, and judges nothing.

import { html, useRef, useState } from "../lib/html.js";

/** `accept` is for the file picker only: what is dropped may be anything. */
export function Drop({ text, pick, accept, onFile, children }) {
  const [over, setOver] = useState(false);
  const input = useRef(null);
  const take = (files) => {
    setOver(false);
    if (files.length) onFile(files[0]);
  };
  const dragged = (event) => {
    event.preventDefault();
    setOver(event.type === "dragover");
  };
  const dropped = (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  };
  const picked = (event) => {
    take(event.currentTarget.files);
    event.currentTarget.value = ""; // the same file may be picked again
  };
  return html`<div class=${over ? "drop over" : "drop"} onDragOver=${dragged} onDragLeave=${dragged} onDrop=${dropped}>
    <p>${text}</p>
    <div class="buttons">
      <button type="button" onClick=${() => input.current.click()}>${pick}</button>
      ${children}
    </div>
    <input ref=${input} type="file" accept=${accept} hidden onChange=${picked} />
  </div>`;
}
