"""Gamma functions of generated kernels: lgamma and digamma, branch-free, and polygamma, with loops.

Fits on [1, 4], a step of the recurrence below 1, Stirling's series (coefficients fitted) above 4, and the reflection
formulas for negative arguments; all coefficients are our own. float32 goes through float64. Near the zeros on the
negative axis the error is small against 1, not against the result.
"""

import numpy as np

from graphc.codegen.fused import fma
from graphc.codegen.vecmath_log import log_f64
from graphc.codegen.vecmath_pow import pow_f64
from graphc.codegen.vecmath_row import Function


def _sinpi_f64(r: float) -> float:
    # sin(pi r) / pi on |r| <= 1/2; minimax fit to 2^-60
    z = r * r
    p = fma(z, fma(z, 2.450300890153347e-07, -6.972128021243597e-06), 0.0001484278659308177)
    p = fma(z, fma(z, fma(z, p, -0.002346080903855904), 0.026147847806978628), -0.19075182412162095)
    p = fma(z, fma(z, p, 0.8117424252833445), -1.6449340668482264)
    return fma(r, z * p, r)


def lgamma_f64(x: float) -> float:
    # log |gamma(x)|; on [1, 4]: (a - 1) (a - 2) P(a - 1) / Q(a - 1), fit to 2^-58
    a = abs(x)
    low, far = a < 1.0, a >= 4.0
    inverse = 1.0 / a
    z = inverse * inverse
    t = a if low else a - 1.0
    p = fma(t, fma(t, 1.0365004700494919e-07, 7.675280674156e-05), 0.0037121609215456414)
    p = fma(t, fma(t, fma(t, p, 0.056349992663469996), 0.372700954652913), 1.2263759661772013)
    p = fma(t, fma(t, fma(t, p, 2.090040000856807), 1.7596480151591045), 0.5772156649015329)
    q = fma(t, fma(t, 1.80387460065664e-05, 0.0013696959321276006), 0.030061059086510692)
    q = fma(t, fma(t, fma(t, q, 0.2827445787169666), 1.3404131477148125), 3.439907278747144)
    q = fma(t, fma(t, fma(t, q, 4.82741783988207), 3.4733973895592385), 1.0)
    near = (a * (a - 1.0) if low else (a - 1.0) * (a - 2.0)) * (p / q)
    s = fma(z, fma(z, 0.9681355847729933, -0.4778945855783651), 0.126600522565179)
    s = fma(z, fma(z, fma(z, s, -0.027322620189816238), 0.006345354985128481), -0.0019162615948054673)
    s = fma(z, fma(z, fma(z, s, 0.0008417350929751545), -0.0005952379792545295), 0.0007936507932090297)
    s = fma(z, fma(z, s, -0.0027777777777771187), 0.08333333333333333)
    log = log_f64(a)
    stirling = fma(a - 0.5, log - 1.0, fma(inverse, s, 0.4189385332046727))
    y = stirling if far else near + (-log if low else 0.0)
    # log |gamma(-a)| = -log(|sin(pi a)| / pi) - log(a) - log gamma(a)
    r = a - np.rint(a)
    reflected = -log_f64(abs(_sinpi_f64(r))) - (log + y)
    y = reflected if x < 0.0 else y
    y = np.inf if x < 0.0 and r == 0.0 else y
    return np.inf if a == np.inf else y


def lgamma_f32(x: np.float32) -> np.float32:
    return np.float32(lgamma_f64(np.float64(x)))


def digamma_f64(x: float) -> float:
    # on [1, 4]: (a - root) P(a - 1) / Q(a - 1), fit to 2^-59
    a = abs(x)
    low, far = a < 1.0, a >= 4.0
    inverse = 1.0 / a
    z = inverse * inverse
    t = a if low else a - 1.0
    p = fma(t, fma(t, 3.210409561504952e-08, 3.3264525746193405e-05), 0.002005653697086826)
    p = fma(t, fma(t, fma(t, p, 0.03776761209483857), 0.30347864819234865), 1.1480653607488243)
    p = fma(t, fma(t, p, 1.9900604279854965), 1.2503801375034054)
    q = fma(t, fma(t, 6.202412732902185e-06, 0.0005320285235976241), 0.013281041271464619)
    q = fma(t, fma(t, fma(t, q, 0.14064096096807546), 0.7243010316928763), 1.8715264343077416)
    q = fma(t, fma(t, q, 2.2751111468127716), 1.0)
    root = ((a - 0.46163214496836236) if low else (a - 1.4616321449683622)) - 9.549995429965697e-17
    near = root * (p / q)
    s = fma(z, fma(z, 0.5444402718128943, -0.25867503101118633), 0.07413187915365003)
    s = fma(z, fma(z, fma(z, s, -0.020798168456196205), 0.007569950640315959), -0.0041666007848368625)
    s = fma(z, fma(z, fma(z, s, 0.003968253588929035), -0.008333333332487402), 0.08333333333333302)
    y = fma(-inverse, fma(inverse, s, 0.5), log_f64(a)) if far else near - (inverse if low else 0.0)
    # digamma(-a) = digamma(a + 1) + pi cot(pi a), digamma(a + 1) = digamma(a) + 1 / a
    r = a - np.rint(a)
    cot = np.copysign(_sinpi_f64(0.5 - abs(r)), r) / _sinpi_f64(abs(r))
    reflected = fma(3.141592653589793, cot, near if low else y + inverse)
    reflected = np.nan if r == 0.0 else reflected
    y = reflected if x < 0.0 else y
    y = y if a < np.inf else x
    y = np.nan if x == -np.inf else y
    return np.copysign(np.inf, -x) if x == 0.0 else y


def digamma_f32(x: np.float32) -> np.float32:
    return np.float32(digamma_f64(np.float64(x)))


def _zeta_f64(s: float, a: float) -> float:
    # Hurwitz zeta, sum of (a + i)^-s over i >= 0, for s >= 2, a > 0; Euler and Maclaurin from a >= 14 + 2 s on
    total = 0.0
    while a < 14.0 + 2.0 * s:
        total += pow_f64(a, -s)
        a += 1.0
    z = 1.0 / (a * a)
    power = pow_f64(a, -s)
    total += power * (0.5 + a / (s - 1.0))
    term = power * s / a
    total += term / 12.0
    term *= (s + 1.0) * (s + 2.0) * z
    total -= term / 720.0
    term *= (s + 3.0) * (s + 4.0) * z
    total += term / 30240.0
    term *= (s + 5.0) * (s + 6.0) * z
    total -= term / 1209600.0
    term *= (s + 7.0) * (s + 8.0) * z
    total += term / 47900160.0
    term *= (s + 9.0) * (s + 10.0) * z
    return total - term * 691.0 / 1307674368000.0


def polygamma_f64(n: int, x: float) -> float:
    # (-1)^s n! zeta(s, x), s = n + 1 >= 2; for x < 0 zeta(s, x) from the sum over all integers, with f = x - floor(x)
    s = np.float64(n + 1)
    odd = n % 2 == 0
    if x != x or x == -np.inf:
        return np.float64(np.nan)
    if x == np.inf:
        return np.float64(-0.0 if odd else 0.0)
    factorial = 1.0
    for i in range(2, n + 1):
        factorial *= i
    if x > 0.0:
        zeta = _zeta_f64(s, x)
    elif np.floor(x) == x:
        zeta = np.inf
    else:
        f = x - np.floor(x)
        mirrored = _zeta_f64(s, 1.0 - f) - _zeta_f64(s, 1.0 - x)
        zeta = _zeta_f64(s, f) + (-mirrored if odd else mirrored)
    return np.float64(-factorial * zeta if odd else factorial * zeta)


def polygamma_f32(n: int, x: np.float32) -> np.float32:
    return np.float32(polygamma_f64(n, np.float64(x)))


ROWS = (
    Function(_sinpi_f64, ulp=1.0, vectorises=True),
    Function(lgamma_f64, ulp=7.6, vectorises=True),
    Function(lgamma_f32, ulp=0.6, vectorises=True),
    Function(digamma_f64, ulp=5.5, vectorises=True),
    Function(digamma_f32, ulp=0.6, vectorises=True),
    Function(_zeta_f64, ulp=10.0, vectorises=False),
    Function(polygamma_f64, ulp=10.0, vectorises=False),
    Function(polygamma_f32, ulp=0.6, vectorises=False),
)
