"""A task adapter with one more class: the head in closed form from the statistics of its file and new features alone.

The adapters stay as they are, so features that were computed before stay right. The new file says:

- temperature: 1. The scale of the head, which was fitted on validation images of the old classes, is kept.
- thresholds, figures of validation, accuracy: dropped. They were measured with another head.
- what is known: kept, with a centre for the new class. Its threshold is only raised, and so far that the stated share
  of the new images is known. An old image that was known stays known.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from adapters_store import errors
from adapters_store.answers import SIGMOID, Answers, Known, KnownArrays
from adapters_store.artifact import TaskAdapter, Weights
from adapters_store.low_bit import halved, rounded
from adapters_store.statistics import Array, Head, StatisticsArrays, bounded, closed_head, with_class

FEWEST_IMAGES = 2  # of a new class
_SUFFIX = " + classes in closed form"

Floats = NDArray[np.float32]


def check_extensible(adapter: TaskAdapter, label: str) -> StatisticsArrays:
    """The statistics of a task adapter that can take a class with this label.

    Raises:
        NoStatistics, NotExclusive, LabelExists: it cannot.
    """
    manifest = adapter.manifest
    if manifest.answers is not None and manifest.answers.activation == SIGMOID:
        raise errors.NotExclusive("an image of the new class may have old labels too, which nobody has said")
    if adapter.statistics is None:
        raise errors.NoStatistics("the file has no statistics")
    if label in manifest.labels:
        raise errors.LabelExists("the task has a class of this label")
    return adapter.statistics


def extended(adapter: TaskAdapter, label: str, features: Floats, golden: Floats) -> TaskAdapter:
    """The adapter with one more class.

    Args:
        adapter: with statistics, and of exclusive classes.
        label: of the new class.
        features: (n, F) of its images, behind the task's own adapters.
        golden: (F,), float32 features of the golden image by the reference forward.

    Raises:
        NoStatistics, NotExclusive, LabelExists: see `check_extensible`.
        TooFewImages: fewer than `FEWEST_IMAGES`.
    """
    found, statistics = check_extensible(adapter, label), adapter.manifest.statistics
    if len(features) < FEWEST_IMAGES or statistics is None:
        raise errors.TooFewImages(f"a class needs {FEWEST_IMAGES} images at least")
    counts, arrays = with_class(statistics.counts, found, features)
    head = bounded(closed_head(counts, arrays, statistics.penalty, statistics.scale))
    weight, bias = _head_as_stored(adapter, head)
    answers, known = _answers(adapter, features)
    made = adapter.manifest.provenance
    provenance = replace(
        made,
        method=made.method.removesuffix(_SUFFIX) + _SUFFIX,
        head_parameters=weight.size + bias.size,
        flops=made.flops + 2 * weight.shape[1],
        metrics={},
    )
    manifest = replace(
        adapter.manifest,
        labels=(*adapter.manifest.labels, label),
        provenance=provenance,
        answers=answers,
        statistics=replace(statistics, counts=counts),
    )
    logits = golden @ weight.astype(np.float32).T + bias.astype(np.float32)
    return replace(
        adapter, manifest=manifest, head_weight=weight, head_bias=bias, golden_logits=logits, known=known,
        golden_score=_score(golden[None], known, answers), statistics=arrays,
    )  # fmt: skip


def _head_as_stored(adapter: TaskAdapter, head: Head) -> tuple[Weights, Weights]:
    """Weight and bias as the file gives them back, in the dtype of the old ones."""
    if adapter.manifest.low_bit is not None:
        return rounded(head.weight, adapter.manifest.low_bit.bits), halved(head.bias)
    dtype = adapter.head_weight.dtype
    return head.weight.astype(dtype), head.bias.astype(dtype)


def _answers(adapter: TaskAdapter, features: Floats) -> tuple[Answers | None, KnownArrays | None]:
    """How answers are read from now on; None where the old file did not say."""
    answers, arrays = adapter.manifest.answers, adapter.known
    if answers is None:
        return None, None
    thresholds = (0.0,) * (len(answers.thresholds) + 1)
    plain = replace(answers, temperature=1.0, thresholds=thresholds, validation=None)
    if answers.known is None or arrays is None:
        return plain, None
    mean, basis, factor, centres = (array.astype(np.float64) for array in arrays)
    centre = (features.mean(0) - mean) @ basis.T @ factor
    wider = arrays._replace(centres=np.concatenate([centres, centre[None]]).astype(arrays.centres.dtype))
    if adapter.manifest.low_bit is not None:
        wider = KnownArrays(*map(halved, wider))
    scores = unknown_distances(features, wider, answers.known)
    own = float(np.quantile(scores, answers.known.true_positive_rate, method="higher"))
    return replace(plain, known=replace(answers.known, threshold=max(answers.known.threshold, own))), wider


def unknown_distances(features: Array, arrays: KnownArrays, known: Known) -> NDArray[np.float64]:
    """Distances (n,) of features (n, F), as `backbone.known` has them, before they are divided by the threshold."""
    mean, basis, factor, centres = (array.astype(np.float64) for array in arrays)
    apart = features - mean
    along = apart @ basis.T
    across = np.maximum((apart**2).sum(1) - (along**2).sum(1), 0)
    whitened = along @ factor
    apart_from = (centres**2).sum(1) - 2 * whitened @ centres.T
    nearest: NDArray[np.float64] = np.maximum((whitened**2).sum(1) + apart_from.min(1), 0)
    distances: NDArray[np.float64] = across / known.residual_variance + nearest
    return distances


def _score(golden: Floats, arrays: KnownArrays | None, answers: Answers | None) -> NDArray[np.float32] | None:
    if answers is None or answers.known is None or arrays is None:
        return None
    return (unknown_distances(golden, arrays, answers.known) / answers.known.threshold).astype(np.float32)
