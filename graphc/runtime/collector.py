"""Python's collector of cyclic garbage, rarer while a step is built.

Graphs, and what numba makes of them, are many small objects that stay: as often as Python does by itself, the collector
would go over them again and again, up to a tenth of the time that compiling takes.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections.abc import Iterator

RARELY = (50_000, 10, 10)
"""New objects before a collection, and how many collections there are of the young before one of the older."""

_lock = threading.Lock()
_inside = 0
_usual = gc.get_threshold()


@contextlib.contextmanager
def collecting_rarely() -> Iterator[None]:
    """Few collections inside; behind the last thread that is, as many as before the first."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside, _usual
    with _lock:
        if not _inside:
            _usual = gc.get_threshold()
            gc.set_threshold(*RARELY)
        _inside += 1


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if not _inside:
            gc.set_threshold(*_usual)


if hasattr(os, "register_at_fork"):  # a child in which another thread was inside goes on with few collections
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
