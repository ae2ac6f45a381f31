"""The error trees: as drawn, each class with its own stable code."""

import re
import subprocess
import sys
from types import ModuleType

from adapters_store import AdaptersStoreError, errors


def classes_of(module: ModuleType) -> dict[str, type[AdaptersStoreError]]:
    return {name: kind for name, kind in vars(module).items() if isinstance(kind, type)}


def drawn_in(module: ModuleType) -> list[tuple[str, str]]:
    """Return (class, parent) for every line of the tree in the module's docstring."""
    stack: list[tuple[int, str]] = []
    edges = []
    for line in (module.__doc__ or "").splitlines():
        match = re.match(r"    [│├└─ ]*(\w+)", line)
        if match:
            indent, name = match.start(1), match.group(1)
            stack = [(at, parent) for at, parent in stack if at < indent]
            edges.append((name, stack[-1][1] if stack else "Exception"))
            stack.append((indent, name))
    return edges


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    classes = classes_of(errors)
    drawn = {name: parent for name, parent in drawn_in(errors) if name in classes}
    assert drawn == {name: kind.__bases__[0].__name__ for name, kind in classes.items()}


def test_no_two_errors_share_a_code() -> None:
    kinds = set(classes_of(errors).values())
    assert len({kind.code for kind in kinds}) == len(kinds)


def test_codes_are_the_ones_that_clients_know() -> None:
    assert errors.NotSafetensors.code == "not_safetensors"
    assert errors.UnsupportedFormatVersion.code == "unsupported_format_version"
    assert errors.StaleGeneration.code == "stale_generation"
    assert AdaptersStoreError.code == "adapters_store_error"


def test_each_error_has_a_title_of_its_own_that_is_one_sentence() -> None:
    kinds = list(classes_of(errors).values())
    titles = [vars(kind)["title"] for kind in kinds]
    assert len(set(titles)) == len(kinds)
    assert all(re.fullmatch(r"[A-Z].*\.", title) for title in titles)


def test_titles_are_there_where_docstrings_are_not() -> None:
    program = (
        "from adapters_store import errors; print(errors.CorruptBlob.title, errors.StaleGeneration.title, sep='\\n')"
    )
    run = subprocess.run([sys.executable, "-OO", "-c", program], check=True, timeout=60, capture_output=True, text=True)
    assert run.stdout.splitlines() == [errors.CorruptBlob.title, errors.StaleGeneration.title]
