"""`mimi serve`: the REST server, over every task of the store."""

import argparse
import os
import sys
from pathlib import Path

HELP = "serve every task of a store over one resident backbone"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments; what is not given comes from MIMI_ variables, else from the server's defaults."""
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1; others need keys)")
    parser.add_argument("--port", help="port to listen on (default: 8000)")
    parser.add_argument("--store", help="a SQLite file or an object store's URL (default: ./var/store.db)")
    parser.add_argument("--backbone", help="a timm architecture (default: the bundled backbone)")
    parser.add_argument("--weights", type=Path, help="a safetensors file with the backbone's weights")


def run(options: argparse.Namespace) -> int:
    """Serve until stopped; work in flight is finished first. `service.server` lists the exit statuses."""
    from service import server, settings
    from service.errors import SettingsError

    given = {name: getattr(options, name) for name in ("host", "port", "store", "backbone", "weights")}
    try:
        chosen = settings.load(os.environ, given)
    except SettingsError as error:
        print(f"refusing to start: {error}", file=sys.stderr)
        return server.REFUSED
    return server.main(chosen)
