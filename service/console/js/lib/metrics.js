// Prometheus' text format: read, summed, and turned into rates and percentiles. Pure functions.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** Every sample, by name: a Map from name to a list of { labels, value }. */
export function parse(text) {
  const samples = new Map();
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found) continue;
    if (!samples.has(found[1])) samples.set(found[1], []);
    samples.get(found[1]).push({ labels: labelsOf(found[2] ?? ""), value: Number(found[3]) });
  }
  return samples;
}

function labelsOf(text) {
  const labels = {};
  for (const [, name, value] of text.matchAll(LABEL)) labels[name] = value.replace(/\\(.)/g, "$1");
  return labels;
}

/** The sum of a metric over all its series, or over those that `kept` accepts. */
export function sum(samples, name, kept = () => true) {
  return (samples.get(name) ?? []).reduce((total, { labels, value }) => total + (kept(labels) ? value : 0), 0);
}

/** The sums of a metric by one of its labels: a plain object. */
export function sumBy(samples, name, label) {
  const sums = {};
  for (const { labels, value } of samples.get(name) ?? []) sums[labels[label]] = (sums[labels[label]] ?? 0) + value;
  return sums;
}

/** A histogram over all its series: { bounds, counts (cumulative), sum, count }. */
export function histogram(samples, name, kept = () => true) {
  const buckets = new Map();
  for (const { labels, value } of samples.get(`${name}_bucket`) ?? []) {
    if (!kept(labels)) continue;
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    buckets.set(bound, (buckets.get(bound) ?? 0) + value);
  }
  const bounds = [...buckets.keys()].sort((a, b) => a - b);
  return {
    bounds,
    counts: bounds.map((bound) => buckets.get(bound)),
    sum: sum(samples, `${name}_sum`, kept),
    count: sum(samples, `${name}_count`, kept),
  };
}

/** The histograms of a metric by one of its labels: a plain object. */
export function histogramsBy(samples, name, label, kept = () => true) {
  const split = new Map();
  for (const suffix of ["_bucket", "_sum", "_count"]) {
    for (const sample of samples.get(name + suffix) ?? []) {
      if (!kept(sample.labels)) continue;
      const value = sample.labels[label];
      if (!split.has(value)) split.set(value, new Map());
      const series = split.get(value);
      if (!series.has(name + suffix)) series.set(name + suffix, []);
      series.get(name + suffix).push(sample);
    }
  }
  return Object.fromEntries([...split].map(([value, series]) => [value, histogram(series, name)]));
}

/** What a histogram counted since an earlier one; all of it where there is no earlier one, or the server began anew. */
export function since(now, before) {
  if (!before || before.count > now.count) return now;
  return {
    bounds: now.bounds,
    counts: now.counts.map((total, index) => total - (before.counts[index] ?? 0)),
    sum: now.sum - before.sum,
    count: now.count - before.count,
  };
}

/** The value below which a share `q` of the events lies, linear inside a bucket; NaN without events. */
export function quantile(q, { bounds, counts, count }) {
  if (!count) return NaN;
  const wanted = q * count;
  const index = counts.findIndex((total) => total >= wanted);
  if (index < 0 || bounds[index] === Infinity) return bounds[bounds.length - 2] ?? NaN; // as Prometheus does
  const [low, below] = index ? [bounds[index - 1], counts[index - 1]] : [0, 0];
  const inside = counts[index] - below;
  return low + (bounds[index] - low) * (inside ? (wanted - below) / inside : 1);
}

/** The mean of a histogram; NaN without events. */
export const mean = ({ sum: total, count }) => (count ? total / count : NaN);
