"""Hand and Jacobian of the arm as a hand-written numba loop; `links` has d, a and twist of each joint."""

import math

import numpy as np
from numba import njit


@njit(cache=True)
def jacobian(q, links):
    n = q.size
    place, found = np.zeros(3), np.empty((3, n))
    joints, axes = np.empty((n, 3)), np.empty((n, 3))
    x0, x1, x2, y0, y1, y2, z0, z1, z2 = 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0
    for k in range(n):
        d, a, twist = links[k, 0], links[k, 1], links[k, 2]
        for i in range(3):
            joints[k, i] = place[i]
        axes[k, 0], axes[k, 1], axes[k, 2] = z0, z1, z2
        c, s = math.cos(q[k]), math.sin(q[k])
        u0, u1, u2 = c * x0 + s * y0, c * x1 + s * y1, c * x2 + s * y2
        place[0] += d * z0 + a * u0
        place[1] += d * z1 + a * u1
        place[2] += d * z2 + a * u2
        v0, v1, v2 = twist * (s * x0 - c * y0), twist * (s * x1 - c * y1), twist * (s * x2 - c * y2)
        x0, x1, x2, y0, y1, y2, z0, z1, z2 = u0, u1, u2, twist * z0, twist * z1, twist * z2, v0, v1, v2
    for k in range(n):
        a0, a1, a2 = place[0] - joints[k, 0], place[1] - joints[k, 1], place[2] - joints[k, 2]
        found[0, k] = axes[k, 1] * a2 - axes[k, 2] * a1
        found[1, k] = axes[k, 2] * a0 - axes[k, 0] * a2
        found[2, k] = axes[k, 0] * a1 - axes[k, 1] * a0
    return place, found
