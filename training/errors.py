"""Errors raised while a task trains; errors of the data set itself are in training.data.errors.

TrainingError
├── BadConfig           options or a configuration file are not usable for training
├── Diverged            the loss is no longer a number; the last checkpoint is good
├── CheckpointMismatch  the checkpoint belongs to another run, or cannot be read
├── FolderInUse         another process trains in the run's folder
├── UnwritableFile      a checkpoint, a result or a folder of a run cannot be written
├── DamagedRows         a file of JSON Lines cannot be read, or a line of it is not a JSON object
├── UnreadableRuns      the file of finished rows of a comparison is damaged
└── ReportError         see training.report.errors
"""


class TrainingError(Exception):
    """Base of every error while a task trains."""


class BadConfig(TrainingError, ValueError):
    """An option or a configuration file does not allow a training, or a fair comparison."""


class Diverged(TrainingError):
    """The loss became NaN or infinite."""


class CheckpointMismatch(TrainingError):
    """The checkpoint in the run's folder was made with other options, data or backbone, or is damaged."""


class FolderInUse(TrainingError):
    """Another process trains in the run's folder; two runs need two folders."""


class UnwritableFile(TrainingError):
    """A file of a run cannot be written: a full disk, or a folder that may not be written to."""


class DamagedRows(TrainingError, ValueError):
    """A file of JSON Lines cannot be read, or a line of it is not a JSON object; the message names it."""


class UnreadableRuns(TrainingError):
    """A line of the file of finished rows is not a row."""
