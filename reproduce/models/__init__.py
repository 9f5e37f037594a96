"""Keras networks, their losses and the training loop; knows arrays and tensors, nothing about files or data frames.

Whoever imports a network comes by here, so here TensorFlow starts.
"""

from __future__ import annotations

import os
import sys
import tempfile


def _start_quietly() -> None:
    """Import TensorFlow and let it look for devices, without what it tells of its build and of GPUs that are not there.

    Its log level does not hold back these lines, which it writes before its log is set up; so where messages below
    errors are not wanted, file descriptor 2 leads to a file meanwhile, which is shown if the import fails.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") not in ("2", "3") or sys.stderr is None:
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


_start_quietly()
