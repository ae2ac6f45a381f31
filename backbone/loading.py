"""Choosing and loading a backbone: by name, from a local safetensors file, or the one that ships here.

Names are timm's, the bundled one, and `cvt_13`, which timm does not have.
"""

import json
import re
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

import timm
import timm.data
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer import checkpoint_filter_fn as vit_names
from torch import Tensor

from backbone import cvt, swin, vit
from backbone.cvt_model import Cvt, public_name
from backbone.errors import UnknownBackbone, UnsupportedBackbone, WeightsInvalid, WeightsUnavailable
from backbone.network import Backbone
from backbone.preprocessing import Preprocessing

BUNDLED = "swin_nano_patch4_window4_64"
TimmModel = Any  # timm is untyped for us
_BUFFERS = ("relative_position_index", "attn_mask")  # of attention in older files; made anew here
_WRAPPERS = ("module.", "model.", "state_dict.", "_orig_mod.")
_FLATTEN = {SwinTransformer: swin.flatten, VisionTransformer: vit.flatten, Cvt: cvt.flatten}


def load_backbone(name: str = BUNDLED, *, weights: Path | None = None, pretrained: bool = True) -> Backbone:
    """A frozen backbone in float32 on the CPU.

    Args:
        name: `BUNDLED`, a timm architecture such as "swin_tiny_patch4_window7_224", or "cvt_13".
        weights: a safetensors file with timm's parameter names, for CvT with Microsoft's or Hugging Face's (any float
            dtype; a classifier in it is ignored).
        pretrained: without `weights`: load the bundled file, or let timm download; False gives random weights.

    Raises:
        UnknownBackbone, UnsupportedBackbone, WeightsInvalid, WeightsUnavailable: see backbone.errors.
    """
    if name == BUNDLED and weights is None and pretrained:
        weights = _bundled() / "model.safetensors"
    model = _create(name, pretrained=pretrained and weights is None)
    if weights is not None:
        _load_into(model, weights)
    return flatten(name, model)


def flatten(name: str, model: TimmModel) -> Backbone:
    """The flat list of a timm model or a `Cvt`, whose modules it takes over.

    Raises:
        UnsupportedBackbone: no file here gives the flat list of this architecture.
    """
    build = _FLATTEN.get(type(model))
    if build is None:
        known = ", ".join(kind.__name__ for kind in _FLATTEN)
        raise UnsupportedBackbone(f"{name} is a {type(model).__name__}; supported are {known}")
    parts = build(model)
    return Backbone(name, parts, feature_dim=model.num_features, preprocessing=_preprocessing(model.pretrained_cfg))


def _bundled() -> Path:
    """Folder of the weights that ship with the package."""
    return Path(str(files("backbone"))) / "weights" / BUNDLED


def _create(name: str, *, pretrained: bool) -> TimmModel:
    """The model without a classifier."""
    if name == BUNDLED:
        config = json.loads((_bundled() / "config.json").read_text(encoding="utf-8"))
        model = SwinTransformer(**{**config["model_args"], "num_classes": 0})
        model.pretrained_cfg = config["pretrained_cfg"]
        return model
    if name == cvt.NAME:
        return _create_cvt(pretrained=pretrained)
    if not timm.is_model(name):
        close = ", ".join(get_close_matches(name, [BUNDLED, cvt.NAME, *timm.list_models()], 5)) or "timm.list_models()"
        raise UnknownBackbone(f"timm has no architecture named {name!r}; see {close}")
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0)
    except Exception as error:  # what a failed download raises depends on the hub client and the network
        if not pretrained:
            raise UnsupportedBackbone(f"timm cannot build {name}: {error}") from error
        raise WeightsUnavailable(
            f"the pretrained weights of {name} could not be loaded ({type(error).__name__}); without a network, "
            "pass a local safetensors file with --weights"
        ) from error


def _create_cvt(*, pretrained: bool) -> Cvt:
    """Ours, since timm has none; nothing here downloads its weights."""
    if pretrained:
        raise WeightsUnavailable(
            f"timm has no weights of {cvt.NAME} to download; pass a local safetensors file with --weights, with the "
            "names of Microsoft's CvT-13-224x224-IN-1k.pth or of Hugging Face's microsoft/cvt-13"
        )
    return Cvt()


def _load_into(model: TimmModel, path: Path) -> None:
    """Fill `model` from a safetensors file; a tensor that no forward reads is ignored, any other must match."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsInvalid(f"{path} is not a readable safetensors file: {error}") from error
    wanted = model.state_dict()
    tensors = _renamed(model, _unwrapped(tensors))
    found = {key: value.float() for key, value in tensors.items() if key in wanted or not _is_unread(key)}
    _check_fit(path, wanted, found)
    broken = next((key for key, value in found.items() if not value.isfinite().all()), None)
    if broken is not None:
        raise WeightsInvalid(f"{path}: {broken} has values that are not finite")
    model.load_state_dict(found)


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without what a trainer put before all of them: the names of a wrapper or of a checkpoint's section."""
    while prefix := next((each for each in _WRAPPERS if all(key.startswith(each) for key in tensors)), None):
        if not tensors:
            break
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def _renamed(model: TimmModel, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of timm, or of `Cvt`, for those of other publishers."""
    if isinstance(model, Cvt):
        return {public_name(key): value for key, value in tensors.items()}
    if isinstance(model, SwinTransformer):
        return _renamed_swin(tensors)
    try:
        renamed: dict[str, Tensor] = vit_names(tensors, model)
    except (AttributeError, KeyError, RuntimeError, ValueError):  # of another architecture: `_check_fit` says how
        return tensors
    return renamed


def _renamed_swin(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As timm renames the original Swin, without its resizing: merging ends a stage there, and begins one in timm."""
    found = {key: value for key, value in tensors.items() if not key.endswith(_BUFFERS)}
    if "layers.0.downsample.reduction.weight" not in found:
        return found
    later = {
        key: re.sub(r"^layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) + 1}.downsample", key) for key in found
    }
    return {later[key]: value for key, value in found.items()}


def _is_unread(key: str) -> bool:
    """A classifier, or the batches that batch norm counted while it trained."""
    return key.startswith(("head.", "head_dist.", "fc.")) or key.endswith(".num_batches_tracked")


def _check_fit(path: Path, wanted: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    """Names and shapes must agree."""
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    wrong = sorted(key for key in wanted.keys() & found.keys() if wanted[key].shape != found[key].shape)
    if missing or extra or wrong:
        raise WeightsInvalid(
            f"{path} does not fit the architecture: {len(missing)} missing {missing[:3]}, "
            f"{len(extra)} unexpected {extra[:3]}, {len(wrong)} of another shape {wrong[:3]}"
        )


def _preprocessing(config: dict[str, object]) -> Preprocessing:
    """timm's own evaluation preprocessing."""
    resolved = timm.data.resolve_data_config(pretrained_cfg=config)
    return Preprocessing(
        size=tuple(resolved["input_size"][1:]),
        crop_pct=float(resolved["crop_pct"]),
        interpolation=resolved["interpolation"],
        mean=tuple(resolved["mean"]),
        std=tuple(resolved["std"]),
    )
