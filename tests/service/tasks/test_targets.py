"""The version that answers: by an alias, by number, or for every task; never a task that was unloaded here."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from adapters_store import Store, open_store
from adapters_store.errors import StoreUnavailable, UnknownAlias, UnknownVersion
from service.engine import DeadlineExceeded, Engine
from service.errors import TaskUnavailable, UnknownTask
from service.tasks.loads import Loads
from service.tasks.registrar import Registrar
from service.tasks.registry import Registry
from service.tasks.table import LoadedVersion
from service.tasks.targets import Target, Targets
from tests.service.adapters import Made, bundled_backbone, make
from tests.service.live import PATIENCE
from tests.service.misfits import other_backbone

pytestmark = pytest.mark.anyio

FILES = [make(60 + seed, live=(), width=0) for seed in range(11)]


class Site:
    """A store with what finds answers in it."""

    def __init__(self, store: Store) -> None:
        self.store, self.engine = store, Engine(bundled_backbone())
        self.loads = Loads(store, self.engine)
        self.registry = Registry(store, self.engine, self.loads)
        self.registrar = Registrar(self.registry, backlog=9)
        self.targets = Targets(self.registry, self.registrar, self.loads, seconds=PATIENCE)

    def publish(self, task: str, *files: Made) -> None:
        for made in files:
            self.store.publish(task, made.data)
        self.registry.sync()

    async def sha256(self, task: str, version: int | None = None, alias: str = "live") -> str:
        return (await served(self.targets, Target(task, alias, version))).info.sha256


async def served(targets: Targets, target: Target) -> LoadedVersion:
    (found,) = await targets.ready([await targets.named(target)])
    return found


@pytest.fixture
def site() -> Iterator[Site]:
    with closing(open_store("memory://")) as store:
        site = Site(store)
        yield site
        site.registrar.close()
        site.loads.close()


async def test_every_version_answers_and_is_read_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.publish("cats", *FILES)
    for _ in range(2):
        found = [await site.sha256("cats", version) for version in range(1, len(FILES) + 1)]
        assert found == [made.sha256 for made in FILES]
        monkeypatch.setattr(site.store, "read", None)
    assert site.engine.usage().tasks == len(FILES)


async def test_a_deleted_version_never_answers_again(site: Site) -> None:
    site.publish("cats", *FILES[:2])
    await site.sha256("cats", 1)
    site.store.delete_version("cats", 1)
    site.registry.sync()
    with pytest.raises(UnknownVersion):
        await site.sha256("cats", 1)


async def test_a_version_deleted_while_it_loads_answers_once_and_is_not_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish("cats", *FILES[:2])
    read = site.store.read

    def slow(sha256: str) -> bytes:
        data = read(sha256)
        site.store.delete_version("cats", 1)
        site.registry.sync()
        return data

    monkeypatch.setattr(site.store, "read", slow)
    assert await site.sha256("cats", 1) == FILES[0].sha256
    assert site.engine.usage().tasks == 0
    with pytest.raises(UnknownVersion):
        await site.sha256("cats", 1)


async def test_a_version_published_a_moment_ago_by_another_server_answers(site: Site) -> None:
    site.publish("cats", FILES[0])
    site.store.publish("cats", FILES[1].data, alias=None)
    assert await site.sha256("cats", 2) == FILES[1].sha256


async def test_what_cannot_be_loaded_is_unavailable_the_first_time_and_after(site: Site) -> None:
    site.publish("cats", FILES[0])
    site.store.publish("cats", other_backbone(FILES[1]), alias=None)
    for _ in range(2):
        with pytest.raises(TaskUnavailable, match="another frozen network"):
            await site.sha256("cats", 2)
    assert await site.sha256("cats") == FILES[0].sha256


async def test_a_store_that_is_away_is_not_blamed_on_the_task(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.publish("cats", FILES[0])

    def away(_: str) -> bytes:
        raise StoreUnavailable("for a moment")

    with monkeypatch.context() as patch:
        patch.setattr(site.store, "read", away)
        with pytest.raises(StoreUnavailable):
            await site.sha256("cats")
    assert await site.sha256("cats") == FILES[0].sha256


async def test_a_load_that_takes_too_long_is_not_waited_for_and_not_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish("cats", FILES[0])
    go_on, read = threading.Event(), site.store.read

    def slow(sha256: str) -> bytes:
        go_on.wait(PATIENCE)
        return read(sha256)

    monkeypatch.setattr(site.store, "read", slow)
    hasty = Targets(site.registry, site.registrar, site.loads, seconds=0.01)
    with pytest.raises(DeadlineExceeded):
        await served(hasty, Target("cats"))
    go_on.set()
    assert await site.sha256("cats") == FILES[0].sha256


async def test_many_tasks_are_found_in_the_order_asked_for(site: Site) -> None:
    for task, made in zip("abc", FILES, strict=False):
        site.publish(task, made)
    named = [await site.targets.named(Target(task)) for task in "cab"]
    assert [each.task for each in await site.targets.ready(named)] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (Target("dogs"), UnknownTask),
        (Target("dogs", version=1), UnknownTask),
        (Target("cats", version=9), UnknownVersion),
        (Target("cats", alias="canary"), UnknownAlias),
    ],
)
async def test_who_is_not_there_does_not_answer(site: Site, target: Target, error: type[Exception]) -> None:
    site.publish("cats", FILES[0])
    with pytest.raises(error):
        await served(site.targets, target)


async def test_what_was_let_go_of_answers_by_no_name_until_it_is_taken_up_again(site: Site) -> None:
    site.publish("cats", *FILES[:2])
    site.store.move_alias("cats", "canary", {1: 1})
    site.registry.sync()
    await site.sha256("cats", 1)
    site.registry.suspend("cats")
    assert (site.engine.usage().tasks, site.targets.everything()) == (0, [])
    site.publish("cats", FILES[2])
    for target in (Target("cats"), Target("cats", alias="canary"), Target("cats", version=1)):
        with pytest.raises(TaskUnavailable):
            await served(site.targets, target)
    site.registry.resume("cats")
    assert await site.sha256("cats") == FILES[2].sha256
    assert await site.sha256("cats", alias="canary") == FILES[0].sha256
    assert site.targets.everything() == [Target("cats")]


def test_only_what_is_there_is_let_go_of_or_taken_up(site: Site) -> None:
    for act in (site.registry.suspend, site.registry.resume):
        with pytest.raises(UnknownTask):
            act("cats")


async def test_a_task_that_another_process_published_is_taken_up_at_once(site: Site) -> None:
    site.store.publish("cats", FILES[0].data)
    site.registry.resume("cats")
    assert await site.sha256("cats") == FILES[0].sha256


async def test_a_version_that_is_deleted_leaves_memory(site: Site) -> None:
    site.publish("cats", *FILES[:2])
    await site.sha256("cats", 1)
    assert (site.engine.usage().tasks, site.registry.names(FILES[0].sha256)) == (1, True)
    site.store.delete_version("cats", 1)
    site.registry.sync()
    assert (site.engine.usage().tasks, site.registry.names(FILES[0].sha256)) == (0, False)


async def test_a_version_that_is_deleted_before_it_is_loaded_is_unknown(site: Site) -> None:
    site.publish("cats", *FILES[:2])
    named = await site.targets.named(Target("cats", version=1))
    site.store.delete_version("cats", 1)
    site.store.sweep(older_than=0.0)
    site.registry.sync()
    with pytest.raises(UnknownVersion, match="deleted"):
        await site.targets.ready([named])
