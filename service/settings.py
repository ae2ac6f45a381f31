"""What an operator may set, with units and defaults; nothing is read from anywhere before `load` is called.

Environment variables carry the prefix MIMI_ (MIMI_PORT, MIMI_QUEUE_IMAGES, …). An unknown one is refused: a typo
that changes nothing would be found only in production.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from service.errors import SettingsError

PREFIX = "MIMI_"
MEBIBYTE = 2**20

Count = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Key = Annotated[SecretStr, Field(min_length=16)]


class Settings(BaseModel):
    """Everything the server can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = Field(default="127.0.0.1", description="address to listen on; another than loopback needs both keys")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    store: str = Field(default="./var/store.db", description="a SQLite file, or the URL of an object store")
    backbone: str | None = Field(default=None, description="a timm architecture; unset: the bundled backbone")
    weights: Path | None = Field(default=None, description="a safetensors file with the backbone's weights")
    threads: int = Field(default=0, ge=0, description="threads of one forward pass; 0: one for each core")
    predict_key: Key | None = Field(default=None, description="key that may read and predict; at least 16 characters")
    manage_key: Key | None = Field(default=None, description="key that may also upload and delete")

    image_bytes: Count = Field(default=10 * MEBIBYTE, description="most bytes of one encoded image")
    adapter_bytes: Count = Field(default=32 * MEBIBYTE, description="most bytes of a task adapter file")
    body_bytes: Count = Field(default=33 * MEBIBYTE, description="most bytes of any request body")
    held_bytes: Count = Field(default=512 * MEBIBYTE, description="most bytes of all request bodies held at once")
    header_bytes: Count = Field(default=16 * 1024, description="most bytes of a request's headers")
    headers: Count = Field(default=64, description="most headers of a request")
    connections: Count = Field(default=900, description="most open connections")
    images_per_request: Count = Field(default=16, description="most images in one request")

    queue_images: Count = Field(default=256, description="most images that may wait for the engine")
    batch_images: Count = Field(default=16, description="most images in one forward pass")
    decode_threads: Count = Field(default=2, description="threads that decode images")
    decode_images: Count = Field(default=256, description="most images that may wait to be decoded")
    pending_uploads: Count = Field(default=64, description="most uploads that may wait to be checked")

    request_seconds: Seconds = Field(default=5.0, description="time from a complete request to its answer, seconds")
    header_seconds: Seconds = Field(default=10.0, description="time for a request's headers to arrive, seconds")
    body_seconds: Seconds = Field(default=10.0, description="time for a request's body to arrive, seconds")
    drain_seconds: Seconds = Field(default=30.0, description="time to finish work in flight when stopped, seconds")
    follow_seconds: Seconds = Field(
        default=1.0, description="time between looks at the store for others' changes, seconds"
    )

    @model_validator(mode="after")
    def _keys_come_in_pairs(self) -> Self:
        if (self.predict_key is None) != (self.manage_key is None):
            raise ValueError("predict_key and manage_key are set together or not at all")
        if self.predict_key is not None and self.predict_key == self.manage_key:
            raise ValueError("predict_key and manage_key must differ")
        return self

    @model_validator(mode="after")
    def _a_request_fits_into_every_line(self) -> Self:
        if self.images_per_request > min(self.queue_images, self.decode_images):
            raise ValueError("images_per_request must not exceed queue_images or decode_images")
        return self

    @model_validator(mode="after")
    def _open_hosts_need_keys(self) -> Self:
        if self.predict_key is None and not is_loopback(self.host):
            raise ValueError(
                "listening beyond loopback needs keys: set predict_key and manage_key "
                f"({PREFIX}PREDICT_KEY, {PREFIX}MANAGE_KEY)"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; a name other than localhost is taken to be reachable."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load(environment: Mapping[str, str], overrides: Mapping[str, object] | None = None) -> Settings:
    """Settings from MIMI_ variables, with `overrides` (those that are not None) on top.

    Raises:
        SettingsError: a setting is unknown, out of range, or unsafe; values are never repeated.
    """
    found: dict[str, object] = {
        name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)
    }
    found |= {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        return Settings.model_validate(found)
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(item["loc"], item["msg"]) for item in error.errors())) from None


def _explain(where: tuple[int | str, ...], what: str) -> str:
    name = ".".join(map(str, where))
    reason = "there is no such setting" if what.startswith("Extra inputs") else what.removeprefix("Value error, ")
    return f"{name}: {reason}" if name else reason
