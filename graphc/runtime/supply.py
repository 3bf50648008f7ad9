"""Memory: aligned, addressed, and handed out as results without ever being anybody else's."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence

import numpy as np

from ..schedule.memory import ALIGNMENT

POOLED = 1 << 16
"""Bytes from which on an array is kept for reuse: fresh memory costs a page fault per 4096 bytes when first written."""
KEPT = 4
"""How many arrays of one output are kept at most."""


def address(array: np.ndarray) -> int:
    """Where the array's data starts."""
    return array.__array_interface__["data"][0]


def aligned(nbytes: int) -> np.ndarray:
    """Bytes that start at a multiple of `ALIGNMENT`."""
    memory = np.empty(max(nbytes, 1) + ALIGNMENT, np.uint8)
    offset = -address(memory) % ALIGNMENT
    return memory[offset : offset + max(nbytes, 1)]


def supply(shape: Sequence[int], dtype: np.dtype) -> Supply | Fresh:
    """Where arrays of this shape and dtype come from."""
    kind = Fresh if dtype.itemsize * int(np.prod(shape, dtype=np.int64)) < POOLED else Supply
    return kind(shape, dtype)


class Fresh:
    """New arrays, for results so small that memory for them is quickly found.

    take  a function without arguments: an array nobody else has; its content is arbitrary
    """

    __slots__ = ("kept", "nbytes", "shape", "take")

    def __init__(self, shape: Sequence[int], dtype: np.dtype):
        self.shape, self.kept, self.nbytes = tuple(shape), (), 0
        self.take = functools.partial(np.empty, self.shape, dtype)


class Supply:
    """Arrays of one shape and dtype for the results of calls.

    Each is a new view of memory kept here. The memory is handed out again only when nothing but this object
    refers to it, and every view of it, and of its views, does: NumPy makes `base` the owner of the memory.
    """

    __slots__ = ("dtype", "kept", "nbytes", "shape")

    def __init__(self, shape: Sequence[int], dtype: np.dtype):
        self.shape, self.dtype = tuple(shape), dtype
        self.nbytes = dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))
        self.kept: list[np.ndarray] = []

    def take(self) -> np.ndarray:
        """An array nobody else has; its content is arbitrary."""
        for memory in self.kept:
            if sys.getrefcount(memory) == _FREE:
                break
        else:
            memory = np.empty(self.nbytes + ALIGNMENT, np.uint8)
            self.kept = [*self.kept[1 - KEPT :], memory]
        offset = -address(memory) % ALIGNMENT
        return memory[offset : offset + self.nbytes].view(self.dtype).reshape(self.shape)


def _references() -> int:
    """What `sys.getrefcount` says in `Supply.take` of memory that nobody holds; differs between Python versions."""
    for memory in [np.empty(1, np.uint8)]:
        return sys.getrefcount(memory)
    raise AssertionError("unreachable")


_FREE = _references()
