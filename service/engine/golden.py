"""Whether a task adapter gives what it promises: its golden sample, recomputed before it may answer anyone.

The definition of the golden logits is the reference forward (float32, CPU, one image), not this engine; what the
engine itself gives must be finite, and how far it is from the definition is reported.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from adapters_store import TaskAdapter
from backbone import Backbone, reference_logits
from service.engine.bank import Resident
from service.engine.errors import GoldenMismatch, GoldenNotFinite

_TOLERANCE = 1e-3  # relative to max(1, max |golden logit|)


@dataclass(frozen=True, slots=True)
class GoldenCheck:
    """Largest absolute differences from the golden logits, and what the reference was allowed.

    Attributes:
        reference: of the reference forward, recomputed here.
        engine: of this engine's own forward; reported, not limited.
        tolerance: upper limit of `reference`.
    """

    reference: float
    engine: float
    tolerance: float


def verify(
    backbone: Backbone, adapter: TaskAdapter, *, resident: Resident, answer: Callable[[np.ndarray], np.ndarray]
) -> GoldenCheck:
    """Recompute the golden sample twice.

    Args:
        backbone: float32, on the CPU.
        adapter: holds the golden image (h, w, 3) and its logits (K,).
        resident: the adapter's weights.
        answer: the engine's own logits (K,) for pixels (H, W, 3).

    Raises:
        GoldenMismatch: the reference forward differs by more than the tolerance.
        GoldenNotFinite: the engine's own answer has NaN or infinity.
    """
    golden = adapter.golden_logits
    tolerance = _TOLERANCE * max(1.0, float(np.abs(golden).max()))
    reference = _distance(reference_logits(backbone, resident.sites, resident.head, adapter.golden_image), golden)
    if not reference <= tolerance:  # not `>`: NaN must fail
        raise GoldenMismatch(f"golden logits differ by {reference:.3g}, allowed are {tolerance:.3g}")
    own = answer(backbone.preprocessing.pixels(Image.fromarray(adapter.golden_image)))
    if not np.isfinite(own).all():
        raise GoldenNotFinite("the engine's answer to the golden image is not finite")
    return GoldenCheck(reference, _distance(own, golden), tolerance)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())
