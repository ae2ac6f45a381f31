"""`python -m mimi`, which is also how torchrun starts it."""

import sys

from mimi.cli import main

sys.exit(main())
