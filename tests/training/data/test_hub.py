"""Hub data sets, through the real `datasets` library and without a network."""

import sys
from pathlib import Path

import pytest

from tests.training.data.trees import write_parquet
from training.data.errors import HubUnavailable, UnknownSource
from training.data.hub import load_hub
from training.data.table import Columns

NAMES = ("ant", "cat")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = pytest.importorskip("datasets").config
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(config, "HF_HUB_OFFLINE", True)


def test_splits_names_and_images_come_through(tmp_path: Path) -> None:
    write_parquet(tmp_path / "pets" / "train.parquet", [0, 1], names=NAMES)
    write_parquet(tmp_path / "pets" / "validation.parquet", [1], names=NAMES)
    data = load_hub(str(tmp_path / "pets"), "hf:pets", Columns())
    assert data.test is not None
    assert (data.labels, data.train.targets.tolist(), data.test.targets.tolist()) == (NAMES, [0, 1], [1])
    assert data.train.image(1).getpixel((0, 0)) == (1, 1, 1)
    assert data.train.where(1) == "hf:pets (train): row 1"


def test_a_set_without_a_training_split_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "pets" / "test.parquet", [0, 1], names=NAMES)
    with pytest.raises(UnknownSource, match="no split called train, only test"):
        load_hub(str(tmp_path / "pets"), "hf:pets", Columns())


def test_without_a_network_the_error_says_what_to_do() -> None:
    with pytest.raises(HubUnavailable, match=r"hf:nobody/nothing: could not be loaded.*give a folder or a Parquet"):
        load_hub("nobody/nothing", "hf:nobody/nothing", Columns())


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(HubUnavailable, match=r"mimi-serving\[hub\]"):
        load_hub("pets", "hf:pets", Columns())
