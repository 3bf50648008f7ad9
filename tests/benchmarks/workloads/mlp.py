"""A 784-128-64-10 network on a batch of 128: cross-entropy, all gradients, one step of descent with momentum."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from .. import peers
from ..workload import Data, Run, Workload, descent_by_hand, reference_of

RATE, MOMENTUM = 0.05, 0.9
PARAMS = ["w1", "b1", "w2", "b2", "w3", "b3"]


def data(batch: int = 128, sizes: tuple[int, ...] = (784, 128, 64, 10)) -> Data:
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for k, (n, m) in enumerate(pairwise(sizes), 1):
        arrays[f"w{k}"], arrays[f"b{k}"] = rng.normal(0, (2 / n) ** 0.5, (n, m)), rng.normal(0, 0.1, m)
    arrays["x"] = rng.standard_normal((batch, sizes[0]))
    return {**{k: v.astype("f4") for k, v in arrays.items()}, "t": rng.integers(0, sizes[-1], batch)}


def loss(m: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, x: Any, t: Any) -> Any:
    h = m.relu(x @ w1 + b1)
    h = m.relu(h @ w2 + b2)
    return m.cross_entropy(h @ w3 + b3, t)


def with_graphc(data: Data, threads: int) -> Run:
    import graphc as gc

    w1, b1, w2, b2, w3, b3 = params = [gc.param(data[k], name=k) for k in PARAMS]
    speeds = [gc.param(np.zeros_like(data[k]), name=f"{k}_speed") for k in PARAMS]
    x, t = gc.input("x", ("batch", data["x"].shape[1]), "float32"), gc.input("t", ("batch",), "int64")
    h = gc.relu(x @ w1 + b1)
    h = gc.relu(h @ w2 + b2)
    scores = gc.log_softmax(h @ w3 + b3, axis=1)
    value = -gc.mean(gc.take_along_axis(scores, t[:, None], axis=1))
    updates = {}
    for param, speed, gradient in zip(params, speeds, gc.grad(value, params), strict=True):
        updates[speed] = MOMENTUM * speed + gradient
        updates[param] = param - RATE * updates[speed]
    step = gc.compile([x, t], value, updates, threads=threads, name="mlp")
    return Run(step, (data["x"], data["t"]), lambda value: [value, *(p.value for p in params)])


def by_hand(w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, x: Any, t: Any) -> Any:
    h1 = np.maximum(x @ w1 + b1, 0)
    h2 = np.maximum(h1 @ w2 + b2, 0)
    z = h2 @ w3 + b3
    z -= z.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=1, keepdims=True)
    rows = np.arange(t.size)
    value = np.mean(np.log(total[:, 0]) - z[rows, t])
    d3 = e / total
    d3[rows, t] -= 1
    d3 /= t.size
    d2 = d3 @ w3.T * (h2 > 0)
    d1 = d2 @ w2.T * (h1 > 0)
    return value, x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0)


with_numpy = descent_by_hand(by_hand, PARAMS, RATE, MOMENTUM)

WORKLOADS = [
    Workload(
        "mlp",
        "784-128-64-10 network, batch 128, descent with momentum",
        data,
        {"batch": 6, "sizes": (12, 5, 4, 3)},
        reference_of(with_numpy, calls=3),
        1e-4,
        {
            "graphc": with_graphc,
            "numpy": with_numpy,
            **peers.descent(loss, params=" ".join(PARAMS), given="x t", rate=RATE, momentum=MOMENTUM),
        },
        calls=3,
    )
]
