"""From a URL to a store. The only place that knows all homes; it opens one and says nothing about its contents."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from adapters_store.bucket import Bucket
from adapters_store.log_store import LogStore
from adapters_store.sqlite_bucket import SqliteBucket
from adapters_store.store import Store
from adapters_store.store_errors import StoreUnavailable, UnsupportedUrl

OBJECT_STORES = ("memory", "s3", "gs", "az")


def open_store(url: str) -> Store:
    """Open a store, creating it where there is none.

    Args:
        url: A path or `sqlite:///path` (one more slash for an absolute path) for a SQLite file; `file:///folder` for a
            folder; `s3://bucket/prefix`, `gs://…`, `az://…` for an object store; `memory://` for this process alone.

    Raises:
        UnsupportedUrl: There is no home for this kind of URL.
        HomeError: The home cannot be opened.
    """
    return LogStore(open_bucket(url))


def open_bucket(url: str) -> Bucket:
    """Open the bare home of a store; see `open_store`."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return SqliteBucket(Path(url))
    if scheme == "sqlite":
        return SqliteBucket(Path(_local_path(rest)))
    if scheme == "file":
        return _open_folder(Path("/" + _local_path(rest)))
    if scheme in OBJECT_STORES:
        return _open_object_store(url)
    raise UnsupportedUrl(f"no store is kept at {scheme[:16]!r} URLs; use a path, sqlite, file, s3, gs, az or memory")


def _local_path(rest: str) -> str:
    """Return what follows the empty host of `sqlite:///…` and `file:///…`."""
    if not rest.startswith("/") or rest == "/":
        raise UnsupportedUrl("a local URL has three slashes and a path")
    return unquote(rest[1:])


def _open_folder(root: Path) -> Bucket:
    # Imported here because it needs file locks and links as POSIX has them, and the rest of the package does not.
    from adapters_store.folder_bucket import FolderBucket  # noqa: PLC0415

    return FolderBucket(root)


def _open_object_store(url: str) -> Bucket:
    # Imported here so that the artifact is of use where obstore is not installed.
    from obstore.exceptions import BaseError  # noqa: PLC0415
    from obstore.store import from_url  # noqa: PLC0415

    from adapters_store.object_bucket import ObjectBucket  # noqa: PLC0415

    try:
        return ObjectBucket(from_url(url))
    except BaseError as error:
        raise StoreUnavailable(f"the {urlsplit(url).scheme} store cannot be opened: {type(error).__name__}") from error
