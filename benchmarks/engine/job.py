"""What a worker is given to do: plain values that travel on its command line, and files in one folder.

The folder (see material.py) holds the weights, the images and the adapters that all contestants share. Needs numpy and
the standard library alone: workers of peers run it in environments of their own.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Call = Callable[[], object]  # computes once; returns an array, a tensor, or what `as_array` makes one of
# Files of the folder: two networks, images, and what our contestants write for their peers.
WEIGHTS, VIT_WEIGHTS, IMAGES = "weights.safetensors", "vit.safetensors", "images.npy"
HEADS, VIT_ADAPTERS = "heads.npz", "vit_adapters.npz"
SWIN, VIT = "swin_tiny_patch4_window7_224", "vit_small_patch16_224"  # timm's names


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of the two networks; `QUICK` shows in little time that everything works, and no figure of it is a claim."""

    embed_dim: int
    depths: tuple[int, int, int, int]  # blocks of Swin's stages
    vit_depth: int  # blocks of the ViT

    @property
    def swin(self) -> dict[str, Any]:
        """As arguments of timm's Swin, and of Hugging Face's."""
        return {"embed_dim": self.embed_dim, "depths": list(self.depths)}

    @property
    def stages(self) -> list[int]:
        """First site of each of Swin's stages."""
        return [2 * sum(self.depths[:stage]) for stage in range(len(self.depths))]


FULL, QUICK = Sizes(96, (2, 2, 6, 2), 12), Sizes(24, (2, 2, 2, 2), 1)


@dataclass(frozen=True, slots=True)
class Job:
    """One worker's task.

    Attributes:
        module: `build(job) -> Calls` of this module makes what is timed.
        folder: the shared material.
        threads: for everything that computes.
        quick: whether the networks are the small ones.
        options: whatever else the module wants to know, as JSON values.
    """

    module: str
    folder: str
    threads: int
    quick: bool = False
    options: dict[str, object] = field(default_factory=dict)

    @property
    def sizes(self) -> Sizes:
        """Of the networks."""
        return QUICK if self.quick else FULL

    def path(self, name: str) -> Path:
        """A file of the shared material."""
        return Path(self.folder) / name

    def images(self, count: int | None = None, *, name: str = IMAGES) -> np.ndarray:
        """The first `count` images: float32 (B, 3, H, W), normalised."""
        return np.ascontiguousarray(np.load(self.path(name))[:count])

    def number(self, option: str) -> int:
        """An option that must be an integer."""
        value = self.options[option]
        if not isinstance(value, int):
            raise TypeError(f"{option} must be an integer, not {value!r}")
        return value

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """The job of a line."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Calls:
    """What a module built: calls by name, and what is worth knowing about them (versions, bytes, settings)."""

    calls: Mapping[str, Call]
    facts: Mapping[str, object] = field(default_factory=dict)


def as_array(value: object) -> np.ndarray:
    """An array of an array, of a torch tensor (which has `detach`), or of a list of them, one for each row."""
    if isinstance(value, list):
        return np.stack([as_array(item) for item in value])
    detach = getattr(value, "detach", None)
    return np.asarray(detach().cpu().float().numpy() if detach else value)
