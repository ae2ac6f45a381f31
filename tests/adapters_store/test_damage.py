"""Damaged stores: readable parts are served, unreadable ones are named, and nothing is written before a repair."""

import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from adapters_store import digest, maintenance, open_store
from adapters_store.backend import SNAPSHOTS
from adapters_store.errors import CorruptBlob, StoreDamaged, StoreReplaced, UnknownBlob
from adapters_store.events import Change, EntryLost, StateRepaired
from adapters_store.recovery import apply_after_loss, entry_name
from adapters_store.sqlite_backend import SqliteBackend
from adapters_store.sqlite_pages import PageReader
from adapters_store.state import State, encode_state
from adapters_store.store import Store
from tests.adapters_store.backends import Place

PAGE = 4096
CONTENTS = [f"{number}-".encode() * 3000 for number in range(12)]  # several pages each


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with twelve versions of three tasks."""
    with closing(open_store(str(tmp_path / "store.db"))) as store:
        for number, data in enumerate(CONTENTS):
            store.publish(f"task{number % 3}", data)
    return tmp_path / "store.db"


def spoil(path: Path, page: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(data)


def readable(store: Store) -> set[bytes]:
    found = set()
    for info in store.snapshot().versions():
        with suppress(CorruptBlob, UnknownBlob):
            found.add(store.read(info.sha256))
    return found


def works_after_repair(path: Path, before: set[bytes]) -> None:
    """A repair keeps everything that could be read, and the store can be written again."""
    maintenance.repair(str(path))
    assert maintenance.check(str(path)).log == ()
    with closing(open_store(str(path))) as store:
        assert before <= readable(store)
        for data in CONTENTS:
            store.publish("new", data)
        assert set(CONTENTS) <= readable(store)


@pytest.mark.parametrize("page", range(12))
def test_one_page_of_random_bytes_costs_what_was_on_it(path: Path, page: int) -> None:
    spoil(path, page, random.Random(page).randbytes(PAGE))
    with closing(open_store(str(path))) as store:
        found = readable(store)
        assert len(found) >= len(CONTENTS) - 3
        if store.faults:
            with pytest.raises(StoreDamaged):
                store.publish("cat", b"one")
    works_after_repair(path, found)


def test_half_a_file_is_served_as_far_as_it_goes(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // PAGE * PAGE)
    with closing(open_store(str(path))) as store:
        found = readable(store)
        assert len(found) >= 4
        assert "malformed" in str(store.faults[0])
        with pytest.raises(StoreDamaged):
            store.delete_task("task0")
        with pytest.raises(StoreDamaged):
            store._backend.delete("blobs/a")
    works_after_repair(path, found)
    assert len(list(path.parent.glob("store.db.damaged-*"))) == 1


def test_pages_are_read_without_any_header(path: Path) -> None:
    spoil(path, 0, bytes(PAGE))
    with closing(open_store(str(path))) as store:
        assert readable(store) == set(CONTENTS)
        assert [item.name for item in store._backend.list("log")] != []


@pytest.mark.parametrize("seed", range(6))
def test_any_damage_leaves_a_store_that_opens_or_says_why_not(path: Path, seed: int) -> None:
    dice = random.Random(seed)
    pages = path.stat().st_size // PAGE
    for _ in range(6):
        spoil(path, dice.randrange(1, pages), dice.randbytes(PAGE) if dice.random() < 0.5 else b"\x0d" + bytes(99))
    with closing(open_store(str(path))) as store:
        found = readable(store)
    works_after_repair(path, found)


def test_a_loop_of_overflow_pages_ends(path: Path) -> None:
    with closing(SqliteBackend(path)) as backend:
        backend._found_damage(OSError("for the test"))
        row = max(backend._read_pages().rows.values(), key=lambda row: row.size)
        assert row.overflow
        spoil(path, row.overflow - 1, row.overflow.to_bytes(4, "big"))
        assert len(backend.get(row.name) or b"") < row.size


def test_pages_that_were_freed_are_not_read(path: Path) -> None:
    with closing(open_store(str(path))) as store:
        store.delete_task("task0")
        connection = store._backend._connection  # type: ignore[attr-defined]
        connection.execute("DELETE FROM objects WHERE name LIKE 'blobs/%'")
        rows = {name for (name,) in connection.execute("SELECT name FROM objects")}
        store._backend._found_damage(OSError("for the test"))  # type: ignore[attr-defined]
        assert set(store._backend._read_pages().rows) == rows  # type: ignore[attr-defined]


@pytest.mark.parametrize("cell", ["text", 7, 1.5, None])
def test_a_blob_of_another_type_is_corrupt_and_no_more(path: Path, cell: object) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        value = "zeroblob(3)" if cell is None else "?"
        arguments = () if cell is None else (cell,)
        connection.execute(f"UPDATE objects SET body = {value} WHERE name LIKE 'blobs/%'", arguments)
        connection.commit()
    with closing(open_store(str(path))) as store:
        for data in CONTENTS:
            with pytest.raises(CorruptBlob):
                store.read(digest(data))
        assert store.faults == ()


def test_text_that_is_no_text_is_read_as_bytes(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE objects SET body = CAST(x'fffe00' AS TEXT) WHERE name LIKE 'blobs/%'")
        connection.commit()
    with closing(open_store(str(path))) as store, pytest.raises(CorruptBlob):
        store.read(digest(CONTENTS[0]))


def test_a_damaged_file_that_is_written_is_noticed(path: Path) -> None:
    data = path.read_bytes()
    os.truncate(path, len(data) // 2 // PAGE * PAGE)
    with closing(open_store(str(path))) as store:
        store.snapshot()
        path.write_bytes(data)
        with pytest.raises(StoreReplaced):
            store.snapshot()
        store.reload()
        assert readable(store) == set(CONTENTS)


def test_damage_that_is_found_late_stops_writing(path: Path) -> None:
    with closing(open_store(str(path))) as store:
        store.snapshot()
        os.truncate(path, path.stat().st_size // 2 // PAGE * PAGE)
        with pytest.raises(StoreDamaged):
            store._backend.create("blobs/a", b"one")
        assert store.snapshot().generation == 12
        assert store.faults != ()


def test_damage_that_a_reader_finds_does_not_stop_it(path: Path) -> None:
    with closing(open_store(str(path))) as store:
        info = store.snapshot().tasks["task0"].versions[1]
        os.truncate(path, path.stat().st_size // 2 // PAGE * PAGE)
        assert store.read(info.sha256) == CONTENTS[0]
        assert store.faults != ()


def test_odd_rows_and_an_odd_list_of_free_pages_do_not_confuse_the_reader(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO objects VALUES (?, 5.0, x'00')", ("blobs/whole-number",))
        connection.execute("INSERT INTO objects VALUES (?, 5.5, x'00')", ("long" * 100,))
        connection.commit()
    spoil(path, path.stat().st_size // PAGE, b"\0\0\0\0" + b"\xff" * (PAGE - 4))
    with path.open("r+b") as file:
        file.seek(32)  # the first page of the list of free pages
        file.write((path.stat().st_size // PAGE).to_bytes(4, "big"))
    with closing(PageReader(path)) as reader:
        assert reader.rows["blobs/whole-number"].written_at == 5.0
        assert not any(name.startswith("long") for name in reader.rows)


# ---------------------------------------------------------------- the log, on every backend


@pytest.fixture
def spoiled(filled: Store, place: Place) -> Iterator[Store]:
    """A store with seven entries, the third of which cannot be read, opened again."""
    filled.publish("dog", b"three")
    filled.publish("dog", b"four")
    filled.publish("owl", b"five")
    filled.move_alias("dog", "canary", {1: 1})
    filled.describe("owl", "hoots")
    with closing(place.backend()) as backend:
        backend.replace(entry_name(3), b"\x00garbage")
    with closing(place.open()) as store:
        yield store


def test_entries_after_an_unreadable_one_are_served(spoiled: Store) -> None:
    state = spoiled.snapshot()
    assert {task: set(its.versions) for task, its in state.tasks.items()} == {"cat": {1, 2}, "dog": {2}, "owl": {1}}
    assert (state.generation, state.tasks["owl"].description) == (7, "hoots")
    assert [fault.where for fault in spoiled.faults] == [entry_name(3), entry_name(6)]
    with pytest.raises(StoreDamaged):
        spoiled.publish("cat", b"six")


def test_a_repair_keeps_numbers_and_is_noticed_by_those_who_follow(
    spoiled: Store, place: Place, tmp_path: Path
) -> None:
    before = spoiled.snapshot()
    maintenance._repair_log(spoiled._backend)
    with pytest.raises(StoreReplaced):
        spoiled.snapshot()
    spoiled.reload()
    after = spoiled.snapshot()
    assert after.tasks == before.tasks
    assert spoiled.faults == ()
    kinds = [type(change.event) for change in spoiled.changes(2)]
    assert kinds[0] is EntryLost
    assert kinds[-1] is StateRepaired
    assert spoiled.publish("dog", b"six").version.version == 3
    with closing(place.open()) as again:
        assert again.snapshot() == spoiled.snapshot()


def test_the_last_entry_garbled_under_a_running_server_stops_writing_alone(filled: Store, place: Place) -> None:
    before = filled.snapshot()
    with closing(place.backend()) as backend:
        backend.replace(entry_name(2), b"\x00garbage")
    assert filled.snapshot() == before
    assert [fault.where for fault in filled.faults] == [entry_name(2)]
    with pytest.raises(StoreDamaged):
        filled.publish("cat", b"three")
    with closing(place.open()) as again:
        assert set(again.snapshot().tasks["cat"].versions) == {1}


def test_a_chain_that_is_broken_between_readable_entries_is_a_fault(filled: Store, place: Place) -> None:
    with closing(place.backend()) as backend:
        data = backend.get(entry_name(2)) or b""
        backend.replace(entry_name(2), data.replace(filled.changes(1)[0].previous.encode(), b"0" * 64))
    with closing(place.open()) as again:
        assert [fault.reason for fault in again.faults] == ["it does not follow from the entry before it"]


def test_a_lost_entry_of_a_task_that_is_new_costs_its_numbers() -> None:
    from tests.adapters_store.test_state import added  # noqa: PLC0415

    state = apply_after_loss(State(), Change(4, 1.5, "n", added(version=3), "lost"))
    assert (set(state.tasks["cat"].versions), state.last_version("cat")) == ({3}, 3)


def test_a_snapshot_of_another_format_is_passed_over(filled: Store, place: Place) -> None:
    with closing(place.backend()) as backend:
        later = encode_state(filled.snapshot()).replace(b'"format":1', b'"format":2')
        backend.create(f"{SNAPSHOTS}/{2:012d}.json", later)
    with closing(place.open()) as again:
        assert again.snapshot() == filled.snapshot()
