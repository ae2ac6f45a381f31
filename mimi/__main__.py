"""`python -m mimi`, and the command `mimi`; torchrun starts it in this way, too."""

import sys
from importlib.util import find_spec


def main() -> int:
    """The exit status of the command line; an installation of the client alone has none."""
    if find_spec("typer") is None:
        print("mimi: only the client is installed; pip install 'mimi-serving[full]'", file=sys.stderr)
        return 1
    from mimi.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
