"""Every way a task adapter file can be bad: one class each, with a stable `code` for APIs, logs and tests.

This file only names what is wrong: it knows neither HTTP nor how a file is read. Store errors are in `store_errors`.

    AdaptersStoreError
    ├── StoreError                        (drawn in store_errors.py)
    └── ArtifactError
        ├── NotSafetensors                another format: pickle, zip, gzip, tar, HTML, …
        ├── FileTooLarge                  more bytes than the limit
        ├── BrokenFile                    the container itself is damaged or hostile
        │   ├── TruncatedFile             ends before what the header promises
        │   ├── HeaderTooLarge            length field over the limit
        │   ├── InvalidText               not UTF-8
        │   ├── InvalidJson               not JSON, or a number too long
        │   ├── JsonTooDeep               nested beyond the limit
        │   ├── NonFiniteNumber           NaN, Infinity or 1e999 written as a number
        │   ├── DuplicateKey              one object names a key twice
        │   ├── InvalidEntry              a tensor is not described by exactly dtype, shape, data_offsets
        │   ├── TooManyTensors            more tensors than the limit
        │   ├── UnsupportedDtype          anything but F16, F32, U8
        │   ├── InvalidShape              negative, fractional, of too high rank, or beyond the file
        │   ├── SizeMismatch              offsets do not span shape x dtype
        │   ├── OverlappingTensors        two tensors share bytes
        │   ├── HoleInData                bytes between tensors that none claims
        │   └── TrailingBytes             bytes after the last tensor
        ├── BadManifest                   the container is sound, its manifest is not
        │   ├── MissingManifest           no manifest in the metadata
        │   ├── UnexpectedMetadata        metadata beside the manifest
        │   ├── MissingField              a key the manifest must have
        │   ├── UnknownField              a key the manifest must not have
        │   ├── InvalidField              a value of the wrong type or out of range
        │   ├── InvalidLabels             empty, repeated or unprintable labels
        │   ├── UnsupportedFormatVersion  written by another release
        │   ├── UnsupportedPlacement      adapters that do not sit in series
        │   ├── UnsupportedActivation     anything but GELU
        │   ├── PreprocessingMismatch     preprocessing does not give its own hash
        │   └── InconsistentProvenance    provenance contradicts the tensors or the widths
        └── BadTensors                    the manifest is sound, the tensors do not fit it
            ├── MissingTensor             a tensor the manifest implies
            ├── UnexpectedTensor          a tensor it does not imply
            ├── WrongDtype                golden sample or weights in the wrong dtype
            ├── MixedDtypes               weights partly float16, partly float32
            ├── WrongShape                a shape the manifest does not imply
            └── NonFiniteValue            NaN or infinity among the values
"""

from adapters_store._root import AdaptersStoreError


class ArtifactError(AdaptersStoreError):
    """The bytes are not an acceptable task adapter file."""


class NotSafetensors(ArtifactError):
    """The first bytes belong to another format."""


class FileTooLarge(ArtifactError):
    """The file has more bytes than the limit."""


class BrokenFile(ArtifactError):
    """The safetensors container is damaged or hostile."""


class TruncatedFile(BrokenFile):
    """The file ends before what its header promises."""


class HeaderTooLarge(BrokenFile):
    """The header's length field is over the limit."""


class InvalidText(BrokenFile):
    """The header is not UTF-8."""


class InvalidJson(BrokenFile):
    """The header or the manifest is not a JSON object, or holds a number too long."""


class JsonTooDeep(BrokenFile):
    """JSON is nested beyond the limit."""


class NonFiniteNumber(BrokenFile):
    """JSON holds NaN, Infinity, or a number that overflows to it."""


class DuplicateKey(BrokenFile):
    """One JSON object names a key twice."""


class InvalidEntry(BrokenFile):
    """A tensor is not described by exactly dtype, shape and data_offsets."""


class TooManyTensors(BrokenFile):
    """The header names more tensors than the limit."""


class UnsupportedDtype(BrokenFile):
    """A tensor's dtype is not on the allow-list."""


class InvalidShape(BrokenFile):
    """A shape is negative, fractional, of too high rank, or larger than the file."""


class SizeMismatch(BrokenFile):
    """A tensor's offsets do not span its shape times its dtype."""


class OverlappingTensors(BrokenFile):
    """Two tensors claim the same bytes."""


class HoleInData(BrokenFile):
    """Bytes between tensors belong to none."""


class TrailingBytes(BrokenFile):
    """Bytes follow the last tensor."""


class BadManifest(ArtifactError):
    """The container is sound, its manifest is not."""


class MissingManifest(BadManifest):
    """The metadata has no manifest."""


class UnexpectedMetadata(BadManifest):
    """The metadata holds something beside the manifest."""


class MissingField(BadManifest):
    """The manifest lacks a key."""


class UnknownField(BadManifest):
    """The manifest has a key that this release does not know."""


class InvalidField(BadManifest):
    """A manifest value has the wrong type or is out of range."""


class InvalidLabels(BadManifest):
    """Labels are too few, repeated, empty or unprintable."""


class UnsupportedFormatVersion(BadManifest):
    """The file was written for another version of this format."""


class UnsupportedPlacement(BadManifest):
    """The adapters do not sit in series."""


class UnsupportedActivation(BadManifest):
    """The adapters' activation is not GELU."""


class PreprocessingMismatch(BadManifest):
    """The preprocessing does not give the hash written beside it."""


class InconsistentProvenance(BadManifest):
    """The provenance contradicts the tensors or the widths."""


class BadTensors(ArtifactError):
    """The manifest is sound, the tensors do not fit it."""


class MissingTensor(BadTensors):
    """A tensor that the manifest implies is absent."""


class UnexpectedTensor(BadTensors):
    """A tensor is present that the manifest does not imply."""


class WrongDtype(BadTensors):
    """A tensor has a dtype that its place does not allow."""


class MixedDtypes(BadTensors):
    """Weights lie partly in float16, partly in float32."""


class WrongShape(BadTensors):
    """A tensor has a shape that the manifest does not imply."""


class NonFiniteValue(BadTensors):
    """NaN or infinity stands among the values."""
