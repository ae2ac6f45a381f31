"""The headers that choose the version of a canary; `service.inputs.stickiness` says what they mean."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Header, Request

from service.inputs.decoding import Picture
from service.inputs.stickiness import BY, IMAGE, KEY, Stickiness, hash_of, read_stickiness
from service.service import Service


def stickiness(request: Request) -> Stickiness:
    """Read the canary headers of a request.

    Raises:
        MalformedHeader: no key, more than one, or something else than `image`.
    """
    return read_stickiness(request.headers.getlist(KEY), request.headers.getlist(BY))


async def key_of_images(service: Service, images: Sequence[Picture]) -> str:
    """The key of images: their hash, in their order."""
    return await service.decoder.offload(lambda: hash_of(images))


async def _headers(
    _key: Annotated[
        str | None,
        Header(
            alias=KEY,
            description="requests with the same text get the same version of a canary while its weights stand",
            examples=["customer-17"],
        ),
    ] = None,
    _by: Annotated[
        str | None,
        Header(alias=BY, description="`image`: the images' hash is the key instead", examples=[IMAGE]),
    ] = None,
) -> None:
    """For the OpenAPI document; `stickiness` reads them."""


StickyHeaders = Annotated[None, Depends(_headers)]
