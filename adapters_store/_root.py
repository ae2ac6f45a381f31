"""The root of this package's errors, apart so that both trees can grow from it."""

import re
from typing import ClassVar


class AdaptersStoreError(Exception):
    """Root of everything this package raises on purpose; `code` is the class's name in snake_case."""

    code: ClassVar[str] = "adapters_store_error"

    def __init_subclass__(cls) -> None:
        """Give each class its own code, so that none can be forgotten or repeated."""
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
