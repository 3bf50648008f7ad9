"""An LSTM of 64 steps, built by a Python loop: mean squared error of its last state, gradients by its three weights.

16 sequences at once, 16 numbers a step, 32 units.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import on_jax, peers
from ..workload import Data, Run, Workload, by_hand, reference_of

WEIGHTS = ["w", "u", "b"]


def data(steps: int = 64, batch: int = 16, features: int = 16, units: int = 32) -> Data:
    rng = np.random.default_rng(0)
    arrays = {
        "w": rng.normal(0, features**-0.5, (features, 4 * units)),
        "u": rng.normal(0, units**-0.5, (units, 4 * units)),
        "b": rng.normal(0, 0.1, 4 * units),
        "x": rng.standard_normal((steps, batch, features)),
        "target": rng.uniform(-1, 1, (batch, units)),
    }
    return {k: v.astype("f4") for k, v in arrays.items()}


def cell(m: Any, w: Any, u: Any, b: Any, x: Any, h: Any, c: Any) -> Any:
    """One step: the new h and c. Gates in the order input, forget, new, output."""
    n = u.shape[0]
    z = x @ w + h @ u + b
    c = m.sigmoid(z[:, n : 2 * n]) * c + m.sigmoid(z[:, :n]) * m.tanh(z[:, 2 * n : 3 * n])
    return m.sigmoid(z[:, 3 * n :]) * m.tanh(c), c


def loss(m: Any, w: Any, u: Any, b: Any, x: Any, target: Any) -> Any:
    h = c = m.zeros_like(target)
    for k in range(x.shape[0]):
        h, c = cell(m, w, u, b, x[k], h, c)
    return m.mean((h - target) ** 2)


def with_graphc(data: Data, threads: int) -> Run:
    import graphc as gc

    weights = [gc.param(data[name], name=name) for name in WEIGHTS]
    steps, _, features = data["x"].shape
    x = gc.input("x", (steps, "batch", features), "float32")
    target = gc.input("target", ("batch", data["target"].shape[1]), "float32")
    value = loss(gc, *weights, x, target)
    step = gc.compile([x, target], [value, *gc.grad(value, weights)], threads=threads, name="lstm")
    return Run(step, (data["x"], data["target"]))


def gradients(w: Any, u: Any, b: Any, x: Any, target: Any) -> Any:
    n = len(u)
    h = c = np.zeros_like(target)
    kept = []
    for step in x:
        z = step @ w + h @ u + b
        gates = 1 / (1 + np.exp(-z))
        gates[:, 2 * n : 3 * n] = np.tanh(z[:, 2 * n : 3 * n])
        i, f, g, o = np.split(gates, 4, axis=1)
        before, h_before = c, h
        c = f * c + i * g
        t = np.tanh(c)
        h = o * t
        kept.append((step, h_before, before, i, f, g, o, t))
    residual = h - target
    dh, dc = residual * (2 / residual.size), np.zeros_like(residual)
    dw, du, db = np.zeros_like(w), np.zeros_like(u), np.zeros_like(b)
    for step, h_before, before, i, f, g, o, t in reversed(kept):
        dc = dc + dh * o * (1 - t * t)
        parts = [dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g * g), dh * t * o * (1 - o)]
        dz = np.concatenate(parts, axis=1)
        dw += step.T @ dz
        du += h_before.T @ dz
        db += dz.sum(0)
        dh, dc = dz @ u.T, dc * f
    return [np.mean(residual**2), dw, du, db]


def with_numba(data: Data, threads: int) -> Run:
    from ..loops.lstm import gradients

    return Run(gradients, [data[name] for name in (*WEIGHTS, "x", "target")])


def scan_with_jax(data: Data, threads: int) -> Run:
    """The same with `lax.scan`, which JAX needs to compile it in reasonable time."""
    import jax

    def scanned(m: Any, w: Any, u: Any, b: Any, x: Any, target: Any) -> Any:
        start = m.zeros_like(target), m.zeros_like(target)
        (h, _), _ = jax.lax.scan(lambda state, now: (cell(m, w, u, b, now, *state), None), start, x)
        return m.mean((h - target) ** 2)

    return on_jax.gradients(scanned, data, WEIGHTS, ["x", "target"])


WORKLOADS = [
    Workload(
        "lstm",
        "LSTM of 64 steps in a Python loop, value and gradients",
        data,
        {"steps": 3, "batch": 2, "features": 3, "units": 2},
        reference_of(by_hand(gradients)),
        1e-4,
        {
            "graphc": with_graphc,
            "numpy": by_hand(gradients),
            "numba": with_numba,
            **peers.gradients(loss, wrt=" ".join(WEIGHTS), given="x target"),
            "jax scan": scan_with_jax,
        },
    )
]
