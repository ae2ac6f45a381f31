"""The choice of the version of a canary: at random, or always the same one for a key.

`X-Canary-Key` is any text, such as the name of a customer. `X-Canary-By: image` takes the hash of the images instead,
so that the same image gets the same version from every client. gRPC's metadata has the same names.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from service.errors import MalformedHeader
from service.inputs.decoding import Picture

KEY, BY, IMAGE = "X-Canary-Key", "X-Canary-By", "image"

_TEXT = re.compile(r"[\x21-\x7e]{1,256}")


@dataclass(frozen=True, slots=True)
class Stickiness:
    """A request's wishes about canaries.

    Attributes:
        key: the key that always gets the same version; None: there is none, or it is not known yet.
        by_image: whether the key is the hash of the images.
    """

    key: str | None = None
    by_image: bool = False


_BY_CHANCE = Stickiness()


def read_stickiness(keys: Sequence[str], kinds: Sequence[str]) -> Stickiness:
    """Read all values of the two headers.

    Raises:
        MalformedHeader: no key, more than one, or something else than `image`.
    """
    if not keys and not kinds:
        return _BY_CHANCE
    if len(keys) + len(kinds) > 1:
        raise MalformedHeader(f"give one {KEY}, or {BY}")
    if kinds and kinds[0].lower() != IMAGE:
        raise MalformedHeader(f"{BY} takes the word {IMAGE}")
    if keys and not _TEXT.fullmatch(keys[0]):
        raise MalformedHeader(f"{KEY} is 1 to 256 visible ASCII characters")
    return Stickiness(keys[0] if keys else None, by_image=bool(kinds))


def hash_of(images: Sequence[Picture]) -> str:
    """The key of images: their hash, in their order."""
    parts = (sha256(image if isinstance(image, bytes) else image.tobytes()).digest() for image in images)
    return sha256(b"".join(parts)).hexdigest()
