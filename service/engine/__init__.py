"""The engine: many tasks answered in one forward pass over one frozen backbone. Needs torch, and no web stack.

    engine = Engine(load_backbone())
    resident = engine.admit(task_adapter, sha256)
    batcher = Batcher(engine)
    batcher.start()
    results = await batcher.submit([Row(resident, pixels)])

`admission` and `golden` guard the way in, `bank` keeps the weights, `planning` finds what rows share, `staging` makes
their input, `forward` computes, `accounting` counts FLOPs; `queueing`, `worker` and `isolation` are what `batcher` is
made of.
"""

from service.engine.accounting import Cost
from service.engine.bank import Resident, Usage
from service.engine.batcher import Batcher, Stats
from service.engine.core import Engine, Row, RowResult, Timing
from service.engine.errors import (
    AdmissionError,
    BackboneMismatch,
    DeadlineExceeded,
    Draining,
    EngineDown,
    EngineError,
    EngineLost,
    FeatureMismatch,
    GoldenError,
    GoldenMismatch,
    GoldenNotFinite,
    PreprocessingMismatch,
    QueueFull,
    RequestTooLarge,
    RowFailed,
    Unavailable,
    WidthMismatch,
)
from service.engine.golden import GoldenCheck
from service.engine.limits import Limits
from service.engine.queueing import DEFAULT_PRIORITY, HIGHEST_PRIORITY, LOWEST_PRIORITY

__all__ = [
    "DEFAULT_PRIORITY",
    "HIGHEST_PRIORITY",
    "LOWEST_PRIORITY",
    "AdmissionError",
    "BackboneMismatch",
    "Batcher",
    "Cost",
    "DeadlineExceeded",
    "Draining",
    "Engine",
    "EngineDown",
    "EngineError",
    "EngineLost",
    "FeatureMismatch",
    "GoldenCheck",
    "GoldenError",
    "GoldenMismatch",
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
    "Timing",
    "Unavailable",
    "Usage",
    "WidthMismatch",
]
