"""`contrast`: one function run by the dynamic engine and by the compiled step, measured side by side."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import eager
from .api import compile as gc_compile
from .api import grad, value_and_grad
from .eager.engine import Engine
from .eager.tape import Node
from .errors import CompileError, InputError, message, shown, user_line
from .ir.apply import is_tensor
from .ir.leaves import Param
from .ir.leaves import input as gc_input
from .ir.tree import flatten
from .tracing import Traced, argument_names, as_array

_SECONDS = 0.2
_STRETCH = 2e-4
_REPEATS = 200
_TOLERANCE = {"float32": 1e-4, "float64": 1e-9}


@dataclass(frozen=True)
class Side:
    """What one engine did in one step: forward and gradients.

    nodes      nodes built (on the tape; of the graph)
    kernels    kernels launched: ops executed one by one, or compiled kernels called
    allocated  bytes of the results it allocated
    peak       bytes in use at the highest point, arguments aside; an arena that is kept counts
    seconds    median time of a step
    """

    nodes: int
    kernels: int
    allocated: int
    peak: int
    seconds: float


@dataclass(frozen=True)
class Contrast:
    """The comparison. `value` and `gradients` are the compiled step's; both engines agreed on them.

    `compiled` is the step itself, as `gc.compile` of a graph gives it. A traced function, as ``gc.compile(f)`` and
    ``gc.value_and_grad(f)`` give it, finds the step that belongs to its arguments at each call.

    find_seconds      what that takes more; None for a function of params, whose graph is compiled itself
    compile_seconds   tracing, differentiating, generating and compiling, or loading what was compiled before
    traced_nodes      nodes of the graph, built once
    """

    eager: Side
    compiled: Side
    find_seconds: float | None
    compile_seconds: float
    traced_nodes: int
    value: Any
    gradients: tuple[np.ndarray, ...]

    def __str__(self) -> str:
        rows = [("per step", "eager", "compiled")]
        rows += [
            (title, form(getattr(self.eager, name)), form(getattr(self.compiled, name)))
            for title, name, form in (
                ("nodes built", "nodes", str),
                ("kernels launched", "kernels", str),
                ("bytes allocated", "allocated", _bytes),
                ("peak memory", "peak", _bytes),
                ("time", "seconds", _time),
            )
        ]
        if self.find_seconds is not None:
            rows.append(("per call of the traced function", "", ""))
            rows.append(("finding the step", "", _time(self.find_seconds)))
        rows.append(("once", "", ""))
        rows.append(("graph nodes", "", str(self.traced_nodes)))
        rows.append(("trace and compile", "", _time(self.compile_seconds)))
        return "\n".join(f"{title:<18}{left:>14}{right:>14}".rstrip() for title, left, right in rows)

    def __repr__(self) -> str:  # one line, for a prompt where `contrast` has just printed the table
        return f"<Contrast eager {_time(self.eager.seconds)}, compiled {_time(self.compiled.seconds)} a step>"


def contrast(f: Callable[..., Any], *arrays: Any) -> Contrast:
    """Run ``f(*arrays)`` and its gradients eagerly and compiled; prints and returns the comparison.

    f        a function of tensors that gives a 0-d float tensor, written with graphc's or NumPy's functions; it may
             use a model: ``gc.contrast(lambda x, t: gc.nn.cross_entropy(model(x), t), images, labels)``
    arrays   its arguments; gradients are taken with respect to all float arrays, or, where `f` reads trainable params,
             to those instead

    Raises `CompileError` where the two engines disagree about the value or a gradient.

    >>> import graphc as gc
    >>> result = gc.contrast(lambda w, x: gc.sum((w * x) ** 2), np.ones(3), np.ones(3))  # doctest: +ELLIPSIS
    per step                   eager      compiled
    nodes built                    3             0
    ...
    >>> float(result.value), result.gradients[0].tolist()
    (3.0, [2.0, 2.0, 2.0])
    """
    if is_tensor(f) or not callable(f):
        raise InputError(
            message(
                "gc.contrast compares the engines on a function",
                got=shown(f),
                expected="a function: gc.contrast(lambda w, x: ..., w, x)",
                at=user_line(),
                created=False,
            )
        )
    given = [as_array(a) for a in arrays]
    wrt = tuple(k for k, a in enumerate(given) if a.dtype.kind == "f")
    if not given:
        raise InputError(
            message("nothing to contrast", expected="the arguments of f as arrays", at=user_line(), created=False)
        )
    start = time.perf_counter()
    tree = flatten((arrays, {}))[0]
    inputs = [gc_input(n, a.shape, a.dtype) for n, a in zip(argument_names(f, tree), given, strict=True)]
    function = value_and_grad(f, argnums=wrt) if wrt else gc_compile(f)
    graph = function.first_trace(f, *inputs)
    params: list[Any] = [n for n in graph.nodes if isinstance(n, Param) and n.trainable and n.dtype.kind == "f"]
    traced: Traced | None = None
    if params:
        step = gc_compile(inputs, [*graph.outputs, *grad(graph.outputs[0], params)], name=graph.name)
        compiled_result = step(*given)
    else:
        traced = function
        compiled_result = traced(*given)
        (step,) = traced.steps.values()
    compile_seconds = time.perf_counter() - start

    def run_compiled() -> Any:
        return step(*given)

    tensors = [eager.tensor(a, requires_grad=not params and k in wrt) for k, a in enumerate(given)]
    leaves = params or [tensors[k] for k in wrt]

    def run_eager() -> list[Any]:
        for leaf in leaves:
            leaf.grad = None
        y = f(*tensors)
        if leaves:
            y.backward()
        return [y, *[leaf.grad for leaf in leaves]]

    found = flatten(compiled_result)[1]
    labels = [f"param {p.name!r}" for p in params] or [f"argument {k}" for k in wrt]
    before = [p.grad for p in params]
    _agree(run_eager(), found, labels)
    compiled = _measured(run_compiled, (0, step.kernels.launches, _allocated(found)), step.memory.arena or 0)
    outcome = Contrast(
        _measured(run_eager, _counted(run_eager), 0),
        compiled,
        None if traced is None else max(_seconds(lambda: traced(*given)) - compiled.seconds, 0.0),
        compile_seconds,
        len(step.traced),
        found[0],
        tuple(found[1:]),
    )
    for param, grad_before in zip(params, before, strict=True):
        param.grad = grad_before
    print(outcome)
    return outcome


def _agree(dynamic: list[Any], compiled: list[Any], leaves: list[str]) -> None:
    """Raise where the value or a gradient differs by more than rounding."""
    labels = ["the value", *[f"the gradient of {leaf}" for leaf in leaves]]
    for label, one, other in zip(labels, dynamic, compiled, strict=True):
        left = np.zeros_like(other) if one is None else np.asarray(one.detach() if hasattr(one, "detach") else one)
        right = np.asarray(other)
        tolerance = _TOLERANCE.get(str(right.dtype), 0.0)
        scale = np.max(np.abs(right[np.isfinite(right)]), initial=0.0) if right.dtype.kind == "f" else 0.0
        if not np.allclose(left, right, rtol=tolerance, atol=tolerance * float(scale), equal_nan=True):
            raise CompileError(
                message(f"eager and compiled disagree about {label}", got=f"{right} compiled", expected=f"{left}")
            )


def _counted(run: Callable[[], Any]) -> tuple[int, int, int]:
    """Tape nodes built, ops executed and bytes of their results in one run of the dynamic engine."""
    nodes = kernels = nbytes = 0
    apply, node = Engine.apply.__code__, Node.__init__.__code__

    def watch(frame: Any, event: str, argument: Any) -> None:
        nonlocal nodes, kernels, nbytes
        if event == "call" and frame.f_code is node:
            nodes += 1
        elif event == "return" and frame.f_code is apply:
            kernels += 1
            results = argument if isinstance(argument, tuple) else (argument,)
            nbytes += sum(r._array.nbytes for r in results if r is not None and r._array.base is None)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        run()
    finally:
        sys.setprofile(before)
    return nodes, kernels, nbytes


def _allocated(results: list[Any]) -> int:
    return sum(r.nbytes for r in results)


def _measured(run: Callable[[], Any], counts: tuple[int, int, int], kept: int) -> Side:
    """Time and peak memory of `run`, besides what was counted; `kept` bytes are held between runs."""
    return Side(*counts, peak=kept + _peak(run), seconds=_seconds(run))


def _seconds(run: Callable[[], Any]) -> float:
    """The median time of a `run`, over stretches long enough for the clock."""
    run()
    start = time.perf_counter()
    run()
    once = max(time.perf_counter() - start, 1e-7)
    often = max(1, int(_STRETCH / once))
    times = []
    for _ in range(min(_REPEATS, max(3, int(_SECONDS / (often * once))))):
        start = time.perf_counter()
        for _ in range(often):
            run()
        times.append((time.perf_counter() - start) / often)
    return float(np.median(times))


def _peak(run: Callable[[], Any]) -> int:
    """Bytes above the start at the highest point of `run`, as Python's tracer of allocations sees them."""
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        run()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not tracing:
            tracemalloc.stop()


def _bytes(n: int) -> str:
    size, unit = float(n), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{n} B" if unit == "B" else f"{size:.1f} {unit}"


def _time(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.2f} {unit}"
    return f"{seconds * 1e6:.2f} us"
