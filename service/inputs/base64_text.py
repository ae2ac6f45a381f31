"""Base64 as clients write it: either alphabet, with line ends or without, padded or not, or in a data URI."""

import base64
import binascii
import re

_DATA_URI = re.compile(
    r"data:[\w.+-]{1,64}/[\w.+-]{1,64}(?:;[\w.+-]{1,64}=[\w.+-]{1,64}){0,4};base64,", re.ASCII | re.IGNORECASE
)
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_LINE_ENDS = b"\r\n\t "  # PEM and MIME break base64 into lines
_MOST_PADDING = 2


def from_base64(text: str) -> bytes | None:
    """The bytes of base64, or of a data URI of it; None where it is neither.

    Both alphabets are read (RFC 4648, sections 4 and 5), with line ends or without, padded or not.
    """
    start = _DATA_URI.match(text)
    try:
        encoded = (text[start.end() :] if start else text).encode("ascii").translate(_URL_SAFE, _LINE_ENDS)
        bare = encoded.rstrip(b"=")
        if len(encoded) - len(bare) > _MOST_PADDING:
            return None
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
