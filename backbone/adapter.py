"""The bottleneck adapter of MiMi and the reference forward that defines a task's answers.

MiMi (Marouf, Tartaglione, Lathuilière, WACV 2024), equation 1: h' = W_up · GELU(W_down · h) + h, without bias or
norm, on a sub-layer's output before its residual add.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from backbone.network import Backbone, SubLayer


class SiteWeights(NamedTuple):
    """Weights of one adapter: `down` (N, M) and `up` (M, N)."""

    down: Tensor
    up: Tensor


def adapt(h: Tensor, weights: SiteWeights) -> Tensor:
    """Equation 1 on `h` (..., M); returns (..., M)."""
    return h + functional.linear(functional.gelu(functional.linear(h, weights.down)), weights.up)


def neuron_flops(site: SubLayer) -> int:
    """FLOPs that one neuron at `site` adds to the forward pass of one image: its row and its column, for each token."""
    return 4 * site.dim * site.tokens


def adapter_flops(backbone: Backbone, widths: Sequence[int]) -> int:
    """FLOPs that adapters of hidden size N_i add to the forward of one image."""
    return sum(neuron_flops(site) * width for site, width in zip(backbone.sites, widths, strict=True))


def flops_of(backbone: Backbone, widths: Sequence[int], classes: int) -> int:
    """FLOPs of a task's whole forward for one image: backbone, adapters and head."""
    return backbone.flops + adapter_flops(backbone, widths) + 2 * backbone.feature_dim * classes


class Reference(NamedTuple):
    """The reference forward's outputs for one image: logits (K,) and features (F,), float32."""

    logits: np.ndarray
    features: np.ndarray


def reference_logits(
    backbone: Backbone, sites: Mapping[int, SiteWeights], head: tuple[Tensor, Tensor], image: np.ndarray
) -> np.ndarray:
    """The logits (K,) of `reference_outputs`."""
    return reference_outputs(backbone, sites, head, image).logits


@torch.inference_mode()
def reference_outputs(
    backbone: Backbone, sites: Mapping[int, SiteWeights], head: tuple[Tensor, Tensor], image: np.ndarray
) -> Reference:
    """The outputs that define a task adapter's golden sample, computed in float32 on the CPU for this image alone.

    Args:
        backbone: float32, on the CPU.
        sites: adapters of the live sites.
        head: weight (K, F) and bias (K).
        image: uint8 (h, w, 3), as decoded, before any resize.
    """
    pixels = torch.from_numpy(backbone.preprocessing.pixels(Image.fromarray(image)).copy())
    live = {index: SiteWeights(site.down.float(), site.up.float()) for index, site in sites.items()}
    features = backbone(
        backbone.preprocessing.normalize(pixels[None]),
        lambda index, h: adapt(h, live[index]) if index in live else h,
    )
    logits = functional.linear(features, head[0].float(), head[1].float())
    return Reference(logits[0].numpy(), features[0].numpy())
