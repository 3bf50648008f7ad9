"""The way of arrays from here to a device: through pinned memory, from which it copies by itself."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..schedule.memory import ALIGNMENT
from .cuda_devices import Device
from .cuda_inputs import Given, Held

STAGED = 1 << 26
"""Bytes of arrays up to which a call takes them through pinned memory, which is dear to have; larger ones the driver
copies itself, and the call waits. What is copied ahead always goes through pinned memory."""
PLACES, SIZES = 3, 2
"""How many places of the same sizes are kept: of a call, and of two that were prefetched; and of how many sizes."""
_BLOCK = 1 << 16
"""Bytes that are compared at a time: little enough to stay in the cache."""


class Landing:
    """Memory on the device for the arrays of one call, and pinned memory here for them to leave from.

    sizes   bytes of each input; -1 of one that is on the device already
    copied  when the last copies have left the pinned memory; `ahead` or `work`
    read    when the last step has read the memory on the device; `work`
    """

    def __init__(self, device: Device, sizes: Sequence[int]):
        self.device, self.sizes = device, tuple(sizes)
        self.starts: list[int] = []
        total = 0
        for size in sizes:
            self.starts.append(total)
            total += -(-max(size, 0) // ALIGNMENT) * ALIGNMENT
        self.total = total
        self.memory = device.allocate(total)
        self.pinned: np.ndarray | None = None
        self.copied, self.read = device.event(), device.event()
        self.places: list[Any] | None = None

    @property
    def nbytes(self) -> int:
        return self.total

    def where(self, dtypes: Sequence[np.dtype]) -> list[Any]:
        """What kernels are told, for each input; None for those that are not here."""
        if self.places is None:
            pairs = zip(self.starts, self.sizes, dtypes, strict=True)
            self.places = [self.memory.where(start, n, dtype) if n >= 0 else None for start, n, dtype in pairs]
        return self.places

    def bring(self, arrays: Sequence[Given], queue: Any, always: bool = False) -> None:
        """Copy the arrays that are here, in `queue`; when this returns, they may change.

        always  through pinned memory, however large they are
        """
        device = self.device
        if queue is not device.work:
            self.read.hold(queue)
        if self.total > STAGED and not always:
            for start, array in zip(self.starts, arrays, strict=True):
                if isinstance(array, np.ndarray):
                    device.upload(self.memory, start, array, queue)
            device.finish(queue)
            return
        if self.pinned is None:
            self.pinned = device.pinned(self.total)
        self.copied.wait()
        for part, array in zip(self.parts(), arrays, strict=True):
            if isinstance(array, np.ndarray):
                part[:] = array.reshape(-1).view(np.uint8)
        device.upload(self.memory, 0, self.pinned, queue)
        self.copied.record(queue)

    def parts(self) -> list[np.ndarray]:
        """The pinned memory of each input: uint8."""
        assert self.pinned is not None
        return [self.pinned[s : s + max(n, 0)] for s, n in zip(self.starts, self.sizes, strict=True)]

    def holds(self, arrays: Sequence[Given]) -> bool:
        """Whether what was brought last is, to the bit, what the arrays hold now; those on the device are not asked."""
        pairs = zip(self.parts(), arrays, strict=True)
        return all(_equal(part, array.reshape(-1)) for part, array in pairs if isinstance(array, np.ndarray))


class Dock:
    """Places for the arrays of calls that are not in use: some of each of the sizes last used.

    For any number of threads. What is given up has left its pinned memory by then.
    """

    def __init__(self, device: Device):
        self.device = device
        self.free: OrderedDict[tuple[int, ...], list[Landing]] = OrderedDict()
        self.lock = threading.Lock()

    def take(self, given: Sequence[Given]) -> Landing:
        """A place for the arrays that come from here, which no other call uses."""
        sizes = sizes_of(given)
        with self.lock:
            free = self.free.get(sizes)
            if free:
                return free.pop(0)
        return Landing(self.device, sizes)

    def give_back(self, landing: Landing) -> None:
        """What `take` gave is free for another call."""
        with self.lock:
            free = self.free.setdefault(landing.sizes, [])
            free.append(landing)
            self.free.move_to_end(landing.sizes)
            gone = [free.pop(0)] if len(free) > PLACES else []
            if len(self.free) > SIZES:
                gone += self.free.popitem(last=False)[1]
        for one in gone:
            one.copied.wait()


def sizes_of(arrays: Sequence[Given]) -> tuple[int, ...]:
    """What a `Landing` for such arrays is like."""
    return tuple([-1 if isinstance(a, Held) else a.nbytes for a in arrays])


def _equal(part: np.ndarray, array: np.ndarray) -> bool:
    """Whether the bytes are the same."""
    width = math.gcd(8, part.nbytes)
    ours, theirs = part.view(f"u{width}") if part.nbytes else part, array.view(np.uint8)
    theirs = theirs.view(ours.dtype)
    step = _BLOCK // ours.itemsize
    return all(np.array_equal(ours[k : k + step], theirs[k : k + step]) for k in range(0, len(ours), step))
