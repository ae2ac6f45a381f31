"""The choice of the version of a canary: at random, or always the same one for the key in a header.

`X-Canary-Key` is any text, such as the name of a customer. `X-Canary-By: image` takes the hash of the images instead,
so that the same image gets the same version from every client.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Header, Request

from service.decoding import Picture
from service.errors import MalformedHeader
from service.service import Service

_KEY, _BY = "X-Canary-Key", "X-Canary-By"
_IMAGE = "image"
_TEXT = re.compile(r"[\x21-\x7e]{1,256}")


@dataclass(frozen=True, slots=True)
class Stickiness:
    """The canary headers of a request.

    Attributes:
        key: the key that always gets the same version; None: there is none, or it is not known yet.
        by_image: whether the key is the hash of the images.
    """

    key: str | None = None
    by_image: bool = False


_BY_CHANCE = Stickiness()


def stickiness(request: Request) -> Stickiness:
    """Read the canary headers of a request.

    Raises:
        MalformedHeader: no key, more than one, or something else than `image`.
    """
    keys, kinds = request.headers.getlist(_KEY), request.headers.getlist(_BY)
    if not keys and not kinds:
        return _BY_CHANCE
    if len(keys) + len(kinds) > 1:
        raise MalformedHeader(f"give one {_KEY}, or {_BY}")
    if kinds and kinds[0].lower() != _IMAGE:
        raise MalformedHeader(f"{_BY} takes the word {_IMAGE}")
    if keys and not _TEXT.fullmatch(keys[0]):
        raise MalformedHeader(f"{_KEY} is 1 to 256 visible ASCII characters")
    return Stickiness(keys[0] if keys else None, by_image=bool(kinds))


async def key_of_images(service: Service, images: Sequence[Picture]) -> str:
    """The key of images: their hash, in their order."""
    return await service.decoder.offload(lambda: _hash(images))


def _hash(images: Sequence[Picture]) -> str:
    parts = (sha256(image if isinstance(image, bytes) else image.tobytes()).digest() for image in images)
    return sha256(b"".join(parts)).hexdigest()


async def _headers(
    _key: Annotated[
        str | None,
        Header(
            alias=_KEY,
            description="requests with the same text get the same version of a canary while its weights stand",
            examples=["customer-17"],
        ),
    ] = None,
    _by: Annotated[
        str | None,
        Header(alias=_BY, description="`image`: the images' hash is the key instead", examples=[_IMAGE]),
    ] = None,
) -> None:
    """For the OpenAPI document; `stickiness` reads them."""


StickyHeaders = Annotated[None, Depends(_headers)]
