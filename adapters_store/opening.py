"""Opens a store by its URL. Only this module knows every kind of backend."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from adapters_store.backend import Backend
from adapters_store.errors import StoreUnavailable, UnsupportedUrl
from adapters_store.sqlite_backend import SqliteBackend
from adapters_store.store import Store

OBJECT_STORES = ("memory", "s3", "gs", "az")


def open_store(url: str) -> Store:
    """Open a store, creating it where there is none.

    Args:
        url: A path or `sqlite:///path` (one more slash for an absolute path) for a SQLite file; `file:///folder` for a
            folder; `s3://bucket/prefix`, `gs://…`, `az://…` for an object store; `memory://` for a store that ends
            with the process.

    Raises:
        UnsupportedUrl: No kind of store belongs to this URL.
        BackendError: The store cannot be opened.
    """
    return Store(open_backend(url))


def open_backend(url: str) -> Backend:
    """Open the backend of a store; see `open_store`."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return SqliteBackend(Path(url))
    if scheme == "sqlite":
        return SqliteBackend(Path(_local_path(rest)))
    if scheme == "file":
        return _open_folder(Path("/" + _local_path(rest)))
    if scheme in OBJECT_STORES:
        return _open_object_store(url)
    raise UnsupportedUrl(f"a {scheme[:16]!r} URL is not a store; use a path, sqlite, file, s3, gs, az or memory")


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

    from adapters_store.object_store_backend import ObjectStoreBackend  # noqa: PLC0415

    try:
        return ObjectStoreBackend(from_url(url))
    except BaseError as error:
        raise StoreUnavailable(f"the {urlsplit(url).scheme} store cannot be opened: {type(error).__name__}") from error
