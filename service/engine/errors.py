"""All errors of the engine.

    EngineError
    ├── AdmissionError            the task adapter was made for something else than this engine
    │   ├── BackboneMismatch      another frozen network
    │   ├── PreprocessingMismatch another way from image to input
    │   ├── WidthMismatch         widths or adapter shapes that do not fit the backbone's sites
    │   └── FeatureMismatch       a head that does not fit the backbone's features
    ├── GoldenError               the task adapter does not give its golden logits
    │   ├── GoldenMismatch        the reference forward disagrees with the golden logits
    │   ├── GoldenNotFinite       this engine's own answer is not a number
    │   └── GoldenMoved           this engine computes in int8, and its answer is too far away
    ├── RequestTooLarge           more images than the queue could ever hold
    ├── DeadlineExceeded          the answer would come too late
    ├── RowFailed                 this row alone made the forward pass fail
    │   └── OutOfMemory           there was no memory for the forward pass, nor for half of its batch
    └── Unavailable               try later, or elsewhere
        ├── Crowded               says when to try again
        │   ├── QueueFull         more work is waiting than the queue may hold
        │   └── TooMuchAhead      the rows that wait already would make the answer late
        ├── Draining              shutting down: no new work
        └── EngineDown            the thread that computes has ended
            └── EngineLost        raised inside the engine: the device is gone, retrying is pointless

`title` says in one sentence what a class of errors means; servers show it. Messages name hashes, sizes and limits,
never a path and never text that a client sent.
"""

import math
from errno import ENOMEM
from typing import ClassVar

_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "can't start new thread", "could not create a primitive")


class EngineError(Exception):
    """Base of every error of the engine.

    Attributes:
        title: what this class of errors means, for users.
    """

    title: ClassVar[str] = "The engine failed."


class AdmissionError(EngineError):
    """A task adapter cannot be served by this engine; `expected` is the engine's value, `found` the adapter's."""

    title = "The task adapter cannot be served by this engine."

    def __init__(self, what: str, *, expected: object, found: object) -> None:
        super().__init__(f"{what}: this engine has {expected}, the task adapter was made for {found}")
        self.expected = expected
        self.found = found


class BackboneMismatch(AdmissionError):
    """Raised when an adapter names another backbone or fingerprint."""

    title = "The task adapter was trained on another frozen network."


class PreprocessingMismatch(AdmissionError):
    """Raised when an adapter names another hash of preprocessing."""

    title = "The task adapter was trained on images prepared in another way."


class WidthMismatch(AdmissionError):
    """Raised when the adapter's shapes do not fit the sites."""

    title = "The number of sites, or the input size of an adapter, is not the backbone's."


class FeatureMismatch(AdmissionError):
    """Raised when the head does not fit the features."""

    title = "The head reads feature vectors of another length."


class GoldenError(EngineError):
    """A golden sample, recomputed here, is not as the file says."""

    title = "The task adapter's golden sample did not come out right."


class GoldenMismatch(GoldenError):
    """Raised when the reference forward disagrees."""

    title = "The reference forward is further from the golden logits than the tolerance allows."


class GoldenNotFinite(GoldenError):
    """Raised when the engine's own forward overflows."""

    title = "The engine's own forward gave NaN or infinity for the golden image."


class GoldenMoved(GoldenError):
    """Raised when int8 costs this task too much."""

    title = "In int8 the engine's answer to the golden image is too far from the golden logits, or another label."


class RequestTooLarge(EngineError):
    """Raised when a request could never be accepted."""

    title = "The request has more images than the queue holds when it is empty."


class DeadlineExceeded(EngineError):
    """Raised when a deadline passes, and when it certainly would."""

    title = "The deadline passed before the answer was there."


class RowFailed(EngineError):
    """Raised for one row of a batch; the cause is chained."""

    title = "The forward pass fails whenever this image is in it, even alone."


class OutOfMemory(RowFailed):
    """Raised for each row of a batch that did not fit into memory; another try, later, may."""

    title = "There is not enough memory now."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the system, or a device, had no memory left: for tensors torch says so in a RuntimeError's words.

    A thread that cannot be started counts as well, because what is missing is most often room for its stack.
    """
    if isinstance(error, MemoryError | OutOfMemory) or getattr(error, "errno", None) == ENOMEM:
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


class Unavailable(EngineError):
    """Base of errors that another try, later or elsewhere, may not meet."""

    title = "The engine cannot take or finish this work now."


class Crowded(Unavailable):
    """Too many rows wait already; `retry_after` (whole seconds) says when to try again."""

    title = "Too much work waits already."
    retry_after = 1

    def __init__(self, message: str, *, seconds: float = 0.0) -> None:
        """`seconds`: until then, by the engine's measured pace; 0 if it is not known."""
        super().__init__(message)
        self.retry_after = max(1, math.ceil(seconds))


class QueueFull(Crowded):
    """Raised when the rows do not fit into the queue."""

    title = "The images do not fit beside those that wait already."


class TooMuchAhead(Crowded):
    """Raised when, by the measured pace, the answer would come after its deadline."""

    title = "The images that wait already would make the answer come after its deadline."


class Draining(Unavailable):
    """Raised once the batcher is shutting down."""

    title = "The engine is shutting down."


class EngineDown(Unavailable):
    """Raised when the engine's thread is not running: never started, ended by an error, or hanging."""

    title = "The engine is not running."


class EngineLost(EngineDown):
    """Raised by an engine whose device is gone: ends the thread instead of a retry row by row."""

    title = "The engine's device is gone."
