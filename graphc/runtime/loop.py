"""Many steps in one call: the loop runs in compiled code, without the GIL, a short stretch at a time.

Between stretches Python sees to Ctrl-C, the progress bar, and other threads that want the params.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..ir.dims import DimLike
from ..ir.evaluate import bind_dims, check_sizes
from . import drivers, files
from .batches import Batches, Segment, batch_dim, is_dataset
from .blame import Rows
from .calls import Caller
from .failures import failure
from .history import History
from .program import Frame
from .supply import address

STRETCH = 0.1
"""Seconds a stretch of steps should take: Ctrl-C waits this long at most, or for one step."""
Progress = bool | Callable[[int, list[np.ndarray]], Any]
"""Whether to show a bar; or what is called with the steps done so far, and the outputs of those kept so far."""


def repeat(caller: Caller, values: Sequence[Any], steps: int, every: int, progress: Progress) -> list[Any]:
    """`steps` steps on the same arrays; the outputs of every `every`-th, stacked."""
    arrays = caller.prepare(values)
    env = bind_dims(caller.inputs, arrays)
    check_sizes(caller.program.plan.checks, env, caller.inputs)
    history = History(caller.outputs, env, every, [(steps, None)], None)
    return _kind(caller)(caller, arrays, None, history, steps).all([Segment(steps)], progress)


def over(caller: Caller, arrays: Sequence[np.ndarray], batches: Batches, every: int, progress: Progress) -> list[Any]:
    """Steps on the batches of datasets; the outputs of every `every`-th, stacked or joined along the batch axis."""
    dim = batch_dim(caller.inputs)
    counts = [(s.steps, s.rows) for s in batches._replace(epochs=1, seed=None).segments()] * batches.epochs
    envs = [
        _env(caller, arrays, dim, rows)
        for rows in dict.fromkeys(r for _, r in counts if r is not None) or [batches.rows]
    ]
    for env in envs if counts else []:
        check_sizes(caller.program.plan.checks, env, caller.inputs)
    history = History(caller.outputs, envs[0], every, counts, dim)
    total = batches.epochs * batches.per_epoch
    return _kind(caller)(caller, arrays, dim, history, total).all(batches.segments(), progress)


def _kind(caller: Caller) -> type[Run]:
    """How a caller's runs go."""
    if caller.place is None:
        return Run
    from .cuda_loop import DeviceRun  # only where there is a device

    return DeviceRun


def _env(caller: Caller, arrays: Sequence[np.ndarray], dim: DimLike, rows: int) -> dict[str, int]:
    """The sizes of named dims for batches of `rows` rows; `InputError` where a dataset does not fit."""
    batch = [
        np.broadcast_to(a.dtype.type(0), (rows, *a.shape[1:])) if is_dataset(n, dim) else a
        for n, a in zip(caller.inputs, arrays, strict=True)
    ]
    return bind_dims(caller.inputs, batch)


class Run:
    """One run under way."""

    def __init__(self, caller: Caller, arrays: Sequence[np.ndarray], dim: DimLike | None, history: History, total: int):
        self.caller, self.program = caller, caller.program
        self.arrays: Sequence[Any] = arrays
        self.history, self.total = history, total
        self.datasets = [dim is not None and is_dataset(n, dim) for n in caller.inputs]
        self.staging: dict[int, np.ndarray] = {}
        self.stretch = 1

    def all(self, segments: Iterable[Segment], progress: Progress) -> list[Any]:
        """Run every segment; the outputs."""
        with _reporting(progress, self.total) as report:
            for segment in segments:
                self.segment(segment, report)
            return self.history.results()

    def segment(self, segment: Segment, report: Callable[[History], Any]) -> None:
        """Run the steps of a segment, a stretch at a time."""
        hot, frame = self.caller.take(self.batch(segment, 0))
        home = frame.m[:] if self.program.plain else frame.m.copy()
        try:
            for k in self.caller.scalars:
                frame.scalars[k][0] = self.arrays[k]
            advance = self.plain_stretch if self.program.plain else self.compiled_stretch(segment, frame)
            done = 0
            while done < segment.steps:
                count = min(self.stretch, segment.steps - done)
                began = time.perf_counter()
                ran = self.caller.guarded(frame, advance, frame, segment, done, count)
                self.adapt(count, time.perf_counter() - began)
                self.history.advance(ran, segment.rows)
                report(self.history)
                if ran < count:
                    self.fail(frame, segment, done + ran, int(frame.m[0]))
                done += ran
        finally:
            frame.m[:] = home
            hot.append(frame)

    def batch(self, segment: Segment, step: int) -> list[np.ndarray]:
        """The arrays that a step of a segment reads."""
        if segment.rows is None:
            return list(self.arrays)
        start = segment.start + step * segment.rows
        rows: Any = slice(start, start + segment.rows)
        if segment.order.size:
            rows = segment.order[rows]
        return [a[rows] if cut else a for a, cut in zip(self.arrays, self.datasets, strict=True)]

    def rows(self, segment: Segment, step: int) -> Rows | None:
        """The batch dim, and the rows of the datasets that a step of a segment reads; None where there are none."""
        if segment.rows is None:
            return None
        start = segment.start + step * segment.rows
        rows = np.arange(start, start + segment.rows)
        return batch_dim(self.caller.inputs), segment.order[rows] if segment.order.size else rows

    def adapt(self, steps: int, seconds: float) -> None:
        """Choose the length of the next stretch from how long one of `steps` steps took."""
        if self.program.plain:
            return
        if steps == self.stretch or seconds > STRETCH:
            self.stretch = max(1, min(8 * steps, int(steps * STRETCH / max(seconds, 1e-9))))

    def fail(self, frame: Any, segment: Segment, step: int, code: int) -> None:
        """Raise the error of a step that did not finish; the params are those of the step before."""
        where = f" at step {self.history.steps + 1} of {self.total}"
        arrays, rows = self.batch(segment, step), self.rows(segment, step)
        raise failure(self.program.graph, self.program.text, code, arrays, frame.env, where, rows)

    def compiled_stretch(self, segment: Segment, frame: Frame) -> Any:
        """The function that runs `count` steps from number `done` of the segment on; returns how many were done."""
        m, program, rows = frame.m, self.program, segment.rows or 0
        sources = []
        for k, array in enumerate(self.arrays):
            if self.datasets[k]:
                width = array.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
                stage = self.stage(k, rows * width) if segment.order.size else 0
                sources.append((program.first_input + k, address(array), width, stage))
            elif array.shape:
                m[program.first_input + k] = address(array)
        for k, track in enumerate(self.history.tracks):
            m[program.first_output + k] = track.address()
        moves = self.history.moves(program.first_output, segment.rows)
        table = np.array(sources, np.int64).reshape(-1, 4)
        loop, entry = files.load(drivers.LOOP).loop.ctypes, int(m[-1])
        order = address(segment.order) if segment.order.size else 0

        def advance(frame: Frame, segment: Segment, done: int, count: int) -> int:
            start, before, every = segment.start + done * rows, self.history.steps, self.history.every
            tables = (address(table), len(table), address(moves), len(moves))
            assert isinstance(frame.m, np.ndarray)  # it is a list where jit is disabled only
            return int(loop(address(frame.m), entry, count, before, every, start, rows, order, *tables))

        return advance

    def stage(self, k: int, nbytes: int) -> int:
        """The address of memory for one shuffled batch of input `k`."""
        if k not in self.staging or self.staging[k].nbytes < nbytes:
            self.staging[k] = np.empty(nbytes, np.uint8)
        return address(self.staging[k])

    def plain_stretch(self, frame: Frame, segment: Segment, done: int, count: int) -> int:
        """The same where jit is disabled, for one step."""
        arrays = [np.ascontiguousarray(a) for a in self.batch(segment, done) if a.ndim]
        shapes = iter([supply.shape for supply in frame.supplies])
        tracks = list(zip(self.history.tracks, self.caller.is_array, strict=True))
        fresh = [track.place(next(shapes)) for track, is_array in tracks if is_array]
        if self.program.run(frame, arrays, fresh):
            return 0
        numbers = iter(frame.reads)
        for track, is_array in tracks:
            if not is_array:
                track.place(())[...] = next(numbers)[0]
        return count


@contextmanager
def _reporting(progress: Progress, total: int) -> Iterator[Callable[[History], Any]]:
    """What is to be called after every stretch of steps."""
    if callable(progress):
        yield lambda history: progress(history.steps, history.so_far())
    elif progress:
        from tqdm.auto import tqdm

        with tqdm(total=total, unit="step") as bar:
            yield lambda history: bar.update(history.steps - bar.n)
    else:
        yield lambda history: None
