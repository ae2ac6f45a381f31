"""The errors of stores under the name that the service still imports."""

from adapters_store.errors import *  # noqa: F403
from adapters_store.errors import BackendError as HomeError  # noqa: F401
