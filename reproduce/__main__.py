"""``python -m reproduce``: the command line; never anything else."""

import sys

from reproduce.cli import main

if __name__ == "__main__":
    sys.exit(main())
