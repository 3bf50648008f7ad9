"""A line through eleven points: mean squared error, its two derivatives, one step of descent; and a million steps.

The points are those of examples/line_fit.py, scaled so that the rate is stable.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import on_jax, peers
from ..workload import Data, Run, Workload, descent_by_hand, reference_of

RATE, STEPS, COMPARED = 1e-2, 1_000_000, 100
T_Y = [0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0]
T_X = [3.57, 5.59, 5.82, 8.19, 5.63, 4.89, 3.39, 2.18, 4.84, 6.04, 6.84]


def data(points: int = 11) -> Data:
    x, y = np.array(T_X[:points], "f4"), np.array(T_Y[:points], "f4")
    return {"x": x, "y": y, "w": np.array(1, "f4"), "b": np.array(0, "f4")}


def loss(m: Any, w: Any, b: Any, x: Any, y: Any) -> Any:
    return m.mean((w * x + b - y) ** 2)


def graphc_step(data: Data, threads: int) -> tuple[Any, list[Any]]:
    import graphc as gc

    x, y = gc.input("x", ("n",), "float32"), gc.input("y", ("n",), "float32")
    w, b = gc.param(data["w"], name="w"), gc.param(data["b"], name="b")
    value = loss(gc, w, b, x, y)
    dw, db = gc.grad(value, [w, b])
    step = gc.compile([x, y], value, {w: w - RATE * dw, b: b - RATE * db}, threads=threads, name="line fit")
    return step, [w, b]


def with_graphc(data: Data, threads: int) -> Run:
    step, params = graphc_step(data, threads)
    return Run(step, (data["x"], data["y"]), lambda value: [value, *(p.value for p in params)])


def run_with_graphc(data: Data, threads: int) -> Run:
    step, _ = graphc_step(data, threads)
    return Run(lambda: step.run(data["x"], data["y"], steps=STEPS), (), lambda losses: [losses[:COMPARED]])


def by_hand(w: Any, b: Any, x: Any, y: Any) -> Any:
    residual = w * x + b - y
    return np.mean(residual**2), np.mean(2 * residual * x), np.mean(2 * residual)


with_numpy = descent_by_hand(by_hand, ["w", "b"], RATE)


def first_losses(data: Data) -> list[Any]:
    """The losses that a run begins with."""
    run = with_numpy(data, 1)
    return [np.array([run.call() for _ in range(COMPARED)])]


def with_numba(data: Data, threads: int) -> Run:
    from ..loops.line_fit import descend

    params = np.array([data["w"], data["b"]])
    return Run(descend, (data["x"], data["y"], params, np.float32(RATE)), lambda value: [value, *params])


def run_with_numba(data: Data, threads: int) -> Run:
    from ..loops.line_fit import run

    params = np.array([data["w"], data["b"]])
    args = (data["x"], data["y"], params, np.float32(RATE), STEPS)
    return Run(run, args, lambda losses: [losses[:COMPARED]])


def run_with_jax(data: Data, threads: int) -> Run:
    return on_jax.descent_loop(loss, data, ["w", "b"], ["x", "y"], RATE, STEPS, COMPARED)


WORKLOADS = [
    Workload(
        "line_fit",
        "line fit, 11 points, one call a step",
        data,
        {"points": 5},
        reference_of(with_numpy, calls=3),
        1e-5,
        {
            "graphc": with_graphc,
            "numpy": with_numpy,
            "numba": with_numba,
            **peers.descent(loss, params="w b", given="x y", rate=RATE),
        },
        calls=3,
    ),
    Workload(
        "line_fit_run",
        "line fit, 1e6 steps in one call",
        data,
        {"points": 5},
        first_losses,
        1e-5,
        {"graphc": run_with_graphc, "numba": run_with_numba, "jax": run_with_jax},
        per_call=STEPS,
    ),
]
