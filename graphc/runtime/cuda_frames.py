"""What one call in flight needs on a device, and how a step goes through it.

Kernels find everything by way of the frame's table: sizes, and addresses of params, inputs, outputs. So the launches
of a step are the same at every call, and can be recorded once and launched as one; what differs from call to call is
written into the table before. A recording also clears the error cell first, and brings it, and outputs for the host,
here at last.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import message, warn
from ..ir import dims
from ..schedule import launches
from ..schedule.memory import ALIGNMENT, Buffer, place
from .cuda_arrays import DeviceArray, Pool
from .cuda_devices import WORD, Recording, UnrecordedError
from .cuda_inputs import Given, Held
from .cuda_products import Multiplication
from .cuda_staging import STAGED, Landing
from .supply import supply

if TYPE_CHECKING:
    from .cuda_program import CudaProgram

FIRST_CODE = 1 << 30
"""An error code k is flagged as FIRST_CODE - k, see `codegen.cuda_prelude`."""


class Reply:
    """Outputs for the host: where kernels write them, and pinned memory here that they come to.

    sent  whether they come here by themselves; else they are too large, and fetched into the arrays that are returned
    """

    def __init__(self, frame: Frame):
        self.device = frame.program.device
        self.starts: list[int] = []
        total = 0
        for nbytes in frame.result_sizes:
            self.starts.append(total)
            total += -(-nbytes // ALIGNMENT) * ALIGNMENT
        self.sent = total <= STAGED
        self.memory = self.device.allocate(total)
        self.pinned = self.device.pinned(total if self.sent else 0)
        pairs = zip(self.starts, frame.result_sizes, frame.result_dtypes, strict=True)
        self.places = [self.memory.where(start, n, dtype) for start, n, dtype in pairs]

    def send(self, queue: Any) -> None:
        """Bring all here, if that is what is done."""
        if self.sent:
            self.device.download(self.memory, 0, self.pinned, queue)

    def fetch(self, targets: Sequence[np.ndarray]) -> None:
        """Bring those here that do not come by themselves."""
        if not self.sent:
            for start, target in zip(self.starts, targets, strict=True):
                self.device.download(self.memory, start, target, self.device.work)

    def read(self, targets: Sequence[np.ndarray]) -> None:
        """Fill the arrays, once what was sent is here."""
        if self.sent:
            for start, target in zip(self.starts, targets, strict=True):
                target.reshape(-1).view(np.uint8)[:] = self.pinned[start : start + target.nbytes]


class Frame:
    """Memory on the device for one call in flight, laid out for sizes `env`."""

    def __init__(self, program: CudaProgram, env: Mapping[str, int]):
        self.program, self.env = program, dict(env)
        plan, text, graph, device = program.plan, program.text, program.graph, program.device
        offsets, total = place(plan.buffers, env)
        self.arena = device.allocate(total)
        self.shapes = [tuple(dims.evaluate(d, env) for d in node.shape) for node in graph.outputs]
        self.result_dtypes = [node.dtype for node in graph.outputs]
        self.result_sizes = [
            math.prod(shape) * dtype.itemsize for shape, dtype in zip(self.shapes, self.result_dtypes, strict=True)
        ]
        self.input_dtypes = [node.dtype for node in graph.inputs]
        self.inputs: list[list[int]] = [[] for _ in graph.inputs]
        self.outputs: list[list[int]] = [[] for _ in graph.outputs]
        self.reply: Reply | None = None
        self.supplies = [supply(shape, d) for shape, d in zip(self.shapes, self.result_dtypes, strict=True)]
        self.pools = [Pool(device, nbytes) for nbytes in self.result_sizes]
        self.recordings: dict[bool, Recording] = {}
        self.runs: Counter[bool] = Counter()

        def where(buffer: Buffer) -> Any:
            nbytes = buffer.nbytes(env)
            if buffer.kind == "param":
                return program.params[buffer.position].memory.where(0, nbytes, buffer.dtype)
            if buffer.kind == "constant":
                return program.constants[buffer.position].where(0, nbytes, buffer.dtype)
            return self.arena.where(offsets.get(buffer.number, 0), nbytes, buffer.dtype)

        entries: list[Any] = []
        for kind, what in text.entries:
            if kind == "dim":
                entries.append(dims.evaluate(what, env))
            elif kind == "code":
                entries.append(what)
            elif plan.buffers[what].kind in ("input", "output"):
                buffer = plan.buffers[what]
                (self.inputs if buffer.kind == "input" else self.outputs)[buffer.position].append(len(entries))
                entries.append(0)  # another at every call
            else:
                entries.append(where(plan.buffers[what]))
        self.table = device.table(entries)
        self.grids = [min(dims.evaluate(call.blocks, env), launches.MOST_BLOCKS) for call in text.calls]
        self.products: dict[int, Multiplication] = {}
        for number, call in enumerate(text.calls):
            if call.product is not None and self.grids[number]:
                assert program.multiplier is not None
                parts = (call.product, env, entries[call.row : call.row + 3], self.table.where + WORD * call.row)
                self.products[number] = Multiplication(device, program.multiplier, *parts)

    @property
    def nbytes(self) -> int:
        """Bytes it keeps."""
        reply = 0 if self.reply is None else self.reply.memory.nbytes
        return self.arena.nbytes + reply + sum(product.nbytes for product in self.products.values())

    # arrays

    def fresh(self, on_device: bool) -> list[Any]:
        """Memory for the outputs that nobody else has: on the device, or arrays."""
        return [pool.take() for pool in self.pools] if on_device else [supply.take() for supply in self.supplies]

    def results(self, outputs: Sequence[Any], on_device: bool) -> list[Any]:
        """The outputs as the caller has them."""
        if not on_device:
            return [array if array.ndim else array[()] for array in outputs]
        parts = zip(outputs, self.shapes, self.result_dtypes, strict=True)
        return [DeviceArray(self.program.device, memory, shape, dtype) for memory, shape, dtype in parts]

    # a step

    def begin(self, given: Sequence[Given], landing: Landing | None, outputs: Sequence[Any], on_device: bool) -> None:
        """Put a step into the queue `work`.

        landing    where the arrays that are here have been copied to ahead; None: they are copied now
        outputs    what `fresh` gave; arrays are filled by `finish`
        on_device  whether they are memory on the device
        """
        program, device = self.program, self.program.device
        for param in program.params:
            param.arrive()
        if any(isinstance(g, np.ndarray) for g in given):
            if landing is None:
                landing = program.dock.take(given)
                landing.bring(given, device.work)
            else:
                landing.copied.hold(device.work)
        places = landing.where(self.input_dtypes) if landing is not None else []
        for k, g in enumerate(given):
            self._put(self.inputs[k], g.where(device) if isinstance(g, Held) else places[k])
        if on_device:
            for k, memory in enumerate(outputs):
                self._put(self.outputs[k], memory.where(0, self.result_sizes[k], self.result_dtypes[k]))
        else:
            if self.reply is None:
                self.reply = Reply(self)
            for k, where in enumerate(self.reply.places):
                self._put(self.outputs[k], where)
        self.table.send()
        for param in program.updated:
            param.changed()  # before it is so: an interrupt from here on leaves what is true
        self._go(on_device)
        if self.reply is not None and not on_device:
            self.reply.fetch(outputs)
        if landing is not None:
            landing.read.record(device.work)
            program.dock.give_back(landing)
        for g in given:
            if isinstance(g, Held) and g.stream is not None:
                device.before(g.stream)

    def finish(self, given: Sequence[Given], outputs: Sequence[Any], on_device: bool) -> int:
        """Wait for a step, if anything here depends on it; 0, or its error code, and then nothing has changed."""
        program, device = self.program, self.program.device
        if not on_device or program.checks or any(isinstance(g, Held) and g.unknown for g in given):
            device.finish(device.work)
        flagged = self.table.flagged() if program.checks else 0
        if flagged:
            return FIRST_CODE - flagged
        if self.reply is not None and not on_device:
            self.reply.read(outputs)
        return 0

    def _put(self, positions: Sequence[int], where: Any) -> None:
        for position in positions:
            self.table.put(position, where)

    def _go(self, on_device: bool) -> None:
        """The launches: one by one at the first call, when drivers load kernels; recorded, and as one, from then on."""
        recording = self.recordings.get(on_device)
        if recording is None and self.program.records and self.runs[on_device]:
            recording = self._record(on_device)
        if recording is not None:
            recording.launch()
        else:
            self.body(self.program.device.work, on_device)
        self.runs[on_device] += 1

    def _record(self, on_device: bool) -> Recording | None:
        try:
            made = self.program.device.record(lambda queue: self.body(queue, on_device))
        except UnrecordedError as error:
            self.program.records = False
            warn(
                message(
                    f"the step {self.program.graph.name!r} is launched kernel by kernel on {self.program.device.name}",
                    got=str(error),
                    expected="a recording of it, as a CUDA graph",
                    hint="it computes the same, and takes longer to launch; GRAPHC_CUDA_GRAPHS=0 asks for that",
                )
            )
            return None
        self.recordings[on_device] = made
        return made

    def body(self, queue: Any, on_device: bool) -> None:
        """What a step does on the device, put into `queue`."""
        program = self.program
        if program.checks:
            self.table.clear(queue)

        def launch(kernel: Any, row: int, number: int, threads: int) -> None:
            if self.grids[number]:
                program.device.launch(kernel, self.grids[number], threads, queue, self.table.where, row)

        def product_by_cublas(row: int, number: int) -> None:
            if self.grids[number]:
                self.products[number].put(queue)

        program.module.step(*([launch, product_by_cublas] if program.multiplier is not None else [launch]))
        if program.checks:
            self.table.fetch(queue)
        if self.reply is not None and not on_device:
            self.reply.send(queue)
