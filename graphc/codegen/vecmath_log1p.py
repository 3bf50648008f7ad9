"""Functions of generated kernels made from log1p: softplus, logaddexp, asinh, acosh, atanh; branch-free."""

import numpy as np

from graphc.codegen.vecmath_exp import exp_f32, exp_f64
from graphc.codegen.vecmath_log import log1p_f32, log1p_f64
from graphc.codegen.vecmath_row import Function

# float32


def softplus_f32(x: np.float32) -> np.float32:
    # log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))
    return (x if x > np.float32(0.0) else np.float32(0.0)) + log1p_f32(exp_f32(-abs(x)))


def logaddexp_f32(x: np.float32, y: np.float32) -> np.float32:
    # log(exp(x) + exp(y)) = max + log1p(exp(min - max)); equal arguments (infinite ones too) add ln 2
    larger = x if x > y else y
    z = larger + log1p_f32(exp_f32(-abs(x - y)))
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


def softplus_f64(x: float) -> float:
    # log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))
    return (x if x > 0.0 else 0.0) + log1p_f64(exp_f64(-abs(x)))


def logaddexp_f64(x: float, y: float) -> float:
    # log(exp(x) + exp(y)) = max + log1p(exp(min - max)); equal arguments (infinite ones too) add ln 2
    larger = x if x > y else y
    z = larger + log1p_f64(exp_f64(-abs(x - y)))
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
    Function(softplus_f32, ulp=1.5, vectorises=True),
    Function(logaddexp_f32, ulp=1.5, vectorises=True),
    Function(asinh_f32, ulp=2.5, vectorises=True),
    Function(acosh_f32, ulp=2.5, vectorises=True),
    Function(atanh_f32, ulp=2.0, vectorises=True),
    Function(softplus_f64, ulp=1.5, vectorises=True),
    Function(logaddexp_f64, ulp=1.5, vectorises=True),
    Function(asinh_f64, ulp=2.5, vectorises=True),
    Function(acosh_f64, ulp=2.5, vectorises=True),
    Function(atanh_f64, ulp=2.0, vectorises=True),
)
