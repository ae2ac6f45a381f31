"""The check of Markdown files: links and lengths."""

from pathlib import Path

import pytest

from scripts.check_docs import documents, main, problems, slug


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "other.md").write_text("# Other\n## What it *gives*, and `costs`\n```\n# not a heading\n```\n")
    (tmp_path / "picture.svg").write_text("<svg/>")
    return tmp_path / "page.md"


def found(page: Path, text: str) -> list[str]:
    page.write_text(text)
    return [problem.removeprefix(f"{page}:") for problem in problems(page)]


@pytest.mark.parametrize(
    "target",
    [
        "other.md",
        "./other.md",
        "other.md#other",
        "other.md#what-it-gives-and-costs",
        "#here",
        "picture.svg",
        "picture.svg#a",
        "https://example.org/nowhere.md",
        "mailto:a@example.org",
    ],
)
def test_a_link_that_leads_somewhere_is_right(page: Path, target: str) -> None:
    assert found(page, f"# Here\nSee [this]({target}) and ![that]({target}).\n") == []


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("missing.md", "no file missing.md"),
        ("missing.md#other", "no file missing.md#other"),
        ("other.md#another", "no heading #another in other.md"),
        ("other.md#not-a-heading", "no heading #not-a-heading in other.md"),
        ("#there", "no heading #there in page.md"),
    ],
)
def test_a_link_that_leads_nowhere_is_named_with_its_line(page: Path, target: str, reason: str) -> None:
    assert found(page, f"# Here\n\nSee [this]({target}).\n") == [f"3: {reason}"]


def test_two_links_in_a_line_are_two_links(page: Path) -> None:
    assert found(page, "[a](a.md) and [b](b.md)\n") == ["1: no file a.md", "1: no file b.md"]


def test_a_link_may_go_on_in_the_next_line(page: Path) -> None:
    assert found(page, "a\n[what this\nsays](a.md) and [that](b.md)\n") == ["3: no file a.md", "3: no file b.md"]
    assert found(page, "[what this\nsays](other.md)" + "x" * 90 + "\n") == []


def test_code_has_no_links(page: Path) -> None:
    assert found(page, "`[a](a.md)`\n\n    [b](b.md)\n\n```\n[c](c.md)\n```\n") == []


def test_prose_may_have_100_characters_and_not_one_more(page: Path) -> None:
    assert found(page, "x" * 100 + "\n") == []
    assert found(page, "x" * 101 + "\n") == ["1: 101 characters, at most 100"]


def test_the_target_of_a_link_does_not_count(page: Path) -> None:
    assert found(page, "x" * 90 + "[other](other.md)\n" + "x" * 90 + " https://example.org/" + "y" * 90 + "\n") == []


def test_tables_and_code_may_be_wide(page: Path) -> None:
    wide = "x" * 200
    assert found(page, f"# A\n    {wide}\n\n| {wide} |\n|---|\n\n    {wide}\n\n    {wide}\n\n```\n{wide}\n```\n") == []


def test_a_line_that_goes_on_in_a_list_is_prose(page: Path) -> None:
    assert found(page, "- a\n    " + "x" * 100 + "\n") == ["2: 104 characters, at most 100"]


def test_a_path_in_code_style_must_exist(page: Path) -> None:
    (page.parent / "Makefile").write_text("")
    (page.parent / "training").mkdir()
    (page.parent / "training" / "run.py").write_text("")
    named = "`training/run.py` and `training/` and `training/gone.py` and `gone.py` and `training/NAME.py`\n"
    assert found(page, named) == ["1: no file training/gone.py"]


@pytest.mark.parametrize("name", ["CHANGELOG.md", "lab/notes.md"])
def test_history_may_name_what_is_gone(tmp_path: Path, name: str) -> None:
    (tmp_path / "Makefile").write_text("")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    assert found(tmp_path / name, "`training/gone.py`\n") == []


def test_headings_become_fragments_as_on_github() -> None:
    assert slug(" What is not reached, *yet* (`0.58`)") == "what-is-not-reached-yet-058"
    assert slug(" The [engine](other.md) \u2013 twice") == "the-engine--twice"


def test_hidden_folders_and_what_running_leaves_are_left_out(tmp_path: Path) -> None:
    for name in ("a.md", "docs/b.md", ".venv/c.md", "var/d.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert [path.name for path in documents(tmp_path)] == ["a.md", "b.md"]


def test_the_exit_status_tells(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page.write_text("fine\n")
    assert main([str(page.parent)]) == 0
    page.write_text("[a](a.md)\n")
    assert main([str(page)]) == 1
    assert "page.md:1: no file a.md" in capsys.readouterr().out
