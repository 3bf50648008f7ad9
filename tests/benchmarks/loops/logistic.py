"""Logistic regression as a hand-written numba loop over blocks of rows, so that the data is read once."""

import math

import numpy as np
from numba import njit

ROWS = 256


@njit(cache=True)
def descend(x, y, w, b, rate):
    n, features = x.shape
    z, part, dw = np.empty(ROWS, np.float32), np.empty(features, np.float32), np.zeros(features, np.float32)
    loss, db, scale = np.float64(0), np.float64(0), np.float32(1) / np.float32(n)
    for start in range(0, n, ROWS):
        block = x[start : start + ROWS]
        rows = block.shape[0]
        np.dot(block, w, z[:rows])
        for i in range(rows):
            score = z[i] + b[()]
            small = math.exp(-abs(score))
            loss += max(score, np.float32(0)) + math.log1p(small) - y[start + i] * score
            p = np.float32(1) / (np.float32(1) + small)
            z[i] = scale * ((p if score >= 0 else np.float32(1) - p) - y[start + i])
            db += z[i]
        np.dot(z[:rows], block, part)
        for j in range(features):
            dw[j] += part[j]
    for j in range(features):
        w[j] -= rate * dw[j]
    b[()] -= rate * np.float32(db)
    return loss / n
