"""The study of low bits: what it counts, what it writes, and that a second start measures nothing again."""

import json
from pathlib import Path

import pytest

from adapters_store import unpack
from backbone import load_backbone
from benchmarks.studies.bits import BITS, WHOLE, main, weight_bytes
from training.bundled import STORE
from training.compress import compressed


def test_weight_bytes_are_those_of_codes_scales_and_bias() -> None:
    stored = (STORE / "digits.safetensors").read_bytes()
    plain, low = unpack(stored), unpack(compressed(stored, 8, load_backbone()))
    rows = 2 * sum(len(site.down) for site in plain.sites.values()) + len(plain.head_weight)
    parameters = plain.manifest.provenance.adapter_parameters + plain.head_weight.size
    assert weight_bytes(plain) == 2 * (parameters + len(plain.head_bias))
    assert weight_bytes(low) == parameters + 2 * rows + 2 * len(plain.head_bias)


def test_every_number_of_bits_is_measured_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, folder = tmp_path / "bits.json", tmp_path / "figures"
    arguments = ["--data", str(tmp_path), "--json", str(out), "--only", "digits", "--folder", str(folder)]
    assert main(arguments) == 0
    rows = {row["bits"]: row for row in json.loads(out.read_text())["rows"]}
    assert rows.keys() == {*BITS, WHOLE}
    assert rows[WHOLE]["test_top1"] > 0.9
    assert rows[8]["same_label"] > 0.98
    assert rows[1]["logits"] > rows[4]["logits"] > rows[8]["logits"] > rows[WHOLE]["logits"] == 0
    assert rows[4]["weight_bytes"] < 0.3 * rows[WHOLE]["weight_bytes"]
    assert (folder / "bits.svg").read_text().startswith("<svg")
    written = out.stat().st_mtime_ns
    capsys.readouterr()
    assert main(arguments) == 0
    assert out.stat().st_mtime_ns == written
    assert "| digits |" in capsys.readouterr().out
