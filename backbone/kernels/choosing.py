"""Which numbers the kernels compute in where nobody has said so: chosen by a measurement, and kept.

An instruction that a processor has may still be slow, so its flags decide nothing. Sub-layers of the network itself are
timed in float32 and in bfloat16. The result lies beside the compiled kernels, under a name that says for which
processor, kernels, network and number of threads it was measured.
"""

import json
import logging
import platform
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from backbone.backend import Backend
from backbone.kernels.build import Precision, level, library_name, multiplies
from backbone.kernels.errors import KernelError
from backbone.kernels.loading import load, path_in
from backbone.network import Backbone

_log = logging.getLogger(__name__)

_GAIN = 0.9  # bfloat16 is used if it takes less than this share of float32's time: less would be lost in the noise
_IMAGES, _ROUNDS = 2, 5

Accepts = Callable[[Backend], bool]


@dataclass(frozen=True, slots=True)
class Measurement:
    """The findings for one network on this machine.

    Attributes:
        bf16_vs_fp32: time in bfloat16 as a share of that in float32; None where it was not measured.
        accepted: whether the answers in bfloat16 are near enough for the caller.
    """

    bf16_vs_fp32: float | None
    accepted: bool

    @property
    def precision(self) -> Precision:
        """The precision to compute in."""
        gains = self.bf16_vs_fp32 is not None and self.bf16_vs_fp32 < _GAIN
        return "bf16" if gains and self.accepted else "fp32"

    @property
    def reason(self) -> str:
        """Why, in words."""
        if self.bf16_vs_fp32 is None:
            return "the kernels do not multiply bf16 here"
        told = f"bf16 takes {self.bf16_vs_fp32:.2f} of the time of fp32 on this processor"
        return told if self.accepted else f"{told}, but moves answers too far"


_NOTHING = Measurement(None, accepted=False)


def kept(backbone: Backbone, folder: Path) -> Measurement | None:
    """An earlier measurement for this network, processor, library and number of threads; None if nothing was."""
    if not multiplies("bf16"):
        return _NOTHING
    try:
        return Measurement(**json.loads(_place(backbone, folder).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def measure(backbone: Backbone, folder: Path, *, accepts: Accepts) -> Measurement:
    """The result of `kept`, or a new measurement, which is kept; it takes a few forward passes.

    Args:
        backbone: the network, in float32.
        folder: where libraries lie. Without this machine's library nothing is measured.
        accepts: whether the answers of a backend are near enough; asked of bfloat16 where it is faster.

    Raises:
        KernelsUnusable: see `load`.
    """
    if (before := kept(backbone, folder)) is not None:
        return before
    if not path_in(folder).is_file():
        return _NOTHING
    exact, lowered = load(backbone, folder), load(backbone, folder, precision="bf16")
    ratio = _ratio(backbone, exact, lowered)
    found = Measurement(ratio, accepted=ratio < _GAIN and accepts(lowered))
    try:
        _place(backbone, folder).write_text(json.dumps(asdict(found)) + "\n", encoding="utf-8")
    except OSError as error:  # a folder that came with an image: measured again at the next start
        _log.info("the choice of a precision is not kept: %s", error)
    return found


def precision_in_force(backbone: Backbone, folder: Path) -> tuple[Precision, str]:
    """The precision that `--precision auto` takes for this network on this machine's CPU, and why, in words for people.

    Reads what a server has measured and kept in `folder`, which is `default_folder()` unless the server names another;
    measures nothing itself, and raises nothing.
    """
    try:
        found = kept(backbone, folder)
        if found is not None:
            return found.precision, found.reason
        compiled = path_in(folder).is_file()
    except (KernelError, OSError) as error:
        return "fp32", str(error)
    return "fp32", "bf16 is not measured yet: a server does so at its start" if compiled else "no kernels are compiled"


@torch.inference_mode()
def _ratio(backbone: Backbone, exact: Backend, lowered: Backend) -> float:
    """Time of `lowered` as a share of that of `exact`: one sub-layer of each shape, weighted by how many there are."""
    shapes = [(type(site.branch).__name__, site.tokens, site.dim) for site in backbone.sites]
    counts, inputs = Counter(shapes), _inputs(backbone, exact)
    times = {exact: 0.0, lowered: 0.0}
    for shape, count in counts.items():
        site = shapes.index(shape)
        fastest = {each: float("inf") for each in (exact, lowered)}
        for each in (exact, lowered) * _ROUNDS:
            start = time.perf_counter()
            each.branch(site, inputs[site])
            fastest[each] = min(fastest[each], time.perf_counter() - start)
        for each, seconds in fastest.items():
            times[each] += count * seconds
    return times[lowered] / times[exact]


def _inputs(backbone: Backbone, backend: Backend) -> list[Tensor]:
    """The tokens that enter each branch for random images."""
    draws = torch.Generator().manual_seed(0)
    x = backend.embed(torch.randn(_IMAGES, 3, *backbone.preprocessing.size, generator=draws))
    entered = []
    for site in backbone.sites:
        entered.append(backend.enter(site.index, x))
        x = backend.advance(x, site.index, site.index + 1)
    return entered


def _place(backbone: Backbone, folder: Path) -> Path:
    """The file for this network, processor, library and number of threads."""
    parts = (_processor(), library_name(level()), backbone.fingerprint, torch.get_num_threads())
    return folder / f"precision-{sha256(repr(parts).encode()).hexdigest()[:16]}.json"


def _processor() -> str:
    """The processor's name and flags where Linux tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    told = ("model name", "stepping", "flags")
    return "\n".join(sorted({line for line in lines if line.startswith(told)}))
