"""docs/reference/ says what the code says."""

from pathlib import Path

import pytest

from scripts import make_reference
from scripts.make_reference import FOLDER, main, pages
from service.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return {path.name: text for path, text in pages().items()}


def test_the_pages_are_current(made: dict[str, str]) -> None:
    for name, text in made.items():
        assert (ROOT / FOLDER / name).read_text(encoding="utf-8") == text


def test_a_page_that_is_out_of_date_is_found_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "reference" / "settings.md"
    monkeypatch.setattr(make_reference, "FOLDER", page.parent)
    monkeypatch.setattr(make_reference, "pages", lambda: {page: "new"})
    assert main(["--check"]) == 1
    assert f"{page} is out of date" in capsys.readouterr().out
    assert main([]) == 0
    assert page.read_text() == "new"
    assert main(["--check"]) == 0


def test_every_setting_route_and_metric_is_there(made: dict[str, str]) -> None:
    assert all(f"\n| `{name}` |" in made["settings.md"] for name in Settings.model_fields)
    assert "By `MIMI_MANAGE_KEY` or the file alone." in made["settings.md"]
    assert "\n### POST /v1/tasks/{task}/predict\n" in made["rest.md"]
    assert "\n### GET /health/ready\n" in made["rest.md"]
    assert "\n### PredictAnswer\n" in made["rest.md"]
    assert "| `mimi_requests_total` | counter | task, version, code |" in made["metrics.md"]
    assert "| `mimi_tier_bytes` | gauge | tier |" in made["metrics.md"]
