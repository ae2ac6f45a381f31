"""Errors of the command line itself.

CommandError
├── BadOption           a value of an option, or several together, with which nothing could train
├── UnreadableFile      a file named on the command line cannot be read
├── UnwritableFile      a file named on the command line cannot be written
├── ServerUnreachable   no server answers at the given address, or not in time
├── ServerRefused       the server answered with an error
├── ServerFailed        a server that the demo started did not get ready, or ended by itself
├── ExportMismatch      an exported model does not give the golden logits of its task
└── NoMatchingTask      no served task has the labels of the given images
"""


class CommandError(Exception):
    """Base of every error of the command line."""


class BadOption(CommandError):
    """A value of an option, or several together, with which nothing could train."""


class UnreadableFile(CommandError):
    """A file named on the command line cannot be read."""


class UnwritableFile(CommandError):
    """A file named on the command line cannot be written."""


class ServerUnreachable(CommandError):
    """No server answers at the given address, or not in time."""


class ServerRefused(CommandError):
    """The server answered with an error; the message is the server's."""


class ServerFailed(CommandError):
    """A server that the demo started did not get ready, or ended by itself."""


class NoMatchingTask(CommandError):
    """No served task has the labels of the given images."""


class ExportMismatch(CommandError):
    """An exported model does not give the golden logits of its task."""
