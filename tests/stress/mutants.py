"""Do the tests bite? A sample of small faults is put into the checks of files, requests and images, one at a time.

    python -m tests.stress mutants --json docs/results/mutants.json --sample 40 --seconds 1200

Each mutant runs the tests that mirror its module, in a process that is forked after the heavy imports. A mutant is
killed where a test fails, or none ends in time. The file of results is read again: mutants that it knows of the same
source and tests are not run twice, so that a run that was stopped goes on. No text is changed, because words are not
what these modules promise; nor are type annotations.
"""

import argparse
import ast
import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

from benchmarks.measure import context, write_json

ROOT = Path(__file__).resolve().parents[2]
_STORE, _HTTP, _IMAGES = "tests/adapters_store/", "tests/service/http/", "tests/backbone/"
_ARTIFACT = tuple(f"{_STORE}test_{name}.py" for name in ("strict_json", "manifest", "container", "tensors", "artifact"))
_PICTURES = tuple(f"{_IMAGES}test_{name}.py" for name in ("image_bytes", "images", "image_metadata", "image_formats"))
MIRRORED: Mapping[str, tuple[str, ...]] = {  # which tests a module's mutants run, the quick ones first
    "adapters_store/artifact.py": (*_ARTIFACT[::-1], f"{_STORE}test_artifact_properties.py"),
    "adapters_store/container.py": (*_ARTIFACT[2:], f"{_STORE}test_artifact_properties.py"),
    "adapters_store/manifest.py": _ARTIFACT[1:],
    "adapters_store/strict_json.py": _ARTIFACT,
    "service/http/limits.py": (f"{_HTTP}test_limits.py",),
    "backbone/image_bytes.py": _PICTURES,
    "backbone/images.py": (_PICTURES[1], *_PICTURES[2:], _PICTURES[0]),
}
_CHOSEN = "not (slow_but_steady or for_ever)"  # tests of speed, which a busy machine fails without any mutant
_SLACK = 20.0  # seconds, beside three times what the tests take without a mutant
_SWAPS: Mapping[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: at which node of the module's tree (in the order of `_sites`), and what is done there."""

    module: str
    line: int
    before: str
    after: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """Unique in a module."""
        return f"{self.module}:{self.line}: {self.before}  ->  {self.after}"


def mutants(module: str, source: str) -> list[Mutant]:
    """All mutants of a module."""
    plain, found, seen = ast.parse(source), [], set()
    for number, site in enumerate(_sites(plain)):
        for change in _changes(site):
            tree = deepcopy(plain)
            node = list(_sites(tree))[number]
            change(node)
            mutant = Mutant(module, getattr(site, "lineno", 0), _shown(site), _shown(node), tree)
            if mutant.name not in seen and mutant.before != mutant.after:
                found.append(mutant)
                seen.add(mutant.name)
    return found


def _sites(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run, in a fixed order; neither annotations nor texts."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list") or isinstance(tree, ast.JoinedStr):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child
                yield from _sites(child)


def _shown(node: ast.AST) -> str:
    return ast.unparse(node).partition("\n")[0][:100]


def _changes(node: ast.AST) -> Iterator[Callable[[Any], None]]:
    """The possible changes of a node, in place."""
    match node:
        case ast.Compare(ops=ops):
            yield from (_swapped_at(number) for number, op in enumerate(ops) if type(op) in _SWAPS)
        case ast.BoolOp(op=op) | ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _SWAPS:
            yield _swapped
        case ast.UnaryOp(op=ast.Not()):
            yield _doubled
        case ast.Constant(value=bool()):
            yield _other_constant
        case ast.Constant(value=int() | float() | bytes()):
            yield _other_constant
        case ast.If() | ast.IfExp() | ast.While():
            yield _opposite
        case ast.Return(value=ast.expr()):
            yield _returns_nothing
        case ast.Raise():
            yield _silent


def _swapped_at(number: int) -> Callable[[ast.Compare], None]:
    def change(node: ast.Compare) -> None:
        node.ops[number] = cast("ast.cmpop", _SWAPS[type(node.ops[number])]())

    return change


def _swapped(node: ast.AST) -> None:
    vars(node)["op"] = _SWAPS[type(vars(node)["op"])]()


def _doubled(node: ast.UnaryOp) -> None:
    node.operand = ast.UnaryOp(ast.Not(), node.operand)


def _other_constant(node: ast.Constant) -> None:
    match node.value:
        case bool():
            node.value = not node.value
        case bytes():
            node.value += b"\x01"
        case int() | float():
            node.value += 1


def _opposite(node: ast.If | ast.IfExp | ast.While) -> None:
    node.test = ast.UnaryOp(ast.Not(), node.test)


def _returns_nothing(node: ast.Return) -> None:
    node.value = ast.Constant(None)


def _silent(node: ast.AST) -> None:
    """`raise` becomes `pass`, in place: no parent has to be changed."""
    node.__class__ = ast.Pass
    vars(node).pop("exc", None)
    vars(node).pop("cause", None)


class _Finder(MetaPathFinder, Loader):
    """Imports one module from a changed tree."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = mutant.module.removesuffix(".py").replace("/", ".")
        self._path, self._tree = str(ROOT / mutant.module), mutant.tree

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Of the one module; all others are found as ever."""
        return spec_from_loader(fullname, self, origin=self._path) if fullname == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed module."""
        module.__file__ = self._path
        exec(compile(ast.fix_missing_locations(self._tree), self._path, "exec"), module.__dict__)


_PACKAGES = {"adapters_store", "backbone", "service"}


def fails(tests: Sequence[str], mutant: Mutant | None, seconds: float) -> bool:
    """Whether a test fails, or they do not end in time, in a process of their own."""
    child = os.fork()
    if not child:
        _test(tests, mutant)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) != 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def _test(tests: Sequence[str], mutant: Mutant | None) -> None:
    """Run tests and end this process with pytest's status."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    if mutant:
        for name in [name for name in sys.modules if name.partition(".")[0] in _PACKAGES]:
            del sys.modules[name]  # what this process has imported already is not the mutant
        sys.meta_path.insert(0, _Finder(mutant))
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of plugins that the parent has imported
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-k", _CHOSEN, *quiet, *tests]))


def import_heavy() -> None:
    """Import the packages that every child needs and that contain no mutant."""
    for name in ("numpy", "PIL.Image", "torch", "fastapi.testclient", "hypothesis", "uvicorn"):
        import_module(name)


def run(path: Path, modules: Sequence[str], sample: int, seconds: float) -> dict[str, Any]:
    """Test mutants until all of the sample are tested or the time is over; what is known stays in the file."""
    end = time.monotonic() + seconds
    result: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    result = {"benchmark": "mutants", **context(("pytest",)), "modules": result.get("modules", {})}
    import_heavy()
    for module in modules:
        known = _known(result["modules"].get(module, {}), module)
        result["modules"][module] = known
        chosen = _chosen(module, sample, known)
        for mutant in chosen:
            if time.monotonic() > end:
                break
            if "takes_s" not in known:
                known["takes_s"] = _unchanged(module)
            dead = fails(MIRRORED[module], mutant, 3 * known["takes_s"] + _SLACK)
            known["killed" if dead else "survived"].append(mutant.name)
            write_json(path, result)
        print(f"{module}: {len(known['killed'])} killed, {len(known['survived'])} survived", flush=True)
    return result


def _chosen(module: str, sample: int, known: Mapping[str, Any]) -> list[Mutant]:
    """Mutants of the sample that were not tested yet."""
    every = mutants(module, (ROOT / module).read_text(encoding="utf-8"))
    chosen = random.Random(0).sample(every, min(sample, len(every)))
    return [mutant for mutant in chosen if mutant.name not in {*known["killed"], *known["survived"]}]


def _known(before: Mapping[str, Any], module: str) -> dict[str, Any]:
    """The results of an earlier run about the same source and tests."""
    texts = [(ROOT / name).read_bytes() for name in (module, *MIRRORED[module])]
    sums = [hashlib.sha256(text).hexdigest()[:16] for text in texts]
    if before.get("source") == sums[0]:
        same = before.get("tests") == sums[1:]
        return {**before, "tests": sums[1:], "survived": before["survived"] if same else []}
    every = mutants(module, texts[0].decode())
    return {"source": sums[0], "tests": sums[1:], "possible": len(every), "killed": [], "survived": []}


def _unchanged(module: str) -> float:
    start = time.monotonic()
    if fails(MIRRORED[module], None, 600.0):
        raise SystemExit(f"the tests of {module} fail without any mutant")
    return time.monotonic() - start


def score(result: Mapping[str, Any]) -> tuple[int, int]:
    """The number of killed mutants, and of all."""
    found = result["modules"].values()
    killed = sum(len(each["killed"]) for each in found)
    return killed, killed + sum(len(each["survived"]) for each in found)


def main(arguments: Sequence[str]) -> int:
    """Run and print the score and the survivors; 1 if the score is below 85 %."""
    parser = argparse.ArgumentParser(prog="tests.stress mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write, and to go on from")
    parser.add_argument("--sample", type=int, default=40, help="mutants of each module (default: 40)")
    parser.add_argument("--seconds", type=float, default=1200.0, help="at most, about (default: 1200)")
    parser.add_argument("--modules", nargs="+", choices=list(MIRRORED), default=list(MIRRORED))
    options = parser.parse_args(arguments)
    result = run(options.json, options.modules, options.sample, options.seconds)
    killed, tested = score(result)
    print("\n".join(name for each in result["modules"].values() for name in each["survived"]))
    print(f"{killed} of {tested} killed: {killed / max(1, tested):.1%}")
    return int(killed < 0.85 * tested)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
