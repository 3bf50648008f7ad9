"""Devices by number, and what a program asks of one: memory, copies, two queues of work, recordings.

A `Device` is an NVIDIA GPU (`cuda_hardware`) or the stand-in for one (`cuda_simulated`). Work is put into queues, which
CUDA calls streams: `work` for steps and what belongs to them, `ahead` for copies that run beside them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from ..errors import CompileError, UnsupportedError, count, message, shown, user_line
from . import cuda
from .cublas import Cublas

WORD = 8
"""Bytes of an entry of a table."""
_TARGET = re.compile(r"cuda(?::(0|[1-9][0-9]{0,3}))?")


class Memory(Protocol):
    """Bytes on a device.

    address   of the first one
    exported  whether others may still be using it when nobody here does, see `cuda_arrays`
    """

    nbytes: int
    address: int
    exported: bool

    def where(self, start: int, nbytes: int, dtype: np.dtype) -> Any:
        """A part of it as kernels find it in a table: its address; in the simulator, an array."""


class Event(Protocol):
    """A place in a queue."""

    def record(self, queue: Any) -> None:
        """It is behind what is in `queue` now."""

    def hold(self, queue: Any) -> None:
        """Let what comes into `queue` from now on wait for it."""

    def wait(self) -> None:
        """Wait for it here. One that was never recorded has been reached."""


class Table(Protocol):
    """The table of a frame on the device: an error cell, then sizes, addresses, error codes.

    where  what kernels are passed: its address; in the simulator, a list
    """

    where: Any

    def put(self, position: int, where: Any) -> None:
        """Entry `position` is `where` from the next `send` on."""

    def send(self) -> None:
        """Bring the device's table up to date, in the queue `work`."""

    def clear(self, queue: Any) -> None:
        """No error is flagged."""

    def fetch(self, queue: Any) -> None:
        """Bring the error cell here."""

    def flagged(self) -> int:
        """The error cell as `fetch` brought it, once that is done."""


class Recording(Protocol):
    """Work that was recorded, as one."""

    def launch(self) -> None:
        """Put it into the queue `work`."""


class Device(Protocol):
    """One device; everything but `here` is to be called inside ``with device.here()``.

    name       as targets have it: "cuda:0"
    records    whether work can be recorded, see `record`
    work, ahead   the two queues
    handle     what other libraries call the queue `work`, for `__cuda_array_interface__` and DLPack; None: no need to
    dlpack     type and number of the device for DLPack
    """

    index: int
    name: str
    records: bool
    work: Any
    ahead: Any
    handle: int | None
    dlpack: tuple[int, int]

    def here(self) -> AbstractContextManager[None]:
        """This thread works on the device, inside the block."""

    def allocate(self, nbytes: int) -> Memory: ...

    def pinned(self, nbytes: int) -> np.ndarray:
        """Bytes here that the device copies by itself: uint8[nbytes]."""

    def event(self) -> Event: ...

    def table(self, entries: list[Any]) -> Table: ...

    def upload(self, target: Memory, start: int, source: np.ndarray, queue: Any) -> None:
        """Copy an array in C order; it must stay as it is until the copy is done, unless it is not pinned and small."""

    def download(self, source: Memory, start: int, target: np.ndarray, queue: Any) -> None:
        """Fill an array in C order, which has its values once the copy is done."""

    def outside(self, address: int, nbytes: int, dtype: np.dtype) -> Any:
        """Another's memory as kernels find it in a table."""

    def fetch(self, address: int, target: np.ndarray) -> None:
        """Fill an array from another's memory, and wait for that."""

    def finish(self, queue: Any) -> None:
        """Wait for all that is in a queue."""

    def finish_all(self) -> None:
        """Wait for all the device has to do, for whomever."""

    def launch(self, kernel: Any, blocks: int, threads: int, queue: Any, *arguments: Any) -> None:
        """Put a kernel into a queue."""

    def record(self, body: Callable[[Any], None]) -> Recording:
        """What `body` puts into the queue it is given, as one; `UnrecordedError` where the driver does not do that."""

    def multiplier(self) -> Cublas | None:
        """The library that computes large products of matrices here; None where kernels of ours compute all."""

    def behind(self, handle: int) -> None:
        """Let `work` wait for what is now in the queue that another library calls `handle`."""

    def before(self, handle: int) -> None:
        """Let that queue wait for what is now in `work`."""

    def owns(self, address: int) -> bool:
        """Whether an address is of this device's memory."""

    def seconds(self, body: Callable[[], None]) -> float:
        """How long the device takes for what `body` puts into `work`, by its own events."""


class UnrecordedError(Exception):
    """Work that could not be recorded, and why."""


def parse(target: str) -> int | None:
    """The number of the device of a target; None for the CPU. `CompileError` where there is no such target."""
    found = _TARGET.fullmatch(target) if isinstance(target, str) else None
    if found is not None:
        return int(found[1] or 0)
    if isinstance(target, str) and target == "cpu":
        return None
    text = "unknown target"
    expected = "'cpu', 'cuda', or 'cuda:1' and so on"
    raise CompileError(message(text, got=shown(target), expected=expected, at=user_line(), created=False))


def how_many() -> int:
    """The number of devices; of the simulator, one."""
    return len(cuda.toolkit().gpus)


def device(index: int) -> Device:
    """Device number `index`; `UnsupportedError` where there is none, which lists those there are."""
    there = how_many()
    if index >= there:
        listed = "; ".join(cuda.devices()) if not cuda.simulated() else "the simulator's"
        raise UnsupportedError(
            message(
                f"no device {index} for target='cuda:{index}'",
                got=f"{count(there, 'device')} ({listed})",
                expected="cuda:0" if there == 1 else f"cuda:0 to cuda:{there - 1}",
                at=user_line(),
                created=False,
            )
        )
    return _made(index)


@functools.cache
def _made(index: int) -> Device:
    with cuda.lock:
        if cuda.simulated():
            from .cuda_simulated import Simulated

            return Simulated(index)
        from .cuda_hardware import Hardware

        return Hardware(index)
