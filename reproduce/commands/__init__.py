"""Groups of commands of the command line, one file each with `add(commands)`; never computes.

Imports of this package's rooms stand inside functions: `reproduce --help` must not wait for a library.
"""
