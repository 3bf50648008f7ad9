"""A transformer block (pre-norm, 4 heads, exact gelu, 4 times as wide inside) on 8 x 128 x 256: value, all gradients.

The value is the mean squared difference to a target. Gradients are those by the block's input and its 12 weights.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import erf

from .. import peers
from ..workload import Data, Run, Workload, by_hand, reference_of

HEADS, EPS = 4, 1e-5
WEIGHTS = ["gain1", "shift1", "wq", "wk", "wv", "wo", "gain2", "shift2", "w1", "b1", "w2", "b2"]


def data(batch: int = 8, length: int = 128, width: int = 256) -> Data:
    rng = np.random.default_rng(0)
    arrays = {"x": rng.standard_normal((batch, length, width))}
    for name in WEIGHTS:
        n, m = (4 * width if name == "w2" else width), (4 * width if name in ("w1", "b1") else width)
        arrays[name] = rng.normal(0, n**-0.5, (n, m)) if name[0] == "w" else rng.normal(0, 0.1, m)
        if name.startswith("gain"):
            arrays[name] += 1
    arrays["target"] = rng.standard_normal((batch, length, width))
    return {k: v.astype("f4") for k, v in arrays.items()}


def loss(m: Any, *args: Any) -> Any:
    x, gain1, shift1, wq, wk, wv, wo, gain2, shift2, w1, b1, w2, b2, target = args
    batch, length, width = x.shape

    def heads(y: Any) -> Any:
        return m.swapaxes(y.reshape((batch, length, HEADS, width // HEADS)), 1, 2)

    y = m.layer_norm(x, gain1, shift1, EPS)
    mixed = m.attention(heads(y @ wq), heads(y @ wk), heads(y @ wv))
    h = x + m.swapaxes(mixed, 1, 2).reshape((batch, length, width)) @ wo
    y = m.layer_norm(h, gain2, shift2, EPS)
    out = h + m.gelu(y @ w1 + b1) @ w2 + b2
    return m.mean((out - target) ** 2)


def with_graphc(data: Data, threads: int) -> Run:
    import graphc as gc

    _, length, width = data["x"].shape
    x, target = (gc.input(name, ("batch", length, width), "float32") for name in ("x", "target"))
    weights = [gc.param(data[name], name=name) for name in WEIGHTS]
    gain1, shift1, wq, wk, wv, wo, gain2, shift2, w1, b1, w2, b2 = weights

    def layer_norm(y: Any, gain: Any, shift: Any) -> Any:
        centred = y - gc.mean(y, axis=-1, keepdims=True)
        return centred / gc.sqrt(gc.mean(centred**2, axis=-1, keepdims=True) + EPS) * gain + shift

    def heads(y: Any) -> Any:
        return gc.swapaxes(gc.reshape(y, (*y.shape[:2], HEADS, width // HEADS)), 1, 2)

    y = layer_norm(x, gain1, shift1)
    q, k, v = heads(y @ wq), heads(y @ wk), heads(y @ wv)
    mixed = gc.softmax(q @ gc.matrix_transpose(k) * (width // HEADS) ** -0.5, axis=-1) @ v
    h = x + gc.reshape(gc.swapaxes(mixed, 1, 2), x.shape) @ wo
    out = h + gc.gelu(layer_norm(h, gain2, shift2) @ w1 + b1) @ w2 + b2
    value = gc.mean((out - target) ** 2)
    step = gc.compile([x, target], [value, *gc.grad(value, [x, *weights])], threads=threads, name="transformer")
    return Run(step, (data["x"], data["target"]))


def gradients(x: Any, target: Any, **weights: Any) -> Any:
    gain1, shift1, wq, wk, wv, wo, gain2, shift2, w1, b1, w2, b2 = (weights[k] for k in WEIGHTS)
    width = x.shape[-1]

    def normal(y: Any) -> Any:
        centred = y - y.mean(-1, keepdims=True)
        inverse = 1 / np.sqrt(np.mean(centred**2, -1, keepdims=True) + EPS)
        return centred * inverse, inverse

    def normal_back(dn: Any, n: Any, inverse: Any) -> Any:
        return inverse * (dn - dn.mean(-1, keepdims=True) - n * np.mean(dn * n, -1, keepdims=True))

    def heads(y: Any) -> Any:
        return y.reshape(*y.shape[:2], HEADS, width // HEADS).swapaxes(1, 2)

    def joined(y: Any) -> Any:
        return y.swapaxes(1, 2).reshape(x.shape)

    def by_weight(y: Any, d: Any) -> Any:
        return y.reshape(-1, y.shape[-1]).T @ d.reshape(-1, d.shape[-1])

    n1, inverse1 = normal(x)
    y1 = n1 * gain1 + shift1
    q, k, v = (heads(y1 @ w) for w in (wq, wk, wv))
    scale = (width // HEADS) ** -0.5
    scores = q @ k.swapaxes(2, 3) * scale
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    mixed = joined(p @ v)
    h = x + mixed @ wo
    n2, inverse2 = normal(h)
    y2 = n2 * gain2 + shift2
    z = y2 @ w1 + b1
    phi = 0.5 * (1 + erf(z * 2**-0.5))
    g = z * phi
    rest = h + g @ w2 + b2 - target

    d = rest * (2 / rest.size)
    dz = d @ w2.T * (phi + z * np.exp(-0.5 * z * z) * (2 * math.pi) ** -0.5)
    dy2 = dz @ w1.T
    dh = d + normal_back(dy2 * gain2, n2, inverse2)
    dm = heads(dh @ wo.T)
    dp = dm @ v.swapaxes(2, 3)
    ds = p * (dp - np.sum(dp * p, -1, keepdims=True)) * scale
    dq, dk, dv = joined(ds @ k), joined(ds.swapaxes(2, 3) @ q), joined(p.swapaxes(2, 3) @ dm)
    dy1 = dq @ wq.T + dk @ wk.T + dv @ wv.T
    dx = dh + normal_back(dy1 * gain1, n1, inverse1)
    rows = (0, 1)
    return [
        np.mean(rest**2),
        dx,
        np.sum(dy1 * n1, rows),
        dy1.sum(rows),
        by_weight(y1, dq),
        by_weight(y1, dk),
        by_weight(y1, dv),
        by_weight(mixed, dh),
        np.sum(dy2 * n2, rows),
        dy2.sum(rows),
        by_weight(y2, dz),
        dz.sum(rows),
        by_weight(g, d),
        d.sum(rows),
    ]


WORKLOADS = [
    Workload(
        "transformer",
        "transformer block, 8 x 128 x 256, value and all gradients",
        data,
        {"batch": 2, "length": 3, "width": 8},
        reference_of(by_hand(gradients)),
        1e-4,
        {
            "graphc": with_graphc,
            "numpy": by_hand(gradients),
            **peers.gradients(loss, wrt=" ".join(["x", *WEIGHTS]), given="target"),
        },
    )
]
