"""timm's architectures by name, as flat lists, with their preprocessing.

`loading` imports this module only for an architecture of timm. timm imports its whole model zoo, torchvision and the
compiler of torch; this takes seconds and hundreds of megabytes.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import timm
import timm.data
from timm.models.eva import Eva
from timm.models.eva import checkpoint_filter_fn as eva_names
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer import checkpoint_filter_fn as vit_names
from torch import Tensor

from backbone import eva, swin, vit
from backbone.errors import UnknownBackbone, UnsupportedBackbone, WeightsUnavailable
from backbone.network import Stem, SubLayer, Tail
from backbone.swin_model import timm_names

TimmModel = Any  # timm is untyped for us


def create(name: str, *, pretrained: bool, own: Sequence[str]) -> TimmModel:
    """The model without a classifier.

    Args:
        name: timm's name of the architecture.
        pretrained: whether timm downloads its weights.
        own: our own names, for a hint in the error about an unknown name.

    Raises:
        UnknownBackbone, UnsupportedBackbone, WeightsUnavailable: see backbone.errors.
    """
    name, at, side = name.partition("@")
    if not timm.is_model(name):
        close = ", ".join(get_close_matches(name, [*own, *timm.list_models()], 5)) or "timm.list_models()"
        raise UnknownBackbone(f"timm has no architecture named {name!r}; see {close}")
    try:
        if at:
            return _sized(name, side, pretrained=pretrained)
        return timm.create_model(name, pretrained=pretrained, num_classes=0)
    except UnsupportedBackbone:
        raise
    except Exception as error:  # what a failed download raises depends on the hub client and the network
        if not pretrained:
            raise UnsupportedBackbone(f"timm cannot build {name}: {error}") from error
        raise WeightsUnavailable(
            f"the pretrained weights of {name} could not be loaded ({type(error).__name__}); without a network, "
            "pass a local safetensors file with --weights"
        ) from error


def _sized(name: str, side: str, *, pretrained: bool) -> TimmModel:
    """A ViT or EVA for square images of another side, with the preprocessing for that side.

    Raises:
        UnsupportedBackbone: another architecture, or a side that is not a multiple of the patch size.
    """
    if not side.isdecimal() or not int(side):
        raise UnsupportedBackbone(f"{name}@{side}: the side behind @ is a number of pixels")
    model = timm.create_model(name, pretrained=pretrained, num_classes=0, img_size=int(side))
    if type(model) not in (VisionTransformer, Eva):
        raise UnsupportedBackbone(
            f"{name} is a {type(model).__name__}: only a VisionTransformer or an Eva has another side"
        )
    patch = model.patch_embed.patch_size[0]
    if int(side) % patch:
        raise UnsupportedBackbone(f"{name}@{side}: the side must be a multiple of {patch}, the patch size")
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, int(side), int(side))}
    return model


def flatten(name: str, model: TimmModel) -> tuple[Stem, list[SubLayer], Tail]:
    """Stem, sub-layers and tail of a model. They take over its modules: do not use it afterwards.

    Raises:
        UnsupportedBackbone: no file here makes the flat list of this class.
    """
    build = {SwinTransformer: swin.flatten, VisionTransformer: vit.flatten, Eva: eva.flatten}.get(type(model))
    if build is None:
        known = "SwinTransformer, VisionTransformer, Eva, Cvt"
        raise UnsupportedBackbone(f"{name} is a {type(model).__name__}; supported are {known}")
    parts: tuple[Stem, list[SubLayer], Tail] = build(model)
    return parts


def renamed(model: TimmModel, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of other publishers under timm's names."""
    if isinstance(model, SwinTransformer):
        return timm_names(tensors)
    try:
        found: dict[str, Tensor] = (eva_names if isinstance(model, Eva) else vit_names)(tensors, model)
    except (AttributeError, KeyError, RuntimeError, ValueError):  # of another architecture: the caller says how
        return tensors
    return found


def completed(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """An evaluation configuration; timm's defaults replace missing values."""
    found: Mapping[str, Any] = timm.data.resolve_data_config(pretrained_cfg=config)
    return found
