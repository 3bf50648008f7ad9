"""Python's collector of cyclic garbage, off while a step is built.

Graphs, and what numba makes of them, are many small objects that stay: the collector would go over all of them again
and again, up to a tenth of the time that compiling takes, and find next to nothing.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_inside: list[int] = []
"""The threads that are inside, by ident."""
_was_on = False


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """No collections inside; behind the last thread that is, the collector is as it was before the first."""
    _enter()
    try:
        yield
    finally:
        _leave(threading.get_ident())


def _enter() -> None:
    global _was_on
    with _lock:
        if not _inside:
            _was_on = gc.isenabled()
            gc.disable()
        _inside.append(threading.get_ident())


def _leave(*threads: int) -> None:
    with _lock:
        for ident in threads:
            _inside.remove(ident)
        if threads and not _inside and _was_on:
            gc.enable()


def _in_child() -> None:
    """Only the thread that forked is here: the others do not leave any more."""
    _lock.release()
    _leave(*[ident for ident in _inside if ident != threading.get_ident()])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_in_child)
