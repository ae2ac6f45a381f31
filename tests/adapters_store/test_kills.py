"""kill -9 with real processes: nothing acknowledged is lost, nothing is torn, and a sweep leaves no leftovers."""

from pathlib import Path

import pytest

from benchmarks.kills import kill

STEPS = [*range(1, 120, 7), 0, 0, 0, 0, 0]  # 17 steps through opening and publishing, then random moments


@pytest.mark.parametrize("url", ["sqlite:///{}/store.db", "file://{}/store"], ids=["sqlite", "folder"])
def test_a_killed_publisher_loses_and_leaves_nothing(url: str, tmp_path: Path) -> None:
    toll = kill(url.format(tmp_path), STEPS)
    assert toll.kills == len(STEPS)
    assert toll.acknowledged > 0
    assert (toll.lost, toll.torn, toll.extra, toll.leftovers) == (0, 0, 0, 0)
