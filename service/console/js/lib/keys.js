// Keys live in this module's memory and nowhere else: no storage, no address, gone with the page.

const held = { predict: null, manage: null, metrics: null };
const OPENERS = {
  predict: ["predict", "manage"],
  manage: ["manage", "predict"], // a key that was given to read may be one that may manage
  metrics: ["metrics", "manage", "predict"],
};
const lacking = new Set(); // "scope key": valid keys that may not do this
const listeners = new Set();

let asker = null; // opens the dialog; set by the shell
let asking = null; // the question under way: two requests at once ask once

/** The key to send for this kind of action; null while there is none. */
export function keyFor(scope) {
  return OPENERS[scope].map((kind) => held[kind]).find((key) => key && !lacking.has(`${scope} ${key}`)) ?? null;
}

/** Whether any key is held. */
export function holdsKey() {
  return Object.values(held).some(Boolean);
}

/** Forget every key. */
export function forgetKeys() {
  for (const kind of Object.keys(held)) held[kind] = null;
  lacking.clear();
  changed();
}

/** The server says that a valid key may not do this kind of action. */
export function lacks(scope, key) {
  lacking.add(`${scope} ${key}`);
}

/** Drop a key that the server does not know. */
export function drop(key) {
  for (const kind of Object.keys(held)) if (held[kind] === key) held[kind] = null;
  changed();
}

/** Who asks the person: a function of { scope, refused } that resolves to a key, or to null. */
export function setAsker(ask) {
  asker = ask;
}

/** Ask the person for a key; true if there is one now. */
export async function askForKey(scope, { refused = false } = {}) {
  while (asking) {
    await asking;
    if (keyFor(scope)) return true;
  }
  asking = asker({ scope, refused });
  try {
    const key = await asking;
    if (!key) return false;
    held[scope] = key;
    changed();
    return true;
  } finally {
    asking = null;
  }
}

/** Call `listener` whenever a key comes or goes; returns how to stop. */
export function onKeys(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function changed() {
  for (const listener of listeners) listener();
}
