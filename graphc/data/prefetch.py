"""Threads that work ahead: results in the order of the jobs, a bounded number of them, no thread left behind."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ..errors import DataError, message, user_line


def ordered(
    make: Callable[[Any, Callable[[], bool]], Any], jobs: Iterable[Any], workers: int, ahead: int
) -> Iterator[Any]:
    """``make(job, stopped)`` of each job, in order, by `workers` threads.

    While the consumer holds one result, up to `ahead` more are made. An error is raised where its result was due, and
    ends the iteration. Closing the iterator, or dropping it, tells running jobs so (``stopped()`` is true), begins no
    other, and returns when the threads have ended. In a process forked meanwhile, which has none of the threads, the
    next result is a DataError.

    >>> list(ordered(lambda job, stopped: job**2, range(5), workers=2, ahead=3))
    [0, 1, 4, 9, 16]
    """
    stop = threading.Event()
    own: set[int] = set()
    pool = ThreadPoolExecutor(workers, "graphc-data", lambda: own.add(threading.get_ident()))
    due: deque[Future[Any]] = deque()
    process = os.getpid()

    def run(job: Any) -> Any:
        return None if stop.is_set() else make(job, stop.is_set)

    def check_process() -> None:
        if os.getpid() != process:
            raise DataError(
                message(
                    "DataLoader: an iterator from before a fork",
                    got="a process without the threads that prepare its batches",
                    expected="the process that began it",
                    at=user_line(),
                    created=False,
                    hint="begin a new loop over the loader in this process",
                )
            )

    try:
        for job in jobs:
            check_process()
            due.append(pool.submit(run, job))
            if len(due) > ahead:
                yield due.popleft().result()
        while due:
            check_process()
            yield due.popleft().result()
    finally:
        if os.getpid() == process:
            stop.set()  # a worker that runs this (it collected the dropped iterator as garbage) cannot wait for itself
            pool.shutdown(wait=threading.get_ident() not in own)
