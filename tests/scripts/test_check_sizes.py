"""The size limits."""

from pathlib import Path

import pytest

from scripts.check_sizes import main, problems


def found(tmp_path: Path, source: str) -> list[str]:
    path = tmp_path / "module.py"
    path.write_text(source)
    return [problem.removeprefix(f"{path}:").strip() for problem in problems(path)]


def test_a_file_may_have_400_lines_and_not_one_more(tmp_path: Path) -> None:
    assert found(tmp_path, "x = 1\n" * 400) == []
    assert found(tmp_path, "x = 1\n" * 401) == ["401 lines, at most 400"]


def test_a_function_may_have_40_lines_and_not_one_more(tmp_path: Path) -> None:
    assert found(tmp_path, "def f():\n" + "    x = 1\n" * 39) == []
    assert found(tmp_path, "def f():\n" + "    x = 1\n" * 40) == ["1: f: 41 lines, at most 40"]


def test_a_docstring_does_not_count(tmp_path: Path) -> None:
    docstring = '    """Long.\n' + "    text\n" * 20 + '    """\n'
    assert found(tmp_path, "def f():\n" + docstring + "    x = 1\n" * 39) == []


@pytest.mark.parametrize(
    ("source", "depth"),
    [
        ("if a:\n  for b in c:\n   while d:\n    pass", 3),
        ("if a:\n  pass\n elif b:\n  pass\n elif c:\n  pass\n elif d:\n  pass", 1),
        ("if a:\n  pass\n else:\n  if b:\n   pass\n  x = 1", 2),
        ("with a:\n  try:\n   pass\n  except E:\n   if b:\n    for c in d:\n     pass", 4),
        ("for a in b:\n  def g():\n   if c:\n    if d:\n     if e:\n      pass", 1),
    ],
)
def test_nesting_counts_blocks_within_one_function(tmp_path: Path, source: str, depth: int) -> None:
    outer = [problem for problem in found(tmp_path, f"def f():\n {source}\n") if ": f:" in problem]
    assert outer == ([f"1: f: nested {depth} deep, at most 3"] if depth > 3 else [])


def test_the_exit_status_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good.py").write_text("x = 1\n")
    assert main([str(tmp_path)]) == 0
    (tmp_path / "bad.py").write_text("x = 1\n" * 500)
    assert main([str(tmp_path)]) == 1
    assert "bad.py: 500 lines" in capsys.readouterr().out
