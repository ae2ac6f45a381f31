"""Errors of the command line itself, and what to do about those of every package.

CommandError
├── BadOption           values of a command line that contradict each other, or of which nothing can be made
├── UnreadableFile      a file named on the command line cannot be read
├── UnwritableFile      a file named on the command line cannot be written
├── NoImages            what should hold images holds none
├── ServerUnreachable   no server answers at the given address, or not in time
├── ServerRefused       the server answered with an error
├── ServerFailed        a server that the demo started did not get ready, or ended by itself
├── ExportMismatch      an exported model does not give the golden logits of its task
└── NoMatchingTask      no served task has the labels of the given images
"""


class CommandError(Exception):
    """Base of every error of the command line."""


class BadOption(CommandError):
    """Values of a command line that contradict each other, or of which nothing can be made."""


class UnreadableFile(CommandError):
    """A file named on the command line cannot be read."""


class UnwritableFile(CommandError):
    """A file named on the command line cannot be written."""


class NoImages(CommandError):
    """A file or folder that should contain images has none."""


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


_NEXT = {  # by the name of a class or of one of its bases; names, because to import the classes takes seconds
    "mimi.errors.UnreadableFile": "check the path, and who may read it",
    "mimi.errors.UnwritableFile": "name another place, or give this user write access",
    "mimi.errors.NoImages": "`mimi predict --help` says what images can come from",
    "training.errors.UnwritableFile": "name another place, or give this user write access",
    "service.client.errors.NotConnected": "start a server with `mimi serve`, or name one with --url or MIMI_URL",
    "service.client.errors.ConnectionFailed": "ask again; `mimi tasks` shows whether the server is there",
    "service.client.errors.DeadlineExceeded": "ask again; the server may be loading, or have too much to do",
    "service.client.errors.Unauthorized": "set MIMI_MANAGE_KEY to a key of this server (to predict: MIMI_PREDICT_KEY)",
    "service.client.errors.Forbidden": "set MIMI_MANAGE_KEY to a manage key: this key may only predict",
    "service.client.errors.NotFound": "`mimi tasks` lists what the server has, `mimi versions TASK` its versions",
    "service.client.errors.Conflict": "`mimi versions TASK` shows the task as it is now",
    "service.client.errors.TooManyRequests": "ask again later, or with less at the same time",
    "service.client.errors.Overloaded": "ask again later, or with less at the same time",
    "service.errors.SettingsError": "`mimi serve --help` explains each setting, `mimi config` shows what is in force",
    "adapters_store.errors.ArtifactError": "make the file again with `mimi train`, or download it with `mimi versions`",
    "adapters_store.errors.NoStatistics": "`mimi statistics FILE DATA -o NEW` adds them, from its training images",
    "adapters_store.errors.StoreReadOnly": "give the server's user write access to the store and its folder",
    "adapters_store.errors.Damaged": "`mimi store check STORE` names every part that cannot be read",
    "adapters_store.errors.StoreDamaged": "`mimi store check STORE` names every part that cannot be read",
    "adapters_store.errors.BackendError": "`mimi store --help` says how a store is named",
    "service.engine.errors.BackboneMismatch": "name the backbone it was made for: --backbone and --weights",
    "backbone.errors.UnknownBackbone": "name an architecture of timm, or leave --backbone out for the bundled one",
    "backbone.errors.WeightsUnavailable": "name a file with --weights",
    "backbone.kernels.errors.CompilerMissing": "install a compiler; without it PyTorch computes, more slowly",
    "training.errors.CheckpointMismatch": "name another folder with --folder, or remove this one",
    "training.errors.FolderInUse": "name another folder with --folder",
    "training.errors.Diverged": "try a lower --learning-rate",
    "training.report.errors.MissingExtra": "pip install 'mimi-serving[reports]'",
    "training.data.errors.HubUnavailable": "pip install 'mimi-serving[hub]', and check the name and the network",
    "training.data.errors.WrongColumn": "name the columns with --image-column and --label-column",
    "training.data.errors.DataError": "`mimi train --help` says what images can come from",
}


def next_step(error: Exception) -> str:
    """The user's next step after an error; empty if its message contains it, or if none is known."""
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__)
    return next((_NEXT[name] for name in names if name in _NEXT), "")
