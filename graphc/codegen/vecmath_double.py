"""Exact sums and products of floats in generated kernels, for functions that need more digits inside; branch-free."""

import numpy as np

from graphc.codegen.fused import FUSED, fma
from graphc.codegen.vecmath_row import Function


def _upper_f32(x: np.float32) -> np.float32:
    # x cut to 12 bits, so that its square is exact
    return np.int32(np.float32(x).view(np.int32) & -4096).view(np.float32)


def _upper_f64(x: float) -> float:
    # x rounded to 26 bits, so that products of such parts, and of the remainders, are exact
    return np.int64((np.float64(x).view(np.int64) + 0x4000000) & -0x8000000).view(np.float64)


def _product_f64(a: float, b: float) -> tuple[float, float]:
    # (p, e) with p + e = a b exactly, p = fl(a b); Dekker's where there is no fused multiplication
    if FUSED:
        p = a * b
        return p, fma(a, b, -p)
    a_high, b_high = _upper_f64(a), _upper_f64(b)
    a_low, b_low = a - a_high, b - b_high
    p = a * b
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


def _sum_f64(a: float, b: float) -> tuple[float, float]:
    # (s, e) with s + e = a + b exactly, s = fl(a + b); Knuth
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


ROWS = (
    Function(_upper_f32, ulp=0.0, vectorises=True),
    Function(_upper_f64, ulp=0.0, vectorises=True),
    Function(_product_f64, ulp=0.0, vectorises=True),
    Function(_sum_f64, ulp=0.0, vectorises=True),
)
