"""The training loop that most people would write: timm's model in eager float32, PIL augmentation image by image.

The baseline of `benchmarks.training`: the same weights, adapters, optimiser and augmentation as ours, none of our code.
"""

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from backbone import SiteWeights, shipped, shipped_config
from training.fit import logits_of
from training.model import AdaptedModel
from training.options import FitOptions


class WithAdapter(nn.Module):
    """A frozen module and an adapter behind it."""

    def __init__(self, module: nn.Module, weights: SiteWeights) -> None:
        super().__init__()
        self.module = module
        self.down, self.up = (nn.Parameter(weight.detach().clone()) for weight in weights)

    def forward(self, x: Tensor, *arguments: object, **named: object) -> Tensor:
        """The module's output h, and h + W_up · GELU(W_down · h)."""
        h: Tensor = self.module(x, *arguments, **named)
        return h + functional.linear(functional.gelu(functional.linear(h, self.down)), self.up)


def plain_model(sites: dict[int, SiteWeights], head: nn.Linear) -> nn.Module:
    """timm's Swin with the bundled weights, adapters at `sites`, and `head`; nothing else trains."""
    model = SwinTransformer(**shipped_config()["model_args"])
    model.load_state_dict({name: value.float() for name, value in load_file(shipped() / "model.safetensors").items()})
    model.requires_grad_(False)
    blocks = [block for stage in model.layers for block in stage.blocks]
    for site, weights in sites.items():
        block, name = blocks[site // 2], ("attn", "mlp")[site % 2]
        setattr(block, name, WithAdapter(getattr(block, name), weights))
    model.head.fc = nn.Linear(head.in_features, head.out_features)
    model.head.fc.load_state_dict(head.state_dict())
    found: nn.Module = model
    return found


def check_equal(model: AdaptedModel, baseline: nn.Module, pixels: Tensor) -> None:
    """Check that both models compute the same logits before they train.

    Raises:
        ValueError: they do not. Their times could not be compared.
    """
    with torch.no_grad():
        ours = logits_of(model.eval(), pixels)
        theirs = baseline.eval()(model.backbone.preprocessing.normalize(pixels))
    if not torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4):
        raise ValueError("the plain model computes other logits than ours")


class PilImages(Dataset[tuple[Tensor, int]]):
    """Decoded images, augmented one by one when they are asked for."""

    def __init__(self, pixels: Tensor, targets: Tensor, fit: FitOptions, statistics: tuple[list[float], ...]) -> None:
        self.images = [Image.fromarray(np.asarray(image)) for image in pixels.cpu()]
        self.targets = targets.tolist()
        size, reach = pixels.shape[1], (1 - fit.jitter, 1 + fit.jitter)
        self.transform = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(0.5 if fit.flip else 0.0),
                transforms.RandomCrop(size, padding=fit.shift, padding_mode="edge"),
                transforms.RandomAffine(
                    fit.rotate,
                    scale=(1 - fit.zoom, 1 + fit.zoom),
                    interpolation=transforms.InterpolationMode.BILINEAR,
                ),
                transforms.ColorJitter(brightness=reach, contrast=reach),
                transforms.ToTensor(),
                transforms.Normalize(*statistics),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.targets[index]


def train_plainly(model: nn.Module, images: PilImages, fit: FitOptions, *, workers: int) -> float:
    """One epoch; the mean loss."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=fit.peak_rate, weight_decay=fit.weight_decay)
    device = trained[0].device
    loader = DataLoader(images, fit.batch_size, shuffle=True, num_workers=workers, pin_memory=device.type == "cuda")
    total = 0.0
    model.train()
    for batch, targets in loader:
        logits, classes = model(batch.to(device, non_blocking=True)), targets.to(device, non_blocking=True)
        loss = functional.cross_entropy(logits, classes, label_smoothing=fit.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, fit.clip)
        optimizer.step()
        total += loss.item() * len(targets)
    return total / len(images)
