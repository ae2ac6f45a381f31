"""From logits to named labels, and the other kinds of answers."""

import numpy as np
import pytest

from adapters_store import VersionInfo
from service.engine import Engine, RowResult
from service.engine.core import Timing
from service.http.views import fanout_answer, image_result
from service.prediction.predict import Outputs, TaskOutput, timings
from service.schemas import Output, PredictOptions
from service.tasks.table import LoadedVersion
from tests.service.adapters import bundled_backbone, make

MADE = make(40, classes=4)
_NO_TIME = Timing()
_KINDS: tuple[Output, ...] = ("logits", "features")


@pytest.fixture(scope="module")
def served() -> LoadedVersion:
    resident = Engine(bundled_backbone()).admit(MADE.adapter, MADE.sha256)
    return LoadedVersion(
        "cats", VersionInfo(1, MADE.sha256, len(MADE.data), 0.0, "blob"), MADE.adapter.manifest, resident
    )


def result(*logits: float, timing: Timing = _NO_TIME) -> RowResult:
    features = np.array([1.5, -2], dtype=np.float32)
    return RowResult(np.array(logits, np.float32), features, 2_000_000_000, 500_000_000, 500_000_000, timing)


def test_labels_come_by_probability_with_their_place_in_the_task(served: LoadedVersion) -> None:
    found = image_result(result(0, 3, -1, 2), served, PredictOptions(top_k=3))
    assert [(p.label, p.index) for p in found.predictions or ()] == [("class 1", 1), ("class 3", 3), ("class 0", 0)]
    assert (found.logits, found.features) == (None, None)


def test_equal_labels_keep_the_order_of_the_task(served: LoadedVersion) -> None:
    found = image_result(result(1, 1, 1, 1), served, PredictOptions(top_k=4))
    assert [p.index for p in found.predictions or ()] == [0, 1, 2, 3]


def test_logits_and_features_come_as_they_are(served: LoadedVersion) -> None:
    logits, features = (image_result(result(0, 3, -1, 2), served, PredictOptions(output=kind)) for kind in _KINDS)
    assert (logits.predictions, logits.logits, logits.features) == (None, [0, 3, -1, 2], None)
    assert (features.predictions, features.logits, features.features) == (None, None, [1.5, -2])


def test_flops_are_told_in_units_of_10_to_the_9_and_what_is_shared_as_a_part_too(served: LoadedVersion) -> None:
    found = image_result(result(0, 0, 0, 0), served, PredictOptions(output="logits"))
    assert (found.gflops_spent, found.gflops_saved, found.gflops_shared) == (2.0, 0.5, 0.5)
    assert found.trunk_share == 0.2


def test_times_are_the_longest_of_all_rows_in_milliseconds(served: LoadedVersion) -> None:
    rows = [result(0, timing=Timing(0.25, 0.5)), result(0, timing=Timing(0.5, 0.125))]
    found = timings(Outputs([TaskOutput(served, rows[:1]), TaskOutput(served, rows[1:])], 0.75))
    assert (found.decode_ms, found.queue_ms, found.compute_ms) == (750, 500, 500)


def test_nobody_asked_is_nothing_said() -> None:
    found = fanout_answer(Outputs([], 0.0), PredictOptions(output="logits"))
    assert (found.answers, found.timings.compute_ms) == ([], 0)
