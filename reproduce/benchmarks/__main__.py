"""One measurement in a process of its own, started by `reproduce.benchmarks.processes`; never a benchmark by itself."""

import sys

from reproduce.benchmarks.processes import main

main(sys.argv[1:])
