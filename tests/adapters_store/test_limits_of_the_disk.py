"""Real full and read-only disks, in a separate process."""

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


FULL_FOR_GOOD = """
import os, sys
from adapters_store import open_store, digest
from adapters_store.errors import StoreFull

place, url = sys.argv[1], sys.argv[2]
store = open_store(url)
blobs = [store.publish(f"task{number}", os.urandom(200_000)).version for number in range(6)]
filler = open(f"{place}/filler", "wb", buffering=0)
try:
    while True:
        filler.write(bytes(4096))
except OSError:
    pass
for number in range(2):
    try:
        store.publish("new", os.urandom(400_000))
        sys.exit("the disk is not full")
    except StoreFull:
        pass
    store.delete_task(f"task{number}")
    assert f"task{number}" not in store.snapshot().tasks
    assert store.publish("small", os.urandom(100_000)).created
assert all(digest(store.read(blob.sha256)) == blob.sha256 for blob in blobs[2:])
store.close()
with_again = open_store(url)
assert with_again.faults == () and len(with_again.snapshot().tasks) == 5
"""

READ_ONLY_MOUNT = """
import subprocess, sys
from adapters_store import open_store, digest
from adapters_store.bundled import seed
from adapters_store.errors import StoreReadOnly

place, url = sys.argv[1], sys.argv[2]
store = open_store(url)
store.publish("cat", b"one")
store.close()
subprocess.run(["mount", "-o", "remount,ro", place], check=True)
store = open_store(url)
assert not seed(store)
assert store.snapshot().generation == 1
assert store.read(digest(b"one")) == b"one"
try:
    store.publish("cat", b"two")
    sys.exit("a read-only disk was written to")
except StoreReadOnly:
    assert store.snapshot().generation == 1
"""

URLS = ["sqlite:///{}/store.db", "file://{}/store"]


def run_on_a_disk(program: str, place: Path, url: str) -> None:
    """Run a program with a disk of 4 MiB at `place` that no other process sees."""
    script = 'mount -t tmpfs -o size=4m tmpfs "$1" && exec "$2" -c "$3" "$1" "$4"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(place), sys.executable, program]
    subprocess.run([*command, url.format(place)], check=True, timeout=60)


def run(program: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, timeout=60)


@pytest.mark.parametrize("url", ["sqlite:///{}/store.db", "file://{}/store"])
def test_files_that_may_not_grow_leave_the_store_as_it_was(url: str, tmp_path: Path) -> None:
    run(FULL, url.format(tmp_path))


def test_a_folder_that_became_read_only_is_still_read() -> None:
    run(READ_ONLY)


@pytest.mark.parametrize("url", URLS)
def test_deletions_relieve_a_full_disk(url: str, tmp_path: Path) -> None:
    run_on_a_disk(FULL_FOR_GOOD, tmp_path, url)


@pytest.mark.parametrize("url", URLS)
def test_a_read_only_disk_is_served(url: str, tmp_path: Path) -> None:
    run_on_a_disk(READ_ONLY_MOUNT, tmp_path, url)
