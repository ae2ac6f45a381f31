"""Small networks with random weights, and parts of such."""

import torch
from timm.models.eva import Eva
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from backbone import Backbone, flatten
from backbone.layers import Mlp


def swin(**changes: object) -> Backbone:
    """Two blocks, the second with shifted windows."""
    shape = {"img_size": 32, "patch_size": 4, "embed_dim": 16, "depths": (2,), "num_heads": (2,), "window_size": 4}
    model = SwinTransformer(**{**shape, **changes})
    model.pretrained_cfg = {"input_size": (3, 32, 32)}
    model.reset_classifier(0)
    return flatten("a small swin", model)


def vit() -> Backbone:
    """Two blocks with LayerScale."""
    model = VisionTransformer(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, init_values=0.5)
    model.pretrained_cfg = {"input_size": (3, 32, 32)}
    model.reset_classifier(0)
    return flatten("a small vit", model)


def eva() -> Backbone:
    """Two blocks as DINOv3 has them: rotary positions in the attention, plain MLPs."""
    model = Eva(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, init_values=0.5, use_rot_pos_emb=True)
    model.pretrained_cfg = {"input_size": (3, 32, 32)}
    model.reset_classifier(0)
    return flatten("a small eva", model)


class Scale(nn.Module):
    """As timm's LayerScale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.randn(channels), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


def mlp(channels: int, hidden: int, scale: nn.Module | None = None) -> Mlp:
    """A frozen one with random weights."""
    linear = (nn.Linear(channels, hidden), nn.Linear(hidden, channels))
    module = Mlp(nn.LayerNorm(channels), linear[0], nn.GELU(), linear[1], scale=scale)
    return module.requires_grad_(requires_grad=False)
