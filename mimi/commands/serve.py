"""`mimi serve`: the REST server, over every task of the store."""

import argparse
import sys

HELP = "serve every task of a store over one resident backbone"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An option for every setting; what is not given comes from MIMI_ variables, the file, or the defaults."""
    from mimi.server_options import add_options

    add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until stopped; work in flight is finished first. `service.server` lists the exit statuses."""
    from mimi.server_options import read
    from service.errors import SettingsError

    try:
        settings = read(options).settings
    except SettingsError as error:
        print(f"refusing to start: {error}", file=sys.stderr)
        return 2  # as `service.server.REFUSED`, without the seconds that importing it takes
    from service import server

    return server.main(settings)
