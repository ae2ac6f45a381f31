"""`mimi export`: what it writes runs in plain ONNX Runtime, and a model that is wrong is not written."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from adapters_store import BackboneRef, TaskAdapter, bundled, digest, pack, unpack
from backbone import Backbone, load_backbone
from backbone.images import decode
from backbone.preprocessing import Resize
from mimi.cli import main

GUIDE = Path(__file__).parents[3] / "docs" / "onnx.md"


@pytest.fixture(scope="module")
def network() -> Backbone:
    return load_backbone()


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A task that ships, as a file."""
    path = tmp_path / "digits.safetensors"
    path.write_bytes(bundled.bundled_tasks()["digits"])
    return path


def golden_pixels(network: Backbone, adapter: TaskAdapter) -> np.ndarray:
    """The golden image as a model reads it: (1, 3, H, W)."""
    pixels = network.preprocessing.pixels(Image.fromarray(adapter.golden_image))
    return network.preprocessing.normalize(torch.from_numpy(pixels.copy())[None]).numpy()


def limit_of(adapter: TaskAdapter) -> float:
    """The tolerance of ONNX parity."""
    return 1e-4 * max(1.0, float(np.abs(adapter.golden_logits).max()))


def opened(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def rewritten(path: Path, adapter: TaskAdapter) -> Path:
    """The file with another adapter in it."""
    path.write_bytes(pack(adapter))
    return path


def test_a_task_becomes_one_model_that_gives_its_golden_logits(
    network: Backbone, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, adapter = tmp_path / "new" / "digits.onnx", unpack(digits.read_bytes())
    assert main(["export", str(digits), "--out", str(out)]) == 0
    session = opened(out)
    (logits,) = session.run(["logits"], {"pixels": golden_pixels(network, adapter)})
    assert np.abs(logits[0] - adapter.golden_logits).max() <= 1e-4 * max(
        1.0, float(np.abs(adapter.golden_logits).max())
    )
    told = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    assert told["labels"] == list(adapter.manifest.labels)
    answers = adapter.manifest.answers
    assert answers is not None
    assert told["answers"] == {
        "activation": "softmax",
        "temperature": answers.temperature,
        "thresholds": list(answers.thresholds),
    }
    assert told["preprocessing"] == network.preprocessing.as_dict()
    assert told["backbone"] == {"name": network.name, "fingerprint": network.fingerprint}
    assert told["sha256"] == digest(digits.read_bytes())
    assert "golden sample: logits are off by" in capsys.readouterr().out


def test_int8_is_smaller_and_says_so(digits: Path, tmp_path: Path) -> None:
    plain, small = tmp_path / "plain.onnx", tmp_path / "small.onnx"
    assert main(["export", str(digits), "--out", str(plain)]) == 0
    assert main(["export", str(digits), "--out", str(small), "--int8"]) == 0
    assert small.stat().st_size < 0.3 * plain.stat().st_size
    assert opened(small).get_modelmeta().custom_metadata_map["precision"] == '"int8"'


def test_the_backbone_alone_asks_for_adapters_and_head(network: Backbone, tmp_path: Path) -> None:
    out = tmp_path / "backbone.onnx"
    assert main(["export", "--shared", "--out", str(out)]) == 0
    names = {each.name for each in opened(out).get_inputs()}
    sites = {f"sites.{site.index}.{part}" for site in network.sites for part in ("down", "up", "live")}
    assert names == {"pixels", "head.weight", "head.bias"} | sites


@pytest.mark.parametrize("words", [["task.safetensors", "--shared"], []], ids=["both", "neither"])
def test_what_to_export_must_be_one_thing(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", *words, "--out", str(tmp_path / "x.onnx")]) == 2
    assert "not both" in capsys.readouterr().err


def test_a_task_of_another_backbone_is_refused(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = unpack(digits.read_bytes())
    other = BackboneRef(adapter.manifest.backbone.name, "0" * 64)
    path = rewritten(digits, replace(adapter, manifest=replace(adapter.manifest, backbone=other)))
    assert main(["export", str(path), "--out", str(tmp_path / "x.onnx")]) == 1
    assert "0" * 64 in capsys.readouterr().err
    assert not (tmp_path / "x.onnx").exists()


def test_a_model_that_misses_its_golden_logits_is_not_written(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = unpack(digits.read_bytes())
    path = rewritten(digits, replace(adapter, golden_logits=adapter.golden_logits + np.float32(0.1)))
    assert main(["export", str(path), "--out", str(tmp_path / "x.onnx")]) == 1
    assert "differs from the golden logits by 0.1" in capsys.readouterr().err
    assert not (tmp_path / "x.onnx").exists()


def test_a_place_that_cannot_be_written_is_one_line(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    assert main(["export", str(digits), "--out", str(tmp_path / "file" / "x.onnx")]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def programs() -> list[str]:
    """The Python of the guide, block by block."""
    return [block.split("```")[0] for block in GUIDE.read_text(encoding="utf-8").split("```python\n")[1:]]


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def images() -> dict[str, bytes]:
    """Images such as users send: rotated, transparent in three ways, grey, CMYK, elongated."""
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 255, (6, 9, 4), dtype=np.uint8)).resize((90, 60))
    colour, exif = smooth.convert("RGB"), Image.Exif()
    exif[0x0112] = 6
    clear = colour.quantize(16)
    return {
        "turned": encoded(colour, "JPEG", exif=exif),
        "turned and transparent": encoded(smooth, "PNG", exif=exif),
        "transparent": encoded(smooth, "PNG"),
        "one clear colour": encoded(clear, "PNG", transparency=3),
        "clear grey": encoded(colour.convert("L"), "PNG", transparency=100),
        "grey and alpha": encoded(smooth.convert("LA"), "PNG"),
        "inks": encoded(colour.convert("CMYK"), "JPEG"),
        "long": encoded(colour.resize((300, 40)), "WEBP", lossless=True),
    }


@pytest.mark.parametrize("name", images())
@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_the_guides_preprocessing_is_the_servers(network: Backbone, name: str, resize: Resize) -> None:
    rule, data = replace(network.preprocessing, resize=resize), images()[name]
    found: dict[str, Any] = {}
    exec(compile(programs()[0], str(GUIDE), "exec"), found)
    ours = found["preprocess"](Image.open(io.BytesIO(data)), rule.as_dict())
    theirs = rule.normalize(torch.from_numpy(rule.pixels(decode(data)).copy())[None]).numpy()
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs).max() < 1e-5


def test_the_guides_programs_do_what_they_say(
    network: Backbone, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are run as they stand, on the golden image and on a task adapter file."""
    monkeypatch.chdir(tmp_path)
    adapter = unpack(digits.read_bytes())
    Image.fromarray(adapter.golden_image).save("three.png")
    assert main(["export", str(digits), "--out", "digits.onnx"]) == 0
    assert main(["export", "--shared", "--out", "backbone.onnx"]) == 0
    preprocess, single, shared = programs()
    (tmp_path / "preprocess.py").write_text(preprocess, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert len([line for line in single.splitlines() if line]) <= 15
    found: dict[str, object] = {}
    for program in (single, shared):  # the second goes on where the first ended
        exec(compile(program, str(GUIDE), "exec"), found)
        assert np.abs(np.asarray(found.pop("logits")) - adapter.golden_logits).max() <= limit_of(adapter)
        assert found.pop("answer") == adapter.manifest.labels[int(adapter.golden_logits.argmax())]
