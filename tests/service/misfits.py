"""Task adapter files that are valid but do not fit; and one that the disk damaged."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from adapters_store import BackboneRef, hash_preprocessing, pack
from tests.service.adapters import Made


def other_backbone(made: Made) -> bytes:
    """Made for another frozen network."""
    manifest = replace(made.adapter.manifest, backbone=BackboneRef("swin_other", "0" * 64))
    return pack(replace(made.adapter, manifest=manifest))


def other_preprocessing(made: Made) -> bytes:
    """Made for images prepared in another way."""
    preprocessing = {**made.adapter.manifest.preprocessing, "crop_pct": 0.5}
    manifest = replace(
        made.adapter.manifest, preprocessing=preprocessing, preprocessing_sha256=hash_preprocessing(preprocessing)
    )
    return pack(replace(made.adapter, manifest=manifest))


def wrong_golden(made: Made) -> bytes:
    """Promises other logits than it gives."""
    logits = made.adapter.golden_logits + np.float32(1)
    return pack(replace(made.adapter, golden_logits=logits))


def damage(path: Path, made: Made) -> None:
    """Flip a byte of a stored blob, as a bad disk would."""
    broken = bytes([*made.data[:-1], made.data[-1] ^ 1])
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("UPDATE objects SET body = ? WHERE body = ?", (broken, made.data)).rowcount == 1
        database.commit()
