// Numbers, sizes and times as text.

const LOCALE = "en";
const whole = new Intl.NumberFormat(LOCALE);
const dates = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "short" });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const THIN = "\u202f"; // a narrow space that does not break
export const NONE = "–";

/** 1234567 as "1,234,567". */
export const count = (value) => (value == null ? NONE : whole.format(value));

/** A number with about three digits that mean something. */
export function number(value, digits = 3) {
  if (value == null || !Number.isFinite(value)) return NONE;
  return new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: digits }).format(value);
}

/** 0.123 as "12.3 %"; whole percents with `digits` 0. */
export function percent(share, digits = 1) {
  if (share == null || !Number.isFinite(share)) return NONE;
  return `${new Intl.NumberFormat(LOCALE, { maximumFractionDigits: digits }).format(share * 100)}${THIN}%`;
}

/** Bytes as KiB, MiB and so on. */
export function bytes(value) {
  if (value == null || !Number.isFinite(value)) return NONE;
  const step = value < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10));
  return `${number(value / 1024 ** step)}${THIN}${UNITS[step]}`;
}

/** Milliseconds. */
export const milliseconds = (value) => (Number.isFinite(value) ? `${number(value)}${THIN}ms` : NONE);

/** A time of the API. */
export const date = (text) => dates.format(new Date(text));

/** The first characters of a hash. */
export const short = (hash) => hash.slice(0, 12);
