"""Errors of a comparison.

CompareError
├── BadConfig       the TOML file says what is not understood, or what would not be a fair comparison
└── UnreadableRuns  the file of finished rows is damaged
"""

from training.errors import TrainingError


class CompareError(TrainingError):
    """Base of every error about a comparison itself."""


class BadConfig(CompareError):
    """The configuration cannot be read, or would not be a fair comparison; the message says where."""


class UnreadableRuns(CompareError):
    """The file of finished rows has a line that is none."""
