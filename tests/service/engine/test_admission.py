"""An adapter made for something else is refused, and the refusal names both sides."""

from dataclasses import replace

import numpy as np
import pytest

from adapters_store import BackboneRef, SiteArrays, TaskAdapter
from backbone import Backbone
from service.engine import (
    AdmissionError,
    BackboneMismatch,
    Engine,
    FeatureMismatch,
    PreprocessingMismatch,
    Usage,
    WidthMismatch,
)

OTHER = "f" * 64


@pytest.fixture
def adapter(adapters: list[TaskAdapter]) -> TaskAdapter:
    return adapters[0]


def refusal(engine: Engine, adapter: TaskAdapter, kind: type[AdmissionError]) -> AdmissionError:
    with pytest.raises(kind) as caught:
        engine.admit(adapter, "a")
    with pytest.raises(kind):
        engine.weights_of(adapter, "a")
    assert engine.usage() == Usage(0, 0, 0, 0)
    return caught.value


@pytest.mark.parametrize("field", ["name", "fingerprint"])
def test_another_backbone_is_refused_with_both_fingerprints(
    engine: Engine, backbone: Backbone, adapter: TaskAdapter, field: str
) -> None:
    reference = replace(BackboneRef(backbone.name, backbone.fingerprint), **{field: OTHER})
    error = refusal(engine, replace(adapter, manifest=replace(adapter.manifest, backbone=reference)), BackboneMismatch)
    assert backbone.fingerprint in str(error.expected)
    assert OTHER in str(error.found)
    assert OTHER in str(error)


def test_other_preprocessing_is_refused_with_both_hashes(
    engine: Engine, backbone: Backbone, adapter: TaskAdapter
) -> None:
    manifest = replace(adapter.manifest, preprocessing_sha256=OTHER)
    error = refusal(engine, replace(adapter, manifest=manifest), PreprocessingMismatch)
    assert (error.expected, error.found) == (backbone.preprocessing.sha256, OTHER)


def test_another_number_of_sites_is_refused(engine: Engine, adapter: TaskAdapter) -> None:
    manifest = replace(adapter.manifest, widths=(*adapter.manifest.widths, 0))
    error = refusal(engine, replace(adapter, manifest=manifest), WidthMismatch)
    assert (error.expected, error.found) == (24, 25)


def test_initial_widths_for_another_number_of_sites_are_refused(engine: Engine, adapter: TaskAdapter) -> None:
    provenance = replace(adapter.manifest.provenance, initial_widths=(8,) * 12)
    manifest = replace(adapter.manifest, provenance=provenance)
    refusal(engine, replace(adapter, manifest=manifest), WidthMismatch)


def test_an_adapter_of_another_input_size_is_refused_naming_its_site(engine: Engine, adapter: TaskAdapter) -> None:
    site = max(adapter.sites)
    width = adapter.sites[site].down.shape[0]
    wrong = SiteArrays(np.zeros((width, 7), np.float32), np.zeros((7, width), np.float32))
    error = refusal(engine, replace(adapter, sites={**adapter.sites, site: wrong}), WidthMismatch)
    assert f"site {site}" in str(error)


def test_a_head_for_other_features_is_refused(engine: Engine, adapter: TaskAdapter) -> None:
    head = np.zeros((len(adapter.manifest.labels), 3), np.float32)
    error = refusal(engine, replace(adapter, head_weight=head), FeatureMismatch)
    assert error.found == 3
