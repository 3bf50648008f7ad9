"""Log-likelihood of a Gaussian mixture and its gradients, in float64: 1000 points, 16 dims, 25 components.

The objective of ADBench (https://github.com/microsoft/ADBench): logits `alpha` of the weights, means `mu`, and for each
component a lower triangular factor of the inverse covariance, the logarithms of its diagonal and then the rest of it
row by row in one row of `icf`; a Wishart prior (gamma = 1, m = 0). Constants are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import peers
from ..workload import Data, Run, Workload, by_hand, reference_of

NAMES = ["alpha", "mu", "icf"]
GIVEN = ["x", "place", "below"]


def data(points: int = 1000, dims: int = 16, components: int = 25) -> Data:
    """`place` is where the entry (i, j) of a factor stands in the rest of `icf`; `below` is 1 under the diagonal."""
    rng = np.random.default_rng(0)
    rest = dims * (dims - 1) // 2
    place = np.zeros((dims, dims), np.int64)
    place[np.tril_indices(dims, -1)] = np.arange(rest)
    return {
        "alpha": rng.standard_normal(components),
        "mu": rng.random((components, dims)),
        "icf": np.concatenate([rng.normal(0, 0.5, (components, dims)), rng.normal(0, 0.3, (components, rest))], axis=1),
        "x": rng.standard_normal((points, dims)),
        "place": place.ravel(),
        "below": np.tril(np.ones((dims, dims)), -1),
    }


def objective(m: Any, alpha: Any, mu: Any, icf: Any, x: Any, place: Any, below: Any) -> Any:
    k, d = mu.shape
    logs, rest = icf[:, :d], icf[:, d:]
    diagonal = m.exp(logs)
    factors = rest[:, place].reshape((k, d, d)) * below + diagonal[:, :, None] * m.eye(d, dtype=mu.dtype)
    scaled = m.einsum("kij,nkj->nki", factors, x[:, None, :] - mu)
    scores = alpha + m.sum(logs, axis=1) - 0.5 * m.sum(scaled**2, axis=2)
    prior = 0.5 * (m.sum(diagonal**2) + m.sum(rest**2))
    return m.sum(m.logsumexp(scores, 1) - m.logsumexp(alpha, 0)) + prior


def with_graphc(data: Data, threads: int) -> Run:
    import graphc as gc

    components, d = data["mu"].shape
    alpha, mu = gc.input("alpha", (components,)), gc.input("mu", (components, d))
    icf, x = gc.input("icf", data["icf"].shape), gc.input("x", ("n", d))
    logs, rest = icf[:, :d], icf[:, d:]
    diagonal = gc.exp(logs)
    rows, columns = np.tril_indices(d, -1)
    factors = gc.zeros((components, d, d)).at[:, rows, columns].set(rest) + diagonal[:, :, None] * gc.eye(d)
    scaled = gc.einsum("kij,nkj->nki", factors, x[:, None, :] - mu)
    scores = alpha + gc.sum(logs, axis=1) - 0.5 * gc.sum(scaled**2, axis=2)
    prior = 0.5 * (gc.sum(diagonal**2) + gc.sum(rest**2))
    value = gc.sum(gc.logsumexp(scores, axis=1) - gc.logsumexp(alpha)) + prior
    params = [alpha, mu, icf]
    step = gc.compile([*params, x], [value, *gc.grad(value, params)], threads=threads, name="gaussian mixture")
    return Run(step, [data[name] for name in (*NAMES, "x")])


def gradients(alpha: Any, mu: Any, icf: Any, x: Any, place: Any, below: Any) -> Any:
    (k, d), n = mu.shape, len(x)
    diagonal, rest = np.exp(icf[:, :d]), icf[:, d:]
    rows, columns = np.tril_indices(d, -1)
    factors = np.zeros((k, d, d))
    factors[:, rows, columns] = rest
    factors[:, np.arange(d), np.arange(d)] = diagonal
    centred = x - mu[:, None, :]
    scaled = centred @ factors.transpose(0, 2, 1)
    scores = alpha + icf[:, :d].sum(1) - 0.5 * np.sum(scaled**2, axis=2).T
    top = scores.max(axis=1, keepdims=True)
    share = np.exp(scores - top)
    total = share.sum(axis=1, keepdims=True)
    share /= total
    weights = np.exp(alpha - alpha.max())
    value = np.sum(np.log(total) + top) - n * (np.log(weights.sum()) + alpha.max())
    value += 0.5 * (np.sum(diagonal**2) + np.sum(rest**2))
    by_scaled = -share.T[:, :, None] * scaled
    by_factors = by_scaled.transpose(0, 2, 1) @ centred
    by_logs = share.sum(0)[:, None] + by_factors[:, np.arange(d), np.arange(d)] * diagonal + diagonal**2
    return [
        value,
        share.sum(0) - n * weights / weights.sum(),
        -(by_scaled.sum(1)[:, None, :] @ factors)[:, 0],
        np.concatenate([by_logs, by_factors[:, rows, columns] + rest], axis=1),
    ]


WORKLOADS = [
    Workload(
        "gmm",
        "Gaussian mixture, 1000 x 16, 25 components, value and gradients, float64",
        data,
        {"points": 6, "dims": 3, "components": 2},
        reference_of(by_hand(gradients)),
        1e-10,
        {
            "graphc": with_graphc,
            "numpy": by_hand(gradients),
            **peers.gradients(objective, wrt=" ".join(NAMES), given=" ".join(GIVEN)),
        },
    )
]
