"""The image installs the requirements of pyproject.toml at locked versions and hashes."""

import re
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.deploy.configuration import ROOT

LOCKS = ROOT / "deploy/locks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_EXTRAS = PROJECT["optional-dependencies"]
WANTED = [
    Requirement(text)
    for text in (*PROJECT["dependencies"], *_EXTRAS["full"], *_EXTRAS["heif"])
    if not text.startswith("mimi-serving[")
]
IMAGE = {"python_version": "3.12", "python_full_version": "3.12.11", "sys_platform": "linux"}
_CUDA = re.compile(r"nvidia|cuda|triton|gpu")


def entries(lock: str) -> Iterator[tuple[Requirement, int]]:
    """Every pin of a lock, and how many hashes it has."""
    text = (LOCKS / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        pin, *hashes = line.split("--hash=sha256:")
        assert all(re.fullmatch(r"[0-9a-f]{64}\s*", each) for each in hashes), line
        yield Requirement(pin), len(hashes)


def pins(*locks: str, machine: str = "x86_64") -> dict[str, Version]:
    """Versions by name, as one machine installs them."""
    found = {}
    for lock in locks:
        for pin, _ in entries(lock):
            if pin.marker is None or pin.marker.evaluate({**IMAGE, "platform_machine": machine}):
                (version,) = pin.specifier
                assert version.operator == "=="
                assert pin.name not in found, pin.name
                found[pin.name] = Version(version.version)
    return found


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("locks", [("cpu.txt", "torch-cpu.txt"), ("cuda.txt",)])
def test_every_dependency_is_locked_at_a_version_that_it_allows(locks: tuple[str, ...], machine: str) -> None:
    found, where = pins(*locks, machine=machine), {**IMAGE, "platform_machine": machine}
    for wanted in WANTED:
        name = wanted.name
        if locks[0] == "cpu.txt" and name.startswith("onnxruntime"):
            name = "onnxruntime"
        elif wanted.marker and not wanted.marker.evaluate(where):
            continue
        assert wanted.specifier.contains(found[name]), name


@pytest.mark.parametrize("lock", ["cpu.txt", "cuda.txt", "build.txt"])
def test_every_pin_has_hashes(lock: str) -> None:
    assert all(hashes for _, hashes in entries(lock))


def test_nothing_of_cuda_is_locked_for_cpus() -> None:
    assert not [name for name in pins("cpu.txt", "torch-cpu.txt") if _CUDA.search(name)]
    assert [name for name in pins("cuda.txt") if _CUDA.search(name)]


def test_both_images_run_the_same_versions() -> None:
    cpu, cuda = pins("cpu.txt", "torch-cpu.txt"), pins("cuda.txt")
    assert {name for name in cpu if name in cuda and cpu[name] != cuda[name]} == set()
    assert set(cpu) - set(cuda) == {"onnxruntime"}


@pytest.mark.parametrize(
    ("name", "floor"), [("starlette", "1.0.1"), ("python-multipart", "0.0.27"), ("pillow", "12.3")]
)
def test_versions_with_known_holes_are_refused(name: str, floor: str) -> None:
    (wanted,) = (wanted for wanted in WANTED if wanted.name == name)
    assert not wanted.specifier.contains("0.0.22")
    assert wanted.specifier.contains(floor)
    assert pins("cpu.txt")[name] >= Version(floor)


def test_no_lock_names_a_place_to_download_from() -> None:
    for lock in LOCKS.iterdir():
        assert "://" not in lock.read_text(encoding="utf-8")
