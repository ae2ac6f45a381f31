// Whether the server can be reached. Once a request finds that it cannot, this looks every second until it can.

const LOOK_EVERY = 1000; // milliseconds
const READY = new URL("../../../health/live", import.meta.url);
const listeners = new Set();
const state = { online: true, healed: 0 }; // healed: how often it came back

/** The state now: { online, healed }. */
export function connection() {
  return { ...state };
}

/** Call `listener` when it changes; returns how to stop. */
export function onConnection(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** A request did not reach the server. */
export function lost() {
  if (!state.online) return;
  set({ online: false });
  setTimeout(look, LOOK_EVERY);
}

async function look() {
  try {
    await fetch(READY, { cache: "no-store" });
  } catch {
    setTimeout(look, LOOK_EVERY);
    return;
  }
  set({ online: true, healed: state.healed + 1 });
}

function set(change) {
  Object.assign(state, change);
  for (const listener of listeners) listener();
}
