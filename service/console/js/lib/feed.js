// The server's metrics over the last minutes: one look every two seconds, while any page wants them.

import { getMetrics } from "./api.js";
import { useEffect, useState } from "./html.js";
import { holdsKey, keyFor, onKeys } from "./keys.js";
import { histogram, histogramsBy, mean, parse, quantile, since, sum, sumBy } from "./metrics.js";

const EVERY = 2000; // milliseconds between looks
const KEPT = 150; // looks: five minutes
const RECENT = 30; // looks that a "now" is measured over: one minute
const BY_TASK = 6; // looks between two that are split by task: the split costs more than all the rest
const SECOND = 1000;

const listeners = new Set();
const looks = []; // { at, totals, tasks? }
let failure = null;
let timer = 0;
let asking = false; // whether somebody wants to be asked for a key
let looking = false;

/** The feed as { points, tasks, canaries, last, recent, error }; `ask` says whether a missing key is asked for. */
export function useFeed({ ask = false } = {}) {
  const [state, setState] = useState(current);
  useEffect(() => subscribe(() => setState(current()), ask), [ask]);
  return state;
}

function subscribe(listener, ask) {
  listeners.add(listener);
  asking = asking || ask;
  if (listeners.size === 1) look();
  return () => {
    listeners.delete(listener);
    asking = false;
    if (!listeners.size) clearTimeout(timer);
  };
}

onKeys(() => {
  if (listeners.size && failure && keyFor("metrics")) look();
});

async function look() {
  const hopeless = !asking && holdsKey() && !keyFor("metrics"); // a look would count as one with a wrong key
  if (looking || hopeless) return;
  looking = true;
  clearTimeout(timer);
  try {
    add(parse(await getMetrics({ ask: asking })));
    failure = null;
  } catch (error) {
    failure = error;
  }
  looking = false;
  for (const listener of listeners) listener();
  const withheld = failure?.status === 401 || failure?.status === 403;
  if (listeners.size && !withheld) timer = setTimeout(look, EVERY);
}

/** Look again, after a key was withheld. */
export function lookAgain() {
  asking = true;
  look();
}

function add(samples) {
  const totals = digest(samples);
  if (looks.length && totals.requests < looks.at(-1).totals.requests) looks.length = 0; // the server began anew
  const split = looks.length % BY_TASK === 0;
  const tasks = split ? histogramsBy(samples, "mimi_request_duration_seconds", "task") : null;
  looks.push({ at: Date.now() / SECOND, totals, tasks });
  while (looks.length > KEPT) looks.shift();
}

function digest(samples) {
  return {
    requests: sum(samples, "mimi_requests_total"),
    images: sum(samples, "mimi_queue_wait_seconds_count"),
    latency: histogram(samples, "mimi_request_duration_seconds"),
    batch: histogram(samples, "mimi_batch_images"),
    mixed: histogram(samples, "mimi_batch_distinct_tasks"),
    forward: histogram(samples, "mimi_forward_seconds"),
    trunk: histogram(samples, "mimi_trunk_share_ratio"),
    spent: sum(samples, "mimi_gflops_spent_total"),
    saved: sum(samples, "mimi_gflops_saved_total"),
    shared: sum(samples, "mimi_gflops_shared_total"),
    queue: sum(samples, "mimi_queue_images"),
    queueLimit: sum(samples, "mimi_queue_limit_images"),
    bytes: sumBy(samples, "mimi_tier_bytes", "tier"),
    budget: sumBy(samples, "mimi_tier_budget_bytes", "tier"),
    adapters: sumBy(samples, "mimi_tier_adapters", "tier"),
    evictions: sum(samples, "mimi_tier_evictions_total"),
    refusals: sumBy(samples, "mimi_rejected_total", "reason"),
    tasks: sumBy(samples, "mimi_tasks", "state"),
    memory: sum(samples, "process_resident_memory_bytes"),
    canaries: canariesOf(samples),
  };
}

/** Latency of the versions that share a task's traffic: by task, then by version. */
function canariesOf(samples) {
  const name = "mimi_canary_duration_seconds";
  const tasks = Object.keys(sumBy(samples, `${name}_count`, "task"));
  return Object.fromEntries(tasks.map((task) => [task, histogramsBy(samples, name, "version", (labels) => labels.task === task)]));
}

function current() {
  const points = looks.slice(1).map((now, index) => pointOf(now, looks[index]));
  return { points, tasks: recentTasks(), canaries: recentCanaries(), last: looks.at(-1)?.totals ?? null, recent: recent(), error: failure };
}

/** What happened between two looks, per second or as of the later one. */
function pointOf(now, before) {
  const seconds = Math.max(now.at - before.at, 1e-3);
  const [after, earlier] = [now.totals, before.totals];
  const latency = since(after.latency, earlier.latency);
  return {
    at: now.at,
    requests: (after.requests - earlier.requests) / seconds,
    images: (after.images - earlier.images) / seconds,
    p50: quantile(0.5, latency) * SECOND,
    p95: quantile(0.95, latency) * SECOND,
    p99: quantile(0.99, latency) * SECOND,
    batch: mean(since(after.batch, earlier.batch)),
    mixed: mean(since(after.mixed, earlier.mixed)),
    queue: after.queue,
    bytes: Object.values(after.bytes).reduce((total, value) => total + value, 0),
  };
}

/** The last minute as one point, or null. */
function recent() {
  return looks.length < 2 ? null : pointOf(looks.at(-1), looks.at(-Math.min(RECENT, looks.length)));
}

/** Requests, rate of the last minute, p50 and p99 of each version that shares traffic: by task, then by version. */
function recentCanaries() {
  const [now, before] = [looks.at(-1), looks.at(-Math.min(RECENT, looks.length))];
  const seconds = now ? now.at - before.at : 0;
  const read = (task, version, all) => {
    const lately = since(all, before === now ? null : before.totals.canaries[task]?.[version]);
    return { count: all.count, rate: seconds ? lately.count / seconds : null, p50: quantile(0.5, all) * SECOND, p99: quantile(0.99, all) * SECOND };
  };
  const each = ([task, versions]) => [task, Object.fromEntries(Object.entries(versions).map(([version, all]) => [version, read(task, version, all)]))];
  return Object.fromEntries(Object.entries(now?.totals.canaries ?? {}).map(each));
}

/** Requests per second and p99 of each task, between the last two looks that were split by task, and from far enough. */
function recentTasks() {
  const split = looks.filter((each) => each.tasks);
  const now = split.at(-1);
  if (!now) return {};
  const before = split.at(-Math.min(RECENT / BY_TASK, split.length));
  const seconds = now.at - before.at;
  const found = {};
  for (const [task, total] of Object.entries(now.tasks)) {
    const latest = since(total, before === now ? null : before.tasks[task]);
    found[task] = { rate: seconds ? latest.count / seconds : null, p99: quantile(0.99, total) * SECOND };
  }
  return found;
}
