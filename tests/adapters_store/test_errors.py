"""The error trees: as drawn, each class with its own stable code."""

import re
from types import ModuleType

import pytest

from adapters_store import AdaptersStoreError, errors, store_errors


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


@pytest.mark.parametrize("module", [errors, store_errors])
def test_the_tree_in_the_docstring_is_the_tree_of_the_classes(module: ModuleType) -> None:
    classes = classes_of(module)
    drawn = {name: parent for name, parent in drawn_in(module) if name in classes}
    assert drawn == {name: kind.__bases__[0].__name__ for name, kind in classes.items()}


def test_no_two_errors_share_a_code() -> None:
    kinds = {*classes_of(errors).values(), *classes_of(store_errors).values()}
    assert len({kind.code for kind in kinds}) == len(kinds)


def test_codes_are_the_ones_that_clients_know() -> None:
    assert errors.NotSafetensors.code == "not_safetensors"
    assert errors.UnsupportedFormatVersion.code == "unsupported_format_version"
    assert store_errors.StaleGeneration.code == "stale_generation"
    assert AdaptersStoreError.code == "adapters_store_error"
