"""Graphs as SymPy expressions and back: values, derivatives, and the errors for what has no counterpart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import graphc as gc

A, B = sp.symbols("a b", real=True)


def value(tensor: Any, **arrays: Any) -> np.ndarray:
    """The value of a tensor of inputs by their names."""
    from graphc.ir.evaluate import evaluate

    leaves = {n.name: n for n in gc.Graph([], [tensor]).nodes if n.op.name == "input"}
    return evaluate([tensor], {leaves[k]: np.asarray(v, leaves[k].dtype) for k, v in arrays.items() if k in leaves})[0]


# to_sympy


def test_scalar_expression() -> None:
    x, y = gc.input("x"), gc.input("y", (2,))
    a, b = sp.Symbol("x", real=True), sp.IndexedBase("y", shape=(2,), real=True)
    assert gc.to_sympy(gc.exp(-x) * gc.sum(y)) == sp.exp(-a) * (b[0] + b[1])
    assert gc.to_sympy(gc.erf(x) + 0.1) == sp.erf(a) + sp.Rational(1, 10)
    assert gc.to_sympy(gc.sqrt(x * np.pi)) == sp.sqrt(sp.pi * a)
    assert gc.to_sympy(gc.maximum(x, 1.0)) == sp.Max(1, a)
    assert gc.to_sympy(gc.lgamma(gc.exp(x))) == sp.loggamma(sp.exp(a))


def test_pieces() -> None:
    x = gc.input("x")
    found = gc.to_sympy(gc.where(x > 0, x**2, gc.sin(x)))
    a = sp.Symbol("x", real=True)
    assert found == sp.Piecewise((a**2, a > 0), (sp.sin(a), True))
    assert gc.to_sympy(gc.relu(x)) == sp.Piecewise((0, a <= 0), (a, True))


def test_matrices_and_arrays() -> None:
    x = gc.input("x", (2, 2))
    b = sp.IndexedBase("x", shape=(2, 2), real=True)
    m = sp.Matrix(2, 2, lambda i, j: b[i, j])
    found = gc.to_sympy(x @ x)
    assert isinstance(found, sp.MatrixBase)
    assert found == m * m
    assert gc.to_sympy(gc.sum(x, axis=0)) == sp.Array([b[0, 0] + b[1, 0], b[0, 1] + b[1, 1]])
    assert gc.to_sympy(gc.reshape(x, (1, 2, 2))).shape == (1, 2, 2)
    assert gc.to_sympy(gc.cumulative_prod(x[0])) == sp.Array([b[0, 0], b[0, 0] * b[0, 1]])


def test_names() -> None:
    x, w = gc.input("x", (2,)), gc.param(1.0, name="w")
    s = sp.symbols("s:2")
    assert gc.to_sympy(w * gc.sum(x), {x: s, w: "omega"}) == sp.Symbol("omega", real=True) * (s[0] + s[1])
    assert gc.to_sympy(w, {w: A + B}) == A + B
    assert gc.to_sympy(gc.input("k", (), "int64") + 1) == sp.Symbol("k", integer=True) + 1


def test_gradients_are_expressions() -> None:
    x = gc.input("x")
    a = sp.Symbol("x", real=True)
    gradient = gc.to_sympy(gc.grad(gc.sin(x) * gc.log(x), x))
    assert sp.simplify(gradient - sp.diff(sp.sin(a) * sp.log(a), a)) == 0


def test_constants_alone() -> None:
    assert gc.to_sympy(gc.sum(gc.asarray([1, 2]))) == 3
    assert gc.to_sympy(gc.asarray([[True, False]])) == sp.Array([[sp.true, sp.false]])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda x, n: gc.sort(x), "argsort has no meaning on expressions: got float64[2]"),
        (lambda x, n: gc.sum(n), "cannot convert to SymPy: got float64[n], expected sizes that are ints"),
        (lambda x, n: gc.bitwise_invert(gc.input("k", (), "int8")), "bitwise_invert has no meaning in SymPy: expected"),
        (lambda x, n: 3.0, "cannot convert to SymPy: got 3.0, expected a tensor"),
    ],
)
def test_what_has_no_expression(make: Any, text: str) -> None:
    with pytest.raises(gc.UnsupportedError) as caught:
        gc.to_sympy(make(gc.input("x", (2,)), gc.input("y", ("n",))))
    assert str(caught.value).startswith(text)
    assert "test_sympy_io.py:" in str(caught.value)


# from_sympy

_EXPRESSIONS = [
    A**3 - 2 * A / B + sp.Rational(1, 3),
    sp.exp(-A) * sp.cos(sp.pi * B) + sp.E**B,
    sp.sqrt(A) / sp.sqrt(B) + A**B + A ** sp.Rational(2, 3) + A**-3,
    (A + 1) ** sp.Rational(3, 2) + (A * B + 1) ** sp.Rational(-5, 2) + sp.sqrt(A + B),
    sp.Piecewise((A**2, A > B), (sp.log(A), A > 1), (sp.tanh(A), True)),
    sp.Max(A, B, 1) + sp.Min(A, B) * sp.Abs(A - B),
    sp.erf(A) + sp.erfc(B) + sp.loggamma(A) + sp.digamma(B) + sp.polygamma(1, A),
    sp.atan2(A, B) + sp.asinh(A) + sp.floor(3 * A) + sp.ceiling(B) + sp.sign(A - B),
    sp.Heaviside(A - B) + sp.sec(A) + sp.cot(B) + sp.Mod(A, B),
    sp.Piecewise((1.5, sp.And(A > 1, sp.Not(B > 1))), (A, sp.Or(sp.Eq(A, B), sp.Ne(A, B)))),
    sp.sinh(A) * sp.cosh(B) - sp.asin(A / 10) * sp.acos(B / 10) * sp.atan(A) + sp.tan(A),
    sp.exp(sp.exp(A / 3)) + sp.log(A * B) * sp.sqrt(2) * sp.GoldenRatio,
    sp.Integer(7),
]


@pytest.mark.parametrize("expr", _EXPRESSIONS, ids=str)
def test_values(expr: Any) -> None:
    tensor = gc.from_sympy(expr, {A: gc.input("a"), B: gc.input("b")})
    for a, b in ((0.7, 1.3), (1.9, 0.4), (2.5, 3.1)):
        wanted = float(expr.subs({A: sp.Float(a, 30), B: sp.Float(b, 30)}).evalf(30))
        np.testing.assert_allclose(value(tensor, a=a, b=b), wanted, rtol=1e-13)


@pytest.mark.parametrize("expr", [e for e in _EXPRESSIONS[:7] if e.has(A)], ids=str)
def test_there_and_back(expr: Any) -> None:
    tensor = gc.from_sympy(expr, {A: gc.input("a"), B: gc.input("b")})
    back = gc.to_sympy(tensor, {n: s for n in gc.Graph([], [tensor]).nodes for s in (A, B) if n.name == str(s)})
    at = {A: sp.Float("0.7", 30), B: sp.Float("1.3", 30)}
    assert abs((back - expr).subs(at).evalf(30)) < 1e-15


def test_numbers_are_nearest_doubles() -> None:
    third = gc.from_sympy(sp.Rational(1, 3), {})
    assert value(third) == 1 / 3 and third.dtype == np.float64
    assert value(gc.from_sympy(sp.pi * sp.E**2, {})) == float(sp.N(sp.pi * sp.E**2, 30))
    assert value(gc.from_sympy(sp.true, {}))


def test_integer_powers_are_integer_powers() -> None:
    x = gc.input("a")
    assert gc.from_sympy(A**3, {A: x}).op.name == "integer_pow"
    assert gc.from_sympy(A / B**2, {A: x, B: x}).op.name == "divide"
    assert gc.from_sympy(sp.sqrt(A), {A: x}).op.name == "sqrt"


def test_half_powers_are_square_roots() -> None:
    x = gc.input("a")
    y = gc.from_sympy(A ** sp.Rational(3, 2), {A: x})
    assert {n.op.name for n in gc.Graph([], [y]).nodes} == {"input", "sqrt", "multiply"}
    assert value(gc.grad(y, x), a=0.0) == 0.0


def test_common_parts_are_computed_once() -> None:
    part = sp.sin(A * B)
    tensor = gc.from_sympy(part**2 + sp.exp(part), {A: gc.input("a"), B: gc.input("b")})
    assert [n.op.name for n in gc.Graph([], [tensor]).nodes].count("sin") == 1


def test_matrices() -> None:
    tensor = gc.from_sympy(sp.Matrix([[A, B, 1], [A * B, sp.cos(A), 0]]), {A: gc.input("a"), B: gc.input("b")})
    assert tensor.shape == (2, 3)
    np.testing.assert_allclose(value(tensor, a=0.5, b=2.0), [[0.5, 2.0, 1.0], [1.0, np.cos(0.5), 0.0]])
    rows = gc.from_sympy(sp.Matrix([[A, 1], [0, A]]), {A: gc.input("a", ("n",))})
    assert str(rows.shape) == "(n, 2, 2)"
    assert value(rows, a=[3.0, 4.0])[1].tolist() == [[4.0, 1.0], [0.0, 4.0]]
    assert gc.from_sympy(sp.Array([A, B]), {A: 1.0, B: 2.0}).shape == (2,)


def test_indexed_symbols() -> None:
    v = sp.IndexedBase("v")
    x = gc.input("x", (3,))
    tensor = gc.from_sympy(v[0] * v[2], {v: x})
    assert value(tensor, x=[2.0, 3.0, 5.0]) == 10.0
    back = gc.to_sympy(tensor, {x: [v[0], v[1], v[2]]})
    assert back == v[0] * v[2]


def test_gradient_agrees_with_sympy_and_is_certified() -> None:
    expr = sp.exp(-A * B) * sp.sin(A) / (1 + B**2)
    a, b = gc.input("a"), gc.input("b")
    y = gc.from_sympy(expr, {A: a, B: b})
    found = [float(value(g, a=0.7, b=1.3)) for g in gc.grad(y, [a, b])]
    np.testing.assert_allclose(found, [float(sp.diff(expr, s).subs({A: 0.7, B: 1.3})) for s in (A, B)], rtol=1e-13)
    assert gc.verify(y, [a, b]).skipped == ()


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (A + B, "got Symbol b, expected a tensor for it in symbols"),
        (sp.besselj(0, A), "got besselj besselj(0, a), expected a function that graphc has"),
        (sp.Integral(sp.exp(A**2), A), "got Integral Integral(exp(a**2), a), expected a function that graphc has"),
        (A + sp.I, "got ImaginaryUnit I, expected a function that graphc has"),
        (sp.oo + A * 0, "got Infinity oo, expected a function that graphc has"),
        (sp.Function("f")(A), "got f f(a), expected a function that graphc has"),
        (sp.IndexedBase("v")[0], "got Indexed v[0], expected a tensor for its base in symbols, and integer indices"),
    ],
)
def test_what_has_no_tensor(expr: Any, text: str) -> None:
    with pytest.raises(gc.UnsupportedError) as caught:
        gc.from_sympy(expr, {A: gc.input("a")})
    assert str(caught.value).startswith(f"cannot convert from SymPy: {text}")
    assert "test_sympy_io.py:" in str(caught.value)
