"""Inverse trigonometry of generated kernels: asin, acos, atan, atan2, and hypot; branch-free.

Arguments are folded (Cephes, Sun) so that odd polynomials, our own minimax fits, do for asin on [0, 1/2] and atan on
[0, tan(pi / 8)].
"""

import numpy as np

from graphc.codegen.fused import fma
from graphc.codegen.vecmath_row import Function

# float32


def _asin_parts_f32(x: np.float32) -> tuple[np.bool_, np.float32]:
    # (folded, asin s) with s = sqrt((1 - |x|) / 2) above |x| = 1/2 (folded), s = |x| below; minimax fit to 2^-31
    size = abs(x)
    folded = size > np.float32(0.5)
    z = np.float32(0.5) * (np.float32(1.0) - size) if folded else size * size
    s = np.sqrt(z) if folded else size
    p = fma(z, fma(z, np.float32(0.0378194563), np.float32(0.014326212)), np.float32(0.0318016745))
    p = fma(z, fma(z, fma(z, p, np.float32(0.0445233844)), np.float32(0.075004302)), np.float32(0.166666627))
    return folded, fma(s, z * p, s)


def asin_f32(x: np.float32) -> np.float32:
    # pi / 2 - 2 asin(s) above 1/2
    folded, y = _asin_parts_f32(x)
    return np.copysign(np.float32(1.57079637) - (y + y - np.float32(-4.37113883e-8)) if folded else y, x)


def acos_f32(x: np.float32) -> np.float32:
    # 2 asin(s) above 1/2, pi - 2 asin(s) below -1/2, pi / 2 - asin(x) between
    folded, y = _asin_parts_f32(x)
    outer = y + y if x > np.float32(0.0) else np.float32(3.14159274) - (y + y - np.float32(-8.74227766e-8))
    return outer if folded else np.float32(1.57079637) - (np.copysign(y, x) - np.float32(-4.37113883e-8))


def _atan_ratio_f32(a: np.float32, b: np.float32) -> np.float32:
    # atan(a / b) for 0 <= a <= b; above tan(pi / 8): pi / 4 + atan((a - b) / (a + b)); minimax fit to 2^-30
    folded = a > np.float32(0.414213562) * b
    t = (a - b if folded else a) / (a + b if folded else b)
    z = t * t
    p = fma(z, fma(z, np.float32(-0.0602857918), np.float32(0.105797105)), np.float32(-0.142427459))
    p = fma(z, fma(z, p, np.float32(0.199985221)), np.float32(-0.333333194))
    y = fma(t, z * p, t)
    return np.float32(0.785398185) + (y + np.float32(-2.18556941e-8)) if folded else y


def atan_f32(x: np.float32) -> np.float32:
    # pi / 2 - atan(1 / |x|) above 1, with pi / 2 in two parts
    size = abs(x)
    swap = size > np.float32(1.0)
    y = _atan_ratio_f32(np.float32(1.0) if swap else size, size if swap else np.float32(1.0))
    return np.copysign(np.float32(1.57079637) - (y - np.float32(-4.37113883e-8)) if swap else y, x)


def atan2_f32(y: np.float32, x: np.float32) -> np.float32:
    # the angle in the first octant, unfolded; scaled where sums would overflow or be subnormal
    size_x, size_y = abs(x), abs(y)
    swap = size_y > size_x
    a, b = (size_x if swap else size_y), (size_y if swap else size_x)
    scale = np.float32(2.0**60) if b < np.float32(1e-30) else np.float32(1.0)
    scale = np.float32(0.25) if b > np.float32(1e37) else scale
    same, infinite = a == b, b == np.float32(np.inf)
    a = (np.float32(1.0) if same else np.float32(0.0)) if infinite else a * scale
    b = np.float32(1.0) if infinite else b * scale
    angle = _atan_ratio_f32(a, np.float32(1.0) if b == np.float32(0.0) else b)
    angle = np.float32(1.57079637) - (angle - np.float32(-4.37113883e-8)) if swap else angle
    left = np.copysign(np.float32(1.0), x) < np.float32(0.0)
    angle = np.float32(3.14159274) - (angle - np.float32(-8.74227766e-8)) if left else angle
    angle = y if y != y else np.copysign(angle, y)
    return x if x != x else angle


def hypot_f32(x: np.float32, y: np.float32) -> np.float32:
    # float64 holds the squares without overflow or underflow
    wide_x, wide_y = np.float64(x), np.float64(y)
    h = np.float32(np.sqrt(wide_x * wide_x + wide_y * wide_y))
    h = np.float32(np.inf) if abs(x) == np.float32(np.inf) else h
    return np.float32(np.inf) if abs(y) == np.float32(np.inf) else h


# float64


def _asin_parts_f64(x: float) -> tuple[bool, float]:
    # (folded, asin s) with s = sqrt((1 - |x|) / 2) above |x| = 1/2 (folded), s = |x| below; minimax fit to 2^-59
    size = abs(x)
    folded = size > 0.5
    z = 0.5 * (1.0 - size) if folded else size * size
    s = np.sqrt(z) if folded else size
    p = fma(z, fma(z, 0.03274148383915843, -0.021060057950413217), 0.02165687862513117)
    p = fma(z, fma(z, fma(z, p, 0.0037700243738852824), 0.010750760685957409), 0.011406698303530225)
    p = fma(z, fma(z, fma(z, p, 0.013979523139589762), 0.017351752625050683), 0.022372205133791144)
    p = fma(z, fma(z, fma(z, p, 0.030381943138356397), 0.04464285716374379), 0.07499999999984425)
    p = fma(z, p, 0.16666666666666702)
    return folded, fma(s, z * p, s)


def asin_f64(x: float) -> float:
    # pi / 2 - 2 asin(s) above 1/2
    folded, y = _asin_parts_f64(x)
    return np.copysign(1.5707963267948966 - (y + y - 6.123233995736766e-17) if folded else y, x)


def acos_f64(x: float) -> float:
    # 2 asin(s) above 1/2, pi - 2 asin(s) below -1/2, pi / 2 - asin(x) between
    folded, y = _asin_parts_f64(x)
    outer = y + y if x > 0.0 else 3.141592653589793 - (y + y - 1.2246467991473532e-16)
    return outer if folded else 1.5707963267948966 - (np.copysign(y, x) - 6.123233995736766e-17)


def _atan_ratio_f64(a: float, b: float) -> float:
    # atan(a / b) for 0 <= a <= b; above tan(pi / 8): pi / 4 + atan((a - b) / (a + b)); minimax fit to 2^-58
    folded = a > 0.41421356237309503 * b
    t = (a - b if folded else a) / (a + b if folded else b)
    z = t * t
    p = fma(z, fma(z, -0.017799242970753443, 0.03798864953996839), -0.05037374642127401)
    p = fma(z, fma(z, fma(z, p, 0.058477401326176855), -0.06663129360816285), 0.07692067275696766)
    p = fma(z, fma(z, fma(z, p, -0.09090898482223554), 0.11111110822454419), -0.1428571428131248)
    p = fma(z, fma(z, p, 0.19999999999968743), -0.33333333333333265)
    y = fma(t, z * p, t)
    return 0.7853981633974483 + (y + 3.061616997868383e-17) if folded else y


def atan_f64(x: float) -> float:
    # pi / 2 - atan(1 / |x|) above 1, with pi / 2 in two parts
    size = abs(x)
    swap = size > 1.0
    y = _atan_ratio_f64(1.0 if swap else size, size if swap else 1.0)
    return np.copysign(1.5707963267948966 - (y - 6.123233995736766e-17) if swap else y, x)


def atan2_f64(y: float, x: float) -> float:
    # the angle in the first octant, unfolded; scaled where sums would overflow or be subnormal
    size_x, size_y = abs(x), abs(y)
    swap = size_y > size_x
    a, b = (size_x if swap else size_y), (size_y if swap else size_x)
    scale = 2.0**60 if b < 1e-300 else 1.0
    scale = 0.25 if b > 1e307 else scale
    same, infinite = a == b, b == np.inf
    a = (1.0 if same else 0.0) if infinite else a * scale
    b = 1.0 if infinite else b * scale
    angle = _atan_ratio_f64(a, 1.0 if b == 0.0 else b)
    angle = 1.5707963267948966 - (angle - 6.123233995736766e-17) if swap else angle
    left = np.copysign(1.0, x) < 0.0
    angle = 3.141592653589793 - (angle - 1.2246467991473532e-16) if left else angle
    angle = y if y != y else np.copysign(angle, y)
    return x if x != x else angle


def hypot_f64(x: float, y: float) -> float:
    # the square root of the sum of squares, scaled by a power of two where the squares would leave the range
    size_x, size_y = abs(x), abs(y)
    larger = size_x if size_x > size_y else size_y
    scale = 2.0**-600 if larger > 2.0**500 else 2.0**600 if larger < 2.0**-400 else 1.0
    back = 2.0**600 if larger > 2.0**500 else 2.0**-600 if larger < 2.0**-400 else 1.0
    a, b = size_x * scale, size_y * scale
    h = np.sqrt(a * a + b * b) * back
    h = np.inf if size_x == np.inf else h
    return np.inf if size_y == np.inf else h


ROWS = (
    Function(_asin_parts_f32, ulp=2.0, vectorises=True),
    Function(asin_f32, ulp=2.4, vectorises=True),
    Function(acos_f32, ulp=1.2, vectorises=True),
    Function(_atan_ratio_f32, ulp=2.0, vectorises=True),
    Function(atan_f32, ulp=2.2, vectorises=True),
    Function(atan2_f32, ulp=2.2, vectorises=True),
    Function(hypot_f32, ulp=0.6, vectorises=True),
    Function(_asin_parts_f64, ulp=2.0, vectorises=True),
    Function(asin_f64, ulp=2.3, vectorises=True),
    Function(acos_f64, ulp=1.2, vectorises=True),
    Function(_atan_ratio_f64, ulp=2.4, vectorises=True),
    Function(atan_f64, ulp=2.4, vectorises=True),
    Function(atan2_f64, ulp=2.4, vectorises=True),
    Function(hypot_f64, ulp=1.2, vectorises=True),
)
