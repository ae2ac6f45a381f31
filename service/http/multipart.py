"""A multipart/form-data body as parts in memory, every limit enforced while the bytes arrive.

Nothing touches the disk, and a part's file name is never read. A part is a file if it has a file name. A part without
one is a file if its form name is one of `FILE_NAMES`: some clients send no file name (`curl -F image=<photo.png`).
Knows nothing of images or adapters.
"""

from collections.abc import AsyncIterable
from dataclasses import dataclass, field

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from service.errors import BodyTooLarge, InvalidRequest, MalformedForm

FILE_NAMES = frozenset({"image", "images", "file"})

_MAX_FIELD_BYTES = 1024
_MAX_FIELDS = 8


@dataclass(slots=True, eq=False)
class Part:
    """One part: its form name, whether it is a file, and its bytes."""

    name: str
    is_file: bool
    data: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class FormLimits:
    """Most files, most bytes of one file, and most other fields."""

    files: int
    file_bytes: int
    fields: int = _MAX_FIELDS


class _Form:
    """The parser's callbacks: collects parts and refuses the first byte too many."""

    def __init__(self, limits: FormLimits) -> None:
        self.parts: list[Part] = []
        self.complete = False
        self._limits = limits
        self._files = self._fields = 0
        self._header_name, self._header_value, self._disposition = b"", b"", b""

    def on_part_begin(self) -> None:
        self._disposition = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition.decode("latin-1"))
        if b"name" not in options:
            raise MalformedForm("every part needs a Content-Disposition with a name")
        name = options[b"name"].decode("utf-8", "replace")
        part = Part(name, is_file=b"filename" in options or name in FILE_NAMES)
        self._files += part.is_file
        self._fields += not part.is_file
        if self._files > self._limits.files:
            raise InvalidRequest(f"at most {self._limits.files} file(s) in one request")
        if self._fields > self._limits.fields:
            raise InvalidRequest(f"at most {self._limits.fields} form fields in one request")
        self.parts.append(part)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self.parts[-1]
        limit = self._limits.file_bytes if part.is_file else _MAX_FIELD_BYTES
        if len(part.data) + end - start > limit:
            raise BodyTooLarge(f"this part of the form has at most {limit} bytes")
        part.data += data[start:end]

    def on_end(self) -> None:
        self.complete = True


async def read_form(content_type: str, body: AsyncIterable[bytes], *, limits: FormLimits) -> list[Part]:
    """The parts of a form, in their order.

    Raises:
        MalformedForm: no boundary, broken framing, or an end before the last boundary.
        InvalidRequest: too many files or fields.
        BodyTooLarge: a part with too many bytes.
    """
    form = _Form(limits)
    try:
        parser = _parser(content_type, form)
        async for chunk in body:
            parser.write(chunk)
        parser.finalize()
    except FormParserError:
        raise MalformedForm("the body is not well-formed multipart/form-data") from None
    if not form.complete:
        raise MalformedForm("the form ends before its last boundary")
    return form.parts


def _parser(content_type: str, form: _Form) -> MultipartParser:
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise MalformedForm("multipart/form-data needs a boundary")
    return MultipartParser(
        boundary,
        {
            "on_part_begin": form.on_part_begin,
            "on_header_field": form.on_header_field,
            "on_header_value": form.on_header_value,
            "on_header_end": form.on_header_end,
            "on_headers_finished": form.on_headers_finished,
            "on_part_data": form.on_part_data,
            "on_end": form.on_end,
        },
    )
