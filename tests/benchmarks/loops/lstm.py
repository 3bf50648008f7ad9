"""The LSTM as a hand-written numba loop: forward, keeping the gates, and back; products by BLAS."""

import math

import numpy as np
from numba import njit

ONE = np.float32(1)


@njit(cache=True)
def gradients(w, u, b, x, target):
    steps, batch, features = x.shape
    n = u.shape[0]
    xw = np.dot(x.reshape(steps * batch, features), w).reshape(steps, batch, 4 * n)
    gates, t = np.empty((steps, batch, 4 * n), np.float32), np.empty((steps, batch, n), np.float32)
    h, c = np.zeros((steps + 1, batch, n), np.float32), np.zeros((steps + 1, batch, n), np.float32)
    z = np.empty((batch, 4 * n), np.float32)
    for k in range(steps):
        np.dot(h[k], u, z)
        for r in range(batch):
            for j in range(4 * n):
                a = z[r, j] + xw[k, r, j] + b[j]
                new = 2 * n <= j < 3 * n
                gates[k, r, j] = math.tanh(a) if new else ONE / (ONE + math.exp(-a))
            for j in range(n):
                c[k + 1, r, j] = gates[k, r, n + j] * c[k, r, j] + gates[k, r, j] * gates[k, r, 2 * n + j]
                t[k, r, j] = math.tanh(c[k + 1, r, j])
                h[k + 1, r, j] = gates[k, r, 3 * n + j] * t[k, r, j]
    loss = np.float32(0)
    dh, dc = np.empty((batch, n), np.float32), np.zeros((batch, n), np.float32)
    for r in range(batch):
        for j in range(n):
            residual = h[steps, r, j] - target[r, j]
            loss += residual * residual
            dh[r, j] = residual * np.float32(2) / np.float32(batch * n)
    dz, back = np.empty((steps, batch, 4 * n), np.float32), np.ascontiguousarray(u.T)
    for k in range(steps - 1, -1, -1):
        for r in range(batch):
            for j in range(n):
                i, f, g, o = gates[k, r, j], gates[k, r, n + j], gates[k, r, 2 * n + j], gates[k, r, 3 * n + j]
                d = dc[r, j] + dh[r, j] * o * (ONE - t[k, r, j] * t[k, r, j])
                dz[k, r, j] = d * g * i * (ONE - i)
                dz[k, r, n + j] = d * c[k, r, j] * f * (ONE - f)
                dz[k, r, 2 * n + j] = d * i * (ONE - g * g)
                dz[k, r, 3 * n + j] = dh[r, j] * t[k, r, j] * o * (ONE - o)
                dc[r, j] = d * f
        np.dot(dz[k], back, dh)
    all_dz = dz.reshape(steps * batch, 4 * n)
    dw = np.dot(x.reshape(steps * batch, features).T, all_dz)
    du = np.dot(h[:steps].reshape(steps * batch, n).T, all_dz)
    return loss / np.float32(batch * n), dw, du, all_dz.sum(axis=0)
