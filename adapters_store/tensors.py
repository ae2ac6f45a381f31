"""The exact set of tensors that a manifest implies: names, dtypes, shapes, finite values. It reads no bytes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters_store import errors
from adapters_store.limits import ArtifactLimits
from adapters_store.manifest import Manifest
from adapters_store.strict_json import shown

HEAD_WEIGHT, HEAD_BIAS = "head.weight", "head.bias"
GOLDEN_IMAGE, GOLDEN_LOGITS = "golden.image", "golden.logits"
CHANNELS = 3

Tensors = Mapping[str, NDArray[Any]]


def down_name(site: int) -> str:
    """Return the name of a site's (N, M) matrix."""
    return f"sites.{site}.down"


def up_name(site: int) -> str:
    """Return the name of a site's (M, N) matrix."""
    return f"sites.{site}.up"


def check_tensors(manifest: Manifest, tensors: Tensors, limits: ArtifactLimits) -> None:
    """Check that the tensors are exactly those the manifest implies.

    Raises:
        BadTensors, InconsistentProvenance: They are not.
    """
    weights = _weight_names(manifest)
    _check_names({*weights, GOLDEN_IMAGE, GOLDEN_LOGITS}, tensors)
    _check_dtypes(weights, tensors)
    for site in manifest.live_sites:
        _check_site(site, manifest.widths[site], tensors)
    _check_head(len(manifest.labels), tensors)
    _check_golden_image(tensors[GOLDEN_IMAGE].shape, limits.golden_side)
    for name in (*weights, GOLDEN_LOGITS):
        if not np.isfinite(tensors[name]).all():
            raise errors.NonFiniteValue(f"{name} holds NaN or infinity")
    _check_counts(manifest, tensors)


def _weight_names(manifest: Manifest) -> list[str]:
    names = [name(site) for site in manifest.live_sites for name in (down_name, up_name)]
    return [*names, HEAD_WEIGHT, HEAD_BIAS]


def _check_names(expected: set[str], tensors: Tensors) -> None:
    if missing := sorted(expected - tensors.keys()):
        raise errors.MissingTensor(f"{missing[0]} is missing")
    if unexpected := sorted(tensors.keys() - expected):
        raise errors.UnexpectedTensor(f"{shown(unexpected[0])} is not implied by the manifest")


def _check_dtypes(weights: list[str], tensors: Tensors) -> None:
    for name, dtype in ((GOLDEN_IMAGE, np.uint8), (GOLDEN_LOGITS, np.float32)):
        if tensors[name].dtype != dtype:
            raise errors.WrongDtype(f"{name} is {tensors[name].dtype}, not {np.dtype(dtype)}")
    found = {tensors[name].dtype for name in weights}
    if not all(dtype.kind == "f" for dtype in found):
        raise errors.WrongDtype("weights are float32 or float16, nothing else")
    if len(found) > 1:
        raise errors.MixedDtypes("weights are all float32 or all float16")


def _check_site(site: int, width: int, tensors: Tensors) -> None:
    down, up = tensors[down_name(site)].shape, tensors[up_name(site)].shape
    if len(down) != 2 or down[0] != width:  # noqa: PLR2004
        raise errors.WrongShape(f"{down_name(site)} is {down}, not ({width}, M)")
    if up != down[::-1]:
        raise errors.WrongShape(f"{up_name(site)} is {up}, not {down[::-1]}")


def _check_head(classes: int, tensors: Tensors) -> None:
    weight = tensors[HEAD_WEIGHT].shape
    if len(weight) != 2 or weight[0] != classes:  # noqa: PLR2004
        raise errors.WrongShape(f"{HEAD_WEIGHT} is {weight}, not ({classes}, F)")
    for name in (HEAD_BIAS, GOLDEN_LOGITS):
        if tensors[name].shape != (classes,):
            raise errors.WrongShape(f"{name} is {tensors[name].shape}, not ({classes},)")


def _check_golden_image(shape: tuple[int, ...], side: int) -> None:
    if len(shape) != CHANNELS or shape[2] != CHANNELS or max(shape[:2]) > side:
        raise errors.WrongShape(f"{GOLDEN_IMAGE} is {shape}, not at most ({side}, {side}, {CHANNELS})")


def _check_counts(manifest: Manifest, tensors: Tensors) -> None:
    """Parameter counts are claims that the file itself can settle."""
    head = tensors[HEAD_WEIGHT].size + tensors[HEAD_BIAS].size
    adapters = sum(tensors[name(site)].size for site in manifest.live_sites for name in (down_name, up_name))
    claimed = manifest.provenance
    if (claimed.head_parameters, claimed.adapter_parameters) != (head, adapters):
        raise errors.InconsistentProvenance(
            f"{claimed.adapter_parameters} adapter and {claimed.head_parameters} head parameters are claimed, "
            f"the tensors have {adapters} and {head}"
        )
