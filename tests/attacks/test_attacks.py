"""Every attack of the corpus gets a right answer from a real server, which lives, is ready, and keeps its size."""

from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from mimi.demo.server import Server
from tests.attacks import images
from tests.attacks.__main__ import table
from tests.attacks.corpus import Attack, attacks
from tests.attacks.requests import PREDICT, request
from tests.stress.wire import MANAGE_KEY, PREDICT_KEY, attacked_server, exchange_now, metrics, port_of, tasks

pytestmark = pytest.mark.timeout(400)  # the server imports torch, which takes its time on a busy machine

LIGHT = {each.name: each for each in attacks() if not each.heavy}
MOST_GROWTH = 300 * 2**20  # bytes of the server after all attacks; decoders keep some memory for the next image


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all attacks. At its end it lives, answers, has answered no 500, and has published nothing."""
    with attacked_server(tmp_path_factory.mktemp("attacked"), "--request-seconds", "60") as running:
        before, published = psutil.Process(running.process.pid).memory_info().rss, tasks(running)
        yield running
        good = request("POST", PREDICT, images.small("JPEG"), "Content-Type: image/jpeg", key=PREDICT_KEY)
        assert exchange_now(port_of(running), good, seconds=60).status == 200
        assert exchange_now(port_of(running), request("GET", "/health/ready"), seconds=60).status == 200
        assert "internal_error" not in metrics(running)
        assert "Traceback" not in running.log.read_text()
        assert tasks(running) == published
        assert psutil.Process(running.process.pid).memory_info().rss - before < MOST_GROWTH


@pytest.mark.parametrize("name", LIGHT)
def test_an_attack_gets_a_right_answer(server: Server, name: str) -> None:
    attack = LIGHT[name]
    reply = exchange_now(port_of(server), attack.build(PREDICT_KEY, MANAGE_KEY), seconds=120)
    assert reply.status in attack.statuses, reply.body[:300]
    assert str(Path(server.log).parent).encode() not in reply.body
    assert b"Traceback" not in reply.body


@pytest.mark.parametrize("name", [name for name in LIGHT if name.startswith(("image", "adapter", "body"))])
def test_without_a_key_no_attack_reaches_a_parser(server: Server, name: str) -> None:
    reply = exchange_now(port_of(server), LIGHT[name].build(None, None), seconds=120)
    assert reply.status in (401, 413)  # 413: the length alone says enough


def test_heavy_images_are_what_they_say() -> None:
    scans = sum(kind == 0xDA for kind, _ in images.jpeg_segments(images.progressive_scans(50, side=64)))
    assert scans >= 50
    assert images.png_empty_chunks(7).count(b"teSt") == 7
    assert images.jpeg_empty_markers(9).count(b"\xff\xe5\x00\x02") == 9
    assert images.jpeg_photoshop_records(6000).count(b"8BIM") == 6000
    for make in (images.progressive_scans, images.png_empty_chunks, images.jpeg_empty_markers):
        assert 2**20 <= len(make()) <= images.MOST_BYTES


def test_names_are_unique_and_the_readme_has_the_table_of_all() -> None:
    every: list[Attack] = list(attacks())
    assert len({each.name for each in every}) == len(every) >= 50
    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    assert table() in readme
