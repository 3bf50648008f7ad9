"""The orthogonal line fit as a hand-written numba loop; `params` is [a, b]."""

import numpy as np
from numba import njit


@njit(cache=True)
def descend(x, y, params, rate):
    a, b = params[0], params[1]
    squares = by_x = total = np.float32(0)
    for i in range(x.size):
        residual = a * x[i] - y[i] + b
        squares += residual * residual
        by_x += residual * x[i]
        total += residual
    below = np.float32(1) / (a * a + np.float32(1))
    scale = np.float32(1) / np.float32(x.size)
    loss = squares * scale * below
    params[0] = a - rate * np.float32(2) * (by_x * scale - a * loss) * below
    params[1] = b - rate * np.float32(2) * total * scale * below
    return loss


@njit(cache=True)
def run(x, y, params, rate, steps):
    losses = np.empty(steps, np.float32)
    for k in range(steps):
        losses[k] = descend(x, y, params, rate)
    return losses
