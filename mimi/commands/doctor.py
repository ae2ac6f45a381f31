"""`mimi doctor`: what is wrong with this machine, and the next step for each problem. It changes nothing.

Each check is a generator of findings. A check that fails in an unexpected way is a finding too, so that one broken part
does not hide the others.
"""

import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mimi.commands.serve import ConfigFile
from mimi.parameters import Json
from mimi.terminal import BOLD, GREEN, RED, YELLOW, hanging, print_json, progress, styled

if TYPE_CHECKING:
    from backbone import Backbone
    from backbone.backend import Backend
    from service.settings import Settings

Verdict = Literal["ok", "note", "wrong"]

_PYTHON = (3, 11)
_FREE_BYTES = 2**30  # below it, a store or a cache soon cannot be written
_DESCRIPTORS = 1536  # beside those of connections, as the server counts
_BATCH = 8  # images of a measured forward pass
_MEASURED_SECONDS = 1.0
_MARKS = {"ok": ("ok", GREEN), "note": ("note", YELLOW), "wrong": ("WRONG", RED)}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, and the next step.

    Attributes:
        verdict: ok; note: it works, but could be better; wrong: something does not work.
        next_step: a command or an action; empty if nothing is to be done.
    """

    topic: str
    verdict: Verdict
    detail: str
    next_step: str = ""


def doctor(
    config: ConfigFile = None,
    speed: Annotated[bool, typer.Option("--speed/--no-speed", help="measure the kernels, for a few seconds")] = True,
    json: Json = False,
) -> int:
    """Find what is wrong with this machine, and say what to do; 1 if something is wrong.

    It checks Python and packages, PyTorch and CUDA, the compiler, the kernels and their speed, ONNX Runtime and image
    formats. Of a server it checks settings, store, port, folders and limits. It changes nothing.
    """
    checks: Sequence[Callable[[], Iterator[Finding]]] = (
        _python,
        _packages,
        _torch,
        _compiler,
        lambda: _kernels(config, speed=speed),
        _onnx,
        _formats,
        lambda: _server(config),
    )
    findings: list[Finding] = []
    with progress(len(checks), "checks") as counted:
        for check in checks:
            findings += _found(check)
            counted.advance()
    wrong = sum(finding.verdict == "wrong" for finding in findings)
    if json:
        print_json({"sound": not wrong, "findings": [asdict(finding) for finding in findings]})
        return 1 if wrong else 0
    _show(findings)
    print(f"\n{wrong} of {len(findings)} are wrong" if wrong else "\nnothing is wrong")
    return 1 if wrong else 0


def _show(findings: Sequence[Finding]) -> None:
    column = max(len(finding.topic) for finding in findings) + 2
    for finding in findings:
        word, style = _MARKS[finding.verdict]
        print(f"{styled(f'{word:5}', style)}  {finding.topic:{column}}{hanging(finding.detail, 7 + column)}")
        if finding.next_step:
            step = hanging(finding.next_step, 13 + column)
            print(f"{'':7}{'':{column}}{styled('next:', BOLD)} {step}")


def _found(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    findings: list[Finding] = []
    try:
        findings.extend(check())
    except Exception as error:  # a broken installation can raise anything, and the other checks still say something
        name = getattr(check, "__name__", "check").strip("_<>")
        reason = f"{type(error).__name__}: {error}"
        findings.append(Finding(name, "wrong", reason, "install the project again: make install"))
    return findings


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info < _PYTHON:
        yield Finding("python", "wrong", version, "install Python 3.11 or later")
    else:
        yield Finding("python", "ok", f"{version}, {platform.machine()}, {os.cpu_count()} processors")


def _packages() -> Iterator[Finding]:
    """Every package that the distribution requires on every machine, and its least version."""
    try:
        required = [each.partition(";")[0] for each in metadata.requires("mimi-serving") or () if _everywhere(each)]
    except metadata.PackageNotFoundError:
        yield Finding(
            "packages", "wrong", "the project is not installed", "make install, or pip install 'mimi-serving[full]'"
        )
        return
    bad = list(filter(None, map(_problem_of, required)))
    for name, reason in bad:
        yield Finding("packages", "wrong", reason, f"pip install --upgrade '{name}'")
    if not bad:
        yield Finding("packages", "ok", f"mimi-serving {metadata.version('mimi-serving')} and {len(required)} others")


def _everywhere(requirement: str) -> bool:
    """Whether the server needs this, whatever the machine."""
    condition = requirement.partition(";")[2].replace(" ", "").replace('"', "'")
    return condition in ("", "extra=='full'")


def _problem_of(requirement: str) -> tuple[str, str] | None:
    """The requirement and what is wrong with it; None: it is met."""
    name, _, least = requirement.strip().partition(">=")
    try:
        found = metadata.version(name.partition("[")[0].strip())
    except metadata.PackageNotFoundError:
        return requirement, f"{name} is not installed"
    if least and _numbers(found) < _numbers(least):
        return requirement, f"{name} {found} is older than {least}"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version before its first letter."""
    parts = version.split("+", maxsplit=1)[0].split(".")
    return tuple(int(part) for part in parts if part.isdecimal())


def _torch() -> Iterator[Finding]:
    import torch

    threads, capability = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    yield Finding("pytorch", "ok", f"{torch.__version__}, {threads} threads, {capability}")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(index)
            yield Finding("cuda", "ok", f"{device.name}, {device.total_memory / 2**30:.0f} GiB")
    elif shutil.which("nvidia-smi") and torch.version.cuda is None:
        step = "install PyTorch for CUDA (pytorch.org), or serve on the CPU as it is"
        yield Finding("cuda", "note", "there is a driver, but this PyTorch was built without CUDA", step)
    elif shutil.which("nvidia-smi"):
        yield Finding("cuda", "wrong", "there is a driver, but PyTorch finds no device", "nvidia-smi; is it too old?")
    else:
        yield Finding("cuda", "ok", "no device: the CPU computes")


def _compiler() -> Iterator[Finding]:
    found = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if found:
        yield Finding("compiler", "ok", found)
    else:
        step = "install one (on Debian: apt install g++); without kernels PyTorch computes, more slowly"
        yield Finding("compiler", "note", "no C++ compiler", step)


def _kernels(config: Path | None, *, speed: bool) -> Iterator[Finding]:
    """The bundled backbone, and whether kernels compute it, and how fast."""
    import torch

    from backbone import load_backbone
    from backbone.backend import ModuleBackend
    from backbone.kernels import KernelError, default_folder, level, load, path_in, precision_in_force

    backbone, settings = load_backbone(), _settings(config)
    yield Finding("backbone", "ok", f"{backbone.name}, {len(backbone.sites)} sub-layers")
    folder = (settings and settings.kernels_folder) or default_folder()
    if not path_in(folder).is_file():
        yield Finding("kernels", "note", f"none for {level()} in {folder}", "mimi compile")
        return
    try:
        backend = load(backbone, folder)
    except KernelError as error:
        yield Finding("kernels", "wrong", str(error), "remove the library and run: mimi compile")
        return
    detail = f"{backend.compiled} of {len(backbone.sites)} sub-layers, for {level()}, from {folder}"
    yield Finding("kernels", "ok", detail)
    if settings is None or settings.precision == "auto":
        precision, reason = precision_in_force(backbone, folder)
        yield Finding("precision", "ok", f"{precision}, because {reason}")
    else:
        yield Finding("precision", "ok", f"{settings.precision}, as it is set")
    if speed:
        with torch.inference_mode():
            ours, theirs = _measured(backbone, (backend, ModuleBackend(backbone)))
        detail = f"{1000 * ours:.1f} ms for {_BATCH} images; PyTorch's operators: {1000 * theirs:.1f} ms"
        slower = ours > theirs
        step = "serve with --kernels off if that is so on a quiet machine, and report it" if slower else ""
        yield Finding("speed", "note" if slower else "ok", f"{detail} ({theirs / ours:.2f} times as fast)", step)


def _measured(backbone: "Backbone", backends: "Sequence[Backend]") -> list[float]:
    """Least seconds of a batch by each backend; they take turns, so that all meet the same disturbance."""
    import torch

    draws = torch.Generator().manual_seed(0)
    x = backbone.embed(torch.randn(_BATCH, 3, *backbone.preprocessing.size, generator=draws))
    least = [float("inf")] * len(backends)
    for backend in backends:
        backend.advance(x, 0, len(backbone.sites))
    end = time.monotonic() + _MEASURED_SECONDS * len(backends)
    while time.monotonic() < end:
        for index, backend in enumerate(backends):
            begun = time.perf_counter()
            backend.advance(x, 0, len(backbone.sites))
            least[index] = min(least[index], time.perf_counter() - begun)
    return least


def _onnx() -> Iterator[Finding]:
    try:
        import onnxruntime
    except ImportError as error:
        step = "pip install onnxruntime, or onnxruntime-gpu for CUDA; only --engine onnx and `mimi export` need it"
        yield Finding("onnx runtime", "note", f"not usable: {error}", step)
        return
    import torch

    providers = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    detail = f"{onnxruntime.__version__}: {', '.join(providers)}"
    if torch.cuda.is_available() and "CUDA" not in providers:
        yield Finding("onnx runtime", "note", detail, "pip install onnxruntime-gpu, for --engine onnx on CUDA")
    else:
        yield Finding("onnx runtime", "ok", detail)


def _formats() -> Iterator[Finding]:
    from backbone.images import EXTRA_FORMATS, FORMATS, missing_decoders

    missing = missing_decoders((*FORMATS, *EXTRA_FORMATS))
    there = [form for form in (*FORMATS, *EXTRA_FORMATS) if form not in missing]
    step = "pip install 'mimi-serving[heif]'" if "HEIF" in missing else ""
    yield Finding("image formats", "ok", f"{', '.join(there)}; no decoder for: {', '.join(missing) or 'none'}", step)


def _settings(config: Path | None) -> "Settings | None":
    """The settings that a server would have; None: it would refuse them."""
    from mimi.commands.serve import read
    from service.errors import SettingsError

    try:
        return read({}, config).settings
    except SettingsError:
        return None


def _server(config: Path | None) -> Iterator[Finding]:
    """The settings, store, port, folders and limits of a server."""
    from mimi.commands.serve import read
    from service.errors import SettingsError

    try:
        settings = read({}, config).settings
    except SettingsError as error:
        yield Finding("settings", "wrong", str(error), "`mimi serve --help` explains each setting")
        return
    yield Finding("settings", "ok", "a server would start with them: `mimi config` lists them")
    yield from _store(settings)
    yield _port(settings.host, settings.port)
    yield from _limits(settings)
    for topic, place in (("kernels' folder", settings.kernels_folder), ("store's cache", settings.store_cache)):
        if place is not None:
            yield _writable(topic, place if topic == "kernels' folder" else place.parent)


def _store(settings: "Settings") -> Iterator[Finding]:
    from adapters_store import StoreError
    from adapters_store.maintenance import check
    from adapters_store.opening import local_path

    try:
        path = local_path(settings.store)
        if path is not None and not path.exists():
            found = _writable("store", path.parent)
            detail = f"none at {path} yet: the first start of a server makes one"
            yield Finding("store", "ok", detail) if found.verdict == "ok" else found
            return
        report = check(settings.store)
    except StoreError as error:
        yield Finding("store", "wrong", str(error), "check --store and MIMI_STORE, and who may read the place")
        return
    detail = f"{report.tasks} tasks, {report.versions} versions, generation {report.generation}"
    if not report.sound:
        parts = len(report.log) + len(report.blobs)
        yield Finding("store", "wrong", f"{detail}; {parts} parts cannot be read", f"mimi store check {settings.store}")
    else:
        yield Finding("store", "ok", f"{detail}; everything can be read")
    if path is not None:
        yield _writable("store's folder", path.parent)
        yield _room(path.parent)


def _writable(topic: str, folder: Path) -> Finding:
    """Whether this user may write a folder, or make it."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        return Finding(topic, "wrong", f"{existing} is not a folder", "name another place")
    if not os.access(existing, os.W_OK | os.X_OK):
        owner = f"chown or chmod {existing}, or run as its owner"
        return Finding(topic, "wrong", f"{existing} may not be written to by this user", owner)
    return Finding(topic, "ok", f"{folder} may be written to")


def _room(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**30:.1f} GiB free at {folder}"
    return Finding("disk", "ok", detail) if free > _FREE_BYTES else Finding("disk", "wrong", detail, "make room there")


def _port(host: str, port: int) -> Finding:
    """Whether a server could listen, or one of ours listens already."""
    topic = "port"
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if _ours(host, port):
            return Finding(topic, "ok", f"{host}:{port} is taken by a server of this project, which answers")
        step = "stop what listens there, or choose another: --port or MIMI_PORT"
        return Finding(topic, "wrong", f"{host}:{port} cannot be used: {error.strerror or error}", step)
    return Finding(topic, "ok", f"{host}:{port} is free")


def _ours(host: str, port: int) -> bool:
    from service.client import Client, RetryPolicy

    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    name = f"[{local}]" if ":" in local else local
    with Client(f"http://{name}:{port}", policy=RetryPolicy(seconds=2.0, attempts=1)) as client:
        return client.live()


def _limits(settings: "Settings") -> Iterator[Finding]:
    if sys.platform == "win32":
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = settings.connections + _DESCRIPTORS
    if hard != resource.RLIM_INFINITY and hard < needed:
        step = f"raise the limit (ulimit -Hn {needed}), or lower --connections"
        yield Finding("open files", "wrong", f"{needed} are needed, {hard} allowed", step)
    else:
        yield Finding("open files", "ok", f"{needed} are needed, and allowed")
