"""Programs for CUDA devices: memory of a call on the device, copies in and out, launches; params that live there.

A `CudaProgram` is to a `Caller` what a `Program` is. Its table holds the error code, the arrays of a call, and last
what it keeps on the device.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..codegen.cuda import CudaText
from ..ir import dims
from ..ir.leaves import CONSTANT, ParamState
from ..schedule import launches
from ..schedule.memory import ALIGNMENT, Buffer, place
from ..schedule.plan import Plan
from . import cuda, files
from .calls import Call, Caller
from .program import Frame
from .supply import Supply

FIRST_CODE = 1 << 30
"""An error code k is flagged as FIRST_CODE - k, see `codegen.cuda_prelude`."""


class Resident:
    """The value of a param on the device.

    version  of the value in the host's memory that it is, if it is not newer
    newer    whether steps have changed it since
    """

    def __init__(self, state: ParamState):
        self.state = weakref.ref(state)
        self.memory = cuda.Memory(state.array.nbytes)
        self.version = -1
        self.newer = False

    def arrive(self) -> None:
        """Be the present value; the caller holds the state's guard."""
        state = self.state()
        assert state is not None
        if not self.newer and self.version != state.version:
            self.memory.write(0, state.array)
            self.version = state.version

    def changed(self) -> None:
        """A step has changed the value; the caller holds the state's guard."""
        state = self.state()
        assert state is not None
        self.newer = True
        state.guard.leave(self)

    def come_home(self) -> None:
        """Bring the value into the host's memory; the caller holds the state's guard."""
        state = self.state()
        if state is not None and self.newer:
            with cuda.lock:
                self.memory.read(0, state.array)
            self.newer, self.version = False, state.version


_residents: weakref.WeakKeyDictionary[ParamState, Resident] = weakref.WeakKeyDictionary()


def resident(state: ParamState) -> Resident:
    """Where a param's value stands on the device, for all programs."""
    with cuda.lock:
        if state not in _residents:
            _residents[state] = Resident(state)
        return _residents[state]


class OnDevice:
    """What a frame keeps on the device: the arena with inputs and outputs behind it, and the table.

    inputs, outputs  offsets in `memory`, by position
    grids            how many blocks each launch has
    """

    def __init__(self, program: CudaProgram, env: Mapping[str, int]):
        plan, text = program.plan, program.text
        offsets, total = place(plan.buffers, env)
        self.inputs: dict[int, int] = {}
        self.outputs: dict[int, int] = {}
        for buffer in plan.buffers:
            if buffer.kind in ("input", "output"):
                (self.inputs if buffer.kind == "input" else self.outputs)[buffer.position] = total
                total += -(-max(buffer.nbytes(env), 1) // ALIGNMENT) * ALIGNMENT
        self.memory = cuda.Memory(total)

        def where(buffer: Buffer) -> Any:
            nbytes = buffer.nbytes(env)
            if buffer.kind == "param":
                return program.params[buffer.position].memory.view(0, nbytes, buffer.dtype)
            if buffer.kind == "constant":
                return program.constants[buffer.position].view(0, nbytes, buffer.dtype)
            if buffer.kind == "temp":
                return self.memory.view(offsets.get(buffer.number, 0), nbytes, buffer.dtype)
            start = (self.inputs if buffer.kind == "input" else self.outputs)[buffer.position]
            return self.memory.view(start, nbytes, buffer.dtype)

        entries: list[Any] = []
        for kind, what in text.entries:
            if kind == "dim":
                entries.append(dims.evaluate(what, env))
            else:
                entries.append(where(plan.buffers[what]) if kind == "buffer" else what)
        self.table = cuda.Table(entries)
        self.grids = [min(dims.evaluate(call.blocks, env), launches.MOST_BLOCKS) for call in text.calls]

    def launch(self, kernel: Any, row: int, number: int, threads: int) -> None:
        """One launch of the step, see `codegen.cuda`."""
        if self.grids[number]:
            kernel[self.grids[number], threads](self.table.where, row)


class CudaProgram:
    """Compiled code for one plan on a device; what a `Caller` asks of a program."""

    plain = True  # frames hold arrays, and steps are run one by one

    def __init__(self, plan: Plan, text: CudaText):
        cuda.toolkit()
        self.plan, self.text, self.graph = plan, text, plan.graph
        with cuda.lock, cuda.exact():
            self.module = files.load(text.source)
        self.first_input = 1
        self.first_output = 1 + len(self.graph.inputs)
        self.params = [resident(p.state) for p in self.graph.params]
        updated = {p.state for p, value in self.graph.updates if value is not p}
        self.updated = [r for r, p in zip(self.params, self.graph.params, strict=True) if p.state in updated]
        self.constants: list[cuda.Memory] = []
        for node in self.graph.nodes:
            if node.op is CONSTANT and node.shape != ():
                data = np.ascontiguousarray(node.attrs["data"].array)
                self.constants.append(cuda.Memory(data.nbytes))
                self.constants[-1].write(0, data)

    def frame(self, env: Mapping[str, int]) -> Frame:
        """A new frame for these sizes."""
        with cuda.lock:
            device = OnDevice(self, env)
        graph = self.graph
        m: list[Any] = [0, *[None] * (len(graph.inputs) + len(graph.outputs)), device]
        frame = Frame(m, dict(env), device.memory)
        frame.scalars = {k: np.zeros(1, n.dtype) for k, n in enumerate(graph.inputs) if not n.shape}
        for k, array in frame.scalars.items():
            m[self.first_input + k] = array
        for k, node in enumerate(graph.outputs):
            if node.shape:
                frame.supplies.append(Supply([dims.evaluate(d, env) for d in node.shape], node.dtype))
            else:
                frame.reads.append(np.zeros(1, node.dtype))
                m[self.first_output + k] = frame.reads[-1]
        return frame

    def call(self, with_inputs: bool = True) -> Callable[..., int]:
        """The function ``call(m, *arrays)`` that runs one step on input and output arrays.

        Without inputs, these must stand in `m` already.
        """
        return functools.partial(self._call, with_inputs)

    def seconds(self, m: list[Any], repeats: int) -> float:
        """The time of a step's launches alone on the device, the shortest of some; params change as in a step.

        Its inputs are those of the last call in that frame.
        """
        device: OnDevice = m[-1]
        with cuda.running():
            return min(cuda.seconds(lambda: self.module.step(device.launch)) for _ in range(repeats))

    def _call(self, with_inputs: bool, m: list[Any], *arrays: np.ndarray) -> int:
        given = iter(arrays)
        for k, node in enumerate(self.graph.inputs if with_inputs else ()):
            if node.shape:
                m[self.first_input + k] = next(given)
        for k, node in enumerate(self.graph.outputs):
            if node.shape:
                m[self.first_output + k] = next(given)
        with cuda.running():
            m[0] = self._run(m[-1], m[self.first_input : self.first_output], m[self.first_output : -1])
        return m[0]

    def _run(self, device: OnDevice, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> int:
        """One step: copies in, launches, copies out; 0, or the error code, and then nothing has changed."""
        for param in self.params:
            param.arrive()
        for k, array in enumerate(inputs):
            device.memory.write(device.inputs[k], array)
        device.table.clear()
        self.module.step(device.launch)
        flagged = device.table.flagged()
        if flagged:
            return FIRST_CODE - flagged
        for param in self.updated:
            param.changed()
        for k, array in enumerate(outputs):
            device.memory.read(device.outputs[k], array)
        return 0


class CudaCaller(Caller):
    """Calls of a program on a device: params stay there."""

    home = False

    def quick(self, run: Callable[..., int], with_inputs: bool = True) -> Call:
        """There is one way: what a call costs on the device is more than what Python's care does."""
        return lambda owner, values: owner.careful(values)
