"""Softmax cross-entropy of 2048 rows of 1000 scores: value, and gradient by the scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import peers
from ..workload import Data, Run, Workload, by_hand, reference_of


def data(rows: int = 2048, classes: int = 1000) -> Data:
    rng = np.random.default_rng(0)
    return {"z": 3 * rng.standard_normal((rows, classes), np.float32), "t": rng.integers(0, classes, rows)}


def with_graphc(data: Data, threads: int) -> Run:
    import graphc as gc

    z, t = gc.input("z", ("rows", "classes"), "float32"), gc.input("t", ("rows",), "int64")
    value = -gc.mean(gc.take_along_axis(gc.log_softmax(z, axis=1), t[:, None], axis=1))
    step = gc.compile([z, t], [value, gc.grad(value, z)], threads=threads, name="softmax")
    return Run(step, (data["z"], data["t"]))


def gradient(z: Any, t: Any) -> Any:
    rows = np.arange(t.size)
    shifted = z - z.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=1, keepdims=True)
    value = np.mean(np.log(total[:, 0]) - shifted[rows, t])
    p /= total
    p[rows, t] -= 1
    p /= t.size
    return [value, p]


WORKLOADS = [
    Workload(
        "softmax",
        "softmax cross-entropy, 2048 x 1000, value and gradient",
        data,
        {"rows": 5, "classes": 7},
        reference_of(by_hand(gradient)),
        1e-5,
        {
            "graphc": with_graphc,
            "numpy": by_hand(gradient),
            **peers.gradients(lambda m, z, t: m.cross_entropy(z, t), wrt="z", given="t"),
        },
    )
]
