"""The manifest as text: written in one canonical way, read back strictly. It sees no tensors."""

import hashlib
import re
from collections.abc import Mapping

from adapters_store import errors
from adapters_store.limits import ArtifactLimits
from adapters_store.manifest import ACTIVATION, FORMAT_VERSION, PLACEMENT, Manifest, Provenance
from adapters_store.records import is_printable, read_record
from adapters_store.strict_json import Json, canonical, parse_object, shown

LONGEST_NAME = 256  # characters
LONGEST_DESCRIPTION = 2000
FEWEST_LABELS = 2
_SHA256 = re.compile(r"[0-9a-f]{64}")


def hash_preprocessing(preprocessing: Mapping[str, object]) -> str:
    """Return the SHA-256 (hex) of the canonical JSON of a preprocessing."""
    return hashlib.sha256(canonical(preprocessing).encode()).hexdigest()


def write_manifest(manifest: Manifest) -> str:
    """Return the canonical text of a manifest; whether it is acceptable is for `read_manifest` to say."""
    return canonical(manifest)


def read_manifest(text: str, limits: ArtifactLimits) -> Manifest:
    """Parse and check a manifest by itself.

    Raises:
        ArtifactError: One subclass for each way the manifest can be bad.
    """
    values = parse_object(text, max_depth=limits.json_depth)
    _check_version(values)
    manifest = read_record(Manifest, values, "manifest")
    _check_accepted(manifest)
    _check_texts(manifest)
    _check_labels(manifest.labels, limits.label_length)
    _check_preprocessing(manifest)
    _check_provenance(manifest.provenance, manifest.widths)
    return manifest


def _check_version(values: Mapping[str, Json]) -> None:
    """Look at the version first: a later format may have other keys, and its number explains them best."""
    version = values.get("format_version", FORMAT_VERSION)
    if type(version) is not int or version != FORMAT_VERSION:
        raise errors.UnsupportedFormatVersion(f"format version {shown(version)}, this release reads {FORMAT_VERSION}")


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
