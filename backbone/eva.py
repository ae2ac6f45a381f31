"""EVA-02 (Fang et al. 2023), DINOv3 (Siméoni et al. 2025) and other ViTs with rotary positions, as flat lists.

In timm they are the class `Eva`. Unlike a plain ViT they rotate queries and keys by position, and have gated MLPs
(SwiGLU) and norms inside a branch. The rotation depends only on the position, so it is computed once.
"""

from collections.abc import Iterator

import torch
from timm.layers import GluMlp, LayerScale, SwiGLU
from timm.layers import Mlp as TimmMlp
from timm.layers.attention import AttentionRope
from timm.models.eva import Eva, EvaAttention, EvaBlock
from torch import Tensor, nn

from backbone.errors import UnsupportedBackbone
from backbone.layers import Mlp, RotaryAttention, Rotation, SwiGlu
from backbone.network import SubLayer
from backbone.vit import LatentTail, TokenTail, VitStem, tail_of


def flatten(model: Eva) -> tuple[VitStem, list[SubLayer], TokenTail | LatentTail]:
    """Stem, sub-layers and tail of timm's EVA. They take over the modules of `model`: do not use it afterwards.

    Raises:
        UnsupportedBackbone: the variant has parts that the sub-layers here do not compute.
    """
    rotations = _rotations(model)
    sites: list[SubLayer] = []
    tokens = model.patch_embed.num_patches + model.num_prefix_tokens
    for block, rotation in zip(model.blocks, rotations, strict=True):
        sites.extend(_sub_layers(block, len(sites), tokens, rotation))
    return VitStem(model), sites, tail_of(model)


def _rotations(model: Eva) -> list[Rotation]:
    """The rotary positions of every block, computed once.

    Raises:
        UnsupportedBackbone: a block has no rotary positions.
    """
    if model.rope is None:
        raise UnsupportedBackbone("an EVA without rotary positions is not supported")
    fixed = not model.dynamic_img_size and hasattr(model.rope, "feat_shape")
    with torch.no_grad():
        whole: Tensor = model.rope.get_embed(shape=None if fixed else model.patch_embed.grid_size)
    each = whole.detach().unbind(0) if model.rope_mixed else [whole.detach()] * len(model.blocks)
    halves = [bool(block.attn.rotate_half) for block in model.blocks]
    pairs = [one.chunk(2, -1) for one in each]  # timm gives sines first
    return [Rotation(pair[1].clone(), pair[0].clone(), half) for pair, half in zip(pairs, halves, strict=True)]


def _sub_layers(block: nn.Module, index: int, tokens: int, rotation: Rotation) -> Iterator[SubLayer]:
    """The attention and the MLP sub-layer of one block."""
    if not isinstance(block, EvaBlock):
        raise UnsupportedBackbone(f"block type {type(block).__name__} is not supported")
    attention = block.attn
    plain = all(isinstance(norm, nn.Identity) for norm in (attention.q_norm, attention.k_norm))
    if not isinstance(attention, EvaAttention | AttentionRope) or attention.gate is not None or not plain:
        raise UnsupportedBackbone("attention with query/key norms or gates is not supported")
    branch = RotaryAttention(
        block.norm1,
        _joined(attention),
        attention.proj,
        rotation=rotation,
        scale=_scale(block.gamma_1),
        inner=attention.norm,
    )
    shape = (tokens, attention.proj.out_features)
    yield SubLayer(index, branch, shape=shape)
    yield SubLayer(index + 1, _mlp(block), shape=shape)


def _scale(gamma: nn.Parameter | None) -> LayerScale | None:
    """timm's LayerScale module, made from a factor of EVA's block."""
    if gamma is None:
        return None
    scale = LayerScale(len(gamma))
    scale.gamma = gamma
    return scale


def _joined(attention: EvaAttention | AttentionRope) -> nn.Linear:
    """One linear layer for queries, keys and values. Keys without a bias get a bias of zeros.

    Raises:
        UnsupportedBackbone: fewer keys than queries (grouped-query attention).
    """
    if attention.qkv is None:
        parts = (attention.q_proj, attention.k_proj, attention.v_proj)
        if len({part.out_features for part in parts}) > 1:
            raise UnsupportedBackbone("grouped-query attention is not supported")
        biases = [part.bias for part in parts]
        return _linear(torch.cat([part.weight for part in parts]), biases)
    if getattr(attention, "q_bias", None) is None:
        qkv: nn.Linear = attention.qkv
        return qkv
    return _linear(attention.qkv.weight, [attention.q_bias, attention.k_bias, attention.v_bias])


def _linear(weight: Tensor, biases: list[Tensor | None]) -> nn.Linear:
    """A linear layer whose bias is joined from equal parts; None stands for zeros."""
    biased = any(bias is not None for bias in biases)
    linear: nn.Linear = nn.utils.skip_init(nn.Linear, weight.shape[1], len(weight), bias=biased)
    linear.weight = nn.Parameter(weight.detach())
    if biased:
        zeros = torch.zeros(len(weight) // len(biases))
        linear.bias = nn.Parameter(torch.cat([zeros if bias is None else bias.detach() for bias in biases]))
    return linear


def _mlp(block: EvaBlock) -> Mlp:
    """A plain or a gated MLP. In a gated one, gate and value are one linear layer.

    Raises:
        UnsupportedBackbone: another kind of MLP.
    """
    mlp, scale = block.mlp, _scale(block.gamma_2)
    if type(mlp) is TimmMlp and isinstance(mlp.norm, nn.Identity):
        return Mlp(block.norm2, mlp.fc1, mlp.act, mlp.fc2, scale=scale)
    if type(mlp) is GluMlp and not mlp.gate_last and isinstance(mlp.act, nn.SiLU):
        return Mlp(block.norm2, mlp.fc1, SwiGlu(mlp.norm), mlp.fc2, scale=scale)
    if type(mlp) is SwiGLU and isinstance(mlp.act, nn.SiLU):
        joined = _linear(torch.cat([mlp.fc1_g.weight, mlp.fc1_x.weight]), [mlp.fc1_g.bias, mlp.fc1_x.bias])
        return Mlp(block.norm2, joined, SwiGlu(mlp.norm), mlp.fc2, scale=scale)
    raise UnsupportedBackbone(f"an MLP of type {type(mlp).__name__} with its layers is not supported")
