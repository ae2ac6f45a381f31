"""Recent images: bounded in bytes and in time."""

import pytest

from service.errors import UnknownRequest
from service.feedback.memory import Recent, Seen
from service.feedback.storage import Opinion

OPINION = Opinion(1, "cat", 0.9, None)


def seen(*images: bytes) -> list[Seen]:
    return [Seen(image, OPINION) for image in images]


def test_an_image_is_found_by_request_task_and_index() -> None:
    recent = Recent(most_bytes=100, seconds=10)
    recent.remember("a", "pets", seen(b"1", b"2"))
    assert recent.recall("a", "pets", 1) == seen(b"2")[0]
    for wrong in (("b", "pets", 0), ("a", "cars", 0), ("a", "pets", 2)):
        with pytest.raises(UnknownRequest):
            recent.recall(*wrong)


def test_the_oldest_leaves_when_there_is_no_room() -> None:
    recent = Recent(most_bytes=10, seconds=10)
    for name in "abc":
        recent.remember(name, "pets", seen(b"1234"))
    assert recent.size == 8
    recent.recall("b", "pets", 0)
    with pytest.raises(UnknownRequest):
        recent.recall("a", "pets", 0)


def test_an_image_that_is_larger_than_everything_is_not_remembered_and_drives_nothing_out() -> None:
    recent = Recent(most_bytes=10, seconds=10)
    recent.remember("a", "pets", seen(b"1234"))
    recent.remember("b", "pets", seen(b"12345678901"))
    assert (recent.recall("a", "pets", 0).image, recent.size) == (b"1234", 4)
    nothing = Recent(most_bytes=0, seconds=10)
    nothing.remember("a", "pets", seen(b"1"))
    assert nothing.size == 0


def test_an_image_is_forgotten_in_time() -> None:
    now = [0.0]
    recent = Recent(most_bytes=100, seconds=10, clock=lambda: now[0])
    recent.remember("a", "pets", seen(b"1"))
    now[0] = 10.5
    with pytest.raises(UnknownRequest):
        recent.recall("a", "pets", 0)
    assert recent.size == 0


def test_the_same_name_again_replaces_what_was_there() -> None:
    recent = Recent(most_bytes=100, seconds=10)
    recent.remember("a", "pets", seen(b"1234"))
    recent.remember("a", "pets", seen(b"56"))
    assert (recent.recall("a", "pets", 0).image, recent.size) == (b"56", 2)
