"""Images of one group stay on one side of a split, for every way to define groups."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from backbone import load_backbone
from tests.training.data.trees import png, write_folder
from training.data import load_data
from training.data.errors import WrongColumn
from training.prepare import prepare


def write_tracks(root: Path) -> Path:
    """Two classes of four tracks with three frames each; a frame differs from the others of its track by one pixel."""
    rng = np.random.default_rng(0)
    for label in ("00014", "00033"):
        (root / label).mkdir(parents=True)
        for track in range(4):
            pixels = rng.integers(0, 250, (16, 16, 3))
            for frame in range(3):
                pixels[0, 0] = frame
                Image.fromarray(pixels.astype(np.uint8)).save(root / label / f"{track:05}_{frame:05}.png")
    return root


@pytest.mark.parametrize("group_by", [r"([^/]+/\d+)_\d+", r"(\d+)/(\d+)_", "look-alike"])
def test_frames_of_a_track_are_one_group(tmp_path: Path, group_by: str) -> None:
    data = load_data(str(write_tracks(tmp_path)), group_by=group_by)
    assert data.groups is not None
    assert data.groups.tolist() == [group for group in range(8) for _ in range(3)]


def test_no_track_is_on_both_sides_of_the_split(tmp_path: Path) -> None:
    data = load_data(str(write_tracks(tmp_path)), group_by=r"([^/]+/\d+)_\d+")
    prepared = prepare(data, load_backbone().preprocessing, validation=0.25, seed=0)
    assert (len(prepared.train), len(prepared.validation)) == (18, 6)
    assert np.bincount(prepared.validation.targets.numpy()).tolist() == [3, 3]


def parquet(path: Path, paths: list[str | None]) -> str:
    cells = [{"bytes": png(shade), "path": name} for shade, name in enumerate(paths)]
    table = pa.table({"image": cells, "label": [0, 1] * (len(cells) // 2), "track": ["a", "b", "a", "c"]})
    pq.write_table(table, path)
    return str(path)


def test_a_column_and_the_paths_of_a_parquet_file_group_its_rows(tmp_path: Path) -> None:
    spec = parquet(tmp_path / "train.parquet", ["1_0.png", "2_0.png", "2_1.png", "1_1.png"])
    for group_by, expected in (("track", [0, 1, 0, 2]), (r"^\d+", [0, 1, 1, 0])):
        groups = load_data(spec, group_by=group_by).groups
        assert groups is not None
        assert groups.tolist() == expected


@pytest.mark.parametrize(
    ("group_by", "why"),
    [("(", "no regular expression"), ("video", "matches nothing in '.*png'"), ("tra", "nothing in")],
)
def test_what_groups_nothing_is_refused(tmp_path: Path, group_by: str, why: str) -> None:
    spec = parquet(tmp_path / "train.parquet", ["1.png", "2.png", "3.png", "4.png"])
    with pytest.raises(WrongColumn, match=why):
        load_data(spec, group_by=group_by)


def test_images_without_paths_have_no_pattern(tmp_path: Path) -> None:
    with pytest.raises(WrongColumn, match="no paths"):
        load_data("digits", group_by="x")
    assert load_data(str(write_folder(tmp_path / "pets", {"ant": 3, "cat": 3}))).groups is None


def test_without_a_share_for_validation_every_image_is_trained_on(tmp_path: Path) -> None:
    whole = write_folder(tmp_path / "whole", {"ant": 3, "cat": 3})
    split = tmp_path / "split"
    write_folder(split / "train", {"ant": 3, "cat": 3})
    write_folder(split / "val", {"ant": 2, "cat": 1})
    for folder, expected in ((whole, 6), (split, 9)):
        prepared = prepare(load_data(str(folder)), load_backbone().preprocessing, validation=0.0, seed=0)
        assert (len(prepared.train), len(prepared.validation)) == (expected, 0)
        assert prepared.golden.ndim == 3
        assert prepared.identity["validation"] is not None
