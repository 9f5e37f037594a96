"""Keras networks, their losses and the training loop; knows arrays and tensors, nothing about files or data frames.

Whoever imports a network comes by here, so here TensorFlow starts.
"""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import tempfile

#: How lines begin that TensorFlow and its libraries write of their build, and of GPUs that are not there.
_START_UP = re.compile(rb"WARNING: All log messages before absl|[IWE]\d{4} \d\d:|\d{4}-\d\d-\d\d .*: [IWE] |To enable")


def _start_quietly() -> None:
    """Import TensorFlow and let it look for devices, without what it tells of its build and of GPUs that are not there.

    Its log level does not hold back these lines, which it writes before its log is set up; so where messages below
    errors are not wanted (`TF_CPP_MIN_LOG_LEVEL` is 2 or 3; 1 shows all), file descriptor 2 leads to a file meanwhile.
    Other lines are shown afterwards, and all of them if the import fails. Of a process that aborts, such as on a
    processor that lacks an instruction, Python's traceback is shown.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") not in ("2", "3") or sys.stderr is None:
        return
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except OSError:  # there is no standard error to keep quiet
        return
    watched = faulthandler.is_enabled()
    if not watched:
        faulthandler.enable(kept)
    failed = True
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
            failed = False
        finally:
            os.dup2(kept, 2)
            if not watched:
                faulthandler.disable()
            said.seek(0)
            os.write(kept, b"".join(line for line in said if failed or not _START_UP.match(line)))
            os.close(kept)


_start_quietly()
