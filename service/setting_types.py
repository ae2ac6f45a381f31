"""What kinds of values settings have: their bounds, their units, and how text becomes one."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

_VISIBLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Unit:
    """What a setting is counted in, for its help."""

    name: str


def _words(value: object) -> object:
    """A list as one text, as variables and options have it: words between commas."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _sendable(key: SecretStr) -> SecretStr:
    """Refuse a key that no Authorization header would bring as it is."""
    if not _VISIBLE.fullmatch(key.get_secret_value()):
        raise ValueError("a key consists of visible ASCII characters, without spaces")
    return key


Count = Annotated[int, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0), Unit("bytes")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), Unit("seconds")]
Images = Annotated[int, Field(gt=0), Unit("images")]
Threads = Annotated[int, Field(gt=0), Unit("threads")]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False), Unit("requests per second")]
Requests = Annotated[int, Field(ge=0), Unit("requests")]
Key = Annotated[SecretStr, Field(min_length=16), AfterValidator(_sendable)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
