"""LeNet-5 on a batch of images padded to 32 x 32: cross-entropy, all gradients, one step of descent with momentum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .. import peers
from ..workload import Data, Run, Workload, descent_by_hand, reference_of

RATE, MOMENTUM = 0.01, 0.9
LAYERS = ("k1", "k2", "w1", "w2", "w3")
PARAMS = [name for k, layer in enumerate(LAYERS, 1) for name in (layer, f"b{k}")]


def data(batch: int = 100, side: int = 32) -> Data:
    """`side` is that of the padded image: 32 gives the 5 x 5 maps of 16 channels that LeNet-5 ends in."""
    rng = np.random.default_rng(0)
    last = ((side - 4) // 2 - 4) // 2
    shapes = [(6, 1, 5, 5), (16, 6, 5, 5), (16 * last * last, 120), (120, 84), (84, 10)]
    arrays: dict[str, np.ndarray] = {}
    for k, (name, shape) in enumerate(zip(LAYERS, shapes, strict=True), 1):
        inputs, outputs = (np.prod(shape[1:]), shape[0]) if len(shape) == 4 else shape
        arrays[name] = rng.uniform(-1, 1, shape) * inputs**-0.5
        arrays[f"b{k}"] = rng.uniform(-1, 1, int(outputs)) * inputs**-0.5
    arrays["x"] = np.pad(rng.normal(size=(batch, 1, side - 4, side - 4)), ((0, 0), (0, 0), (2, 2), (2, 2)))
    return {**{k: v.astype("f4") for k, v in arrays.items()}, "t": rng.integers(0, 10, batch)}


def scores(
    m: Any, k1: Any, b1: Any, k2: Any, b2: Any, w1: Any, b3: Any, w2: Any, b4: Any, w3: Any, b5: Any, x: Any
) -> Any:
    h = m.max_pool2d(m.relu(m.conv2d(x, k1, b1)), 2)
    h = m.max_pool2d(m.relu(m.conv2d(h, k2, b2)), 2)
    h = m.relu(m.reshape(h, (-1, w1.shape[0])) @ w1 + b3)
    return m.relu(h @ w2 + b4) @ w3 + b5


def loss(m: Any, *tensors: Any) -> Any:
    return m.cross_entropy(scores(m, *tensors[:-1]), tensors[-1])


def with_graphc(data: Data, threads: int) -> Run:
    import graphc as gc

    params = {k: gc.param(data[k], name=k) for k in PARAMS}
    x, t = gc.input("x", ("batch", *data["x"].shape[1:]), "float32"), gc.input("t", ("batch",), "int64")
    value = gc.nn.cross_entropy(scores(Names(), *params.values(), x), t)
    opt = gc.optim.SGD(params.values(), lr=RATE, momentum=MOMENTUM)
    step = gc.compile([x, t], value, opt.minimize(value), threads=threads, name="lenet")
    return Run(step, (data["x"], data["t"]), lambda value: [value, *(p.value for p in params.values())])


class Names:
    """graphc's functions under the names of the formula."""

    def __getattr__(self, name: str) -> Any:
        import graphc as gc

        return getattr(gc.nn, name, None) or getattr(gc, name)


def _windows(x: np.ndarray) -> np.ndarray:
    return sliding_window_view(x, (5, 5), axis=(2, 3))


def _convolved(x: np.ndarray, k: np.ndarray) -> np.ndarray:
    return np.tensordot(_windows(x), k, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)


def _pooled(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest of each 2 x 2 places, and where the first of them stands."""
    n, c, h, w = x.shape
    places = x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h // 2, w // 2, 4)
    return places.max(-1), places.argmax(-1)[..., None] == np.arange(4)


def _unpooled(d: np.ndarray, first: np.ndarray) -> np.ndarray:
    n, c, h, w = d.shape
    return (d[..., None] * first).reshape(n, c, h, w, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, 2 * h, 2 * w)


def by_hand(
    k1: Any, b1: Any, k2: Any, b2: Any, w1: Any, b3: Any, w2: Any, b4: Any, w3: Any, b5: Any, x: Any, t: Any
) -> Any:
    a1 = np.maximum(_convolved(x, k1) + b1[:, None, None], 0)
    p1, first1 = _pooled(a1)
    a2 = np.maximum(_convolved(p1, k2) + b2[:, None, None], 0)
    p2, first2 = _pooled(a2)
    flat = p2.reshape(len(x), -1)
    h1 = np.maximum(flat @ w1 + b3, 0)
    h2 = np.maximum(h1 @ w2 + b4, 0)
    z = h2 @ w3 + b5
    z -= z.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=1, keepdims=True)
    rows = np.arange(t.size)
    value = np.mean(np.log(total[:, 0]) - z[rows, t])
    d5 = e / total
    d5[rows, t] -= 1
    d5 /= t.size
    d4 = d5 @ w3.T * (h2 > 0)
    d3 = d4 @ w2.T * (h1 > 0)
    d2 = _unpooled((d3 @ w1.T).reshape(p2.shape), first2) * (a2 > 0)
    padded = np.pad(d2, ((0, 0), (0, 0), (4, 4), (4, 4)))
    d1 = _unpooled(_convolved(padded, k2[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)), first1) * (a1 > 0)
    by_k1 = np.tensordot(d1, _windows(x), ((0, 2, 3), (0, 2, 3)))
    by_k2 = np.tensordot(d2, _windows(p1), ((0, 2, 3), (0, 2, 3)))
    places = (0, 2, 3)
    dense = [flat.T @ d3, d3.sum(0), h1.T @ d4, d4.sum(0), h2.T @ d5, d5.sum(0)]
    return value, by_k1, d1.sum(places), by_k2, d2.sum(places), *dense


with_numpy = descent_by_hand(by_hand, PARAMS, RATE, MOMENTUM)

PEERS = peers.descent(loss, params=" ".join(PARAMS), given="x t", rate=RATE, momentum=MOMENTUM)

WORKLOADS = [
    Workload(
        "lenet",
        "LeNet-5, batch 100, descent with momentum",
        data,
        {"batch": 4, "side": 24},
        reference_of(with_numpy, calls=3),
        1e-4,
        {
            "graphc": with_graphc,
            "numpy": with_numpy,
            **{way: made for way, made in PEERS.items() if way != "pytensor"},  # its convolutions need a C compiler
        },
        calls=3,
    )
]
