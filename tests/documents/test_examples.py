"""The examples of the documents are run as they stand there: tutorials, README, and the pages about single parts.

Not run are trainings of minutes, and what needs a cluster, a network or other data. Pages share a folder and their
servers where they can, because each start of a process costs seconds.
"""

import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.documents.examples import ROOT, Example, examples, run

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("name", ["first-task", "production", "operate"])
def test_a_tutorial_does_what_it_says(name: str, tmp_path: Path) -> None:
    run(examples(ROOT / f"docs/tutorials/{name}.md"), tmp_path)


@pytest.mark.parametrize("page", ["README.md", "docs/serving.md"])
def test_the_examples_over_http_do_what_they_say(page: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs/samples", tmp_path / "docs/samples")
    shutil.copy(ROOT / "adapters_store/bundled/digits-parity.safetensors", tmp_path / "pets.safetensors")
    run(examples(ROOT / page), tmp_path)


_PAGES = {
    "command line": ("cli.md", "store.md", "corrections.md"),
    "server": ("train.md", "answers.md", "api.md", "data.md", "compare.md"),
    "other protocols": ("grpc.md", "onnx.md"),
}
_TESTED_ELSEWHERE = {"onnx.md": "python"}  # tests/mimi/commands/test_export.py compares what they compute


@pytest.mark.parametrize("group", _PAGES)
def test_the_examples_of_a_page_do_what_they_say(group: str, tmp_path: Path) -> None:
    _put_material(tmp_path)
    blocks = {page: examples(ROOT / "docs" / page) for page in _PAGES[group]}
    assert all(blocks.values())
    run([each for page in blocks for each in blocks[page] if each.language != _TESTED_ELSEWHERE.get(page)], tmp_path)


def _put_material(folder: Path) -> None:
    """The files that the pages name: tasks, images in every form, the rows of a comparison."""
    shutil.copytree(ROOT / "docs/samples", folder / "docs/samples")
    for name in ("compare-dtd10.toml", "runs.jsonl"):
        (folder / "docs/results").mkdir(exist_ok=True)
        shutil.copy(ROOT / "docs/results" / name, folder / "docs/results")
    shutil.copy(ROOT / "docs/samples/three.png", folder)
    shutil.copy(ROOT / "adapters_store/bundled/digits.safetensors", folder)
    shutil.copy(ROOT / "adapters_store/bundled/digits-parity.safetensors", folder / "pets.safetensors")
    _draw(folder, "cat.png", "photos/1.png", "photos/2.png", "scans/1.png", "more/of/1.jpg")
    _draw(folder, *(f"ferrets/{number}.png" for number in range(3)))
    _draw(folder, *(f"pets/{label}/{number}.png" for label in ("cat", "dog") for number in range(10)))
    (folder / "list.csv").write_text("file\nthree.png\nscans/1.png\n")
    table = pa.table({"image": pa.array([{"bytes": (folder / "three.png").read_bytes(), "path": "three.png"}])})
    pq.write_table(table, folder / "images.parquet")


def _draw(folder: Path, *names: str) -> None:
    """A photograph of nothing under each name, all of them different."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(list(name.encode()))
        picture = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((64, 64))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG" if path.suffix == ".jpg" else "PNG")
        path.write_bytes(buffer.getvalue())


def test_a_command_that_fails_fails_the_document(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        run([Example("sh", "", "false\n")], tmp_path)


def test_an_output_that_is_not_what_the_document_says_fails_it(tmp_path: Path) -> None:
    blocks = [Example("sh", "", "echo one; echo two\n"), Example("text", "", "one\nthr…\n")]
    with pytest.raises(AssertionError, match="is not in"):
        run(blocks, tmp_path)
