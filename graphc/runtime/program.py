"""A program: compiled code, its layout, and the frames (tables and arenas) its calls run in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .. import config
from ..codegen.cpu import FIRST_CALL, ProgramText
from ..ir import dims
from ..ir.leaves import CONSTANT
from ..schedule.memory import ALIGNMENT, place
from ..schedule.plan import Plan
from . import drivers, files


def aligned(nbytes: int) -> np.ndarray:
    """Bytes that start at a multiple of `ALIGNMENT`."""
    memory = np.empty(max(nbytes, 1) + ALIGNMENT, np.uint8)
    offset = -address(memory) % ALIGNMENT
    return memory[offset : offset + max(nbytes, 1)]


def address(array: np.ndarray) -> int:
    """Where the array's data starts."""
    return array.__array_interface__["data"][0]


@dataclass
class Frame:
    """What one call in flight needs: the table `m` and the memory its addresses point to.

    m         int64 array (a list with arrays for addresses where jit is disabled)
    sizes     the named dims this frame is laid out for
    scalars   memory of 0-d inputs and outputs, by buffer number
    owned     arrays kept alive
    """

    m: np.ndarray | list
    sizes: tuple[int, ...]
    env: dict[str, int]
    scalars: dict[int, np.ndarray]
    owned: list[np.ndarray]


class Program:
    """Compiled code for one plan. Holds no state but the code: frames hold memory, params hold values."""

    def __init__(self, plan: Plan, text: ProgramText):
        self.plan, self.text = plan, text
        self.module = files.load(text.source)
        self.plain = config.jit_disabled()
        self.entry = 0 if self.plain else files.load(drivers.LOOPS).run.address
        self.symbols = plan.graph.symbols
        inputs = plan.graph.inputs
        self.axis_dims = [d for node in inputs for d in node.shape]
        self.first_size = text.size
        self.first_input = text.first_buffer
        outputs = [b.number for b in plan.buffers if b.kind == "output"]
        self.first_output = text.first_buffer + (outputs[0] if outputs else 0)
        self.constants = [
            np.ascontiguousarray(n.attrs["data"].array) for n in plan.graph.nodes if n.op is CONSTANT and n.shape != ()
        ]

    def frame(self, env: Mapping[str, int]) -> Frame:
        """A new frame for these sizes: arena planned, constants and params in place."""
        text = self.text
        m: list = [0] * (text.size + len(self.axis_dims))
        for k, dim in enumerate(text.dims):
            m[text.first_dim + k] = dims.evaluate(dim, env)
        m[1:FIRST_CALL] = [text.commit, len(text.calls), FIRST_CALL]
        for k, (name, row) in enumerate(text.calls):
            kernel = getattr(self.module, name)
            m[FIRST_CALL + 2 * k : FIRST_CALL + 2 * k + 2] = [kernel if self.plain else kernel.address, row]
        m[text.first_row : text.first_row + len(text.rows)] = text.rows
        for k, dim in enumerate(self.axis_dims):
            m[self.first_size + k] = dims.evaluate(dim, env)
        offsets, total = place(self.plan.buffers, env)
        arena = aligned(total)
        owned, scalars = [arena], {}
        for buffer in self.plan.buffers:
            memory: np.ndarray | None = None
            if buffer.kind == "temp":
                nbytes = buffer.nbytes(env)
                memory = arena[offsets[buffer.number] : offsets[buffer.number] + nbytes].view(buffer.dtype)
            elif buffer.kind == "param":
                memory = self.plan.graph.params[buffer.position].attrs["state"].array
            elif buffer.kind == "constant":
                memory = self.constants[buffer.position]
            elif self._is_scalar(buffer.kind, buffer.position):
                memory = scalars[buffer.number] = np.zeros(1, buffer.dtype)
            if memory is not None:
                owned.append(memory)
                m[text.first_buffer + buffer.number] = memory if self.plain else address(memory)
        table = m if self.plain else np.array(m, np.int64)
        return Frame(table, tuple(env[s] for s in self.symbols), dict(env), scalars, owned)

    def _is_scalar(self, kind: str, position: int) -> bool:
        graph = self.plan.graph
        nodes = graph.inputs if kind == "input" else graph.outputs
        return nodes[position].shape == ()

    def run_plain(self, frame: Frame) -> int:
        """One step as plain Python (jit disabled)."""
        with np.errstate(all="ignore"):
            return self.module.step(frame.m)
