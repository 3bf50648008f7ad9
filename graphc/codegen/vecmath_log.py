"""Logarithms of generated kernels: log, log1p, log2, log10; branch-free.

All write x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)) by integer arithmetic on the bits, and use
log(1 + f) = f - f^2 / 2 + tail with s = f / (2 + f), which is Sun's arrangement; the polynomials are
our own minimax fits.
"""

import numpy as np

from graphc.codegen.fused import fma
from graphc.codegen.vecmath_row import Function

# float32


def _log_parts_f32(x: np.float32) -> tuple[np.float32, np.float32]:
    # (k, f) with x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), for finite x > 0
    tiny = x < np.float32(1.17549435e-38)
    bits = np.float32(x * np.float32(33554432.0) if tiny else x).view(np.int32)
    k = np.int32(np.int32(bits - 0x3F3504F3) >> 23)
    m = np.int32(bits - np.int32(k << 23)).view(np.float32)
    return np.float32(np.int32(k - (25 if tiny else 0))), m - np.float32(1.0)


def _log_tail_f32(f: np.float32) -> np.float32:
    # log(1 + f) - f + f^2 / 2 = s (f^2 / 2 + z P(z)), s = f / (2 + f), z = s^2; minimax fit of log(1 + f) to 2^-37
    s = f / (np.float32(2.0) + f)
    z = s * s
    p = fma(z, np.float32(0.236201808), np.float32(0.285359144))
    p = fma(z, fma(z, p, np.float32(0.400003403)), np.float32(0.666666687))
    return s * fma(np.float32(0.5) * f, f, z * p)


def _log_edge_f32(y: np.float32, x: np.float32) -> np.float32:
    # y, or the special value of a logarithm at x <= 0, inf and nan
    y = y if x < np.float32(np.inf) else x
    return y if x > np.float32(0.0) else np.float32(-np.inf) if x == np.float32(0.0) else np.float32(np.nan)


def log_f32(x: np.float32) -> np.float32:
    # Cody-Waite: k times a two-part ln 2, small terms first
    k, f = _log_parts_f32(x)
    low = fma(k, np.float32(1.42860677e-6), _log_tail_f32(f))
    return _log_edge_f32(fma(k, np.float32(0.693145752), f + fma(np.float32(-0.5) * f, f, low)), x)


def log1p_f32(x: np.float32) -> np.float32:
    # log(1 + x) with u = fl(1 + x) and the lost part added as (1 + x - u) / u
    u = np.float32(1.0) + x
    k, f = _log_parts_f32(u)
    near = k == np.float32(0.0)
    lost = np.float32(1.0) - (u - x) if x > np.float32(1.0) else x - (u - np.float32(1.0))
    f = x if near else f
    low = _log_tail_f32(f) + (np.float32(0.0) if near else fma(k, np.float32(1.42860677e-6), lost / u))
    y = _log_edge_f32(fma(k, np.float32(0.693145752), f + fma(np.float32(-0.5) * f, f, low)), u)
    return y if x != np.float32(0.0) else x


def _log_split_f32(f: np.float32) -> tuple[np.float32, np.float32]:
    # log(1 + f) as a 12-bit part and the rest
    half = np.float32(0.5) * f * f
    high = np.int32(np.float32(f - half).view(np.int32) & -4096).view(np.float32)
    return high, (f - high) - half + _log_tail_f32(f)


def log2_f32(x: np.float32) -> np.float32:
    # k + log(1 + f) / ln 2, both factors split so that the leading product is exact
    k, f = _log_parts_f32(x)
    high, low = _log_split_f32(f)
    top = high * np.float32(1.44287109375)
    low = (low + high) * np.float32(-1.76052861e-4) + low * np.float32(1.44287109375)
    y = k + top
    return _log_edge_f32(y + (low + ((k - y) + top)), x)


def log10_f32(x: np.float32) -> np.float32:
    # k log10(2) + log(1 + f) / ln 10, the factors split so that the leading products are exact
    k, f = _log_parts_f32(x)
    high, low = _log_split_f32(f)
    top = high * np.float32(0.434326171875)
    low = (low + high) * np.float32(-3.16899717e-5) + low * np.float32(0.434326171875)
    scaled = k * np.float32(0.301025390625)
    y = scaled + top
    return _log_edge_f32(y + (low + k * np.float32(4.60503898e-6) + ((scaled - y) + top)), x)


# float64


def _log_parts_f64(x: float) -> tuple[float, float]:
    # (k, f) with x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), for finite x > 0
    tiny = x < 2.2250738585072014e-308
    bits = np.float64(x * 18014398509481984.0 if tiny else x).view(np.int64)
    k = (bits - 0x3FE6A09E667F3BCD) >> 52
    m = np.int64(bits - (k << 52)).view(np.float64)
    return np.float64(k - (54 if tiny else 0)), m - 1.0


def _log_tail_f64(f: float) -> float:
    # log(1 + f) - f + f^2 / 2 = s (f^2 / 2 + z P(z)), s = f / (2 + f), z = s^2; minimax fit of log(1 + f) to 2^-58
    s = f / (2.0 + f)
    z = s * s
    p = fma(z, 0.1481351161919666, 0.15312880762191292)
    p = fma(z, fma(z, p, 0.18183581880347663), 0.22222198910014904)
    p = fma(z, fma(z, p, 0.2857142873082259), 0.39999999999514224)
    return s * fma(0.5 * f, f, z * fma(z, p, 0.666666666666671))


def _log_edge_f64(y: float, x: float) -> float:
    # y, or the special value of a logarithm at x <= 0, inf and nan
    y = y if x < np.inf else x
    return y if x > 0.0 else -np.inf if x == 0.0 else np.nan


def log_f64(x: float) -> float:
    # Cody-Waite: k times a two-part ln 2, small terms first
    k, f = _log_parts_f64(x)
    low = fma(k, 1.9082149292705877e-10, _log_tail_f64(f))
    return _log_edge_f64(fma(k, 0.6931471803691238, f + fma(-0.5 * f, f, low)), x)


def log1p_f64(x: float) -> float:
    # log(1 + x) with u = fl(1 + x) and the lost part added as (1 + x - u) / u
    u = 1.0 + x
    k, f = _log_parts_f64(u)
    near = k == 0.0
    lost = 1.0 - (u - x) if x > 1.0 else x - (u - 1.0)
    f = x if near else f
    low = _log_tail_f64(f) + (0.0 if near else fma(k, 1.9082149292705877e-10, lost / u))
    y = _log_edge_f64(fma(k, 0.6931471803691238, f + fma(-0.5 * f, f, low)), u)
    return y if x != 0.0 else x


def _log_split_f64(f: float) -> tuple[float, float]:
    # log(1 + f) as a 21-bit part and the rest
    half = 0.5 * f * f
    high = np.int64(np.float64(f - half).view(np.int64) & -4294967296).view(np.float64)
    return high, (f - high) - half + _log_tail_f64(f)


def log2_f64(x: float) -> float:
    # k + log(1 + f) / ln 2, both factors split so that the leading product is exact
    k, f = _log_parts_f64(x)
    high, low = _log_split_f64(f)
    top = high * 1.4426950407214463
    low = (low + high) * 1.6751713164886512e-10 + low * 1.4426950407214463
    y = k + top
    return _log_edge_f64(y + (low + ((k - y) + top)), x)


def log10_f64(x: float) -> float:
    # k log10(2) + log(1 + f) / ln 10, the factors split so that the leading products are exact
    k, f = _log_parts_f64(x)
    high, low = _log_split_f64(f)
    top = high * 0.4342944818781689
    low = (low + high) * 2.5082946711645275e-11 + low * 0.4342944818781689
    scaled = k * 0.3010299956658855
    y = scaled + top
    return _log_edge_f64(y + (low + k * -1.9043128467164274e-12 + ((scaled - y) + top)), x)


ROWS = (
    Function(_log_parts_f32, ulp=0.0, vectorises=True),
    Function(_log_tail_f32, ulp=2.0, vectorises=True),
    Function(_log_edge_f32, ulp=0.0, vectorises=True),
    Function(log_f32, ulp=0.9, vectorises=True),
    Function(log1p_f32, ulp=0.9, vectorises=True),
    Function(_log_split_f32, ulp=2.0, vectorises=True),
    Function(log2_f32, ulp=0.9, vectorises=True),
    Function(log10_f32, ulp=0.8, vectorises=True),
    Function(_log_parts_f64, ulp=0.0, vectorises=True),
    Function(_log_tail_f64, ulp=2.0, vectorises=True),
    Function(_log_edge_f64, ulp=0.0, vectorises=True),
    Function(log_f64, ulp=0.9, vectorises=True),
    Function(log1p_f64, ulp=0.9, vectorises=True),
    Function(_log_split_f64, ulp=2.0, vectorises=True),
    Function(log2_f64, ulp=0.9, vectorises=True),
    Function(log10_f64, ulp=0.8, vectorises=True),
)
