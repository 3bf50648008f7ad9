"""What of numba-cuda there is here: the only importer of `numba.cuda`, when a step for a device is compiled.

Memory, streams and recordings of a device are in `cuda_devices`.

With ``NUMBA_ENABLE_CUDASIM=1``, set before Python starts, numba's simulator stands for a device: kernels run as plain
Python, a thread for each of theirs. That proves what they compute; it is for tests.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
import threading
from collections.abc import Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

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


@functools.cache
def simulated() -> bool:
    """Whether numba's simulator stands for a device."""
    import numba

    return bool(getattr(numba.config, "ENABLE_CUDASIM", False))


def bindings() -> Any:
    """The functions of the CUDA driver, as the package cuda-bindings has them; numba-cuda is built on it."""
    from cuda.bindings import driver

    return driver


def devices() -> list[str]:
    """What devices there are: number, name, compute capability. None in the simulator."""
    if simulated():
        return []
    found = []
    for device in toolkit().gpus:
        name = device.name.decode() if isinstance(device.name, bytes) else device.name
        found.append(f"{device.id}: {name}, compute capability {'.'.join(map(str, device.compute_capability))}")
    return found


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


def running() -> contextlib.AbstractContextManager[Any]:
    """What stands around launches: one program at a time."""
    return _simulating() if simulated() else lock


@contextlib.contextmanager
def _simulating() -> Iterator[None]:
    with lock:
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        try:
            yield
        finally:
            sys.setswitchinterval(before)


@contextlib.contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    """A name of a module means something else inside the block."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


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
    with lock, _replaced(nvvm, "compile_ir", lambda ir, **options: original(ir, **{"fma": False, **options})):
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
    with exact(), _replaced(dispatcher, "get_current_device", lambda: device):
        with _replaced(cuda, "jit", _uncompiled(cuda.jit)):
            exec(compile(source, "<generated>", "exec"), module.__dict__)
        compiled: Any = cuda.compile_ptx
        options = {"cc": cc, "launch_bounds": module.__dict__["BOUNDS"]}
        return {name: compiled(getattr(module, name), signature, **options)[0] for name in names}


def _uncompiled(jit: Any) -> Any:
    """`jit` that leaves kernels with a signature as they are: compiling these at once would need a device."""
    return lambda *args, **options: (lambda function: function) if args else jit(*args, **options)
