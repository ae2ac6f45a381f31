"""A task adapter file in fewer bits: adapters and head in 1 to 8 bits a weight, and a smaller golden image.

The engine reads such a file as any other: weights are decoded when it is loaded. Figures that were measured with the
old weights are dropped: accuracies, and those of validation. The temperature, the thresholds and what is known stay.
"""

from dataclasses import replace

import numpy as np
from PIL import Image

from adapters_store import LowBit, Manifest, as_stored, pack, unpack
from backbone import Backbone
from training.errors import BadConfig
from training.export import golden_outputs, golden_score, on_cpu
from training.fields import within
from training.prepare import GOLDEN_SIDE

SIDE = 32  # pixels of a golden image: as good a sample as a larger one, in a ninth of the bytes
_BITS = within(1, 8)


def compressed(data: bytes, bits: int, backbone: Backbone, *, side: int = SIDE) -> bytes:
    """The task adapter file `data` in `bits` bits a weight; the golden outputs are those of the decoded weights.

    Args:
        data: the file.
        bits: of a weight, from 1 to 8.
        backbone: the one that the file was made for.
        side: pixels that a side of the golden image has at most.

    Raises:
        ArtifactError: the file is not a valid task adapter.
        BadConfig: so many bits or pixels are not possible.
    """
    if not _BITS.holds(bits):
        raise BadConfig(f"bits must be {_BITS.text}, not {bits}")
    if not 1 <= side <= GOLDEN_SIDE:
        raise BadConfig(f"the golden image has 1 to {GOLDEN_SIDE} pixels a side, not {side}")
    adapter, own = unpack(data), on_cpu(backbone)
    low_bit = LowBit(bits, tuple(site.dim for site in own.sites), own.feature_dim)
    image = Image.fromarray(adapter.golden_image)
    image.thumbnail((side, side))
    draft = replace(adapter, manifest=_unmeasured(adapter.manifest, low_bit), golden_image=np.asarray(image))
    stored = as_stored(draft)
    logits = golden_outputs(own, stored).logits
    return pack(replace(stored, golden_logits=logits, golden_score=golden_score(stored, own)))


def _unmeasured(manifest: Manifest, low_bit: LowBit) -> Manifest:
    """The manifest without what was measured with other weights."""
    provenance, answers = manifest.provenance, manifest.answers
    kept = {name: value for name, value in provenance.metrics.items() if not name.startswith(("test_", "validation_"))}
    return replace(
        manifest,
        low_bit=low_bit,
        provenance=replace(provenance, metrics=kept),
        answers=answers and replace(answers, validation=None),
    )
