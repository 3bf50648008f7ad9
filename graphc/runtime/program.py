"""A program: compiled code, its layout, and the frames (tables and arenas) its calls run in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from .. import config
from ..codegen.cpu import FIRST_CALL, ProgramText
from ..ir import dims
from ..ir.leaves import CONSTANT
from ..schedule.memory import Buffer, place
from ..schedule.plan import Plan
from . import drivers, files, native
from .supply import Fresh, Supply, address, aligned, supply
from .threads import available, team

SCRATCH = 3
"""Words in a table for whoever runs it."""


@functools.cache
def walk(flushed: bool = False) -> Any:
    """The compiled function that runs the kernels of a step, see `drivers`."""
    return files.load(drivers.run_source(flushed)).run


class Sized(Protocol):
    """Memory of so many bytes, wherever it is."""

    @property
    def nbytes(self) -> int:
        """How many."""


class Frame:
    """What one call in flight needs: the table `m` and the memory its addresses point to.

    m         int64 array (a list with arrays for addresses where jit is disabled)
    env       sizes of the named dims it is laid out for
    scalars   memory of the 0-d inputs, by position among the inputs
    reads     memory of the 0-d outputs, in order
    supplies  where arrays for the other outputs come from, in order
    takes     for each output, what makes an array for it, or None where a new one will do; see `native`
    """

    __slots__ = ("arena", "env", "m", "owned", "reads", "scalars", "supplies", "takes")

    def __init__(self, m: np.ndarray | list[Any], env: dict[str, int], arena: Sized):
        self.m, self.env, self.arena = m, env, arena
        self.owned: list[np.ndarray] = []
        self.scalars: dict[int, np.ndarray] = {}
        self.reads: list[np.ndarray] = []
        self.supplies: list[Supply | Fresh] = []
        self.takes: tuple[Callable[[], np.ndarray] | None, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes it keeps: its arena, and memory for results."""
        return self.arena.nbytes + sum(len(supply.kept) * supply.nbytes for supply in self.supplies)


class Program:
    """Compiled code for one plan. Holds no state but the code: frames hold memory, params hold values."""

    def __init__(self, plan: Plan, text: ProgramText, threads: int | None = None):
        self.plan, self.text, self.threads = plan, text, threads
        self.graph = graph = plan.graph
        self.plain = config.jit_disabled()
        self.flushed = config.flush_subnormals()
        self.module = files.load(text.source, self._soon)
        self.entry = 0 if self.plain else walk(self.flushed).address
        self.outputs = [b.number for b in plan.buffers if b.kind == "output"]
        self.first_input = text.first_buffer
        self.first_output = text.first_buffer + (self.outputs[0] if self.outputs else 0)
        self.input_dims = [d for node in graph.inputs for d in node.shape]
        self.output_dims = [d for node in graph.outputs for d in node.shape]
        self.constants = [
            np.ascontiguousarray(n.attrs["data"].array) for n in graph.nodes if n.op is CONSTANT and n.shape != ()
        ]

    def _soon(self) -> list[str]:
        """The files that its first call needs, as far as is known before the sizes of its inputs."""
        if self.plain:
            return []
        counts = [kernel.chunks.count for kernel in self.plan.kernels if kernel.chunks]
        several = any(isinstance(count, int) and count > 1 for count in counts) and available(self.threads) > 1
        found = [drivers.run_source(self.flushed), *([drivers.team_source(self.flushed)] if several else [])]
        return [*found, native.source(Frame)] if native.available() else found

    def frame(self, env: Mapping[str, int]) -> Frame:
        """A new frame for these sizes: arena planned, constants and params in place."""
        text, graph = self.text, self.graph
        m: list[Any] = [0] * text.size
        for k, dim in enumerate(text.dims):
            m[text.first_dim + k] = dims.evaluate(dim, env)
        most = 1
        for k, (name, row, chunks) in enumerate(text.calls):
            kernel, count = getattr(self.module, name), m[chunks] if chunks else 0
            m[FIRST_CALL + 3 * k : FIRST_CALL + 3 * k + 3] = [kernel if self.plain else kernel.address, row, count]
            most = max(most, count)
        threads = 1 if self.plain or most == 1 else min(available(self.threads), most)
        m[1:FIRST_CALL] = [text.commit, len(text.calls), FIRST_CALL, threads, 0]
        m[text.first_row : text.first_row + len(text.rows)] = text.rows
        m += [dims.evaluate(dim, env) for dim in (*self.input_dims, *self.output_dims)]
        m += [0] * (len(graph.outputs) + SCRATCH)
        m += [
            self.first_output,
            self.first_input,
            text.size,
            self.entry if threads == 1 else team(self.flushed).run.address,
        ]
        offsets, total = place(self.plan.buffers, env)
        arena = aligned(total)
        frame = Frame(m, dict(env), arena)
        for buffer in self.plan.buffers:
            memory = self._memory(buffer, frame, arena, offsets)
            if memory is not None:
                frame.owned.append(memory)
                m[text.first_buffer + buffer.number] = memory if self.plain else address(memory)
        for node in graph.outputs:
            if node.shape:
                frame.supplies.append(supply([dims.evaluate(d, env) for d in node.shape], node.dtype))
        supplies = iter(frame.supplies)
        pooled = [next(supplies) if node.shape else None for node in graph.outputs]
        frame.takes = tuple([supply.take if isinstance(supply, Supply) else None for supply in pooled])
        frame.m = m if self.plain else np.array(m, np.int64)
        return frame

    def _memory(self, buffer: Buffer, frame: Frame, arena: np.ndarray, offsets: Mapping[int, int]) -> np.ndarray | None:
        """The memory of a buffer that is not the caller's."""
        position = buffer.position
        if buffer.kind == "temp":
            if buffer.first < 0:
                return None
            start = offsets[buffer.number]
            return arena[start : start + buffer.nbytes(frame.env)].view(buffer.dtype)
        if buffer.kind == "param":
            return self.graph.params[position].state.array
        if buffer.kind == "constant":
            return self.constants[position]
        if buffer.kind == "input" and not self.graph.inputs[position].shape:
            return frame.scalars.setdefault(position, np.zeros(1, buffer.dtype))
        if buffer.kind == "output" and not self.graph.outputs[position].shape:
            frame.reads.append(np.zeros(1, buffer.dtype))
            return frame.reads[-1]
        return None

    def positions(self) -> dict[str, int]:
        """Where `m` has what a built-in function looks for, see `drivers.OWNER`."""
        sizes = self.text.size
        output_sizes = sizes + len(self.input_dims)
        results = output_sizes + len(self.output_dims)
        scratch = results + len(self.graph.outputs)
        return {
            "first_input": self.first_input,
            "first_output": self.first_output,
            "sizes_at": sizes,
            "output_sizes_at": output_sizes,
            "results_at": results,
            "scratch_at": scratch,
            "entry_at": scratch + SCRATCH + len(drivers.TAIL) - 1,
        }

    def run(self, frame: Frame, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> int:
        """One step on arrays that the kernels can read; 0, or the code of an error.

        inputs   those that have axes; none where their addresses stand in the frame already
        outputs  for those that have axes
        """
        m = frame.m
        wanted = [k for k, node in enumerate(self.graph.inputs) if node.shape] if inputs else []
        places = [self.first_input + k for k in wanted]
        places += [self.first_output + k for k, node in enumerate(self.graph.outputs) if node.shape]
        for position, array in zip(places, (*inputs, *outputs), strict=True):
            m[position] = array if self.plain else address(array)
        return self.go(frame)

    def go(self, frame: Frame) -> int:
        """One step in a frame with all addresses in place."""
        m: Any = frame.m
        m[0] = 0
        if self.plain:
            with np.errstate(all="ignore"):
                return int(self.module.step(m))
        run = walk(self.flushed) if m[-1] == self.entry else team(self.flushed).run
        return int(run.ctypes(address(m)))
