"""Output tensors as JSON and as bytes, and the classification extension."""

import json

import numpy as np
import pytest

from adapters_store import VersionInfo
from service.engine import Engine, RowResult
from service.http.v2.bodies import render
from service.oip.outputs import classify
from service.oip.requests import OutputSpec, ParsedRequest
from service.prediction.predict import Outputs, TaskOutput
from service.tasks.table import LoadedVersion
from tests.service.adapters import bundled_backbone, make

MADE = make(41, classes=3)
LOGITS = np.array([[0.5, 2.0, -1.0], [3.0, 0.0, 0.25]], np.float32)


@pytest.fixture(scope="module")
def outputs() -> Outputs:
    resident = Engine(bundled_backbone()).admit(MADE.adapter, MADE.sha256)
    info = VersionInfo(4, MADE.sha256, len(MADE.data), 0.0, "blob")
    results = [RowResult(row, np.array([7, -8], np.float32), 3_000_000_000, 0, 1_000_000_000) for row in LOGITS]
    return Outputs([TaskOutput(LoadedVersion("cats", info, MADE.adapter.manifest, resident), results)], 0.0)


def test_json_and_bytes_stand_in_the_order_asked_for(outputs: Outputs) -> None:
    spec = [OutputSpec("features", True), OutputSpec("logits", False), OutputSpec("probabilities", True, 2)]
    found = render(outputs, ParsedRequest([], spec, id="a"))
    assert found.header is not None
    head, tail = json.loads(found.body[: found.header]), found.body[found.header :]
    features, logits, best = head["outputs"]
    assert (head["id"], head["model_name"], head["model_version"]) == ("a", "cats", "4")
    assert logits == {"name": "logits", "datatype": "FP32", "shape": [2, 3], "data": LOGITS.reshape(-1).tolist()}
    assert features == {
        "name": "features", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": 16}
    }  # fmt: skip
    assert np.frombuffer(tail[:16], "<f4").tolist() == [7, -8, 7, -8]
    assert (best["datatype"], best["shape"]) == ("BYTES", [2, 2])
    assert len(tail) == 16 + best["parameters"]["binary_data_size"]


def test_what_is_shared_is_told_over_all_images(outputs: Outputs) -> None:
    parameters = json.loads(render(outputs, ParsedRequest([], [OutputSpec("logits", False)])).body)["parameters"]
    assert (parameters["gflops_spent"], parameters["gflops_shared"], parameters["trunk_share"]) == (6.0, 2.0, 0.25)
    assert all(isinstance(value, str | float | int) for value in parameters.values())


def test_a_class_is_its_value_its_place_and_its_label() -> None:
    assert classify(LOGITS[0], ["a", "b:c", "d"], 2) == ["2.000000:1:b:c", "0.500000:0:a"]
    assert classify(LOGITS[1], [], 1) == ["3.000000:0"]


def test_no_more_classes_come_than_there_are(outputs: Outputs) -> None:
    found = json.loads(render(outputs, ParsedRequest([], [OutputSpec("logits", False, 99)])).body)["outputs"][0]
    assert (found["shape"], len(found["data"])) == ([2, 3], 6)
