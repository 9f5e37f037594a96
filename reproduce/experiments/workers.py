"""Shares work out over processes, each with one thread; never knows what the work is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from reproduce.errors import ConfigError
from reproduce.machine import usable_cores

Item, Result = TypeVar("Item"), TypeVar("Result")


def in_workers(work: Callable[[Item], Iterable[Result]], items: Sequence[Item], n_jobs: int) -> Iterator[Result]:
    """What the work gives of each item, as soon as it is there.

    Parameters
    ----------
    work : callable
        ``work(item)`` gives the item's results. For several processes it must be a function of a module, or a
        `functools.partial` of one.
    items : sequence
        Begun in this order.
    n_jobs : int
        Worker processes; with 1, or a single item, the work is done here.

    Yields
    ------
    object
        Result by result in the order of items if the work is done here, else item by item as they are finished.
    """
    if n_jobs == 1 or len(items) < 2:
        for item in items:
            yield from work(item)
        return
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
        for results in parallel(delayed(_in_worker)(work, item) for item in items):
            yield from results


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
