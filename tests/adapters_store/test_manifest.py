"""Every way a manifest can be bad, each shown by one change to a good one."""

from collections.abc import Callable
from typing import Any

import pytest

from adapters_store import errors, hash_preprocessing, unpack
from adapters_store.limits import ArtifactLimits
from tests.adapters_store.raw import GOOD_FILE, Header, with_header, with_manifest, with_manifest_text


def put(path: str, value: object) -> Callable[[Header], object]:
    """Return a change that sets the value at a dotted path."""

    def change(manifest: Header) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            manifest = manifest[parent]
        manifest[last] = value

    return change


def drop(path: str) -> Callable[[Header], object]:
    """Return a change that removes the key at a dotted path."""

    def change(manifest: Header) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            manifest = manifest[parent]
        del manifest[last]

    return change


BAD: list[tuple[type[errors.BadManifest], Callable[[Header], object]]] = [
    (errors.UnsupportedFormatVersion, put("format_version", 5)),
    (errors.UnsupportedFormatVersion, put("format_version", 0)),
    (errors.UnsupportedFormatVersion, put("format_version", "1")),
    (errors.UnsupportedFormatVersion, put("format_version", True)),
    (errors.UnsupportedFormatVersion, put("format_version", 1.0)),
    (errors.UnsupportedPlacement, put("placement", "parallel")),
    (errors.UnsupportedActivation, put("activation", "relu")),
    (errors.MissingField, drop("format_version")),
    (errors.MissingField, drop("labels")),
    (errors.MissingField, drop("backbone.fingerprint")),
    (errors.MissingField, drop("provenance.seed")),
    (errors.UnknownField, put("licence", "MIT")),
    (errors.UnknownField, put("backbone.url", "http://example.org")),
    (errors.UnknownField, put("provenance.author", "x")),
    (errors.InvalidField, put("backbone", "swin")),
    (errors.InvalidField, put("backbone.name", 3)),
    (errors.InvalidField, put("backbone.name", "a\nb")),
    (errors.InvalidField, put("backbone.name", "a" * 257)),
    (errors.InvalidField, put("backbone.fingerprint", "AB" * 32)),
    (errors.InvalidField, put("backbone.fingerprint", "ab" * 32 + "\n")),
    (errors.InvalidField, put("backbone.fingerprint", "ab" * 31)),
    (errors.InvalidField, put("widths", "2,0,1")),
    (errors.InvalidField, put("widths", [2, 0, -1])),
    (errors.InvalidField, put("widths", [2, 0, 1.0])),
    (errors.InvalidField, put("widths", [2, False, 1])),
    (errors.InvalidField, put("widths", [2, 0, 2**63])),
    (errors.InvalidField, put("labels", {"cat": 0})),
    (errors.InvalidField, put("labels", ["cat", None])),
    (errors.InvalidField, put("labels", ["cat", "d\x1b[31mog"])),
    (errors.InvalidField, put("labels", ["cat", "\ud800"])),
    (errors.InvalidLabels, put("labels", ["cat", ""])),
    (errors.InvalidLabels, put("labels", ["cat", "cat"])),
    (errors.InvalidLabels, put("labels", ["cat"])),
    (errors.InvalidLabels, put("labels", [])),
    (errors.InvalidField, put("description", "d" * 2001)),
    (errors.InvalidField, put("preprocessing", ["bicubic"])),
    (errors.InvalidField, put("preprocessing.size", {"height": 64})),
    (errors.InvalidField, put("preprocessing.size", [["\x00"]])),
    (errors.InvalidField, put("preprocessing.a\x00b", 1)),
    (errors.InvalidField, put("preprocessing_sha256", None)),
    (errors.InvalidField, put("preprocessing_sha256", "0" * 63)),
    (errors.PreprocessingMismatch, put("preprocessing_sha256", "0" * 64)),
    (errors.PreprocessingMismatch, put("preprocessing.crop_pct", 0.9)),
    (errors.PreprocessingMismatch, put("preprocessing.mean", [0.5, 0.5])),
    (errors.InvalidField, put("provenance.seed", -1)),
    (errors.InvalidField, put("provenance.epochs", 1.5)),
    (errors.InvalidField, put("provenance.metrics", [0.5])),
    (errors.InvalidField, put("provenance.metrics.top1", "0.9")),
    (errors.InvalidField, put("provenance.metrics.top1", True)),
    (errors.InvalidField, put("provenance.metrics.\r\n", 1.0)),
    (errors.InvalidField, put("provenance.initial_compression", -1.0)),
    (errors.InvalidField, put("provenance.target_compression", -1.0)),
    (errors.InvalidField, put("provenance.pruning_fraction", 1.0)),
    (errors.InvalidField, put("provenance.pruning_fraction", -0.5)),
    (errors.InconsistentProvenance, put("provenance.initial_widths", [4, 4])),
    (errors.InconsistentProvenance, put("provenance.initial_widths", [1, 4, 4])),
    (errors.InconsistentProvenance, put("provenance.adapter_parameters", 1)),
    (errors.InconsistentProvenance, put("provenance.head_parameters", 1)),
]


@pytest.mark.parametrize(("error", "change"), BAD)
def test_a_bad_manifest_is_refused_for_its_own_reason(
    error: type[errors.BadManifest], change: Callable[[Header], object]
) -> None:
    with pytest.raises(errors.ArtifactError) as caught:
        unpack(with_manifest(change))
    assert caught.type is error


BAD_TEXTS: dict[str, tuple[type[errors.BrokenFile], str]] = {
    "no JSON": (errors.InvalidJson, "series"),
    "a list": (errors.InvalidJson, "[]"),
    "a key twice": (errors.DuplicateKey, '{"backbone":"good","backbone":"evil"}'),
    "a nested key twice": (errors.DuplicateKey, '{"provenance":{"seed":1,"seed":2}}'),
    "an escaped key twice": (errors.DuplicateKey, '{"seed":1,"se\\u0065d":2}'),
    "NaN": (errors.NonFiniteNumber, '{"metrics":NaN}'),
    "200,000 levels": (errors.JsonTooDeep, '{"a":' + "[" * 200_000),
}


@pytest.mark.parametrize(("error", "text"), BAD_TEXTS.values(), ids=BAD_TEXTS.keys())
def test_a_manifest_that_is_not_strict_json_is_refused(error: type[errors.BrokenFile], text: str) -> None:
    with pytest.raises(error):
        unpack(with_manifest_text(text))


def test_a_file_without_a_manifest_is_refused() -> None:
    with pytest.raises(errors.MissingManifest):
        unpack(with_header(lambda header: header["__metadata__"].clear()))
    with pytest.raises(errors.MissingManifest):
        unpack(with_header(lambda header: header.pop("__metadata__")))


def test_metadata_beside_the_manifest_is_refused() -> None:
    with pytest.raises(errors.UnexpectedMetadata):
        unpack(with_header(lambda header: header["__metadata__"].update(format="pt")))


@pytest.mark.parametrize("value", [0, -0.0, 1e-300, None, True, "x", [], [[1, "a"], [None]]])
def test_preprocessing_may_hold_plain_values_and_lists(value: Any) -> None:  # noqa: ANN401
    def change(manifest: Header) -> None:
        manifest["preprocessing"] = {"key": value}
        manifest["preprocessing_sha256"] = hash_preprocessing({"key": value})

    assert unpack(with_manifest(change)).manifest.preprocessing == {"key": value}


def test_metrics_may_be_negative_and_integers_may_stand_for_fractions() -> None:
    file = with_manifest(put("provenance.metrics", {"rank_correlation": -1, "top1": 0.5}))
    assert unpack(file).manifest.provenance.metrics == {"rank_correlation": -1.0, "top1": 0.5}


@pytest.mark.parametrize("name", ["initial_compression", "target_compression", "pruning_fraction", "cycles", "seed"])
def test_what_was_never_pruned_says_so_with_zeros(name: str) -> None:
    manifest = unpack(with_manifest(put(f"provenance.{name}", 0))).manifest
    assert getattr(manifest.provenance, name) == 0


@pytest.mark.parametrize(
    ("name", "longest"), [("description", 2000), ("backbone.name", 256), ("provenance.method", 256)]
)
def test_texts_may_be_as_long_as_their_limit(name: str, longest: int) -> None:
    assert unpack(with_manifest(put(name, "x" * longest)))


@pytest.mark.parametrize(("longest", "fits"), [(4, True), (3, True), (2, False)])
def test_label_length_is_limited_inclusively(longest: int, fits: bool) -> None:
    limits = ArtifactLimits(label_length=longest)
    if fits:
        assert unpack(GOOD_FILE, limits=limits).manifest.labels == ("cat", "dog")
    else:
        with pytest.raises(errors.InvalidLabels):
            unpack(GOOD_FILE, limits=limits)
