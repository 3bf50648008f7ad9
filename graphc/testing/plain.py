"""Programs run kernel by kernel: as plain Python with every index checked, or compiled; memory poisoned either way.

What the schedule and the printer do is tested as plain Python at the cost of milliseconds, without compiling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

from ..codegen.cpu import print_program
from ..errors import OutOfBoundsError
from ..ir import dims
from ..ir.evaluate import bind_dims, check_sizes
from ..ir.graph import Graph
from ..ir.leaves import CONSTANT
from ..runtime import files
from ..schedule.memory import Buffer, place
from ..schedule.plan import make_plan

POISON = 0xA7
"""The byte that fills memory nobody has written: huge as a signed integer, and no sensible float."""


class Checked(np.ndarray):
    """An array that refuses positions outside it (and from the end), and values of another dtype."""

    def _check(self, key: Any) -> None:
        for position, size in zip(key if isinstance(key, tuple) else (key,), self.shape, strict=False):
            if not isinstance(position, slice) and not 0 <= position < size:
                raise IndexError(f"position {key} outside shape {self.shape}")

    def __getitem__(self, key: Any) -> Any:
        self._check(key)
        return super().__getitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._check(key)
        if isinstance(value, np.generic) and value.dtype != self.dtype:
            raise TypeError(f"{value!r} stored into {self.dtype}")
        super().__setitem__(key, value)


def _array(m: list[Any], o: int, k: int, shape: tuple[int, ...], dtype: Any) -> Any:
    memory = m[m[o + k]]
    if memory.dtype != np.dtype(dtype):
        raise TypeError(f"{memory.dtype} memory seen as {np.dtype(dtype)}")
    return memory.reshape(shape).view(Checked)


def plain_module(source: str) -> ModuleType:
    """The module of a generated file, with jit disabled and every index checked."""
    import numba

    module = ModuleType("graphc_plain")
    with mock.patch.object(numba.config, "DISABLE_JIT", True):
        exec(compile(source, "<generated>", "exec"), module.__dict__)
    module.array = _array  # type: ignore[attr-defined]
    return module


class Runner:
    """A graph scheduled and printed, and run without the runtime's care for speed."""

    def __init__(self, graph: Graph, plain: bool):
        self.graph, self.plain = graph, plain
        self.plan = make_plan(graph)
        self.text = print_program(self.plan)
        self.module = plain_module(self.text.source) if plain else files.load(self.text.source)
        self.constants = [n.attrs["data"].array for n in graph.nodes if n.op is CONSTANT and n.shape != ()]

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs; params are updated. Raises what a step raises for sizes and indices."""
        env = bind_dims(self.graph.inputs, arrays)
        check_sizes(self.plan.checks, env)
        outputs = [_poisoned([dims.evaluate(d, env) for d in n.shape], n.dtype) for n in self.graph.outputs]
        memories = self._memories([np.ascontiguousarray(a) for a in arrays], outputs, env)
        text = self.text
        m: list[Any] = [0] * text.size
        for k, dim in enumerate(text.dims):
            m[text.first_dim + k] = dims.evaluate(dim, env)
        m[text.first_buffer : text.first_buffer + len(memories)] = memories
        m[text.first_row : text.first_row + len(text.rows)] = text.rows
        code = self._run_plain(m) if self.plain else self._run_compiled(m)
        if code:
            raise OutOfBoundsError(f"index out of range in {text.errors[code].op.name}")
        return outputs

    def _memories(self, arrays: list[np.ndarray], outputs: list[np.ndarray], env: dict[str, int]) -> list[np.ndarray]:
        offsets, total = place(self.plan.buffers, env)
        arena = _poisoned([total + 64], np.dtype("uint8"))
        shift = -arena.ctypes.data % 64

        def memory(buffer: Buffer) -> np.ndarray:
            if buffer.kind == "temp" and buffer.first < 0:
                return arena[:0].view(buffer.dtype)
            if buffer.kind == "temp":
                start = shift + offsets[buffer.number]
                return arena[start : start + buffer.nbytes(env)].view(buffer.dtype)
            params = [p.attrs["state"].array for p in self.graph.params]
            owner = {"input": arrays, "output": outputs, "param": params, "constant": self.constants}
            return owner[buffer.kind][buffer.position]

        return [memory(b) for b in self.plan.buffers]

    def _run_plain(self, m: list[Any]) -> int:
        with np.errstate(all="ignore"):
            return int(self.module.step(m))

    def _run_compiled(self, memories: list[Any]) -> int:
        m = np.array([v.ctypes.data if isinstance(v, np.ndarray) else v for v in memories], np.int64)
        for position, (name, row, chunks) in enumerate(self.text.calls):
            if position == self.text.commit and m[0]:
                break
            kernel: Callable[..., None] = getattr(self.module, name).ctypes
            count = max(int(m[chunks]), 1) if chunks else 1
            for c in range(count):
                kernel(m.ctypes.data, row, c, int(c + 1 == count), 0)
        return int(m[0])


def _poisoned(shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    array = np.empty(shape, dtype)
    array.reshape(-1).view(np.uint8)[...] = POISON if dtype.kind != "b" else 1
    return array


__all__ = ["POISON", "Checked", "Runner", "plain_module"]
