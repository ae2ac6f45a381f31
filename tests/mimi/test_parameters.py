"""Options made from a dataclass, as typer reads them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer

from mimi.help import Command
from mimi.parameters import Fields, Given, expanded


@dataclass(frozen=True)
class Inner:
    """Left out."""

    depth: int = 1


@dataclass(frozen=True)
class Choices:
    """Options.

    Attributes:
        rate: how fast, in
            100 % of cases.
        mode: how.
        batch_size: how many; none: all.
        flip: mirror.
        rates: several.
        place: where.
    """

    inner: Inner = Inner()
    rate: float = 0.5
    mode: Literal["fast", "slow"] = "fast"
    batch_size: int | None = 3
    flip: bool = True
    rates: tuple[float, ...] = ()
    place: Annotated[Path | None, "DIR"] = None


def given(choices: Annotated[Fields, Given(Choices, "Choices", Choices())]) -> int:
    """Say what was given."""
    print(json.dumps({name: list(v) if isinstance(v, tuple) else str(v) for name, v in choices.items()}))
    return 0


def whole(choices: Annotated[Choices, "Choices"]) -> int:
    """Say all."""
    print(choices)
    return 0


def run(function: Callable[..., int], *words: str) -> int:
    app = typer.Typer(add_completion=False)
    app.command(cls=Command)(expanded(function))
    status: int = typer.main.get_command(app).main(args=list(words), prog_name="x", standalone_mode=False)
    return status


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("", {}),
        ("--rate 1e-3", {"rate": "0.001"}),
        ("--mode slow --no-flip", {"mode": "slow", "flip": "False"}),
        ("--batch-size none", {"batch_size": "None"}),
        ("--batch-size 8 --flip", {"batch_size": "8", "flip": "True"}),
        ("--rates 1,0.5", {"rates": [1.0, 0.5]}),
        ("--rates=", {"rates": []}),
        ("--place here", {"place": "here"}),
    ],
)
def test_only_what_is_given_is_read_and_in_its_type(
    words: str, fields: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(given, *words.split()) == 0
    assert json.loads(capsys.readouterr().out) == fields


def test_a_command_can_have_the_whole_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(whole, "--mode", "slow", "--batch-size", "none") == 0
    assert capsys.readouterr().out == f"{Choices(mode='slow', batch_size=None)}\n"


@pytest.mark.parametrize("words", ["--rate fast", "--mode medium", "--batch-size many", "--inner 1", "--rates 1,x"])
def test_what_does_not_fit_is_refused(words: str) -> None:
    with pytest.raises(typer.BadParameter.__mro__[1]):
        run(given, *words.split())


def test_help_is_the_documentation_and_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(given, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--rate NUMBER how fast, in 100 % of cases [0.5]" in text
    assert "--mode fast|slow how [fast]" in text
    assert "--flip, --no-flip mirror [on]" in text
    assert "--place DIR where" in text
    assert "depth" not in text
