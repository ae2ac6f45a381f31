"""`mimi serve`: runs the REST server over every task of a store."""

import argparse
import sys

HELP = "serve every task of a store over one resident backbone"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An option for every setting. Other values come from MIMI_ variables, the file, or the defaults."""
    from mimi.server_options import add_options

    add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until stopped, and finish what is under way. `service.server` lists the exit statuses."""
    from mimi.server_options import read
    from service.errors import SettingsError

    try:
        settings = read(options).settings
    except SettingsError as error:
        print(f"refusing to start: {error}", file=sys.stderr)
        return 2  # the value of `service.server.REFUSED`, whose import takes seconds
    from service import server

    return server.main(settings)
