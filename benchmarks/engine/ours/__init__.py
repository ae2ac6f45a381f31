"""Our own contestants: modules that `worker` builds calls from, over the engine that `mimi serve` runs."""
