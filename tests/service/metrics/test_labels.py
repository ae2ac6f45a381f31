"""The number of label values stays bounded, and no count is ever moved from one series to another."""

from service.metrics.labels import _HALVED_AFTER, OTHER, HeavyHitters, RecentlyUsed


def use(labels: HeavyHitters, name: str, times: int) -> str:
    for _ in range(times):
        label = labels.label(name)
    return label


def test_the_first_names_have_places_and_the_others_share_one() -> None:
    labels = HeavyHitters(2)
    assert [labels.label(name) for name in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]


def test_a_name_that_is_twice_as_busy_takes_the_place_of_the_least_busy() -> None:
    out: list[str] = []
    labels = HeavyHitters(2, on_out=out.append)
    use(labels, "a", 100)
    use(labels, "b", 10)
    assert use(labels, "c", 28) == OTHER
    assert out == []
    assert use(labels, "c", 1) == "c"
    assert out == ["b"]
    assert use(labels, "b", 1) == OTHER


def test_two_names_that_are_equally_busy_do_not_change_places() -> None:
    out: list[str] = []
    labels = HeavyHitters(1, on_out=out.append)
    for _ in range(1000):
        labels.label("a")
        labels.label("b")
    assert out == []


def test_old_traffic_keeps_no_place() -> None:
    labels = HeavyHitters(1)
    use(labels, "yesterday", 10 * _HALVED_AFTER // 2)
    assert use(labels, "today", 4 * _HALVED_AFTER) == "today"


def test_a_forgotten_name_frees_its_place() -> None:
    labels = HeavyHitters(1)
    labels.label("a")
    labels.forget("a")
    assert "a" not in labels
    assert labels.label("b") == "b"
    assert labels.label("a") == OTHER


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_while_no_value_is_idle_a_further_one_is_counted_with_the_others() -> None:
    clock, out = Clock(), list[tuple[str, str]]()
    labels = RecentlyUsed(2, idle_seconds=600, on_out=lambda *gone: out.append(gone), clock=clock)
    assert [labels.label("cats", version) for version in "123"] == ["1", "2", OTHER]
    assert labels.label("dogs", "3") == "3"
    clock.now = 599
    assert labels.label("cats", "2") == "2"
    assert labels.label("cats", "3") == OTHER
    clock.now = 600
    assert labels.label("cats", "3") == "3"
    assert out == [("cats", "1")]


def test_idle_values_go_unless_they_are_kept() -> None:
    clock, out = Clock(), list[tuple[str, str]]()
    labels = RecentlyUsed(9, idle_seconds=600, on_out=lambda *gone: out.append(gone), clock=clock)
    for version in "123":
        labels.label("cats", version)
    clock.now = 599
    labels.label("cats", "3")
    labels.expire(set())
    assert out == []
    clock.now = 600
    labels.expire({("cats", "2")})
    assert out == [("cats", "1")]


def test_values_of_a_forgotten_name_are_gone_with_it() -> None:
    out: list[tuple[str, str]] = []
    labels = RecentlyUsed(1, idle_seconds=0, on_out=lambda *gone: out.append(gone))
    labels.label("cats", "1")
    labels.forget("cats")
    labels.expire(set())
    assert out == []
    assert labels.label("cats", "2") == "2"
