"""`python -m service`: the server, configured by MIMI_ variables, and by the file that MIMI_CONFIG names."""

import os
import sys

from service.configuration import load
from service.errors import SettingsError
from service.server import REFUSED, main


def run() -> int:
    """Serve, or say why not."""
    try:
        settings = load(os.environ)
    except SettingsError as error:
        print(f"refusing to start: {error}", file=sys.stderr)
        return REFUSED
    return main(settings)


if __name__ == "__main__":
    sys.exit(run())
