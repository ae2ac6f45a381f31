"""Options made from a dataclass."""

import argparse
from dataclasses import dataclass
from typing import Literal

import pytest

from mimi.options import add_options, given


@dataclass(frozen=True)
class Inner:
    """Left out."""

    depth: int = 1


@dataclass(frozen=True)
class Record:
    """Options.

    Attributes:
        rate: how fast, in
            100 % of cases.
        mode: how.
    """

    inner: Inner = Inner()
    rate: float = 0.5
    mode: Literal["fast", "slow"] = "fast"
    batch_size: int | None = 3
    flip: bool = True
    rates: tuple[float, ...] = ()


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_options(made, Record, title="record")
    return made


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ("", {}),
        ("--rate 1e-3", {"rate": 1e-3}),
        ("--mode slow --no-flip", {"mode": "slow", "flip": False}),
        ("--batch-size none", {"batch_size": None}),
        ("--batch-size 8 --flip", {"batch_size": 8, "flip": True}),
        ("--rates 1 0.5", {"rates": (1.0, 0.5)}),
        ("--rates", {"rates": ()}),
    ],
)
def test_only_what_is_given_is_read_and_in_its_type(arguments: str, fields: dict[str, object]) -> None:
    assert given(parser().parse_args(arguments.split()), Record) == fields


@pytest.mark.parametrize("arguments", ["--rate fast", "--mode medium", "--batch-size many", "--inner 1", "--depth 1"])
def test_what_does_not_fit_is_refused(arguments: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(arguments.split())


def test_help_is_the_documentation_and_the_default() -> None:
    text = " ".join(parser().format_help().split())
    assert "how fast, in 100 % of cases. [0.5]" in text
    assert "[empty]" in text
