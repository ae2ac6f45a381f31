"""Every error that this package raises on purpose, about task adapter files and about stores.

Each class has a stable `code` for APIs, logs and tests, and a `title`: one sentence that is safe to show to anybody.
The message of an instance may show a piece of the file, so it is for the operator. Nothing here knows HTTP.

    AdaptersStoreError
    ├── ArtifactError
    │   ├── NotSafetensors
    │   ├── FileTooLarge
    │   ├── BrokenFile
    │   │   ├── TruncatedFile
    │   │   ├── HeaderTooLarge
    │   │   ├── InvalidJson
    │   │   ├── JsonTooDeep
    │   │   ├── NonFiniteNumber
    │   │   ├── DuplicateKey
    │   │   ├── InvalidEntry
    │   │   ├── TooManyTensors
    │   │   ├── UnsupportedDtype
    │   │   ├── InvalidShape
    │   │   ├── SizeMismatch
    │   │   ├── OverlappingTensors
    │   │   ├── HoleInData
    │   │   └── TrailingBytes
    │   ├── BadManifest
    │   │   ├── MissingManifest
    │   │   ├── UnexpectedMetadata
    │   │   ├── MissingField
    │   │   ├── UnknownField
    │   │   ├── InvalidField
    │   │   ├── InvalidLabels
    │   │   ├── InvalidAnswers
    │   │   ├── InvalidStatistics
    │   │   ├── UnsupportedFormatVersion
    │   │   ├── UnsupportedPlacement
    │   │   ├── UnsupportedActivation
    │   │   ├── PreprocessingMismatch
    │   │   └── InconsistentProvenance
    │   └── BadTensors
    │       ├── MissingTensor
    │       ├── UnexpectedTensor
    │       ├── WrongDtype
    │       ├── MixedDtypes
    │       ├── WrongShape
    │       ├── NonFiniteValue
    │       ├── NotCanonical
    │       ├── NotOrthonormal
    │       └── NotPositiveDefinite
    ├── NotExtensible
    │   ├── NoStatistics
    │   ├── NotExclusive
    │   ├── LabelExists
    │   └── TooFewImages
    └── StoreError
        ├── InvalidName
        ├── InvalidSplit
        ├── InvalidDescription
        ├── UnsupportedUrl
        ├── NotFound
        │   ├── UnknownTask
        │   ├── UnknownVersion
        │   ├── UnknownAlias
        │   └── UnknownBlob
        ├── Conflict
        │   ├── StaleGeneration
        │   └── VersionInUse
        ├── Damaged
        │   ├── CorruptBlob
        │   └── CorruptLog
        └── BackendError
            ├── NotAStore
            ├── NotEmpty
            ├── UnsupportedStoreVersion
            ├── StoreReplaced
            ├── StoreDamaged
            ├── StoreFull
            └── StoreUnavailable
                └── StoreReadOnly
"""

import re
from typing import ClassVar


class AdaptersStoreError(Exception):
    """Root of the tree. A title is data, so that it is there under `python -OO` as well."""

    code: ClassVar[str] = "adapters_store_error"  # the class's name in snake_case
    title: ClassVar[str] = "The task adapter file or the store is at fault."  # what is wrong, in one sentence

    def __init_subclass__(cls) -> None:
        """Give each class its code, and its title as its docstring."""
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        cls.__doc__ = cls.__doc__ or cls.title


# ---------------------------------------------------------------- task adapter files


class ArtifactError(AdaptersStoreError):
    title = "The bytes are not an acceptable task adapter file."


class NotSafetensors(ArtifactError):
    title = "The first bytes belong to another format."


class FileTooLarge(ArtifactError):
    title = "The file has more bytes than the limit."


class BrokenFile(ArtifactError):
    title = "The safetensors container is damaged or hostile."


class TruncatedFile(BrokenFile):
    title = "The file ends before what its header promises."


class HeaderTooLarge(BrokenFile):
    title = "The header's length field is over the limit."


class InvalidJson(BrokenFile):
    title = "The header or the manifest is not a JSON object, or holds a number too long."


class JsonTooDeep(BrokenFile):
    title = "JSON is nested beyond the limit."


class NonFiniteNumber(BrokenFile):
    title = "JSON holds NaN, Infinity, or a number that overflows to it."


class DuplicateKey(BrokenFile):
    title = "One JSON object names a key twice."


class InvalidEntry(BrokenFile):
    title = "A tensor is not described by exactly dtype, shape and data_offsets."


class TooManyTensors(BrokenFile):
    title = "The header names more tensors than the limit."


class UnsupportedDtype(BrokenFile):
    title = "A tensor's dtype is not on the allow-list."


class InvalidShape(BrokenFile):
    title = "A shape is negative, fractional, of too high rank, or larger than the file."


class SizeMismatch(BrokenFile):
    title = "A tensor's offsets do not span its shape times its dtype."


class OverlappingTensors(BrokenFile):
    title = "Two tensors claim the same bytes."


class HoleInData(BrokenFile):
    title = "Bytes between tensors belong to none."


class TrailingBytes(BrokenFile):
    title = "Bytes follow the last tensor."


class BadManifest(ArtifactError):
    title = "The container is sound, its manifest is not."


class MissingManifest(BadManifest):
    title = "The metadata has no manifest."


class UnexpectedMetadata(BadManifest):
    title = "The metadata holds something beside the manifest."


class MissingField(BadManifest):
    title = "The manifest lacks a key."


class UnknownField(BadManifest):
    title = "The manifest has a key that this release does not know."


class InvalidField(BadManifest):
    title = "A manifest value has the wrong type or is out of range."


class InvalidLabels(BadManifest):
    title = "Labels are too few, repeated, empty or unprintable."


class InvalidAnswers(BadManifest):
    title = "The record of how answers are read has a value out of range, or does not fit the labels."


class InvalidStatistics(BadManifest):
    title = "The record of the statistics has a value out of range, or does not fit the labels."


class UnsupportedFormatVersion(BadManifest):
    title = "The file was written for another version of this format."


class UnsupportedPlacement(BadManifest):
    title = "The adapters do not sit in series."


class UnsupportedActivation(BadManifest):
    title = "The adapters' activation is not GELU."


class PreprocessingMismatch(BadManifest):
    title = "The preprocessing does not give the hash written beside it."


class InconsistentProvenance(BadManifest):
    title = "The provenance contradicts the tensors or the widths."


class BadTensors(ArtifactError):
    title = "The manifest is sound, the tensors do not fit it."


class MissingTensor(BadTensors):
    title = "A tensor that the manifest implies is absent."


class UnexpectedTensor(BadTensors):
    title = "A tensor is present that the manifest does not imply."


class WrongDtype(BadTensors):
    title = "A tensor has a dtype that is not allowed for it."


class MixedDtypes(BadTensors):
    title = "Some weights are float16, others float32."


class WrongShape(BadTensors):
    title = "A tensor has a shape that the manifest does not imply."


class NonFiniteValue(BadTensors):
    title = "A tensor holds NaN or infinity."


class NotCanonical(BadTensors):
    title = "Codes of low bits are not as a writer writes them."


class NotOrthonormal(BadTensors):
    title = "The directions of the known features are not unit vectors at right angles."


class NotPositiveDefinite(BadTensors):
    title = "A matrix cannot be what it is said to be: the factor of a precision, or the scatter of features."


class NotExtensible(AdaptersStoreError):
    title = "The task adapter cannot take this class."


class NoStatistics(NotExtensible):
    title = "The file has no statistics: `mimi statistics FILE DATA` and `mimi train --statistics` make one with them."


class NotExclusive(NotExtensible):
    title = "The labels of the task are independent of each other; only a task of exclusive classes takes a new one."


class LabelExists(NotExtensible):
    title = "The task has a class of this label already."


class TooFewImages(NotExtensible):
    title = "A new class needs two images at least."


# ---------------------------------------------------------------- stores


class StoreError(AdaptersStoreError):
    title = "The store did not do what was asked."


class InvalidName(StoreError):
    title = "A task or alias name does not fit its pattern."


class InvalidSplit(StoreError):
    title = "An alias split names no version, or gives one a weight out of range."


class InvalidDescription(StoreError):
    title = "A description is too long, or not one line of printable text."


class UnsupportedUrl(StoreError):
    title = "No kind of store belongs to this URL."


class NotFound(StoreError):
    title = "The store does not have what was asked for."


class UnknownTask(NotFound):
    title = "There is no such task, or it was deleted."


class UnknownVersion(NotFound):
    title = "The task has no such version, or it was deleted."


class UnknownAlias(NotFound):
    title = "The task has no such alias."


class UnknownBlob(NotFound):
    title = "No bytes with this hash are stored."


class Conflict(StoreError):
    title = "The request contradicts the state it would change."


class StaleGeneration(Conflict):
    """The task is at another generation than the caller expects: read it again.

    Attributes:
        actual: the task's generation now, 0 if it does not exist.
    """

    title = "The task is at another generation than the caller expects: read it again."

    def __init__(self, task: str, expected: int, actual: int) -> None:
        super().__init__(f"task {task} is at generation {actual}, not {expected}")
        self.task, self.expected, self.actual = task, expected, actual


class VersionInUse(Conflict):
    title = "An alias still points at the version that should be deleted."


class Damaged(StoreError):
    title = "Stored bytes are not what was written."


class CorruptBlob(Damaged):
    title = "The bytes under a hash no longer give that hash."


class CorruptLog(Damaged):
    title = "A log entry cannot be read, or does not follow from the entries before it."


class BackendError(StoreError):
    title = "The place where the store keeps its data failed."


class NotAStore(BackendError):
    title = "The place holds something else: a link, another program's database, or a file where a folder should be."


class NotEmpty(BackendError):
    title = "The place already holds a store or other files; nothing was written there."


class UnsupportedStoreVersion(BackendError):
    title = "Another release of this project wrote the store."


class StoreReplaced(BackendError):
    title = "The store is gone, or another store or an earlier state of it is in its place."


class StoreDamaged(BackendError):
    title = "Parts of the store cannot be read; it takes no changes until `mimi store repair` has run."


class StoreFull(BackendError):
    title = "There is no room for the write; the state is as before."


class StoreUnavailable(BackendError):
    title = "The store cannot be read or written now; what was acknowledged is kept."


class StoreReadOnly(StoreUnavailable):
    title = "The store can be read but not written."
