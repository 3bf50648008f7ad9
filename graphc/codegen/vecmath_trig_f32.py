"""Trigonometry of generated kernels in float32: sin, cos, tan, for every finite argument; branch-free.

Payne and Hanek's reduction in float64: for x = X 2^(26 c) with an integer X, only the bits of 2^(26 c) / (2 pi) below
the units matter, and three floats hold enough of them. Four ranges of |x| cover float32: no table is needed.
"""

import numpy as np

from graphc.codegen.fused import fma
from graphc.codegen.vecmath_row import Function


def _quadrant_f32(x: np.float32) -> tuple[float, np.int64]:
    # (r, q) with x = q pi / 2 + r modulo 2 pi, |r| <= pi / 4; products of 24-bit X and 29-bit a, b are exact
    wide = np.float64(x)
    size = abs(wide)
    r1, r2, r3 = size >= 2.0**50, size >= 2.0**76, size >= 2.0**102
    wide = wide * (2.0**-78 if r3 else 2.0**-52 if r2 else 2.0**-26 if r1 else 1.0)
    a = 0.45894046500325203 if r3 else 0.33068755827844143 if r2 else 0.43088174238801 if r1 else 0.15915494225919247
    b = 1.2508104101083273e-09 if r2 else 1.2023383295922674e-09
    b = 7.693048073575959e-10 if r3 else b if r1 else 8.327028684640414e-10
    c = 1.055194129527942e-18 if r2 else 1.2912927999224254e-18
    c = 2.936102049954032e-18 if r3 else c if r1 else 5.69002518269599e-19
    high = wide * a
    low = wide * b
    turns = fma(wide, c, (high - np.rint(high)) + (low - np.rint(low)))
    # adding 1.5 * 2^52 rounds to an integer, the quarter turns, and leaves it in the low bits
    z = fma(4.0, turns, 6755399441055744.0)
    q = np.float64(z).view(np.int64)
    return fma(4.0, turns, -(z - 6755399441055744.0)) * 1.5707963267948966, q


def _sin_cos_f32(r: float) -> tuple[float, float]:
    # (sin r, cos r) for |r| <= pi / 4; minimax fits to 2^-36 and 2^-31
    z = r * r
    p = fma(
        z, fma(z, fma(z, 2.7173113225307377e-06, -0.00019839257551248455), 0.008333329317112573), -0.16666666644130387
    )
    q = fma(z, fma(z, 2.4463501822921067e-05, -0.0013887651924293473), 0.041666654615824514)
    return fma(r, z * p, r), fma(z * z, q, fma(-0.5, z, 1.0))


def sin_f32(x: np.float32) -> np.float32:
    # x is q quarter turns and a rest: of it the sine or, after an odd q, the cosine, with the sign of q
    r, q = _quadrant_f32(x)
    s, c = _sin_cos_f32(r)
    y = c if q & 1 else s
    return np.float32(-y if q & 2 else y) if x != np.float32(0.0) else x


def cos_f32(x: np.float32) -> np.float32:
    # x is q quarter turns and a rest: of it the cosine or, after an odd q, the sine, with the sign of q
    r, q = _quadrant_f32(x)
    s, c = _sin_cos_f32(r)
    y = s if q & 1 else c
    return np.float32(-y if (q + 1) & 2 else y)


def tan_f32(x: np.float32) -> np.float32:
    r, q = _quadrant_f32(x)
    s, c = _sin_cos_f32(r)
    y = (-c if q & 1 else s) / (s if q & 1 else c)
    return np.float32(y) if x != np.float32(0.0) else x


ROWS = (
    Function(_quadrant_f32, ulp=2.0, vectorises=True),
    Function(_sin_cos_f32, ulp=2.0, vectorises=True),
    Function(sin_f32, ulp=0.6, vectorises=True),
    Function(cos_f32, ulp=0.6, vectorises=True),
    Function(tan_f32, ulp=0.6, vectorises=True),
)
