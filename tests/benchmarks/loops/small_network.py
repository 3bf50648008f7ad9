"""The 4-5-3-1 network as a hand-written numba loop over the points; params are updated in place."""

import math

import numpy as np
from numba import njit

ONE, TWO, HALF, ROOT = np.float32(1), np.float32(2), np.float32(0.5), np.float32(2**-0.5)
DENSITY = np.float32((2 * math.pi) ** -0.5)


@njit(cache=True)
def descend(x, t, w1, b1, w2, b2, w3, b3, rate, h1, h2, slope, d2, g1, g2, g3):
    g1[:], g2[:], g3[:] = 0, 0, 0
    loss = np.float32(0)
    scale = ONE / np.float32(x.shape[0])
    for i in range(x.shape[0]):
        for j in range(5):
            z = b1[j]
            for k in range(4):
                z += x[i, k] * w1[k, j]
            h1[j] = max(z, np.float32(0))
        p = b3[0]
        for j in range(3):
            z = b2[j]
            for k in range(5):
                z += h1[k] * w2[k, j]
            phi = HALF * (ONE + math.erf(z * ROOT))
            h2[j] = z * phi
            slope[j] = phi + z * math.exp(-HALF * z * z) * DENSITY
            p += h2[j] * w3[j, 0]
        p = ONE / (ONE + math.exp(-p))
        residual = p - t[i, 0]
        loss += residual * residual
        d3 = TWO * scale * residual * p * (ONE - p)
        g3[3] += d3
        for j in range(3):
            g3[j] += h2[j] * d3
            d2[j] = d3 * w3[j, 0] * slope[j]
            g2[5, j] += d2[j]
        for j in range(5):
            d1 = np.float32(0)
            for k in range(3):
                d1 += d2[k] * w2[j, k]
                g2[j, k] += h1[j] * d2[k]
            if h1[j] > 0:
                g1[4, j] += d1
                for k in range(4):
                    g1[k, j] += x[i, k] * d1
    for j in range(5):
        for k in range(4):
            w1[k, j] -= rate * g1[k, j]
        b1[j] -= rate * g1[4, j]
    for j in range(3):
        for k in range(5):
            w2[k, j] -= rate * g2[k, j]
        b2[j] -= rate * g2[5, j]
        w3[j, 0] -= rate * g3[j]
    b3[0] -= rate * g3[3]
    return loss * scale


@njit(cache=True)
def run(x, t, w1, b1, w2, b2, w3, b3, rate, h1, h2, slope, d2, g1, g2, g3, steps):
    losses = np.empty(steps, np.float32)
    for k in range(steps):
        losses[k] = descend(x, t, w1, b1, w2, b2, w3, b3, rate, h1, h2, slope, d2, g1, g2, g3)
    return losses


def scratch():
    """Room for what lives while one point is seen, and for the gradients of the layers, biases in their last row."""
    return [np.empty(s, np.float32) for s in (5, 3, 3, 3, (5, 5), (6, 3), 4)]
