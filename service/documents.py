"""A small JSON document in a request body, read strictly into one of our shapes."""

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from adapters_store import ArtifactError
from adapters_store.strict_json import parse_object
from service.errors import InvalidRequest, MalformedJson
from service.payload import Body, read_file

MOST_BYTES = 16 * 1024
_DEPTH = 8

T = TypeVar("T")


async def read_document(body: Body, shape: TypeAdapter[T], *, example: str) -> T:
    """The document in a body.

    Args:
        body: JSON in UTF-8, whatever its declared type.
        shape: what it must be.
        example: of what is accepted, for the refusal.

    Raises:
        BodyTooLarge: more than `MOST_BYTES`.
        MalformedJson: not JSON that all parsers read alike.
        InvalidRequest: other keys, types or values.
    """
    data = await read_file(Body("", body.stream), most_bytes=MOST_BYTES)
    try:
        return shape.validate_python(parse_object(data.decode(), max_depth=_DEPTH))
    except UnicodeDecodeError:
        raise MalformedJson("JSON must be UTF-8") from None
    except ArtifactError as error:
        raise MalformedJson(type(error).__doc__ or "") from None
    except ValidationError:
        raise InvalidRequest(f"send {example} and nothing else") from None
