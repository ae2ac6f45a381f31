"""The manifest as text: written in one canonical way, read back strictly. It sees no tensors."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import fields

from adapters_store import errors
from adapters_store.fields import Fields, is_printable
from adapters_store.limits import ArtifactLimits
from adapters_store.manifest import ACTIVATION, FORMAT_VERSION, PLACEMENT, BackboneRef, Manifest, Provenance
from adapters_store.strict_json import Json, canonical, parse_object, shown

LONGEST_NAME = 256  # characters
LONGEST_DESCRIPTION = 2000
FEWEST_LABELS = 2
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MANIFEST, _PROVENANCE, _BACKBONE = (
    tuple(field.name for field in fields(record)) for record in (Manifest, Provenance, BackboneRef)
)


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
    manifest = Fields(values, "manifest", _MANIFEST)
    widths = manifest.integers("widths")
    return Manifest(
        backbone=_backbone(manifest.values["backbone"]),
        widths=widths,
        labels=_labels(manifest, limits.label_length),
        preprocessing=_preprocessing(manifest),
        preprocessing_sha256=_sha256(manifest, "preprocessing_sha256"),
        provenance=_provenance(manifest.values["provenance"], widths),
        description=manifest.text("description", longest=LONGEST_DESCRIPTION, multiline=True),
        placement=_only(manifest, "placement", PLACEMENT, errors.UnsupportedPlacement),
        activation=_only(manifest, "activation", ACTIVATION, errors.UnsupportedActivation),
    )


def _check_version(values: Mapping[str, Json]) -> None:
    """Look at the version first: a later format may have other keys, and its number explains them best."""
    version = values.get("format_version", FORMAT_VERSION)
    if type(version) is not int or version != FORMAT_VERSION:
        raise errors.UnsupportedFormatVersion(f"format version {shown(version)}, this release reads {FORMAT_VERSION}")


def _backbone(value: Json) -> BackboneRef:
    backbone = Fields(value, "manifest.backbone", _BACKBONE)
    return BackboneRef(backbone.text("name", longest=LONGEST_NAME), _sha256(backbone, "fingerprint"))


def _provenance(value: Json, widths: tuple[int, ...]) -> Provenance:
    provenance = Fields(value, "manifest.provenance", _PROVENANCE)
    initial_widths = provenance.integers("initial_widths")
    _check_pruned(widths, initial_widths)
    return Provenance(
        method=provenance.text("method", longest=LONGEST_NAME),
        dataset=provenance.text("dataset", longest=LONGEST_NAME),
        seed=provenance.integer("seed"),
        cycles=provenance.integer("cycles"),
        epochs=provenance.integer("epochs"),
        initial_compression=provenance.number("initial_compression"),
        target_compression=provenance.number("target_compression"),
        pruning_fraction=provenance.number("pruning_fraction"),
        initial_widths=initial_widths,
        adapter_parameters=provenance.integer("adapter_parameters"),
        head_parameters=provenance.integer("head_parameters"),
        flops=provenance.integer("flops"),
        metrics=provenance.numbers("metrics"),
    )


def _check_pruned(widths: tuple[int, ...], initial_widths: tuple[int, ...]) -> None:
    """Pruning only shrinks, and both lists name every site."""
    if len(widths) != len(initial_widths):
        raise errors.InconsistentProvenance(f"{len(widths)} widths, but {len(initial_widths)} initial widths")
    if any(width > initial for width, initial in zip(widths, initial_widths, strict=True)):
        raise errors.InconsistentProvenance("a width is larger than its initial width")


def _labels(manifest: Fields, longest: int) -> tuple[str, ...]:
    value = manifest.values["labels"]
    if not isinstance(value, list):
        raise manifest.invalid("labels", "a list of labels")
    labels = tuple(label for label in value if is_printable(label) and 0 < len(label) <= longest)
    if len(labels) != len(value):
        raise errors.InvalidLabels(f"every label is printable text of 1 to {longest} characters")
    if len(set(labels)) != len(labels) or len(labels) < FEWEST_LABELS:
        raise errors.InvalidLabels(f"labels are different from each other, and at least {FEWEST_LABELS}")
    return labels


def _preprocessing(manifest: Fields) -> dict[str, Json]:
    value = manifest.values["preprocessing"]
    if not isinstance(value, dict) or not all(is_printable(key) and _is_flat(item) for key, item in value.items()):
        raise manifest.invalid("preprocessing", "an object of printable text, numbers, truth values and lists of them")
    if hash_preprocessing(value) != manifest.values["preprocessing_sha256"]:
        raise errors.PreprocessingMismatch(f"preprocessing gives {hash_preprocessing(value)}, not the hash beside it")
    return value


def _is_flat(value: Json) -> bool:
    if isinstance(value, list):
        return all(_is_flat(item) for item in value)
    return not isinstance(value, dict) and (not isinstance(value, str) or is_printable(value))


def _sha256(values: Fields, name: str) -> str:
    text = values.values[name]
    if not isinstance(text, str) or not _SHA256.fullmatch(text):
        raise values.invalid(name, "a SHA-256 in 64 lower-case hex digits")
    return text


def _only(manifest: Fields, name: str, accepted: str, error: type[errors.ArtifactError]) -> str:
    if manifest.values[name] != accepted:
        raise error(f"{name} {shown(manifest.values[name])}, only {accepted!r} is accepted")
    return accepted
