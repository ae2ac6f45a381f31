"""`python -m service`: the server, configured by MIMI_ variables, and by the file that MIMI_CONFIG names.

It takes no options; `mimi serve` has one for each setting.
"""

import os
import sys
from collections.abc import Sequence

from service.errors import SettingsError
from service.process.configuration import load
from service.process.server import REFUSED, main


def run(arguments: Sequence[str] = ()) -> int:
    """Serve, or say why not."""
    if arguments:
        print("refusing to start: this takes no options; `mimi serve --help` lists them", file=sys.stderr)
        return REFUSED
    try:
        settings = load(os.environ)
    except SettingsError as error:
        print(f"refusing to start: {error}", file=sys.stderr)
        return REFUSED
    return main(settings)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
