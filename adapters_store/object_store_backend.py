"""A backend in an object store, through obstore: memory, S3, Google Cloud, Azure. Every write is create-if-absent.

Errors say what is wrong and which setting to look at. They never repeat the client's own text: it may hold URLs.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from adapters_store.backend import ObjectInfo
from adapters_store.errors import StoreUnavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_SERVICE_ACCOUNT",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
ENDPOINTS = {"s3": "AWS_ENDPOINT and AWS_REGION", "gs": "GOOGLE_BASE_URL", "az": "AZURE_STORAGE_ENDPOINT"}

# What a client's text means, most telling first; {} are the variables to look at.
_CAUSES: tuple[tuple[str, str], ...] = (
    (r"NoSuchBucket|ContainerNotFound|bucket does not exist", "there is no such bucket: see the setting `store`"),
    (r"169\.254\.|metadata\.google|instance credentials|[Tt]oken request", "there are no credentials: set {keys}"),
    (r"builder error", "plain HTTP is not allowed: set AWS_ALLOW_HTTP=true, or use an https endpoint"),
    (r"InvalidAccessKeyId|SignatureDoesNotMatch|Unauthenticated|\b401\b", "the credentials are wrong: see {keys}"),
    (r"AccessDenied|PermissionDenied|Forbidden|\b403\b", "these credentials may not do that: see {keys}"),
    (
        r"error sending request|timed out|error decoding response",
        "it cannot be reached: see {hosts}",
    ),
    (r"Bucket name|missing bucket|MissingBucket|not found in url", "the URL names no bucket: see the setting `store`"),
)


def explain(error: BaseException, scheme: str) -> str:
    """Return what is wrong with an object store, and which setting to look at, without the client's own text."""
    text = f"{type(error).__name__}: {error}".partition("\nDebug source")[0]
    places = {"keys": CREDENTIALS.get(scheme, "the credentials"), "hosts": ENDPOINTS.get(scheme, "the setting `store`")}
    for pattern, cause in _CAUSES:
        if re.search(pattern, text):
            return cause.format(**places)
    return f"it failed with {type(error).__name__}: see the setting `store`"


class ObjectStoreBackend:
    """See `Backend`."""

    damage = ""  # each object is a matter of its own

    def __init__(self, store: "ObjectStore", scheme: str = "") -> None:
        self._store, self._scheme = store, scheme

    def create(self, name: str, data: bytes) -> bool:
        """See `Backend.create`. If the answer is lost, the object is read: it may have been written all the same.

        An object with the very same bytes counts as written here, because nobody can tell the difference.
        """
        with self._translated():
            try:
                obstore.put(self._store, name, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            except (BaseError, OSError):
                if not self._holds(name, data):
                    raise
        return True

    def _holds(self, name: str, data: bytes) -> bool:
        """Return whether an object is there with these bytes; False if the store cannot be asked."""
        with suppress(BaseError, OSError):
            return bytes(obstore.get(self._store, name).bytes()) == data
        return False

    def replace(self, name: str, data: bytes) -> None:
        """See `Backend.replace`."""
        with self._translated():
            obstore.put(self._store, name, data, mode="overwrite", use_multipart=False)

    def get(self, name: str) -> bytes | None:
        """See `Backend.get`."""
        with self._translated():
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):  # a missing bucket is not a missing object
                    raise
                return None

    def list(self, folder: str) -> list[ObjectInfo]:
        """See `Backend.list`."""
        with self._translated():
            found = (item for page in obstore.list(self._store, folder) for item in page)
            return [ObjectInfo(item["path"], item["last_modified"].timestamp()) for item in found]

    def delete(self, name: str) -> None:
        """See `Backend.delete`."""
        with self._translated():
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                return

    def tidy(self) -> None:
        """Do nothing: an object store shows no unfinished object."""

    def verify(self) -> None:
        """Do nothing: every request names the place anew."""

    def reopen(self) -> None:
        """Do nothing, for the same reason."""

    def release_reserve(self) -> bool:
        """Return False: nobody can keep room in an object store."""
        return False

    def keep_reserve(self) -> None:
        """Do nothing, for the same reason."""

    def close(self) -> None:
        """Do nothing: connections belong to the client and end with it."""

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            raise StoreUnavailable(f"the object store: {explain(error, self._scheme)}") from error
