"""Exponentials of generated kernels: exp, exp2, expm1, sinh, cosh, tanh, sigmoid; branch-free.

All reduce x = k ln 2 + r with |r| <= ln(2) / 2 and use exp(x) = 2^k (1 + r + r^2 P(r)); the polynomials are our own
minimax fits, the two-part ln 2 is Cody and Waite's. Adding 1.5 * 2^23 (float32) or 1.5 * 2^52
(float64) rounds a float to an integer and leaves that integer in its low bits. Clamps let nan pass.
"""

import numpy as np

from graphc.codegen.fused import fma
from graphc.codegen.vecmath_row import Function

# float32


def _pow2_f32(k: np.int32) -> np.float32:
    # 2^k for -127 < k < 128, built from the exponent field
    return np.int32((k + 127) << 23).view(np.float32)


def _ldexp_f32(y: np.float32, k: np.int32) -> np.float32:
    # y 2^k in two steps, so that subnormal results are rounded once and overflow gives inf
    half = np.int32(k >> 1)
    return y * _pow2_f32(half) * _pow2_f32(np.int32(k - half))


def _exp_slope_f32(r: np.float32) -> np.float32:
    # (e^r - 1 - r) / r^2 on |r| <= ln(2)/2; minimax fit, relative error of e^r - 1 2^-30
    p = np.float32(1.99078379e-4)
    p = fma(p, r, np.float32(1.39488198e-3))
    p = fma(p, r, np.float32(8.33328534e-3))
    p = fma(p, r, np.float32(4.16662358e-2))
    p = fma(p, r, np.float32(0.166666672))
    return fma(p, r, np.float32(0.5))


def _exp_parts_f32(x: np.float32, rest: np.float32) -> tuple[np.int32, np.float32, np.float32]:
    # (k, a, b) with exp(x + rest) = 2^k (1 + a + b); Cody-Waite; adding 1.5 * 2^23 rounds, its bits are 0x4B400000
    z = fma(x, np.float32(1.44269504), np.float32(12582912.0))
    n = z - np.float32(12582912.0)
    high = fma(n, np.float32(-0.693145752), x)
    low = fma(n, np.float32(1.42860677e-6), -rest)
    r = high - low
    b = fma(r * r, _exp_slope_f32(r), (high - r) - low)
    return np.int32(np.float32(z).view(np.int32) - 0x4B400000), r, b


def exp_f32(x: np.float32) -> np.float32:
    # 2^k e^r: k is x / ln 2 rounded, r = x - k ln 2; below -105 it is 0, above 90 inf. Adding 12582912 = 1.5 * 2^23
    # rounds to an integer and leaves it in the low bits, behind 0x4B400000, those of 12582912
    x = np.float32(90.0) if x > np.float32(90.0) else x
    x = np.float32(-105.0) if x < np.float32(-105.0) else x
    z = fma(x, np.float32(1.44269504), np.float32(12582912.0))
    n = z - np.float32(12582912.0)
    r = fma(n, np.float32(-1.42860677e-6), fma(n, np.float32(-0.693145752), x))
    k = np.int32(np.float32(z).view(np.int32) - 0x4B400000)
    return _ldexp_f32(np.float32(1.0) + fma(r * r, _exp_slope_f32(r), r), k)


def exp2_f32(x: np.float32) -> np.float32:
    # 2^k e^r: k is x rounded, as in exp, r = (x - k) ln 2; below -152 it is 0, above 130 inf
    x = np.float32(130.0) if x > np.float32(130.0) else x
    x = np.float32(-152.0) if x < np.float32(-152.0) else x
    z = x + np.float32(12582912.0)
    r = (x - (z - np.float32(12582912.0))) * np.float32(0.693147181)
    k = np.int32(np.float32(z).view(np.int32) - 0x4B400000)
    return _ldexp_f32(np.float32(1.0) + fma(r * r, _exp_slope_f32(r), r), k)


def expm1_f32(x: np.float32) -> np.float32:
    # 2^k ((1 - 2^-k) + a + b), the sum compensated
    clamped = np.float32(90.0) if x > np.float32(90.0) else x
    clamped = np.float32(-20.0) if clamped < np.float32(-20.0) else clamped
    k, a, b = _exp_parts_f32(clamped, np.float32(0.0))
    c = np.float32(1.0) - _pow2_f32(np.int32(-(k if k < 120 else 120)))
    s = c + a
    y = _ldexp_f32(s + (a - (s - c) + b), k)
    return y if x != np.float32(0.0) else x


def sinh_f32(x: np.float32) -> np.float32:
    # with t = expm1(|x|) = 2^k m: (t + t / (t + 1)) / 2 = 2^(k-1) (m + 2^-k m / (1 + a + b))
    size = abs(x)
    size = np.float32(90.0) if size > np.float32(90.0) else size
    k, a, b = _exp_parts_f32(size, np.float32(0.0))
    inverse = _pow2_f32(np.int32(-(k if k < 60 else 60)))
    c = np.float32(1.0) - inverse
    s = c + a
    m = s + (a - (s - c) + b)
    y = _ldexp_f32(m + inverse * m / (np.float32(1.0) + (a + b)), np.int32(k - 1))
    return np.copysign(y, x)


def cosh_f32(x: np.float32) -> np.float32:
    # with q = 1 + a + b: 2^(k-1) (q + 4^-k / q)
    size = abs(x)
    size = np.float32(90.0) if size > np.float32(90.0) else size
    k, a, b = _exp_parts_f32(size, np.float32(0.0))
    inverse = _pow2_f32(np.int32(-(k if k < 60 else 60)))
    s = np.float32(1.0) + a
    q = s + (a - (s - np.float32(1.0)) + b)
    return _ldexp_f32(q + inverse * inverse / q, np.int32(k - 1))


def tanh_f32(x: np.float32) -> np.float32:
    # below 0.55: size + size z P(z) / Q(z), z = x^2, rational fit with error 2^-28; above: 1 - 2 / (exp(2 size) + 1)
    size = abs(x)
    small = size < np.float32(0.55)
    z = x * x
    twice = size + size
    k, a, b = _exp_parts_f32(np.float32(20.0) if twice > np.float32(20.0) else twice, np.float32(0.0))
    inverse = _pow2_f32(np.int32(-k))
    top = fma(z, np.float32(-0.00154773321), np.float32(-0.333333194))
    bottom = fma(z, np.float32(0.404634058), np.float32(1.0))
    above = np.float32(1.0) + inverse + (a + b)
    ratio = (z * top if small else inverse + inverse) / (bottom if small else above)
    return np.copysign(fma(size, ratio, size) if small else np.float32(1.0) - ratio, x)


def sigmoid_f32(x: np.float32) -> np.float32:
    # with e = exp(-|x|): 1 / (1 + e), times e below 0; sigmoid(-x) and what else needs e share its code
    e = exp_f32(-abs(x))
    y = np.float32(1.0) / (np.float32(1.0) + e)
    return e * y if x < np.float32(0.0) else y


# float64


def _pow2_f64(k: np.int64) -> float:
    # 2^k for -1023 < k < 1024, built from the exponent field
    return np.int64((k + 1023) << 52).view(np.float64)


def _ldexp_f64(y: float, k: np.int64) -> float:
    # y 2^k in two steps, so that subnormal results are rounded once and overflow gives inf
    half = np.int64(k >> 1)
    return y * _pow2_f64(half) * _pow2_f64(np.int64(k - half))


def _exp_slope_f64(r: float) -> float:
    # (e^r - 1 - r) / r^2 on |r| <= ln(2)/2; minimax fit, relative error of e^r - 1 2^-58
    p = 1.7687766699382653e-09
    p = fma(p, r, 2.5105396235873582e-08)
    p = fma(p, r, 2.756796766972772e-07)
    p = fma(p, r, 2.755725497576787e-06)
    p = fma(p, r, 2.480157444058608e-05)
    p = fma(p, r, 0.00019841269875148755)
    p = fma(p, r, 0.0013888888895674078)
    p = fma(p, r, 0.008333333333326044)
    p = fma(p, r, 0.04166666666665207)
    p = fma(p, r, 0.1666666666666667)
    return fma(p, r, 0.5)


def _exp_parts_f64(x: float, rest: float) -> tuple[np.int64, float, float]:
    # (k, a, b) with exp(x + rest) = 2^k (1 + a + b); Cody-Waite; adding 1.5 * 2^52 rounds, its bits are 0x4338 << 48
    z = fma(x, 1.4426950408889634, 6755399441055744.0)
    n = z - 6755399441055744.0
    high = fma(n, -0.6931471803691238, x)
    low = fma(n, 1.9082149292705877e-10, -rest)
    r = high - low
    b = fma(r * r, _exp_slope_f64(r), (high - r) - low)
    return np.int64(np.float64(z).view(np.int64) - 0x4338000000000000), r, b


def exp_f64(x: float) -> float:
    # 2^k e^r: k is x / ln 2 rounded, r = x - k ln 2; below -746 it is 0, above 710 inf. Adding 6755399441055744 =
    # 1.5 * 2^52 rounds to an integer and leaves it in the low bits, behind 0x4338000000000000, those of 1.5 * 2^52
    x = 710.0 if x > 710.0 else x
    x = -746.0 if x < -746.0 else x
    z = fma(x, 1.4426950408889634, 6755399441055744.0)
    n = z - 6755399441055744.0
    r = fma(n, -1.9082149292705877e-10, fma(n, -0.6931471803691238, x))
    k = np.int64(np.float64(z).view(np.int64) - 0x4338000000000000)
    return _ldexp_f64(1.0 + fma(r * r, _exp_slope_f64(r), r), k)


def exp2_f64(x: float) -> float:
    # 2^k e^r: k is x rounded, as in exp, r = (x - k) ln 2; below -1080 it is 0, above 1025 inf
    x = 1025.0 if x > 1025.0 else x
    x = -1080.0 if x < -1080.0 else x
    z = x + 6755399441055744.0
    r = (x - (z - 6755399441055744.0)) * 0.6931471805599453
    k = np.int64(np.float64(z).view(np.int64) - 0x4338000000000000)
    return _ldexp_f64(1.0 + fma(r * r, _exp_slope_f64(r), r), k)


def expm1_f64(x: float) -> float:
    # 2^k ((1 - 2^-k) + a + b), the sum compensated
    clamped = 710.0 if x > 710.0 else x
    clamped = -40.0 if clamped < -40.0 else clamped
    k, a, b = _exp_parts_f64(clamped, 0.0)
    c = 1.0 - _pow2_f64(np.int64(-(k if k < 1000 else 1000)))
    s = c + a
    y = _ldexp_f64(s + (a - (s - c) + b), k)
    return y if x != 0.0 else x


def sinh_f64(x: float) -> float:
    # with t = expm1(|x|) = 2^k m: (t + t / (t + 1)) / 2 = 2^(k-1) (m + 2^-k m / (1 + a + b))
    size = abs(x)
    size = 711.0 if size > 711.0 else size
    k, a, b = _exp_parts_f64(size, 0.0)
    inverse = _pow2_f64(np.int64(-(k if k < 500 else 500)))
    c = 1.0 - inverse
    s = c + a
    m = s + (a - (s - c) + b)
    return np.copysign(_ldexp_f64(m + inverse * m / (1.0 + (a + b)), np.int64(k - 1)), x)


def cosh_f64(x: float) -> float:
    # with q = 1 + a + b: 2^(k-1) (q + 4^-k / q)
    size = abs(x)
    size = 711.0 if size > 711.0 else size
    k, a, b = _exp_parts_f64(size, 0.0)
    inverse = _pow2_f64(np.int64(-(k if k < 500 else 500)))
    s = 1.0 + a
    q = s + (a - (s - 1.0) + b)
    return _ldexp_f64(q + inverse * inverse / q, np.int64(k - 1))


def tanh_f64(x: float) -> float:
    # below 0.55: size + size z P(z) / Q(z), z = x^2, rational fit with error 2^-61; above: 1 - 2 / (exp(2 size) + 1)
    size = abs(x)
    small = size < 0.55
    z = x * x
    twice = size + size
    k, a, b = _exp_parts_f64(40.0 if twice > 40.0 else twice, 0.0)
    inverse = _pow2_f64(np.int64(-k))
    top = fma(z, fma(z, -0.0001992053744012563, -0.020499415867224268), -0.3333333333333333)
    bottom = fma(z, fma(z, fma(z, 0.00020656301357799232, 0.02329215325922637), 0.4614982476016676), 1.0)
    ratio = (z * top if small else inverse + inverse) / (bottom if small else 1.0 + inverse + (a + b))
    return np.copysign(fma(size, ratio, size) if small else 1.0 - ratio, x)


def sigmoid_f64(x: float) -> float:
    # with e = exp(-|x|): 1 / (1 + e), times e below 0; sigmoid(-x) and what else needs e share its code
    e = exp_f64(-abs(x))
    y = 1.0 / (1.0 + e)
    return e * y if x < 0.0 else y


ROWS = (
    Function(_pow2_f32, ulp=0.0, vectorises=True),
    Function(_ldexp_f32, ulp=0.5, vectorises=True),
    Function(_exp_slope_f32, ulp=2.0, vectorises=True),
    Function(_exp_parts_f32, ulp=2.0, vectorises=True),
    Function(exp_f32, ulp=1.1, vectorises=True),
    Function(exp2_f32, ulp=1.1, vectorises=True),
    Function(expm1_f32, ulp=1.1, vectorises=True),
    Function(sinh_f32, ulp=2.2, vectorises=True),
    Function(cosh_f32, ulp=1.2, vectorises=True),
    Function(tanh_f32, ulp=1.4, vectorises=True),
    Function(sigmoid_f32, ulp=3.1, vectorises=True),
    Function(_pow2_f64, ulp=0.0, vectorises=True),
    Function(_ldexp_f64, ulp=0.5, vectorises=True),
    Function(_exp_slope_f64, ulp=2.0, vectorises=True),
    Function(_exp_parts_f64, ulp=2.0, vectorises=True),
    Function(exp_f64, ulp=1.1, vectorises=True),
    Function(exp2_f64, ulp=1.0, vectorises=True),
    Function(expm1_f64, ulp=1.6, vectorises=True),
    Function(sinh_f64, ulp=2.2, vectorises=True),
    Function(cosh_f64, ulp=1.2, vectorises=True),
    Function(tanh_f64, ulp=1.4, vectorises=True),
    Function(sigmoid_f64, ulp=3.1, vectorises=True),
)
