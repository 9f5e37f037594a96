"""Fetches a file by HTTP and continues it where it stopped; never knows what the file is about.

The bytes come into ``NAME.part``; ``NAME.part.json`` beside it says of which address and version they are. A part is
continued only if the server says that it still has the same bytes (HTTP's Range and If-Range), else begun anew.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from reproduce.errors import DownloadError, ReproduceError
from reproduce.files import write_json

__all__ = ["Failure", "Transfer", "fetch_file"]

_CONNECT = 10.0  # seconds
_TRANSIENT = (408, 425, 429)  # besides 5xx: timeout, too early, too many requests


@dataclass(frozen=True)
class Transfer:
    """How patiently a file is fetched.

    Attributes
    ----------
    attempts : int
        Attempts in a row that bring nothing new before an address is given up.
    wait : float
        Seconds before the second of them; each further wait is twice as long.
    timeout : float
        Seconds without a byte after which an attempt has failed.
    block : int
        Bytes written at a time: the most that an interruption loses.
    """

    attempts: int = 4
    wait: float = 1.0
    timeout: float = 60.0
    block: int = 1 << 15


class Failure(Exception):
    """An address did not give the file.

    Attributes
    ----------
    transient : bool
        Whether a further attempt may do better.
    answered : bool
        Whether a server answered at all.
    """

    def __init__(self, reason: str, *, transient: bool, answered: bool) -> None:
        super().__init__(reason)
        self.transient = transient
        self.answered = answered


def fetch_file(
    address: str,
    path: Path,
    accept: Callable[[Path], str],
    transfer: Transfer,
    *,
    progress: bool,
    say: Callable[..., None],
) -> str:
    """Fetch a file, continuing what an earlier call left, and give it its name when it is whole and accepted.

    Parameters
    ----------
    address : str
    path : Path
        Where the file goes; its folder must exist.
    accept : callable
        Is given the path of the whole file under another name; returns something about it, or raises `ReproduceError`
        if it is not what it should be. Such a file is not kept.
    transfer : Transfer
    progress : bool
        Whether to show a bar.
    say : callable
        Told why an attempt is repeated.

    Returns
    -------
    str
        What `accept` returned.

    Raises
    ------
    Failure
        If the address does not give the file.
    DownloadError
        If the disk does not take it.
    """
    part = _Part(path, address)
    furthest = part.size
    fruitless = 0
    while True:
        try:
            continued = part.pull(transfer, progress)
            answer = _accepted(part, accept, retry=continued)
        except Failure as failure:
            fruitless = 0 if part.size > furthest else fruitless + 1
            furthest = max(furthest, part.size)
            if not failure.transient or fruitless >= transfer.attempts:
                raise
            wait = transfer.wait * 2 ** max(0, fruitless - 1)
            say(f"{address}: {failure}; again in {wait:g} s")
            time.sleep(wait)
        else:
            part.take_name(path)
            return answer


def _accepted(part: _Part, accept: Callable[[Path], str], *, retry: bool) -> str:
    """What `accept` says of a part of full length; one that it refuses is removed.

    `retry`: the part was put together from several answers, so that a second attempt may do better.
    """
    if (md5 := part.about["md5"]) and _md5_of(part.path) != md5:
        part.remove()
        raise Failure("arrived damaged: its MD5 is not the one the server tells", transient=True, answered=True)
    try:
        return accept(part.path)
    except ReproduceError as error:
        part.remove()
        raise Failure(str(error), transient=retry, answered=True) from error


def _md5_of(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


class _Part:
    """A file on its way: ``NAME.part``, and ``NAME.part.json`` with what tells whether it may be continued."""

    def __init__(self, path: Path, address: str) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self.address = address
        self._about_path = path.with_name(f"{path.name}.part.json")
        self.about = self._read_about()

    @property
    def size(self) -> int:
        """Bytes that are there; 0 if they are another address's."""
        return self.path.stat().st_size if self.about and self.path.exists() else 0

    def pull(self, transfer: Transfer, progress: bool) -> bool:
        """Ask once for what is lacking, and append it; return whether earlier bytes were kept.

        pooch brings the bytes (proxies, certificates, redirections); that they are continued is decided here.
        """
        import pooch  # only where something is fetched: reading data does not need it

        before = self.size if self.about.get("validator") else 0  # without one, nobody can tell it is the same file
        if before and before == self.about["size"]:
            return True
        headers = {"Accept-Encoding": "identity"}
        if before:
            headers |= {"Range": f"bytes={before}-", "If-Range": self.about["validator"]}
        with contextlib.closing(_Sink(self, before, progress)) as sink:
            fetch = pooch.HTTPDownloader(
                chunk_size=transfer.block,
                headers=headers,
                timeout=(min(_CONNECT, transfer.timeout), transfer.timeout),
                hooks={"response": sink.begin},
            )
            try:
                fetch(self.address, sink, None)
            except OSError as error:  # all errors of requests are
                raise self._failure(error) from error
        if self.about["size"] not in (None, self.size):
            failure = self._cut()
            if self.size > self.about["size"]:
                self.remove()
            raise failure
        return sink.continued

    def begin(self, headers: Mapping[str, str]) -> None:
        """Note what the server says about the file that starts to arrive."""
        length, etag = headers.get("Content-Length", ""), headers.get("ETag", "")
        self.about = {
            "address": self.address,
            "size": int(length) if length.isdigit() else None,
            # A weak ETag does not promise the same bytes, so it must not join two halves.
            "validator": etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", ""),
            "md5": _published_md5(headers),
        }
        write_json(self._about_path, self.about)

    def take_name(self, path: Path) -> None:
        """Bring the bytes to disk, then let the part be the file."""
        with open(self.path, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(self.path, path)
        self.remove()

    def unwritable(self, error: OSError) -> DownloadError:
        """A full disk is not the address's fault: it is told at once, and the part stays."""
        return DownloadError(
            f"{self.path}: cannot be written ({error.strerror or error}) while fetching {self.address}; make room (or "
            "choose another place by --folder) and run the same command again: what has come is kept. Files that lie "
            "elsewhere are taken by --from FOLDER"
        )

    def remove(self) -> None:
        """Forget what has come."""
        self.about = {}
        self.path.unlink(missing_ok=True)
        self._about_path.unlink(missing_ok=True)

    def _read_about(self) -> dict[str, Any]:
        """What was noted, if the part is of this address and can be continued; else nothing."""
        try:
            about = json.loads(self._about_path.read_text(encoding="utf-8"))
            usable = about["address"] == self.address and about["validator"] and {"size", "md5"} <= set(about)
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # absent or half written: the file is begun anew, which costs time alone
        return about if usable else {}

    def _cut(self) -> Failure:
        size = self.about.get("size")
        whole = "" if size is None else f" of {size:,}"
        return Failure(f"the connection ended after {self.size:,}{whole} bytes", transient=True, answered=True)

    def _failure(self, error: OSError) -> Failure:
        response = getattr(error, "response", None)
        if response is not None:
            code = response.status_code
            if code == 416:  # the file is shorter than what is here
                self.remove()
            transient = code in (416, *_TRANSIENT) or code >= 500
            return Failure(f"HTTP {code} {response.reason}", transient=transient, answered=True)
        if "Connection broken" in str(error):
            return self._cut()
        if "timed out" in str(error).lower():
            return Failure("no answer in time", transient=True, answered=False)
        # requests wraps the system's words several times over
        system = re.search(r"\[Errno -?\d+\] ([^'\")]+)", str(error))
        return Failure(system[1] if system else f"{error}"[:200], transient=True, answered=False)


class _Sink:
    """Takes an answer's bytes to the end of a part, or to its beginning where the server sends the whole file."""

    def __init__(self, part: _Part, before: int, progress: bool) -> None:
        self._part = part
        self._before = before
        self._progress = progress
        self._open = contextlib.ExitStack()
        self.continued = False

    def begin(self, response: Any, **_: object) -> None:
        """Called by requests with an answer's headers, before its body is read."""
        if response.is_redirect or response.status_code >= 400:
            return  # followed by requests, or raised by pooch
        # As stored: what is continued, measured and hashed must not be unpacked under way.
        response.raw.headers.pop("Content-Encoding", None)
        try:
            self._begin(response)
        except BaseException:
            response.close()
            raise

    def _begin(self, response: Any) -> None:
        if response.status_code not in (200, 206):
            raise Failure(f"HTTP {response.status_code} {response.reason}", transient=False, answered=True)
        if response.status_code == 206:
            self._continue(response)
        try:
            self._handle = self._open.enter_context(self._part.path.open("ab", buffering=0))
            if response.status_code == 200:
                self._before = 0
                if os.fstat(self._handle.fileno()).st_size:
                    self._handle.truncate(0)  # before the note of what arrives: that must never stand by older bytes
                self._part.begin(response.headers)
        except OSError as error:
            raise self._part.unwritable(error) from error
        self._bar = self._open.enter_context(
            tqdm(
                total=self._part.about["size"],
                initial=self._before,
                desc=self._part.path.stem,
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
                disable=not self._progress,
            )
        )

    def _continue(self, response: Any) -> None:
        """Go on only if the answer is what comes after the bytes that are here."""
        about = self._part.about
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        etag = response.headers.get("ETag")
        if (
            not self._before
            or span is None
            or int(span[1]) != self._before
            or about["size"] not in (None, int(span[2]))
            or (etag and about["validator"].startswith('"') and etag != about["validator"])
        ):
            self._part.remove()
            raise Failure("the server does not continue the same file", transient=True, answered=True)
        about["size"] = int(span[2])
        self.continued = True

    def write(self, block: bytes) -> None:
        """Append."""
        rest = memoryview(block)
        try:
            while rest:
                rest = rest[self._handle.write(rest) :]
        except OSError as error:
            raise self._part.unwritable(error) from error
        self._bar.update(len(block))

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Close the file and end the progress bar."""
        self._open.close()


def _published_md5(headers: Mapping[str, str]) -> str | None:
    """MD5 in hexadecimal digits where Google's storage tells it, of the bytes as they are sent."""
    found = re.search(r"md5=([A-Za-z0-9+/]{22}==)", headers.get("x-goog-hash", ""))
    if found is None or headers.get("x-goog-stored-content-encoding", "identity") != "identity":
        return None
    return base64.b64decode(found[1]).hex()
