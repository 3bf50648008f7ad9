"""Powers of generated kernels, exp(y log x) with enough extra digits in the logarithm; branch-free."""

import numpy as np

from graphc.codegen.fused import fma
from graphc.codegen.vecmath_double import _product_f64, _upper_f64
from graphc.codegen.vecmath_exp import _exp_parts_f64, _ldexp_f64, _pow2_f64
from graphc.codegen.vecmath_log import _log_parts_f64
from graphc.codegen.vecmath_row import Function


def _pow_edge_f64(power: float, x: float, y: float) -> float:
    # x^y from |x|^y: the sign of odd integer powers, nan for fractional powers of a negative, 1 for x = 1 or y = 0
    half = 0.5 * y
    whole, odd = np.rint(y) == y, np.rint(half) != half
    signed = -power if odd else power
    fractional = power if x == -np.inf or x == 0.0 else np.nan
    negative = signed if whole else fractional
    power = negative if np.copysign(1.0, x) < 0.0 else power
    power = x if x != x else power
    power = 1.0 if abs(x) == 1.0 and abs(y) > 1e300 else power
    return 1.0 if x == 1.0 or y == 0.0 else power


def pow_f32(x: np.float32, y: np.float32) -> np.float32:
    # in float64, with polynomials only as long as float32 needs: log to 2^-37, exp to 2^-29; beyond e^-120 and e^100
    # it is 0 and inf. Adding 6755399441055744 = 1.5 * 2^52 rounds and leaves an integer behind the bits 0x4338 << 48
    base, exponent = np.float64(x), np.float64(y)
    size = abs(base)
    k, f = _log_parts_f64(size)
    s = f / (2.0 + f)
    z = s * s
    p = fma(z, fma(z, 0.2362109674858843, 0.2853479335539252), 0.4000038902100695)
    log = fma(k, 0.6931471805599453, s * fma(z, fma(z, p, 0.666666652242059), 2.0000000000085523))
    log = -np.inf if size == 0.0 else np.inf if size == np.inf else log
    t: float = exponent * log
    t = 100.0 if t > 100.0 else t
    t = -120.0 if t < -120.0 else t
    z = fma(t, 1.4426950408889634, 6755399441055744.0)
    r = fma(-(z - 6755399441055744.0), 0.6931471805599453, t)
    p = fma(r, fma(r, 0.0013836546749963288, 0.008374980319093115), 0.041668239871622804)
    p = fma(r, fma(r, fma(r, p, 0.1666641822345055), 0.49999991975702424), 1.0000000367485578)
    power = fma(r, p, 1.0000000005634393) * _pow2_f64(np.int64(np.float64(z).view(np.int64) - 0x4338000000000000))
    return np.float32(_pow_edge_f64(power, base, exponent))


def _log_pair_f64(x: float) -> tuple[float, float]:
    # (h, l), h + l = log(x) to 2^-63 for finite x > 0: k ln 2 + 2 s (1 + z / 3 + z^2 Q(z)), s = f / (2 + f), z = s^2
    k, f = _log_parts_f64(x)
    d = 2.0 + f
    inverse = 1.0 / d
    s = f * inverse
    p, e = _product_f64(s, d)
    s_low = (((f - p) - e) - s * (f - (d - 2.0))) * inverse
    z, z_low = _product_f64(s, s)
    z_low = fma(2.0 * s, s_low, z_low)
    w = z + z_low
    # u + u_low = z / 3 + z^2 Q(z)
    q = fma(w, fma(w, 0.05942729559597261, 0.0584416528673986), 0.06667797455614029)
    q = fma(w, fma(w, fma(w, q, 0.07692288602191157), 0.09090909274541246), 0.11111111110168059)
    q = fma(w, fma(w, q, 0.1428571428571648), 0.19999999999999998)
    z_upper = _upper_f64(z)
    u = z_upper * 0.3333333358168602
    u_low = ((z - z_upper) + z_low) * 0.3333333333333333 + z_upper * -2.483526865641276e-09 + w * w * q
    p, e = _product_f64(s, u)
    m = s + p
    m_low = ((s - m) + p) + (e + (s * u_low + s_low * u) + s_low)
    top = k * 0.6931471803691238
    t = top + 2.0 * m
    low = ((top - t) + 2.0 * m) + (2.0 * m_low + k * 1.9082149292705877e-10)
    h = t + low
    return h, (t - h) + low


def pow_f64(x: float, y: float) -> float:
    # exp(y log |x|), the logarithm and the product in two parts; beyond e^-800 and e^800 it is 0 and inf
    size = abs(x)
    h, low = _log_pair_f64(size)
    h = -np.inf if size == 0.0 else np.inf if size == np.inf else h
    t, rest = _product_f64(y, h)
    rest = fma(y, low, rest)
    rest = rest if abs(t) < 800.0 else 0.0
    t = 800.0 if t > 800.0 else t
    t = -800.0 if t < -800.0 else t
    k, a, b = _exp_parts_f64(t, rest)
    s = 1.0 + a
    return _pow_edge_f64(_ldexp_f64(s + (a - (s - 1.0) + b), k), x, y)


ROWS = (
    Function(_pow_edge_f64, ulp=0.0, vectorises=True),
    Function(pow_f32, ulp=0.6, vectorises=True),
    Function(_log_pair_f64, ulp=0.5, vectorises=True),
    Function(pow_f64, ulp=1.1, vectorises=True),
)
