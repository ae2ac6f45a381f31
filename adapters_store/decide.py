"""One function under the name that the service still imports."""

from adapters_store.commands import find_version  # noqa: F401
