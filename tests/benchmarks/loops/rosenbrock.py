"""The Rosenbrock function as one hand-written numba loop; sums may be reordered, so that it vectorises."""

import numpy as np
from numba import njit


@njit(cache=True, fastmath={"reassoc"})
def gradient(x):
    n = x.size
    slope = np.empty(n)
    value = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] * x[0]) ** 2
    slope[0] = -400 * (x[1] - x[0] * x[0]) * x[0] - 2 * (1 - x[0])
    for i in range(1, n - 1):
        climb, rest = x[i + 1] - x[i] * x[i], 1 - x[i]
        value += 100 * climb * climb + rest * rest
        slope[i] = 200 * (x[i] - x[i - 1] * x[i - 1]) - 400 * climb * x[i] - 2 * rest
    slope[n - 1] = 200 * (x[n - 1] - x[n - 2] * x[n - 2])
    return value, slope
