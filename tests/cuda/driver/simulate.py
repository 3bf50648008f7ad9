"""Kernels for the stand-in driver, each as it is written: in numba's simulator, on the device's memory, in its turn.

The table says where everything stands, at the time the driver runs the kernel. (`emulate` computes a step as a whole,
which takes less time, and knows nothing of what other libraries compute between kernels.)
"""

from __future__ import annotations

from types import ModuleType
from typing import Any
from unittest import mock

import emulate
import numpy as np
from emulate import Launcher, failures, frames, memory_at
from numba import cuda
from numba.cuda import simulator

from graphc.ir import dims
from graphc.runtime.cuda import _steady_simulator
from graphc.runtime.cuda_frames import Frame
from graphc.runtime.cuda_program import CudaProgram

_modules: dict[str, ModuleType] = {}


def _module(source: str) -> ModuleType:
    """A generated file, for the simulator."""
    if source not in _modules:
        module = _modules[source] = ModuleType("simulated")
        with mock.patch.object(cuda.config, "ENABLE_CUDASIM", 1), mock.patch.object(cuda, "jit", simulator.jit):
            exec(compile(source, "<simulated>", "exec"), module.__dict__)
    return _modules[source]


def _table(program: CudaProgram, frame: Frame, address: int) -> list[Any]:
    """The table at an address, with arrays in the place of addresses, as the simulator's kernels want it."""
    table = memory_at(address, (len(program.text.entries),), np.dtype(np.int64))
    found: list[Any] = [table[:1]]
    for (kind, what), entry in zip(program.text.entries[1:], table[1:], strict=True):
        if kind == "buffer":
            buffer = program.plan.buffers[what]
            found.append(memory_at(int(entry), (dims.evaluate(buffer.size, frame.env),), buffer.dtype))
        else:
            found.append(int(entry))
    return found


@Launcher
def _launched(name: bytes, address: int, row: int, blocks: int, threads: int) -> None:
    try:
        program, frame = frames[address]
        (call,) = (call for call in program.text.calls if call.row == row)
        kernel = getattr(_module(program.text.source), call.name)
        kernel[blocks, threads](_table(program, frame, address), row)
    except BaseException as error:  # it would be lost in the driver
        failures.append(error)


def attach() -> None:
    """From now on, kernels on the stand-in compute."""
    _steady_simulator()
    emulate.attach(_launched)
