"""Brings the portals' files into the data folder, whole and checked or not at all; never reads an expression value.

Where the files lie is said by ``sources/registry.csv``. A file takes its name only when its length, checksum and form
are right. ``checksums.json`` beside the files records each SHA-256, so that a file that changes afterwards is noticed
when it is next read.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import gzip
import json
import shutil
import sys
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from reproduce.errors import ConfigError, DataFormatError, DownloadError
from reproduce.files import atomic_path, sha256_of, write_json
from reproduce.loaders._kinds import GZIP_MAGIC, refuse_other_kinds
from reproduce.loaders._transfer import Failure, Transfer, fetch_file
from reproduce.loaders.gct import check_gct
from reproduce.loaders.gtex import read_sample_attributes, read_subject_phenotypes
from reproduce.loaders.places import data_folder

__all__ = ["RECORD", "Source", "Transfer", "download_dataset", "read_registry", "verify_dataset"]

#: Name of the record of checksums in a data set's folder.
RECORD = "checksums.json"
_NOT_FETCHED = {
    "embedded": "it is simulated and needs no file",
    "student-p53": "data/README.md says where its tables are; REPRODUCE_DATA names the folder you put them in",
    "rnaseqdb": "data/README.md says where its tables are; REPRODUCE_DATA names the folder you put them in",
}
_STUDY_FILES = ("data_mrna_seq_v2_rsem.txt", "data_clinical_patient.txt", "data_clinical_sample.txt")
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Source:
    """One file of a data set and where it comes from.

    Attributes
    ----------
    file : str
        Its name in the data set's folder.
    form : {"gct", "study", "phenotypes", "attributes"}
        What it must be: an expression table, a cBioPortal study's archive, GTEx's table of donors or of samples.
    addresses : tuple of str
        Tried in this order.
    sha256 : str
        Published checksum; "" where there is none.
    published_by : str
        Who published it: "the portal" or "a third party".
    page : str
        Where a person finds the file.
    note : str
        What is not certain about the addresses.
    """

    file: str
    form: str
    addresses: tuple[str, ...]
    sha256: str = ""
    published_by: str = ""
    page: str = ""
    note: str = ""


def download_dataset(
    name: str,
    *,
    folder: str | Path | None = None,
    from_folder: str | Path | None = None,
    progress: bool = True,
    registry: Mapping[str, Sequence[Source]] | None = None,
    transfer: Transfer | None = None,
) -> Path:
    """Fetch the files of a data set that are not there yet, or copy them from a folder that has them.

    Files that are there already are kept: those recorded in ``checksums.json`` must be unchanged, others must have the
    right form and are recorded. An interrupted download goes on where it stopped.

    Parameters
    ----------
    name : {"gtex-tcga-p53", "gtex-v8"}
    folder : path, optional
        Data folder; the files land in its subfolder `name`. Default: ``REPRODUCE_DATA``, else ``data/``.
    from_folder : path, optional
        Take the files from here (or from its subfolder `name`) instead of the network.
    progress : bool
        Show bytes, rate and time left on standard error; silent otherwise.
    registry : mapping of str to sequence of Source, optional
        Data sets by name; default: `read_registry`.
    transfer : Transfer, optional

    Returns
    -------
    Path
        The folder that holds the files.

    Raises
    ------
    ConfigError
        For an unknown data set or a `from_folder` that is not there.
    DownloadError
        If files could not be had, or differ from a published checksum; it names each address and what to do.
    DataFormatError
        If a file that is there, or in `from_folder`, is not what its name says, or has changed since it was recorded.
    """
    sources = _sources_of(name, read_registry() if registry is None else registry)
    target = (data_folder() if folder is None else Path(folder).expanduser()) / name
    say = functools.partial(print, file=sys.stderr, flush=True) if progress else _say_nothing
    if from_folder is not None and not Path(from_folder).expanduser().is_dir():
        raise ConfigError(f"--from {from_folder}: no such folder; name the one that holds the files")
    verify_dataset(target)
    absent = [source for source in sources if not _is_there(source, target, say)]
    target.mkdir(parents=True, exist_ok=True)
    if from_folder is None:
        _fetch_all(absent, target, name, transfer or Transfer(), progress, say)
    else:
        _copy_all(absent, Path(from_folder).expanduser(), target, name, say)
    say(f"{name} is complete: {target}")
    return target


def verify_dataset(folder: str | Path) -> None:
    """Refuse files that changed since ``checksums.json`` recorded them; without that record there is nothing to check.

    A file whose size and time of change are the recorded ones counts as unchanged, and only another is read again: on
    repeated loads this takes no time.

    Parameters
    ----------
    folder : path
        A data set's folder. Recorded files that are absent are left to whoever needs them.

    Raises
    ------
    DataFormatError
        Naming the changed file and both checksums; or if the record cannot be read.
    """
    folder = Path(folder)
    record = _read_record(folder)
    renewed = False
    for name, entry in record.items():
        path = folder / name
        if not path.is_file() or _stamp(path) == (entry["size"], entry["mtime_ns"]):
            continue
        found = sha256_of(path)
        if found != entry["sha256"]:
            raise DataFormatError(
                f"{path}: changed since it was recorded (SHA-256 was {entry['sha256']}, is {found}); remove it and run "
                f"`reproduce download {folder.name}` to get it again, or remove its entry from {RECORD} if the change "
                "is meant"
            )
        entry["size"], entry["mtime_ns"] = _stamp(path)
        renewed = True
    if renewed:
        # A data folder that cannot be written is checked just as well, only again next time.
        with contextlib.suppress(OSError):
            write_json(folder / RECORD, record)


def read_registry(path: str | Path | None = None) -> dict[str, tuple[Source, ...]]:
    """Data sets and their sources, from a table with a row a file; default: the one of the package.

    Raises
    ------
    DataFormatError
        If a row names no file or address, or a form that is not known.
    """
    table = resources.files("reproduce.loaders") / "sources" / "registry.csv" if path is None else Path(path)
    registry: dict[str, tuple[Source, ...]] = {}
    with table.open(encoding="utf-8", newline="") as handle:
        for number, row in enumerate(csv.DictReader(handle), start=2):
            dataset = row.pop("dataset", None)
            try:
                source = Source(**{**row, "addresses": tuple(row["addresses"].split())})
            except (AttributeError, KeyError, TypeError) as error:
                raise DataFormatError(f"{table}: row {number} has not the columns of a source ({error})") from None
            if not (dataset and source.file and source.addresses) or source.form not in _FORMS:
                raise DataFormatError(
                    f"{table}: row {number} needs a data set, a file, an address and a form ({', '.join(_FORMS)})"
                )
            registry[dataset] = (*registry.get(dataset, ()), source)
    return registry


def _sources_of(name: str, registry: Mapping[str, Sequence[Source]]) -> Sequence[Source]:
    if name in registry:
        return registry[name]
    if name in _NOT_FETCHED:
        raise ConfigError(f"{name} is not fetched: {_NOT_FETCHED[name]}")
    raise ConfigError(f"unknown data set {name!r}; known are {', '.join(registry)}")


def _say_nothing(*words: object) -> None:
    pass


# -- the record of checksums ---------------------------------------------------------------------------------------


def _read_record(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        fields = [(entry["sha256"], entry["size"], entry["mtime_ns"]) for entry in record.values()]
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise DataFormatError(
            f"{path}: damaged ({type(error).__name__}: {error}); remove it, and `reproduce download {folder.name}` "
            "records the files anew"
        ) from None
    if not all(isinstance(sha256, str) and isinstance(size, int) for sha256, size, _ in fields):
        raise DataFormatError(f"{path}: damaged; remove it, and `reproduce download {folder.name}` records anew")
    return record


def _remember(path: Path, sha256: str, origin: str) -> None:
    record = _read_record(path.parent)
    size, mtime_ns = _stamp(path)
    record[path.name] = {"sha256": sha256, "size": size, "mtime_ns": mtime_ns, "origin": origin}
    write_json(path.parent / RECORD, record)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


# -- what a file must be -------------------------------------------------------------------------------------------


def _check_study(path: Path) -> None:
    """Read a study's archive to its last byte: compression intact, the wanted members there and of the right kind."""
    expected = "a cBioPortal study's .tar.gz archive"
    with open(path, "rb") as raw:
        head = raw.read(1024)
        if not head.startswith(GZIP_MAGIC):
            refuse_other_kinds(path, expected, head=head)
            raise DataFormatError(f"{path}: this is not compressed; {expected} is expected, so get it again")
        raw.seek(0)
        try:
            found = _members(raw, path)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataFormatError(f"{path}: the archive is cut short or damaged ({error}); get it again") from error
    absent = [name for name in _STUDY_FILES if name not in found]
    if absent:
        raise DataFormatError(f"{path}: {', '.join(absent)} is not in it; {expected} is expected")


def _members(raw: Any, path: Path) -> set[str]:
    found = set()
    with gzip.GzipFile(fileobj=raw) as stream:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                name = Path(member.name).name
                if name in _STUDY_FILES and member.isfile():
                    head = archive.extractfile(member).read(1024)
                    refuse_other_kinds(f"{path}: {name}", "a table of a cBioPortal study", head=head)
                    found.add(name)
        while stream.read(_BLOCK):
            pass  # the checksum of the compression stands at the very end, after the archive's own end
    return found


_FORMS: dict[str, Callable[[Path], object]] = {
    "gct": check_gct,
    "study": _check_study,
    "phenotypes": read_subject_phenotypes,
    "attributes": read_sample_attributes,
}


def _check_form(source: Source, path: Path, shown: str | Path) -> None:
    """Raise `DataFormatError` if a file is not what it should be; `shown` stands for its path in the message."""
    try:
        _FORMS[source.form](path)
    except DataFormatError as error:
        raise DataFormatError(str(error).replace(str(path), str(shown))) from error


def _difference(source: Source, name: str, sha256: str) -> str | None:
    """How a file differs from its published checksum, which is of the file under its full name only."""
    if not source.sha256 or name != source.file or sha256 == source.sha256:
        return None
    doubt = "; either the file or that checksum is wrong" if source.published_by == "a third party" else ""
    return (
        f"differs from the checksum that {source.published_by} published{doubt} "
        f"(SHA-256 {source.sha256} published, {sha256} found)"
    )


# -- files that are there already ----------------------------------------------------------------------------------


def _names(source: Source) -> tuple[str, ...]:
    """Names under which the readers take the file: as it ships, and a table also unpacked."""
    return (source.file, source.file.removesuffix(".gz")) if source.form == "gct" else (source.file,)


def _is_there(source: Source, target: Path, say: Callable[..., None]) -> bool:
    path = next((target / name for name in _names(source) if (target / name).is_file()), None)
    if path is None:
        unpacked = target / source.file.removesuffix(".tar.gz")
        if source.form == "study" and unpacked.is_dir():
            say(f"{unpacked.name}: there already, as a folder")
            return True
        return False
    if path.name not in _read_record(target):
        try:
            _check_form(source, path, path)
        except DataFormatError as error:
            raise DataFormatError(f"{error}. It was in the data folder: remove it, and the same command gets it") from (
                error
            )
        sha256 = sha256_of(path)
        _remember(path, sha256, "was in the data folder")
        if difference := _difference(source, path.name, sha256):
            say(f"{path.name}: {difference}; it is kept as it lies")
    say(f"{path.name}: there already")
    return True


def _copy_all(absent: Sequence[Source], origin: Path, target: Path, name: str, say: Callable[..., None]) -> None:
    missing = []
    for source in absent:
        places = [folder / file for folder in (origin / name, origin) for file in _names(source)]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            missing.append(source.file)
        else:
            _copy(source, found, target / found.name)
            say(f"{found.name}: checked and copied")
    if missing:
        raise DownloadError(
            f"{origin}: not in it are {', '.join(missing)}. What is there has been taken; run "
            f"`reproduce download {name}` to fetch the others, or add them and run the same command again"
        )


def _copy(source: Source, origin: Path, path: Path) -> None:
    """Copy whole or not at all; what is checked is the copy, since that is what is kept."""
    with atomic_path(path) as temporary:
        try:
            shutil.copyfile(origin, temporary)
        except OSError as error:
            raise DownloadError(
                f"{origin}: cannot be copied to {path.parent} ({error.strerror or error}); make room or mend the "
                "permissions, and run the same command again"
            ) from error
        sha256 = _accepted(source, temporary, path, shown=origin)
    _remember(path, sha256, "copied by --from")


def _accepted(source: Source, file: Path, path: Path, *, shown: str | Path) -> str:
    """SHA-256 of a file that may become `path`: of the right form, and with the published checksum if there is one."""
    _check_form(source, file, shown)
    sha256 = sha256_of(file)
    if difference := _difference(source, path.name, sha256):
        raise DownloadError(
            f"{shown}: {difference}. Get it from {source.page or 'its portal'}; if it is the same there, put it into "
            f"{path.parent} yourself: what lies there is checked for its form alone"
        )
    return sha256


# -- files from the network ----------------------------------------------------------------------------------------


def _fetch_all(
    absent: Sequence[Source],
    target: Path,
    name: str,
    transfer: Transfer,
    progress: bool,
    say: Callable[..., None],
) -> None:
    """Fetch what can be had, then raise one error about the rest."""
    lacking: dict[str, str] = {}
    for number, source in enumerate(absent):
        failures = _fetch(source, target / source.file, transfer, progress, say)
        if not failures:
            continue
        reasons = "; ".join(f"{address}: {failure}" for address, failure in failures.items())
        lacking[source.file] = f"{reasons}{f' ({source.note})' if source.note else ''}"
        if not any(failure.answered for failure in failures.values()):
            lacking |= {other.file: "not tried" for other in absent[number + 1 :]}  # no network: do not wait for each
            break
    if lacking:
        pages = sorted({source.page for source in absent if source.file in lacking and source.page})
        raise DownloadError(
            f"{len(lacking)} of {len(absent)} files that {name} lacks were not fetched. "
            + " ".join(f"{file}: {reason}." for file, reason in lacking.items())
            + " Run the same command again to go on where it stopped, or get them by hand"
            + (f" ({', '.join(pages)})" if pages else "")
            + f" and run `reproduce download {name} --from FOLDER`, or put them into {target} as they are"
        )


def _fetch(
    source: Source, path: Path, transfer: Transfer, progress: bool, say: Callable[..., None]
) -> dict[str, Failure]:
    """Fetch a file from the first address that gives it; failures by address if none does."""

    def accept(part: Path) -> str:
        return _accepted(source, part, path, shown=source.file)

    failures: dict[str, Failure] = {}
    for address in source.addresses:
        try:
            sha256 = fetch_file(address, path, accept, transfer, progress=progress, say=say)
        except Failure as failure:
            failures[address] = failure
        else:
            _remember(path, sha256, address)
            say(f"{path.name}: {path.stat().st_size:,} bytes from {address}, SHA-256 {sha256}")
            return {}
    return failures
