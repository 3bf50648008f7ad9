"""First plain forms of the scalar math functions; being replaced by the other `vecmath_` modules."""

import math

import numpy as np

from graphc.codegen.vecmath_row import Function


def exp_f32(x: np.float32) -> np.float32:
    return np.exp(x)


def expm1_f32(x: np.float32) -> np.float32:
    return np.expm1(x)


def log_f32(x: np.float32) -> np.float32:
    return np.log(x)


def log1p_f32(x: np.float32) -> np.float32:
    return np.log1p(x)


def log2_f32(x: np.float32) -> np.float32:
    return np.log2(x)


def log10_f32(x: np.float32) -> np.float32:
    return np.log10(x)


def sqrt_f32(x: np.float32) -> np.float32:
    return np.sqrt(x)


def sin_f32(x: np.float32) -> np.float32:
    return np.sin(x)


def cos_f32(x: np.float32) -> np.float32:
    return np.cos(x)


def tan_f32(x: np.float32) -> np.float32:
    return np.tan(x)


def asin_f32(x: np.float32) -> np.float32:
    return np.arcsin(x)


def acos_f32(x: np.float32) -> np.float32:
    return np.arccos(x)


def atan_f32(x: np.float32) -> np.float32:
    return np.arctan(x)


def sinh_f32(x: np.float32) -> np.float32:
    return np.sinh(x)


def cosh_f32(x: np.float32) -> np.float32:
    return np.cosh(x)


def tanh_f32(x: np.float32) -> np.float32:
    return np.tanh(x)


def asinh_f32(x: np.float32) -> np.float32:
    return np.arcsinh(x)


def acosh_f32(x: np.float32) -> np.float32:
    return np.arccosh(x)


def atanh_f32(x: np.float32) -> np.float32:
    return np.arctanh(x)


def exp2_f32(x: np.float32) -> np.float32:
    return np.exp2(x)


def round_f32(x: np.float32) -> np.float32:
    return np.rint(x)


def floor_f32(x: np.float32) -> np.float32:
    return np.floor(x)


def ceil_f32(x: np.float32) -> np.float32:
    return np.ceil(x)


def trunc_f32(x: np.float32) -> np.float32:
    return np.trunc(x)


def sign_f32(x: np.float32) -> np.float32:
    return np.sign(x)


def atan2_f32(x: np.float32, y: np.float32) -> np.float32:
    return np.arctan2(x, y)


def hypot_f32(x: np.float32, y: np.float32) -> np.float32:
    return np.hypot(x, y)


def floor_divide_f32(x: np.float32, y: np.float32) -> np.float32:
    return np.floor_divide(x, y)


def remainder_f32(x: np.float32, y: np.float32) -> np.float32:
    return np.remainder(x, y)


def copysign_f32(x: np.float32, y: np.float32) -> np.float32:
    return np.copysign(x, y)


def pow_f32(x: np.float32, y: np.float32) -> np.float32:
    return np.power(x, y)


def erf_f32(x: np.float32) -> np.float32:
    return np.float32(math.erf(x))


def erfc_f32(x: np.float32) -> np.float32:
    return np.float32(math.erfc(x))


def lgamma_f32(x: np.float32) -> np.float32:
    if x <= np.float32(0) and np.floor(x) == x:
        return np.float32(np.inf)
    return np.float32(math.lgamma(x))


def sigmoid_f32(x: np.float32) -> np.float32:
    e = np.exp(-abs(x))
    return (np.float32(1) if x >= 0 else e) / (np.float32(1) + e)


def softplus_f32(x: np.float32) -> np.float32:
    return np.maximum(x, np.float32(0)) + np.log1p(np.exp(-abs(x)))


def logaddexp_f32(x: np.float32, y: np.float32) -> np.float32:
    return np.logaddexp(x, y)


def digamma_f32(x: np.float32) -> np.float32:
    return np.float32(digamma_f64(np.float64(x)))


def polygamma_f32(n: int, x: np.float32) -> np.float32:
    return np.float32(polygamma_f64(n, np.float64(x)))


def exp_f64(x: np.float64) -> np.float64:
    return np.exp(x)


def expm1_f64(x: np.float64) -> np.float64:
    return np.expm1(x)


def log_f64(x: np.float64) -> np.float64:
    return np.log(x)


def log1p_f64(x: np.float64) -> np.float64:
    return np.log1p(x)


def log2_f64(x: np.float64) -> np.float64:
    return np.log2(x)


def log10_f64(x: np.float64) -> np.float64:
    return np.log10(x)


def sqrt_f64(x: np.float64) -> np.float64:
    return np.sqrt(x)


def sin_f64(x: np.float64) -> np.float64:
    return np.sin(x)


def cos_f64(x: np.float64) -> np.float64:
    return np.cos(x)


def tan_f64(x: np.float64) -> np.float64:
    return np.tan(x)


def asin_f64(x: np.float64) -> np.float64:
    return np.arcsin(x)


def acos_f64(x: np.float64) -> np.float64:
    return np.arccos(x)


def atan_f64(x: np.float64) -> np.float64:
    return np.arctan(x)


def sinh_f64(x: np.float64) -> np.float64:
    return np.sinh(x)


def cosh_f64(x: np.float64) -> np.float64:
    return np.cosh(x)


def tanh_f64(x: np.float64) -> np.float64:
    return np.tanh(x)


def asinh_f64(x: np.float64) -> np.float64:
    return np.arcsinh(x)


def acosh_f64(x: np.float64) -> np.float64:
    return np.arccosh(x)


def atanh_f64(x: np.float64) -> np.float64:
    return np.arctanh(x)


def exp2_f64(x: np.float64) -> np.float64:
    return np.exp2(x)


def round_f64(x: np.float64) -> np.float64:
    return np.rint(x)


def floor_f64(x: np.float64) -> np.float64:
    return np.floor(x)


def ceil_f64(x: np.float64) -> np.float64:
    return np.ceil(x)


def trunc_f64(x: np.float64) -> np.float64:
    return np.trunc(x)


def sign_f64(x: np.float64) -> np.float64:
    return np.sign(x)


def atan2_f64(x: np.float64, y: np.float64) -> np.float64:
    return np.arctan2(x, y)


def hypot_f64(x: np.float64, y: np.float64) -> np.float64:
    return np.hypot(x, y)


def floor_divide_f64(x: np.float64, y: np.float64) -> np.float64:
    return np.floor_divide(x, y)


def remainder_f64(x: np.float64, y: np.float64) -> np.float64:
    return np.remainder(x, y)


def copysign_f64(x: np.float64, y: np.float64) -> np.float64:
    return np.copysign(x, y)


def pow_f64(x: np.float64, y: np.float64) -> np.float64:
    return np.power(x, y)


def erf_f64(x: np.float64) -> np.float64:
    return np.float64(math.erf(x))


def erfc_f64(x: np.float64) -> np.float64:
    return np.float64(math.erfc(x))


def lgamma_f64(x: np.float64) -> np.float64:
    if x <= np.float64(0) and np.floor(x) == x:
        return np.float64(np.inf)
    return np.float64(math.lgamma(x))


def sigmoid_f64(x: np.float64) -> np.float64:
    e = np.exp(-abs(x))
    return (np.float64(1) if x >= 0 else e) / (np.float64(1) + e)


def softplus_f64(x: np.float64) -> np.float64:
    return np.maximum(x, np.float64(0)) + np.log1p(np.exp(-abs(x)))


def logaddexp_f64(x: np.float64, y: np.float64) -> np.float64:
    return np.logaddexp(x, y)


def digamma_f64(x: np.float64) -> np.float64:
    if x <= 0.0 and np.floor(x) == x:
        return np.float64(np.nan)
    r = 0.0
    if x < 0.0:
        r = -math.pi / math.tan(math.pi * x)
        x = 1.0 - x
    while x < 10.0:
        r -= 1.0 / x
        x += 1.0
    z = 1.0 / (x * x)
    s = z * (1 / 12 - z * (1 / 120 - z * (1 / 252 - z * (1 / 240 - z * (1 / 132 - z * (691 / 32760 - z / 12))))))
    return np.float64(r + math.log(x) - 0.5 / x - s)


def polygamma_f64(n: int, x: np.float64) -> np.float64:
    s = np.float64(n + 1)
    t = 0.0
    while x < 20.0:
        t += x**-s
        x += 1.0
    z = 1.0 / (x * x)
    b = 1.0 / 12.0
    t += x ** (1.0 - s) / (s - 1.0) + 0.5 * x**-s
    c = s * x ** (-s - 1.0)
    t += c / 12.0
    c *= (s + 1.0) * (s + 2.0) * z
    t -= c / 720.0
    c *= (s + 3.0) * (s + 4.0) * z
    t += c / 30240.0
    c *= (s + 5.0) * (s + 6.0) * z
    t -= c / 1209600.0
    c *= (s + 7.0) * (s + 8.0) * z
    t += c / 47900160.0
    sign = 1.0 if n % 2 == 1 else -1.0
    return np.float64(sign * math.gamma(s) * t)


ROWS = (
    Function(exp_f32, ulp=8.0, vectorises=False),
    Function(expm1_f32, ulp=8.0, vectorises=False),
    Function(log_f32, ulp=8.0, vectorises=False),
    Function(log1p_f32, ulp=8.0, vectorises=False),
    Function(log2_f32, ulp=8.0, vectorises=False),
    Function(log10_f32, ulp=8.0, vectorises=False),
    Function(sqrt_f32, ulp=8.0, vectorises=False),
    Function(sin_f32, ulp=8.0, vectorises=False),
    Function(cos_f32, ulp=8.0, vectorises=False),
    Function(tan_f32, ulp=8.0, vectorises=False),
    Function(asin_f32, ulp=8.0, vectorises=False),
    Function(acos_f32, ulp=8.0, vectorises=False),
    Function(atan_f32, ulp=8.0, vectorises=False),
    Function(sinh_f32, ulp=8.0, vectorises=False),
    Function(cosh_f32, ulp=8.0, vectorises=False),
    Function(tanh_f32, ulp=8.0, vectorises=False),
    Function(asinh_f32, ulp=8.0, vectorises=False),
    Function(acosh_f32, ulp=8.0, vectorises=False),
    Function(atanh_f32, ulp=8.0, vectorises=False),
    Function(exp2_f32, ulp=8.0, vectorises=False),
    Function(round_f32, ulp=8.0, vectorises=False),
    Function(floor_f32, ulp=8.0, vectorises=False),
    Function(ceil_f32, ulp=8.0, vectorises=False),
    Function(trunc_f32, ulp=8.0, vectorises=False),
    Function(sign_f32, ulp=8.0, vectorises=False),
    Function(atan2_f32, ulp=8.0, vectorises=False),
    Function(hypot_f32, ulp=8.0, vectorises=False),
    Function(floor_divide_f32, ulp=8.0, vectorises=False),
    Function(remainder_f32, ulp=8.0, vectorises=False),
    Function(copysign_f32, ulp=8.0, vectorises=False),
    Function(pow_f32, ulp=8.0, vectorises=False),
    Function(erf_f32, ulp=8.0, vectorises=False),
    Function(erfc_f32, ulp=8.0, vectorises=False),
    Function(lgamma_f32, ulp=8.0, vectorises=False),
    Function(sigmoid_f32, ulp=8.0, vectorises=False),
    Function(softplus_f32, ulp=8.0, vectorises=False),
    Function(logaddexp_f32, ulp=8.0, vectorises=False),
    Function(digamma_f32, ulp=8.0, vectorises=False),
    Function(polygamma_f32, ulp=8.0, vectorises=False),
    Function(exp_f64, ulp=8.0, vectorises=False),
    Function(expm1_f64, ulp=8.0, vectorises=False),
    Function(log_f64, ulp=8.0, vectorises=False),
    Function(log1p_f64, ulp=8.0, vectorises=False),
    Function(log2_f64, ulp=8.0, vectorises=False),
    Function(log10_f64, ulp=8.0, vectorises=False),
    Function(sqrt_f64, ulp=8.0, vectorises=False),
    Function(sin_f64, ulp=8.0, vectorises=False),
    Function(cos_f64, ulp=8.0, vectorises=False),
    Function(tan_f64, ulp=8.0, vectorises=False),
    Function(asin_f64, ulp=8.0, vectorises=False),
    Function(acos_f64, ulp=8.0, vectorises=False),
    Function(atan_f64, ulp=8.0, vectorises=False),
    Function(sinh_f64, ulp=8.0, vectorises=False),
    Function(cosh_f64, ulp=8.0, vectorises=False),
    Function(tanh_f64, ulp=8.0, vectorises=False),
    Function(asinh_f64, ulp=8.0, vectorises=False),
    Function(acosh_f64, ulp=8.0, vectorises=False),
    Function(atanh_f64, ulp=8.0, vectorises=False),
    Function(exp2_f64, ulp=8.0, vectorises=False),
    Function(round_f64, ulp=8.0, vectorises=False),
    Function(floor_f64, ulp=8.0, vectorises=False),
    Function(ceil_f64, ulp=8.0, vectorises=False),
    Function(trunc_f64, ulp=8.0, vectorises=False),
    Function(sign_f64, ulp=8.0, vectorises=False),
    Function(atan2_f64, ulp=8.0, vectorises=False),
    Function(hypot_f64, ulp=8.0, vectorises=False),
    Function(floor_divide_f64, ulp=8.0, vectorises=False),
    Function(remainder_f64, ulp=8.0, vectorises=False),
    Function(copysign_f64, ulp=8.0, vectorises=False),
    Function(pow_f64, ulp=8.0, vectorises=False),
    Function(erf_f64, ulp=8.0, vectorises=False),
    Function(erfc_f64, ulp=8.0, vectorises=False),
    Function(lgamma_f64, ulp=8.0, vectorises=False),
    Function(sigmoid_f64, ulp=8.0, vectorises=False),
    Function(softplus_f64, ulp=8.0, vectorises=False),
    Function(logaddexp_f64, ulp=8.0, vectorises=False),
    Function(digamma_f64, ulp=8.0, vectorises=False),
    Function(polygamma_f64, ulp=8.0, vectorises=False),
)
