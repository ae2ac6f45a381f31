"""A rolling restart behind nginx fails nobody, and a failed engine is replaced by one that answers alike."""

import shutil

import pytest

from tests.stress import rolling, supervised

pytestmark = pytest.mark.timeout(400)  # servers import torch, which takes its time on a busy machine


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_servers_restarted_one_after_the_other_behind_nginx_fail_no_request() -> None:
    found = rolling.run(rate=10.0, notice=1.0)
    assert found["good"]["statuses"].keys() == {"200"}
    assert found["good"]["sent"] > 10
    assert [stop["exit"] for stop in found["stops"]] == [0, 0]


def test_an_engine_that_dies_or_hangs_is_back_under_a_supervisor_with_the_same_answers() -> None:
    found = supervised.run(2)
    assert found["faults"].keys() == {"lost", "hung"}
    assert found["harm"] == 0
    assert all(each["same_answers"] and each["exit"] == 3 for each in found["faults"].values())
    assert all(each["noticed_s"] < 20 for each in found["faults"].values())
