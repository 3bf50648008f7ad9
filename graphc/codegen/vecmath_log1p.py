"""Functions of generated kernels made from log(1 + x): softplus, logaddexp, asinh, acosh, atanh; branch-free."""

import numpy as np

from graphc.codegen.fused import fma
from graphc.codegen.vecmath_exp import exp_f32, exp_f64
from graphc.codegen.vecmath_log import log1p_f32, log1p_f64
from graphc.codegen.vecmath_row import Function

# float32


def _log1p_unit_f32(f: np.float32) -> np.float32:
    # log(1 + f) on 0 <= f <= 1: f - f^2 / 2 + s (f^2 / 2 + z P(z)), s = f / (2 + f), z = s^2; minimax fit to 2^-32
    s = f / (np.float32(2.0) + f)
    z = s * s
    p = fma(z, fma(z, np.float32(0.24413161), np.float32(0.214102268)), np.float32(0.286169589))
    p = fma(z, fma(z, p, np.float32(0.399989516)), np.float32(0.666666746))
    half = np.float32(0.5) * f * f
    return f - fma(-s, fma(z, p, half), half)


def softplus_f32(x: np.float32) -> np.float32:
    # log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))
    return (x if x > np.float32(0.0) else np.float32(0.0)) + _log1p_unit_f32(exp_f32(-abs(x)))


def logaddexp_f32(x: np.float32, y: np.float32) -> np.float32:
    # log(exp(x) + exp(y)) = max + log1p(exp(min - max)); equal arguments (infinite ones too) add ln 2;
    # the error is counted against the largest of |x|, |y| and the result
    larger = x if x > y else y
    z = larger + _log1p_unit_f32(exp_f32(-abs(x - y)))
    return z if x != y else x + np.float32(0.693147181)


def asinh_f32(x: np.float32) -> np.float32:
    # log1p(size + size^2 / (1 + sqrt(1 + size^2))); log(size) + ln 2 where the square is large
    size = abs(x)
    large = size > np.float32(1e9)
    square = size * size
    part = size + square / (np.float32(1.0) + np.sqrt(np.float32(1.0) + square))
    y = log1p_f32(size if large else part) + (np.float32(0.693147181) if large else np.float32(0.0))
    return np.copysign(y, x)


def acosh_f32(x: np.float32) -> np.float32:
    # log1p(t + sqrt(t (2 + t))), t = x - 1; log(x) + ln 2 where the square is large
    large = x > np.float32(1e9)
    t = x - np.float32(1.0)
    part = t + np.sqrt(t * (np.float32(2.0) + t))
    y = log1p_f32(x if large else part) + (np.float32(0.693147181) if large else np.float32(0.0))
    return np.float32(np.nan) if x < np.float32(1.0) else y


def atanh_f32(x: np.float32) -> np.float32:
    # log1p(2 size / (1 - size)) / 2; below 1/2 the quotient is taken apart as 2 size + 2 size^2 / (1 - size)
    size = abs(x)
    twice = size + size
    small = size < np.float32(0.5)
    ratio = (twice * size if small else twice) / (np.float32(1.0) - size)
    return np.copysign(np.float32(0.5) * log1p_f32(twice + ratio if small else ratio), x)


# float64


def _log1p_unit_f64(f: float) -> float:
    # log(1 + f) on 0 <= f <= 1: f - f^2 / 2 + s (f^2 / 2 + z P(z)), s = f / (2 + f), z = s^2; minimax fit to 2^-58
    s = f / (2.0 + f)
    z = s * s
    p = fma(z, fma(z, 0.17061770684412658, 0.08327626666785724), 0.12106037751945731)
    p = fma(z, fma(z, fma(z, p, 0.1330141148217723), 0.1538648772815529), 0.18181749475635103)
    p = fma(z, fma(z, fma(z, p, 0.2222222373919751), 0.28571428552964057), 0.4000000000010353)
    half = 0.5 * f * f
    return f - fma(-s, fma(z, fma(z, p, 0.666666666666665), half), half)


def softplus_f64(x: float) -> float:
    # log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))
    return (x if x > 0.0 else 0.0) + _log1p_unit_f64(exp_f64(-abs(x)))


def logaddexp_f64(x: float, y: float) -> float:
    # log(exp(x) + exp(y)) = max + log1p(exp(min - max)); equal arguments (infinite ones too) add ln 2;
    # the error is counted against the largest of |x|, |y| and the result
    larger = x if x > y else y
    z = larger + _log1p_unit_f64(exp_f64(-abs(x - y)))
    return z if x != y else x + 0.6931471805599453


def asinh_f64(x: float) -> float:
    # log1p(size + size^2 / (1 + sqrt(1 + size^2))); log(size) + ln 2 where the square is large
    size = abs(x)
    large = size > 1e18
    square = size * size
    part = size + square / (1.0 + np.sqrt(1.0 + square))
    y = log1p_f64(size if large else part) + (0.6931471805599453 if large else 0.0)
    return np.copysign(y, x)


def acosh_f64(x: float) -> float:
    # log1p(t + sqrt(t (2 + t))), t = x - 1; log(x) + ln 2 where the square is large
    large = x > 1e18
    t = x - 1.0
    part = t + np.sqrt(t * (2.0 + t))
    y = log1p_f64(x if large else part) + (0.6931471805599453 if large else 0.0)
    return np.nan if x < 1.0 else y


def atanh_f64(x: float) -> float:
    # log1p(2 size / (1 - size)) / 2; below 1/2 the quotient is taken apart as 2 size + 2 size^2 / (1 - size)
    size = abs(x)
    twice = size + size
    small = size < 0.5
    ratio = (twice * size if small else twice) / (1.0 - size)
    return np.copysign(0.5 * log1p_f64(twice + ratio if small else ratio), x)


ROWS = (
    Function(_log1p_unit_f32, ulp=1.0, vectorises=True),
    Function(softplus_f32, ulp=2.3, vectorises=True),
    Function(logaddexp_f32, ulp=3.2, vectorises=True),
    Function(asinh_f32, ulp=1.8, vectorises=True),
    Function(acosh_f32, ulp=2.7, vectorises=True),
    Function(atanh_f32, ulp=1.8, vectorises=True),
    Function(_log1p_unit_f64, ulp=1.0, vectorises=True),
    Function(softplus_f64, ulp=2.2, vectorises=True),
    Function(logaddexp_f64, ulp=3.1, vectorises=True),
    Function(asinh_f64, ulp=1.8, vectorises=True),
    Function(acosh_f64, ulp=2.7, vectorises=True),
    Function(atanh_f64, ulp=1.8, vectorises=True),
)
