"""Shares work out over processes, each with one thread; never knows what the work is."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from reproduce.errors import ConfigError
from reproduce.machine import usable_cores

Item, Result = TypeVar("Item"), TypeVar("Result")


class WorkerEndedError(RuntimeError):
    """Some items ended their worker process even alone; the results of all others were given before."""


def in_workers(
    work: Callable[[Item], Iterable[Result]],
    items: Sequence[Item],
    n_jobs: int,
    given_up: Callable[[Item], Iterable[Result]] | None = None,
) -> Iterator[Result]:
    """What the work gives of each item, as soon as the item is finished.

    A worker process that is ended from outside, as the system does where memory is short, takes all others with it.
    What was under way then is set aside and begun again when the rest is done, one at a time; what ends its process
    then too is given up.

    Parameters
    ----------
    work : callable
        ``work(item)`` gives the item's results. For several processes it must be a function of a module, or a
        `functools.partial` of one; and it may be called twice for one item.
    items : sequence
        Begun in this order.
    n_jobs : int
        Worker processes; with 1, or a single item, the work is done here.
    given_up : callable, optional
        ``given_up(item)`` gives, here, the results of an item that was given up; without it, an error is raised at the
        end.

    Yields
    ------
    object
        Result by result in the order of items if the work is done here, else item by item as they are finished.

    Raises
    ------
    WorkerEndedError
        If items were given up, once all others are done.
    """
    if n_jobs == 1 or len(items) < 2:
        for item in items:
            yield from work(item)
        return
    left, aside = dict(enumerate(items)), {}
    while left:
        under_way = yield from _shared_out(work, left, n_jobs)
        aside |= {number: left.pop(number) for number in under_way}
        if under_way:
            warnings.warn(
                f"A worker process was ended from outside, perhaps for want of memory; {len(under_way)} of "
                f"{len(items)} pieces of work were under way and are begun again at the end, one at a time.",
                RuntimeWarning,
                stacklevel=2,
            )
    lost = []
    for number, item in aside.items():
        # of two processes one stays idle: with fewer, joblib would do the work in this process
        if (yield from _shared_out(work, {number: item}, n_jobs=2)):
            lost.append(item)
    for item in lost if given_up is not None else ():
        yield from given_up(item)
    if lost and given_up is None:
        raise WorkerEndedError(
            f"{len(lost)} of {len(items)} pieces of work ended their worker process twice, the second time alone, "
            "perhaps for want of memory. The others are done; run the same again where there is more memory."
        )


def _shared_out(
    work: Callable[[Item], Iterable[Result]], left: dict[int, Item], n_jobs: int
) -> Generator[Result, None, list[int]]:
    """Yield results and remove from `left` what is finished; return what was under way when a process was ended."""
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with TemporaryDirectory(prefix="reproduce-") as marks, parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
        calls = [delayed(_marked)(work, item, number, Path(marks, str(number))) for number, item in left.items()]
        try:
            for number, results in parallel(calls):
                del left[number]
                yield from results
        except TerminatedWorkerError:
            # none has begun where processes cannot even be handed their work: then each is tried by itself
            return [number for number in left if Path(marks, str(number)).exists()] or list(left)
    return []


def _marked(work: Callable[[Item], Iterable[Result]], item: Item, number: int, mark: Path) -> tuple[int, list[Result]]:
    """The item's results with its number; a file tells while it is under way, as the pool does not."""
    mark.touch()
    results = _in_worker(work, item)
    mark.unlink()
    return number, results


def _in_worker(work: Callable[[Item], Iterable[Result]], item: Item) -> list[Result]:
    # one process a core: threads within it would only get in each other's way; read by TensorFlow when it is first
    # imported
    os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1", TF_CPP_MIN_LOG_LEVEL="2")
    return list(work(item))


def n_workers(n_jobs: int) -> int:
    """The number of processes that `n_jobs` stands for; -1 is one a core that this process may use.

    Raises
    ------
    ConfigError
        For what is neither -1 nor a positive whole number.
    """
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0 or n_jobs < -1:
        raise ConfigError(f"n_jobs is {n_jobs!r}; give the number of worker processes, or -1 for one a core.")
    if n_jobs > 0:
        return n_jobs
    return usable_cores()
