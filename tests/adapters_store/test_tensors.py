"""Every way tensors can fail to fit their manifest, each shown by a written file."""

from dataclasses import replace

import numpy as np
import pytest

from adapters_store import SiteArrays, TaskAdapter, errors, pack, unpack
from adapters_store.artifact import Weights
from adapters_store.limits import ArtifactLimits
from tests.adapters_store.adapters import make_adapter, make_manifest
from tests.adapters_store.raw import GOOD_FILE, with_header

ADAPTER = make_adapter()
NOT_A_NUMBER, INFINITE = float("nan"), float("inf")


def with_site(site: int, pair: SiteArrays) -> TaskAdapter:
    return replace(ADAPTER, sites={**ADAPTER.sites, site: pair})


def spoiled(array: Weights, value: float) -> Weights:
    copy = array.copy()
    copy.flat[-1] = value
    return copy


def halves(down: tuple[int, ...], up: tuple[int, ...]) -> SiteArrays:
    return SiteArrays(np.zeros(down, np.float32), np.zeros(up, np.float32))


def zeros(*shape: int) -> Weights:
    return np.zeros(shape, np.float32)


def image(*shape: int) -> TaskAdapter:
    return replace(ADAPTER, golden_image=np.zeros(shape, np.uint8))


UNFIT: dict[str, tuple[type[errors.ArtifactError], TaskAdapter]] = {
    "a live site is missing": (errors.MissingTensor, replace(ADAPTER, sites={0: ADAPTER.sites[0]})),
    "a removed site has weights": (errors.UnexpectedTensor, with_site(1, halves((1, 8), (8, 1)))),
    "a site that does not exist": (errors.UnexpectedTensor, with_site(3, halves((1, 8), (8, 1)))),
    "golden image is float": (errors.WrongDtype, replace(ADAPTER, golden_image=zeros(4, 4, 3))),  # type: ignore[arg-type]
    "golden logits are half": (errors.WrongDtype, replace(ADAPTER, golden_logits=np.zeros(2, np.float16))),
    "head is bytes": (errors.WrongDtype, replace(ADAPTER, head_weight=np.zeros((2, 6), np.uint8))),
    "bias is half": (errors.MixedDtypes, replace(ADAPTER, head_bias=np.zeros(2, np.float16))),
    "a site is half": (errors.MixedDtypes, replace(ADAPTER, sites=make_adapter(dtype=np.float16).sites)),
    "a width too many": (errors.WrongShape, with_site(0, halves((3, 8), (8, 3)))),
    "up not the transpose": (errors.WrongShape, with_site(0, halves((2, 8), (9, 2)))),
    "down of rank 1": (errors.WrongShape, with_site(0, halves((2,), (2,)))),
    "down of rank 3": (errors.WrongShape, with_site(0, halves((2, 8, 1), (1, 8, 2)))),
    "head of rank 1": (errors.WrongShape, replace(ADAPTER, head_weight=zeros(2))),
    "a class too many in the head": (errors.WrongShape, replace(ADAPTER, head_weight=zeros(3, 6))),
    "a class too many in the bias": (errors.WrongShape, replace(ADAPTER, head_bias=zeros(3))),
    "bias of rank 0": (errors.WrongShape, replace(ADAPTER, head_bias=zeros())),
    "a class too few in the logits": (errors.WrongShape, replace(ADAPTER, golden_logits=np.zeros(1, np.float32))),
    "grey image": (errors.WrongShape, image(4, 4)),
    "image with alpha": (errors.WrongShape, image(4, 4, 4)),
    "image too high": (errors.WrongShape, image(97, 96, 3)),
    "image too wide": (errors.WrongShape, image(96, 97, 3)),
    "empty image": (errors.InvalidShape, image(0, 4, 3)),
    "NaN in down": (
        errors.NonFiniteValue,
        with_site(0, ADAPTER.sites[0]._replace(down=spoiled(zeros(2, 8), NOT_A_NUMBER))),
    ),
    "infinity in up": (
        errors.NonFiniteValue,
        with_site(2, ADAPTER.sites[2]._replace(up=spoiled(zeros(8, 1), INFINITE))),
    ),
    "NaN in the head": (errors.NonFiniteValue, replace(ADAPTER, head_weight=spoiled(zeros(2, 6), NOT_A_NUMBER))),
    "infinity in the bias": (errors.NonFiniteValue, replace(ADAPTER, head_bias=spoiled(zeros(2), -INFINITE))),
    "NaN in the logits": (
        errors.NonFiniteValue,
        replace(ADAPTER, golden_logits=np.array([0, NOT_A_NUMBER], np.float32)),
    ),
}


@pytest.mark.parametrize(("error", "adapter"), UNFIT.values(), ids=UNFIT.keys())
def test_tensors_that_do_not_fit_are_refused_for_their_own_reason(
    error: type[errors.ArtifactError], adapter: TaskAdapter
) -> None:
    with pytest.raises(errors.ArtifactError) as caught:
        pack(adapter)
    assert caught.type is error


@pytest.mark.parametrize("name", ["../../etc/passwd", "sites.0.down\x00", "sites.00.down", "golden", "", "é" * 99])
def test_a_tensor_of_any_other_name_is_refused(name: str) -> None:
    file = with_header(lambda header: header.update({name: header.pop("sites.0.down")}))
    with pytest.raises(errors.MissingTensor):
        unpack(file)


def test_golden_logits_are_never_reread_as_bytes() -> None:
    with pytest.raises(errors.BadTensors):
        unpack(with_header(lambda header: header["golden.logits"].update(dtype="U8", shape=[8])))


@pytest.mark.parametrize("value", [1e38, 1e-45, -0.0, 65504.0])
def test_any_finite_weight_is_accepted(value: float) -> None:
    assert unpack(pack(replace(ADAPTER, head_bias=np.full(2, value, np.float32)))).head_bias[0] == np.float32(value)


@pytest.mark.parametrize("side", [1, 95, 96])
def test_a_golden_image_has_up_to_96_pixels_a_side(side: int) -> None:
    assert unpack(pack(image(side, 96, 3))).golden_image.shape == (side, 96, 3)


def test_the_golden_side_is_a_limit_of_the_reader() -> None:
    with pytest.raises(errors.WrongShape):
        unpack(GOOD_FILE, limits=ArtifactLimits(golden_side=4))


def test_as_many_sites_as_the_tensor_limit_allows_are_packed_and_not_one_more() -> None:
    with pytest.raises(errors.TooManyTensors):
        pack(make_adapter(make_manifest(widths=(1,) * 511)))
    assert len(unpack(pack(make_adapter(make_manifest(widths=(1,) * 510)))).sites) == 510
