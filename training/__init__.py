"""Training task adapters: data -> fit -> score -> prune -> (again) -> export."""
