"""The check of sentences in docstrings and documents."""

from pathlib import Path

import pytest

from scripts.check_sentences import MAX_WORDS, main, problems, texts

LONG = " ".join(["word"] * (MAX_WORDS + 1))
LONGEST = " ".join(["word"] * MAX_WORDS)


def found(folder: Path, text: str, *, name: str = "page.md") -> list[str]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return [problem.removeprefix(f"{path}:") for problem in problems(path)]


@pytest.mark.parametrize(
    "text",
    [
        f"{LONGEST}.",
        f"{LONGEST}: {LONGEST}; {LONGEST}.",
        f"**{LONGEST}.** {LONGEST}.",
        f"- {LONGEST}\n- {LONGEST}",
        f"| {LONG} |",
        f"    {LONG}",
        f"```\n{LONG}\n```",
        f"# {LONG}",
        "Which one is it? What is deleted? This.",
        "That is so. Whose is it? Somewhat.",
    ],
)
def test_text_that_can_be_read_is_right(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (f"{LONG}.", 1, "26 words"),
        (f"Short.\n\nA line.\n{LONG}.", 3, "26 words"),
        (f"A link of [{LONG}](target.md).", 1, "29 words"),
        ("What is deleted leaves no series.", 1, "begins with a clause"),
        ("A rule. Whoever comes late waits.", 1, "begins with a clause"),
    ],
)
def test_a_sentence_that_is_hard_to_read_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, reason: str
) -> None:
    [problem] = found(tmp_path, text)
    assert problem.startswith(f"{line}: {reason}")


def test_docstrings_are_read_and_code_is_not(tmp_path: Path) -> None:
    source = f'"""Good.\n\nArgs:\n    one: {LONGEST}\n    two: {LONGEST}\n"""\n'
    source += f'\n\ndef f():\n    """What it does."""\n    return "{LONG}"\n'
    assert found(tmp_path, source, name="module.py") == ["10: begins with a clause: What it does."]


def test_history_and_results_are_left_out(tmp_path: Path) -> None:
    for name in ("CHANGELOG.md", "docs/lab/old.md", "docs/results/run.md", "docs/page.md", "service/module.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f'"""{LONG}"""', encoding="utf-8")
    assert [file.relative_to(tmp_path).as_posix() for file in texts(tmp_path)] == ["docs/page.md", "service/module.py"]


def test_the_exit_status_says_whether_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text("Good.")
    bad.write_text("What is bad.")
    assert main([str(good)]) == 0
    assert "1 texts within limits" in capsys.readouterr().out
    assert main([str(good), str(bad)]) == 1
    assert "bad.md:1: begins with a clause" in capsys.readouterr().out
