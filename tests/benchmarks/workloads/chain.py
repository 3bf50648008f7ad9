"""An elementwise chain on 4e6 numbers: ``sum(tanh(x w + b)**2 + sigmoid(x) exp(-b b))`` and its three gradients.

x, w and b are arrays of 4e6, and so are the gradients: three read, three written, 96 MB.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import peers
from ..workload import Data, Run, Workload, by_hand, reference_of


def data(n: int = 4_000_000) -> Data:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(n, np.float32) for name in "xwb"}


def total(m: Any, x: Any, w: Any, b: Any) -> Any:
    return m.sum(m.tanh(x * w + b) ** 2 + m.sigmoid(x) * m.exp(-b * b))


def with_graphc(data: Data, threads: int) -> Run:
    import graphc as gc

    x, w, b = arrays = [gc.input(name, ("n",), "float32") for name in "xwb"]
    value = gc.sum(gc.tanh(x * w + b) ** 2 + gc.sigmoid(x) * gc.exp(-b * b))
    step = gc.compile(arrays, [value, *gc.grad(value, arrays)], threads=threads, name="chain")
    return Run(step, [data[name] for name in "xwb"])


def gradients(x: Any, w: Any, b: Any) -> Any:
    y = np.tanh(x * w + b)
    s, e = 1 / (1 + np.exp(-x)), np.exp(-b * b)
    slope = 2 * y * (1 - y * y)
    return [np.sum(y * y + s * e), slope * w + s * (1 - s) * e, slope * x, slope - 2 * b * s * e]


WORKLOADS = [
    Workload(
        "chain",
        "tanh, sigmoid, exp on 4e6 numbers, value and 3 gradients",
        data,
        {"n": 50},
        reference_of(by_hand(gradients)),
        1e-4,
        {"graphc": with_graphc, "numpy": by_hand(gradients), **peers.gradients(total, wrt="x w b")},
    )
]
