"""`python -m benchmarks.engine`."""

import sys

from benchmarks.engine import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
