"""A 4-5-3-1 network and the gradients of all its weights: compiled, by the dynamic engine, by finite differences.

The layers end in relu, exact gelu and sigmoid; the loss is the mean squared error over a batch of points.

    python examples/small_network.py
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import graphc as gc

SIZES = (4, 5, 3, 1)
BATCH, SEED = 16, 0


def gelu(x: Any) -> Any:
    """``x Phi(x)``, with the normal distribution's own Phi rather than an approximation of it."""
    return x * 0.5 * (1 + gc.erf(x / math.sqrt(2)))


def loss_of(weights: Sequence[Any], x: Any, t: Any) -> Any:
    """The network and its loss; `weights` alternates matrices and biases. For symbolic and eager tensors alike."""
    h = x
    for activation, w, b in zip((gc.relu, gelu, gc.sigmoid), weights[::2], weights[1::2], strict=True):
        h = activation(h @ w + b)
    return gc.mean((h - t) ** 2)


def data() -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Weights (scaled by the fan-in), a batch of inputs, and targets of 0 and 1."""
    rng = np.random.default_rng(SEED)
    weights = []
    for n, m in pairwise(SIZES):
        weights += [rng.normal(0, n**-0.5, (n, m)), rng.normal(0, 0.1, m)]
    x = rng.standard_normal((BATCH, SIZES[0]))
    return weights, x, (x[:, :1] * x[:, 1:2] > 0).astype(float)


def compiled(weights: list[np.ndarray], x: np.ndarray, t: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """Loss and gradients from one compiled step; `gc.compile` traces the function at its first call."""
    loss, gradients = gc.value_and_grad(loss_of)(weights, x, t)
    return float(loss), gradients


def eagerly(weights: list[np.ndarray], x: np.ndarray, t: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """The same function of eager tensors, and `backward`."""
    leaves = [gc.eager.tensor(w, requires_grad=True) for w in weights]
    loss = loss_of(leaves, gc.eager.from_numpy(x), gc.eager.from_numpy(t))
    loss.backward()
    return loss.item(), [leaf.grad.numpy() for leaf in leaves]


def by_differences(weights: list[np.ndarray], x: np.ndarray, t: np.ndarray, h: float = 1e-5) -> list[np.ndarray]:
    """Central differences, one weight at a time: right to about h**2."""
    loss = gc.compile(loss_of)
    gradients = []
    for w in weights:
        gradient = np.empty_like(w)
        for k in np.ndindex(w.shape):
            kept = w[k]
            w[k] = kept + h
            above = loss(weights, x, t)
            w[k] = kept - h
            below = loss(weights, x, t)
            w[k] = kept
            gradient[k] = (above - below) / (2 * h)
        gradients.append(gradient)
    return gradients


def largest_error(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest absolute difference over all weights."""
    return max(float(np.max(np.abs(f - e))) for f, e in zip(found, expected, strict=True))


def main() -> dict[str, Any]:
    """Compute, compare and print; the loss, the gradients and the two largest errors."""
    weights, x, t = data()
    loss, gradients = compiled(weights, x, t)
    eager_loss, eager_gradients = eagerly(weights, x, t)
    to_eager = largest_error(gradients, eager_gradients)
    to_differences = largest_error(gradients, by_differences(weights, x, t))
    print(f"loss {loss:.12f} compiled, {eager_loss:.12f} eager")
    for k, gradient in enumerate(gradients):
        name = f"layer {k // 2 + 1} {'matrix' if k % 2 == 0 else 'bias'}"
        print(f"  {name:15} {gradient.shape!s:7} gradient of size {np.linalg.norm(gradient):.6f}")
    print(f"largest difference to the eager gradients {to_eager:.1e}, to finite differences {to_differences:.1e}")
    assert abs(loss - eager_loss) < 1e-14 and to_eager < 1e-14 and to_differences < 1e-9
    return {"loss": loss, "gradients": gradients, "to eager": to_eager, "to differences": to_differences}


if __name__ == "__main__":
    main()
