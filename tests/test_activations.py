"""Activation functions, xlogy, log1mexp and cbrt as users call them: values and derivatives against 700 digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from messages import text_of

import graphc as gc
from graphc.errors import DTypeError
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.passes.pipeline import optimise

mp = mpmath.mp
FAR = [-300.0, -30.0, -6.0, -1.0, -1e-10, 1e-10, 0.5, 6.0, 30.0, 300.0]
BELOW = [-700.0, -40.0, -1.0, -0.7, -0.5, -1e-10, -1e-300]


def tanh_gelu(t: Any) -> Any:
    return t / (1 + mp.exp(-2 * mp.sqrt(2 / mp.pi) * (t + mp.mpf("0.044715") * t**3)))


FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], list[float]]] = {
    "leaky_relu": (gc.leaky_relu, lambda t: t if t > 0 else mp.mpf(0.01) * t, FAR),
    "leaky_relu of a slope": (lambda x: gc.leaky_relu(x, 0.25), lambda t: t if t > 0 else t / 4, FAR),
    "elu": (gc.elu, lambda t: t if t > 0 else mp.expm1(t), FAR),
    "elu of an alpha": (lambda x: gc.elu(x, 2.0), lambda t: t if t > 0 else 2 * mp.expm1(t), FAR),
    "silu": (gc.silu, lambda t: t / (1 + mp.exp(-t)), FAR),
    "gelu": (gc.gelu, lambda t: t * mp.erfc(-t / mp.sqrt(2)) / 2, [p for p in FAR if abs(p) < 31]),
    "gelu by tanh": (lambda x: gc.gelu(x, approximate="tanh"), tanh_gelu, [p for p in FAR if abs(p) < 7]),
    "log_sigmoid": (gc.log_sigmoid, lambda t: -mp.log1p(mp.exp(-t)), FAR),
    "log1mexp": (gc.log1mexp, lambda t: mp.log(-mp.expm1(t)), BELOW),
    "cbrt": (gc.cbrt, lambda t: mp.sign(t) * mp.cbrt(abs(t)), [p for p in FAR if p]),
    "xlogy": (lambda x: gc.xlogy(x, x + 1000), lambda t: t * mp.log(t + 1000), FAR),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_and_slope(name: str, dtype: str) -> None:
    function, true, points = FUNCTIONS[name]
    at = np.array([p for p in points if dtype == "float64" or 1e-30 < abs(p) < 80], dtype)
    x = gc.input("x", at.shape, dtype)
    y = function(x)
    graph, _ = optimise(Graph([x], [y, gc.grad(gc.sum(y), x)]))
    values, slopes = evaluate(graph.outputs, {x: at})
    eps, least = float(np.finfo(dtype).eps), 16 * float(np.finfo(dtype).smallest_normal)
    with mp.workdps(700):
        for point, value, slope in zip(map(mp.mpf, map(float, at)), values, slopes, strict=True):
            first, second = (mp.diff(true, point, n, relative=True) for n in (1, 2))
            wanted = true(point)
            assert abs(float(value) - wanted) <= 16 * eps * (abs(wanted) + abs(point * first)) + least, (point, value)
            assert abs(float(slope) - first) <= 16 * eps * (abs(first) + abs(point * second)) + least, (point, slope)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_eager_gives_the_same(name: str) -> None:
    function, _, points = FUNCTIONS[name]
    x = gc.input("x", (len(points),))
    (want,) = evaluate([function(x)], {x: np.array(points)})
    with np.errstate(all="ignore"):
        found = function(gc.eager.tensor(np.array(points))).numpy()
    np.testing.assert_array_equal(found, want)


def test_dtypes() -> None:
    for function in (gc.leaky_relu, gc.elu, gc.silu, gc.gelu, gc.log_sigmoid, gc.cbrt, gc.log1mexp):
        assert function(gc.input("x", (2,), "float32")).dtype == np.float32
        assert function(gc.input("x", (2,), "int64")).dtype == np.float64
    assert gc.xlogy(gc.input("x", (2, 1), "float32"), gc.input("y", (3,), "float64")).aval == gc.input("z", (2, 3)).aval
    assert gc.logsigmoid is gc.log_sigmoid


@pytest.mark.parametrize("name", ["silu", "gelu", "gelu by tanh"])
def test_gates_at_infinity(name: str) -> None:
    """0 and its slope 0 at -inf, inf and 1 at inf, in both modes; nan of nan."""
    x = gc.input("x", (3,))
    y = FUNCTIONS[name][0](x)
    slope = gc.grad(gc.sum(y), x)
    graph, _ = optimise(Graph([x], [y, slope, gc.jvp(y, x, np.ones(3)), gc.grad(gc.sum(slope), x)]))
    found = evaluate(graph.outputs, {x: np.array([-np.inf, np.inf, np.nan])})
    nan = np.nan
    np.testing.assert_array_equal(found, [[0.0, np.inf, nan], [0.0, 1.0, nan], [0.0, 1.0, nan], [0.0, 0.0, nan]])


def test_xlogy_as_scipy_has_it() -> None:
    from scipy import special

    x = np.array([0.0, 0.0, 0.0, 0.0, -0.0, 1.0, 2.0, np.nan, np.inf, 0.0])
    y = np.array([0.0, 1.0, -1.0, np.inf, 0.0, 0.0, -1.0, 1.0, 2.0, np.nan])
    a, b = gc.input("a", x.shape), gc.input("b", x.shape)
    (found,) = evaluate([gc.xlogy(a, b)], {a: x, b: y})
    np.testing.assert_array_equal(found, special.xlogy(x, y))


def test_mixed_second_derivative_of_xlogy() -> None:
    """By x and y it is 1 / y, where x is 0 too."""
    x, y = gc.input("x"), gc.input("y")
    by_x, by_y = gc.grad(gc.xlogy(x, y), [x, y])
    found = evaluate([gc.grad(by_x, y), gc.grad(by_y, x)], {x: np.array(0.0), y: np.array(4.0)})
    assert found == [0.25, 0.25]


def test_perfect_cubes() -> None:
    whole = np.arange(-50.0, 51.0)
    np.testing.assert_array_equal(gc.compile(gc.cbrt)(whole**3), whole)


def test_an_unknown_approximation() -> None:
    with pytest.raises(DTypeError) as error:
        gc.gelu(gc.input("x"), approximate="erf")
    assert text_of(error.value) == "unknown approximation in gelu: got 'erf', expected 'none' or 'tanh'\n  at LINE"


def test_std_of_equal_numbers() -> None:
    x = gc.input("x", (3,))
    y = gc.std(x, correction=1)
    first = gc.grad(y, x)
    found = evaluate([y, first, gc.grad(gc.sum(first * np.array([1.0, 2.0, 3.0])), x)], {x: np.full(3, 2.0)})
    assert found[0] == 0 and not found[1].any() and not found[2].any()


def test_second_derivatives_at_the_origin_are_zero() -> None:
    x, y = gc.input("x"), gc.input("y")
    slopes = gc.grad(gc.hypot(x, y), [x, y])
    found = evaluate([gc.grad(s, v) for s in slopes for v in (x, y)], {x: np.array(0.0), y: np.array(0.0)})
    assert not np.any(found)
