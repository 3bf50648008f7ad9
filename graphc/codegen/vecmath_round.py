"""Roots, rounding, signs and remainders of generated kernels. All but the remainders are one or two instructions."""

import numpy as np

from graphc.codegen.vecmath_row import Function

# float32


def sqrt_f32(x: np.float32) -> np.float32:
    return np.sqrt(x)


def round_f32(x: np.float32) -> np.float32:
    # halves go to the even neighbour
    return np.rint(x)


def floor_f32(x: np.float32) -> np.float32:
    return np.floor(x)


def ceil_f32(x: np.float32) -> np.float32:
    return np.ceil(x)


def trunc_f32(x: np.float32) -> np.float32:
    return np.trunc(x)


def copysign_f32(x: np.float32, y: np.float32) -> np.float32:
    return np.copysign(x, y)


def sign_f32(x: np.float32) -> np.float32:
    # 0 (positive) at both zeros, nan at nan
    y = np.float32(1.0) if x > np.float32(0.0) else np.float32(-1.0)
    return y if x != np.float32(0.0) and x == x else abs(x)


def remainder_f32(x: np.float32, y: np.float32) -> np.float32:
    # the exact C remainder, moved to the sign of y; calls fmod, which does not vectorise
    r = np.fmod(x, y)
    moved = r + y if (r < np.float32(0.0)) != (y < np.float32(0.0)) else r
    signed = np.copysign(r, y) if r == np.float32(0.0) else moved
    return signed if y != np.float32(0.0) else r


def floor_divide_f32(x: np.float32, y: np.float32) -> np.float32:
    # (x - remainder) / y, an integer up to rounding, rounded to one; NumPy's steps
    r = np.fmod(x, y)
    quotient = (x - r) / y
    crossed = (r < np.float32(0.0)) != (y < np.float32(0.0)) and r != np.float32(0.0)
    quotient = quotient - np.float32(1.0) if crossed else quotient
    below = np.floor(quotient)
    whole = below + np.float32(1.0) if quotient - below > np.float32(0.5) else below
    whole = whole if quotient != np.float32(0.0) else np.copysign(np.float32(0.0), x / y)
    return whole if y != np.float32(0.0) else x / y


# float64


def sqrt_f64(x: float) -> float:
    return np.sqrt(x)


def round_f64(x: float) -> float:
    # halves go to the even neighbour
    return np.rint(x)


def floor_f64(x: float) -> float:
    return np.floor(x)


def ceil_f64(x: float) -> float:
    return np.ceil(x)


def trunc_f64(x: float) -> float:
    return np.trunc(x)


def copysign_f64(x: float, y: float) -> float:
    return np.copysign(x, y)


def sign_f64(x: float) -> float:
    # 0 (positive) at both zeros, nan at nan
    y = 1.0 if x > 0.0 else -1.0
    return y if x != 0.0 and x == x else abs(x)


def remainder_f64(x: float, y: float) -> float:
    # the exact C remainder, moved to the sign of y; calls fmod, which does not vectorise
    r = np.fmod(x, y)
    moved = r + y if (r < 0.0) != (y < 0.0) else r
    signed = np.copysign(r, y) if r == 0.0 else moved
    return signed if y != 0.0 else r


def floor_divide_f64(x: float, y: float) -> float:
    # (x - remainder) / y, an integer up to rounding, rounded to one; NumPy's steps
    r = np.fmod(x, y)
    quotient = (x - r) / y
    crossed = (r < 0.0) != (y < 0.0) and r != 0.0
    quotient = quotient - 1.0 if crossed else quotient
    below = np.floor(quotient)
    whole = below + 1.0 if quotient - below > 0.5 else below
    whole = whole if quotient != 0.0 else np.copysign(0.0, x / y)
    return whole if y != 0.0 else x / y


ROWS = (
    Function(sqrt_f32, ulp=0.5, vectorises=True),
    Function(round_f32, ulp=0.0, vectorises=True),
    Function(floor_f32, ulp=0.0, vectorises=True),
    Function(ceil_f32, ulp=0.0, vectorises=True),
    Function(trunc_f32, ulp=0.0, vectorises=True),
    Function(copysign_f32, ulp=0.0, vectorises=True),
    Function(sign_f32, ulp=0.0, vectorises=True),
    Function(remainder_f32, ulp=0.5, vectorises=False),
    Function(floor_divide_f32, ulp=0.0, vectorises=False),
    Function(sqrt_f64, ulp=0.5, vectorises=True),
    Function(round_f64, ulp=0.0, vectorises=True),
    Function(floor_f64, ulp=0.0, vectorises=True),
    Function(ceil_f64, ulp=0.0, vectorises=True),
    Function(trunc_f64, ulp=0.0, vectorises=True),
    Function(copysign_f64, ulp=0.0, vectorises=True),
    Function(sign_f64, ulp=0.0, vectorises=True),
    Function(remainder_f64, ulp=0.5, vectorises=False),
    Function(floor_divide_f64, ulp=0.0, vectorises=False),
)
