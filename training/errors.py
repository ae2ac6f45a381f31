"""Errors raised while a task trains; errors of the data set itself are in training.data.errors.

TrainingError
├── BadConfig           options or a configuration file that nothing could train by
├── Diverged            the loss is no longer a number; the last checkpoint is good
├── CheckpointMismatch  the checkpoint belongs to another run, or cannot be read
├── UnreadableRuns      the file of finished rows of a comparison is damaged
└── ReportError         see training.report.errors
"""


class TrainingError(Exception):
    """Base of every error while a task trains."""


class BadConfig(TrainingError, ValueError):
    """An option or a configuration file with which nothing could train, or nothing could be compared fairly."""


class Diverged(TrainingError):
    """The loss became NaN or infinite."""


class CheckpointMismatch(TrainingError):
    """The checkpoint in the run's folder was made with other options, data or backbone, or is damaged."""


class UnreadableRuns(TrainingError):
    """The file of finished rows has a line that is no row."""
