"""Programs for CUDA devices, and calls of them: what `program` and `calls` are to the CPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Signature
from typing import Any

import numpy as np

from .. import config
from ..codegen.cuda import CudaText
from ..ir.evaluate import bind_dims, check_sizes
from ..ir.leaves import CONSTANT
from ..ir.tree import Tree
from ..schedule.plan import Plan
from . import cuda, files
from .calls import Bound, Caller, refuse_arguments
from .cuda_devices import Device, Memory
from .cuda_frames import Frame
from .cuda_inputs import Given, Held, as_given
from .cuda_residents import resident
from .cuda_staging import Dock, Landing
from .failures import failure
from .inputs import in_place

AHEAD = 2
"""How many calls' arrays may be on the device before they are called with."""


class CudaProgram:
    """Compiled code for one plan on one device.

    checks   whether a step may flag an error: only then is it waited for before it counts
    multiplier   computes the large products of matrices, if there are any that kernels do not compute
    records  whether the launches of a step are recorded as one
    dock     where arrays from here land
    """

    plain = True  # to `loop`: steps are run one by one

    def __init__(self, plan: Plan, text: CudaText, device: Device):
        self.plan, self.text, self.graph, self.device = plan, text, plan.graph, device
        self.checks = bool(text.errors)
        self.dock = Dock(device)
        self.multiplier = device.multiplier() if text.products else None
        self.records = device.records and config.cuda_graphs()
        with cuda.lock, cuda.exact(), device.here():
            self.module = files.load(text.source)
        self.params = [resident(p.state, device) for p in self.graph.params]
        updated = {p.state for p, value in self.graph.updates if value is not p}
        self.updated = [r for r, p in zip(self.params, self.graph.params, strict=True) if p.state in updated]
        self.constants: list[Memory] = []
        with cuda.lock, device.here():
            for node in self.graph.nodes:
                if node.op is CONSTANT and node.shape != ():
                    data = np.ascontiguousarray(node.attrs["data"].array)
                    self.constants.append(device.allocate(data.nbytes))
                    device.upload(self.constants[-1], 0, data, device.work)
            device.finish(device.work)

    def frame(self, env: Mapping[str, int]) -> Frame:
        """A new frame for these sizes."""
        with cuda.lock, self.device.here():
            return Frame(self, env)

    def run(
        self,
        frame: Frame,
        given: Sequence[Given],
        landing: Landing | None,
        outputs: Sequence[Any],
        on_device: bool,
        meanwhile: Callable[[], None] | None = None,
    ) -> int:
        """One step, see `Frame`; 0, or an error code, and then nothing has changed. The params' guards are held.

        meanwhile  what to do while the device works
        """
        with self.device.here():
            with cuda.running():
                frame.begin(given, landing, outputs, on_device)
            if meanwhile is not None:
                meanwhile()
            return frame.finish(given, outputs, on_device)

    def seconds(self, frame: Frame, repeats: int) -> float:
        """The time of a step's launches alone on the device, the shortest of some; params change as in a step.

        Its inputs are those of the last call in that frame, whose outputs must not be in use.
        """
        on_device = frame.reply is None
        with cuda.running(), self.device.here():
            return min(self.device.seconds(lambda: frame._go(on_device)) for _ in range(repeats))


@dataclass(frozen=True, eq=False)  # compared as objects: what they hold are arrays
class Ahead:
    """Arrays that were copied to the device ahead of a call."""

    values: tuple[Any, ...]
    shapes: tuple[tuple[int, ...], ...]
    landing: Landing

    def of(self, values: Sequence[Any]) -> bool:
        """Whether a call has these arguments: the same objects, whatever is in them now; of numbers, equal ones."""
        pairs = zip(self.values, values, strict=True)
        return all(a is b or (isinstance(a, (int, float)) and type(a) is type(b) and a == b) for a, b in pairs)


class CudaCaller(Caller):
    """Calls of a program on a device, from any number of threads: params stay there.

    on_device  whether outputs stay there, too
    """

    program: CudaProgram  # type: ignore[assignment]
    native = False

    def __init__(self, program: CudaProgram, tree: Tree, on_device: bool = False):
        super().__init__(program, tree)  # type: ignore[arg-type]
        self.on_device, self.device, self.place = on_device, program.device, program.device.name
        self.ahead: deque[Ahead] = deque()

    def prepare(self, values: Sequence[Any]) -> list[Given]:
        with self.device.here():
            return as_given(self.inputs, values, self.device)

    def careful(self, values: Sequence[Any]) -> Any:
        with self.device.here():
            given = as_given(self.inputs, values, self.device)
            landing = self.prefetched(values, given) if self.ahead else None
            hot, frame = self.take(given)  # type: ignore[arg-type]
            try:
                return self.step(frame, given, landing)  # type: ignore[arg-type]
            finally:
                hot.append(frame)

    def step(self, frame: Frame, given: Sequence[Given], landing: Landing | None = None) -> Any:
        """One step in `frame`; the thread works on the device."""
        outputs = frame.fresh(self.on_device)
        code = self.guarded(frame, self.program.run, frame, given, landing, outputs, self.on_device)
        if code:
            raise self.failed(frame, code, given)
        return self.tree.build(frame.results(outputs, self.on_device))

    def host(self, given: Sequence[Given]) -> list[np.ndarray]:
        """The arrays, here."""
        return [g.host(self.device) if isinstance(g, Held) else g for g in given]

    def failed(self, frame: Any, code: int, values: Sequence[Any]) -> Exception:
        return failure(self.program.graph, self.program.text, code, self.host(values), frame.env)

    def bind(self, values: Sequence[Any]) -> Bound:
        return CudaBound(self, values)

    # ahead of calls

    def prefetch(self, values: Sequence[Any]) -> None:
        """See `Step.prefetch`."""
        given = self.prepare(values)
        if not any(isinstance(g, np.ndarray) for g in given):
            return
        check_sizes(self.program.plan.checks, bind_dims(self.inputs, given), self.inputs)  # type: ignore[arg-type]
        with self.device.here():
            landing = self.program.dock.take(given)
            landing.bring(given, self.device.ahead, always=True)
        with self.lock:
            self.ahead.append(Ahead(tuple(values), tuple([g.shape for g in given]), landing))
            dropped = self.ahead.popleft() if len(self.ahead) > AHEAD else None
        if dropped is not None:
            self.leave(dropped.landing)

    def prefetched(self, values: Sequence[Any], given: Sequence[Given]) -> Landing | None:
        """Where these arguments have been copied to ahead; None where they were not, or have changed since."""
        with self.lock:
            found = next((entry for entry in self.ahead if entry.of(values)), None)
            if found is None:
                return None
            self.ahead.remove(found)
        if found.shapes == tuple([g.shape for g in given]) and found.landing.holds(given):
            return found.landing
        self.leave(found.landing)
        return None

    def leave(self, landing: Landing) -> None:
        """No call will read what was copied there."""
        with self.device.here():
            self.program.dock.give_back(landing)

    def forget(self, nbytes: int) -> None:
        with self.device.here():  # what goes may be in use there
            self.device.finish(self.device.work)
        super().forget(nbytes)


class CudaBound(Bound):
    """A step bound to arrays: those that are here are copied at each call, those on the device read where they are."""

    def __init__(self, caller: CudaCaller, values: Sequence[Any]):
        self.work = work = CudaBoundCaller(caller, values)  # type: ignore[assignment]
        self.__call__ = work.careful
        self.__signature__ = Signature()


class CudaBoundCaller:
    """Runs a program on the same arrays again and again."""

    def __init__(self, caller: CudaCaller, values: Sequence[Any]):
        arrays = caller.prepare(values)
        self.values = [
            value if isinstance(array, Held) else in_place(node, value)
            for node, value, array in zip(caller.inputs, values, arrays, strict=True)
        ]
        self.arrays, self.caller = arrays, caller
        check_sizes(caller.program.plan.checks, bind_dims(caller.inputs, self.arrays), caller.inputs)  # type: ignore[arg-type]

    def careful(self, *args: Any, **named: Any) -> Any:
        refuse_arguments(args, named)
        return self.caller.careful(self.values)
