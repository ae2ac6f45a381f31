"""Task adapter files that are sound, but do not fit."""

from dataclasses import replace

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
