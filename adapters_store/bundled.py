"""The bundled task adapters, and their seeding into a new store."""

from collections.abc import Mapping
from pathlib import Path

from adapters_store.store import Store

FOLDER = Path(__file__).with_name("bundled")
SUFFIX = ".safetensors"


def bundled_tasks(folder: Path = FOLDER) -> Mapping[str, bytes]:
    """Return the bytes of every bundled task by its id, which is the file's stem, in alphabetical order."""
    files = {path.stem: path for path in folder.glob(f"*{SUFFIX}")}
    return {task: files[task].read_bytes() for task in sorted(files)}


def seed(store: Store, folder: Path = FOLDER) -> bool:
    """Put the bundled tasks into a store that never held anything; return whether it did.

    Either all of them are in the log's first entry or none is. A store that was ever written to stays as it is, so a
    bundled task that was deleted stays deleted.
    """
    return store.seed(bundled_tasks(folder))
