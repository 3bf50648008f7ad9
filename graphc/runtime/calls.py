"""Calling a program: a frame per call in flight, guards around it, results and failures handed back.

The quick way is a built-in function (see `native`), which compares arguments with what its frame is laid out for. What
it does not take (lists, strided arrays, new sizes, mistakes) goes the careful way, in Python.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from inspect import Signature
from typing import Any

import numpy as np

from ..errors import InputError, count, message, user_line
from ..ir.evaluate import bind_dims, check_sizes
from ..ir.guard import Guard, share
from ..ir.op import Aval
from ..ir.tensor import Tensor
from ..ir.tree import Tree
from . import native
from .arguments import bind_arguments
from .failures import failure
from .inputs import as_inputs, in_place
from .program import Frame, Program
from .supply import address

MAX_SIZES = 16
"""How many tuples of sizes keep their frames; the least recently used goes first."""
MAX_BYTES = 1 << 28
"""Size of the memory of kept frames beyond which only the last used sizes keep theirs."""

Shapes = tuple[tuple[int, ...], ...]
Frames = list[Frame]


class Caller:
    """Runs a program on arrays, from any number of threads.

    hot    one item: the free frames for the sizes last used
    sizes  of the named dims, last used
    place  the device on which the program works on params; None: the host's memory
    """

    place: str | None = None

    def __init__(self, program: Program, tree: Tree):
        self.program, self.tree = program, tree
        graph = program.graph
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self.scalars = [k for k, n in enumerate(self.inputs) if not n.shape]
        self.is_array = [bool(n.shape) for n in self.outputs]
        updated = {p.state: None for p, _ in graph.updates}
        share(updated)
        share([p.state for p in graph.params if p.state not in updated])
        guards = {**{p.state.guard: False for p in graph.params}, **{s.guard: True for s in updated}}
        self.guards: list[tuple[Guard, bool]] = sorted(guards.items(), key=lambda item: item[0].number)
        self.frames: OrderedDict[Shapes, Frames] = OrderedDict()
        self.lock = threading.RLock()
        self.hot: list[Frames] = [[]]
        self.sizes: dict[str, int] = {}

    def __call__(self, values: Sequence[Any]) -> Any:
        """One step on one value per input; the outputs in their structure."""
        return self.careful(values)

    def function(self, inputs: Tree) -> Callable[..., Any]:
        """The function of arguments nested as `inputs`, by position or by name, that runs one step.

        It keeps this caller alive, which knows nothing of it: a step that nobody holds is free at once.
        """

        def with_values(*values: Any) -> Any:
            return self.careful(values)

        flat = all(child.kind is None for child in inputs.children)
        count = len(inputs.children)
        run = self.built_in(self.inputs, self.hot, with_values, self.fail) if self.native else with_values

        def with_arguments(*args: Any, **named: Any) -> Any:
            if flat and not named and len(args) == count:
                return self.careful(args)
            return run(*bind_arguments(inputs, self.inputs, args, named))

        if not flat or not self.native:
            return with_arguments
        return self.built_in(self.inputs, self.hot, with_arguments, self.fail)

    def built_in(
        self, inputs: Sequence[Tensor], hot: list[Frames], careful: Callable[..., Any], fail: Callable[..., Any]
    ) -> Callable[..., Any]:
        """The built-in function that runs in frames of `hot`."""
        types = [n.aval for n in inputs], [n.aval for n in self.outputs]
        around = functools.partial(_around, self.guarded, self.program.go)
        return native.built_in(
            Frame, self.program.positions(), *types, self.tree, self.guards, around, hot, careful, fail
        )

    @property
    def native(self) -> bool:
        """Whether there are built-in functions for it."""
        return native.available()

    def fail(self, frame: Frame, values: Sequence[Any]) -> None:
        """Raise the error of the step just run."""
        raise self.failed(frame, int(frame.m[0]), values)

    def prepare(self, values: Sequence[Any]) -> list[Any]:
        """The arguments as arrays the program can read."""
        return as_inputs(self.inputs, values)

    def bind(self, values: Sequence[Any]) -> Bound:
        """See `Step.bind`."""
        return Bound(self, values)

    def prefetch(self, values: Sequence[Any]) -> None:
        """See `Step.prefetch`: arrays here are read where they are, so there is nothing to do but to look at them."""
        self.prepare(values)

    def careful(self, values: Sequence[Any]) -> Any:
        """A call on anything that can be made to fit, or the error that says why it does not."""
        arrays = as_inputs(self.inputs, values)
        hot, frame = self.take(arrays)
        try:
            for k in self.scalars:
                frame.scalars[k][0] = arrays[k]
            return self.once(frame, [a for a in arrays if a.ndim], arrays)
        finally:
            hot.append(frame)
            self.hot[0] = hot

    def once(self, frame: Frame, arrays: Sequence[np.ndarray], values: Sequence[Any]) -> Any:
        """One step in `frame` on `arrays`, which are the inputs among `values` that have axes."""
        fresh = [supply.take() for supply in frame.supplies]
        code = self.guarded(frame, self.program.run, frame, arrays, fresh)
        if code != 0:
            raise self.failed(frame, code, values)
        given, numbers = iter(fresh), iter(frame.reads)
        return self.tree.build([next(given) if is_array else next(numbers)[0] for is_array in self.is_array])

    def guarded(self, token: object, function: Callable[..., Any], *arguments: Any, first: int = 0) -> Any:
        """``function(*arguments)`` with the guards from number `first` on taken."""
        if first == len(self.guards):
            return function(*arguments)
        guard, writes = self.guards[first]
        if not writes:
            try:
                guard.enter(token, self.place)
                return self.guarded(token, function, *arguments, first=first + 1)
            finally:
                guard.readers.pop(token, None)
        with guard.turn:
            guard.drain(self.place)
            guard.writes[0] += 1
            result = self.guarded(token, function, *arguments, first=first + 1)
        guard.give_way()
        return result

    def failed(self, frame: Frame, code: int, values: Sequence[Any]) -> Exception:
        """The error of the step just run."""
        return failure(self.program.graph, self.program.text, code, as_inputs(self.inputs, values), frame.env)

    # frames

    def take(self, arrays: Sequence[np.ndarray]) -> tuple[Frames, Frame]:
        """A free frame for arrays of these shapes, or a new one, and the list it goes back to."""
        shapes = tuple([a.shape for a in arrays])
        with self.lock:
            free = self.frames.pop(shapes, None)
            if free is not None:
                self.frames[shapes] = free
        if free is None:
            env = bind_dims(self.inputs, arrays)
            check_sizes(self.program.plan.checks, env, self.inputs)
            frame = self.program.frame(env)
            with self.lock:
                free = self.frames.setdefault(shapes, [])
                self.forget(frame.nbytes)
        else:
            try:
                frame = free.pop()
            except IndexError:
                frame = self.program.frame(bind_dims(self.inputs, arrays))
        self.sizes = frame.env
        return free, frame

    def forget(self, nbytes: int) -> None:
        """Drop frames of sizes not used lately, when there are too many or they take too much memory."""
        nbytes += sum(f.nbytes for free in self.frames.values() for f in free)
        while len(self.frames) > 1 and (len(self.frames) > MAX_SIZES or nbytes > MAX_BYTES):
            _, dropped = self.frames.popitem(last=False)
            nbytes -= sum(f.nbytes for f in dropped)


def _around(guarded: Callable[..., int], go: Callable[[Frame], int], frame: Frame) -> int:
    """One step in `frame`, whose arrays are in place, under several guards."""
    return guarded(frame, go, frame)


class Bound:
    """A step bound to arrays: called without arguments, it reads them as they are by then.

    Made by `Step.bind`. It keeps the arrays alive; write into them (``x[:] = ...``) between calls, not during one.
    """

    __slots__ = {"__call__": "One step; raises as a call of the step does.", "__dict__": "", "__weakref__": ""}
    __call__: Callable[[], Any]

    def __init__(self, caller: Caller, values: Sequence[Any]):
        self.work = work = BoundCaller(caller, values)
        self.__call__ = work.careful
        if caller.native:
            self.__call__ = caller.built_in((), work.hot, work.careful, work.fail)
        self.__signature__ = Signature()

    def __repr__(self) -> str:
        caller, arrays = self.work.caller, self.work.arrays
        inputs = [f"{n.name}: {Aval(a.shape, a.dtype)}" for n, a in zip(caller.inputs, arrays, strict=True)]
        return f"<Bound {caller.program.graph.name}({', '.join(inputs)})>"


def refuse_arguments(args: Sequence[Any], named: Mapping[str, Any]) -> None:
    """Raise for arguments of a bound step."""
    if args or named:
        raise InputError(
            message(
                "a bound step is called without arguments",
                got=count(len(args) + len(named), "argument"),
                at=user_line(),
                created=False,
                hint="it reads the arrays it was bound to: write into those (x[:] = ...), or call the step itself",
            )
        )


class BoundCaller:
    """Runs a program on the same arrays again and again; it knows nothing of the `Bound`, which so is free at once."""

    def __init__(self, caller: Caller, values: Sequence[Any]):
        self.arrays = [in_place(node, value) for node, value in zip(caller.inputs, values, strict=True)]
        self.caller = caller
        self.env = bind_dims(caller.inputs, self.arrays)
        check_sizes(caller.program.plan.checks, self.env, caller.inputs)
        self.hot = [[self.frame()]]

    def frame(self) -> Frame:
        """A frame in which the inputs are the bound arrays."""
        program = self.caller.program
        frame = program.frame(self.env)
        for k, array in enumerate(self.arrays):
            frame.m[program.first_input + k] = array if program.plain else address(array)
        return frame

    def careful(self, *args: Any, **named: Any) -> Any:
        """A call in Python, while another thread uses the frames there are, say."""
        refuse_arguments(args, named)
        free = self.hot[0]
        try:
            frame = free.pop()
        except IndexError:
            frame = self.frame()
        try:
            return self.caller.once(frame, (), self.arrays)
        finally:
            free.append(frame)

    def fail(self, frame: Frame, values: Sequence[Any]) -> None:
        """Raise the error of the step just run."""
        self.caller.fail(frame, self.arrays)
