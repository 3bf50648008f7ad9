"""Many steps on a device: while one runs, the arrays of the next are copied there.

What every step reads whole is copied once, before the first. Outputs of every step come to the host.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import InputError, message, user_line
from ..ir.dims import DimLike
from .batches import Segment
from .calls import Caller
from .cuda_arrays import to_device
from .cuda_inputs import Given, Held
from .cuda_program import CudaCaller
from .cuda_staging import Landing
from .history import History
from .loop import Run


class DeviceRun(Run):
    """One run under way on a device."""

    caller: CudaCaller

    def __init__(self, caller: Caller, arrays: Sequence[Any], dim: DimLike | None, history: History, total: int):
        super().__init__(caller, arrays, dim, history, total)
        self.arrays: Sequence[Any] = [
            a if cut or isinstance(a, Held) else self._moved(a)
            for a, cut in zip(self.arrays, self.datasets, strict=True)
        ]
        self.coming: Landing | None = None
        self.following: list[Given] = []

    def segment(self, segment: Segment, report: Callable[[History], Any]) -> None:
        given = self.given(segment, 0)
        self.coming = None
        hot, frame = self.caller.take(given)  # type: ignore[arg-type]
        try:
            for step in range(segment.steps):
                outputs = self.places(frame)
                landing, self.coming = self.coming, None
                bring = functools.partial(self.bring, segment, step + 1)
                run = self.caller.program.run
                code = self.caller.guarded(frame, run, frame, given, landing, outputs, False, bring)
                if code:
                    self.fail(frame, segment, step, code)
                self.history.advance(1, segment.rows)
                report(self.history)
                given = self.following
        finally:
            hot.append(frame)
            if self.coming is not None:
                self.caller.leave(self.coming)

    def given(self, segment: Segment, step: int) -> list[Given]:
        """What a step of a segment reads."""
        if segment.rows is None:
            return list(self.arrays)
        start = segment.start + step * segment.rows
        stop = start + segment.rows
        found: list[Given] = []
        for node, array, cut in zip(self.caller.inputs, self.arrays, self.datasets, strict=True):
            if not cut:
                found.append(array)
            elif not isinstance(array, Held):
                rows: Any = segment.order[start:stop] if segment.order.size else slice(start, stop)
                found.append(np.ascontiguousarray(array[rows]))
            elif segment.order.size:
                raise InputError(
                    message(
                        f"dataset {node.name!r} cannot be shuffled where it is",
                        got="an array on a device",
                        expected="one in the host's memory, of which batches are gathered",
                        at=user_line(),
                        created=False,
                        hint="shuffle=False takes its rows as they come",
                    )
                )
            else:
                found.append(array.rows(start, stop))
        return found

    def batch(self, segment: Segment, step: int) -> list[np.ndarray]:
        return self.caller.host(self.given(segment, step))

    def bring(self, segment: Segment, step: int) -> None:
        """Gather what the next step reads, and copy it, beside the one under way."""
        self.following = self.given(segment, step) if step < segment.steps else []
        if any(isinstance(g, np.ndarray) for g in self.following):
            self.coming = self.caller.program.dock.take(self.following)
            self.coming.bring(self.following, self.caller.device.ahead, always=True)

    def places(self, frame: Any) -> list[np.ndarray]:
        """Where the outputs of the next step go."""
        return [track.place(shape) for track, shape in zip(self.history.tracks, frame.shapes, strict=True)]

    def _moved(self, array: np.ndarray) -> Held:
        moved = to_device(array, self.caller.device.name)
        return Held(moved._memory.address, array.shape, array.dtype, moved)
