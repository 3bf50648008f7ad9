"""The stand-in for a device in numba's simulator: memory is the host's, and everything is done at once.

It cannot show order, for its queues are always empty: the stand-in for a driver in `tests/cuda/driver` does.
"""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .cuda_devices import Recording, UnrecordedError
from .supply import address, aligned


class SimulatedMemory:
    """Bytes; kernels get views of them."""

    def __init__(self, nbytes: int):
        self.array = aligned(nbytes)
        self.nbytes, self.address, self.exported = nbytes, address(self.array), False

    def where(self, start: int, nbytes: int, dtype: np.dtype) -> Any:
        return self.array[start : start + nbytes].view(dtype)


class SimulatedTable:
    """A list, with arrays in the place of addresses."""

    def __init__(self, entries: list[Any]):
        self.cell = np.zeros(1, np.int64)
        self.where = [self.cell, *entries[1:]]

    def put(self, position: int, where: Any) -> None:
        self.where[position] = where

    def send(self) -> None:
        """It is the list itself that kernels read."""

    def clear(self, queue: Any) -> None:
        self.cell[0] = 0

    def fetch(self, queue: Any) -> None:
        """The cell is here."""

    def flagged(self) -> int:
        return int(self.cell[0])


class _Reached:
    """A place in a queue that is always empty."""

    def record(self, queue: Any) -> None:
        """It is reached at once."""

    hold = record

    def wait(self) -> None:
        """There is nothing to wait for."""


class Simulated:
    """One simulated device."""

    records = False
    work = ahead = None
    handle: int | None = None

    def __init__(self, index: int):
        self.index, self.name = index, f"cuda:{index}"
        self.dlpack = (1, 0)  # the memory is the host's

    @contextlib.contextmanager
    def here(self) -> Iterator[None]:
        yield

    def allocate(self, nbytes: int) -> SimulatedMemory:
        return SimulatedMemory(nbytes)

    def pinned(self, nbytes: int) -> np.ndarray:
        return np.empty(nbytes, np.uint8)

    def event(self) -> _Reached:
        return _Reached()

    def table(self, entries: list[Any]) -> SimulatedTable:
        return SimulatedTable(entries)

    def upload(self, target: Any, start: int, source: np.ndarray, queue: Any) -> None:
        target.array[start : start + source.nbytes] = source.reshape(-1).view(np.uint8)

    def download(self, source: Any, start: int, target: np.ndarray, queue: Any) -> None:
        target.reshape(-1).view(np.uint8)[:] = source.array[start : start + target.nbytes]

    def outside(self, address: int, nbytes: int, dtype: np.dtype) -> np.ndarray:
        if not nbytes:
            return np.empty(0, dtype)
        return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address)).view(dtype)

    def fetch(self, address: int, target: np.ndarray) -> None:
        target.reshape(-1)[:] = self.outside(address, target.nbytes, target.dtype)

    def finish(self, queue: Any) -> None:
        """A queue is always empty."""

    def finish_all(self) -> None:
        """All is done."""

    def launch(self, kernel: Any, blocks: int, threads: int, queue: Any, *arguments: Any) -> None:
        kernel[blocks, threads](*arguments)

    def record(self, body: Callable[[Any], None]) -> Recording:
        raise UnrecordedError("the simulator runs kernel by kernel")

    def multiplier(self) -> None:
        """There is none for memory of the host."""

    def behind(self, handle: int) -> None:
        """Other queues are as empty."""

    before = behind

    def owns(self, address: int) -> bool:
        return True

    def seconds(self, body: Callable[[], None]) -> float:
        start = time.perf_counter()
        body()
        return time.perf_counter() - start
