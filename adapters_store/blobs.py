"""Where a publication's bytes lie: found again, or uploaded under a name that no sweep can take away unseen.

A blob's name is its hash and the generation its writer had seen. A sweep writes an entry into the log before it
removes anything, so a writer whose name might be among the removed sees that entry before its own can be written, and
uploads anew under a later generation. Removal may then come as late as it likes: a name given up is never used again.
"""

from collections.abc import Iterator

from adapters_store.bucket import Bucket
from adapters_store.state import State

FOLDER = "blobs"


def blob_name(sha256: str, generation: int) -> str:
    """Return the name for bytes uploaded by a writer who has seen this generation."""
    return f"{FOLDER}/{sha256}.{generation:012d}"


def blob_hash(name: str) -> str:
    """Return the hash that a blob's name promises."""
    return name.removeprefix(f"{FOLDER}/").partition(".")[0]


def named_blobs(state: State, sha256: str) -> Iterator[str]:
    """Yield the names under which a state knows these bytes."""
    return (info.blob for info in state.versions() if info.sha256 == sha256)


class PendingBlob:
    """The bytes of one publication, uploaded at most once between two sweeps."""

    def __init__(self, bucket: Bucket, sha256: str, data: bytes) -> None:
        self._bucket, self._sha256, self._data = bucket, sha256, data
        self._uploaded: tuple[int, str] | None = None

    def name(self, state: State) -> str:
        """Return a name that holds the bytes as long as the next log entry follows this state."""
        for name in named_blobs(state, self._sha256):
            if self._bucket.get(name) == self._data:  # never share a copy that has rotted
                return name
        if self._uploaded is None or self._uploaded[0] < state.swept:
            self._uploaded = state.generation, blob_name(self._sha256, state.generation)
            self._bucket.create(self._uploaded[1], self._data)
        return self._uploaded[1]
