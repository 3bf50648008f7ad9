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


def test_log_gamma_is_real() -> None:
    x, a = gc.input("x"), sp.Symbol("x", real=True)
    found = gc.to_sympy(gc.lgamma(x))
    assert found == sp.re(sp.loggamma(a))
    for at in (-2.5, -0.5, 0.3, 4.0):
        assert abs(found.subs(a, at).evalf() - float(value(gc.lgamma(x), x=at))) < 1e-12
    assert gc.from_sympy(found, {a: x}) is gc.lgamma(x)
    assert gc.from_sympy(sp.diff(found, a), {a: x}) is gc.digamma(x)
    at = np.array([-1.5, 0.5, -2.2])
    v = gc.input("v", (3,))
    assert gc.verify(gc.sum(gc.lgamma(v) * v), v, values={v: at}).skipped == ()


def test_leaves_of_one_name() -> None:
    x, other = gc.input("x"), gc.input("x")
    with pytest.raises(gc.UnsupportedError, match="got two leaves named 'x', expected a name for each") as caught:
        gc.to_sympy(x - 2 * other)
    assert "hint: give names" in str(caught.value)
    assert gc.to_sympy(x - 2 * other, {other: "y"}) == sp.Symbol("x", real=True) - 2 * sp.Symbol("y", real=True)
    assert gc.to_sympy(x - 2 * other, {x: "x", other: "x"}) == -sp.Symbol("x", real=True)


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


@pytest.mark.parametrize(
    "make",
    [
        lambda x, y: gc.clip(x, -1.0, y),
        lambda x, y: gc.grad(gc.clip(x, -1.0, y), y),
        lambda x, y: gc.where((x > 0) ^ (y > 0), x, y),
        lambda x, y: gc.where(gc.logical_not((x > 0) ^ (y > 0)) ^ (x > 1), x, y),
    ],
)
def test_conditions_go_there_and_back(make: Any) -> None:
    x, y = gc.input("a"), gc.input("b")
    back = gc.from_sympy(gc.to_sympy(make(x, y)), {A: x, B: y})
    for a in (-1.5, 0.5, 2.5):
        for b in (-0.7, 0.3):
            assert value(back, a=a, b=b) == value(make(x, y), a=a, b=b)


def test_arrays_and_zeros_as_values() -> None:
    assert value(gc.from_sympy(1 / A**2 + A, {A: np.array([1, 2])})).tolist() == [2.0, 2.25]
    assert value(gc.from_sympy(1 / A, {A: 0.0})) == value(gc.from_sympy(A**-3, {A: 0})) == np.inf
    assert value(gc.from_sympy(A**3, {A: 1e200})) == np.inf


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
        ([A], "got list [a], expected an expression, a Matrix or an Array"),
        ("a +", "got str a +, expected an expression, a Matrix or an Array"),
        (sp.re(sp.Symbol("z")), "got re re(z), expected a function that graphc has"),
        (
            sp.Symbol("p", commutative=False) * sp.Symbol("q", commutative=False),
            "got Mul p*q, expected factors that commute, or MatrixSymbols",
        ),
        (sp.IndexedBase("v")[0], "got Indexed v[0], expected a tensor for its base in symbols, and integer indices"),
    ],
)
def test_what_has_no_tensor(expr: Any, text: str) -> None:
    with pytest.raises(gc.UnsupportedError) as caught:
        gc.from_sympy(expr, {A: gc.input("a")})
    assert str(caught.value).startswith(f"cannot convert from SymPy: {text}")
    assert "test_sympy_io.py:" in str(caught.value)


def test_bad_symbols() -> None:
    for symbols, text in (([A], "got list [a], expected symbols as {Symbol: tensor}"), ({A: "b"}, "got 'b', expected")):
        with pytest.raises(gc.GraphcError) as caught:
            gc.from_sympy(A, symbols)
        assert text in str(caught.value).splitlines()[0]


# matrices

M, N = sp.MatrixSymbol("M", 2, 2), sp.MatrixSymbol("N", 2, 2)
_M, _N, _A = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.5, 1.0], [-1.0, 0.0]]), 3.0


@pytest.mark.parametrize(
    ("expr", "wanted"),
    [
        (M * N, _M @ _N),
        (M * N * M, _M @ _N @ _M),
        (2 * A * M * N, 6.0 * _M @ _N),
        (M - 3 * N, _M - 3.0 * _N),
        (M**5, np.linalg.matrix_power(_M, 5)),
        ((M + N) ** 2, (_M + _N) @ (_M + _N)),
        ((M * N).T, (_M @ _N).T),
        (M.adjoint() * N, _M.T @ _N),
        (sp.Trace(M * N) * M, np.trace(_M @ _N) * _M),
        (sp.Trace(M) + A, 8.0),
        (sp.HadamardProduct(M, N), _M * _N),
        (A * sp.Identity(2) + sp.OneMatrix(2, 2) * M, _A * np.eye(2) + np.ones((2, 2)) @ _M),
        (M * sp.Matrix([[1, A], [0, 1]]), _M @ [[1.0, _A], [0.0, 1.0]]),
        (A * M[0, 1] + (M * N)[1, 0], _A * 2.0 + (_M @ _N)[1, 0]),
        (sp.Matrix([M[0, 0], A]), [[1.0], [_A]]),
    ],
    ids=str,
)
def test_matrix_expressions(expr: Any, wanted: Any) -> None:
    tensor = gc.from_sympy(expr, {M: gc.input("m", (2, 2)), N: gc.input("n", (2, 2)), A: gc.input("a")})
    np.testing.assert_allclose(value(tensor, m=_M, n=_N, a=_A), wanted, rtol=1e-14)


def test_matrices_of_samples() -> None:
    """A scalar of each sample meets the matrix of that sample, whatever the sizes."""
    a, m, n = gc.input("a", ("k",)), gc.input("m", ("k", 2, 2)), gc.input("n", (2, 2))
    tensor = gc.from_sympy(A * M * N, {A: a, M: m, N: n})
    factors, matrices = np.array([2.0, -1.0]), np.stack([_M, _N])
    wanted = factors[:, None, None] * (matrices @ _N)
    np.testing.assert_allclose(value(tensor, a=factors, m=matrices, n=_N), wanted)


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (M.inv(), "got Inverse M**(-1), expected a function of matrices that graphc has"),
        (M * N.inv(), "got Inverse N**(-1), expected a function of matrices that graphc has"),
        (sp.MatPow(M, A), "got MatPow M**a, expected a function of matrices that graphc has"),
        (sp.Determinant(M), "got Determinant Determinant(M), expected a function that graphc has"),
        (M * sp.MatrixSymbol("K", 2, 2), "got MatrixSymbol K, expected a tensor for it in symbols"),
    ],
    ids=str,
)
def test_matrix_expressions_that_have_no_tensor(expr: Any, text: str) -> None:
    with pytest.raises(gc.UnsupportedError) as caught:
        gc.from_sympy(expr, {M: gc.input("m", (2, 2)), N: gc.input("n", (2, 2)), A: gc.input("a")})
    assert str(caught.value).startswith(f"cannot convert from SymPy: {text}")


@pytest.mark.parametrize("given", [2.0, np.ones(2), np.ones((3, 2))], ids=["number", "vector", "size"])
def test_what_is_no_such_matrix(given: Any) -> None:
    with pytest.raises(gc.UnsupportedError, match=r"expected a tensor whose last two axes are M of 2 x 2"):
        gc.from_sympy(M * N, {M: given, N: gc.input("n", (2, 2))})
