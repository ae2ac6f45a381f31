"""From what a caller has to what is sent: images, files, names, preconditions. Refuses before anything is sent."""

import io
import os
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO, Protocol, TypeAlias

from service.checksums import repr_digest
from service.client.errors import InvalidArgument
from service.schemas import ALIAS_PATTERN, TASK_PATTERN


class Savable(Protocol):
    """What an image of Pillow can do; Pillow itself is not needed."""

    def save(self, fp: IO[bytes], format: str, /) -> None:
        """Write an image file of this format."""


File: TypeAlias = bytes | str | os.PathLike[str]
Image: TypeAlias = File | Savable
Images: TypeAlias = Image | Sequence[Image]


def encoded(images: Images) -> tuple[bytes, ...]:
    """Image files, in their order; what has no bytes yet becomes PNG, which loses nothing.

    Raises:
        InvalidArgument: there is none.
        OSError: a file cannot be read, or a picture cannot be written as PNG.
    """
    several = isinstance(images, Sequence) and not isinstance(images, bytes | str)
    files = tuple(_encoded(image) for image in images) if several else (_encoded(images),)  # type: ignore[union-attr, arg-type]
    if not files or not all(files):
        raise InvalidArgument("images: give at least one, and none that is empty")
    return files


def _encoded(image: Image) -> bytes:
    if isinstance(image, bytes | str | os.PathLike):
        return read_file(image)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def read_file(file: File) -> bytes:
    """The bytes themselves, or those of the file at a path.

    Raises:
        OSError: it cannot be read.
    """
    return file if isinstance(file, bytes) else Path(file).read_bytes()


def task_path(task: str) -> str:
    """The path of a task.

    Raises:
        InvalidArgument: this is no task id, and could lead to another path.
    """
    if not re.fullmatch(TASK_PATTERN, task):
        raise InvalidArgument("task: a task id is a-z, 0-9, _ and -, at most 64 of them")
    return f"/v1/tasks/{task}"


def version_path(task: str, version: int) -> str:
    """The path of a version; raises InvalidArgument as `task_path`, or where it is below 1."""
    if version < 1:
        raise InvalidArgument("version: versions are numbered from 1")
    return f"{task_path(task)}/versions/{version}"


def alias_path(task: str, alias: str) -> str:
    """The path of an alias; raises InvalidArgument as `task_path`."""
    return f"{task_path(task)}/aliases/{alias_name(alias)}"


def alias_name(alias: str) -> str:
    """The alias itself; raises InvalidArgument where it is none."""
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
        InvalidArgument: the claim is no SHA-256, or another file's.
    """
    digest = sha256(data).hexdigest()
    if claimed is not None and claimed.lower() != digest:
        raise InvalidArgument("sha256: it is not that of this file")
    return {"Repr-Digest": repr_digest(digest)}
