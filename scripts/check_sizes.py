"""Fails when a file or function is too large.

Measures what ruff has no stable rule for: lines of a file, lines of a function without its docstring, and nesting.
Knows nothing of style, types or meaning.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_NESTING = 3
ROOTS = ("backbone", "adapters_store", "training", "service", "mimi", "benchmarks", "scripts", "tests")

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)


def function_lines(node: FunctionNode) -> int:
    """Lines from `def` to the end, the docstring left out."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is None:
        return lines
    docstring = node.body[0]
    return lines - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def nesting(node: ast.AST) -> int:
    """Depth of blocks inside `node`; an `elif` does not count as deeper than its `if`."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue  # measured on its own
        is_elif = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        deepest = max(deepest, nesting(child) + (isinstance(child, BLOCKS) and not is_elif))
    return deepest


def problems(path: Path) -> Iterator[str]:
    """One line of text for each limit that the file breaks."""
    source = path.read_text(encoding="utf-8")
    lines = source.count("\n")
    if lines > MAX_FILE_LINES:
        yield f"{path}: {lines} lines, at most {MAX_FILE_LINES}"
    for node in ast.walk(ast.parse(source, str(path))):
        if not isinstance(node, FunctionNode):
            continue
        where = f"{path}:{node.lineno}: {node.name}"
        if (length := function_lines(node)) > MAX_FUNCTION_LINES:
            yield f"{where}: {length} lines, at most {MAX_FUNCTION_LINES}"
        if (depth := nesting(node)) > MAX_NESTING:
            yield f"{where}: nested {depth} deep, at most {MAX_NESTING}"


def main(arguments: list[str]) -> int:
    """Checks the given paths, or the whole project; the exit status is 1 if a limit is broken."""
    roots = [Path(name) for name in arguments or ROOTS]
    files = sorted(file for root in roots for file in ([root] if root.is_file() else root.rglob("*.py")))
    found = [problem for file in files for problem in problems(file)]
    print("\n".join(found) if found else f"{len(files)} files within limits")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
