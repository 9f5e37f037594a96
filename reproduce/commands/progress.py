"""Says on standard error what a command is doing and how long it may still take; never decides anything."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO

#: Seconds after which a line is written where the output is not a terminal, and again after each doubling.
FIRST_LINE = 15.0


class Progress:
    """Names each stage as it begins and shows its seconds beside those that were expected.

    On a terminal one line is renewed; elsewhere, such as in a log, a stage has a line of its own and, if it is long,
    further ones at longer and longer intervals.

    Parameters
    ----------
    stream : text stream, optional
        Standard error if not given.
    shown : bool, default True
    """

    def __init__(self, stream: TextIO | None = None, *, shown: bool = True):
        self._stream = sys.stderr if stream is None else stream
        self._shown, self._terminal = shown, self._stream.isatty()
        self._stage, self._expected, self._begun, self._next = "", None, 0.0, FIRST_LINE
        self._lock, self._ended = threading.Lock(), threading.Event()

    def __enter__(self) -> Progress:
        if self._shown:
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Say no more, and clear the line, so that results can be printed."""
        self._ended.set()
        with self._lock:
            if self._shown and self._terminal and self._stage:
                self._write("\r\033[K")
            self._stage = ""

    def __call__(self, stage: str, expected_seconds: float | None = None) -> None:
        """A new stage begins; `expected_seconds` None: not known."""
        with self._lock:
            self._stage, self._expected, self._begun = stage, expected_seconds, time.monotonic()
            self._next = FIRST_LINE
            if self._shown:
                self._write(f"\r\033[K{self._text()}" if self._terminal else f"{self._text()}\n")

    def _watch(self) -> None:
        while not self._ended.wait(1.0):
            with self._lock:
                if not self._stage or self._ended.is_set():
                    continue
                if self._terminal:
                    self._write(f"\r\033[K{self._text()}")
                elif time.monotonic() - self._begun >= self._next:
                    self._next *= 2
                    self._write(f"{self._text()}\n")

    def _text(self) -> str:
        from reproduce.imputers.costs import duration

        spent = time.monotonic() - self._begun
        if self._expected is None or self._expected < 1:
            return f"{self._stage} …" + (f" {duration(spent)}" if spent >= 1 else "")
        if spent < 1:
            return f"{self._stage} … about {duration(self._expected)}"
        left = self._expected - spent
        remaining = f"about {duration(left)} left" if left >= 1 else "longer than expected"
        return f"{self._stage} … {duration(spent)}, {remaining}"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
