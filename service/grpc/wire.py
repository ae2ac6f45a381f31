"""Bounds what a protobuf message may unfold to, before it is parsed.

A parser makes an object of every field. An empty message of two bytes becomes a hundred, so a body within its limit
could fill the memory. Here fields are counted without objects; packed numbers are one field.

Source: protobuf.dev, "Encoding".
"""

from typing import Any

from service.errors import InvalidInference

MOST_FIELDS = 4096  # a request of sixteen images in `bytes_contents`, sixty-four parameters and all outputs has 300

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIRE_BITS, _WIRE_MASK = 3, 7
_VARINT_BYTES = 10
_MORE, _SEVEN = 0x80, 0x7F


def check_fields(message: bytes, descriptor: Any) -> None:  # noqa: ANN401 - protobuf's descriptors carry no types
    """Count the fields of a message and of the messages in it.

    Args:
        message: its bytes.
        descriptor: its type, which says what fields hold messages.

    Raises:
        InvalidInference: more than MOST_FIELDS, or not the bytes of a message.
    """
    left, todo = MOST_FIELDS, [(memoryview(message), descriptor)]
    while todo:
        data, kind = todo.pop()
        at = 0
        while at < len(data):
            left -= 1
            if left < 0:
                raise InvalidInference(f"this message has more than {MOST_FIELDS} fields; send numbers packed or raw")
            tag, at = _varint(data, at)
            begin, at = _value(data, at, tag & _WIRE_MASK)
            field = kind.fields_by_number.get(tag >> _WIRE_BITS)
            if field is not None and field.message_type is not None and tag & _WIRE_MASK == _BYTES:
                todo.append((data[begin:at], field.message_type))


def _value(data: memoryview, at: int, wire_type: int) -> tuple[int, int]:
    """Where the value of a field begins and ends."""
    if wire_type == _VARINT:
        return at, _varint(data, at)[1]
    size = {_FIXED64: 8, _FIXED32: 4}.get(wire_type)
    if wire_type == _BYTES:
        size, at = _varint(data, at)
    if size is None or at + size > len(data):
        raise InvalidInference("these are not the bytes of a message")
    return at, at + size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    number = 0
    for index, byte in enumerate(data[at : at + _VARINT_BYTES]):
        number |= (byte & _SEVEN) << (7 * index)
        if not byte & _MORE:
            return number, at + index + 1
    raise InvalidInference("these are not the bytes of a message")
