"""`mimi statistics`, `mimi add-class` and `mimi compress` over a file that ships and real images."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from adapters_store import unpack
from mimi.cli import main
from tests.service.processes import ROOT

DIGITS = ROOT / "adapters_store/bundled/digits.safetensors"


@pytest.fixture(scope="module")
def extensible(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled digits with the statistics of their features."""
    out = tmp_path_factory.mktemp("heads") / "digits.safetensors"
    assert main(["statistics", str(DIGITS), "digits", "-o", str(out)]) == 0
    return out


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three images that are no digits."""
    folder = tmp_path / "crosses"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (64, 64), (255, 40 * number, 0)).save(folder / f"{number}.png")
    return folder


def test_statistics_are_added_and_nothing_else_changes(
    extensible: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "again.safetensors"
    assert main(["statistics", str(DIGITS), "digits", "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert out.read_bytes() == extensible.read_bytes()
    assert told["file"] == str(out)
    assert (told["bytes"], told["bytes"] - told["bytes_added"]) == (out.stat().st_size, DIGITS.stat().st_size)
    before, after = unpack(DIGITS.read_bytes()), unpack(out.read_bytes())
    assert after.manifest.statistics is not None
    assert sum(after.manifest.statistics.counts) == told["images"]
    assert after.manifest.answers == before.manifest.answers
    assert after.head_weight.tobytes() == before.head_weight.tobytes()


def test_a_class_is_added_from_its_images_alone(
    extensible: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "more.safetensors"
    assert main(["add-class", str(extensible), "cross", str(photos), "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["labels"][-1], len(told["labels"]), told["images"]) == ("cross", 11, 3)
    assert main(["predict", str(out), str(photos / "0.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] == "cross"


def test_adding_a_class_imports_nothing_that_takes_seconds(extensible: Path, photos: Path, tmp_path: Path) -> None:
    words = ["add-class", str(extensible), "cross", str(photos), "-o", str(tmp_path / "more.safetensors")]
    heavy = {"timm", "torchvision", "torch._dynamo", "sympy", "scipy", "sklearn", "onnxruntime", "fastapi"}
    script = f"import sys; from mimi.cli import main; main({words}); print('found', {heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "found set()"
    assert (tmp_path / "more.safetensors").exists()


def test_a_file_without_statistics_names_the_next_step(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "more.safetensors"
    assert main(["add-class", str(DIGITS), "cross", str(photos), "-o", str(out)]) == 1
    assert "mimi statistics" in capsys.readouterr().err
    assert not out.exists()


def test_an_image_that_cannot_be_read_is_named(
    extensible: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "broken.png").write_bytes(b"no image")
    out = str(tmp_path / "more.safetensors")
    assert main(["add-class", str(extensible), "cross", str(photos), "-o", out]) == 2
    assert "broken.png" in capsys.readouterr().err


def test_a_file_in_fewer_bits_passes_every_check_of_a_server_and_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small.safetensors"
    assert main(["compress", str(DIGITS), "--bits", "3", "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"file": str(out), "bits": 3, "bytes": out.stat().st_size, "bytes_before": DIGITS.stat().st_size}
    assert told["bytes"] < told["bytes_before"] / 2
    assert main(["verify", str(out)]) == 0
    assert main(["inspect", str(out)]) == 0
    assert "3 bits a weight" in capsys.readouterr().out


def test_more_bits_than_a_code_has_are_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "large.safetensors"
    assert main(["compress", str(DIGITS), "--bits", "9", "-o", str(out)]) == 2
    assert "9" in capsys.readouterr().err
    assert not out.exists()
