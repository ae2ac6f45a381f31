"""`mimi inspect` and `mimi verify`: what is in a task adapter file, and whether a server takes it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters_store import BackboneRef, bundled, digest, pack, unpack
from backbone import adapter_flops, load_backbone
from mimi.cli import main


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A task that ships, as a file."""
    path = tmp_path / "digits.safetensors"
    path.write_bytes(bundled.bundled_tasks()["digits"])
    return path


def test_a_file_is_described_for_people(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(digits)]) == 0
    out = capsys.readouterr().out
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if len(line.split()) > 1)
    assert lines["labels"] == "10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert lines["sha256"] == digest(digits.read_bytes())
    manifest, backbone = unpack(digits.read_bytes()).manifest, load_backbone()
    before, now = (adapter_flops(backbone, widths) for widths in (manifest.provenance.initial_widths, manifest.widths))
    share = (before - now) / (manifest.provenance.flops + before - now)
    assert f"{(before - now) / 1e9:.4f} saved by pruning ({share:.1%}".replace("%", " %") in lines["GFLOPs"]


def test_every_site_is_drawn_with_its_neurons_and_the_trunk_is_marked(
    digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = unpack(digits.read_bytes()).manifest
    assert main(["inspect", str(digits)]) == 0
    drawn = capsys.readouterr().out.partition("\n\n")[2].splitlines()
    bars = {}
    for site, (width, before) in enumerate(zip(manifest.widths, manifest.provenance.initial_widths, strict=True)):
        line = drawn[site]
        assert line.startswith("trunk" if site < manifest.live_sites[0] else "     ")
        assert line.split("·" if not width else "█")[0].split()[-1] == str(site)
        assert line.endswith(f"{width} of {before}" if width else f"removed (0 of {before})")
        bars[site] = line.count("█")
    assert max(bars, key=lambda site: bars[site]) == int(np.argmax(manifest.widths))
    assert drawn[-1].startswith(f"trunk: sites 0 to {manifest.live_sites[0] - 1} are bare")


def test_a_file_is_described_for_programs(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(trained), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    manifest = unpack(trained.read_bytes()).manifest
    assert (facts["labels"], facts["cycles"], facts["bytes"]) == (["ant", "cat"], 2, trained.stat().st_size)
    assert facts["widths"] == list(manifest.widths)
    assert facts["neurons"] == sum(manifest.widths) < facts["initial_neurons"]
    assert facts["gflops_saved"] > 0


def test_a_backbone_that_is_not_known_here_has_no_savings(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapter = unpack(digits.read_bytes())
    other = BackboneRef("no_such_network", adapter.manifest.backbone.fingerprint)
    digits.write_bytes(pack(replace(adapter, manifest=replace(adapter.manifest, backbone=other))))
    assert main(["inspect", str(digits), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gflops_saved"] is None


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", bytes(100)])
def test_what_is_no_task_adapter_is_one_line_and_the_next_step(
    tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert main(["inspect", str(path)]) == 1
    error, step = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert step == "next:  make the file again with `mimi train`, or download it with `mimi versions`"


def test_a_good_file_passes_every_check_of_a_server(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(digits), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["sound"] is True
    assert found["sha256"] == digest(digits.read_bytes())
    assert [check["outcome"] for check in found["checks"]] == ["passed"] * len(found["checks"])
    assert [check["name"] for check in found["checks"]][-4:] == ["backbone", "preprocessing", "shapes", "golden sample"]


def test_the_check_that_fails_is_named_and_the_others_are_told(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = unpack(digits.read_bytes())
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(pack(replace(adapter, golden_logits=adapter.golden_logits + np.float32(0.1))))
    other = tmp_path / "other.safetensors"
    ref = BackboneRef(adapter.manifest.backbone.name, "0" * 64)
    other.write_bytes(pack(replace(adapter, manifest=replace(adapter.manifest, backbone=ref))))
    assert main(["verify", str(digits), str(wrong), str(other)]) == 1
    good, bad, foreign = capsys.readouterr().out.split(str(tmp_path))[1:]
    assert "passed   golden sample  logits differ by " in good
    assert "a server with this backbone takes it" in good
    assert "passed   shapes" in bad
    assert "failed   golden sample" in bad
    assert "failed   backbone" in foreign
    assert "a server refuses it" in bad
    assert "a server refuses it" in foreign
