"""The engine: many tasks answered in one forward pass over one frozen backbone. Needs torch, and no web stack.

    engine = Engine(load_backbone())
    resident = engine.admit(task_adapter, sha256)
    batcher = Batcher(engine)
    batcher.start()
    results = await batcher.submit([Row(resident, pixels)])

`admission` and `golden` guard the way in, `bank` is one task's weights, `residency` keeps those of many in tiers of
memory, `planning` finds what rows share, `staging` makes their input, `forward` computes, `accounting` counts FLOPs;
`queueing`, `fair_queue`, `pace`, `worker` and `isolation` are what `batcher` is made of.
"""

from service.engine.accounting import Cost
from service.engine.bank import Resident
from service.engine.batcher import Batcher, Stats
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
    GoldenNotFinite,
    PreprocessingMismatch,
    QueueFull,
    RequestTooLarge,
    RowFailed,
    TooMuchAhead,
    Unavailable,
    WidthMismatch,
)
from service.engine.golden import GoldenCheck
from service.engine.limits import Limits
from service.engine.queueing import DEFAULT_PRIORITY, HIGHEST_PRIORITY, LOWEST_PRIORITY
from service.engine.residency import Budgets, Usage
from service.engine.tier import TierUsage

__all__ = [
    "DEFAULT_PRIORITY",
    "HIGHEST_PRIORITY",
    "LOWEST_PRIORITY",
    "AdmissionError",
    "BackboneMismatch",
    "Batcher",
    "Budgets",
    "Cost",
    "Crowded",
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
    "TierUsage",
    "Timing",
    "TooMuchAhead",
    "Unavailable",
    "Usage",
    "WidthMismatch",
]
