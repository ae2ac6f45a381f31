"""CvT-13 written the plain way: nested modules under the public names, softmax spelled out, no flat list."""

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

STAGES = ((3, 64, 1, 1), (64, 192, 2, 3), (192, 384, 10, 6))  # channels in, channels, blocks, heads


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def convolution(dim: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(dim, dim, 3, stride, 1, groups=dim, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(dim)))


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        for letter, stride in (("q", 1), ("k", 2), ("v", 2)):
            self.add_module(f"conv_proj_{letter}", convolution(dim, stride))
            self.add_module(f"proj_{letter}", nn.Linear(dim, dim))
        self.proj = nn.Linear(dim, dim)

    def projected(self, letter: str, cls: Tensor | None, image: Tensor) -> Tensor:
        tokens = self.get_submodule(f"conv_proj_{letter}")(image).flatten(2).transpose(1, 2)
        tokens = tokens if cls is None else torch.cat([cls, tokens], 1)
        tokens = self.get_submodule(f"proj_{letter}")(tokens)
        return torch.stack(tokens.chunk(self.heads, dim=-1), dim=1)  # (B, heads, T, d)

    def forward(self, cls: Tensor | None, image: Tensor) -> Tensor:
        q, k, v = (self.projected(letter, cls, image) for letter in "qkv")
        weights = torch.softmax(q @ k.transpose(-2, -1) / image.shape[1] ** 0.5, dim=-1)
        out: Tensor = self.proj(torch.cat((weights @ v).unbind(1), dim=-1))
        return out


class Block(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, 4 * dim), "fc2": nn.Linear(4 * dim, dim)})

    def forward(self, x: Tensor, side: int) -> Tensor:
        normed = self.norm1(x)
        cls = normed[:, :1] if x.shape[1] > side * side else None
        patches = normed[:, x.shape[1] - side * side :]
        x = x + self.attn(cls, patches.transpose(1, 2).reshape(len(x), -1, side, side))
        out: Tensor = x + self.mlp["fc2"](quick_gelu(self.mlp["fc1"](self.norm2(x))))
        return out


class Stage(nn.Module):
    def __init__(self, index: int) -> None:
        super().__init__()
        channels, dim, depth, heads = STAGES[index]
        kernel, stride, padding = (3, 2, 1) if index else (7, 4, 2)
        proj, norm = nn.Conv2d(channels, dim, kernel, stride, padding), nn.LayerNorm(dim)
        self.patch_embed = nn.ModuleDict({"proj": proj, "norm": norm})
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        if index == 2:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        image = self.patch_embed["proj"](image)
        side = image.shape[-1]
        x = self.patch_embed["norm"](image.flatten(2).transpose(1, 2))
        if hasattr(self, "cls_token"):
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x, side)
        cls, patches = x[:, :1], x[:, x.shape[1] - side * side :]
        return patches.transpose(1, 2).reshape(len(x), -1, side, side), cls


class Reference(nn.Module):
    """With its classifier, as the public checkpoint has it."""

    def __init__(self) -> None:
        super().__init__()
        self.stage0, self.stage1, self.stage2 = Stage(0), Stage(1), Stage(2)
        self.norm, self.head = nn.LayerNorm(384), nn.Linear(384, 1000)

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, 384) in front of the classifier."""
        _, cls = self.stage2(self.stage1(self.stage0(images)[0])[0])
        features: Tensor = self.norm(cls).squeeze(1)
        return features


def random_reference() -> Reference:
    """Constant initial values are changed, batch norm's statistics included, so that each value counts."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Reference().eval()
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.05, 1)
            elif value.ndim == 1 or name.endswith("cls_token"):
                value.add_(0.2 * torch.randn_like(value))
    return model


# Hugging Face's names, spelled out one by one for each kind of tensor.
BLOCK_NAMES = {
    "attn.conv_proj_q.conv": "attention.attention.convolution_projection_query.convolution_projection.convolution",
    "attn.conv_proj_q.bn": "attention.attention.convolution_projection_query.convolution_projection.normalization",
    "attn.conv_proj_k.conv": "attention.attention.convolution_projection_key.convolution_projection.convolution",
    "attn.conv_proj_k.bn": "attention.attention.convolution_projection_key.convolution_projection.normalization",
    "attn.conv_proj_v.conv": "attention.attention.convolution_projection_value.convolution_projection.convolution",
    "attn.conv_proj_v.bn": "attention.attention.convolution_projection_value.convolution_projection.normalization",
    "attn.proj_q": "attention.attention.projection_query",
    "attn.proj_k": "attention.attention.projection_key",
    "attn.proj_v": "attention.attention.projection_value",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
}


def hugging_face(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors as `CvtForImageClassification` names them."""
    return {_hugging_face_name(name): tensor for name, tensor in tensors.items()}


def _hugging_face_name(name: str) -> str:
    if not name.startswith("stage"):
        return name.replace("norm.", "layernorm.").replace("head.", "classifier.")
    stage, rest = f"cvt.encoder.stages.{name[5]}", name[7:]
    if rest == "cls_token":
        return f"{stage}.cls_token"
    if rest.startswith("patch_embed"):
        _, part, kind = rest.split(".")
        part = {"proj": "projection", "norm": "normalization"}[part]
        return f"{stage}.embedding.convolution_embeddings.{part}.{kind}"
    _, block, part = rest.split(".", 2)
    part, _, kind = part.rpartition(".")
    return f"{stage}.layers.{block}.{BLOCK_NAMES[part]}.{kind}"
