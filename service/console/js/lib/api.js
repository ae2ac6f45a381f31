// Requests to the API. Knows keys, problems and lost connections; knows no page.

import { lost } from "./connection.js";
import { askForKey, drop, keyFor, lacks } from "./keys.js";

const ROOT = new URL("../../../", import.meta.url); // also behind a proxy that serves us below a path

/** An answer that is an error, as RFC 9457 has it. */
export class Problem extends Error {
  constructor(status, { title = "", detail = "", code = "" } = {}) {
    super(detail || title || `HTTP ${status}`);
    Object.assign(this, { status, title, detail, code });
  }
}

/** The request did not reach the server. */
export class Unreachable extends Error {}

/** The person gave no key. */
export class KeyWithheld extends Problem {}

/** The full address of a path of the API. */
export function address(path) {
  return new URL(path.replace(/^\//, ""), ROOT).href;
}

/**
 * Send a request, and ask for a key if it needs one.
 *
 * `scope`: the kind of key that opens it. `ask`: false for what nobody clicked, such as polling.
 */
export async function call(path, { scope = "predict", ask = true, ...options } = {}) {
  let asked = false;
  for (;;) {
    const key = keyFor(scope);
    const response = await send(path, key, options);
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (problem.code !== "unauthorized" && problem.code !== "forbidden") throw problem;
    if (key) (response.status === 401 ? drop(key) : lacks(scope, key));
    if (!ask) throw problem;
    if (!(await askForKey(scope, { refused: asked }))) throw new KeyWithheld(response.status, problem);
    asked = true;
  }
}

/** As `call`, and read the JSON. */
export async function read(path, options) {
  return (await call(path, options)).json();
}

async function send(path, key, { headers = {}, ...options }) {
  const sent = key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
  try {
    return await fetch(address(path), { cache: "no-store", credentials: "omit", ...options, headers: sent });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    lost();
    throw new Unreachable();
  }
}

async function problemOf(response) {
  const text = await response.text();
  try {
    return new Problem(response.status, JSON.parse(text));
  } catch {
    return new Problem(response.status, { detail: text.slice(0, 200) });
  }
}

// ------------------------------------------------------------------ tasks

const task = (name) => `/v1/tasks/${encodeURIComponent(name)}`;
const PAGE = 500; // tasks
const BYTES = { "Content-Type": "application/octet-stream" }; // the server judges a body by its bytes
const since = (generation) => (generation == null ? {} : { "If-Match": `"${generation}"` });

/** All tasks, read page by page; `show` is called with what is there so far, while more is to come. */
export async function listTasks(show = () => {}) {
  let whole = null;
  for (let cursor = ""; cursor !== null; ) {
    const page = await read(`/v1/tasks?limit=${PAGE}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    whole = { ...page, tasks: whole ? [...whole.tasks, ...page.tasks] : page.tasks };
    cursor = page.next;
    if (cursor !== null) show(whole);
  }
  return whole;
}

/** One task with its aliases and versions. */
export const getTask = (name) => read(task(name));

/** One version: widths, labels, provenance. */
export const getVersion = (name, number) => read(`${task(name)}/versions/${number}`);

/** Send a task adapter file; with `dryRun` it is checked only, with `fresh` there must be no such task yet. */
export const putTask = (name, file, { dryRun = false, activate = false, fresh = false } = {}) =>
  read(`${task(name)}?dry_run=${dryRun}&activate=${activate}`, {
    scope: "manage",
    method: "PUT",
    headers: fresh ? { ...BYTES, "If-None-Match": "*" } : BYTES,
    body: file,
  });

/** Point `live` at one version, or at several by weight: { "3": 0.9, "4": 0.1 }. */
export const setLive = (name, weights, generation) =>
  read(`${task(name)}/aliases/live`, {
    scope: "manage",
    method: "PUT",
    headers: { "Content-Type": "application/json", ...since(generation) },
    body: JSON.stringify(target(weights)),
  });

/** Return `live` to what it was before its last move. */
export const rollBack = (name) => read(`${task(name)}/rollback`, { scope: "manage", method: "POST" });

/** Delete a version that no alias points at. */
export const deleteVersion = (name, number) =>
  call(`${task(name)}/versions/${number}`, { scope: "manage", method: "DELETE" });

/** Delete a task with all its versions. */
export const deleteTask = (name) => call(task(name), { scope: "manage", method: "DELETE" });

/** The bytes of a version. */
export const getFile = async (name, number) =>
  (await call(`${task(name)}/versions/${number}/file`, { scope: "manage" })).blob();

/** Ask tasks about an image; `tasks` is a list of names, or "all". */
export async function predict(image, tasks, topK, signal) {
  if (Array.isArray(tasks) && tasks.length === 1) {
    const answer = await read(`${task(tasks[0])}/predict?top_k=${topK}`, {
      method: "POST",
      headers: BYTES,
      body: image,
      signal,
    });
    return { answers: [answer], timings: answer.timings };
  }
  const form = new FormData();
  form.append("image", image, "image");
  for (const name of tasks === "all" ? ["all"] : tasks) form.append("tasks", name);
  form.append("top_k", String(topK));
  return read("/v1/predict", { method: "POST", body: form, signal });
}

/** The metrics, in Prometheus' text format. */
export const getMetrics = async (options) => (await call("/metrics", { scope: "metrics", ...options })).text();

function target(weights) {
  const positive = Object.entries(weights).filter(([, weight]) => weight > 0);
  return positive.length === 1 ? { version: Number(positive[0][0]) } : { weights: Object.fromEntries(positive) };
}
