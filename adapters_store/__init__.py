"""The contract between training and serving: the task adapter file, and the store of its versions."""

from adapters_store.answers import Answers, Known, KnownArrays, Validation
from adapters_store.artifact import SiteArrays, TaskAdapter, as_stored, digest, pack, unpack
from adapters_store.errors import AdaptersStoreError, ArtifactError, StoreError
from adapters_store.events import Change, Event
from adapters_store.limits import ArtifactLimits
from adapters_store.low_bit import LowBit
from adapters_store.manifest import BackboneRef, Manifest, Provenance, hash_preprocessing
from adapters_store.opening import open_store
from adapters_store.state import State, TaskState, VersionInfo
from adapters_store.statistics import Head, Statistics, StatisticsArrays
from adapters_store.store import Published, Store

__all__ = [
    "AdaptersStoreError",
    "Answers",
    "ArtifactError",
    "ArtifactLimits",
    "BackboneRef",
    "Change",
    "Event",
    "Head",
    "Known",
    "KnownArrays",
    "LowBit",
    "Manifest",
    "Provenance",
    "Published",
    "SiteArrays",
    "State",
    "Statistics",
    "StatisticsArrays",
    "Store",
    "StoreError",
    "TaskAdapter",
    "TaskState",
    "Validation",
    "VersionInfo",
    "as_stored",
    "digest",
    "hash_preprocessing",
    "open_store",
    "pack",
    "unpack",
]
