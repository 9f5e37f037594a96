"""The program, ``reproduce`` or ``python -m reproduce``: the command line, which is imported within a guard.

Never anything else.
"""

import signal
import sys


def main() -> int:
    """Run the command line and return its exit status, also of an interrupt before it or after it."""
    try:
        from reproduce.cli import main as run

        status = run()
    except KeyboardInterrupt:
        print("interrupted; nothing was done", file=sys.stderr)
        return 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done; only the interpreter has to end
    return status


if __name__ == "__main__":
    sys.exit(main())
