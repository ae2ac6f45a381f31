"""The weights of one task adapter: copied for computing, checked for shape, and verified by their golden sample.

`Resident` is the form that every runtime reads. `check` compares an adapter with the backbone that this engine serves,
and `verify` recomputes the adapter's golden sample before it may answer anyone. The golden logits are defined by the
reference forward (float32, CPU, one image). The engine's own logits must be finite; their difference is reported.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from adapters_store import Manifest, TaskAdapter
from adapters_store.artifact import Step, unrecorded
from backbone import Backbone, KnownFeatures, Reference, SiteWeights, reference_outputs, unknown_scores
from backbone.memory import in_pages
from service.engine.accounting import Cost
from service.engine.errors import (
    BackboneMismatch,
    FeatureMismatch,
    GoldenMismatch,
    GoldenNotFinite,
    PreprocessingMismatch,
    WidthMismatch,
)

_MOVED = 0.05  # the most that an engine with rounded factors may be away, likewise
_TOLERANCE = 1e-3  # of golden outputs, relative to max(1, the largest magnitude)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Resident:
    """A task's weights in the host's memory, float32 in one block; compared by identity.

    Attributes:
        sha256: hash of the artifact the weights came from.
        manifest: what the artifact says of itself.
        sites: adapters of the live sites: `down` (N, M), `up` (M, N). Removed sites are absent.
        head: weight (K, F) and bias (K).
        first_site: the first live site, at which its rows leave the trunk; the number of sites if none is live.
        cost: FLOPs of one image, alone.
        known: which features belong to images that the task knows; None if its file does not say.
        block: one-dimensional; all tensors above are views of it.
    """

    sha256: str
    manifest: Manifest
    sites: Mapping[int, SiteWeights]
    head: tuple[Tensor, Tensor]
    first_site: int
    cost: Cost
    block: Tensor
    known: KnownFeatures | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the block."""
        return self.block.nbytes


def resident_of(adapter: TaskAdapter, sha256: str, cost: Cost) -> Resident:
    """Copy a task adapter's arrays into one block of float32.

    The block has memory pages of its own. It lives much longer than a batch, and would fragment the C library's heap.
    """
    live = sorted(adapter.sites)
    arrays = [adapter.head_weight, adapter.head_bias]
    for index in live:
        arrays += [adapter.sites[index].down, adapter.sites[index].up]
    arrays += adapter.known or ()
    block = in_pages(sum(array.size for array in arrays), torch.float32)
    weight, bias, *parts = _views(block, [array.shape for array in arrays])
    for array, view in zip(arrays, (weight, bias, *parts), strict=True):
        np.copyto(view.numpy(), array)  # through NumPy: the arrays are read-only, which torch warns about
    ends = parts[: 2 * len(live)]
    pairs = zip(ends[::2], ends[1::2], strict=True)
    return Resident(
        sha256=sha256,
        manifest=adapter.manifest,
        sites={index: SiteWeights(down, up) for index, (down, up) in zip(live, pairs, strict=True)},
        head=(weight, bias),
        first_site=min(live, default=len(adapter.manifest.widths)),
        cost=cost,
        block=block,
        known=_known(adapter.manifest, parts[2 * len(live) :]),
    )


def _known(manifest: Manifest, parts: Sequence[Tensor]) -> KnownFeatures | None:
    known = manifest.answers and manifest.answers.known
    if not known:
        return None
    mean, basis, factor, centres = (part.numpy() for part in parts)
    return KnownFeatures(mean, basis, factor, centres, known.residual_variance, known.threshold)


def _views(block: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Consecutive parts of a block, in these shapes."""
    parts = torch.split(block, [int(np.prod(shape)) for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def check(backbone: Backbone, adapter: TaskAdapter, *, step: Step = unrecorded) -> None:
    """Refuse an adapter that does not fit this engine. Compares only shapes and hashes.

    Args:
        backbone: of this engine.
        adapter: the task adapter.
        step: runs the checks "backbone", "preprocessing" and "shapes", in this order.

    Raises:
        BackboneMismatch: another frozen network; names both fingerprints.
        PreprocessingMismatch: other preprocessing; names both hashes.
        WidthMismatch: another number of sites, or an adapter of another input size.
        FeatureMismatch: a head for feature vectors of another length.
    """
    manifest = adapter.manifest
    with step("backbone"):
        ours = (backbone.name, backbone.fingerprint)
        theirs = (manifest.backbone.name, manifest.backbone.fingerprint)
        if ours != theirs:
            raise BackboneMismatch("backbone", expected="{} {}".format(*ours), found="{} {}".format(*theirs))
    with step("preprocessing"):
        expected, found = backbone.preprocessing.sha256, manifest.preprocessing_sha256
        if expected != found:
            raise PreprocessingMismatch("preprocessing", expected=expected, found=found)
    with step("shapes"):
        _check_shapes(backbone, adapter)


def _check_shapes(backbone: Backbone, adapter: TaskAdapter) -> None:
    for widths in (adapter.manifest.widths, adapter.manifest.provenance.initial_widths):
        if len(widths) != len(backbone.sites):
            raise WidthMismatch("number of sites", expected=len(backbone.sites), found=len(widths))
    for site in backbone.sites:
        if site.index in adapter.sites and (found := adapter.sites[site.index].down.shape[1]) != site.dim:
            raise WidthMismatch(f"channels at site {site.index}", expected=site.dim, found=found)
    if (found := adapter.head_weight.shape[1]) != backbone.feature_dim:
        raise FeatureMismatch("features", expected=backbone.feature_dim, found=found)


@dataclass(frozen=True, slots=True)
class GoldenCheck:
    """Largest absolute differences from the golden logits, and the largest that is allowed.

    Attributes:
        reference: of the reference forward, recomputed here.
        engine: of this engine's own forward; reported, not limited.
        tolerance: upper limit of `reference`.
        score: of the unknown score, by the reference forward; None if the file does not say what is known.
    """

    reference: float
    engine: float
    tolerance: float
    score: float | None = None


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
        GoldenMismatch: the reference forward or its unknown score differs by more than the tolerance.
        GoldenNotFinite: the engine's own answer has NaN or infinity.
    """
    golden = adapter.golden_logits
    outputs = reference_outputs(backbone, resident.sites, resident.head, adapter.golden_image)
    reference, tolerance = _distance(outputs.logits, golden), _tolerance(golden)
    if not reference <= tolerance:  # not `>`: NaN must fail
        raise GoldenMismatch(f"golden logits differ by {reference:.3g}, allowed are {tolerance:.3g}")
    score = _check_score(adapter, resident, outputs)
    own = answer(backbone.preprocessing.pixels(Image.fromarray(adapter.golden_image)))
    if not np.isfinite(own).all():
        raise GoldenNotFinite("the engine's answer to the golden image is not finite")
    return GoldenCheck(reference, _distance(own, golden), tolerance, score)


def _check_score(adapter: TaskAdapter, resident: Resident, outputs: Reference) -> float | None:
    """How far the unknown score is from the file's; None if it has none."""
    if resident.known is None or adapter.golden_score is None:
        return None
    score = _distance(unknown_scores(outputs.features[None], resident.known), adapter.golden_score)
    tolerance = _tolerance(adapter.golden_score)
    if not score <= tolerance:
        raise GoldenMismatch(f"the golden unknown score differs by {score:.3g}, allowed are {tolerance:.3g}")
    return score


def _tolerance(golden: np.ndarray) -> float:
    return _TOLERANCE * max(1.0, float(np.abs(golden).max()))


def moved(golden: np.ndarray, own: np.ndarray) -> str | None:
    """How an engine's own logits (K,) are too far from the golden ones (K,); None where they are near enough.

    The label must be the same, and no logit may differ by more than a twentieth of max(1, max |golden logit|).
    """
    far, most = _distance(own, golden), _MOVED * max(1.0, float(np.abs(golden).max()))
    if not far <= most:  # not `>`: NaN must fail
        return f"golden logits move by {far:.3g}, allowed are {most:.3g}"
    return None if own.argmax() == golden.argmax() else "the golden image gets another label"


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())
