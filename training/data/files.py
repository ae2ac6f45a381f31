"""Images as files of their own, read and decoded when asked for. Knows nothing of where the list of them came from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backbone.images import ImageLimits
from training.data.errors import UnreadableImage
from training.data.sets import decode_from

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")  # ends of names, in lower case

# Of sets whose images are what they are: DomainNet's infographics are longer and larger than a server should accept.
# Pixels stay below where Pillow suspects an attack.
PUBLISHED_LIMITS = ImageLimits(
    max_bytes=100 * 2**20, max_pixels=80_000_000, max_side=2**16, min_side=1, max_aspect=2**16
)


@dataclass(frozen=True, slots=True, eq=False)
class FileSet:
    """The images of one split; `limits` are the server's unless given."""

    name: str
    labels: tuple[str, ...]
    targets: NDArray[np.int64]  # (n,)
    files: tuple[Path, ...]
    limits: ImageLimits | None = None

    def __len__(self) -> int:
        return len(self.files)

    def image(self, i: int) -> Image.Image:
        """Image `i`, read and decoded now."""
        try:
            data = self.files[i].read_bytes()
        except OSError as error:
            raise UnreadableImage(f"{self.where(i)}: {error.strerror}") from error
        return decode_from(data, self.where(i), self.limits)

    def where(self, i: int) -> str:
        """Its path."""
        return str(self.files[i])
