"""An NVIDIA GPU: what `cuda_devices.Device` asks for, by calls of the CUDA driver.

Three streams. `work` waits for the legacy default stream, and that for it, as CUDA's blocking streams do: so other
libraries, which mostly work there, see results in order and give inputs in order. `ahead` waits for nothing but
events, so that its copies run beside steps. On the third, which is idle otherwise, work is recorded: a recording
under way forbids others the legacy stream only where it is of a blocking one.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import config
from ..errors import GraphcError, message
from . import cublas, cuda
from .cublas import Cublas
from .cuda_devices import WORD, Memory, UnrecordedError
from .supply import address as _address

RING = 4
"""How many versions of a table may be on their way at once."""


class HardwareMemory:
    """Bytes on the device, which are freed with it."""

    def __init__(self, owner: Any, nbytes: int):
        self.owner = owner  # numba's
        self.nbytes, self.exported = nbytes, False
        self.address = int(owner.device_ctypes_pointer.value)

    def where(self, start: int, nbytes: int, dtype: np.dtype) -> int:
        return self.address + start


class HardwareEvent:
    def __init__(self, device: Hardware):
        driver = self.driver = device.driver
        self.event = ask(driver.cuEventCreate, driver.CUevent_flags.CU_EVENT_DISABLE_TIMING.value)
        _finalise(self, driver.cuEventDestroy, self.event)

    def record(self, queue: Any) -> None:
        ask(self.driver.cuEventRecord, self.event, queue)

    def hold(self, queue: Any) -> None:
        ask(self.driver.cuStreamWaitEvent, queue, self.event, 0)

    def wait(self) -> None:
        ask(self.driver.cuEventSynchronize, self.event)


class HardwareTable:
    """The table in the device's memory, and what it is to be, here.

    What is sent must stay as it is until it has arrived, so there are some places to send from, in turn.
    """

    def __init__(self, device: Hardware, entries: list[Any]):
        self.device = device
        self.image = np.array(entries, np.int64)
        self.memory = device.allocate(self.image.nbytes)
        self.where = self.memory.address
        self.changed = True
        self.cell = device.pinned(WORD).view(np.int64)
        self.ring: list[tuple[np.ndarray, HardwareEvent]] = []
        self.turn = 0
        self.clear(device.work)  # for steps that flag no error, and so never do it: kernels ask all the same

    def put(self, position: int, where: Any) -> None:
        if self.image[position] != where:
            self.image[position] = where
            self.changed = True

    def send(self) -> None:
        if not self.changed:
            return
        if len(self.ring) < RING:
            self.ring.append((self.device.pinned(self.image.nbytes).view(np.int64), self.device.event()))
        self.turn = (self.turn + 1) % RING if len(self.ring) == RING else len(self.ring) - 1
        outgoing, sent = self.ring[self.turn]
        sent.wait()
        outgoing[:] = self.image
        if len(outgoing) > 1:
            self.device.upload(self.memory, WORD, outgoing[1:], self.device.work)
        sent.record(self.device.work)
        self.changed = False

    def clear(self, queue: Any) -> None:
        ask(self.device.driver.cuMemsetD8Async, self.where, 0, WORD, queue)

    def fetch(self, queue: Any) -> None:
        self.device.download(self.memory, 0, self.cell, queue)

    def flagged(self) -> int:
        return int(self.cell[0])


class HardwareRecording:
    """A CUDA graph, ready to be launched."""

    def __init__(self, device: Hardware, graph: Any):
        self.device, driver = device, device.driver
        self.whole = ask(driver.cuGraphInstantiate, graph, 0)
        _finalise(self, driver.cuGraphExecDestroy, self.whole)

    def launch(self) -> None:
        ask(self.device.driver.cuGraphLaunch, self.whole, self.device.work)


class _Here:
    """A thread works on a device: its context is the current one. Written out, for every call goes through it."""

    __slots__ = ("device", "pushed")

    def __init__(self, device: Hardware):
        self.device = device

    def __enter__(self) -> None:
        device = self.device
        self.pushed = int(ask(device.driver.cuCtxGetCurrent)) != device.handle_of_context
        if self.pushed:
            ask(device.driver.cuCtxPushCurrent, device.context.handle)

    def __exit__(self, *failure: object) -> None:
        if self.pushed:
            ask(self.device.driver.cuCtxPopCurrent)


class Hardware:
    """One GPU."""

    def __init__(self, index: int):
        numba = cuda.toolkit()
        self.index, self.name = index, f"cuda:{index}"
        self.records = True
        self.dlpack = (2, index)
        self.library: Cublas | None = None
        self.driver, self.settings = cuda.bindings(), numba.config
        driver = self.driver
        gpu = numba.gpus[index]
        with gpu:
            self.context = gpu.get_primary_context()
            self.handle_of_context = int(self.context.handle)
            flags = driver.CUstream_flags
            self.work = ask(driver.cuStreamCreate, flags.CU_STREAM_DEFAULT.value)
            self.ahead, self.tape = (ask(driver.cuStreamCreate, flags.CU_STREAM_NON_BLOCKING.value) for _ in range(2))
        self.handle: int | None = int(self.work)
        self.streams = {int(stream): numba.external_stream(int(stream)) for stream in (self.work, self.tape)}

    def here(self) -> _Here:
        return _Here(self)

    def allocate(self, nbytes: int) -> HardwareMemory:
        return HardwareMemory(self.context.memalloc(max(nbytes, 1)), nbytes)

    def pinned(self, nbytes: int) -> np.ndarray:
        memory = self.context.memhostalloc(max(nbytes, 1))
        return np.ndarray((nbytes,), np.uint8, buffer=memory)

    def event(self) -> HardwareEvent:
        return HardwareEvent(self)

    def table(self, entries: list[Any]) -> HardwareTable:
        return HardwareTable(self, entries)

    def upload(self, target: Memory, start: int, source: np.ndarray, queue: Any) -> None:
        if source.nbytes:
            place = target.address + start
            ask(self.driver.cuMemcpyHtoDAsync, place, _address(source), source.nbytes, queue)

    def download(self, source: Memory, start: int, target: np.ndarray, queue: Any) -> None:
        if target.nbytes:
            place = source.address + start
            ask(self.driver.cuMemcpyDtoHAsync, _address(target), place, target.nbytes, queue)

    def outside(self, address: int, nbytes: int, dtype: np.dtype) -> int:
        return address

    def fetch(self, address: int, target: np.ndarray) -> None:
        if target.nbytes:
            ask(self.driver.cuMemcpyDtoHAsync, _address(target), address, target.nbytes, self.work)
        self.finish(self.work)

    def finish(self, queue: Any) -> None:
        ask(self.driver.cuStreamSynchronize, queue)

    def finish_all(self) -> None:
        ask(self.driver.cuCtxSynchronize)

    def launch(self, kernel: Any, blocks: int, threads: int, queue: Any, *arguments: Any) -> None:
        known, stream = self.settings, self.streams[int(queue)]
        before, known.CUDA_LOW_OCCUPANCY_WARNINGS = known.CUDA_LOW_OCCUPANCY_WARNINGS, 0  # a small step is no mistake
        try:
            configured = kernel[blocks, threads, stream]
        finally:
            known.CUDA_LOW_OCCUPANCY_WARNINGS = before
        configured(*arguments)

    def record(self, body: Callable[[Any], None]) -> HardwareRecording:
        """Capture, see the CUDA driver's `cuStreamBeginCapture`.

        In its relaxed mode, so that what other threads do meanwhile cannot end it; numba frees nothing before the end.
        """
        driver, graph = self.driver, None
        relaxed = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        try:
            with self.context.defer_cleanup():
                ask(driver.cuStreamBeginCapture, self.tape, relaxed)
                try:
                    body(self.tape)
                finally:  # also of an interrupt: the stream must not stay as it is
                    code, graph = driver.cuStreamEndCapture(self.tape)
                if int(code):
                    raise DriverError(driver.cuStreamEndCapture, code)
                return HardwareRecording(self, graph)
        except DriverError as error:
            raise UnrecordedError(f"{error.code} of {error.function}") from error
        except Exception as error:  # of many types: numba's, cuda-bindings'
            raise UnrecordedError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
        finally:
            if graph is not None and int(graph):
                driver.cuGraphDestroy(graph)

    def multiplier(self) -> Cublas | None:
        if not config.cublas() or cublas.missing() is not None:
            return None
        if self.library is None:
            self.library = Cublas(self.allocate)
        return self.library

    def behind(self, handle: int) -> None:
        event = self.event()
        event.record(handle)
        event.hold(self.work)

    def before(self, handle: int) -> None:
        event = self.event()
        event.record(self.work)
        event.hold(handle)

    def owns(self, address: int) -> bool:
        driver = self.driver
        attribute = driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        code, ordinal = driver.cuPointerGetAttribute(attribute, address)
        return not int(code) and int(ordinal) == self.index

    def seconds(self, body: Callable[[], None]) -> float:
        driver = self.driver
        first, last = (ask(driver.cuEventCreate, driver.CUevent_flags.CU_EVENT_DEFAULT.value) for _ in range(2))
        try:
            ask(driver.cuEventRecord, first, self.work)
            body()
            ask(driver.cuEventRecord, last, self.work)
            ask(driver.cuEventSynchronize, last)
            return float(ask(driver.cuEventElapsedTime, first, last)) / 1e3
        finally:
            for event in (first, last):
                driver.cuEventDestroy(event)


def ask(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of the driver gives; `DriverError` where it fails."""
    code, *found = function(*arguments)
    if int(code):
        raise DriverError(function, code)
    return found[0] if found else None


class DriverError(GraphcError):
    """What a function of the driver gave in the place of success."""

    def __init__(self, function: Any, code: Any):
        self.function, self.code = function.__name__, getattr(code, "name", str(code))
        text = message(f"the CUDA driver failed in {self.function}", got=self.code, expected="CUDA_SUCCESS")
        super().__init__(text)


def _finalise(owner: Any, free: Callable[[Any], Any], handle: Any) -> None:
    """Free a handle of the driver with its owner; not as Python ends, when the driver frees everything."""
    weakref.finalize(owner, free, handle).atexit = False
