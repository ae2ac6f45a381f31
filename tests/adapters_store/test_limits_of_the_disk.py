"""Full and read-only disks, as the kernel makes them, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

FULL = """
import resource, sys
from adapters_store import open_store, digest
from adapters_store.errors import StoreFull

store = open_store(sys.argv[1])
store.publish("cat", b"one")
for room in range(0, 200_000, 16_384):
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        store.publish("cat", bytes(300_000))
    except StoreFull:
        continue
    sys.exit("a file grew beyond its limit")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.snapshot().generation == 1
assert store.read(digest(b"one")) == b"one"
assert store.publish("cat", bytes(300_000)).version.version == 2
"""

READ_ONLY = """
import os, sys, tempfile
from adapters_store import open_store, digest
from adapters_store.errors import StoreUnavailable

with tempfile.TemporaryDirectory() as place:
    store = open_store(f"file://{place}/store")
    store.publish("cat", b"one")
    for folder in (place, f"{place}/store", *(f"{place}/store/{name}" for name in ("blobs", "log", "staging"))):
        os.chmod(folder, 0o555)
    for blob in os.scandir(f"{place}/store/blobs"):
        os.chmod(blob, 0o444)
    if os.getuid() == 0:
        os.seteuid(65534)  # root may write anywhere
    try:
        store.publish("cat", b"two")
        sys.exit("a read-only folder was written to")
    except StoreUnavailable:
        assert store.read(digest(b"one")) == b"one"
    finally:
        os.seteuid(os.getuid())
        for folder, _, _ in os.walk(place):
            os.chmod(folder, 0o755)
"""


def run(program: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, timeout=60)


@pytest.mark.parametrize("url", ["sqlite:///{}/store.db", "file://{}/store"])
def test_files_that_may_not_grow_leave_the_store_as_it_was(url: str, tmp_path: Path) -> None:
    run(FULL, url.format(tmp_path))


def test_a_folder_that_became_read_only_is_still_read() -> None:
    run(READ_ONLY)
