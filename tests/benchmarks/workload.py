"""What a benchmark is made of: data, a reference, and ways to compute the same step with different libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Data = Mapping[str, np.ndarray]
Arrays = Sequence[Any]


class Run(NamedTuple):
    """A step that is ready to be called.

    call  ``call(*args)`` does one step (or `Workload.per_call` of them); when it returns, its results are in memory
    args  what it is called with, every time
    read  ``read(result of call)``: the results as arrays, in the order of the workload's reference
    """

    call: Callable[..., Any]
    args: Sequence[Any] = ()
    read: Callable[[Any], Arrays] = lambda results: results


Way = Callable[[Data, int], Run]
"""A way to compute a workload: ``way(data, threads)`` builds the step."""


@dataclass(frozen=True)
class Workload:
    """One line of the table.

    title      what is computed, in a few words
    data       ``data(**sizes)``: the arrays that every way gets; from a fixed seed
    tiny       sizes for which a test is quick
    reference  ``reference(data)``: the right results, given float64 data
    tolerance  largest error allowed, relative to the largest magnitude in the array it is in
    ways       by name: "graphc", and those of `worker.MODULES` that make sense
    calls      results are compared after this many calls (more than one where a step updates state)
    per_call   steps in one call
    """

    name: str
    title: str
    data: Callable[..., Data]
    tiny: Mapping[str, int]
    reference: Callable[[Data], Arrays]
    tolerance: float
    ways: Mapping[str, Way]
    calls: int = 1
    per_call: int = 1


def in_float64(data: Data) -> Data:
    """The same data, floats widened: what a reference is computed from."""
    return {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in data.items()}


def error(found: Any, expected: Any) -> float:
    """The largest difference, relative to the largest expected magnitude; infinite for NaN and for another shape."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    scale = float(np.max(np.abs(expected)))
    worst = float(np.max(np.abs(found - expected))) / (scale or 1.0)
    return worst if worst == worst else float("inf")


def worst_error(found: Arrays, expected: Arrays) -> float:
    """The largest error over all results; infinite if there are more or fewer than expected."""
    if len(found) != len(expected):
        return float("inf")
    return max(error(f, e) for f, e in zip(found, expected, strict=True))


def by_hand(step: Callable[..., Arrays]) -> Way:
    """The NumPy way of a step without state: ``step(**data)``."""

    def way(data: Data, threads: int) -> Run:
        return Run(lambda: step(**data))

    return way


def descent_by_hand(gradients: Callable[..., Arrays], params: Sequence[str], rate: float, momentum: float = 0.0) -> Way:
    """The NumPy way of gradient descent: ``gradients(**data)`` gives the loss and the gradients of `params`.

    With momentum, ``v = momentum * v + gradient`` and ``p = p - rate * v``. Reads the loss before the last step, and
    the params after it.
    """

    def way(data: Data, threads: int) -> Run:
        values = {k: v.copy() if k in params else v for k, v in data.items()}
        speeds = [np.zeros_like(data[k]) for k in params]

        def step() -> Any:
            loss, *found = gradients(**values)
            for name, speed, gradient in zip(params, speeds, found, strict=True):
                speed *= momentum
                speed += gradient
                values[name] -= rate * speed
            return loss

        return Run(step, (), lambda loss: [loss, *(values[k] for k in params)])

    return way


def reference_of(way: Way, calls: int = 1) -> Callable[[Data], Arrays]:
    """What `way` gives for float64 data after some calls."""

    def reference(data: Data) -> Arrays:
        run = way(in_float64(data), 1)
        for _ in range(calls):
            result = run.call(*run.args)
        return run.read(result)

    return reference
