"""The REST server: many tasks over one resident backbone."""

from importlib.metadata import version


def release() -> str:
    """The version of the installed distribution."""
    return version("mimi-serving")
