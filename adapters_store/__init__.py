"""The contract between training and serving: what a task adapter file is, and where its versions live."""

from adapters_store._root import AdaptersStoreError
from adapters_store.artifact import SiteArrays, TaskAdapter, digest, pack, unpack
from adapters_store.errors import ArtifactError
from adapters_store.limits import ArtifactLimits
from adapters_store.manifest import BackboneRef, Manifest, Provenance
from adapters_store.manifest_text import hash_preprocessing

__all__ = [
    "AdaptersStoreError",
    "ArtifactError",
    "ArtifactLimits",
    "BackboneRef",
    "Manifest",
    "Provenance",
    "SiteArrays",
    "TaskAdapter",
    "digest",
    "hash_preprocessing",
    "pack",
    "unpack",
]
