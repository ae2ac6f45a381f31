// Hooks that pages share: the address, the connection, and values that are loaded.

import { connection, onConnection } from "./connection.js";
import { useCallback, useEffect, useRef, useState } from "./html.js";

/** The connection, kept up to date. */
export function useConnection() {
  const [state, setState] = useState(connection);
  useEffect(() => onConnection(() => setState(connection())), []);
  return state;
}

/** What stands behind # in the address, as a list of parts: "#/task/digits" is ["task", "digits"]. */
export function useRoute() {
  const [parts, setParts] = useState(readRoute);
  useEffect(() => {
    const changed = () => setParts(readRoute());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return parts;
}

function readRoute() {
  return location.hash.replace(/^#\/?/, "").split("/").map(decoded);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * A value that `load` brings: { value, error, loading, reload }. It is loaded again when `inputs` change and when a lost
 * connection is back. The old value stays while a new one is on its way. The first time, `load` may show parts of it.
 */
export function useLoaded(load, inputs) {
  const { healed } = useConnection();
  const [state, setState] = useState({ value: null, error: null, loading: true });
  const latest = useRef(0);
  const reload = useCallback(async () => {
    const mine = ++latest.current;
    setState((old) => ({ ...old, loading: true }));
    try {
      const value = await load((part) => {
        if (mine === latest.current) setState((old) => (old.whole ? old : { ...old, value: part }));
      });
      if (mine === latest.current) setState({ value, error: null, loading: false, whole: true });
    } catch (error) {
      if (mine === latest.current) setState((old) => ({ ...old, error, loading: false }));
    }
  }, inputs);
  useEffect(() => {
    reload();
  }, [reload, healed]);
  useEffect(() => () => void ++latest.current, []);
  return { ...state, reload };
}

/** An action that a person starts: { run, busy, error, clear }; `run` resolves to whether it succeeded. */
export function useAction(action) {
  const [state, setState] = useState({ busy: false, error: null });
  const run = async (...inputs) => {
    setState({ busy: true, error: null });
    try {
      await action(...inputs);
      setState({ busy: false, error: null });
      return true;
    } catch (error) {
      setState({ busy: false, error });
      return false;
    }
  };
  return { ...state, run, clear: () => setState({ busy: false, error: null }) };
}
