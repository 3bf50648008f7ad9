"""The chained Rosenbrock function of 1e5 numbers in float64: value and gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import peers
from ..workload import Data, Run, Workload, by_hand, reference_of


def data(n: int = 100_000) -> Data:
    return {"x": np.random.default_rng(0).uniform(-2, 2, n)}


def value(m: Any, x: Any) -> Any:
    return m.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def with_graphc(data: Data, threads: int) -> Run:
    import graphc as gc

    x = gc.input("x", ("n",))
    value = gc.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    step = gc.compile([x], [value, gc.grad(value, x)], threads=threads, name="rosenbrock")
    return Run(step, (data["x"],))


def gradient(x: Any) -> Any:
    a = x[:-1]
    climb = x[1:] - a * a
    slope = np.zeros_like(x)
    slope[1:] = 200 * climb
    slope[:-1] -= 400 * climb * a + 2 * (1 - a)
    return [np.sum(100 * climb**2 + (1 - a) ** 2), slope]


def with_numba(data: Data, threads: int) -> Run:
    from ..loops.rosenbrock import gradient

    return Run(gradient, (data["x"],))


WORKLOADS = [
    Workload(
        "rosenbrock",
        "Rosenbrock function of 1e5 numbers, value and gradient, float64",
        data,
        {"n": 20},
        reference_of(by_hand(gradient)),
        1e-11,
        {
            "graphc": with_graphc,
            "numpy": by_hand(gradient),
            "numba": with_numba,
            **peers.gradients(value, wrt="x"),
        },
    )
]
