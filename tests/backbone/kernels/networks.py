"""Small networks with random weights."""

from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer

from backbone import Backbone, flatten


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
