"""Loads a backbone by its name: the bundled one, an architecture of timm, or `cvt_13`, which timm does not have.

Weights may come from a local safetensors file. timm is imported only for its own architectures: it takes seconds and
hundreds of megabytes, and a server of the bundled backbone does not need it.
"""

import json
from collections.abc import Mapping
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from backbone import cvt, swin
from backbone.cvt_model import Cvt, public_name
from backbone.errors import WeightsInvalid, WeightsUnavailable
from backbone.network import Backbone, Stem, SubLayer, Tail
from backbone.preprocessing import Preprocessing
from backbone.swin_model import Swin, timm_names

BUNDLED = "swin_nano_patch4_window4_64.dinov2_distilled"
SHIPPED = (BUNDLED, "swin_nano_patch4_window4_64")  # the older one serves the task adapters that were trained on it
TimmModel = Any  # timm is untyped for us
Parts = tuple[Stem, list[SubLayer], Tail]
_WRAPPERS = ("module.", "model.", "state_dict.", "_orig_mod.")


def load_backbone(name: str = BUNDLED, *, weights: Path | None = None, pretrained: bool = True) -> Backbone:
    """A frozen backbone in float32 on the CPU.

    Args:
        name: one of `SHIPPED`, a timm architecture such as "swin_tiny_patch4_window7_224", or "cvt_13". A ViT or EVA
            may be given another side in pixels, "vit_small_patch14_dinov2@98": its position embedding is resampled.
        weights: a safetensors file with timm's parameter names, for CvT with Microsoft's or Hugging Face's (any float
            dtype; a classifier in it is ignored).
        pretrained: without `weights`: load the file that ships, or let timm download; False gives random weights.

    Raises:
        UnknownBackbone, UnsupportedBackbone, WeightsInvalid, WeightsUnavailable: see backbone.errors.
    """
    if name in SHIPPED and weights is None and pretrained:
        weights = shipped(name) / "model.safetensors"
    model = _create(name, pretrained=pretrained and weights is None)
    if weights is not None:
        _load_into(model, weights)
    return flatten(name, model)


def flatten(name: str, model: TimmModel) -> Backbone:
    """The flat list of a timm model or a `Cvt`. It takes over the model's modules.

    Raises:
        UnsupportedBackbone: no file here makes the flat list of this architecture.
    """
    config = model.pretrained_cfg
    if isinstance(model, Swin):
        parts: Parts = swin.flatten(model)
    elif isinstance(model, Cvt):
        parts = cvt.flatten(model)
    else:
        parts, config = _timm_models().flatten(name, model), _timm_models().completed(config)
    return Backbone(name, parts, feature_dim=model.num_features, preprocessing=_preprocessing(config))


def _timm_models() -> ModuleType:
    """The module that imports timm; imported at its first use."""
    return import_module("backbone.timm_models")


def shipped(name: str = BUNDLED) -> Path:
    """Folder of the weights that ship with the package under a name of `SHIPPED`."""
    return Path(str(files("backbone"))) / "weights" / name


def shipped_config(name: str = BUNDLED) -> dict[str, Any]:
    """The `config.json` beside these weights: `model_args` of timm's `SwinTransformer`, and its `pretrained_cfg`."""
    config: dict[str, Any] = json.loads((shipped(name) / "config.json").read_text(encoding="utf-8"))
    return config


def _create(name: str, *, pretrained: bool) -> TimmModel:
    """The model without a classifier."""
    if name in SHIPPED:
        return _create_shipped(name)
    if name == cvt.NAME:
        return _create_cvt(pretrained=pretrained)
    return _timm_models().create(name, pretrained=pretrained, own=(*SHIPPED, cvt.NAME))


def _create_shipped(name: str) -> Swin:
    """The architecture of weights that ship, as its configuration describes it."""
    config = shipped_config(name)
    model = Swin(**{name: value for name, value in config["model_args"].items() if name != "num_classes"})
    model.pretrained_cfg = config["pretrained_cfg"]
    return model


def _create_cvt(*, pretrained: bool) -> Cvt:
    """Our own CvT, because timm has none. Its weights cannot be downloaded."""
    if pretrained:
        raise WeightsUnavailable(
            f"timm has no weights of {cvt.NAME} to download; pass a local safetensors file with --weights, with the "
            "names of Microsoft's CvT-13-224x224-IN-1k.pth or of Hugging Face's microsoft/cvt-13"
        )
    return Cvt()


def _load_into(model: TimmModel, path: Path) -> None:
    """Fill `model` from a safetensors file. All tensors must match, except those that no forward pass reads."""
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
    """Names without the common prefixes that a trainer adds: the name of a wrapper, or of a section of a checkpoint."""
    while prefix := next((each for each in _WRAPPERS if all(key.startswith(each) for key in tensors)), None):
        if not tensors:
            break
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def _renamed(model: TimmModel, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of other publishers under the names of timm or of `Cvt`."""
    if isinstance(model, Cvt):
        return {public_name(key): value for key, value in tensors.items()}
    if isinstance(model, Swin):
        return timm_names(tensors)
    renamed: dict[str, Tensor] = _timm_models().renamed(model, tensors)
    return renamed


def _is_unread(key: str) -> bool:
    """Whether the tensor belongs to a classifier, or is batch norm's count of training batches."""
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


def _preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """The evaluation preprocessing of a complete configuration in timm's terms."""
    return Preprocessing(
        size=tuple(config["input_size"][1:]),
        crop_pct=float(config["crop_pct"]),
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )
