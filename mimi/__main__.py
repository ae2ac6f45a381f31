"""`python -m mimi`; torchrun starts it in this way, too."""

import sys

from mimi.cli import main

if __name__ == "__main__":
    sys.exit(main())
