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
        ├── QueueFull             more work is waiting than the queue may hold
        ├── Draining              shutting down: no new work
        └── EngineDown            the thread that computes is gone
            └── EngineLost        raised inside the engine: the device is gone, retrying is pointless

Messages name hashes, sizes and limits, never a path and never what a client sent.
"""


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


class QueueFull(Unavailable):
    """The rows do not fit beside those already waiting."""


class Draining(Unavailable):
    """The batcher is shutting down."""


class EngineDown(Unavailable):
    """The engine's thread is not running: never started, died, or hangs."""


class EngineLost(EngineDown):
    """Raised by an engine whose device is gone: ends the thread instead of being retried row by row."""
