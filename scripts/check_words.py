"""Fails when a docstring or a document has a sentence that is hard to read.

Two rules of CONTRIBUTING.md are checked. A sentence, or its part before a colon or a semicolon, has at most 25 words.
No statement begins with a clause as its subject ("What is deleted leaves no series").

Examples, tables, lists in columns and history are left out. Words in code style count, as readers read them too.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_WORDS = 25
PACKAGES = ("backbone", "adapters_store", "training", "service", "mimi", "benchmarks", "scripts", "tests")
HISTORY = ("CHANGELOG.md", "lab", "results", "reliability.md")  # files and folders that tell what was, or are written by runs

_CLAUSE = re.compile(r"(What|Whatever|Who|Whoever)\b(?!.*\?)", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")
_PART = re.compile(r"(?<=[:;])\s+")
_NEW = re.compile(r"\s*(?:[-*] |\d+\. |\w+(?:, \w+)*: |(?:Args|Attributes|Raises|Returns|Yields):$)")  # begins a text of its own
_COLUMNS = re.compile(r"\S {2,}\S|[├└│]|^ {4,}|^\s*[|#<!]")  # examples, trees, tables, headings
_TARGET = re.compile(r"(?<=\])\([^()\s]*\)")


def paragraphs(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Running text with the number of its first line; the lines of examples and tables are left out."""
    number, words = 0, list[str]()
    for at, line in [*lines, (0, "")]:
        ends = not line.strip() or bool(_COLUMNS.search(line))
        if words and (ends or _NEW.match(line)):
            yield number, " ".join(words)
            words = []
        if not ends:
            number = number if words else at
            words.append(_TARGET.sub("", line).strip())


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """The paragraphs of all docstrings of a Python file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                first = node.body[0].lineno
                unit = [(first + at, line.removeprefix("    ") if at else line) for at, line in enumerate(text.split("\n"))]
                yield from paragraphs(unit)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The paragraphs of a Markdown file outside of code blocks."""
    fenced, lines = False, list[tuple[int, str]]()
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        fence = line.lstrip().startswith("```")
        fenced = fenced != fence
        lines.append((number, "" if fenced or fence else line))
    yield from paragraphs(lines)


def problems(path: Path) -> Iterator[str]:
    """One line of text for each sentence that breaks a rule."""
    for number, text in docstrings(path) if path.suffix == ".py" else prose(path):
        for sentence in _SENTENCE.split(text):
            if _CLAUSE.match(sentence):
                yield f"{path}:{number}: begins with a clause: {sentence[:60]}"
            for part in _PART.split(sentence):
                if len(part.split()) > MAX_WORDS:
                    yield f"{path}:{number}: {len(part.split())} words, at most {MAX_WORDS}: {part[:60]}"


def texts(root: Path) -> list[Path]:
    """The Python and Markdown files of the project."""
    code = [file for package in PACKAGES for file in (root / package).rglob("*.py")]
    documents = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("adapters_store/*.md")]
    return sorted([*code, *(file for file in documents if not set(file.parts) & set(HISTORY))])


def main(arguments: list[str]) -> int:
    """Checks the given files, or the whole project; the exit status is 1 if a sentence breaks a rule."""
    files = [Path(name) for name in arguments] or texts(Path())
    found = [problem for file in files for problem in problems(file)]
    print("\n".join(found) if found else f"{len(files)} texts within limits")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
