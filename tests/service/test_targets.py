"""Who answers: an alias, a version with or without an alias, every task; and nobody whom this server has let go of."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from adapters_store import Store, open_store
from adapters_store.store_errors import UnknownAlias, UnknownVersion
from service.engine import Engine
from service.errors import TaskUnavailable, UnknownTask
from service.registrar import Registrar
from service.registry import Registry
from service.targets import Target, Targets
from tests.service.adapters import Made, bundled_backbone, make

pytestmark = pytest.mark.anyio

FILES = [make(60 + seed, live=(), width=0) for seed in range(11)]


class Site:
    """A store with what finds answers in it."""

    def __init__(self, store: Store) -> None:
        self.store, self.engine = store, Engine(bundled_backbone())
        self.registry = Registry(store, self.engine)
        self.registrar = Registrar(self.registry, backlog=9)
        self.targets = Targets(store, self.registry, self.registrar)

    def publish(self, task: str, *files: Made) -> None:
        for made in files:
            self.store.publish(task, made.data)
        self.registry.sync()

    async def sha256(self, task: str, version: int | None = None, alias: str = "live") -> str:
        return (await self.targets.served(Target(task, alias, version))).info.sha256


@pytest.fixture
def site() -> Iterator[Site]:
    with closing(open_store("memory://")) as store:
        site = Site(store)
        yield site
        site.registrar.close()


async def test_every_version_answers_and_only_what_has_an_alias_stays_in_the_bank(site: Site) -> None:
    site.publish("cats", *FILES)
    for _ in range(2):
        found = [await site.sha256("cats", version) for version in range(1, len(FILES) + 1)]
        assert found == [made.sha256 for made in FILES]
    assert site.engine.usage().tasks == 1


async def test_a_version_asked_for_again_is_not_read_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.publish("cats", *FILES[:2])
    first = await site.targets.served(Target("cats", version=1))
    monkeypatch.setattr(site.registry, "load", None)
    assert await site.targets.served(Target("cats", version=1)) is first


async def test_a_deleted_version_never_answers_again(site: Site) -> None:
    site.publish("cats", *FILES[:2])
    await site.sha256("cats", 1)
    site.store.delete_version("cats", 1)
    site.registry.sync()
    with pytest.raises(UnknownVersion):
        await site.sha256("cats", 1)


async def test_a_task_deleted_a_moment_ago_is_unknown(site: Site) -> None:
    site.publish("cats", *FILES[:2])
    site.store.delete_task("cats")  # and the registry has not heard of it yet
    with pytest.raises(UnknownTask):
        await site.sha256("cats", 1)


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
        await site.targets.served(target)


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
            await site.targets.served(target)
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
