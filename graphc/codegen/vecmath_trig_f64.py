"""Trigonometry of generated kernels in float64: sin, cos, tan, for every finite argument; branch-free.

Payne and Hanek's reduction: for x = X 2^(8 c) with an integer X, only the bits of 2^(8 c) / (2 pi) below the units
matter. A table holds 159 of them for each c; products with it are taken exactly, in two parts (Dekker).
"""

import numpy as np

from graphc.codegen.fused import fma
from graphc.codegen.vecmath_double import _product_f64, _sum_f64, _upper_f64
from graphc.codegen.vecmath_row import Function, Table


def _turns_table() -> np.ndarray:
    # row j, column c: bits 53 j to 53 j + 52 of the fraction of 2^(8 c) / (2 pi)
    digits = (
        "28be60db9391054a7f09d5f47d4d377036d8a5664f10e4107f9458eaf7aef1586dc91b8e909374b801924bba827464873f877ac72c4a69cf"
        "ba208d7d4baed1213a671c09ad17df904e64758e60d4ce7d272117e2ef7e4a0ec7fe25fff7816603fbcbc462d6829b47db4d9fb3c9f2c26d"
        "d3d18fd9a797fa8b5d49eeb1faf97c5ecf41ce7de294a4ba9afed7ec47e357421580cc11bf1edaea"
    )
    bits = int(digits, 16)
    return np.array([
        [(bits >> (1216 - 8 * c - 53 * (j + 1))) % 2**53 * 2.0 ** (-53 * (j + 1)) for c in range(122)] for j in range(3)
    ])  # fmt: skip


_TURNS = _turns_table()


def _quadrant_f64(x: float) -> tuple[float, float, np.int64]:
    # (r, e, q) with x = q pi / 2 + r + e modulo 2 pi, |r| <= pi / 4; q counts from a multiple of 4
    excess = ((np.float64(x).view(np.int64) >> 52) & 2047) - 1075
    c = (excess if excess > 0 else 0) >> 3
    wide = x * np.int64((1023 - 8 * c) << 52).view(np.float64)
    first, second = _product_f64(wide, _TURNS[0, c])
    third, fourth = _product_f64(wide, _TURNS[1, c])
    # whole turns are dropped as soon as they are known; `low` gathers rounding errors
    first = first - np.rint(first)
    middle, low = _sum_f64(second, third)
    turns, rest = _sum_f64(first, middle - np.rint(middle))
    low = 4.0 * (rest + (low + fma(wide, _TURNS[2, c], fourth)))
    # adding 1.5 * 2^52 rounds to an integer, the quarter turns, and leaves it in the low bits
    z = fma(4.0, turns, 6755399441055744.0)
    f = fma(4.0, turns, -(z - 6755399441055744.0))
    # times pi / 2, in two parts
    f_high = _upper_f64(f)
    low = (f - f_high) + low
    high = f_high * 1.5707963407039642
    low = fma(low, 1.5707963267948966, f_high * -1.3909067614167116e-08)
    r = high + low
    small = abs(x) < 0.78
    return x if small else r, 0.0 if small else (high - r) + low, np.float64(z).view(np.int64)


def _sin_cos_f64(r: float, e: float) -> tuple[float, float]:
    # (sin(r + e), cos(r + e)) for |r| <= pi / 4; minimax fits to 2^-57 and 2^-62
    z = r * r
    p = fma(z, 1.5894579741253684e-10, -2.505073237897233e-08)
    p = fma(z, fma(z, fma(z, p, 2.7557313638500286e-06), -0.00019841269830108815), 0.008333333333323624)
    q = fma(z, fma(z, -1.1367900016246307e-11, 2.0875896367138317e-09), -2.755731573025873e-07)
    q = fma(z, fma(z, fma(z, q, 2.4801587294605744e-05), -0.0013888888888882816), 0.04166666666666665)
    c = fma(z * z, q, -(r * e))
    return r + fma(r, z * fma(z, p, -0.1666666666666664), e), 1.0 - fma(0.5, z, -c)


def sin_f64(x: float) -> float:
    # x is q quarter turns and a rest: of it the sine or, after an odd q, the cosine, with the sign of q
    r, e, q = _quadrant_f64(x)
    s, c = _sin_cos_f64(r, e)
    y = c if q & 1 else s
    return (-y if q & 2 else y) if x != 0.0 else x


def cos_f64(x: float) -> float:
    # x is q quarter turns and a rest: of it the cosine or, after an odd q, the sine, with the sign of q
    r, e, q = _quadrant_f64(x)
    s, c = _sin_cos_f64(r, e)
    y = s if q & 1 else c
    return -y if (q + 1) & 2 else y


def tan_f64(x: float) -> float:
    r, e, q = _quadrant_f64(x)
    s, c = _sin_cos_f64(r, e)
    y = (-c if q & 1 else s) / (s if q & 1 else c)
    return y if x != 0.0 else x


ROWS = (
    Function(_quadrant_f64, ulp=2.0, vectorises=True, tables=(Table("_TURNS", _turns_table),)),
    Function(_sin_cos_f64, ulp=2.0, vectorises=True),
    Function(sin_f64, ulp=1.1, vectorises=True),
    Function(cos_f64, ulp=1.1, vectorises=True),
    Function(tan_f64, ulp=2.6, vectorises=True),
)
