"""A line through a hundred points noisy in both directions: squared distances, one step of descent; and a million.

The points and the rate are those of examples/orthogonal_fit.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import on_jax, peers
from ..workload import Data, Run, Workload, descent_by_hand, reference_of

RATE, STEPS, COMPARED = 1e-5, 1_000_000, 100


def data(points: int = 100) -> Data:
    rng = np.random.default_rng(0)
    x = np.linspace(0, 100, points)
    y = 2.5 * x + 1
    x, y = x + rng.normal(0, 2, points), y + rng.normal(0, 2, points)
    return {"x": x.astype("f4"), "y": y.astype("f4"), "a": np.zeros((), "f4"), "b": np.zeros((), "f4")}


def loss(m: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    return m.mean((a * x - y + b) ** 2 / (a**2 + 1))


def graphc_step(data: Data, threads: int) -> tuple[Any, list[Any]]:
    import graphc as gc

    x, y = gc.input("x", ("n",), "float32"), gc.input("y", ("n",), "float32")
    a, b = gc.param(data["a"], name="a"), gc.param(data["b"], name="b")
    value = loss(gc, a, b, x, y)
    da, db = gc.grad(value, [a, b])
    step = gc.compile([x, y], value, {a: a - RATE * da, b: b - RATE * db}, threads=threads, name="orthogonal fit")
    return step, [a, b]


def with_graphc(data: Data, threads: int) -> Run:
    step, params = graphc_step(data, threads)
    return Run(step, (data["x"], data["y"]), lambda value: [value, *(p.value for p in params)])


def run_with_graphc(data: Data, threads: int) -> Run:
    step, _ = graphc_step(data, threads)
    return Run(lambda: step.run(data["x"], data["y"], steps=STEPS), (), lambda losses: [losses[:COMPARED]])


def by_hand(a: Any, b: Any, x: Any, y: Any) -> Any:
    residual, below = a * x - y + b, a**2 + 1
    value = np.mean(residual**2) / below
    return value, 2 * (np.mean(residual * x) - a * value) / below, 2 * np.mean(residual) / below


with_numpy = descent_by_hand(by_hand, ["a", "b"], RATE)


def first_losses(data: Data) -> list[Any]:
    """The losses that a run begins with."""
    run = with_numpy(data, 1)
    return [np.array([run.call() for _ in range(COMPARED)])]


def with_numba(data: Data, threads: int) -> Run:
    from ..loops.orthogonal_fit import descend

    params = np.array([data["a"], data["b"]])
    return Run(descend, (data["x"], data["y"], params, np.float32(RATE)), lambda value: [value, *params])


def run_with_numba(data: Data, threads: int) -> Run:
    from ..loops.orthogonal_fit import run

    params = np.array([data["a"], data["b"]])
    args = (data["x"], data["y"], params, np.float32(RATE), STEPS)
    return Run(run, args, lambda losses: [losses[:COMPARED]])


def run_with_jax(data: Data, threads: int) -> Run:
    return on_jax.descent_loop(loss, data, ["a", "b"], ["x", "y"], RATE, STEPS, COMPARED)


WORKLOADS = [
    Workload(
        "orthogonal_fit",
        "orthogonal line fit, 100 points, one call a step",
        data,
        {"points": 7},
        reference_of(with_numpy, calls=3),
        1e-5,
        {
            "graphc": with_graphc,
            "numpy": with_numpy,
            "numba": with_numba,
            **peers.descent(loss, params="a b", given="x y", rate=RATE),
        },
        calls=3,
    ),
    Workload(
        "orthogonal_fit_run",
        "orthogonal line fit, 1e6 steps in one call",
        data,
        {"points": 7},
        first_losses,
        1e-4,
        {"graphc": run_with_graphc, "numba": run_with_numba, "jax": run_with_jax},
        per_call=STEPS,
    ),
]
