"""`mimi serve`: what it is told reaches the server; the server itself is tested elsewhere."""

from pathlib import Path

import pytest

from mimi.cli import main
from mimi.commands.serve import unit
from service.settings import Settings


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
    assert err.startswith("error: refusing to start: ")
    assert reason in err


def test_an_unknown_variable_ends_with_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MIMI_PROT", "8000")
    assert main(["serve"]) == 2
    assert "prot: there is no such setting" in capsys.readouterr().err


def test_help_explains_every_setting_with_its_default_and_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, field in Settings.model_fields.items():
        assert str(field.description) in text
        assert f"MIMI_{name.upper()}" in text
        counted = isinstance(field.default, int | float) and not name.endswith("port")
        assert not counted or f"[{field.default:g} {unit(field)};" in text or f"[{field.default} {unit(field)};" in text
        assert not counted or unit(field)
    assert "--image-bytes VALUE most bytes of one encoded image [10485760 bytes; MIMI_IMAGE_BYTES]" in text


@pytest.mark.parametrize("option", ["--predict-key", "--manage-key", "--metrics-key"])
def test_a_key_is_never_taken_from_the_command_line(option: str) -> None:
    assert main(["serve", option, "k" * 16]) == 2


def test_options_win_over_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mimi.toml"
    file.write_text('host = "0.0.0.0"\nprot = 1', encoding="utf-8")
    assert main(["serve", "--config", str(file)]) == 2
    assert "the nearest is port" in capsys.readouterr().err
    file.write_text('host = "0.0.0.0"\nport = 99999', encoding="utf-8")
    assert main(["serve", "--config", str(file), "--host", "127.0.0.1"]) == 2
    err = capsys.readouterr().err
    assert f"({file})" in err
    assert "needs keys" not in err


def test_a_keys_file_that_is_not_sound_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys.toml"
    file.write_text('[[keys]]\nname = "ci"\nkind = "manage"\nkey = "sesame"', encoding="utf-8")
    assert main(["serve", "--host", "0.0.0.0", "--keys-file", str(file)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("refusing to start: keys.0.key: ")
    assert "sesame" not in err
