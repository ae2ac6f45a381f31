"""The manifest of a task adapter: immutable records, written as canonical JSON and read back strictly."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from adapters_store import errors
from adapters_store.answers import Answers, check_answers
from adapters_store.limits import ArtifactLimits
from adapters_store.low_bit import LowBit, check_low_bit
from adapters_store.statistics import Statistics, check_statistics
from adapters_store.strict_json import Json, canonical, is_printable, parse_object, read_dataclass, shown

PLAIN_VERSION, ANSWERS_VERSION, STATISTICS_VERSION, LOW_BIT_VERSION = 1, 2, 3, 4
_OPTIONAL = ("answers", "statistics", "low_bit")
# Beyond what all versions require. A version knows what the earlier ones require, too.
_REQUIRED = {PLAIN_VERSION: None, **dict(enumerate(_OPTIONAL, ANSWERS_VERSION))}
PLACEMENT = "series"
ACTIVATION = "gelu"
LONGEST_NAME = 256  # characters
LONGEST_DESCRIPTION = 2000
FEWEST_LABELS = 2
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class BackboneRef:
    """The frozen network that the adapter was trained on: its name and its 64-digit fingerprint."""

    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """The provenance of the adapter, and its cost.

    Compression is sigma = 4M/N in the paper's convention, `pruning_fraction` its rho; `epochs` is the total over all
    cycles; `flops` count this task's whole forward pass for one image.
    """

    method: str
    dataset: str
    seed: int
    cycles: int
    epochs: int
    initial_compression: float
    target_compression: float
    pruning_fraction: float
    initial_widths: tuple[int, ...]  # N_i before pruning, for all sites
    adapter_parameters: int
    head_parameters: int
    flops: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about a task adapter except its tensors."""

    backbone: BackboneRef
    widths: tuple[int, ...]  # N_i for all sites, 0 if removed
    labels: tuple[str, ...]
    preprocessing: Mapping[str, Json]
    preprocessing_sha256: str
    provenance: Provenance
    description: str = ""
    placement: str = PLACEMENT
    activation: str = ACTIVATION  # of the adapters
    answers: Answers | None = None  # None: softmax at temperature 1, and nothing is unknown
    statistics: Statistics | None = None  # None: a class cannot be added without the images of all
    low_bit: LowBit | None = None  # None: weights are float16 or float32

    @property
    def format_version(self) -> int:
        """The oldest version of the format that can express this manifest."""
        if self.low_bit is not None:
            return LOW_BIT_VERSION
        if self.statistics is not None:
            return STATISTICS_VERSION
        return PLAIN_VERSION if self.answers is None else ANSWERS_VERSION

    @property
    def live_sites(self) -> tuple[int, ...]:
        """The sites that kept at least one neuron, in order."""
        return tuple(site for site, width in enumerate(self.widths) if width)


def hash_preprocessing(preprocessing: Mapping[str, object]) -> str:
    """Return the SHA-256 (hex) of the canonical JSON of a preprocessing."""
    return hashlib.sha256(canonical(preprocessing).encode()).hexdigest()


def write_manifest(manifest: Manifest) -> str:
    """Return the canonical text of a manifest. Only `read_manifest` checks whether it is acceptable."""
    values = {field.name: getattr(manifest, field.name) for field in fields(manifest)}
    for name in _OPTIONAL:
        if values[name] is None:
            del values[name]
    return canonical({**values, "format_version": manifest.format_version})


def read_manifest(text: str, limits: ArtifactLimits) -> Manifest:
    """Parse and check a manifest by itself.

    Raises:
        ArtifactError: One subclass for each way the manifest can be bad.
    """
    values = parse_object(text, max_depth=limits.json_depth)
    _complete(values, _version(values))
    del values["format_version"]
    manifest = read_dataclass(Manifest, values, "manifest")
    _check_accepted(manifest)
    _check_texts(manifest)
    _check_labels(manifest.labels, limits.label_length)
    _check_preprocessing(manifest)
    _check_provenance(manifest.provenance, manifest.widths)
    if manifest.answers is not None:
        check_answers(manifest.answers, len(manifest.labels))
    if manifest.statistics is not None:
        check_statistics(manifest.statistics, len(manifest.labels))
    if manifest.low_bit is not None:
        check_low_bit(manifest.low_bit, manifest.widths, len(manifest.labels), limits.file_bytes)
    return manifest


def _complete(values: dict[str, Json], version: int) -> None:
    """Put None where a record is absent that this version may leave out; refuse one that it does not know."""
    for since, name in enumerate(_OPTIONAL, ANSWERS_VERSION):
        if name in values and version < since:
            raise errors.UnknownField(f"manifest: {name!r} is not known in format version {version}")
        if name in values and values[name] is None:
            raise errors.InvalidField(f"manifest.{name}: null is not an object")
        if _REQUIRED[version] != name:
            values.setdefault(name, None)


def _version(values: Mapping[str, Json]) -> int:
    """Check the version first: a later format may have other keys, and the version is the best explanation of them."""
    if "format_version" not in values:
        raise errors.MissingField("manifest: format_version is missing")
    version = values["format_version"]
    if type(version) is not int or version not in _REQUIRED:
        known = f"{PLAIN_VERSION} to {LOW_BIT_VERSION}"
        raise errors.UnsupportedFormatVersion(f"format version {shown(version)}, this release reads {known}")
    return version


def _check_accepted(manifest: Manifest) -> None:
    if manifest.placement != PLACEMENT:
        raise errors.UnsupportedPlacement(f"placement {shown(manifest.placement)}, only {PLACEMENT!r} is accepted")
    if manifest.activation != ACTIVATION:
        raise errors.UnsupportedActivation(f"activation {shown(manifest.activation)}, only {ACTIVATION!r} is accepted")


def _check_texts(manifest: Manifest) -> None:
    for name, text, longest in (
        ("backbone.name", manifest.backbone.name, LONGEST_NAME),
        ("provenance.method", manifest.provenance.method, LONGEST_NAME),
        ("provenance.dataset", manifest.provenance.dataset, LONGEST_NAME),
        ("description", manifest.description, LONGEST_DESCRIPTION),
    ):
        if len(text) > longest:
            raise errors.InvalidField(f"manifest.{name}: {len(text)} characters, at most {longest} are read")
    for name, text in (
        ("backbone.fingerprint", manifest.backbone.fingerprint),
        ("preprocessing_sha256", manifest.preprocessing_sha256),
    ):
        if not _SHA256.fullmatch(text):
            raise errors.InvalidField(f"manifest.{name}: {shown(text)} is not a SHA-256 in 64 lower-case hex digits")


def _check_labels(labels: tuple[str, ...], longest: int) -> None:
    if len(labels) < FEWEST_LABELS or len(set(labels)) != len(labels):
        raise errors.InvalidLabels(f"labels are at least {FEWEST_LABELS}, and different from each other")
    if not all(0 < len(label) <= longest for label in labels):
        raise errors.InvalidLabels(f"a label has 1 to {longest} characters")


def _check_preprocessing(manifest: Manifest) -> None:
    for key, value in manifest.preprocessing.items():
        if not _is_flat(value):
            raise errors.InvalidField(f"manifest.preprocessing: {shown(key)} holds neither plain values nor lists")
    actual = hash_preprocessing(manifest.preprocessing)
    if actual != manifest.preprocessing_sha256:
        raise errors.PreprocessingMismatch(f"preprocessing gives {actual}, not the hash beside it")


def _is_flat(value: Json) -> bool:
    if isinstance(value, list):
        return all(_is_flat(item) for item in value)
    return not isinstance(value, dict) and (not isinstance(value, str) or is_printable(value))


def _check_provenance(provenance: Provenance, widths: tuple[int, ...]) -> None:
    compressions = provenance.initial_compression, provenance.target_compression
    if not 0 <= provenance.pruning_fraction < 1 or min(compressions) < 0:
        raise errors.InvalidField("manifest.provenance: a fraction is below 1, and no compression is negative")
    if len(widths) != len(provenance.initial_widths):
        raise errors.InconsistentProvenance(f"{len(widths)} widths, {len(provenance.initial_widths)} initial widths")
    if any(width > initial for width, initial in zip(widths, provenance.initial_widths, strict=True)):
        raise errors.InconsistentProvenance("a width is larger than its initial width")
