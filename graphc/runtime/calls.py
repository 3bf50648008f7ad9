"""Calling a program: arguments checked and bound, a frame per call in flight, results and failures handed back.

The fast path is one numba dispatch, which checks dtypes and ranks, and sizes against the frame's. Whatever it does
not take (lists, strided or read-only arrays, new sizes, mistakes) goes the careful way, in Python.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from ..errors import InputError, OutOfBoundsError, message

from ..ir.evaluate import bind_dims, check_sizes, evaluate
from ..ir.tensor import Tensor
from . import drivers, files
from .program import Frame, Program, address

MAX_SIZES = 16
"""How many tuples of sizes keep their frames; the least recently used goes."""


class Caller:
    """Runs a program on arrays, from any number of threads."""

    def __init__(self, program: Program):
        self.program = program
        graph = program.plan.graph
        self.inputs = graph.inputs
        self.outputs = graph.outputs
        self.buffers = [b.number for b in program.plan.buffers if b.kind == "output"]
        self.locks = [p.attrs["state"].lock for p in sorted({p for p, _ in graph.updates}, key=lambda p: p.serial)]
        self.frames: OrderedDict[tuple[int, ...], list[Frame]] = OrderedDict()
        self.guard = threading.Lock()
        self.fixed = not program.symbols and all(
            isinstance(d, int) for n in (*graph.inputs, *graph.outputs) for d in n.shape
        )
        self._call: Any = None

    # frames

    def take(self, sizes: tuple[int, ...], env: dict[str, int]) -> Frame:
        """A free frame for these sizes, or a new one; new sizes are checked against the graph's conditions."""
        with self.guard:
            free = self.frames.get(sizes)
            if free is not None:
                self.frames.move_to_end(sizes)
                if free:
                    return free.pop()
        if free is None:
            check_sizes(self.program.plan.checks, env)
        return self.program.frame(env)

    def give(self, frame: Frame) -> None:
        """Put a frame back for the next call."""
        with self.guard:
            self.frames.setdefault(frame.sizes, []).append(frame)
            if len(self.frames) > MAX_SIZES:
                self.frames.popitem(last=False)

    # calls

    def __call__(self, arguments: Sequence[Any]) -> list[Any]:
        """One step on `arguments` (one per input, in order); the outputs as arrays and NumPy scalars."""
        with ExitStack() as stack:
            for lock in self.locks:
                stack.enter_context(lock)
            arrays = self.check(arguments)
            env = bind_dims(self.inputs, arrays)
            frame = self.take(tuple(env[s] for s in self.program.symbols), env)
            try:
                results = self.allocate(frame)
                self.bind(frame, arrays, results)
                code = self.execute(frame)
                if code != 0:
                    raise self.failure(code, arrays, frame.env)
                return [r if n.shape else r[0] for r, n in zip(results, self.outputs, strict=True)]
            finally:
                self.give(frame)

    def check(self, arguments: Sequence[Any]) -> list[np.ndarray]:
        """Every argument as a C-contiguous array of its input's dtype and rank, or an error that names the input."""
        if len(arguments) != len(self.inputs):
            names = ", ".join(repr(n.name) for n in self.inputs)
            raise InputError(
                message(
                    "wrong number of inputs",
                    got=str(len(arguments)),
                    expected=f"{len(self.inputs)}: {names}" if names else "none",
                )
            )
        return [as_input(node, value) for node, value in zip(self.inputs, arguments, strict=True)]

    def allocate(self, frame: Frame) -> list[np.ndarray]:
        """Memory for the outputs: arrays the caller will own, and the frame's scalars."""
        from ..ir.dims import evaluate as size_of

        results = []
        for number, node in zip(self.buffers, self.outputs, strict=True):
            if node.shape:
                results.append(np.empty([size_of(d, frame.env) for d in node.shape], node.dtype))
            else:
                results.append(frame.scalars[number])
        return results

    def bind(self, frame: Frame, arrays: Sequence[np.ndarray], results: Sequence[np.ndarray]) -> None:
        """Enter the memory of inputs and outputs into the frame's table."""
        program, m = self.program, frame.m
        m[0] = 0
        for k, (node, array) in enumerate(zip(self.inputs, arrays, strict=True)):
            if node.shape:
                m[program.first_input + k] = array if program.plain else address(array)
            else:
                frame.scalars[k][0] = array[()]
        for number, node, result in zip(self.buffers, self.outputs, results, strict=True):
            if node.shape:
                m[program.text.first_buffer + number] = result if program.plain else address(result)

    def execute(self, frame: Frame) -> int:
        """Run one step in `frame`; its error code."""
        if self.program.plain:
            return self.program.run_plain(frame)
        done = loops().repeat(self.program.entry, frame.m, 1, 1, _NO_MOVES)
        return 0 if done == 1 else int(frame.m[0])

    def failure(self, code: int, arrays: Sequence[np.ndarray], env: dict[str, int]) -> Exception:
        """The error behind a code of compiled code: which index of which op, at which user line."""
        node = self.program.text.errors[code]
        given = dict(zip(self.inputs, arrays, strict=True))
        operands = node.inputs[2:] if node.op.name.startswith("scatter") else node.inputs[1:]
        lines = self.program.plan.graph.origin[node].lines
        got, expected = "an index out of range", "each index within its axis"
        for axis, (operand, values) in enumerate(zip(operands, evaluate(operands, given, env), strict=True)):
            size = _size(node.inputs[0], axis, env)
            bad = values[(values < -size) | (values >= size)]
            if bad.size:
                got = f"index {bad.flat[0]}" + (f" in {operand.name!r}" if operand.name else "")
                expected = f"{-size} <= index < {size}"
                break
        return OutOfBoundsError(
            message(f"index out of range in {node.op.name}", got=got, expected=expected, at=lines[0] if lines else None)
        )


_NO_MOVES = np.zeros((0, 2), np.int64)


def loops() -> Any:
    """The compiled loops around steps."""
    return files.load(drivers.LOOPS)


def _size(node: Tensor, axis: int, env: dict[str, int]) -> int:
    from ..ir.dims import evaluate as size_of

    return size_of(node.shape[axis], env)


def as_input(node: Tensor, value: Any) -> np.ndarray:
    """`value` as an array for input `node`: exact dtype (Python numbers are weak), right rank, C order."""
    if isinstance(value, Tensor):
        raise InputError(
            message(
                f"input {node.name!r} needs data",
                got=repr(value),
                expected=str(node.aval),
                hint="a step is called with arrays; symbolic tensors belong in the graph",
            )
        )
    weak = not hasattr(value, "dtype")
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(
            message(f"input {node.name!r} is ragged", got=f"{type(value).__name__}", expected=str(node.aval))
        ) from None
    if array.dtype != node.dtype:
        if not weak or not _fits(array, node.dtype):
            raise InputError(
                message(
                    f"input {node.name!r} has the wrong dtype",
                    got=f"{array.dtype}{list(array.shape)}",
                    expected=str(node.aval),
                    hint=f"convert it with .astype({node.dtype.name!r})" if array.dtype.kind in "biuf" else "",
                )
            )
        array = array.astype(node.dtype)
    if array.ndim != node.ndim:
        raise InputError(
            message(
                f"input {node.name!r} has the wrong rank",
                got=f"{array.dtype}{list(array.shape)}",
                expected=str(node.aval),
            )
        )
    if not (array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative):
        array = np.array(array, dtype=node.dtype, order="C")
    return array


def _fits(array: np.ndarray, dtype: np.dtype) -> bool:
    """Whether Python numbers, seen as `array`, are numbers of `dtype`: the same kind or a wider one, in range."""
    if array.size == 0:
        return True
    order = "biuf"
    kind = {"u": "i"}.get(array.dtype.kind, array.dtype.kind)
    if kind not in order or order.index(kind) > order.index({"u": "i"}.get(dtype.kind, dtype.kind)):
        return False
    if dtype.kind in "iu" and array.dtype.kind in "iu":
        info = np.iinfo(dtype)
        return bool(array.min() >= info.min and array.max() <= info.max)
    return True
