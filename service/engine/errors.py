"""Everything the engine can refuse or fail at, in words of its own.

    EngineError
    ├── AdmissionError            the task adapter was made for something else than this engine
    │   ├── BackboneMismatch      another frozen network
    │   ├── PreprocessingMismatch another way from image to input
    │   ├── WidthMismatch         widths or adapter shapes that do not fit the backbone's sites
    │   └── FeatureMismatch       a head that does not fit the backbone's features
    ├── GoldenError               the task adapter does not give what it promises
    │   ├── GoldenMismatch        the reference forward disagrees with the golden logits
    │   └── GoldenNotFinite       this engine's own answer is not a number
    ├── RequestTooLarge           more images than the queue could ever hold
    ├── DeadlineExceeded          the answer would come too late
    ├── RowFailed                 this row alone made the forward pass fail
    └── Unavailable               try later, or elsewhere
        ├── Crowded               says when to try again
        │   ├── QueueFull         more work is waiting than the queue may hold
        │   └── TooMuchAhead      what waits already would make the answer late
        ├── Draining              shutting down: no new work
        └── EngineDown            the thread that computes is gone
            └── EngineLost        raised inside the engine: the device is gone, retrying is pointless

Messages name hashes, sizes and limits, never a path and never what a client sent.
"""

import math


class EngineError(Exception):
    """Base of every error of the engine."""


class AdmissionError(EngineError):
    """A task adapter cannot be served by this engine; `expected` is what the engine has, `found` what came."""

    def __init__(self, what: str, *, expected: object, found: object) -> None:
        super().__init__(f"{what}: this engine has {expected}, the task adapter was made for {found}")
        self.expected = expected
        self.found = found


class BackboneMismatch(AdmissionError):
    """The task adapter was trained on another frozen network."""


class PreprocessingMismatch(AdmissionError):
    """The task adapter was trained on images prepared in another way."""


class WidthMismatch(AdmissionError):
    """The number of sites, or the input size of an adapter, is not the backbone's."""


class FeatureMismatch(AdmissionError):
    """The head reads feature vectors of another length."""


class GoldenError(EngineError):
    """A task adapter's golden sample did not come out right."""


class GoldenMismatch(GoldenError):
    """The reference forward is further from the golden logits than the tolerance allows."""


class GoldenNotFinite(GoldenError):
    """The engine's own forward gave NaN or infinity for the golden image."""


class RequestTooLarge(EngineError):
    """One request has more images than the queue holds when it is empty: it can never be accepted."""


class DeadlineExceeded(EngineError):
    """The deadline passed before the answer was there."""


class RowFailed(EngineError):
    """The forward pass fails whenever this row is in it, even alone; the cause is chained."""


class Unavailable(EngineError):
    """The engine cannot take or finish this work now."""


class Crowded(Unavailable):
    """Too much waits already; `retry_after` (whole seconds) says when that will have changed."""

    retry_after = 1

    def __init__(self, message: str, *, seconds: float = 0.0) -> None:
        """`seconds`: until then, by the engine's measured pace; 0 where it is not known."""
        super().__init__(message)
        self.retry_after = max(1, math.ceil(seconds))


class QueueFull(Crowded):
    """The rows do not fit beside those already waiting."""


class TooMuchAhead(Crowded):
    """By the engine's measured pace, what waits already would make the answer come after its deadline."""


class Draining(Unavailable):
    """The batcher is shutting down."""


class EngineDown(Unavailable):
    """The engine's thread is not running: never started, died, or hangs."""


class EngineLost(EngineDown):
    """Raised by an engine whose device is gone: ends the thread instead of being retried row by row."""
