"""Turns a caller's images, files, names and preconditions into parts of a request. Invalid ones are refused unsent."""

import io
import os
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias, cast

from service.client.errors import InvalidArgument
from service.inputs.checksums import repr_digest
from service.schemas import ALIAS_PATTERN, TASK_PATTERN


class Savable(Protocol):
    """The part of Pillow's images that is used here. Pillow itself is not needed."""

    mode: str
    info: Mapping[Any, Any]

    def save(self, fp: IO[bytes], format: str, /, *, exif: bytes) -> None:
        """Write an image file of this format, with this metadata."""

    def convert(self, mode: str, /) -> "Savable":
        """The same image in another mode."""

    def getexif(self) -> Mapping[int, object]:
        """Its metadata by number."""


class Array(Protocol):
    """The part of NumPy's arrays that is used here. NumPy itself is not needed."""

    @property
    def __array_interface__(self) -> Mapping[str, Any]:
        """Type and shape."""

    def tobytes(self) -> bytes:
        """The elements, row after row."""


class Readable(Protocol):
    """A file that is open for reading bytes."""

    def read(self) -> bytes:
        """All remaining bytes."""


File: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | Readable
Image: TypeAlias = File | Savable | Array
Images: TypeAlias = Image | Sequence[Image]

_ORIENTATION = 0x0112
_TURNED = range(2, 9)
_EXIF = b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHI", _ORIENTATION, 3, 1) + b"%c\0\0\0\0\0\0\0"
_PNG_MODES = frozenset({"1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"})
_CONVERTED = {"CMYK": "RGB", "YCbCr": "RGB", "RGBX": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}
_CHANNELS = {1: 0, 2: 4, 3: 2, 4: 6}  # of an array: PNG's number for gray, gray and alpha, RGB, RGBA
_TAKEN = "bytes, a path, a file open for bytes, a Pillow image or a uint8 array of (height, width, channels)"


def encoded(images: Images) -> tuple[bytes, ...]:
    """Image files, in their order. Decoded images become PNG, which is lossless.

    Raises:
        InvalidArgument: there is none, or one is not an image.
        OSError: a file cannot be read.
    """
    several = isinstance(images, Sequence) and not isinstance(images, bytes | bytearray | memoryview | str)
    files = tuple(_encoded(image) for image in images) if several else (_encoded(images),)  # type: ignore[union-attr, arg-type]
    if not files or not all(files):
        raise InvalidArgument("images: give at least one, and none that is empty or a file that was read to its end")
    return files


def _encoded(image: Image) -> bytes:
    if hasattr(image, "save") and hasattr(image, "getexif"):
        return _of_pillow(cast(Savable, image))
    if hasattr(image, "__array_interface__"):
        return _of_array(cast(Array, image))
    return _bytes_of(image, f"images: give {_TAKEN}")


def _of_pillow(image: Savable) -> bytes:
    """PNG with its EXIF, for the orientation. Pillow itself writes a colour profile."""
    exif = _exif(image)
    if image.mode in _CONVERTED:
        image = image.convert(_CONVERTED[image.mode])
    if image.mode not in _PNG_MODES:
        raise InvalidArgument("images: a Pillow image of this mode cannot be sent; convert it to RGB")
    buffer = io.BytesIO()
    try:
        image.save(buffer, "PNG", exif=exif)
    except (OSError, ValueError, SyntaxError) as error:  # opened from a file that is damaged or closed by now
        raise InvalidArgument(f"images: this Pillow image cannot be read ({error})") from error
    return buffer.getvalue()


def _exif(image: Savable) -> bytes:
    """Its EXIF bytes as they are; else, for other formats, EXIF with the orientation alone."""
    came = image.info.get("exif")
    if isinstance(came, bytes):
        return came
    try:
        value = image.getexif().get(_ORIENTATION)
    except Exception:  # damaged metadata makes Pillow raise nearly anything, and says nothing about the pixels
        return b""
    return _EXIF % value if isinstance(value, int) and value in _TURNED else b""


def _of_array(array: Array) -> bytes:
    """PNG of (height, width) or (height, width, channels), uint8."""
    interface = array.__array_interface__
    kind, shape = interface["typestr"], tuple(interface["shape"])
    height, width, channels = (*shape, 1)[:3] if len(shape) in (2, 3) else (0, 0, 0)
    if kind != "|u1" or channels not in _CHANNELS or not height or not width:
        raise InvalidArgument("images: an array is uint8 of (height, width) or (height, width, 1 to 4 channels)")
    data, row = array.tobytes(), width * channels
    rows = b"".join(b"\0" + data[at : at + row] for at in range(0, len(data), row))
    header = struct.pack(">IIBBBBB", width, height, 8, _CHANNELS[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def read_file(file: File) -> bytes:
    """The bytes themselves, the rest of an open file, or the file at a path.

    Raises:
        InvalidArgument: it is none of these.
        OSError: it cannot be read.
    """
    return _bytes_of(file, "file: give bytes, a path, or a file open for bytes")


def _bytes_of(file: File, refusal: str) -> bytes:
    if isinstance(file, bytes | bytearray | memoryview):
        return bytes(file)
    if isinstance(file, str | os.PathLike):
        if "\0" in os.fspath(file):
            raise InvalidArgument(refusal)
        return Path(file).read_bytes()
    try:
        data = file.read()
    except (AttributeError, TypeError, ValueError) as error:  # nothing to read from, or closed
        raise InvalidArgument(refusal) from error
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InvalidArgument(refusal)
    return bytes(data)


def task_path(task: str) -> str:
    """The path of a task.

    Raises:
        InvalidArgument: this is not a task id.
    """
    if not re.fullmatch(TASK_PATTERN, task):
        raise InvalidArgument("task: a task id is a-z, 0-9, _ and -, at most 64 of them")
    return f"/v1/tasks/{task}"


def version_path(task: str, version: int) -> str:
    """The path of a version; raises InvalidArgument as `task_path`, or if the number is below 1."""
    if version < 1:
        raise InvalidArgument("version: versions are numbered from 1")
    return f"{task_path(task)}/versions/{version}"


def alias_path(task: str, alias: str) -> str:
    """The path of an alias; raises InvalidArgument as `task_path`."""
    return f"{task_path(task)}/aliases/{alias_name(alias)}"


def alias_name(alias: str) -> str:
    """The alias itself; raises InvalidArgument if it is malformed."""
    if not re.fullmatch(ALIAS_PATTERN, alias):
        raise InvalidArgument("alias: an alias is a-z, 0-9, _ and -, a letter first, at most 64 of them")
    return alias


def precondition(generation: int | None) -> Mapping[str, str]:
    """The header that makes a change a compare-and-swap; 0: the task must not exist yet; None: no condition."""
    if generation is None:
        return {}
    return {"If-Match": f'"{generation}"'} if generation else {"If-None-Match": "*"}


def checksum(data: bytes, claimed: str | None) -> Mapping[str, str]:
    """The header that lets the server check a file.

    Args:
        data: the file.
        claimed: its SHA-256 in hex as known from elsewhere; None: computed here.

    Raises:
        InvalidArgument: `claimed` is not a SHA-256, or not that of the file.
    """
    digest = sha256(data).hexdigest()
    if claimed is not None and claimed.lower() != digest:
        raise InvalidArgument("sha256: it is not that of this file")
    return {"Repr-Digest": repr_digest(digest)}
