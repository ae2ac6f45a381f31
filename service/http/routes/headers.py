"""Headers that several routes read: preconditions, and checksums of uploads. Documented here, parsed elsewhere."""

from typing import Annotated

from fastapi import Depends, Header, Request

from service.tasks import checksums, conditions
from service.tasks.checksums import Checksums
from service.tasks.conditions import Condition

_IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="the generation of the task as last seen, in quotes: 409 if it has moved since; *: it must exist",
        examples=['"17"'],
    ),
]
_IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="*: 409 if there is such a task", examples=["*"])
]
_Checksum = "a SHA-256 of the file, in base64, checked before anything else"
_EMPTY = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # of no bytes: an example that anyone can check
_ReprDigest = Annotated[
    str | None, Header(alias="Repr-Digest", description=_Checksum, examples=[f"sha-256=:{_EMPTY}:"])
]
_ContentDigest = Annotated[str | None, Header(alias="Content-Digest", description=f"as Repr-Digest: {_Checksum}")]
_Digest = Annotated[str | None, Header(alias="Digest", description=_Checksum, examples=[f"sha-256={_EMPTY}"])]


async def _expected(request: Request, _if_match: _IfMatch = None) -> Condition:
    return conditions.parse(request.headers.getlist("if-match"))  # a header may come several times


async def _fresh(request: Request, _if_match: _IfMatch = None, _if_none_match: _IfNoneMatch = None) -> Condition:
    headers = request.headers
    return conditions.parse(headers.getlist("if-match"), headers.getlist("if-none-match"))


async def _claimed(
    request: Request,
    _repr: _ReprDigest = None,
    _content: _ContentDigest = None,
    _old: _Digest = None,
) -> Checksums:
    return Checksums(checksums.parse({name: request.headers.getlist(name) for name in checksums.HEADERS}))


Expected = Annotated[Condition, Depends(_expected)]
Fresh = Annotated[Condition, Depends(_fresh)]
Claimed = Annotated[Checksums, Depends(_claimed)]
