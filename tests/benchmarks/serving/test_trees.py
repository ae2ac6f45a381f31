"""Two checkouts are compared round by round."""

import pytest

from benchmarks.serving.trees import FIGURES, compared, images, parse, report


def test_a_figure_is_the_median_of_the_ratios_of_the_rounds() -> None:
    slow, fast = dict.fromkeys(FIGURES, 100.0), dict.fromkeys(FIGURES, 110.0)
    slower, faster = dict.fromkeys(FIGURES, 50.0), dict.fromkeys(FIGURES, 55.0)
    rounds = [{"this": fast, "other": slow}, {"this": faster, "other": slower}] * 4
    told = compared(rounds)["per_second"]
    assert told["ratio"]["median"] == told["ratio"]["low"] == told["ratio"]["high"] == pytest.approx(1.1)
    assert "1.100 (1.100 … 1.100)" in report({"compared": compared(rounds)})


def test_a_few_rounds_give_no_interval() -> None:
    with pytest.raises(ValueError, match="6 values"):
        compared([{"this": dict.fromkeys(FIGURES, 1.0), "other": dict.fromkeys(FIGURES, 1.0)}] * 5)


def test_no_two_images_are_the_same() -> None:
    assert len(set(images("PNG", 8, 20))) == 20


def test_the_other_checkout_must_be_named() -> None:
    with pytest.raises(SystemExit):
        parse(["--json", "x"])


def test_too_few_rounds_are_refused_before_anything_is_measured() -> None:
    words = ["--json", "x", "--against", "y", "--rounds"]
    assert parse([*words, "6"]).rounds == 6
    with pytest.raises(SystemExit):
        parse([*words, "5"])
