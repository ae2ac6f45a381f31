"""`python -m service`: the server, configured by MIMI_ environment variables alone."""

import os
import sys

from service.errors import SettingsError
from service.server import REFUSED, main
from service.settings import load


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
