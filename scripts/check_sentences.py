"""Fails when a docstring or a document has a sentence that is hard to read.

Two rules of CONTRIBUTING.md are checked. A sentence, or its part up to a colon or a semicolon, has at most 25 words. No
statement begins with a clause such as "What is deleted". Examples, tables, lists in columns and history are left out.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_WORDS = 25
PACKAGES = ("backbone", "adapters_store", "training", "service", "mimi", "benchmarks", "scripts", "tests")
LEFT_OUT = ("CHANGELOG.md", "lab", "results", "reliability.md")  # history, and files that runs write

_CLAUSE = re.compile(r"(What|Whatever|Who|Whoever)\b(?!.*\?)", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?])\**\s+")  # also behind an abbreviation, which only makes the check milder
_PART = re.compile(r"(?<=[:;])\**\s+")
_ITEM = re.compile(r"\s*(?:[-*] |\d+\. |\w+(?:, \w+)*:(?: |$))")  # of a list, or of `Args:` and its kin
_MARK = re.compile(r"^\s*(?:[-*]|\d+\.) ")
_COLUMNS = re.compile(r"\S {2,}\S|[├└│]|^ {4,}|^\s*[|#<!]")  # examples, trees, tables, headings
_TARGET = re.compile(r"(?<=\])\([^()\s]*\)")


def paragraphs(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Running text with the number of its first line; the lines of examples and tables are left out."""
    number, words = 0, list[str]()
    for at, line in [*lines, (0, "")]:
        ends = not line.strip() or bool(_COLUMNS.search(line))
        if words and (ends or _ITEM.match(line)):
            yield number, " ".join(words)
            words = []
        if not ends:
            number = number if words else at
            words.append(_TARGET.sub("", _MARK.sub("", line)).strip())


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """The paragraphs of all docstrings of a Python file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                lines = enumerate(text.split("\n"), node.body[0].lineno)
                yield from paragraphs([(number, line.removeprefix("    ")) for number, line in lines])


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The paragraphs of a Markdown file outside of code blocks."""
    fenced, lines = False, list[tuple[int, str]]()
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        fence = line.lstrip().startswith("```")
        fenced = fenced != fence
        lines.append((number, "" if fenced or fence else line))
    yield from paragraphs(lines)


def faults(text: str) -> Iterator[str]:
    """The faults of the sentences of a paragraph."""
    for sentence in _SENTENCE.split(text):
        if _CLAUSE.match(sentence):
            yield f"begins with a clause: {sentence[:60]}"
        counts = ((len(part.split()), part) for part in _PART.split(sentence))
        yield from (f"{count} words, at most {MAX_WORDS}: {part[:60]}" for count, part in counts if count > MAX_WORDS)


def problems(path: Path) -> Iterator[str]:
    """One line of text for each sentence that breaks a rule."""
    for number, text in docstrings(path) if path.suffix == ".py" else prose(path):
        yield from (f"{path}:{number}: {fault}" for fault in faults(text))


def texts(root: Path) -> list[Path]:
    """The Python and Markdown files of the project."""
    code = [file for package in PACKAGES for file in (root / package).rglob("*.py")]
    documents = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("adapters_store/*.md")]
    return sorted([*code, *(file for file in documents if not set(file.parts) & set(LEFT_OUT))])


def main(arguments: list[str]) -> int:
    """Checks the given files, or the whole project; the exit status is 1 if a sentence breaks a rule."""
    files = [Path(name) for name in arguments] or texts(Path())
    found = [problem for file in files for problem in problems(file)]
    print("\n".join(found) if found else f"{len(files)} texts within limits")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
