"""docs/file-format.md names every field and every tensor of a task adapter file."""

from dataclasses import fields

from adapters_store import Answers, Manifest, Provenance, Statistics
from adapters_store.artifact import GOLDEN_IMAGE, GOLDEN_LOGITS, GOLDEN_SCORE, HEAD_BIAS, HEAD_WEIGHT, KNOWN, STATISTICS
from tests.documents.examples import ROOT


def test_every_field_and_tensor_is_there() -> None:
    text = (ROOT / "docs/file-format.md").read_text(encoding="utf-8")
    of_records = [field.name for record in (Manifest, Provenance, Answers, Statistics) for field in fields(record)]
    of_tensors = [HEAD_WEIGHT, HEAD_BIAS, GOLDEN_IMAGE, GOLDEN_LOGITS, GOLDEN_SCORE, *KNOWN, *STATISTICS]
    assert [name for name in (*of_records, *of_tensors) if f"`{name}`" not in text] == []
