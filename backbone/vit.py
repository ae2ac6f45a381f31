"""Vision Transformer (Dosovitskiy et al. 2021) from timm as a flat list of sub-layers on (B, L, C) sequences."""

from collections.abc import Iterator

import torch
from timm.layers import AttentionPoolLatent, PatchEmbed
from timm.layers import Mlp as TimmMlp
from timm.layers.attention import Attention
from timm.models.eva import Eva
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from backbone.errors import UnsupportedBackbone
from backbone.layers import GlobalAttention, Mlp
from backbone.network import Stem, SubLayer, Tail


class VitStem(Stem):
    """Patch embedding, prefix tokens, position embedding: (B, 3, H, W) -> (B, L, C)."""

    def __init__(self, model: VisionTransformer | Eva) -> None:
        """Take over timm's parameters."""
        super().__init__()
        self.patch, self.norm = model.patch_embed, model.norm_pre
        self.prefix = nn.ParameterList([token for token in (model.cls_token, model.reg_token) if token is not None])
        self.position = model.pos_embed  # None: positions are known to the attention alone
        self.skip_prefix = model.no_embed_class  # position embedding for patches alone
        self.flops = 2 * model.patch_embed.num_patches * model.patch_embed.proj.weight.numel()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, L, C)."""
        patches: Tensor = self.patch(images)
        x = patches.flatten(1, -2)  # of a map, where timm keeps one
        prefix = [token.expand(len(x), -1, -1) for token in self.prefix]
        if self.position is None:
            x = torch.cat([*prefix, x], 1)
        elif self.skip_prefix:
            x = torch.cat([*prefix, x + self.position], 1)
        else:
            x = torch.cat([*prefix, x], 1) + self.position
        tokens: Tensor = self.norm(x)
        return tokens


class TokenTail(Tail):
    """Final norms and pooling of a sequence: (B, L, C) -> (B, C)."""

    def __init__(self, model: VisionTransformer | Eva) -> None:
        """Take over timm's norms and pooling rule ("token" or "avg")."""
        super().__init__()
        self.norm, self.feature_norm = model.norm, model.fc_norm
        self.average, self.skip = model.global_pool == "avg", model.num_prefix_tokens
        if getattr(model, "pool_include_prefix", False):
            self.skip = 0

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, C)."""
        x = self.norm(x)
        x = x[:, self.skip :].mean(1) if self.average else x[:, 0]
        features: Tensor = self.feature_norm(x)
        return features


class LatentTail(Tail):
    """Attention pooling: a learned query attends to all tokens, then an MLP follows. (B, L, C) -> (B, C).

    SigLIP (Zhai et al. 2023) uses it. The frozen query is projected once.
    """

    query: Tensor

    def __init__(self, norm: nn.Module, pool: AttentionPoolLatent, feature_norm: nn.Module, *, tokens: int) -> None:
        """Take over timm's layers, for images of `tokens` tokens.

        Raises:
            UnsupportedBackbone: several queries, positions of its own, or norms of queries and keys.
        """
        super().__init__()
        plain = all(isinstance(each, nn.Identity) for each in (pool.q_norm, pool.k_norm))
        if pool.latent_len != 1 or pool.pos_embed is not None or not plain or pool.mlp is None:
            raise UnsupportedBackbone("attention pooling with several queries, positions or norms is not supported")
        self.norm, self.feature_norm, self.heads = norm, feature_norm, pool.num_heads
        self.kv, self.proj, self.mlp_norm = pool.kv, pool.proj, pool.norm
        self.fc1, self.act, self.fc2 = pool.mlp.fc1, pool.mlp.act, pool.mlp.fc2
        self.query = nn.Parameter(pool.q(pool.latent).detach())  # (1, 1, C)
        behind = sum(layer.weight.numel() for layer in (self.proj, self.fc1, self.fc2))
        self.flops = 2 * (tokens * self.kv.weight.numel() + 2 * tokens * self.proj.in_features + behind)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, C)."""
        batch, tokens, _ = x.shape
        kv = self.kv(self.norm(x)).view(batch, tokens, 2, self.heads, -1)
        k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, L, d)
        q = self.query.view(1, 1, self.heads, -1).transpose(1, 2).expand(batch, -1, -1, -1)
        h = self.proj(functional.scaled_dot_product_attention(q, k, v).flatten(1))
        h = h + self.fc2(self.act(self.fc1(self.mlp_norm(h))))
        features: Tensor = self.feature_norm(h)
        return features


def tail_of(model: VisionTransformer | Eva) -> TokenTail | LatentTail:
    """The tail of timm's ViT or EVA, by its pooling.

    Raises:
        UnsupportedBackbone: a pooling that is not known here.
    """
    if isinstance(model.attn_pool, AttentionPoolLatent):
        tokens = model.patch_embed.num_patches + model.num_prefix_tokens
        return LatentTail(model.norm, model.attn_pool, model.fc_norm, tokens=tokens)
    if model.global_pool not in ("token", "avg") or model.attn_pool is not None:
        raise UnsupportedBackbone(f"pooling {model.global_pool!r} is not supported, only 'token', 'avg' and 'map'")
    return TokenTail(model)


def flatten(model: VisionTransformer) -> tuple[VitStem, list[SubLayer], TokenTail | LatentTail]:
    """Stem, sub-layers and tail of timm's ViT. They take over the modules of `model`: do not use it afterwards.

    Raises:
        UnsupportedBackbone: the variant has parts that the sub-layers here do not compute.
    """
    if type(model.patch_embed) is not PatchEmbed or model.pos_embed is None or model.dynamic_img_size:
        raise UnsupportedBackbone("only plain patch embedding with a learned position embedding is supported")
    tokens = model.patch_embed.num_patches + model.num_prefix_tokens
    sites: list[SubLayer] = []
    for block in model.blocks:
        sites.extend(_sub_layers(block, len(sites), tokens))
    return VitStem(model), sites, tail_of(model)


def _sub_layers(block: nn.Module, index: int, tokens: int) -> Iterator[SubLayer]:
    """The attention and the MLP sub-layer of one block."""
    if not isinstance(block, Block) or type(block.attn) is not Attention or type(block.mlp) is not TimmMlp:
        raise UnsupportedBackbone(f"block type {type(block).__name__} with its layers is not supported")
    attn, mlp = block.attn, block.mlp
    extras = (attn.q_norm, attn.k_norm, attn.norm, mlp.norm)
    if attn.gate is not None or not all(isinstance(extra, nn.Identity) for extra in extras):
        raise UnsupportedBackbone("attention with query/key norms or gates, or an MLP with a norm, is not supported")
    attention = GlobalAttention(block.norm1, attn.qkv, attn.proj, heads=attn.num_heads, scale=block.ls1)
    shape = (tokens, attn.proj.out_features)
    yield SubLayer(index, attention, shape=shape)
    yield SubLayer(index + 1, Mlp(block.norm2, mlp.fc1, mlp.act, mlp.fc2, scale=block.ls2), shape=shape)
