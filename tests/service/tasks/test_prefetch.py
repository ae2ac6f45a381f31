"""Loading ahead: as much as fits, pinned contents first; damage is found."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.tasks import table as contents_module
from service.tasks.prefetch import Prefetch
from service.tasks.registry import Registry
from tests.service.live import PATIENCE
from tests.service.loading import FILES, Site, opened_site
from tests.service.misfits import damage

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def site(path: Path) -> Iterator[Site]:
    with opened_site(path) as site:
        yield site


def ahead(site: Site, *pins: str) -> tuple[Registry, Prefetch]:
    registry = Registry(site.store, site.engine, site.loads, pins=pins)
    registry.sync()
    return registry, Prefetch(registry, site.loads)


async def test_what_is_loaded_ahead_fills_the_memory_and_pushes_nothing_out(site: Site) -> None:
    _, prefetch = ahead(site)
    await prefetch.once()
    tiers = site.engine.tiers()
    assert {tier: (held.tasks, held.evictions) for tier, held in tiers.items()} == {"device": (2, 0)}
    assert len(site.reads) == 3  # and ends with the first that finds no room
    await prefetch.once()
    assert len(site.reads) == 3


async def test_what_is_pinned_comes_first_and_stays(site: Site) -> None:
    registry, prefetch = ahead(site, "task-5", "task-4")
    await prefetch.once()
    for content in site.contents:
        await site.loads.resident(content)
    assert all(site.engine.peek(FILES[index].sha256) for index in (4, 5))
    assert registry.pinned == {FILES[4].sha256, FILES[5].sha256}
    assert ahead(site, "*")[0].pinned == {made.sha256 for made in FILES}


async def test_damage_is_found_ahead_listed_and_mended(site: Site, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(path, FILES[0])
    registry, prefetch = ahead(site)
    await prefetch.once()
    assert [registry.table[f"task-{index}"].reason is None for index in range(2)] == [False, True]
    reads = len(site.reads)
    await prefetch.once()
    assert len(site.reads) == reads  # too early
    monkeypatch.setattr(contents_module, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(site.store, "read", lambda _: FILES[0].data)
    registry.table["task-0"].split[0][0].content.retry_at = 0.0
    await prefetch.once()
    assert registry.table["task-0"].reason is None


async def test_loading_ahead_goes_on_after_whatever_happens(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, prefetch = ahead(site)
    looked = asyncio.Semaphore(0)

    async def once() -> None:
        looked.release()
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(prefetch, "once", once)
    following = asyncio.ensure_future(prefetch.follow(0.001))
    for _ in range(3):
        await asyncio.wait_for(looked.acquire(), PATIENCE)
    following.cancel()
    assert "loading ahead failed" in caplog.text
