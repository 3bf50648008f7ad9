"""Elementwise functions against NumPy and SciPy, their gradients, their conventions at kinks, dtypes, and refusals."""

import math
import operator
import re

import numpy as np
import pytest
from scipy import special as scipy_special

import graphc as gc
from graphc.autodiff.vjp import grad
from graphc.errors import DTypeError, ShapeError
from graphc.ir.evaluate import evaluate
from graphc.ir.leaves import input
from graphc.ops import elementwise as el
from graphc.ops import exponential as ex
from graphc.ops import logic as lo
from graphc.ops import piecewise as pi
from graphc.ops import power as po
from graphc.ops import rounding as ro
from graphc.ops import special as sp
from graphc.ops import trigonometry as tr
from graphc.ops.reduction import sum as total

INF, NAN = math.inf, math.nan
SPECIAL = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.5, -3.0, 30.0, -80.0, INF, -INF, NAN]


def symbols(arrays):
    return [input("xyz"[k], a.shape, a.dtype) for k, a in enumerate(arrays)]


def value(f, *operands):
    """What `f` of symbolic inputs evaluates to."""
    arrays = [np.asarray(a) for a in operands]
    nodes = symbols(arrays)
    return evaluate([f(*nodes)], dict(zip(nodes, arrays, strict=True)))[0]


def derivative(f, *operands, by=0, order=1):
    """The `order`-th elementwise derivative of `f` by operand `by`."""
    arrays = [np.asarray(a) for a in operands]
    nodes = symbols(arrays)
    y = f(*nodes)
    for _ in range(order):
        (y,) = grad(total(y), [nodes[by]])
    return evaluate([y], dict(zip(nodes, arrays, strict=True)))[0]


def same(found, wanted):
    """Equal in dtype, shape, values, nan and signs of zero."""
    wanted = np.asarray(wanted)
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    np.testing.assert_array_equal(found, wanted)
    if wanted.dtype.kind == "f":
        numbers = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(wanted[numbers]))


def refusal(error, f):
    """The text of the error that `f()` raises, with the line it points at written as LINE."""
    with pytest.raises(error) as caught:
        f()
    text = str(caught.value)
    assert f"{__file__}:" in text
    return re.sub(r"  at .*", "  at LINE", text)


# values


def log_abs_gamma(x):
    """SciPy's gammaln, but inf at -inf."""
    return np.where(x == -INF, x.dtype.type(INF), scipy_special.gammaln(x))


ONE_FLOAT = [
    (ex.exp, np.exp), (ex.exp2, np.exp2), (ex.expm1, np.expm1), (ex.log, np.log), (ex.log1p, np.log1p),
    (ex.log2, np.log2), (ex.log10, np.log10), (po.sqrt, np.sqrt), (po.reciprocal, lambda x: 1 / x),
    (po.rsqrt, lambda x: 1 / np.sqrt(x)), (po.square, np.square),
    (tr.sin, np.sin), (tr.cos, np.cos), (tr.tan, np.tan), (tr.asin, np.arcsin), (tr.acos, np.arccos),
    (tr.atan, np.arctan), (tr.sinh, np.sinh), (tr.cosh, np.cosh), (tr.tanh, np.tanh), (tr.asinh, np.arcsinh),
    (tr.acosh, np.arccosh), (tr.atanh, np.arctanh),
    (sp.erf, scipy_special.erf), (sp.erfc, scipy_special.erfc), (sp.lgamma, log_abs_gamma),
    (sp.digamma, scipy_special.digamma), (sp.sigmoid, scipy_special.expit),
    (sp.softplus, lambda x: np.logaddexp(np.zeros_like(x), x)),
    (ro.floor, np.floor), (ro.ceil, np.ceil), (ro.trunc, np.trunc), (ro.round, np.round), (ro.sign, np.sign),
    (pi.abs, np.abs), (pi.relu, lambda x: np.where(x <= 0, x.dtype.type(0), x)),
    (el.negative, np.negative), (el.positive, np.positive), (el.stop_gradient, np.positive),
    (lo.isnan, np.isnan), (lo.isinf, np.isinf), (lo.isfinite, np.isfinite), (lo.signbit, np.signbit),
    (lo.logical_not, np.logical_not),
]  # fmt: skip
TWO_FLOATS = [
    (el.add, np.add), (el.subtract, np.subtract), (el.multiply, np.multiply), (el.divide, np.divide),
    (ro.floor_divide, np.floor_divide), (ro.remainder, np.remainder), (po.pow, np.power), (po.hypot, np.hypot),
    (tr.atan2, np.arctan2), (pi.copysign, np.copysign), (pi.maximum, np.maximum), (pi.minimum, np.minimum),
    (sp.logaddexp, np.logaddexp), (el.equal, np.equal), (el.not_equal, np.not_equal), (el.less, np.less),
    (el.less_equal, np.less_equal), (el.greater, np.greater), (el.greater_equal, np.greater_equal),
    (lo.logical_and, np.logical_and), (lo.logical_or, np.logical_or), (lo.logical_xor, np.logical_xor),
]  # fmt: skip
TWO_INTS = [
    (el.add, np.add), (el.subtract, np.subtract), (el.multiply, np.multiply), (el.divide, np.divide),
    (ro.floor_divide, np.floor_divide), (ro.remainder, np.remainder), (pi.maximum, np.maximum),
    (pi.minimum, np.minimum), (el.equal, np.equal), (el.less, np.less), (lo.logical_xor, np.logical_xor),
    (lo.bitwise_and, np.bitwise_and), (lo.bitwise_or, np.bitwise_or), (lo.bitwise_xor, np.bitwise_xor),
    (lo.bitwise_left_shift, np.left_shift), (lo.bitwise_right_shift, np.right_shift),
]  # fmt: skip
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def name_of(case):
    return case.__name__ if hasattr(case, "__name__") else None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("function", "reference"), ONE_FLOAT, ids=name_of)
def test_function_of_one_float(function, reference, dtype):
    x = np.array(SPECIAL, dtype)
    with np.errstate(all="ignore"):
        same(value(function, x), reference(x))
    assert value(function, x[:0]).shape == (0,)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("function", "reference"), TWO_FLOATS, ids=name_of)
def test_function_of_two_floats(function, reference, dtype):
    x = np.array(SPECIAL, dtype)[:, None]
    with np.errstate(all="ignore"):
        same(value(function, x, x.T), reference(x, x.T))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize(("function", "reference"), TWO_INTS, ids=name_of)
def test_function_of_two_integers(function, reference, dtype):
    info = np.iinfo(dtype)
    x = np.array([info.min, info.max, 0, 1, 2, 7, 9, info.max - 3], dtype)[:, None]
    with np.errstate(all="ignore"):
        wanted = reference(x.astype("float64"), x.T) if function is el.divide else reference(x, x.T)
        same(value(function, x, x.T), wanted)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_function_of_one_integer(dtype):
    info = np.iinfo(dtype)
    x = np.array([info.min, 0, 1, info.max], dtype)
    for function, reference in [(pi.abs, np.abs), (ro.sign, np.sign), (lo.bitwise_invert, np.invert),
                                (el.negative, np.negative), (po.square, np.square)]:  # fmt: skip
        same(value(function, x), reference(x))
    for function in (ro.floor, ro.ceil, ro.trunc, ro.round, el.positive):
        same(value(function, x), x)
    same(value(lo.signbit, x), x < 0)
    assert not value(lo.isnan, x).any() and not value(lo.isinf, x).any() and value(lo.isfinite, x).all()
    same(value(ex.exp, x[1:3]), np.exp(x[1:3].astype("float64")))


def test_bools():
    x, y = np.array([False, False, True, True]), np.array([False, True, False, True])
    for function, reference in [(el.add, np.add), (el.multiply, np.multiply), (pi.maximum, np.maximum),
                                (pi.minimum, np.minimum), (el.less, np.less), (lo.bitwise_and, np.bitwise_and),
                                (lo.bitwise_or, np.bitwise_or), (lo.bitwise_xor, np.bitwise_xor)]:  # fmt: skip
        same(value(function, x, y), reference(x, y))
    same(value(lo.bitwise_invert, x), ~x)
    same(value(ex.exp, x), np.exp(x.astype("float64")))


def test_clip():
    x = np.array([-INF, -1.0, 0.0, 0.5, 1.0, 7.0, NAN])
    same(value(lambda x: pi.clip(x, 0, 1), x), np.clip(x, 0, 1))
    same(value(lambda x: pi.clip(x, max=1), x), np.clip(x, None, 1))
    same(value(lambda x: pi.clip(x, min=0), x), np.clip(x, 0, None))
    same(value(lambda x: pi.clip(x), x), x)
    same(value(lambda x: pi.clip(x, 1, 0), x), np.clip(x, 1, 0))
    low = np.array([[0.0], [NAN]])
    same(value(lambda x, low: pi.clip(x, low, 1.0), x, low), np.clip(x, low, 1.0))
    same(value(lambda x: pi.clip(x, -1, 1), np.array([-5, 0, 5], "int8")), np.array([-1, 0, 1], "int8"))


def test_where_and_astype():
    c, x = np.array([True, False, True]), np.array([1.9, -1.9, NAN])
    same(value(lambda c, x: el.where(c, x, 0), c, x), np.where(c, x, 0))
    same(value(lambda c: el.where(c, 1, 2.5), c), np.where(c, 1, 2.5))
    same(value(lambda x: el.astype(x, "int8"), x[:2]), np.array([1, -1], "int8"))
    same(value(lambda x: el.astype(x, bool), x), np.array([True, True, True]))
    same(value(lambda x: el.astype(x, "float32"), x), x.astype("float32"))
    x = input("x", (3,))
    assert el.astype(x, "float64") is x


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_polygamma(n):
    x = np.array([0.1, 1.0, 4.5, 100.0])
    np.testing.assert_allclose(value(lambda x: sp.polygamma(n, x), x), scipy_special.polygamma(n, x), rtol=1e-14)
    assert value(lambda x: sp.polygamma(n, x), x.astype("float32")).dtype == np.float32


def test_shapes():
    x, y = input("x", ("n", 3), "float32"), input("y", (3,), "float32")
    assert str(tr.atan2(x, y).aval) == "float32[n, 3]"
    assert str(ex.exp(input("z", (0, 2))).aval) == "float64[0, 2]"
    assert str(po.hypot(input("z", (1, 4)), input("u", (5, 1))).aval) == "float64[5, 4]"
    same(value(ex.exp, np.float64(0.0)), np.array(1.0))


# dtypes


def test_promotion():
    def of(dtype):
        return input("x", (2,), dtype)

    assert el.add(of("int8"), 1).dtype == "int8"
    assert el.add(of("int8"), 1.0).dtype == "float64"
    assert el.multiply(of("float32"), 2.0).dtype == "float32"
    assert el.multiply(2, of("float32")).dtype == "float32"
    assert el.multiply(of("float32"), np.float64(2.0)).dtype == "float64"
    assert el.multiply(of("int64"), np.float64(0.5)).dtype == "float64"
    assert el.add(of("int32"), of("float32")).dtype == "float64"
    assert el.add(of("int8"), of("uint8")).dtype == "int16"
    assert el.add(of("int64"), of("uint64")).dtype == "float64"
    assert el.divide(of("int8"), 2).dtype == "float64"
    assert ex.exp(of("int16")).dtype == "float64"
    assert tr.atan2(of("float32"), 1).dtype == "float32"
    assert pi.copysign(of("int8"), 1).dtype == "float64"
    assert po.pow(of("int8"), 2).dtype == "int8"
    assert po.pow(of("int8"), 0.5).dtype == "float64"
    assert po.pow(of("float32"), np.float64(2)).dtype == "float64"
    assert po.pow(of("bool"), 2).dtype == "int64"
    assert po.pow(2.0, of("float32")).dtype == "float32"
    assert pi.clip(of("int8"), 0, 1).dtype == "int8"
    assert pi.clip(of("int8"), 0, 0.5).dtype == "float64"
    assert el.where(of("bool"), of("float32"), 0.0).dtype == "float32"
    assert lo.bitwise_left_shift(of("uint8"), 1).dtype == "uint8"
    assert ex.exp(1).dtype == "float64"
    assert ex.exp([[1, 2]]).shape == (1, 2)


# powers


def test_integer_powers_are_exact_in_structure():
    x = input("x", (3,))
    assert po.pow(x, 1) is x
    assert po.pow(x, 2) is po.square(x) is po.pow(x, 2.0) is po.pow(x, np.int64(2))
    assert po.pow(x, 0.5).op is po.POW
    assert po.pow(x, x).op is po.POW
    assert po.pow(x, 1e300).op is po.POW


def test_third_derivative_of_x_to_the_fourth():
    x = np.array([-2.0, 0.0, 3.0])
    for power in (lambda x: po.pow(x, 4), lambda x: po.pow(x, 4.0), lambda x: po.pow(x, np.full(3, 4.0))):
        for order, wanted in enumerate([x**4, 4 * x**3, 12 * x**2, 24 * x, np.full(3, 24.0), np.zeros(3)]):
            np.testing.assert_allclose(derivative(power, x, order=order), wanted, rtol=1e-15)


@pytest.mark.parametrize("n", [-3, -1, 0, 1, 2, 5, 9, 40])
def test_integer_power(n):
    x = np.array([-1.5, 0.5, 3.0])
    same(value(lambda x: po.pow(x, n), x), x**n)
    np.testing.assert_allclose(derivative(lambda x: po.pow(x, n), x), n * x ** (n - 1), rtol=1e-14)
    np.testing.assert_allclose(derivative(lambda x: po.pow(x, n), x, order=2), n * (n - 1) * x ** (n - 2), rtol=1e-14)


def test_power_of_integers_wraps():
    x = np.array([-3, 2, 11, 0], "int8")
    with np.errstate(all="ignore"):
        same(value(lambda x: po.pow(x, 5), x), x ** np.int8(5))
    same(value(po.pow, x[:2], np.array([3, -2], "int8")), np.array([-27, 0], "int8"))


def test_conventions_of_pow():
    x, y = np.array([0.0, 0.0, 0.0, 2.0, 2.0, 0.0]), np.array([0.0, 1.0, 2.0, 0.0, -1.0, 0.5])
    np.testing.assert_array_equal(derivative(po.pow, x, y), [0, 1, 0, 0, -0.25, INF])
    by_exponent = derivative(po.pow, x, y, by=1)
    np.testing.assert_array_equal(by_exponent[[0, 1, 2, 5]], 0)
    np.testing.assert_allclose(by_exponent[3:5], np.log(2) * np.array([1.0, 0.5]))
    np.testing.assert_array_equal(derivative(po.pow, x[:4], y[:4], order=2), [0, 0, 2, 0])
    assert np.isnan(derivative(po.pow, np.array([-2.0]), np.array([3.0]), by=1)).all()
    np.testing.assert_array_equal(derivative(po.pow, np.array([-2.0]), np.array([3.0])), [12])


# gradients

SMOOTH = [
    (ex.exp, [-1.0, 0.0, 2.0]), (ex.exp2, [-1.0, 0.0, 2.0]), (ex.expm1, [-1.0, 0.0, 2.0]), (ex.log, [0.5, 1.0, 3.0]),
    (ex.log1p, [-0.5, 0.0, 3.0]), (ex.log2, [0.5, 1.0, 3.0]), (ex.log10, [0.5, 1.0, 3.0]), (po.sqrt, [0.5, 1.0, 3.0]),
    (po.rsqrt, [0.5, 1.0, 3.0]), (po.reciprocal, [-0.5, 1.0, 3.0]), (po.square, [-0.5, 0.0, 3.0]),
    (tr.sin, [-1.0, 0.0, 2.0]), (tr.cos, [-1.0, 0.0, 2.0]), (tr.tan, [-1.0, 0.0, 1.2]), (tr.asin, [-0.8, 0.0, 0.5]),
    (tr.acos, [-0.8, 0.0, 0.5]), (tr.atan, [-1.0, 0.0, 2.0]), (tr.sinh, [-1.0, 0.0, 2.0]), (tr.cosh, [-1.0, 0.0, 2.0]),
    (tr.tanh, [-1.0, 0.0, 2.0]), (tr.asinh, [-1.0, 0.0, 2.0]), (tr.acosh, [1.5, 2.0, 3.0]),
    (tr.atanh, [-0.7, 0.0, 0.5]),
    (sp.erf, [-1.0, 0.0, 2.0]), (sp.erfc, [-1.0, 0.0, 2.0]), (sp.lgamma, [-0.4, 0.5, 3.0]),
    (sp.digamma, [0.5, 1.0, 3.0]),
    (sp.sigmoid, [-1.0, 0.0, 2.0]), (sp.softplus, [-1.0, 0.0, 2.0]), (pi.abs, [-1.0, 2.0]), (pi.relu, [-1.0, 2.0]),
]  # fmt: skip


@pytest.mark.parametrize(("function", "points"), SMOOTH, ids=name_of)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_of_smooth_functions(function, points, order):
    x, h = np.array(points), 1e-5
    lower = lambda x: derivative(function, x, order=order - 1)
    np.testing.assert_allclose(
        derivative(function, x, order=order), (lower(x + h) - lower(x - h)) / (2 * h), rtol=1e-6, atol=1e-6
    )
    assert derivative(function, x.astype("float32"), order=order).dtype == np.float32


@pytest.mark.parametrize("function", [tr.atan2, po.hypot, sp.logaddexp, po.pow, el.divide, ro.remainder], ids=name_of)
@pytest.mark.parametrize(("by", "order"), [(0, 1), (0, 2), (1, 1), (1, 2)])
def test_derivatives_by_each_operand(function, by, order):
    x, h = [np.array([0.7, 1.5, 2.9]), np.array([1.3, 0.8, 1.2])], 1e-5

    def lower(step):
        moved = [a + step * (k == by) for k, a in enumerate(x)]
        return derivative(function, *moved, by=by, order=order - 1)

    np.testing.assert_allclose(
        derivative(function, *x, by=by, order=order), (lower(h) - lower(-h)) / (2 * h), rtol=1e-6, atol=1e-6
    )


def test_conventions_at_kinks():
    zero = np.array([0.0, -0.0])
    for function in (pi.abs, pi.relu, ro.sign, lambda x: pi.copysign(x, -1.0), lambda x: po.pow(x, 0)):
        for order in (1, 2):
            np.testing.assert_array_equal(derivative(function, zero, order=order), 0)
    np.testing.assert_array_equal(derivative(po.sqrt, zero[:1]), INF)
    np.testing.assert_array_equal(derivative(lambda x: el.where(el.equal(x, 0.0), 1.0, po.sqrt(x)), zero), 0)
    for by in (0, 1):
        np.testing.assert_array_equal(derivative(po.hypot, zero, zero, by=by), 0)
        assert np.isnan(derivative(tr.atan2, zero, zero, by=by)).all()
    for function in (pi.maximum, pi.minimum):
        for by in (0, 1):
            np.testing.assert_array_equal(derivative(function, zero, zero, by=by), 0.5)
            np.testing.assert_array_equal(derivative(function, zero, zero, by=by, order=2), 0)


def test_gradients_of_extrema_and_clip():
    x, y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])
    np.testing.assert_array_equal(derivative(pi.maximum, x, y), [0, 0.5, 1])
    np.testing.assert_array_equal(derivative(pi.maximum, x, y, by=1), [1, 0.5, 0])
    np.testing.assert_array_equal(derivative(pi.minimum, x, y), [1, 0.5, 0])
    np.testing.assert_array_equal(derivative(lambda x: po.square(pi.maximum(x, 2.0)), x, order=2), [0, 0.5, 2])
    edges = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    np.testing.assert_array_equal(derivative(lambda x: pi.clip(x, 0.0, 1.0), edges), [0, 1, 1, 1, 0])
    np.testing.assert_array_equal(
        derivative(lambda x, low: pi.clip(x, low, 1.0), edges, np.zeros(5), by=1), [1, 0, 0, 0, 0]
    )
    np.testing.assert_array_equal(
        derivative(lambda x, high: pi.clip(x, 0.0, high), edges, np.ones(5), by=1), [0, 0, 0, 0, 1]
    )
    np.testing.assert_array_equal(derivative(lambda x: pi.copysign(x, -1.0), np.array([2.0, -3.0])), [-1, 1])


def test_stepped_functions_have_zero_gradients():
    x = np.array([-1.5, 0.3, 2.0])
    for function in (ro.floor, ro.ceil, ro.trunc, ro.round, ro.sign, el.stop_gradient,
                     lambda x: ro.floor_divide(x, 0.4), lambda x: pi.copysign(2.0, x),
                     lambda x: el.where(el.less(x, 0.0), 1.0, 2.0)):  # fmt: skip
        np.testing.assert_array_equal(derivative(function, x), 0)
    np.testing.assert_array_equal(derivative(ro.remainder, x, np.array([0.4, 0.4, -0.6])), 1)
    np.testing.assert_array_equal(derivative(ro.remainder, x, np.array([0.4, 0.4, -0.6]), by=1), [4, 0, 4])
    np.testing.assert_array_equal(derivative(lambda x: el.multiply(x, el.stop_gradient(x)), x), x)
    np.testing.assert_array_equal(derivative(lambda x: el.astype(el.astype(x, "float32"), "float64"), x), 1)
    np.testing.assert_array_equal(derivative(lambda x: el.astype(el.astype(x, "int64"), "float64"), x), 0)


def test_gradients_at_extremes():
    far = np.array([-800.0, 800.0])
    np.testing.assert_array_equal(derivative(sp.softplus, far), [0, 1])
    np.testing.assert_array_equal(derivative(sp.softplus, far, order=2), [0, 0])
    np.testing.assert_array_equal(derivative(sp.sigmoid, far), [0, 0])
    np.testing.assert_array_equal(derivative(tr.tanh, far), [0, 0])
    np.testing.assert_array_equal(derivative(sp.erf, far, order=2), [0, 0])
    np.testing.assert_array_equal(derivative(sp.logaddexp, far, far[::-1]), [0, 1])
    np.testing.assert_allclose(derivative(ex.expm1, np.array([-50.0])), np.exp(-50.0), rtol=1e-15)
    np.testing.assert_allclose(derivative(tr.asin, np.array([1 - 1e-12])), 1 / np.sqrt(2e-12), rtol=1e-4)
    huge = np.array([1e200, 1e-200])
    np.testing.assert_allclose(derivative(po.hypot, huge, huge), np.sqrt(0.5), rtol=1e-15)
    np.testing.assert_allclose(derivative(tr.atan2, huge, huge), 0.5 / huge, rtol=1e-15)


# refusals


def test_refusals_of_dtypes():
    x, b, n = input("x", (3,)), input("b", (3,), "bool"), input("n", (3,), "int64")
    assert refusal(DTypeError, lambda: lo.bitwise_and(x, 1)) == (
        "cannot bitwise_and: got x: float64[3], operand 2: int64[], expected integers or bools\n"
        "  at LINE\n  hint: comparisons need parentheses, (x > 0) & (x < 1); else convert with astype(x, 'int64')"
    )
    assert refusal(DTypeError, lambda: lo.bitwise_left_shift(b, b)) == (
        "cannot bitwise_left_shift: got b: bool[3], b: bool[3], expected integers\n"
        "  at LINE\n  hint: convert with astype(x, 'int64')"
    )
    for name, function in {"negative": el.negative, "positive": el.positive, "abs": pi.abs, "sign": ro.sign,
                           "floor": ro.floor, "round": ro.round, "relu": pi.relu}.items():  # fmt: skip
        assert refusal(DTypeError, lambda function=function: function(b)) == (
            f"cannot {name}: got b: bool[3], expected numbers\n"
            "  at LINE\n  hint: use logical_xor, logical_not or astype"
        )
    for name, function in {"subtract": el.subtract, "floor_divide": ro.floor_divide, "remainder": ro.remainder,
                           "pow": po.pow, "clip": pi.clip}.items():  # fmt: skip
        assert refusal(DTypeError, lambda function=function: function(b, b)) == (
            f"cannot {name}: got b: bool[3], b: bool[3], expected numbers\n"
            "  at LINE\n  hint: use logical_xor, logical_not or astype"
        )
    assert refusal(DTypeError, lambda: el.where(n, x, x)) == (
        "cannot where: got n: int64[3], expected a bool condition\n  at LINE\n  hint: compare: where(c != 0, x, y)"
    )
    assert refusal(DTypeError, lambda: po.pow(n, -2)) == (
        "cannot pow: got n: int64[3], operand 2: int64[], expected exponents >= 0 for integers, not -2\n"
        "  at LINE\n  hint: use floats: x ** -1.0, or astype(x, 'float64')"
    )
    assert refusal(DTypeError, lambda: sp.polygamma(-1, x)) == (
        "bad order in polygamma: got -1, expected a Python int >= 0\n  at LINE"
    )
    assert refusal(ShapeError, lambda: tr.atan2(x, input("y", (4,)))) == (
        "cannot atan2: got x: float64[3], y: float64[4], "
        "expected shapes that broadcast: equal sizes, or 1, from the last axis backwards\n  at LINE"
    )


def test_python_int_that_does_not_fit():
    with pytest.raises(DTypeError, match=r"a Python int does not fit: got 300, expected uint8: 0 \.\. 255"):
        el.add(input("x", (3,), "uint8"), 300)


@pytest.mark.parametrize("name", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"])
@pytest.mark.parametrize("signed", ["int8", "int64"])
def test_comparisons_of_integers_with_and_without_sign_are_exact(name, signed):
    """float64, to which both would be promoted, holds 53 bits."""
    info = np.iinfo(signed)
    x = np.array([info.max, info.max - 1, -1, info.min, 0, 5], signed)
    y = np.array([0, 5, info.max, info.max - 1, 2**63, 2**64 - 1], "uint64")
    x, y = (a.reshape(-1) for a in np.meshgrid(x, y))
    wanted = [[getattr(operator, _SYMBOLS[name])(int(p), int(q)) for p, q in zip(*pair, strict=True)]
              for pair in ((x, y), (y, x))]  # fmt: skip
    function = getattr(el, name)
    assert value(function, x, y).tolist() == wanted[0]
    assert value(function, y, x).tolist() == wanted[1]
    inputs = symbols((x, y))
    found = gc.compile(inputs, [function(*inputs), function(*inputs[::-1]), function(inputs[0], y)])(x, y)
    assert [f.tolist() for f in found] == [*wanted, wanted[0]]
    assert np.asarray(function(x.tolist(), gc.eager.tensor(y))).tolist() == wanted[0]
    for other in (inputs[1], gc.input("z", (2,))):
        with pytest.raises(DTypeError, match="cannot use as a tensor: got list"):
            function([[1, 2], [3]], other)


_SYMBOLS = {"equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge"}
