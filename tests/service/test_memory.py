"""A server whose memory is limited while it runs: requests without memory are refused, and nothing else breaks."""

import io
import re
import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmSize:\s+(\d+) kB", status)
    assert found
    _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (1024 * int(found[1]) + size, hard))
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
