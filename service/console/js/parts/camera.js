// One picture from the camera. The camera is on only while this is shown.

import { html, useEffect, useRef, useState } from "../lib/html.js";
import { T } from "../strings.js";

/** Calls `onFile` with the picture as a JPEG, or `onClose`. */
export function Camera({ onFile, onClose }) {
  const video = useRef(null);
  const [failed, setFailed] = useState(false);
  const [ready, setReady] = useState(false);
  useEffect(() => {
    let stream = null;
    let gone = false;
    open().then(
      (opened) => {
        stream = opened;
        if (gone) stop(stream);
        else video.current.srcObject = stream;
      },
      () => setFailed(true),
    );
    return () => {
      gone = true;
      if (stream) stop(stream);
    };
  }, []);
  const shoot = async () => onFile(await picture(video.current));
  return html`<div class="camera">
    ${failed && html`<p class="problem" role="alert">${T.try.cameraFailed}</p>`}
    ${!failed && html`<video ref=${video} autoplay muted playsinline onLoadedData=${() => setReady(true)}></video>`}
    <div class="buttons">
      ${!failed && html`<button class="main" disabled=${!ready} onClick=${shoot}>${T.try.shoot}</button>`}
      <button onClick=${onClose}>${T.try.stop}</button>
    </div>
  </div>`;
}

async function open() {
  return navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
}

function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}

function picture(video) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((done) => {
    canvas.toBlob((blob) => done(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.92);
  });
}
