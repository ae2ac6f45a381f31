"""docs/cli.md says what the commands say."""

from pathlib import Path

import pytest

from mimi.cli import COMMANDS, STATUSES
from scripts import make_cli_reference
from scripts.make_cli_reference import MARK, main, reference

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cli.md"
    monkeypatch.setattr(make_cli_reference, "PAGE", path)
    path.write_text(f"by hand\n\n{MARK}\nold", encoding="utf-8")
    return path


def test_the_page_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert PAGE.read_text(encoding="utf-8").partition(MARK)[2] == reference().removeprefix(MARK)


def test_what_is_out_of_date_is_found_and_written(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().out
    assert main([]) == 0
    assert page.read_text(encoding="utf-8") == f"by hand\n\n{reference()}"
    assert main(["--check"]) == 0


def test_every_command_and_status_is_in_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"\n### mimi {name}\n" in text for name in COMMANDS)
    assert "#### mimi store check" in text
    assert "| `--port VALUE` | port to listen on; 0 takes a free one | `8000; MIMI_PORT` |" in text
    for status in ("0", "1", "2", "130", "141"):
        assert f"| {status} | " in text
        assert f"{status} " in STATUSES
