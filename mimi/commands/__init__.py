"""The commands of `mimi`, each a function of its name; `mimi.cli` knows which module has it."""
