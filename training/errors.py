"""Errors raised while a task trains; those about the data set itself are in training.data.errors.

TrainingError
├── Diverged            the loss is no longer a number; the last checkpoint is good
└── CheckpointMismatch  the checkpoint belongs to another run, or cannot be read
"""


class TrainingError(Exception):
    """Base of every error while a task trains."""


class Diverged(TrainingError):
    """The loss became NaN or infinite."""


class CheckpointMismatch(TrainingError):
    """The checkpoint in the run's folder was made with other options, data or backbone, or is damaged."""
