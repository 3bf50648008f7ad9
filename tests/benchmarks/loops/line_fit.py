"""The line fit as a hand-written numba loop; `params` is [w, b]."""

import numpy as np
from numba import njit


@njit(cache=True)
def descend(x, y, params, rate):
    w, b = params[0], params[1]
    loss = dw = db = np.float32(0)
    for i in range(x.size):
        residual = w * x[i] + b - y[i]
        loss += residual * residual
        dw += residual * x[i]
        db += residual
    scale = np.float32(1) / np.float32(x.size)
    params[0] = w - rate * np.float32(2) * scale * dw
    params[1] = b - rate * np.float32(2) * scale * db
    return loss * scale


@njit(cache=True)
def run(x, y, params, rate, steps):
    losses = np.empty(steps, np.float32)
    for k in range(steps):
        losses[k] = descend(x, y, params, rate)
    return losses
