"""Errors of reports.

ReportError
├── MissingExtra      a package that draws or logs is not installed
└── UnreadableResult  a row of a comparison lacks what a table needs
"""

from training.errors import TrainingError


class ReportError(TrainingError):
    """Base of every error about a report."""


class MissingExtra(ReportError):
    """A package of the optional extra `reports` is not installed; the message says how to install it."""

    def __init__(self, package: str) -> None:
        super().__init__(f"{package} is not installed; pip install 'mimi-serving[reports]'")


class UnreadableResult(ReportError):
    """A line of a file of rows is not a row; the message names the line."""
