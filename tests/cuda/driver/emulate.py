"""Kernels for the stand-in driver: what a step computes, by the reference interpreter, when its last kernel runs.

The driver hands over the address of the frame's table, so inputs, params and outputs are read and written where the
table says, at the time the driver runs the kernel.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np

from graphc.errors import OutOfBoundsError
from graphc.ir import dims
from graphc.ir.evaluate import evaluate
from graphc.runtime.cuda_frames import FIRST_CODE, Frame
from graphc.runtime.cuda_program import CudaProgram

failures: list[BaseException] = []
"""Errors of the emulation itself, which a driver has nobody to tell."""
frames: dict[int, tuple[CudaProgram, Frame]] = {}
Launcher = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint, ctypes.c_uint)
"""What the driver runs kernels by: name, the two arguments, blocks, threads."""


def memory_at(address: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The array of the device at an address."""
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if not nbytes:
        return np.empty(shape, dtype)
    return np.frombuffer((ctypes.c_uint8 * nbytes).from_address(address), dtype).reshape(shape)


def _arrays(program: CudaProgram, table: np.ndarray, env: Mapping[str, int]) -> dict[tuple[str, int], np.ndarray]:
    """What stands where the table says, by kind and position."""
    graph, found = program.graph, {}
    nodes = {"input": graph.inputs, "param": graph.params, "output": graph.outputs}
    for (kind, what), entry in zip(program.text.entries, table, strict=True):
        buffer = program.plan.buffers[what] if kind == "buffer" else None
        if buffer is not None and buffer.kind in nodes:
            node = nodes[buffer.kind][buffer.position]
            shape = tuple(dims.evaluate(d, env) for d in node.shape)
            found[buffer.kind, buffer.position] = memory_at(int(entry), shape, node.dtype)
    return found


def _step(program: CudaProgram, frame: Frame, address: int) -> None:
    graph = program.graph
    table = memory_at(address, (len(program.text.entries),), np.dtype(np.int64))
    arrays = _arrays(program, table, frame.env)
    given: dict[Any, np.ndarray] = {}
    for kind, nodes in (("input", graph.inputs), ("param", graph.params)):
        given |= {node: arrays[kind, k].copy() for k, node in enumerate(nodes) if (kind, k) in arrays}
    try:
        values = evaluate([*graph.outputs, *[value for _, value in graph.updates]], given, frame.env)
    except OutOfBoundsError:
        table[0] = FIRST_CODE - min(program.text.errors)
        return
    for k, value in enumerate(values[: len(graph.outputs)]):
        arrays["output", k][...] = value
    for (param, _), value in zip(graph.updates, values[len(graph.outputs) :], strict=True):
        arrays["param", graph.params.index(param)][...] = value


@Launcher
def _launched(name: bytes, address: int, row: int, blocks: int, threads: int) -> None:
    try:
        program, frame = frames[address]
        rows = [call.row for call, grid in zip(program.text.calls, frame.grids, strict=True) if grid]
        if row == rows[-1]:
            _step(program, frame, address)
    except BaseException as error:  # it would be lost in the driver
        failures.append(error)


def attach(launched: Any = _launched) -> None:
    """From now on, steps on the stand-in compute: `launched` is called for each kernel."""
    made = CudaProgram.frame

    def frame(self: CudaProgram, env: Mapping[str, int]) -> Frame:
        one = made(self, env)
        frames[one.table.where] = (self, one)
        return one

    CudaProgram.frame = frame  # type: ignore[method-assign]
    ctypes.CDLL("libcuda.so.1").fake_set_launcher(launched)
