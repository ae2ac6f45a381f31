"""The engine: many tasks answered in one forward pass over one frozen backbone. Needs torch, and no web stack.

engine = Engine(load_backbone())
resident = engine.admit(task_adapter, sha256)
batcher = Batcher(engine)
batcher.start()
results = await batcher.submit([Row(resident, pixels)])

weights       one task's weights, copied and checked
cache         the weights of many tasks, within a budget
planning      the trunks that rows share, and their forks
runtime       computes a batch; `padded` does on a GPU, `onnx_runtime` with ONNX Runtime
accounting    FLOPs of each row
core          the engine, which puts these together
queueing      the order of queued rows
worker        the thread that computes them
batcher       the asyncio front
"""

from service.engine.accounting import Cost
from service.engine.batcher import Batcher, Stats
from service.engine.cache import TierUsage, Usage
from service.engine.core import Engine, Row, RowResult, Timing
from service.engine.errors import (
    AdmissionError,
    BackboneMismatch,
    Crowded,
    DeadlineExceeded,
    Draining,
    EngineDown,
    EngineError,
    EngineLost,
    FeatureMismatch,
    GoldenError,
    GoldenMismatch,
    GoldenMoved,
    GoldenNotFinite,
    PreprocessingMismatch,
    QueueFull,
    RequestTooLarge,
    RowFailed,
    TooMuchAhead,
    Unavailable,
    WidthMismatch,
)
from service.engine.queueing import DEFAULT_PRIORITY, HIGHEST_PRIORITY, LOWEST_PRIORITY, Exemplars
from service.engine.weights import GoldenCheck, Resident
from service.engine.worker import Limits

__all__ = [
    "DEFAULT_PRIORITY",
    "HIGHEST_PRIORITY",
    "LOWEST_PRIORITY",
    "AdmissionError",
    "BackboneMismatch",
    "Batcher",
    "Cost",
    "Crowded",
    "DeadlineExceeded",
    "Draining",
    "Engine",
    "EngineDown",
    "EngineError",
    "EngineLost",
    "Exemplars",
    "FeatureMismatch",
    "GoldenCheck",
    "GoldenError",
    "GoldenMismatch",
    "GoldenMoved",
    "GoldenNotFinite",
    "Limits",
    "PreprocessingMismatch",
    "QueueFull",
    "RequestTooLarge",
    "Resident",
    "Row",
    "RowFailed",
    "RowResult",
    "Stats",
    "TierUsage",
    "Timing",
    "TooMuchAhead",
    "Unavailable",
    "Usage",
    "WidthMismatch",
]
