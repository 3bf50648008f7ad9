"""Reductions and cumulative operations against NumPy, SciPy and finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reference import agrees, differences, gradient, run
from scipy import special

from graphc.errors import DTypeError, ShapeError, UnsupportedError
from graphc.ir.evaluate import evaluate
from graphc.ir.leaves import constant
from graphc.ir.leaves import input as symbolic
from graphc.ops import cumulative as c
from graphc.ops import reduction as r
from graphc.ops import statistics as s

INF, NAN = math.inf, math.nan
DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
AXES = (None, 0, 1, -1, (0, 2), (-1, 0), (0, 1, 2))


def array(dtype: str, shape: tuple[int, ...] = (2, 3, 4)) -> np.ndarray:
    rng = np.random.default_rng(3)
    if dtype.startswith("float"):
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, 2 if dtype == "bool" else 5, shape).astype(dtype)


def along(f: Callable[..., Any], axis: Any, **kwargs: Any) -> Callable[[Any], Any]:
    return lambda x: f(x, axis=axis, **kwargs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "any", "all"])
def test_reductions_have_numpys_dtypes_and_values(name: str, dtype: str) -> None:
    f, g = getattr(r, name), getattr(np, name)
    rtol = 1e-6 if dtype == "float32" else 1e-12
    for axis in AXES:
        for keepdims in (False, True):
            agrees(
                along(f, axis, keepdims=keepdims),
                along(g, axis, keepdims=keepdims),
                array(dtype),
                rtol=rtol,
            )


@pytest.mark.parametrize("name", ["sum", "prod", "any", "all"])
def test_reductions_with_identity_of_nothing(name: str) -> None:
    for axis in (None, 0, 1):
        agrees(
            lambda x, a=axis: getattr(r, name)(x, axis=a),
            lambda x, a=axis: getattr(np, name)(x, axis=a),
            np.zeros((0, 3)),
        )
    agrees(lambda x: getattr(r, name)(x), getattr(np, name), np.float64(2.5))


def test_sum_in_a_given_dtype() -> None:
    agrees(lambda x: r.sum(x, dtype="float32"), lambda x: np.sum(x, dtype="float32"), array("int32"))
    agrees(lambda x: r.sum(x, axis=0, dtype="int8"), lambda x: np.sum(x, axis=0, dtype="int8"), array("int8"))


def test_float32_is_summed_in_float64() -> None:
    x = np.array([1.0] + [2.0**-24] * 1000, dtype=np.float32)
    assert run(r.sum, x) == np.float32(1 + 1000 * 2.0**-24)
    assert run(c.cumulative_sum, x)[-1] == np.float32(1 + 1000 * 2.0**-24)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_positions(name: str, dtype: str) -> None:
    for axis in (None, 0, -1):
        for keepdims in (False, True):
            agrees(
                lambda x, a=axis, k=keepdims: getattr(r, name)(x, axis=a, keepdims=k),
                lambda x, a=axis, k=keepdims: getattr(np, name)(x, axis=a, keepdims=k),
                array(dtype),
            )
    agrees(lambda x: getattr(r, name)(x, keepdims=True), getattr(np, name), np.asarray(3, dtype))


def test_first_of_ties_and_first_nan() -> None:
    x = np.array([[1.0, 3.0, 3.0], [NAN, 9.0, NAN], [0.0, -0.0, 0.0]])
    for name in ("argmax", "argmin", "max", "min"):
        agrees(along(getattr(r, name), 1), along(getattr(np, name), 1), x)


def test_extrema_of_nothing() -> None:
    with pytest.raises(ShapeError) as error:
        r.max(symbolic("x", (3, 0)), axis=1)
    assert "cannot max: got size 0, expected at least one element along axis 1 of float64[3, 0]" in str(error.value)
    x = symbolic("x", ("n", 3))
    for y in (r.max(x, axis=0), r.argmin(x, axis=0), r.argmax(x)):
        with pytest.raises(ShapeError, match=r"sizes do not fit: got .*n = 0"):
            evaluate([y], {x: np.zeros((0, 3))})
    assert run(lambda x: r.max(x, axis=1), np.zeros((0, 3))).shape == (0,)


def test_axis_errors() -> None:
    x = symbolic("x", (2, 3))
    with pytest.raises(ShapeError, match=r"axis out of range in sum: got 2, expected -2 <= axis < 2"):
        r.sum(x, axis=2)
    with pytest.raises(ShapeError, match=r"repeated axis in sum: got \(0, -2\)"):
        r.sum(x, axis=(0, -2))


def test_extremum_shares_among_ties() -> None:
    (bar,) = gradient(lambda x: r.max(x, axis=1), np.array([[1.0, 3.0, 3.0], [2.0, 0.0, 1.0]]))
    np.testing.assert_array_equal(bar, [[0, 0.5, 0.5], [1, 0, 0]])
    (bar,) = gradient(lambda x: r.min(x), np.array([[1.0, 3.0], [1.0, 1.0]]))
    np.testing.assert_allclose(bar, [[1 / 3, 0], [1 / 3, 1 / 3]])


@pytest.mark.parametrize("zeros", [(), (1,), (0, 3), (0, 1, 2, 3)])
def test_prod_differentiates_at_zeros(zeros: tuple[int, ...]) -> None:
    x = np.array([[1.5, -2.0, 0.5, 3.0]])
    x[0, list(zeros)] = 0.0
    for axis in (None, 1):
        f, g = along(r.prod, axis), along(np.prod, axis)
        np.testing.assert_allclose(gradient(f, x)[0], differences(g, x)[0], atol=1e-8)


def _mixed(n: int, x: np.ndarray, f: Any, order: int) -> np.ndarray:
    """A derivative of the highest order by directions: exact for products, which are linear in each element."""
    total = 0.0
    for signs in np.ndindex(*(2,) * order):
        moved = x.copy()
        for k, sign in enumerate(signs):
            moved[k] += 1 - 2 * sign
        total += (-1) ** sum(signs) * f(moved)
    return total / 2**order


def test_prod_to_third_order_with_zeros() -> None:
    """The mixed third derivative of x0*x1*x2*x3 by x0, x1, x2 is x3, zeros or not."""
    from graphc.autodiff.vjp import grad

    x = symbolic("x", ("n",))
    y = r.prod(x)
    for k in range(3):
        (bar,) = grad(y, [x])
        y = r.sum(bar * constant(np.eye(4)[k]))
    for values in ([2.0, 3.0, 5.0, 7.0], [0.0, 0.0, 5.0, 7.0], [0.0, 0.0, 0.0, 7.0]):
        point = np.array(values)
        assert evaluate([y], {x: point})[0] == _mixed(4, point, np.prod, 3) == 7.0


@pytest.mark.parametrize("name", ["mean", "var", "std"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_moments(name: str, dtype: str) -> None:
    rtol = 1e-6 if dtype == "float32" else 1e-12
    for axis in AXES:
        f, g = getattr(s, name), getattr(np, name)
        agrees(
            along(f, axis, keepdims=True),
            along(g, axis, keepdims=True),
            array(dtype),
            rtol=rtol,
        )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_correction() -> None:
    for correction in (0, 1, 0.5, 30):
        for axis in (1, None):
            agrees(
                along(s.var, axis, correction=correction),
                along(np.var, axis, ddof=correction),
                array("float64"),
            )
            agrees(
                along(s.std, axis, correction=correction),
                along(np.std, axis, ddof=correction),
                array("float32"),
                rtol=1e-6,
            )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_moments_of_nothing() -> None:
    for name in ("mean", "var"):
        agrees(along(getattr(s, name), 0), along(getattr(np, name), 0), np.zeros((0, 3)))
    with pytest.raises(DTypeError, match="cannot mean"):
        s.mean(symbolic("x", (2,)), dtype="int64")


def test_moments_differentiate() -> None:
    x = array("float64", (3, 4))
    ct = np.array([1.0, -2.0, 0.5])
    for name in ("mean", "var", "std"):
        f, g = getattr(s, name), getattr(np, name)
        found = gradient(lambda x, f=f: f(x, axis=1), x, ct=ct)
        np.testing.assert_allclose(found[0], differences(lambda x, g=g: g(x, axis=1), x, ct=ct)[0], atol=1e-8)


ROWS = np.array([[1.0, 2.0, 3.0], [-INF, -INF, -INF], [INF, 0.0, 1.0], [1000.0, 1000.0, -INF], [NAN, 0.0, 1.0]])


def test_logsumexp_values() -> None:
    with np.errstate(all="ignore"):
        want = special.logsumexp(ROWS, axis=1)
    np.testing.assert_allclose(run(lambda x: s.logsumexp(x, axis=1), ROWS), want, rtol=1e-14)
    agrees(lambda x: s.logsumexp(x), special.logsumexp, array("float64"))
    agrees(
        lambda x: s.logsumexp(x, (0, 2), keepdims=True),
        lambda x: special.logsumexp(x, (0, 2), keepdims=True),
        array("float64"),
    )


def test_gradient_of_logsumexp_is_softmax() -> None:
    finite = ROWS[[0, 3]]
    (bar,) = gradient(lambda x: s.logsumexp(x, axis=1), finite)
    np.testing.assert_allclose(bar, special.softmax(finite, axis=1), rtol=1e-14)


def test_softmax() -> None:
    for axis in (-1, 0, (0, 1)):
        agrees(along(s.softmax, axis), along(special.softmax, axis), array("float64"))
        agrees(
            along(s.log_softmax, axis),
            along(special.log_softmax, axis),
            array("float64"),
        )
    np.testing.assert_allclose(run(s.log_softmax, np.array([0.0, -1e4])), [0.0, -1e4])
    x, ct = array("float64", (2, 4)), array("float64", (2, 4)) ** 2
    for name in ("softmax", "log_softmax"):
        found = gradient(getattr(s, name), x, ct=ct)
        np.testing.assert_allclose(found[0], differences(along(getattr(special, name), -1), x, ct=ct)[0], atol=1e-8)


def test_norms() -> None:
    x = array("float64", (3, 4))
    for order in (2, 1, 0, INF, -INF, 3, 0.5, -1):
        for axis in (0, 1):
            given = {"ord": order, "keepdims": True}
            agrees(along(s.vector_norm, axis, **given), along(np.linalg.vector_norm, axis, **given), x)
    agrees(s.norm, np.linalg.norm, x)
    agrees(lambda x: s.norm(x, "fro"), lambda x: np.linalg.norm(x, "fro"), x)
    agrees(lambda x: s.norm(x, 1, axis=0), lambda x: np.linalg.norm(x, 1, axis=0), x)
    with pytest.raises(UnsupportedError, match="no such norm: got ord=2 over 2 axes"):
        s.norm(symbolic("x", (2, 2)), 2)


def test_gradient_of_a_norm_at_zero_is_zero() -> None:
    for order in (2, 1, 3, 1.5, INF):
        (bar,) = gradient(lambda x, o=order: s.vector_norm(x, axis=1, ord=o), np.zeros((2, 3)))
        np.testing.assert_array_equal(bar, np.zeros((2, 3)))
    (bar,) = gradient(lambda x: s.vector_norm(x, axis=1), np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(bar, [[0.6, 0.8], [0.0, 0.0]])
    (bar,) = gradient(lambda x: s.vector_norm(x, ord=3), np.array([0.0, 2.0]))
    np.testing.assert_allclose(bar, [0.0, 1.0])


@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_cumulative(name: str, dtype: str) -> None:
    f, g = getattr(c, name), getattr(np, name)
    for axis in (0, 1, -1):
        for initial in (False, True):
            agrees(
                along(f, axis, include_initial=initial),
                along(g, axis, include_initial=initial),
                array(dtype),
                rtol=1e-6 if dtype == "float32" else 1e-12,
            )


def test_cumulative_edges() -> None:
    agrees(c.cumulative_sum, np.cumulative_sum, np.zeros(0))
    agrees(
        lambda x: c.cumulative_sum(x, include_initial=True),
        lambda x: np.cumulative_sum(x, include_initial=True),
        np.zeros(0),
    )
    agrees(c.cumsum, np.cumsum, array("float64"))
    agrees(lambda x: c.cumprod(x, 1), lambda x: np.cumprod(x, 1), array("int32"))
    with pytest.raises(ShapeError, match=r"cannot cumulative_sum: .* expected an axis, or a 1-d tensor"):
        c.cumulative_sum(symbolic("x", (2, 3)))


@pytest.mark.parametrize("values", [[1.5, -2.0, 0.5, 3.0], [1.5, 0.0, 0.5, 0.0], [0.0, 2.0, 0.0, 0.0], [], [2.0]])
def test_cumulative_prod_differentiates_at_zeros(values: list[float]) -> None:
    x = np.array(values)
    ct = np.arange(1.0, len(values) + 1)
    found = gradient(c.cumulative_prod, x, ct=ct)
    np.testing.assert_allclose(found[0], differences(np.cumulative_prod, x, ct=ct)[0], atol=1e-8)

    def half_square(x: np.ndarray) -> Any:
        return sum((bar**2).sum() / 2 for bar in differences(np.cumulative_prod, x, ct=ct, step=1e-3))

    second = gradient(c.cumulative_prod, x, ct=ct, order=2)
    np.testing.assert_allclose(second[0], differences(half_square, x, step=1e-4)[0], atol=1e-5)


def test_recurrence_annihilates() -> None:
    """A state of exactly zero stays zero whatever it is multiplied with."""
    a, b = np.array([NAN, INF, 2.0]), np.array([0.0, 1.0, 1.0])
    np.testing.assert_array_equal(run(lambda a, b: c.recurrence(a, b, 0), a, b), [0.0, 1.0, 3.0])


def test_diff() -> None:
    x = array("float64")
    for axis in (0, 1, -1):
        for n in (0, 1, 2, 5):
            agrees(along(c.diff, axis, n=n), along(np.diff, axis, n=n), x)
    agrees(
        lambda x: c.diff(x, prepend=0.0, append=[[[1.0]] * 3] * 2),
        lambda x: np.diff(x, prepend=0.0, append=[[[1.0]] * 3] * 2),
        x,
    )
    agrees(c.diff, np.diff, array("bool"))
    agrees(c.diff, np.diff, np.zeros((2, 0)))


def test_count_nonzero() -> None:
    x = np.array([[0.0, NAN, -0.0], [1.0, INF, 2.0]])
    for axis in (None, 0, 1):
        agrees(along(r.count_nonzero, axis), along(np.count_nonzero, axis), x)
