"""The task adapter file: one safetensors container with one manifest, and tensors that fit it exactly.

`pack` and `unpack` mirror each other. `pack` calls `unpack` before it returns bytes, so the writer refuses what the
reader would refuse. Nothing here runs a network: a process with the backbone checks the golden logits.
"""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters_store import errors
from adapters_store.answers import SOFTMAX, KnownArrays, check_known
from adapters_store.container import read_container, write_container
from adapters_store.limits import DEFAULT_LIMITS, ArtifactLimits
from adapters_store.low_bit import Codes, LowBit, decoded, encoded, halved, in_order, rounded
from adapters_store.manifest import Manifest, read_manifest, write_manifest
from adapters_store.statistics import StatisticsArrays, check_arrays
from adapters_store.strict_json import shown

MANIFEST_KEY = "manifest"
HEAD_WEIGHT, HEAD_BIAS = "head.weight", "head.bias"
GOLDEN_IMAGE, GOLDEN_LOGITS, GOLDEN_SCORE = "golden.image", "golden.logits", "golden.unknown_score"
KNOWN = tuple(f"known.{name}" for name in KnownArrays._fields)
CODES, SCALES = "low_bit.codes", "low_bit.scales"
STATISTICS = tuple(f"statistics.{name}" for name in StatisticsArrays._fields)
CHANNELS = 3

Step = Callable[[str], AbstractContextManager[object]]
"""Runs one check, by its name, inside a context; the context sees whether the check raised an error."""

Weights = NDArray[np.floating[Any]]
Tensors = Mapping[str, NDArray[Any]]


class SiteArrays(NamedTuple):
    """The two matrices of one live site."""

    down: Weights  # (N, M)
    up: Weights  # (M, N)


@dataclass(frozen=True, slots=True, eq=False)
class TaskAdapter:
    """All adapters of one task, its head, its manifest, and one image with the outputs it must give.

    `known` and `golden_score` are there if the manifest says what is known, `statistics` if it has such a record.
    """

    manifest: Manifest
    sites: Mapping[int, SiteArrays]  # live sites only
    head_weight: Weights  # (K, F)
    head_bias: Weights  # (K,)
    golden_image: NDArray[np.uint8]  # (h, w, 3), as decoded
    golden_logits: NDArray[np.float32]  # (K,)
    known: KnownArrays | None = None
    golden_score: NDArray[np.float32] | None = None  # (1,), the unknown score
    statistics: StatisticsArrays | None = None


def digest(data: bytes) -> str:
    """Return the SHA-256 (hex) that names these bytes everywhere."""
    return hashlib.sha256(data).hexdigest()


def pack(adapter: TaskAdapter, *, limits: ArtifactLimits = DEFAULT_LIMITS) -> bytes:
    """Write a task adapter file; the same adapter always gives the same bytes.

    Weights are stored in the dtype they come in: all float32 or all float16. If the manifest asks for low bits,
    adapters and head are rounded to them, and the other weights to float16; see `as_stored`.

    Raises:
        ArtifactError: The file would not be accepted by `unpack`.
    """
    tensors = {
        HEAD_WEIGHT: adapter.head_weight,
        HEAD_BIAS: adapter.head_bias,
        GOLDEN_IMAGE: adapter.golden_image,
        GOLDEN_LOGITS: adapter.golden_logits,
    }
    for site, weights in adapter.sites.items():
        tensors |= {_down_name(site): weights.down, _up_name(site): weights.up}
    if adapter.known is not None:
        tensors |= dict(zip(KNOWN, adapter.known, strict=True))
    if adapter.statistics is not None:
        tensors |= dict(zip(STATISTICS, adapter.statistics, strict=True))
    if adapter.golden_score is not None:
        tensors[GOLDEN_SCORE] = adapter.golden_score
    if adapter.manifest.low_bit is not None:
        tensors = _in_low_bits(adapter.manifest.low_bit, adapter, tensors)
    data = write_container({MANIFEST_KEY: write_manifest(adapter.manifest)}, tensors)
    unpack(data, limits=limits)
    return data


def unrecorded(name: str) -> AbstractContextManager[object]:
    """A `Step` that records nothing."""
    return nullcontext(name)


def unpack(data: bytes, *, limits: ArtifactLimits = DEFAULT_LIMITS, step: Step = unrecorded) -> TaskAdapter:
    """Read and check a task adapter file. Arrays are read-only, and views of `data` except for decoded low bits.

    Args:
        data: the file.
        limits: how much of it is read.
        step: runs the checks "container", "manifest" and "tensors", in this order.

    Raises:
        ArtifactError: One subclass for each way a file can be bad; see `errors`.
    """
    with step("container"):
        container = read_container(data, limits)
    with step("manifest"):
        manifest = read_manifest(_manifest_text(container.metadata), limits)
    tensors = container.tensors
    with step("tensors"):
        if manifest.low_bit is not None:
            tensors = _from_low_bits(manifest.low_bit, manifest, tensors)
        _check_tensors(manifest, tensors, limits)
    return TaskAdapter(
        manifest=manifest,
        sites={site: SiteArrays(tensors[_down_name(site)], tensors[_up_name(site)]) for site in manifest.live_sites},
        head_weight=tensors[HEAD_WEIGHT],
        head_bias=tensors[HEAD_BIAS],
        golden_image=tensors[GOLDEN_IMAGE],
        golden_logits=tensors[GOLDEN_LOGITS],
        known=KnownArrays(*(tensors[name] for name in KNOWN)) if says_what_is_known(manifest) else None,
        golden_score=tensors.get(GOLDEN_SCORE),
        statistics=StatisticsArrays(*(tensors[name] for name in STATISTICS)) if manifest.statistics else None,
    )


def as_stored(adapter: TaskAdapter) -> TaskAdapter:
    """The adapter with the weights that its file gives back. Golden outputs must be those of these weights.

    Raises:
        NonFiniteValue: a weight is not finite, or beyond float16.
    """
    low_bit = adapter.manifest.low_bit
    if low_bit is None:
        return adapter
    sites = {
        site: SiteArrays(rounded(down, low_bit.bits), rounded(up.T, low_bit.bits).T)
        for site, (down, up) in adapter.sites.items()
    }
    return replace(
        adapter,
        sites=sites,
        head_weight=rounded(adapter.head_weight, low_bit.bits),
        head_bias=halved(adapter.head_bias),
        known=KnownArrays(*map(halved, adapter.known)) if adapter.known else None,
    )


def _in_low_bits(low_bit: LowBit, adapter: TaskAdapter, tensors: Tensors) -> dict[str, NDArray[Any]]:
    """The tensors of a file of low bits, from those of a plain file."""
    live = {site: (pair.down, pair.up) for site, pair in adapter.sites.items()}
    stored = encoded(low_bit, in_order(live, adapter.head_weight))
    kept = {name: array for name, array in tensors.items() if not name.startswith("sites.") and name != HEAD_WEIGHT}
    kept |= {name: array.astype(np.float16) for name, array in kept.items() if name in (HEAD_BIAS, *KNOWN)}
    return {**kept, CODES: stored.codes, SCALES: stored.scales}


def _from_low_bits(low_bit: LowBit, manifest: Manifest, tensors: Tensors) -> dict[str, NDArray[Any]]:
    """The tensors of a plain file in float32, from those of a file of low bits.

    Raises:
        BadTensors: they are not those that the manifest implies.
    """
    halves = (HEAD_BIAS, *(KNOWN if says_what_is_known(manifest) else ()))
    exact = _exact_names(manifest)
    _check_names({CODES, SCALES, GOLDEN_IMAGE, *halves, *exact}, tensors)
    for name, dtype in ((CODES, np.uint8), (SCALES, np.float16), *((name, np.float16) for name in halves)):
        if tensors[name].dtype != dtype:
            raise errors.WrongDtype(f"{name} is {tensors[name].dtype}, not {np.dtype(dtype)}")
    stored = Codes(tensors[CODES], tensors[SCALES])
    *adapters, head = decoded(low_bit, manifest.widths, len(manifest.labels), stored)
    plain = {name: tensors[name] for name in (GOLDEN_IMAGE, *exact)}
    plain |= {name: tensors[name].astype(np.float32) for name in halves}
    for site, down, up in zip(manifest.live_sites, adapters[::2], adapters[1::2], strict=True):
        plain |= {_down_name(site): down, _up_name(site): up.T}
    return {**plain, HEAD_WEIGHT: head}


def says_what_is_known(manifest: Manifest) -> bool:
    """Whether answers say if an image is known, so that the file has the arrays for it."""
    return manifest.answers is not None and manifest.answers.known is not None


def _manifest_text(metadata: Mapping[str, str]) -> str:
    if MANIFEST_KEY not in metadata:
        raise errors.MissingManifest(f"the metadata has no {MANIFEST_KEY!r}")
    if len(metadata) > 1:
        raise errors.UnexpectedMetadata(f"the metadata holds more than {MANIFEST_KEY!r}")
    return metadata[MANIFEST_KEY]


def _down_name(site: int) -> str:
    """Return the name of a site's (N, M) matrix."""
    return f"sites.{site}.down"


def _up_name(site: int) -> str:
    """Return the name of a site's (M, N) matrix."""
    return f"sites.{site}.up"


def _check_tensors(manifest: Manifest, tensors: Tensors, limits: ArtifactLimits) -> None:
    """Check that the tensors are exactly those the manifest implies.

    Raises:
        BadTensors, InconsistentProvenance: They are not.
    """
    weights = _weight_names(manifest)
    exact = _exact_names(manifest)
    _check_names({*weights, GOLDEN_IMAGE, *exact}, tensors)
    _check_dtypes(weights, exact, tensors)
    for site in manifest.live_sites:
        _check_site(site, manifest.widths[site], tensors)
    _check_head(len(manifest.labels), tensors)
    _check_golden_image(tensors[GOLDEN_IMAGE].shape, limits.golden_side)
    for name in (*weights, *exact):
        if not np.isfinite(tensors[name]).all():
            raise errors.NonFiniteValue(f"{name} holds NaN or infinity")
    if says_what_is_known(manifest):
        _check_what_is_known(manifest, tensors)
    if manifest.statistics is not None:
        classes, features = tensors[HEAD_WEIGHT].shape
        check_arrays(StatisticsArrays(*(tensors[name] for name in STATISTICS)), features=features, classes=classes)
    _check_counts(manifest, tensors)


def _weight_names(manifest: Manifest) -> list[str]:
    names = [name(site) for site in manifest.live_sites for name in (_down_name, _up_name)]
    return [*names, HEAD_WEIGHT, HEAD_BIAS, *(KNOWN if says_what_is_known(manifest) else ())]


def _exact_names(manifest: Manifest) -> tuple[str, ...]:
    """The tensors that are float32, whatever the weights are."""
    golden = (GOLDEN_LOGITS, GOLDEN_SCORE) if says_what_is_known(manifest) else (GOLDEN_LOGITS,)
    return (*golden, *STATISTICS) if manifest.statistics is not None else golden


def _check_names(expected: set[str], tensors: Tensors) -> None:
    if missing := sorted(expected - tensors.keys()):
        raise errors.MissingTensor(f"{missing[0]} is missing")
    if unexpected := sorted(tensors.keys() - expected):
        raise errors.UnexpectedTensor(f"{shown(unexpected[0])} is not implied by the manifest")


def _check_dtypes(weights: list[str], exact: tuple[str, ...], tensors: Tensors) -> None:
    for name, dtype in ((GOLDEN_IMAGE, np.uint8), *((name, np.float32) for name in exact)):
        if tensors[name].dtype != dtype:
            raise errors.WrongDtype(f"{name} is {tensors[name].dtype}, not {np.dtype(dtype)}")
    found = {tensors[name].dtype for name in weights}
    if not all(dtype.kind == "f" for dtype in found):
        raise errors.WrongDtype("weights are float32 or float16, nothing else")
    if len(found) > 1:
        raise errors.MixedDtypes("weights are all float32 or all float16")


def _check_site(site: int, width: int, tensors: Tensors) -> None:
    down, up = tensors[_down_name(site)].shape, tensors[_up_name(site)].shape
    if len(down) != 2 or down[0] != width:  # noqa: PLR2004
        raise errors.WrongShape(f"{_down_name(site)} is {down}, not ({width}, M)")
    if up != down[::-1]:
        raise errors.WrongShape(f"{_up_name(site)} is {up}, not {down[::-1]}")


def _check_head(classes: int, tensors: Tensors) -> None:
    weight = tensors[HEAD_WEIGHT].shape
    if len(weight) != 2 or weight[0] != classes:  # noqa: PLR2004
        raise errors.WrongShape(f"{HEAD_WEIGHT} is {weight}, not ({classes}, F)")
    for name in (HEAD_BIAS, GOLDEN_LOGITS):
        if tensors[name].shape != (classes,):
            raise errors.WrongShape(f"{name} is {tensors[name].shape}, not ({classes},)")


def _check_what_is_known(manifest: Manifest, tensors: Tensors) -> None:
    if tensors[GOLDEN_SCORE].shape != (1,):
        raise errors.WrongShape(f"{GOLDEN_SCORE} is {tensors[GOLDEN_SCORE].shape}, not (1,)")
    for name, dimensions in zip(KNOWN, (1, 2, 2, 2), strict=True):
        if tensors[name].ndim != dimensions:
            raise errors.WrongShape(f"{name} has {tensors[name].ndim} dimensions, not {dimensions}")
    classes = len(manifest.labels) if manifest.answers and manifest.answers.activation == SOFTMAX else 1
    arrays = KnownArrays(*(tensors[name] for name in KNOWN))
    check_known(arrays, features=tensors[HEAD_WEIGHT].shape[1], centres=classes)


def _check_golden_image(shape: tuple[int, ...], side: int) -> None:
    if len(shape) != CHANNELS or shape[2] != CHANNELS or max(shape[:2]) > side:
        raise errors.WrongShape(f"{GOLDEN_IMAGE} is {shape}, not at most ({side}, {side}, {CHANNELS})")


def _check_counts(manifest: Manifest, tensors: Tensors) -> None:
    """Check the parameter counts that the provenance claims against the tensors."""
    head = tensors[HEAD_WEIGHT].size + tensors[HEAD_BIAS].size
    adapters = sum(tensors[name(site)].size for site in manifest.live_sites for name in (_down_name, _up_name))
    claimed = manifest.provenance
    if (claimed.head_parameters, claimed.adapter_parameters) != (head, adapters):
        raise errors.InconsistentProvenance(
            f"{claimed.adapter_parameters} adapter and {claimed.head_parameters} head parameters are claimed, "
            f"the tensors have {adapters} and {head}"
        )
