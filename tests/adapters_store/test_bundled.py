"""The bundled tasks: sound files, and in a new store once."""

from contextlib import closing
from pathlib import Path

import pytest

from adapters_store import digest, pack, unpack
from adapters_store.bundled import FOLDER, SUFFIX, bundled_tasks, seed
from adapters_store.commands import check_task
from tests.adapters_store.adapters import make_adapter
from tests.adapters_store.backends import memory_place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as it ships: two adapters, and files that are none."""
    for name in ("digits-parity.safetensors", "digits.safetensors", "README.md"):
        (tmp_path / name).write_bytes(pack(make_adapter()) + name.encode())
    return tmp_path


def test_a_bundled_task_is_named_by_its_files_stem(folder: Path) -> None:
    assert list(bundled_tasks(folder)) == ["digits", "digits-parity"]


def test_a_new_store_gets_them_all_and_no_other_store_any(folder: Path, tmp_path: Path) -> None:
    place = memory_place(tmp_path)
    with closing(place.open()) as store:
        assert seed(store, folder)
        assert store.read(digest((folder / "digits.safetensors").read_bytes()))
        store.delete_task("digits")
        assert not seed(store, folder)
        assert set(store.snapshot().tasks) == {"digits-parity"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob(f"*{SUFFIX}")), ids=lambda path: path.stem)
def test_what_ships_is_sound_small_and_pruned(path: Path) -> None:
    check_task(path.stem)
    assert path.stat().st_size <= 300_000
    assert 0 in unpack(path.read_bytes()).manifest.widths
