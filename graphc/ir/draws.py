"""Numbers of random draws while Python functions are traced: a function traced again gets those it got before.

Also whether the function stands for one sample of many (`gc.vmap`), in which nothing can be drawn.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any


class DrawNumbers:
    """For each key, the numbers that the draws of one function got from it, in order."""

    def __init__(self) -> None:
        self.of: weakref.WeakKeyDictionary[Any, list[int]] = weakref.WeakKeyDictionary()


class _Trace:
    """One trace of a function: how many draws it has made from each key."""

    def __init__(self, numbers: DrawNumbers):
        self.numbers = numbers
        self.made: dict[Any, int] = {}

    def next(self, key: Any, fresh: Callable[[], int]) -> int:
        known = self.numbers.of.setdefault(key, [])
        at = self.made.get(key, 0)
        self.made[key] = at + 1
        if at == len(known):
            known.append(fresh())
        return known[at]


_trace: ContextVar[_Trace | None] = ContextVar("_trace", default=None)
_sample: ContextVar[bool] = ContextVar("_sample", default=False)


@contextlib.contextmanager
def numbered(numbers: DrawNumbers) -> Iterator[None]:
    """In this block, a function is traced whose draws have these numbers, as far as it was traced before."""
    token = _trace.set(_Trace(numbers))
    try:
        yield
    finally:
        _trace.reset(token)


def number(key: Any, fresh: Callable[[], int]) -> int:
    """The number of the next draw from `key`: ``fresh()``, but in a function that is traced again the one it had."""
    trace = _trace.get()
    return fresh() if trace is None else trace.next(key, fresh)


@contextlib.contextmanager
def one_sample() -> Iterator[None]:
    """In this block, a function is called that stands for one sample of many."""
    token = _sample.set(True)
    try:
        yield
    finally:
        _sample.reset(token)


def in_one_sample() -> bool:
    """Whether what is computed now will be repeated for many samples."""
    return _sample.get()
