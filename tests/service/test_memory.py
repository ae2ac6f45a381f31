"""A server whose memory is limited while it runs: requests without memory are refused, and nothing else breaks."""

import io
import re
import resource
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image

from tests.service.adapters import make
from tests.service.asking import PNG
from tests.service.live import PATIENCE
from tests.service.processes import running

MEBIBYTE = 2**20

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.platform != "linux", reason="another process's limits are set on Linux alone"),
]


@contextmanager
def room(pid: int, size: int) -> Iterator[None]:
    """Inside, a process may have so many bytes of addresses beyond what it has."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (1024 * int(_status(pid, "VmSize")) + size, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, (hard, hard))


def photo() -> bytes:
    """A PNG of 16 megapixels whose pixels need 48 MiB."""
    with io.BytesIO() as file:
        Image.fromarray(np.zeros((4000, 4000, 3), np.uint8)).save(file, "PNG")
        return file.getvalue()


@pytest.mark.parametrize("size", [0, 4 * MEBIBYTE, 40 * MEBIBYTE])
def test_without_memory_a_request_is_refused_and_the_server_lives(tmp_path: Path, size: int) -> None:
    large, upload = photo(), make(91)
    with running("service", store=str(tmp_path / "store.db"), kernels="off") as (server, address):
        with httpx.Client(base_url=address, timeout=PATIENCE) as client, ThreadPoolExecutor(4) as pool:

            def predict(image: bytes) -> httpx.Response:
                return client.post("/v1/tasks/digits/predict", content=image)

            assert predict(PNG).status_code == 200
            with room(server.pid, size):
                found = list(pool.map(predict, [large, PNG] * 8))
                found.append(client.put("/v1/tasks/cats", content=upload.data))
            for answer in found:
                assert answer.status_code in {200, 201, 503}, answer.text
                assert answer.status_code < 400 or answer.json()["code"] == "out_of_memory"
                assert answer.status_code < 400 or answer.headers["retry-after"] == "1"
            assert {answer.status_code for answer in found[:-1:2]} == {503}
            assert predict(large).status_code == 200
            again = client.put("/v1/tasks/cats", content=upload.data)
            assert again.status_code in {200, 201}, again.text
        assert server.poll() is None


@contextmanager
def group(pid: int, size: int) -> Iterator[None]:
    """Inside, a process is in a control group of its own and may take so many bytes more; beyond them it is killed."""
    old = Path("/sys/fs/cgroup/memory")
    root, limit = (old, "memory.limit_in_bytes") if old.is_dir() else (old.parent, "memory.max")
    folder = root / f"mimi-test-{pid}"
    try:
        folder.mkdir()
        taken = 0 if old.is_dir() else 1024 * int(_status(pid, "VmRSS"))  # the newer kind counts what moves in
        (folder / limit).write_text(str(taken + size))
        (folder / "cgroup.procs").write_text(str(pid))
    except OSError:
        pytest.skip("this machine lets nobody make a control group with a memory limit")
    try:
        yield
    finally:
        with suppress(OSError):
            (root / "cgroup.procs").write_text(str(pid))
        with suppress(OSError):
            folder.rmdir()


def _status(pid: int, name: str) -> str:
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    assert found
    return found[1]


def test_a_server_in_a_small_control_group_answers_or_ends_and_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    store = str(tmp_path / "store.db")
    with (
        running("service", store=store, kernels="off") as (server, address),
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        large = photo()

        def ask(method: str, path: str, content: bytes) -> int:
            try:
                return client.request(method, path, content=content).status_code
            except httpx.TransportError:
                return 0  # it was killed

        assert ask("PUT", "/v1/tasks/dogs", make(90).data) == 201
        with group(server.pid, 32 * MEBIBYTE):
            asked = pool.map(lambda _: ask("POST", "/v1/tasks/digits/predict", large), range(16))
            uploads = {f"cats{number}": ask("PUT", f"/v1/tasks/cats{number}", make(91).data) for number in range(8)}
            assert {*asked, *uploads.values()} <= {0, 200, 201, 503}
        assert server.poll() in {None, -signal.SIGKILL}
    with running("service", store=store, kernels="off") as (_, address):
        known = {task["task"] for task in httpx.get(f"{address}/v1/tasks", timeout=PATIENCE).json()["tasks"]}
        assert {"dogs", *(task for task, status in uploads.items() if status == 201)} <= known
