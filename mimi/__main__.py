"""`python -m mimi`; torchrun starts it in this way, too."""

import sys

from mimi.cli import main

sys.exit(main())
