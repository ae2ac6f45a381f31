"""Fails when a Markdown file has a broken link, names a file that does not exist, or has a line that is too long.

A link is checked when it is relative: its file must exist, and its fragment must be a heading there. Web addresses are
not opened. A path in code style that begins with a folder of the project must exist, except where history is told.
Tables and code blocks may be as wide as they need to be; the target of a link counts for nothing.
"""

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

MAX_PROSE = 100  # characters of a line
IGNORED = ("build", "dist", "var", "runs")  # folders that no checkout has
HISTORY = ("CHANGELOG.md", "lab")  # files and folders that may name what is gone

_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]*)\)")  # the text may go on in the next line
_TARGET = re.compile(r"(?<=\])\([^()\s]*\)")
_ADDRESS = re.compile(r"https?://\S+")
_CODE = re.compile(r"`[^`\n]*`")
_FENCE = re.compile(r"\s*(```|~~~)")
_PATH = re.compile(r"`((?:backbone|adapters_store|training|service|mimi|tests|benchmarks|scripts|deploy)/[\w./-]*)`")
_VARIABLE = re.compile(r"\b[A-Z]{2,}\b")  # as in backbone/NAME.py
_NOT_A_FILE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)  # https:, mailto:


def prose(text: str) -> Iterator[tuple[int, str]]:
    """The lines outside code blocks, with their numbers from 1."""
    fenced, indented, previous = False, False, ""
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
            indented = False
        else:
            indented = line.startswith("    ") and (indented or not previous.strip() or previous.startswith("#"))
            if not fenced and not indented:
                yield number, line
        previous = line


def slug(heading: str) -> str:
    """The fragment that GitHub gives a heading."""
    text = _LINK.sub(lambda link: link[1], heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@cache
def fragments(path: Path) -> frozenset[str]:
    """The fragments of a Markdown file's headings."""
    lines = (line for _, line in prose(path.read_text(encoding="utf-8")))
    return frozenset(slug(line.lstrip("#")) for line in lines if line.startswith("#"))


def broken(path: Path, target: str) -> str | None:
    """The fault of a link's target; None if it has none, or if it leads out of the project."""
    if _NOT_A_FILE.match(target):
        return None
    name, _, fragment = target.partition("#")
    file = path.parent / name if name else path
    if not file.exists():
        return f"no file {target}"
    if fragment and file.suffix == ".md" and fragment not in fragments(file):
        return f"no heading #{fragment} in {name or path.name}"
    return None


def missing(document: Path, line: str) -> list[str]:
    """The paths in code style that do not exist; they begin at the folder of the nearest Makefile."""
    root = next((folder for folder in document.resolve().parents if (folder / "Makefile").exists()), None)
    if root is None or any(part in HISTORY for part in document.parts):
        return []
    return [name for name in _PATH.findall(line) if not _VARIABLE.search(name) and not (root / name).exists()]


def problems(path: Path) -> Iterator[str]:
    """One line of text for each broken link and each long line of prose."""
    lines = dict(prose(path.read_text(encoding="utf-8")))
    whole = "\n".join(_CODE.sub("", lines.get(number, "")) for number in range(1, max(lines, default=0) + 1))
    for link in _LINK.finditer(whole):
        if (reason := broken(path, link[2])) is not None:
            yield f"{path}:{whole.count(chr(10), 0, link.end()) + 1}: {reason}"
    for number, line in lines.items():
        yield from (f"{path}:{number}: no file {name}" for name in missing(path, line))
        shown = len(_ADDRESS.sub("", _TARGET.sub("", line)))
        if shown > MAX_PROSE and not line.lstrip().startswith("|"):
            yield f"{path}:{number}: {shown} characters, at most {MAX_PROSE}"


def documents(root: Path) -> list[Path]:
    """The Markdown files under `root` that belong to the project."""
    found = root.rglob("*.md")
    return sorted(path for path in found if not any(map(_ignored, path.relative_to(root).parts[:-1])))


def _ignored(folder: str) -> bool:
    return folder.startswith(".") or folder in IGNORED


def main(arguments: list[str]) -> int:
    """Checks the given files and folders, or the whole project; the exit status is 1 if anything is wrong."""
    roots = [Path(name) for name in arguments or ["."]]
    files = [file for root in roots for file in ([root] if root.is_file() else documents(root))]
    found = [problem for file in files for problem in problems(file)]
    print("\n".join(found) if found else f"{len(files)} documents within limits")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
