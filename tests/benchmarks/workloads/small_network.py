"""A 4-5-3-1 network on 16 points (relu, exact gelu, sigmoid; mean squared error): one step of descent; and a million.

The network of examples/small_network.py, in float32.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import erf

from .. import on_jax, peers
from ..workload import Data, Run, Workload, descent_by_hand, reference_of

RATE, STEPS, COMPARED = 0.1, 1_000_000, 100
SIZES = (4, 5, 3, 1)
PARAMS = ["w1", "b1", "w2", "b2", "w3", "b3"]
ROOT = 2**-0.5


def data(batch: int = 16) -> Data:
    rng = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {}
    for k, (n, m) in enumerate(pairwise(SIZES), 1):
        weights[f"w{k}"], weights[f"b{k}"] = rng.normal(0, n**-0.5, (n, m)), rng.normal(0, 0.1, m)
    x = rng.standard_normal((batch, SIZES[0]))
    t = x[:, :1] * x[:, 1:2] > 0
    return {k: v.astype("f4") for k, v in {**weights, "x": x, "t": t}.items()}


def loss(m: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, x: Any, t: Any) -> Any:
    h = m.relu(x @ w1 + b1)
    z = h @ w2 + b2
    h = z * 0.5 * (1 + m.erf(z * ROOT))
    return m.mean((m.sigmoid(h @ w3 + b3) - t) ** 2)


def graphc_step(data: Data, threads: int) -> tuple[Any, list[Any]]:
    import graphc as gc

    x, t = gc.input("x", ("batch", 4), "float32"), gc.input("t", ("batch", 1), "float32")
    params = [gc.param(data[k], name=k) for k in PARAMS]
    value = loss(gc, *params, x, t)
    updates = {p: p - RATE * g for p, g in zip(params, gc.grad(value, params), strict=True)}
    return gc.compile([x, t], value, updates, threads=threads, name="small network"), params


def with_graphc(data: Data, threads: int) -> Run:
    step, params = graphc_step(data, threads)
    return Run(step, (data["x"], data["t"]), lambda value: [value, *(p.value for p in params)])


def run_with_graphc(data: Data, threads: int) -> Run:
    step, _ = graphc_step(data, threads)
    return Run(lambda: step.run(data["x"], data["t"], steps=STEPS), (), lambda losses: [losses[:COMPARED]])


def by_hand(w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, x: Any, t: Any) -> Any:
    h1 = np.maximum(x @ w1 + b1, 0)
    z2 = h1 @ w2 + b2
    phi = 0.5 * (1 + erf(z2 * ROOT))
    h2 = z2 * phi
    p = 1 / (1 + np.exp(-(h2 @ w3 + b3)))
    residual = p - t
    d3 = residual * p * (1 - p) * (2 / residual.size)
    d2 = d3 @ w3.T * (phi + z2 * np.exp(-0.5 * z2 * z2) * (2 * np.pi) ** -0.5)
    d1 = d2 @ w2.T * (h1 > 0)
    return np.mean(residual**2), x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0)


with_numpy = descent_by_hand(by_hand, PARAMS, RATE)


def first_losses(data: Data) -> list[Any]:
    """The losses that a run begins with."""
    run = with_numpy(data, 1)
    return [np.array([run.call() for _ in range(COMPARED)])]


def with_numba(data: Data, threads: int) -> Run:
    from ..loops.small_network import descend, scratch

    params = [data[k].copy() for k in PARAMS]
    args = (data["x"], data["t"], *params, np.float32(RATE), *scratch())
    return Run(descend, args, lambda value: [value, *params])


def run_with_numba(data: Data, threads: int) -> Run:
    from ..loops.small_network import run, scratch

    params = [data[k].copy() for k in PARAMS]
    args = (data["x"], data["t"], *params, np.float32(RATE), *scratch(), STEPS)
    return Run(run, args, lambda losses: [losses[:COMPARED]])


def run_with_jax(data: Data, threads: int) -> Run:
    return on_jax.descent_loop(loss, data, PARAMS, ["x", "t"], RATE, STEPS, COMPARED)


WORKLOADS = [
    Workload(
        "small_network",
        "4-5-3-1 network, 16 points, one call a step",
        data,
        {"batch": 3},
        reference_of(with_numpy, calls=3),
        1e-5,
        {
            "graphc": with_graphc,
            "numpy": with_numpy,
            "numba": with_numba,
            **peers.descent(loss, params=" ".join(PARAMS), given="x t", rate=RATE),
        },
        calls=3,
    ),
    Workload(
        "small_network_run",
        "4-5-3-1 network, 1e6 steps in one call",
        data,
        {"batch": 3},
        first_losses,
        1e-4,
        {"graphc": run_with_graphc, "numba": run_with_numba, "jax": run_with_jax},
        per_call=STEPS,
    ),
]
