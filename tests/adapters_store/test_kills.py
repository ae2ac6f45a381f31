"""kill -9 with real processes: nothing acknowledged is lost, nothing is torn, and a sweep leaves no leftovers."""

import random
from pathlib import Path

import pytest

from tests.stress.kills import kill

LAST_STEP = 150  # of opening a store and publishing twice; other steps each time, by the seed of the test run


@pytest.mark.parametrize("url", ["sqlite:///{}/store.db", "file://{}/store"], ids=["sqlite", "folder"])
def test_a_killed_publisher_loses_and_leaves_nothing(url: str, tmp_path: Path) -> None:
    steps = [*random.sample(range(1, LAST_STEP), 16), 0, 0, 0, 0]  # and four random moments
    toll = kill(url.format(tmp_path), steps)
    assert toll.kills == len(steps)
    assert toll.acknowledged > 0
    assert (toll.lost, toll.torn, toll.extra, toll.leftovers) == (0, 0, 0, 0)
