"""The cube root in generated kernels; branch-free."""

import numpy as np

from graphc.codegen.fused import fma
from graphc.codegen.vecmath_double import _upper_f64
from graphc.codegen.vecmath_row import Function


def _cbrt_rough_f64(size: float) -> float:
    # the exponent field over 3 gives 4 digits of a thousand, each Newton step doubles them; for normal size > 0
    third = np.int64(np.float64(np.float64(size).view(np.int64)) * 0.3333333333333333)
    y = np.int64(third + 0x2A9F789300000000).view(np.float64)
    y = (y + y + size / (y * y)) * 0.3333333333333333
    y = (y + y + size / (y * y)) * 0.3333333333333333
    return (y + y + size / (y * y)) * 0.3333333333333333


def cbrt_f32(x: np.float32) -> np.float32:
    size = abs(np.float64(x))
    normal = size if (size > 0.0) & (size < np.inf) else 1.0
    y = np.float32(np.copysign(_cbrt_rough_f64(normal), np.float64(x)))
    return y if (size > 0.0) & (size < np.inf) else x


def cbrt_f64(x: float) -> float:
    # a last step from 26 bits of the root, whose square is exact (FreeBSD's s_cbrt.c, by B. D. Evans)
    size = abs(x)
    plain = (size > 0.0) & (size < np.inf)
    tiny = size < 2.2250738585072014e-308
    normal = (size * 18014398509481984.0 if tiny else size) if plain else 1.0
    t = _upper_f64(_cbrt_rough_f64(normal))
    r = normal / (t * t)
    y = fma(t, (r - t) / (t + t + r), t)
    y = y * 3.814697265625e-06 if tiny else y
    return np.copysign(y, x) if plain else x


ROWS = (
    Function(_cbrt_rough_f64, ulp=1e5, vectorises=True),
    Function(cbrt_f32, ulp=0.6, vectorises=True),
    Function(cbrt_f64, ulp=0.7, vectorises=True),
)
