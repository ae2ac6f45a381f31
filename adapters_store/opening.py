"""Opens a store by its URL. Only this module knows all kinds of backends."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from adapters_store.backend import Backend
from adapters_store.cache import CachedBackend
from adapters_store.errors import StoreError, StoreUnavailable, UnsupportedUrl
from adapters_store.sqlite_backend import SqliteBackend
from adapters_store.store import Store

if TYPE_CHECKING:
    from obstore.store import RetryConfig

OBJECT_STORES = ("memory", "s3", "gs", "az")
_RETRIES: "RetryConfig" = {"max_retries": 2, "retry_timeout": timedelta(seconds=30)}


def open_store(url: str, *, cache: Path | None = None) -> Store:
    """Open a store, creating it if there is none.

    Args:
        url: A path or `sqlite:///path` (one more slash for an absolute path) for a SQLite file; `file:///folder` for a
            folder; `s3://bucket/prefix`, `gs://…`, `az://…` for an object store; `memory://` for a store that ends
            with the process.
        cache: A file for copies of what is read from an object store. With it, the store opens while the object store
            cannot be reached, in the state that was read last.

    Raises:
        UnsupportedUrl: No kind of store belongs to this URL.
        BackendError: The store cannot be opened.
    """
    backend = open_backend(url)
    if cache is not None and local_path(url) is None:
        backend = CachedBackend(backend, SqliteBackend(cache))
    try:
        return Store(backend)
    except StoreError:
        backend.close()
        raise


def local_path(url: str) -> Path | None:
    """Return the path of a SQLite file or of a folder, None for a store that is not on this machine.

    Raises:
        UnsupportedUrl: No kind of store belongs to this URL.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return Path(url)
    if scheme == "sqlite":
        return Path(_local_path(rest))
    if scheme == "file":
        return Path("/" + _local_path(rest))
    if scheme in OBJECT_STORES:
        return None
    raise UnsupportedUrl(f"a {scheme[:16]!r} URL is not a store; use a path, sqlite, file, s3, gs, az or memory")


def is_folder(url: str) -> bool:
    """Return whether a URL names a store in a folder of plain files."""
    return url.startswith("file://")


def open_backend(url: str, *, create: bool = True) -> Backend:
    """Open the backend of a store; see `open_store`. Unless told so, a SQLite file or a folder is not created.

    Raises:
        StoreUnavailable: There is no such file or folder.
    """
    path = local_path(url)
    if path is None:
        return _open_object_store(url)
    if not create and not path.exists():
        raise StoreUnavailable(f"there is no store at {path}")
    return _open_folder(path) if is_folder(url) else SqliteBackend(path, create=create)


def _local_path(rest: str) -> str:
    """Return what follows the empty host of `sqlite:///…` and `file:///…`."""
    if not rest.startswith("/") or rest == "/":
        raise UnsupportedUrl("a local URL has three slashes and a path")
    return unquote(rest[1:])


def _open_folder(root: Path) -> Backend:
    # Imported here because it needs the file locks and links of POSIX; the rest of the package does not.
    from adapters_store.folder_backend import FolderBackend  # noqa: PLC0415

    return FolderBackend(root)


def _open_object_store(url: str) -> Backend:
    # Imported here because obstore is optional.
    from obstore.exceptions import BaseError  # noqa: PLC0415
    from obstore.store import from_url  # noqa: PLC0415

    from adapters_store.object_store_backend import ObjectStoreBackend, explain  # noqa: PLC0415

    scheme = urlsplit(url).scheme
    try:
        if scheme == "memory":
            return ObjectStoreBackend(from_url(url), scheme)
        return ObjectStoreBackend(from_url(url, retry_config=_RETRIES), scheme)
    except BaseError as error:
        raise StoreUnavailable(f"the {scheme} store cannot be opened: {explain(error, scheme)}") from error
