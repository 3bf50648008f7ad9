"""CUDA devices as numba-cuda shows them: the only importer of `numba.cuda`, when a step for one is compiled.

With ``NUMBA_ENABLE_CUDASIM=1``, set before Python starts, numba's simulator stands for a device: kernels run as plain
Python, a thread for each of theirs. That proves what they compute; it is for tests.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from ..errors import UnsupportedError, message, user_line

INSTALL = "pip install 'graphc[cuda]'"
SWITCH = 1e-5
"""Seconds between switches of Python's threads while the simulator runs: its threads wait for each other often."""

lock = threading.RLock()
"""Held while a program compiles or runs: the simulator runs one kernel at a time, and streams keep an order."""


@functools.cache
def toolkit() -> Any:
    """The module `numba.cuda`, of the package numba-cuda.

    Raises `UnsupportedError` where it is not installed, or finds no device and is not the simulator.
    """
    found = missing()
    if found is not None:
        looked, got, hint = found
        raise UnsupportedError(
            message(
                "no device for target='cuda'",
                got=got,
                expected=looked,
                at=user_line(),
                created=False,
                hint=hint,
            )
        )
    from numba import cuda

    if simulated():
        _steady_simulator()
    return cuda


def missing() -> tuple[str, str, str] | None:
    """What was looked for, what was found, and what to do; None where nothing is missing."""
    simulator = "NUMBA_ENABLE_CUDASIM=1, set before Python starts, runs kernels in numba's simulator, for tests"
    if importlib.util.find_spec("numba_cuda") is None:
        return "the package numba-cuda", "no such package", INSTALL
    if simulated():
        return None
    from numba import cuda

    if cuda.is_available():
        return None
    try:
        cuda.current_context()
    except Exception as error:  # of many types: no driver, no device, a driver too old for the toolkit
        lines = [line.strip(" :") for line in str(error).splitlines() if line.strip(" :")]
        return "an NVIDIA driver and a device", "; ".join(lines) or type(error).__name__, simulator
    return "nvvm and the CUDA runtime", "a device, without them", INSTALL


def simulated() -> bool:
    """Whether numba's simulator stands for a device."""
    import numba

    return bool(getattr(numba.config, "ENABLE_CUDASIM", False))


def devices() -> list[str]:
    """What devices there are: number, name, compute capability."""
    if simulated():
        return []
    found = toolkit().list_devices()
    return [f"{d.id}: {d.name.decode()}, compute capability {'.'.join(map(str, d.compute_capability))}" for d in found]


def _steady_simulator() -> None:
    """Let threads that ask for a shared array at once get one: the simulator's own look-up is no atomic operation."""
    from numba.cuda.simulator.kernelapi import FakeCUDAShared

    def array(self: Any, shape: Any, dtype: Any, alignment: Any = None) -> np.ndarray:
        frame = sys._getframe(1)
        key = (frame.f_code.co_filename, frame.f_lineno)
        with making:
            if key not in self._allocations:
                self._allocations[key] = np.empty(shape, dtype)
            return self._allocations[key]

    making = threading.Lock()
    setattr(FakeCUDAShared, "array", array)  # noqa: B010 - a method, replaced


class Memory:
    """Bytes on the device."""

    def __init__(self, nbytes: int):
        self.array = toolkit().device_array(max(nbytes, 1), np.uint8)
        self.nbytes = nbytes

    def view(self, start: int, nbytes: int, dtype: np.dtype) -> Any:
        """A part of it as kernels know it: its address; in the simulator, an array."""
        if simulated():
            return self.array._ary[start : start + nbytes].view(dtype)
        return self.array.device_ctypes_pointer.value + start

    def write(self, start: int, values: np.ndarray) -> None:
        """Copy an array in C order to `start`."""
        if values.nbytes:
            source = values.reshape(-1).view(np.uint8)
            self.array[start : start + values.nbytes].copy_to_device(source)

    def read(self, start: int, values: np.ndarray) -> None:
        """Fill an array in C order from `start`."""
        if values.nbytes:
            self.array[start : start + values.nbytes].copy_to_host(values.reshape(-1).view(np.uint8))


class Table:
    """The table of a program's frame: an error cell, then sizes, addresses, error codes.

    where  what kernels are passed: its address; in the simulator, a list
    """

    def __init__(self, entries: Sequence[Any]):
        self.cell = np.zeros(1, np.int64)
        if simulated():
            self.where: Any = [self.cell, *entries[1:]]
        else:
            self.memory = Memory(8 * len(entries))
            self.memory.write(0, np.array(entries, np.int64))
            self.where = self.memory.view(0, 8, self.cell.dtype)

    def clear(self) -> None:
        """No error is flagged."""
        self.cell[0] = 0
        if not simulated():
            self.memory.write(0, self.cell)

    def flagged(self) -> int:
        """The error cell."""
        if not simulated():
            self.memory.read(0, self.cell)
        return int(self.cell[0])


@contextlib.contextmanager
def running() -> Iterator[None]:
    """What stands around launches: one program at a time."""
    with lock:
        if not simulated():
            yield
            return
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        try:
            yield
        finally:
            sys.setswitchinterval(before)


def seconds(run: Callable[[], None]) -> float:
    """How long the device takes for what `run` launches, by its own events; in the simulator, by the clock."""
    if simulated():
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    first, last = (toolkit().event(timing=True) for _ in range(2))
    first.record()
    run()
    last.record()
    last.synchronize()
    return toolkit().event_elapsed_time(first, last) / 1e3


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Compile without contracting ``a * b + c``: scalar functions then give the bits they give on the CPU.

    Kernels ask for `cuda.fma` by name where they want it.
    """
    if simulated():
        yield
        return
    from numba.cuda.cudadrv import nvvm

    original = nvvm.compile_ir
    with lock, mock.patch.object(nvvm, "compile_ir", lambda ir, **options: original(ir, **{"fma": False, **options})):
        yield


def ptx(source: str, names: Sequence[str], cc: tuple[int, int]) -> dict[str, str]:
    """The PTX of the kernels `names` of a generated file, for a compute capability; needs no device.

    Needs numba-cuda with nvvm, and not as the simulator.
    """
    from numba import cuda
    from numba.cuda import dispatcher

    module = ModuleType("graphc_ptx")
    device = SimpleNamespace(compute_capability=cc)
    signature: Any = "void(int64, int64)"
    with exact(), mock.patch.object(dispatcher, "get_current_device", lambda: device):
        with mock.patch.object(cuda, "jit", _uncompiled(cuda.jit)):
            exec(compile(source, "<generated>", "exec"), module.__dict__)
        compiled: Any = cuda.compile_ptx
        options = {"cc": cc, "launch_bounds": module.__dict__["BOUNDS"]}
        return {name: compiled(getattr(module, name), signature, **options)[0] for name in names}


def _uncompiled(jit: Any) -> Any:
    """`jit` that leaves kernels with a signature as they are: compiling these at once would need a device."""
    return lambda *args, **options: (lambda function: function) if args else jit(*args, **options)
