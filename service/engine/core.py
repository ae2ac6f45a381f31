"""The engine: it holds task adapters and answers mixed batches. It owns no thread, and knows neither queue nor task
names.

This file also makes the input of a batch: it checks images, finds equal ones by content, and normalises them. An image
is uint8 (H, W, 3) as preprocessing gives it, or float32 (3, H, W) that a client has normalised.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock, local
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from adapters_store import TaskAdapter
from adapters_store.artifact import Step, unrecorded
from backbone import Backbone, Preprocessing, unknown_scores
from service.engine.accounting import Cost, cost_of, spent_by, trunk_flops
from service.engine.cache import DEFAULT_BUDGET, Cache, TierUsage, Usage
from service.engine.errors import GoldenMoved
from service.engine.planning import plan
from service.engine.runtime import Runtime, TorchRuntime
from service.engine.weights import GoldenCheck, Resident, check, moved, resident_of, verify

T = TypeVar("T")

_SPOILED = "could not create a primitive"  # oneDNN's words
_STRIDE = 61  # bytes between the samples of an image that are hashed


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One image for one task.

    Attributes:
        resident: the task's weights.
        pixels: uint8 (H, W, 3), as the backbone's preprocessing gives it; or float32 (3, H, W), normalised already.
    """

    resident: Resident
    pixels: np.ndarray


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that a row waited for the engine, and seconds of the forward pass it was part of."""

    queue: float = 0.0
    compute: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class RowResult:
    """Answer to a row.

    Attributes:
        logits: float32 (K,).
        features: float32 (F,), the input of the head.
        flops_spent: executed for this row; shared work is divided among the rows that share it.
        flops_saved: spared by pruning, against the same task at its initial widths.
        flops_shared: spared by sharing: spent + shared is the cost of the row alone.
        timing: filled in by the batcher.
        unknown: the unknown score, above 1 where the task does not know such images; None if its file has no rule.
    """

    logits: np.ndarray
    features: np.ndarray
    flops_spent: int
    flops_saved: int
    flops_shared: int
    timing: Timing = Timing()
    unknown: float | None = None


def is_known(score: float) -> bool:
    """Whether an image of this unknown score is like those that its task was trained on."""
    return score <= 1


class SoundThreads:
    """Runs jobs in the thread that asks, until a lack of memory has spoiled that thread for oneDNN.

    If oneDNN once had no memory for generated code, it never generates code in that thread again, even with free
    memory: the error stays set. Another thread then computes instead, and is replaced when it is spoiled too.
    """

    def __init__(self) -> None:
        self._own = local()

    def run(self, job: Callable[[], T]) -> T:
        """The result of a job.

        Raises:
            MemoryError: oneDNN had no memory. Errors of the job are raised too.
        """
        stand_in: ThreadPoolExecutor | None = getattr(self._own, "stand_in", None)
        try:
            return job() if stand_in is None else stand_in.submit(job).result()
        except RuntimeError as error:
            if _SPOILED not in str(error):
                raise
            self._own.stand_in = ThreadPoolExecutor(1, "mimi-stand-in")  # its thread starts with its first job
            if stand_in is not None:
                stand_in.shutdown(wait=False)
            raise MemoryError("there is no memory for generated code") from error


class Engine:
    """Many resident tasks over one frozen backbone.

    Every method may be called from any thread while a batch is computed in another; batches are computed one at a time.
    """

    def __init__(self, backbone: Backbone, runtime: Runtime | None = None, *, budget: int = DEFAULT_BUDGET) -> None:
        """Nothing is resident at first.

        Args:
            backbone: float32, on the CPU.
            runtime: computes the batches; None: PyTorch on the CPU.
            budget: most bytes of adapters and heads in the host's memory; a runtime whose device has memory of its own
                holds a budget there by itself.
        """
        self.backbone, self._runtime = backbone, runtime or TorchRuntime(backbone)
        self._computing = Lock()  # an upload is verified while the worker computes; a device takes one batch at a time
        self._threads = SoundThreads()
        self._cache = Cache(budget)
        # A runtime that shares no trunk computes it for each row, so each row is charged for a whole one.
        self._trunk = trunk_flops(backbone) if self._runtime.shares_trunk else [0] * (len(backbone.sites) + 1)

    def get(self, sha256: str) -> Resident | None:
        """The content if it is resident; never slow."""
        return self._cache.get(sha256)

    def peek(self, sha256: str) -> Resident | None:
        """As `get`, but not counted as a use."""
        return self._cache.peek(sha256)

    def load(self, sha256: str, read: Callable[[], Resident], *, evicting: bool = True) -> tuple[Resident, bool]:
        """The content; made resident if it is not.

        Args:
            sha256: hash of the content.
            read: returns its weights, from `weights_of`; called only if they are not resident.
            evicting: whether others may be evicted for it; if not, it becomes resident only if there is room.

        Returns:
            Its weights, and whether they are kept.
        """
        resident, kept = self._cache.load(sha256, read, evicting=evicting)
        if kept:
            self._runtime.prepare(resident)
        return resident, kept

    def admit(self, adapter: TaskAdapter, sha256: str) -> Resident:
        """Make a task adapter resident. If its content is resident already, that one is returned.

        Raises:
            AdmissionError: as `weights_of`.
        """
        return self.load(sha256, lambda: self.weights_of(adapter, sha256))[0]

    def weights_of(self, adapter: TaskAdapter, sha256: str, *, step: Step = unrecorded) -> Resident:
        """A task adapter's weights, checked against this engine; they do not become resident. `step` runs the checks.

        Raises:
            AdmissionError: it was made for another backbone or preprocessing, or its shapes do not fit.
        """
        check(self.backbone, adapter, step=step)
        manifest = adapter.manifest
        cost = cost_of(
            self.backbone,
            manifest.widths,
            initial_widths=manifest.provenance.initial_widths,
            classes=len(manifest.labels),
        )
        return resident_of(adapter, sha256, cost if self._runtime.shares_trunk else replace(cost, trunk=0))

    def verify(self, adapter: TaskAdapter, resident: Resident, *, step: Step = unrecorded) -> GoldenCheck:
        """Recompute the golden sample of an adapter by its weights; they do not become resident.

        `step` runs this check as "golden sample".

        Raises:
            GoldenError: the answer differs from the golden logits, or `judge` refuses it.
        """

        def recompute() -> GoldenCheck:
            return verify(
                self.backbone,
                adapter,
                resident=resident,
                answer=lambda pixels: self.run([Row(resident, pixels)])[0].logits,
            )

        with step("golden sample"):
            found = self._threads.run(recompute)
            self.judge(adapter, resident)
        return found

    @property
    def precision(self) -> str:
        """The precision of products with frozen weights: "fp32", "bf16", "fp16" or "int8"."""
        return self._runtime.precision

    def judge(self, adapter: TaskAdapter, resident: Resident) -> None:
        """In int8, compare the answer to an adapter's golden image with the golden logits; else do nothing.

        Raises:
            GoldenMoved: int8 costs this task too much.
        """
        if self.precision == "int8" and (why := self.moved(adapter, resident)) is not None:
            raise GoldenMoved(f"in int8 {why}")

    def moved(self, adapter: TaskAdapter, resident: Resident) -> str | None:
        """How this engine's answer to the golden image is too far from the golden logits; None where it is not."""
        return moved(adapter.golden_logits, self._threads.run(lambda: self._golden(adapter, resident)))

    def _golden(self, adapter: TaskAdapter, resident: Resident) -> np.ndarray:
        pixels = self.backbone.preprocessing.pixels(Image.fromarray(adapter.golden_image))
        return self.run([Row(resident, pixels)])[0].logits

    def evict(self, sha256: str) -> int:
        """Evict a task adapter; returns its bytes (0: not resident). Rows in flight keep its weights."""
        return self._cache.evict(sha256)

    def pin(self, hashes: Collection[str]) -> None:
        """Let these contents, and no others, stay resident once they are, whatever the budget."""
        self._cache.pin(hashes)
        self._runtime.pin(hashes)

    def usage(self) -> Usage:
        """Tasks and bytes on the device, and the memory of evicted tasks that rows in flight still use."""
        device, lingering = self.tiers()["device"], self._cache.lingering()
        return Usage(device.tasks, device.nbytes, len(lingering), sum(resident.nbytes for resident in lingering))

    def tiers(self) -> Mapping[str, TierUsage]:
        """The usage of each kind of memory: "device", where batches are computed, and "host" if that is another."""
        host, device = self._cache.usage(), self._runtime.usage()
        return {"device": host} if device is None else {"device": device, "host": host}

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Answer rows of any mix of tasks in one forward pass, in the order given.

        The bare trunk under rows of the same image is computed once if the runtime shares trunks, also where two
        clients sent the image. A row that is there twice is computed once by every runtime.

        Raises:
            ValueError: pixels of another shape or dtype than the backbone reads, or no row at all.
            MemoryError, RuntimeError: see `is_out_of_memory`.
        """
        residents, images = [row.resident for row in rows], number([row.pixels for row in rows])
        batch = plan(residents, images)
        staged = stage(self.backbone.preprocessing, [rows[index].pixels for index in batch.images])
        with self._computing:
            groups = self._threads.run(lambda: self._runtime.forward(staged, batch))
        answers = [
            answer
            for group, outputs in zip(batch.groups, groups, strict=True)
            for answer in _answers(group.resident, *(part.numpy() for part in outputs))
        ]
        spent = spent_by(residents, images, self._trunk)
        places = zip(rows, batch.places, spent, strict=True)
        return [_result(row.resident.cost, answers[place], flops) for row, place, flops in places]


class _Answer(NamedTuple):
    """Logits, features and unknown score of one row."""

    logits: np.ndarray
    features: np.ndarray
    unknown: float | None


def _answers(resident: Resident, logits: np.ndarray, features: np.ndarray) -> list[_Answer]:
    """The rows of one task; the score comes after the features, so it needs nothing of a runtime."""
    scores: list[None] | list[float] = [None] * len(logits)
    if resident.known is not None:
        scores = unknown_scores(features, resident.known).tolist()
    return list(map(_Answer, logits, features, scores))


def _result(alone: Cost, answer: _Answer, spent: int) -> RowResult:
    return RowResult(
        answer.logits,
        answer.features,
        flops_spent=spent,
        flops_saved=alone.saved,
        flops_shared=alone.spent - spent,
        unknown=answer.unknown,
    )


def number(images: Sequence[np.ndarray]) -> list[int]:
    """For each image the index of the first one with the same content.

    A hash over a sample finds candidates; then whole arrays are compared.
    """
    seen: dict[tuple[np.dtype, bytes], list[int]] = {}
    numbers = []
    for index, image in enumerate(images):
        alike = seen.setdefault((image.dtype, image.reshape(-1)[::_STRIDE].tobytes()), [])
        first = next((other for other in alike if _same(images[other], image)), index)
        if first == index:
            alike.append(index)
        numbers.append(first)
    return numbers


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one is other or np.array_equal(one, other)


def stage(preprocessing: Preprocessing, images: Sequence[np.ndarray]) -> Tensor:
    """Normalise images that are not normalised yet -> float32 (B, 3, H, W).

    Raises:
        ValueError: no image, or one of another shape or dtype than the backbone reads, or not finite.
    """
    raw = [index for index, image in enumerate(images) if image.dtype == np.uint8]
    for image in images:
        _check_pixels(preprocessing, image)
    if len(raw) == len(images):
        return _normalized(preprocessing, images)
    staged = torch.from_numpy(np.stack([_placeholder(image) for image in images]))
    if raw:
        staged[raw] = _normalized(preprocessing, [images[index] for index in raw])
    return staged


def _normalized(preprocessing: Preprocessing, images: Sequence[np.ndarray]) -> Tensor:
    return preprocessing.normalize(torch.from_numpy(np.stack(images)))


def _placeholder(image: np.ndarray) -> np.ndarray:
    """A normalised image itself; for a raw one, an empty array of its normalised shape."""
    return image if image.dtype == np.float32 else np.empty((3, *image.shape[:2]), np.float32)


def _check_pixels(preprocessing: Preprocessing, image: np.ndarray) -> None:
    raw, ready = (*preprocessing.size, 3), (3, *preprocessing.size)
    expected = {np.dtype(np.uint8): raw, np.dtype(np.float32): ready}.get(image.dtype)
    if image.shape != expected:
        raise ValueError(f"pixels must be uint8 {raw} or float32 {ready}, not {image.dtype} {image.shape}")
    if image.dtype == np.float32 and not np.isfinite(image).all():
        raise ValueError("pixels must be finite")
