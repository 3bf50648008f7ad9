"""Calling a program: a frame per call in flight, guards around it, results and failures handed back.

The fast path is one numba dispatch, which checks dtypes and ranks; compiled code checks sizes and layout against the
frame's. What it does not take (lists, strided arrays, new sizes, mistakes) goes the careful way, in Python.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.evaluate import bind_dims, check_sizes
from ..ir.guard import Guard, share
from .failures import failure
from .inputs import as_inputs, check_count, fits_scalar, in_place
from .program import Frame, Program
from .supply import address

MAX_SIZES = 16
"""How many tuples of sizes keep their frames; the least recently used goes first."""
MAX_BYTES = 1 << 28
"""Size of the arenas of kept frames beyond which only the last used sizes keep theirs."""

Shapes = tuple[tuple[int, ...], ...]
Frames = list[Frame]


class Caller:
    """Runs a program on arrays, from any number of threads."""

    def __init__(self, program: Program):
        self.program = program
        graph = program.graph
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self.scalars = [(k, n.dtype) for k, n in enumerate(self.inputs) if not n.shape]
        self.arrays = [k for k, n in enumerate(self.inputs) if n.shape]
        self.is_array = [bool(n.shape) for n in self.outputs]
        updated = {p.state: None for p, _ in graph.updates}
        share(updated)
        share(p.state for p in graph.params if p.state not in updated)
        written = {s.guard: True for s in updated}
        guards = {**{p.state.guard: False for p in graph.params}, **written}
        self.guards: list[tuple[Guard, bool]] = sorted(guards.items(), key=lambda item: item[0].number)
        self.writer = self.guards[0][0] if len(self.guards) == 1 and written else None
        self.frames: OrderedDict[Shapes, Frames] = OrderedDict()
        self.lock = threading.Lock()
        self.hot: Frames = []
        self.call: Callable[..., int] = _not_yet

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        """One step on `values` (one per input, in order); the outputs as arrays and NumPy scalars."""
        hot = self.hot
        try:
            frame = hot.pop()
        except IndexError:
            return self.careful(values)
        try:
            arrays = self.split(frame, values) if self.scalars else values
            for array in arrays:
                if type(array) is not np.ndarray:
                    break
            else:
                try:
                    code = self.execute(frame, self.call, arrays)
                except TypeError:  # numba has no code for these types
                    code = -1
                if code >= 0:
                    return self.results(frame, code, values)
        finally:
            hot.append(frame)
        return self.careful(values)

    def careful(self, values: Sequence[Any]) -> list[Any]:
        """A call on anything that can be made to fit, or the error that says why it does not."""
        if self.call is _not_yet:
            self.call = self.program.call()
        arrays = as_inputs(self.inputs, values)
        hot, frame = self.take(arrays)
        try:
            for k, _ in self.scalars:
                frame.scalars[k][0] = arrays[k]
            code = self.execute(frame, self.call, [arrays[k] for k in self.arrays])
            return self.results(frame, code, arrays)
        finally:
            hot.append(frame)
            self.hot = hot

    def split(self, frame: Frame, values: Sequence[Any]) -> Sequence[Any]:
        """Store the 0-d inputs in the frame and return the others; all of them where a 0-d one needs care."""
        if len(values) != len(self.inputs):
            return [None]
        for k, dtype in self.scalars:
            if not fits_scalar(dtype, values[k]):
                return [None]
            try:
                frame.scalars[k][0] = values[k]
            except OverflowError:
                return [None]
        return [values[k] for k in self.arrays]

    def execute(self, frame: Frame, call: Callable[..., int], arrays: Sequence[np.ndarray]) -> int:
        """Run one step in `frame`; its error code, or less than 0 where the arrays are not what the frame is for."""
        fresh = frame.fresh = [s.take() for s in frame.supplies] if frame.supplies else _NOTHING
        writer = self.writer
        if writer is not None:
            with writer.turn:
                if writer.readers:
                    writer.drain()
                code = call(frame.m, *arrays, *fresh)
            if writer.waiting:
                writer.give_way()
            return code
        if self.guards:
            return self.guarded(frame, call, frame.m, *arrays, *fresh)
        return call(frame.m, *arrays, *fresh)

    def guarded(self, token: object, function: Callable[..., Any], *arguments: Any, first: int = 0) -> Any:
        """``function(*arguments)`` with the guards from number `first` on taken."""
        if first == len(self.guards):
            return function(*arguments)
        guard, writes = self.guards[first]
        if not writes:
            try:
                guard.enter(token)
                return self.guarded(token, function, *arguments, first=first + 1)
            finally:
                guard.readers.pop(token, None)
        with guard.turn:
            guard.drain()
            result = self.guarded(token, function, *arguments, first=first + 1)
        guard.give_way()
        return result

    def results(self, frame: Frame, code: int, values: Sequence[Any]) -> list[Any]:
        """The outputs of the step just run, or its failure raised."""
        if code:
            fresh, frame.fresh = frame.fresh, _NOTHING
            del fresh
            node = self.program.text.errors[code]
            raise failure(self.program.graph, node, as_inputs(self.inputs, values), frame.env)
        fresh, frame.fresh = frame.fresh, _NOTHING
        if not frame.reads:
            return fresh if fresh is not _NOTHING else []
        if not fresh:
            return [memory[0] for memory in frame.reads]
        arrays, numbers = iter(fresh), iter(frame.reads)
        return [next(arrays) if is_array else next(numbers)[0] for is_array in self.is_array]

    # frames

    def take(self, arrays: Sequence[np.ndarray]) -> tuple[Frames, Frame]:
        """A free frame for arrays of these shapes, or a new one, and the list it goes back to."""
        shapes = tuple([a.shape for a in arrays])
        with self.lock:
            free = self.frames.get(shapes)
            if free is not None:
                self.frames.move_to_end(shapes)
        if free is None:
            env = bind_dims(self.inputs, arrays)
            check_sizes(self.program.plan.checks, env)
            frame = self.program.frame(env)
            with self.lock:
                free = self.frames.setdefault(shapes, [])
                self.forget(frame.nbytes)
            return free, frame
        try:
            return free, free.pop()
        except IndexError:
            return free, self.program.frame(bind_dims(self.inputs, arrays))

    def forget(self, nbytes: int) -> None:
        """Drop frames of sizes not used lately, when there are too many or they take too much memory."""
        nbytes += sum(f.nbytes for free in self.frames.values() for f in free)
        while len(self.frames) > 1 and (len(self.frames) > MAX_SIZES or nbytes > MAX_BYTES):
            _, dropped = self.frames.popitem(last=False)
            nbytes -= sum(f.nbytes for f in dropped)


class Bound:
    """A step bound to arrays: called without arguments, it reads them as they are by then.

    Made by `Step.bind`. It keeps the arrays alive; write into them (``x[:] = ...``) between calls, not during one.
    """

    def __init__(self, caller: Caller, values: Sequence[Any], build: Callable[[list[Any]], Any]):
        self._caller, self._build = caller, build
        check_count(caller.inputs, values)
        self.arrays = [in_place(node, value) for node, value in zip(caller.inputs, values, strict=True)]
        self._env = bind_dims(caller.inputs, self.arrays)
        check_sizes(caller.program.plan.checks, self._env)
        self._call = caller.program.call(with_inputs=False)
        self._frames = [self._frame()]

    def _frame(self) -> Frame:
        program = self._caller.program
        frame = program.frame(self._env)
        for k, array in enumerate(self.arrays):
            frame.m[program.first_input + k] = array if program.plain else address(array)
        return frame

    def __call__(self) -> Any:
        """One step; raises as a call of the step does."""
        caller = self._caller
        try:
            frame = self._frames.pop()
        except IndexError:  # another thread is in a call
            frame = self._frame()
        try:
            code = caller.execute(frame, self._call, _NOTHING)
            return self._build(caller.results(frame, code, self.arrays))
        finally:
            self._frames.append(frame)

    def __repr__(self) -> str:
        arrays = ", ".join(f"{n.name}: {n.dtype}{list(a.shape)}" for n, a in zip(self._caller.inputs, self.arrays))
        return f"<Bound {self._caller.program.graph.name}({arrays})>"


_NOTHING: list[np.ndarray] = []


def _not_yet(*arguments: Any) -> int:
    return -1
