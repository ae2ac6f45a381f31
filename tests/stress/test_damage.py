"""A start over a store with damage of every kind: sound tasks answer, damaged ones are refused by name."""

from pathlib import Path

import pytest

from adapters_store import digest
from adapters_store.bundled import bundled_tasks
from tests.stress import damage


@pytest.mark.timeout(400)  # the server imports torch, which takes its time on a busy machine
def test_damaged_tasks_are_refused_and_listed_and_the_others_answer() -> None:
    found = damage.run(120)
    assert found["sound_answers"] == {"200": 108}
    assert found["damaged_answers"] == {"503": 12}
    assert (found["listed_with_reason"], found["listed_in_error"], found["harm"]) == (12, 0, 0)


def test_every_way_changes_the_bytes_in_its_own_manner() -> None:
    data = bundled_tasks()["digits"]
    spoiled = {digest(way(data)) for way in damage.WAYS.values()}
    assert len(spoiled) == len(damage.WAYS) == 12
    assert digest(data) not in spoiled


def test_a_damaged_hash_must_be_in_the_store(tmp_path: Path) -> None:
    damage.fill(tmp_path / "store.db", 2)
    with pytest.raises(KeyError):
        damage.spoil(tmp_path / "store.db", ["0" * 64])
