"""Logistic regression on 1e5 rows of 50 features: loss, gradients, one full-batch step of descent."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import peers
from ..workload import Data, Run, Workload, descent_by_hand, reference_of

RATE = 0.1


def data(rows: int = 100_000, features: int = 50) -> Data:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, features), np.float32)
    y = rng.random(rows) < 1 / (1 + np.exp(-x @ rng.normal(0, 0.3, features)))
    return {"x": x, "y": y.astype("f4"), "w": np.zeros(features, "f4"), "b": np.zeros((), "f4")}


def loss(m: Any, w: Any, b: Any, x: Any, y: Any) -> Any:
    z = x @ w + b
    return m.mean(m.softplus(z) - y * z)


def with_graphc(data: Data, threads: int) -> Run:
    import graphc as gc

    x, y = gc.input("x", ("n", data["x"].shape[1]), "float32"), gc.input("y", ("n",), "float32")
    w, b = gc.param(data["w"], name="w"), gc.param(data["b"], name="b")
    z = x @ w + b
    value = gc.mean(gc.softplus(z) - y * z)
    dw, db = gc.grad(value, [w, b])
    step = gc.compile([x, y], value, {w: w - RATE * dw, b: b - RATE * db}, threads=threads, name="logistic")
    return Run(step, (data["x"], data["y"]), lambda value: [value, w.value, b.value])


def by_hand(w: Any, b: Any, x: Any, y: Any) -> Any:
    z = x @ w + b
    value = np.mean(np.logaddexp(0, z) - y * z)
    residual = (1 / (1 + np.exp(-z)) - y) / y.size
    return value, residual @ x, residual.sum()


def with_numba(data: Data, threads: int) -> Run:
    from ..loops.logistic import descend

    w, b = data["w"].copy(), data["b"].copy()
    return Run(descend, (data["x"], data["y"], w, b, np.float32(RATE)), lambda value: [value, w, b])


with_numpy = descent_by_hand(by_hand, ["w", "b"], RATE)

WORKLOADS = [
    Workload(
        "logistic",
        "logistic regression, 1e5 x 50, one step of descent",
        data,
        {"rows": 20, "features": 3},
        reference_of(with_numpy, calls=3),
        1e-4,
        {
            "graphc": with_graphc,
            "numpy": with_numpy,
            "numba": with_numba,
            **peers.descent(loss, params="w b", given="x y", rate=RATE),
        },
        calls=3,
    )
]
