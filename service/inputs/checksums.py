"""Checksums that a client sends with a file: Digest (RFC 3230), Content-Digest and Repr-Digest (RFC 9530).

Only SHA-256 is read. Other algorithms may come beside it, but not alone. For a form, clients compute the checksum of
the whole body or of the file in it. Both are accepted, because both detect a wrong byte of the file.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence

from service.errors import ChecksumMismatch, MalformedHeader

OLD = "digest"
HEADERS = (OLD, "content-digest", "repr-digest")
SHA256_BYTES = 32

_OLD_MEMBER = re.compile(r"([A-Za-z0-9-]+)=([A-Za-z0-9+/=]+)")  # an algorithm and base64
_MEMBER = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):(?:;[^,]*)?")  # the same as a structured field


def parse(headers: Mapping[str, Sequence[str]]) -> frozenset[bytes]:
    """The SHA-256 digests (32 bytes each) that the values of `HEADERS`, by lower-case name, claim.

    Raises:
        MalformedHeader: one of them cannot be read, or names no SHA-256.
    """
    return frozenset(claim for name in HEADERS if headers.get(name) for claim in _claims(name, headers[name]))


def _claims(name: str, values: Iterable[str]) -> list[bytes]:
    pattern = _OLD_MEMBER if name == OLD else _MEMBER
    found = [pattern.fullmatch(member.strip()) for value in values for member in value.split(",")]
    claims = [_decode(name, member[2]) for member in found if member and member[1].lower() == "sha-256"]
    if not claims or not all(found):
        raise MalformedHeader(f"{name} must carry a sha-256, in base64")
    return claims


def _decode(name: str, text: str) -> bytes:
    try:
        claim = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise MalformedHeader(f"{name}: the sha-256 is not base64") from None
    if len(claim) != SHA256_BYTES:
        raise MalformedHeader(f"{name}: a sha-256 has {SHA256_BYTES} bytes")
    return claim


class Checksums:
    """The digests that a client claims, compared with the body while it passes."""

    def __init__(self, claims: frozenset[bytes] = frozenset()) -> None:
        self.claims = claims
        self._body = hashlib.sha256()

    async def watch(self, body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The same body; its pieces are hashed while they pass."""
        async for chunk in body:
            if self.claims:
                self._body.update(chunk)
            yield chunk

    def verify(self, sha256: str) -> None:
        """Compare the claims with the SHA-256 of the body, and with that of the file in it (`sha256`, hex).

        Raises:
            ChecksumMismatch: one of the checksums is neither the file's nor the body's.
        """
        if not self.claims <= {bytes.fromhex(sha256), self._body.digest()}:
            raise ChecksumMismatch("the bytes that arrived do not give the checksum that came with them")


def repr_digest(sha256: str) -> str:
    """The value of Repr-Digest for a SHA-256 in hex."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"
