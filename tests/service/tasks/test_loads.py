"""One load for each content, for any number of requests; loads do not wait for each other."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from adapters_store import open_store
from adapters_store.errors import CorruptBlob, StoreUnavailable
from service.errors import LoadBacklog
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


async def test_many_who_want_one_content_share_one_load(site: Site) -> None:
    opened = site.close(0)
    waiting = [asyncio.ensure_future(site.loads.resident(site.contents[0])) for _ in range(20)]
    await asyncio.sleep(0)
    opened.set()
    found = await asyncio.gather(*waiting)
    assert (len(set(map(id, found))), len(site.reads)) == (1, 1)
    assert (site.heard.loads, site.contents[0].classes) == (1, 4)


async def test_a_load_that_hangs_holds_up_nobody_else(site: Site) -> None:
    site.close(0)
    hanging = asyncio.ensure_future(site.loads.resident(site.contents[0]))
    for content in site.contents[1:]:
        assert (await site.loads.resident(content)).sha256 == content.sha256
    assert not hanging.done()
    hanging.cancel()


async def test_whoever_stops_waiting_stops_nobody_elses_load(site: Site) -> None:
    opened = site.close(0)
    waiting = [asyncio.ensure_future(site.loads.resident(site.contents[0])) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    with suppress(asyncio.CancelledError):
        await waiting[0]
    opened.set()
    assert [each.sha256 for each in await asyncio.gather(*waiting[1:])] == [FILES[0].sha256] * 2


async def test_what_was_evicted_comes_back_without_the_store_while_a_request_holds_it(site: Site) -> None:
    held = [await site.loads.resident(content) for content in site.contents[:3]]
    assert await site.loads.resident(site.contents[0]) is held[0]
    assert (site.heard.loads, len(site.reads)) == (3, 3)
    held.clear()
    gc.collect()  # asyncio leaves futures in cycles
    for content in site.contents[:3]:
        await site.loads.resident(content)
    assert site.heard.loads == len(site.reads) > 3


async def test_one_load_too_many_is_refused_and_its_place_comes_back(path: Path) -> None:
    with closing(open_store(str(path))) as store:
        site = Site(store, threads=1, backlog=2)
        opened = site.close(0)
        waiting = [asyncio.ensure_future(site.loads.resident(content)) for content in site.contents[:2]]
        await asyncio.sleep(0)
        with pytest.raises(LoadBacklog):
            await site.loads.resident(site.contents[2])
        opened.set()
        await asyncio.gather(*waiting)
        assert await site.loads.resident(site.contents[2])
        site.loads.close()


async def test_a_failed_load_is_told_to_all_and_remembered(site: Site, path: Path) -> None:
    damage(path, FILES[0])
    opened = site.close(0)
    waiting = [asyncio.ensure_future(site.loads.resident(site.contents[0])) for _ in range(3)]
    await asyncio.sleep(0)
    opened.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(each) for each in found} == {CorruptBlob}
    assert site.heard.reasons == ["CorruptBlob"]
    assert site.contents[0].must_wait


async def test_a_store_that_is_away_says_nothing_about_the_content(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: str) -> bytes:
        raise StoreUnavailable("for a moment")

    monkeypatch.setattr(site.store, "read", away)
    with pytest.raises(StoreUnavailable):
        await site.loads.resident(site.contents[0])
    assert (site.contents[0].reason, site.heard.reasons) == (None, ["StoreUnavailable"])
