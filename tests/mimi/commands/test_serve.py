"""`mimi serve`: what it is told reaches the server; the server itself is tested elsewhere."""

import pytest

from mimi.cli import main


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--host", "0.0.0.0"], "needs keys"),
        (["--port", "99999"], "port: "),
        (["--port", "http"], "port: "),
    ],
)
def test_unsafe_or_wrong_settings_end_with_2(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("refusing to start: ")
    assert reason in err


def test_an_unknown_variable_ends_with_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MIMI_PROT", "8000")
    assert main(["serve"]) == 2
    assert "prot: there is no such setting" in capsys.readouterr().err
