"""The settings of the server, with units and defaults. `configuration` reads them from their sources.

Keys are secrets, so an error names the setting and the fault but never the value.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

_VISIBLE = re.compile(r"[!-~]+")
_RECEIVER = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:[0-9]{1,5})?(/[\w./~-]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a setting, for its help text."""

    name: str


def _words(value: object) -> object:
    """A list from one text with commas, as in variables and options."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _sendable(key: SecretStr) -> SecretStr:
    """Refuse a key that an Authorization header cannot carry."""
    if not _VISIBLE.fullmatch(key.get_secret_value()):
        raise ValueError("a key consists of visible ASCII characters, without spaces")
    return key


def _named(path: object) -> object:
    """Refuse an empty path, which would mean the current folder."""
    if path == "":
        raise ValueError("a path is empty; leave the setting out to have its default")
    return path


def _receiver(address: str) -> str:
    """Refuse what is no address of a receiver; a part of it that may be secret is not for this setting."""
    if not _RECEIVER.fullmatch(address):
        raise ValueError("a receiver is http:// or https://, a host, perhaps a port, and a path, without anything else")
    return address


Count = Annotated[int, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0), Unit("bytes")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), Unit("seconds")]
Images = Annotated[int, Field(gt=0), Unit("images")]
Threads = Annotated[int, Field(gt=0), Unit("threads")]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False), Unit("requests per second")]
Requests = Annotated[int, Field(ge=0), Unit("requests")]
Key = Annotated[SecretStr, Field(min_length=16), AfterValidator(_sendable)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Place = Annotated[Path, BeforeValidator(_named)]


PREFIX = "MIMI_"
MEBIBYTE, GIBIBYTE = 2**20, 2**30
ANY_HOST = "*"

_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?")
_HOST = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9._-]+")


class Settings(BaseSettings):
    """All settings of the server. An instance takes only the given arguments, and no other source."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, env_prefix=PREFIX)

    host: str = Field(default="127.0.0.1", description="address to listen on; other addresses than loopback need keys")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    grpc_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        default=None, description="port for gRPC, at the same address; 0 takes a free one; unset: none"
    )
    workers: Annotated[int, Field(ge=1, le=256), Unit("processes")] = Field(
        default=1, description="processes that answer at one port, each with an engine of its own"
    )
    worker_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="port where the first worker answers alone, the next port for the second"
        ", and so on: its metrics are read there; 0 takes free ones",
    )
    allowed_hosts: Words = Field(
        default=(), description="our names in Host headers, between commas, beside loopback's own; * with keys: any"
    )
    cors_origins: Words = Field(
        default=(), description="web pages that may call, as https://host:port between commas; none: CORS is off"
    )
    console: Literal["on", "off"] = Field(
        default="on", description="the pages for people at / and /docs; their API calls need keys as always"
    )
    store: Annotated[str, BeforeValidator(_named)] = Field(
        default="./var/store.db", description="a SQLite file, or the URL of an object store"
    )
    store_cache: Place | None = Field(
        default=None, description="a file for copies of an object store's contents, for a start during its outage"
    )
    follow_seconds: Seconds = Field(
        default=1.0, description="time between reads of other servers' changes from the store"
    )
    sweep_seconds: Seconds = Field(
        default=3600.0,
        description="time between removals of stored bytes that no version names, if they are an hour old",
    )
    backbone: str | None = Field(default=None, description="a timm architecture; unset: the bundled backbone")
    weights: Place | None = Field(default=None, description="a safetensors file with the backbone's weights")
    engine: Literal["torch", "onnx"] = Field(
        default="torch", description="library that computes: torch, or onnx for ONNX Runtime, which shares no trunks"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="device that computes: cpu or cuda; auto: cuda if there is such a device"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        default="auto",
        description="of the forward pass; auto: bf16 on cuda, and on the cpu where it is measured to be faster and "
        "bundled tasks answer alike, else fp32; bf16, int8 on the cpu: AVX-512 BF16, AVX-512 VNNI, or AMX",
    )
    kernels: Literal["off", "cached", "compiled"] = Field(
        default="compiled",
        description="for the cpu: none, those that `mimi compile` has made, or compiled at start if missing",
    )
    kernels_folder: Place | None = Field(
        default=None, description="folder of compiled kernels; unset: the user's cache folder"
    )
    threads: Annotated[int, Field(ge=0), Unit("threads")] = Field(
        default=0, description="threads of one forward pass; 0: one for each core"
    )

    predict_key: Key | None = Field(default=None, description="key that may read and predict; at least 16 characters")
    manage_key: Key | None = Field(default=None, description="key that may do everything")
    metrics_key: Key | None = Field(default=None, description="key that may read /metrics")
    feedback_key: Key | None = Field(default=None, description="key that may add, read and delete corrections")
    keys_file: Place | None = Field(default=None, description="more keys, in TOML or JSON; read again when it changes")
    keys_seconds: Seconds = Field(default=1.0, description="time between reads of the keys file")
    key_rate: Rate = Field(default=0.0, description="requests of one key in the long run; 0: no limit")
    key_burst: Requests = Field(default=0, description="requests of one key at once; 0: those of one second")
    wrong_key_rate: Rate = Field(
        default=1.0, description="wrong keys that one address may send in the long run, 20 at once; 0: no limit"
    )
    key_concurrency: Requests = Field(default=0, description="concurrent requests of one key; 0: no limit")

    access_log: Literal["off", "on"] = Field(default="off", description="on: each answer is a line of the log")
    log_format: Literal["text", "json"] = Field(
        default="text", description="form of the log on standard error: text, or json with one object a line"
    )

    traces: Annotated[str, AfterValidator(_receiver)] | None = Field(
        default=None,
        description="URL of an OTLP receiver that gets traces, as http://127.0.0.1:4318/v1/traces; unset: none",
    )
    trace_ratio: Annotated[float, Field(ge=0, le=1), Unit("of all requests")] = Field(
        default=1.0, description="part of the requests that are traced, where no traceparent of the client decides"
    )

    image_bytes: Bytes = Field(default=10 * MEBIBYTE, description="most bytes of one encoded image")
    image_pixels: Annotated[Count, Unit("pixels")] = Field(default=50_000_000, description="most pixels of one image")
    image_formats: Words = Field(
        default=("jpeg", "png", "webp"), description="formats of images, between commas; avif and heif as well"
    )
    request_pixels: Annotated[Count, Unit("pixels")] = Field(
        default=200_000_000, description="most decoding cost of all images of a request; a JPEG's pixels count less"
    )
    adapter_bytes: Bytes = Field(default=32 * MEBIBYTE, description="most bytes of a task adapter file")
    body_bytes: Bytes = Field(default=33 * MEBIBYTE, description="most bytes of any request body")
    held_bytes: Bytes = Field(default=512 * MEBIBYTE, description="most bytes of all request bodies held at once")
    header_bytes: Bytes = Field(default=16 * 1024, description="most bytes of a request's headers")
    headers: Annotated[Count, Unit("headers")] = Field(default=64, description="most headers of a request")
    connections: Annotated[Count, Unit("connections")] = Field(default=900, description="most open connections")
    keyless_connections: Annotated[Count, Unit("connections")] = Field(
        default=200, description="most open connections without a valid key, if keys are needed"
    )
    keyless_address_connections: Annotated[Count, Unit("connections")] = Field(
        default=100, description="most of these from one address"
    )
    images_per_request: Images = Field(default=16, description="most images in one request")
    class_images: Images = Field(default=512, description="most images of a class that one request adds to a task")

    queue_images: Images = Field(
        default=256, description="most images that may wait for the engine, those being decoded included"
    )
    batch_images: Images = Field(default=16, description="most images in one forward pass")
    decode_threads: Threads = Field(default=2, description="threads that decode images")
    decode_images: Images = Field(default=256, description="most images that may wait to be decoded")
    pending_uploads: Annotated[Count, Unit("uploads")] = Field(
        default=64, description="most uploads that may wait to be checked"
    )
    pending_reads: Annotated[Count, Unit("reads")] = Field(
        default=64, description="most reads of the store for managers that may wait"
    )
    downloads: Annotated[Count, Unit("downloads")] = Field(
        default=8, description="most adapter files being downloaded at once"
    )

    device_bytes: Bytes = Field(default=4 * GIBIBYTE, description="most bytes of adapters on the device that computes")
    host_bytes: Bytes = Field(
        default=2 * GIBIBYTE, description="most bytes of adapters in the host's memory beside a GPU; unused on the CPU"
    )
    pinned_tasks: Words = Field(
        default=(), description="tasks whose live versions always stay loaded, between commas; *: all"
    )
    load_threads: Threads = Field(default=2, description="threads that load adapters from the store")
    pending_loads: Annotated[Count, Unit("adapters")] = Field(
        default=256, description="most adapters that may wait to be loaded"
    )

    feedback: Place | None = Field(
        default=None, description="a file that corrections are kept in, with their images; unset: none are taken"
    )
    feedback_tasks: Words = Field(default=(), description="tasks that are open for corrections, between commas; *: all")
    feedback_images: Images = Field(default=10_000, description="most corrections that are kept")
    feedback_bytes: Bytes = Field(default=GIBIBYTE, description="most bytes of the images of all corrections")
    remembered_bytes: Annotated[int, Field(ge=0), Unit("bytes")] = Field(
        default=64 * MEBIBYTE, description="most bytes of recent images in memory that a correction can name; 0: none"
    )
    remembered_seconds: Seconds = Field(default=600.0, description="time for which a correction can name an image")

    metrics_tasks: Annotated[Count, Unit("tasks")] = Field(
        default=100, description="most tasks with series of their own in /metrics; the rest is counted as _other"
    )

    request_seconds: Seconds = Field(default=5.0, description="time from a complete request to its answer")
    header_seconds: Seconds = Field(default=10.0, description="time for a request's headers to arrive")
    body_seconds: Seconds = Field(
        default=10.0, description="time for a request's body to arrive; more if it comes at least_rate"
    )
    body_most_seconds: Seconds = Field(default=120.0, description="time for a request's body at any rate")
    least_rate: Annotated[int, Field(gt=0), Unit("bytes per second")] = Field(
        default=16 * 1024,
        description="least rate at which a client sends a body after body_seconds, and reads an answer",
    )
    write_seconds: Seconds = Field(default=10.0, description="time between checks that a client reads its answer")
    large_body_rate: Annotated[int, Field(ge=0), Unit("bytes per second")] = Field(
        default=64 * MEBIBYTE,
        description="rate at which all large bodies together are read, of each what is beyond 2 MiB; 0: no limit",
    )
    idle_seconds: Annotated[Count, Unit("seconds")] = Field(
        default=75, description="time that an idle connection stays open; a proxy in front must close it sooner"
    )
    stall_seconds: Seconds = Field(
        default=4.5, description="delay of a batch beyond the expected time after which the engine counts as hung"
    )
    notice_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False), Unit("seconds")] = Field(
        default=5.0, description="time after SIGTERM in which requests are still answered while readiness says 503"
    )
    drain_seconds: Seconds = Field(
        default=30.0, description="time to finish work in flight when stopped, after notice_seconds"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the arguments: `configuration` reads the other sources and remembers the source of each value."""
        return (init_settings,)

    @property
    def needs_key(self) -> bool:
        """Whether a request must carry a key."""
        return self.predict_key is not None or self.keys_file is not None

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_exact(cls, origins: Sequence[str]) -> Sequence[str]:
        if not all(_ORIGIN.fullmatch(origin) for origin in origins):
            raise ValueError("an origin is http:// or https:// with a host in lower case and, if need be, a port")
        return origins

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts_are_names(cls, hosts: Sequence[str]) -> Sequence[str]:
        if not all(host == ANY_HOST or _HOST.fullmatch(host) for host in hosts):
            raise ValueError("a host is a name or an address in lower case, without a port")
        return hosts

    @model_validator(mode="after")
    def _keys_make_sense(self) -> Self:
        if self.keys_file is None and (self.predict_key is None) != (self.manage_key is None):
            raise ValueError("predict_key and manage_key are set together or not at all, unless there is a keys_file")
        for name in ("metrics_key", "feedback_key"):
            if getattr(self, name) is not None and not self.needs_key:
                raise ValueError(f"{name} alone leaves the rest open: set predict_key and manage_key, or a keys_file")
        given = (self.predict_key, self.manage_key, self.metrics_key, self.feedback_key)
        keys = [key for key in given if key is not None]
        if any(key in keys[:index] for index, key in enumerate(keys)):
            raise ValueError("predict_key, manage_key, metrics_key and feedback_key must differ")
        return self

    @model_validator(mode="after")
    def _a_request_fits_into_every_line(self) -> Self:
        if self.images_per_request > min(self.queue_images, self.decode_images):
            raise ValueError("images_per_request must not exceed queue_images or decode_images")
        return self

    @model_validator(mode="after")
    def _what_is_reachable_needs_keys(self) -> Self:
        if self.needs_key:
            return self
        if not is_loopback(self.host):
            raise ValueError(
                "listening beyond loopback needs keys: set predict_key and manage_key "
                f"({PREFIX}PREDICT_KEY, {PREFIX}MANAGE_KEY), or a keys_file ({PREFIX}KEYS_FILE)"
            )
        if ANY_HOST in self.allowed_hosts:
            raise ValueError(f"allowed_hosts {ANY_HOST} lets any web page in: it needs keys")
        return self


@lru_cache(maxsize=256)  # of the Host header of every request
def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; a name other than localhost is taken to be reachable."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
