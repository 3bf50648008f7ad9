"""Rules of stable forms one by one, on the graph: where each fires and gives the same value, and where it must not.

`test_stable` holds their accuracy. Here it is enough that the value is the same at ordinary points, so that a rule that
takes the wrong operand, sign, axis or view is found in a moment.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphc as gc
from graphc.ir.apply import apply
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.ir.tensor import Tensor
from graphc.ops.table import OPS
from graphc.passes import patterns, stable_log
from graphc.passes.patterns import is_not_negative, is_sum_of_squares
from graphc.passes.rules import rewrite
from graphc.passes.stable import RULES

X, Y, Z = gc.input("x", (3, 4)), gc.input("y", (3, 4)), gc.input("z", (3, 4))
V = gc.input("v", (4,))
S = gc.input("s", (4, 4))
N = gc.input("n", ("m",))
I = gc.input("i", (3,), "int64")
B, F = gc.input("b", (3,), "bool"), gc.input("f", (3,), "float32")
W = gc.asarray(np.arange(12.0).reshape(3, 4))
SIGNED = gc.asarray(np.arange(12.0).reshape(3, 4) - 1.0)
LEAVES = (X, Y, Z, V, S, N, I, B, F)


def rewritten(node: Tensor, name: str | None = None) -> tuple[Tensor, set[str]]:
    """`node` after the rules (those of one name), and the names of those that fired."""
    rules = [rule for rule in RULES if name in (None, rule.name)]
    graph, fired = rewrite(Graph(LEAVES, [node]), rules)
    return graph.outputs[0], set(fired)


def values(*nodes: Tensor) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    floats = [leaf for leaf in LEAVES if leaf.dtype == np.float64]
    given = {leaf: rng.uniform(0.3, 2.0, leaf.shape if leaf is not N else (5,)) for leaf in floats}
    given[X] = given[X] * rng.choice([-1, 1], (3, 4))
    given[I] = np.array([2, 0, 1])
    return evaluate(nodes, given)


def sumexp(x: Tensor, axis: int = 1, keepdims: bool = False) -> Tensor:
    return gc.sum(gc.exp(x), axis=axis, keepdims=keepdims)


def shares(x: Tensor, axis: int = 1) -> Tensor:
    return gc.exp(x) / sumexp(x, axis, True)


def to_power(x: Tensor, exponent: int) -> Tensor:
    return apply(OPS["integer_pow"], x, exponent=exponent)


def shifted(x: Tensor) -> Tensor:
    return x - gc.max(x, axis=1, keepdims=True)


FIRES: tuple[tuple[str, Callable[[], Tensor]], ...] = (
    ("log(exp(x))", lambda: gc.log(gc.exp(X))),
    ("log(exp(x))", lambda: gc.log(gc.exp(X)[1:, ::2])),
    ("log(exp(x))", lambda: gc.log(gc.permute_dims(gc.exp(X)[I], (1, 0)))),
    ("log(sum(exp(x)))", lambda: gc.log(sumexp(X))),
    ("log(sum(exp(x)))", lambda: gc.log(gc.flip(sumexp(X, 0, True), axis=1))),
    ("log(sum(exp(x)))", lambda: gc.log(gc.sum(gc.exp(X) * gc.exp(Y) / 3.0, axis=0))),
    ("log(sum(exp(x)))", lambda: gc.log(gc.sum(sumexp(X)))),
    ("log(1 + exp(x))", lambda: gc.log(1.0 + gc.exp(X))),
    ("log(1 + exp(x))", lambda: gc.log(gc.exp(X) + 1.0)),
    ("log(1 + exp(x))", lambda: gc.log(1.0 + gc.exp(X) * gc.exp(Y))),
    ("log(exp(x) + exp(y))", lambda: gc.log(gc.exp(X) + gc.exp(Y))),
    ("log(exp(x) + exp(y))", lambda: gc.log(gc.exp(X) + (gc.exp(Y) + gc.exp(Z)) + 0.5)),
    ("log(exp(x) + exp(y))", lambda: gc.log(0.25 + gc.exp(X) + 0.75 + gc.exp(Y))),
    ("log(exp(x) + exp(y))", lambda: gc.log(2.0 + gc.exp(X))),
    ("log(mean(exp(x)))", lambda: gc.log(gc.mean(gc.exp(X), axis=1))),
    ("log(mean(exp(x)))", lambda: gc.log(gc.mean(gc.exp(N)))),
    ("log(mean(exp(x)))", lambda: gc.log(sumexp(X, 0, True) / 7.0)),
    ("log(mean(exp(x)))", lambda: gc.log(sumexp(X, 0, True) / 0.5)),
    ("log(exp(x) / sum(exp(x)))", lambda: gc.log(shares(X))),
    ("log(exp(x) / sum(exp(x)))", lambda: gc.log(shares(X, 0)[:, 1])),
    ("log(exp(x) / sum(exp(x)))", lambda: gc.log(gc.softmax(X, axis=1))),
    ("log(exp(x) / sum(exp(x)))", lambda: gc.log(gc.exp(X) / gc.exp(Y))),
    ("log(exp(x) / sum(exp(x)))", lambda: gc.log(3.0 / gc.exp(Y))),
    ("exp(x) / sum(exp(y))", lambda: gc.log(gc.exp(X) / sumexp(Y, 1, True))),
    ("log(exp(x) * exp(y))", lambda: gc.log(gc.exp(X) * gc.exp(Y))),
    ("log(exp(x) * exp(y))", lambda: gc.log(gc.exp(X) * 0.25)),
    ("log(exp(x) * exp(y))", lambda: gc.log(gc.sigmoid(X) * gc.exp(Y))),
    ("log(exp(x)**n)", lambda: gc.log(gc.exp(X) ** 3)),
    ("log(exp(x)**n)", lambda: gc.log(gc.sigmoid(X) ** -2)),
    ("log(sigmoid(x))", lambda: gc.log(gc.sigmoid(X))),
    ("log(sigmoid(x))", lambda: gc.log(gc.sigmoid(-X))),
    ("log(sigmoid(x))", lambda: gc.log(gc.sigmoid(X - Y))),
    ("log(1 - exp(x))", lambda: gc.log(1.0 - gc.exp(-Y))),
    ("log(1 - exp(x))", lambda: gc.log(-gc.expm1(-Y))),
    ("log(1 - exp(x))", lambda: gc.log(gc.expm1(-Y) * -1.0)),
    ("log(exp(x) - 1)", lambda: gc.log(gc.exp(Y) - 1.0)),
    ("log(exp(x) - 1)", lambda: gc.log(gc.expm1(Y)[1:, ::2])),
    *((f"log{base}({name})", lambda log=log, inner=inner: log(inner()))
      for base, log in ((2, gc.log2), (10, gc.log10)) for name, inner in (
        ("exp(x)", lambda: gc.exp(X)[1:]),
        ("sum(exp(x))", lambda: sumexp(X, 0, True)),
        ("1 + exp(x)", lambda: gc.exp(X)[I] + 1.0),
        ("exp(x) + exp(y)", lambda: gc.exp(X) + (gc.exp(Y) + gc.exp(Z)) + 0.5),
        ("mean(exp(x))", lambda: gc.mean(gc.exp(N))),
        ("exp(x) / sum(exp(x))", lambda: shares(X, 0)),
        ("exp(x) * exp(y)", lambda: gc.sigmoid(X) * gc.exp(Y)),
        ("exp(x)**n", lambda: gc.sigmoid(X) ** -2),
        ("sigmoid(x)", lambda: gc.sigmoid(X - Y)),
        ("1 - exp(x)", lambda: 1.0 - gc.exp(-Y)),
        ("exp(x) - 1", lambda: gc.exp(Y) - 1.0),
    )),
    ("log(1 + x)", lambda: gc.log(1.0 + Y)),
    ("log(1 + x)", lambda: gc.log(Y + 1.0)),
    ("log(1 - x)", lambda: gc.log(1.0 - Y / 4.0)),
    ("log(1 - x)", lambda: gc.log(1.0 - -Y)),
    ("log(1 - x)", lambda: gc.log(1.0 - (Y - 2.0))),
    ("log(1 - x)", lambda: gc.log(1.0 - Y * -2.0)),
    ("log(1 - x)", lambda: gc.log(1.0 - -2.0 / Y)),
    ("log(1 - x)", lambda: gc.log(1.0 - -Y * Z)),
    ("log1p(exp(x))", lambda: gc.log1p(gc.exp(X))),
    ("log1p(exp(x))", lambda: gc.log1p(sumexp(X))),
    ("log1p(-exp(x))", lambda: gc.log1p(-gc.exp(-Y))),
    ("log1p(-exp(x))", lambda: gc.log1p(gc.exp(-Y) * -1.0)),
    ("log1p(-exp(x))", lambda: gc.log1p(-gc.sigmoid(X))),
    ("x * log(x)", lambda: Y * gc.log(Y)),
    ("x * log(x)", lambda: gc.log(Y) * -Y),
    ("x * log(x)", lambda: Y * gc.log(Y / Z)),
    ("x * log2(x)", lambda: Y * gc.log2(Y)),
    ("x * log2(x)", lambda: Y * gc.log2(Y / Z)),
    ("x * log10(x)", lambda: gc.log10(Y) * Y),
    ("x * (log(x) - y)", lambda: Y * (gc.log(Y) - X)),
    ("x * (log(x) - y)", lambda: Y * (X - gc.log(Y))),
    ("x * (log(x) - y)", lambda: -Y * (gc.log(Y) - gc.log(Z))),
    ("exp(x) - 1", lambda: gc.exp(X) - 1.0),
    ("exp(x) - 1", lambda: gc.exp(X) + -1.0),
    ("exp(x) - 1", lambda: -1.0 + gc.exp(X)[:, 1:]),
    ("1 - exp(x)", lambda: 1.0 - gc.exp(X)),
    ("1 - exp(x)", lambda: 1.0 - gc.exp(X)[::-1]),
    ("1 / (1 + exp(-x))", lambda: 1.0 / (1.0 + gc.exp(-X))),
    ("1 / (1 + exp(-x))", lambda: 1.0 / (gc.exp(X) + 1.0)),
    ("1 / (1 + exp(-x))", lambda: gc.exp(X) / (1.0 + gc.exp(X))),
    ("1 / (1 + exp(-x))", lambda: Y / (1.0 + gc.exp(X))),
    ("1 / (1 + exp(-x))", lambda: Y[:, 0] / (1.0 + gc.exp(X))[:, 2]),
    ("1 / (1 + exp(-x))**n", lambda: gc.exp(X) / (1.0 + gc.exp(X)) ** 2),
    ("1 / (1 + exp(-x))**n", lambda: 1.0 / (1.0 + gc.exp(-X)) ** 3),
    ("1 / (1 + exp(-x))**n", lambda: Y / (1.0 + gc.exp(-X)) ** 3),
    ("1 / (1 + exp(-x))**n", lambda: gc.exp(X) / (1.0 + gc.exp(X)) ** 4),
    ("(1 + exp(-x))**-n", lambda: (1.0 + gc.exp(-X)) ** -1),
    ("(1 + exp(-x))**-n", lambda: (gc.exp(X) + 1.0) ** -3),
    ("exp(x) / (exp(x) + exp(y))", lambda: gc.exp(X) / (gc.exp(X) + gc.exp(Y))),
    ("exp(x) / (exp(x) + exp(y))", lambda: gc.exp(Y) / (gc.exp(X) + gc.exp(Y))),
    ("exp(x) / (exp(x) + exp(y))", lambda: gc.exp(X)[0] / (gc.exp(X) + gc.exp(Y))[0]),
    ("1 - sigmoid(x)", lambda: 1.0 - gc.sigmoid(X)),
    ("1 - sigmoid(x)", lambda: 1.0 - gc.sigmoid(-X)),
    ("sigmoid(x) - 1", lambda: gc.sigmoid(X) - 1.0),
    ("sigmoid(x) - 1", lambda: -1.0 + gc.sigmoid(X)),
    ("exp(x) / sum(exp(x))", lambda: shares(X)),
    ("exp(x) / sum(exp(x))", lambda: shares(X, 0)),
    ("exp(x) / sum(exp(x))", lambda: gc.exp(X) / sumexp(X, 0)),
    ("exp(x) / sum(exp(x))", lambda: gc.exp(V) / gc.sum(gc.exp(V))),
    ("exp(x) / sum(exp(y))", lambda: gc.exp(Y[:, 0]) / sumexp(X)),
    ("exp(x) / sum(exp(y))", lambda: gc.exp(S) / sumexp(S, 1)),
    ("exp(x) / sum(exp(y))", lambda: gc.exp(X[:, 0]) / gc.flip(sumexp(X))),
    ("1 - erf(x)", lambda: 1.0 - gc.erf(X)),
    ("1 - erf(x)", lambda: 1.0 - gc.erfc(X)),
    ("1 + erf(x)", lambda: 1.0 + gc.erf(X)),
    ("1 + erf(x)", lambda: gc.erf(X) + 1.0),
    ("x**n", lambda: gc.pow(X, gc.asarray(3.0))),
    ("x**n", lambda: gc.pow(X, gc.asarray(-2.0))),
    ("x**n", lambda: gc.pow(I, gc.asarray(3))),
    ("x**n", lambda: gc.pow(I, gc.asarray(0))),
    ("x**n", lambda: gc.pow(Y, gc.asarray(-1.0))),
    ("x**n", lambda: gc.pow(Y, gc.asarray(-1024.0))),
    ("x**m * x**n", lambda: X**2 * X**3),
    ("x**m * x**n", lambda: X**-2 * X**-3),
    ("x**m * x**n", lambda: X * X * X),
    ("x**m * x**n", lambda: X * (X * X)),
    ("x**m * x**n", lambda: X**3 * X),
    ("x**m * x**n", lambda: X * X**7),
    ("x**m * x**n", lambda: X**5 * (X * X)),
    ("x**m * x**n", lambda: (X * X) * ((X * X) * (X * X))),
    ("x**a * x**b", lambda: Y**0.75 * Y**0.5),
    ("x**a * x**b", lambda: gc.exp(X) * gc.exp(X) ** 0.75),
    ("x**a * x**b", lambda: Y**-0.75 * Y**-0.5),
    ("(x**m)**n", lambda: (X**2) ** 3),
    ("(x**m)**n", lambda: (X**-2) ** 3),
    ("(x**m)**n", lambda: (X**4) ** 2),
    ("(x**m)**n", lambda: (X**-1) ** -1),
    ("sqrt(x * x)", lambda: gc.sqrt(X * X)),
    ("sqrt(x * x)", lambda: gc.sqrt(X**2)),
    ("sqrt(x**2n)", lambda: gc.sqrt(X**4)),
    ("sqrt(x**2n)", lambda: gc.sqrt(X**6)[1]),
    ("sqrt(x * x + y * y)", lambda: gc.sqrt(X * X + Y**2)),
    ("sqrt(sum(x * x))", lambda: gc.sqrt(gc.sum(X * X, axis=0))),
    ("sqrt(sum(x * x))", lambda: gc.sqrt(gc.sum(2.0 * X**2, axis=1) + Y[:, 0] ** 4 / 3.0)),
    ("sqrt(sum(x * x))", lambda: gc.sqrt(gc.mean(N * N))),
    ("sqrt(sum(x * x))", lambda: gc.sqrt(V @ V)),
    ("x**0.5", lambda: (X * X) ** 0.5),
    ("x**0.5", lambda: (X * X) ** -0.5),
    ("x**0.5", lambda: gc.exp(X) ** 0.5),
    ("x**0.5", lambda: (gc.sum(X * X, axis=0) + 1.0) ** -0.5),
    ("norm(x)**2", lambda: gc.sqrt(X * X + Y * Y + Z * Z) ** 2),
    ("norm(x)**2", lambda: gc.sqrt(gc.exp(X)) ** 4),
    ("norm(x)**2", lambda: gc.vector_norm(X, axis=1) ** 2),
    ("norm(x)**2", lambda: gc.square(gc.hypot(X, Y))),
    ("norm(x)**2", lambda: gc.hypot(X, Y) * gc.hypot(X, Y)),
    ("norm(x)**2", lambda: gc.abs(X) ** 6),
    ("norm(x)**2", lambda: gc.abs(X) * gc.abs(X)),
    ("norm(x)**2", lambda: gc.sqrt(gc.exp(X)) ** -2),
    ("(x / norm(y))**2", lambda: (X / gc.sqrt(X * X + Y * Y + Z * Z)) ** 2),
    ("(x / norm(y))**2", lambda: (X / gc.vector_norm(Y, axis=1, keepdims=True)) ** 4),
    ("(x / norm(y))**2", lambda: gc.multiply(*[X[0] / gc.sqrt(gc.exp(V))] * 2)),
)  # fmt: skip


@pytest.mark.parametrize("name,build", FIRES, ids=[f"{row[0]}-{k}" for k, row in enumerate(FIRES)])
def test_a_rule_fires_and_the_value_stays(name: str, build: Callable[[], Tensor]) -> None:
    """With all rules, and where that one is not preceded by others with itself alone."""
    node = build()
    found, fired = rewritten(node)
    assert name in fired
    np.testing.assert_allclose(*values(found, node), rtol=1e-12, atol=1e-14)
    alone, fired = rewritten(node, name)
    if fired:
        np.testing.assert_allclose(*values(alone, node), rtol=1e-12, atol=1e-14)


def test_every_rule_has_an_example() -> None:
    assert {rule.name for rule in RULES} == {name for name, _ in FIRES}


REST_OF_LOG_3 = -9.07129723500153e-17
"""What of the logarithm of 3, 1.098612288668109691395245..., a float64 leaves."""

FORMS: tuple[tuple[Callable[[], Tensor], Callable[[], Tensor]], ...] = (
    (lambda: gc.log(gc.exp(X)), lambda: X),
    (lambda: gc.log(sumexp(X)), lambda: gc.logsumexp(X, axis=1)),
    (lambda: gc.log(1.0 + gc.exp(X)), lambda: gc.softplus(X)),
    (lambda: gc.log(gc.exp(X) + gc.exp(Y)), lambda: gc.logaddexp(X, Y)),
    (lambda: gc.log(gc.exp(X) + gc.exp(Y) + gc.exp(Z)), lambda: gc.logaddexp(gc.logaddexp(X, Y), Z)),
    (lambda: gc.log(gc.exp(X) + 2.0), lambda: gc.logaddexp(X, np.log(2.0))),
    (lambda: gc.log(gc.exp(X) * gc.exp(Y)), lambda: X + Y),
    (lambda: gc.log2(1.0 + gc.exp(X)), lambda: (1 / np.log(2.0)) * gc.softplus(X)),
    (lambda: gc.log10(sumexp(X)), lambda: (1 / np.log(10.0)) * gc.logsumexp(X, axis=1)),
    (lambda: gc.log(gc.exp(X) - 1.0), lambda: X + gc.log1mexp(-X)),
    (lambda: gc.log(gc.exp(X) / gc.exp(Y)), lambda: X - Y),
    (lambda: gc.log(gc.exp(X) * 1.0), lambda: X),
    (lambda: gc.log(0.5 * (gc.exp(X) * 2.0)), lambda: X),
    (lambda: gc.log(3.0 * gc.exp(X)), lambda: X + np.log(3.0) + REST_OF_LOG_3),
    (lambda: gc.log(3.0 / gc.exp(X)), lambda: -X + np.log(3.0) + REST_OF_LOG_3),
    (lambda: gc.log(gc.exp(X) / 3.0), lambda: X + -np.log(3.0) + -REST_OF_LOG_3),
    (lambda: gc.log(gc.exp(X) / (gc.exp(Y) / 3.0)), lambda: X - Y + np.log(3.0) + REST_OF_LOG_3),
    (
        lambda: gc.log(gc.exp(X) * (3.0 * gc.sigmoid(Y))),
        lambda: X + -gc.softplus(-Y) + np.log(3.0) + REST_OF_LOG_3,
    ),
    (lambda: gc.log(gc.sigmoid(-X)), lambda: -gc.softplus(X)),
    (lambda: gc.log(1.0 - -Y * Z), lambda: gc.log1p(Y * Z)),
    (lambda: gc.log(1.0 - -Y / Z), lambda: gc.log1p(Y / Z)),
    (lambda: 1.0 / (1.0 + gc.exp(-X)), lambda: gc.sigmoid(X)),
    (lambda: gc.exp(X) / (1.0 + gc.exp(X)), lambda: gc.sigmoid(X)),
    (lambda: 1.0 / (1.0 + gc.exp(-X)) ** 3, lambda: gc.sigmoid(X) ** 3),
    (lambda: gc.exp(X) / (1.0 + gc.exp(X)) ** 2, lambda: gc.sigmoid(X) * gc.sigmoid(-X)),
    (lambda: 1.0 - gc.sigmoid(X), lambda: gc.sigmoid(-X)),
    (lambda: shares(X), lambda: gc.softmax(X, axis=1)),
    (lambda: gc.exp(X) - 1.0, lambda: gc.expm1(X)),
    (lambda: X**2 * X**3, lambda: X**5),
    (lambda: X * X * X, lambda: X**3),
    (lambda: Y**0.75 * Y**0.5, lambda: Y**1.25),
    (lambda: (X**2) ** 3, lambda: X**6),
    (lambda: gc.sqrt(X * X), lambda: gc.abs(X)),
    (lambda: gc.sqrt(X**6), lambda: gc.abs(X) ** 3),
    (lambda: gc.sqrt(X * X + Y**2), lambda: gc.hypot(X, Y)),
    (lambda: (X * X) ** 0.5, lambda: gc.abs(X)),
    (lambda: (X * X) ** -0.5, lambda: 1.0 / gc.abs(X)),
    (lambda: gc.sqrt(gc.exp(X)) ** 2, lambda: gc.exp(X)),
    (lambda: gc.abs(X) * gc.abs(X), lambda: X**2),
)


def test_logarithms_of_shares() -> None:
    """As exact as the exponents where the share itself underflows; sums spread along another axis than their own."""
    graph, _ = rewrite(Graph(LEAVES, [gc.log(gc.exp(V[0]) / sumexp(V, 0))]), RULES)
    at = np.array([-2000.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(evaluate(graph.outputs, {V: at})[0], -2000.0 - np.log(3.0), rtol=1e-15)
    across = gc.log(gc.exp(S) / sumexp(S))
    np.testing.assert_allclose(*values(rewritten(across)[0], across), rtol=1e-12)
    np.testing.assert_allclose(*values(rewritten(across, "log(exp(x) / sum(exp(x)))")[0], across), rtol=1e-12)


def test_logarithms_of_softmax() -> None:
    """One that is shifted by its maximum already stays so; one of other exponentials is no softmax."""
    of_softmax = stable_log._of_softmax
    assert of_softmax(shares(X)) is gc.log_softmax(X, axis=1)
    hand = shifted(X)
    found = of_softmax(shares(hand))
    assert found is not None and found.op.name == "subtract" and found.inputs[0] is hand
    assert of_softmax(gc.exp(X) / sumexp(Y, 1, True)) is None
    assert of_softmax(Y / gc.sum(Y, axis=1, keepdims=True)) is None


@pytest.mark.parametrize("build,want", FORMS)
def test_forms(build: Callable[[], Tensor], want: Callable[[], Tensor]) -> None:
    assert rewritten(build())[0] is want()


STAYS: tuple[Callable[[], Tensor], ...] = (
    lambda: gc.log(X),
    lambda: gc.log(gc.sum(X, axis=1)),
    lambda: gc.log(gc.exp(X) * Y),
    lambda: gc.log(gc.exp(X) * -2.0),
    lambda: gc.log(gc.exp(X) + Y),
    lambda: gc.log(gc.exp(X) + -2.0),
    lambda: gc.log(gc.exp(X) / -2.0),
    lambda: gc.log(gc.exp(X) + np.inf),
    lambda: gc.log(2.0 + Y),
    lambda: gc.log(2.0 - Y),
    lambda: gc.log(Y - 1.0),
    lambda: gc.log(gc.asarray(2.0) + 3.0),
    lambda: gc.log(gc.expm1(Y) * Z),
    lambda: gc.log2(Y),
    lambda: gc.log2(1.0 + Y),
    lambda: gc.log10(1.0 - Y / 4.0),
    lambda: gc.log10(gc.exp(X) + -2.0),
    lambda: gc.log2(gc.exp(X) * Y),
    lambda: gc.log2(sumexp(shifted(X))),
    lambda: gc.log(gc.mean(Y, axis=1)),
    lambda: gc.log(sumexp(X) / Y[:, 0]),
    lambda: gc.log(gc.exp(X) * 0.0),
    lambda: gc.log(gc.exp(X) * np.inf),
    lambda: gc.log(gc.exp(X) * -0.5),
    lambda: gc.log(sumexp(X) / -0.5),
    lambda: gc.log(sumexp(X) / 0.0),
    lambda: gc.log(sumexp(X) / np.inf),
    lambda: gc.log(gc.max(gc.exp(X), axis=1) / 3.0),
    lambda: gc.log(Y**3),
    lambda: gc.log(to_power(gc.exp(X), 0)),
    lambda: gc.log(Y / gc.sum(Y, axis=1, keepdims=True)),
    lambda: gc.log(sumexp(shifted(X))),
    lambda: gc.log(gc.mean(gc.exp(shifted(X)), axis=1)),
    lambda: gc.log(Z - gc.expm1(-Y)),
    lambda: gc.log(gc.asarray(1.0) + 3.0),
    lambda: gc.log(gc.asarray(1.0) - 0.5),
    lambda: gc.log1p(X),
    lambda: gc.log1p(-Y),
    lambda: gc.log1p(Y * -2.0),
    lambda: X * gc.log(Y),
    lambda: Y * gc.log(Z / Y),
    lambda: Y * gc.log2(Z),
    lambda: Y * (gc.log(Z) - X),
    lambda: Y * (gc.log(Y) + X),
    lambda: gc.exp(X) - 2.0,
    lambda: gc.exp(X) + 1.0,
    lambda: 2.0 - gc.exp(X),
    lambda: X - 1.0,
    lambda: 1.0 - X,
    lambda: 1.0 / (2.0 + gc.exp(X)),
    lambda: 1.0 / (1.0 + X),
    lambda: 1.0 / (1.0 - gc.exp(X)[0] * X[0]),
    lambda: (1.0 + gc.exp(X)) ** 2,
    lambda: (2.0 + gc.exp(X)) ** -2,
    lambda: Y / (2.0 + gc.exp(X)) ** 2,
    lambda: gc.exp(X) / (gc.exp(Y) + gc.exp(Z)),
    lambda: gc.exp(X) / (gc.exp(X) * gc.exp(Y)),
    lambda: gc.exp(X) / (gc.exp(X) + Y),
    lambda: gc.exp(X)[0] / (Y + gc.exp(X))[0],
    lambda: gc.exp(X)[0] / (Y + Z)[0],
    lambda: Y / gc.sum(Y, axis=1, keepdims=True),
    lambda: gc.exp(X[:, 0]) / sumexp(shifted(X)),
    lambda: to_power(1.0 + gc.exp(X), 0),
    lambda: 2.0 - gc.sigmoid(X),
    lambda: gc.sigmoid(X) - 2.0,
    lambda: gc.exp(X) / gc.sum(Y, axis=1, keepdims=True),
    lambda: Y / sumexp(X, 1, True),
    lambda: gc.exp(X) / gc.max(gc.exp(X), axis=1, keepdims=True),
    lambda: gc.softmax(X, axis=1),
    lambda: 2.0 - gc.erf(X),
    lambda: 2.0 + gc.erf(X),
    lambda: 1.0 + gc.erfc(X),
    lambda: gc.pow(X, Y),
    lambda: gc.pow(Y, gc.asarray(2.5)),
    lambda: gc.pow(Y, gc.asarray(1025.0)),
    lambda: gc.pow(Y, gc.asarray(-1025.0)),
    lambda: gc.pow(Y, gc.asarray(np.nan)),
    lambda: gc.pow(I, gc.asarray(-2)),
    lambda: gc.pow(I, gc.asarray(-1)),
    lambda: gc.pow(Y, gc.asarray(np.inf)),
    lambda: gc.pow(Y, gc.asarray(-np.inf)),
    lambda: X * Y * X,
    lambda: X * Y * (X * Y * Z),
    lambda: X**3 * X**-1,
    lambda: X**-1 * X,
    lambda: X**2 * Y**2,
    lambda: X**5 * X**4,
    lambda: X**-5 * X**-4,
    lambda: X * X,
    lambda: Y**0.5 * Y**-0.25,
    lambda: Y * Y**0.5,
    lambda: Y**0.5 * Y,
    lambda: Y**0.5 * Y**1.5,
    lambda: Y**0.1 * Y**0.7,
    lambda: Y**0.7 * Y**0.1,
    lambda: F**0.5 * F ** float(2.0**-26),
    lambda: to_power(X, 0) * X**2,
    lambda: to_power(X**2, 0),
    lambda: B * (B * B),
    lambda: Y**0.5 * Z**0.25,
    lambda: (X**3) ** 3,
    lambda: gc.pow(gc.exp(X), 2),
    lambda: gc.sqrt(X),
    lambda: gc.sqrt(X * Y),
    lambda: gc.sqrt(X**3),
    lambda: gc.sqrt(X**-4),
    lambda: gc.sqrt(X * X + Y),
    lambda: gc.sqrt(gc.sum(X * Y, axis=0)),
    lambda: gc.sqrt(gc.sum(-2.0 * X**2, axis=0)),
    lambda: gc.sqrt(gc.sum(X**-2, axis=0)),
    lambda: gc.sqrt(gc.sum(X * X, axis=0) / V),
    lambda: gc.sqrt(gc.sum(X * X, axis=0) / -2.0),
    lambda: gc.sqrt(V @ S @ V),
    lambda: X**0.5,
    lambda: (X * X) ** 0.25,
    lambda: gc.sqrt(X) ** 2,
    lambda: gc.sqrt(gc.exp(X)) ** 3,
    lambda: gc.abs(X) ** 3,
    lambda: gc.abs(X) * gc.abs(Y),
    lambda: gc.abs(I) * gc.abs(I),
    lambda: (X / gc.sqrt(Y)) ** 3,
    lambda: (X / gc.sqrt(gc.exp(Y))) ** 3,
    lambda: to_power(X / gc.sqrt(gc.exp(Y)), 0),
    lambda: to_power(gc.sqrt(gc.exp(Y)), 0),
    lambda: (X / gc.hypot(X, Y)) ** 2,
    lambda: (X / gc.abs(Y)) ** 2,
    lambda: (X / gc.sqrt(gc.exp(Y))) ** -2,
    lambda: (X * Y) ** 2,
)


@pytest.mark.parametrize("build", STAYS)
def test_what_no_rule_is_for_stays(build: Callable[[], Tensor]) -> None:
    node = build()
    found, fired = rewritten(node)
    assert (found, fired) == (node, set()) if found is node else not fired, fired


# what rules look for

EVEN = (
    lambda: X * X, lambda: X**2, lambda: X**4, lambda: X * X + Y**2, lambda: gc.sum(X * X, axis=0), lambda: 0.5 * X**2,
    lambda: X**2 * 3.0, lambda: X**2 / 3.0, lambda: gc.mean(X * X), lambda: V @ V, lambda: (X * X)[0],
    lambda: gc.einsum("ij,ij->i", X, X), lambda: gc.mean(N * N),
    lambda: gc.flip(X) ** 2 + gc.sum(Y**6), lambda: 2.0 * X * X, lambda: X * 2.0 * X, lambda: X * X * Y * Y,
    lambda: X * Y * (X * Y) * 3.0, lambda: gc.sum(W * X * X), lambda: W * X**2, lambda: X * (X * W[0]),
    lambda: W[0] @ (X[1] * X[1]), lambda: (X**2) @ W[0], lambda: gc.sum(X * X) + 0.0, lambda: -0.0 + X**2,
    lambda: gc.broadcast_to(V**2, (3, 4)) * X * X, lambda: gc.sum(X * X) * (V @ V),
    lambda: X**2 / W,
)  # fmt: skip
NOT_EVEN = (
    lambda: X, lambda: X * Y, lambda: X**3, lambda: X**-2, lambda: X * X - Y * Y, lambda: X * X + Y,
    lambda: X * X + 1.0, lambda: -3.0 * X**2, lambda: X**2 / -3.0, lambda: X**2 / Y, lambda: Y * X**2,
    lambda: 3.0 / X**2, lambda: V @ S @ V, lambda: gc.einsum("ij,ji->", S, S), lambda: gc.max(X * X),
    lambda: gc.exp(X), lambda: 0.0 * X**2, lambda: to_power(X, 0), lambda: -2.0 * X * X, lambda: X * X * Y,
    lambda: X * X * X, lambda: (W - 1.0) * X * X, lambda: SIGNED * X**2, lambda: SIGNED[0] @ (X[0] * X[0]),
    lambda: V @ (V * V), lambda: X[:, 0] * X[:, 1] * 2.0, lambda: X * X * -0.0, lambda: 2.0 * W, lambda: W[0] @ W[1],
    lambda: gc.asarray(0.0) + gc.asarray(0.0), lambda: X * X + np.nan,
)  # fmt: skip


def test_sums_of_squares() -> None:
    assert [is_sum_of_squares(build()) for build in EVEN] == [True] * len(EVEN)
    assert [is_sum_of_squares(build()) for build in NOT_EVEN] == [False] * len(NOT_EVEN)


NOT_NEGATIVE = (
    *EVEN, lambda: gc.exp(X), lambda: gc.abs(X), lambda: gc.sqrt(X), lambda: gc.exp(X) + 1.0, lambda: gc.exp(X) * 2.0,
    lambda: gc.exp(X) / gc.exp(Y), lambda: gc.max(X * X), lambda: gc.prod(gc.exp(X)),
    lambda: gc.maximum(gc.abs(X), 0.0),
    lambda: gc.mean(gc.exp(N)), lambda: gc.softplus(X)[1:], lambda: 0.0 * X**2, lambda: W, lambda: gc.exp(V) @ (V * V),
)  # fmt: skip
PERHAPS_NEGATIVE = (
    lambda: X, lambda: X**3, lambda: X**-1, lambda: gc.exp(X) - 1.0, lambda: gc.exp(X) + -1.0, lambda: gc.log(X),
    lambda: gc.exp(X) * Y, lambda: gc.maximum(X, gc.exp(Y)), lambda: -gc.exp(X), lambda: gc.tanh(X) ** 1,
    lambda: gc.exp(X) * np.nan, lambda: gc.einsum("ij,ji->", S, S), lambda: X * Y,
    lambda: SIGNED, lambda: gc.exp(V) @ V,
)  # fmt: skip


def test_what_is_not_negative() -> None:
    assert [is_not_negative(build()) for build in NOT_NEGATIVE] == [True] * len(NOT_NEGATIVE)
    assert [is_not_negative(build()) for build in PERHAPS_NEGATIVE] == [False] * len(PERHAPS_NEGATIVE)


def test_searches_are_bounded() -> None:
    found = X * X
    for k in range(patterns._MOST_NODES // 2 - 1):
        found = found + (X + float(k)) ** 2
    assert is_sum_of_squares(gc.sum(found)), "as many nodes as are looked at"
    assert is_not_negative(gc.sum(found))
    assert not is_sum_of_squares(gc.sum(gc.sum(found, axis=0)))
    assert not is_sum_of_squares(found + Y * Y)
    even = X * X
    for _ in range(patterns._MOST_NODES // 4 - 1):
        even = even * Y * Y
    assert is_sum_of_squares(even) and not is_sum_of_squares(even * Z * Z), "as many factors and products as that"
    odd = Z
    for _ in range(patterns._MOST_NODES // 2):
        odd = odd * Y
    assert not is_sum_of_squares(odd), "the last is not looked at"
    node = gc.exp(S)
    for _ in range(patterns._MOST_VIEWS):
        node = gc.permute_dims(node, (1, 0))[::-1]
    inner, views = patterns.unview(node)
    assert len(views) == patterns._MOST_VIEWS and inner.op.name in patterns._VIEWS
    assert patterns.review(inner, views) is node


def test_signs() -> None:
    cases = ((-X, X), (X - Y, Y - X), (-X * Y, X * Y), (-X / Y, X / Y), (2.0 * X, -2.0 * X), (2.0 / X, -2.0 / X))
    for node, want in cases:
        np.testing.assert_array_equal(*values(patterns.minus(node), want))
        assert patterns.minus(node) is not gc.negative(node)
    assert patterns.minus(-X) is X
    assert patterns.minus(-X * Y) is X * Y
    assert patterns.minus(-X / Y) is X / Y
    for node in (X, X * Y, gc.exp(X), X * -2.0, X + Y):
        assert patterns.minus(node) is gc.negative(node)
    assert [patterns.without_sign(n) for n in (-X, X, -1.0 * X, X * -1.0, X * 2.0)] == [
        (X, True), (X, False), (X, True), (X, True), (X * 2.0, False),
    ]  # fmt: skip


def test_sums_spread_back() -> None:
    """Each sum over the elements it is of: along the axis that was summed, not along one of the same size."""
    total = gc.sum(S, axis=1)
    back = gc.broadcast_to(gc.reshape(total, (4, 1)), (4, 4))
    assert patterns.is_spread_back(back, total, S)
    assert not patterns.is_spread_back(gc.broadcast_to(total, (4, 4)), total, S)
    first = gc.sum(S, axis=0)
    assert patterns.is_spread_back(gc.broadcast_to(first, (4, 4)), first, S)
    assert not patterns.is_spread_back(gc.broadcast_to(gc.reshape(first, (4, 1)), (4, 4)), first, S)
    assert not patterns.is_spread_back(total, total, S)


def test_norms_made_safe_at_zero() -> None:
    """``where(s == 0, 0, sqrt(where(s == 0, 1, s)))`` and nothing that looks like it."""
    s, zero = Y, Y == 0.0
    safe = gc.where(zero, 1.0, s)
    assert patterns.inside_zero_safe(gc.where(zero, 0.0, gc.sqrt(safe))) is s
    near = (
        gc.where(Y > 0.0, 0.0, gc.sqrt(gc.where(Y > 0.0, 1.0, Y))),
        gc.where(Y > 0.0, 0.0, gc.sqrt(safe)),
        gc.where(zero, 0.0, gc.exp(safe)),
        gc.where(zero, 1.0, gc.sqrt(safe)),
        gc.where(zero, 0.0, gc.sqrt(s)),
        gc.where(zero, 0.0, gc.sqrt(s + gc.where(zero, 1.0, s))),
        gc.where(zero, 0.0, gc.sqrt(gc.where(Z == 0.0, 1.0, s))),
        gc.where(zero, 0.0, gc.sqrt(gc.where(zero, 1.0, Z))),
        gc.where(Y == 2.0, 0.0, gc.sqrt(gc.where(Y == 2.0, 1.0, s))),
        gc.where(gc.exp(Y) > 0.0, 0.0, gc.exp(gc.where(gc.exp(Y) > 0.0, 1.0, s))),
    )
    assert [patterns.inside_zero_safe(node) for node in near] == [None] * len(near)


def test_what_is_shifted_by_its_own_maximum() -> None:
    top = gc.max(X, axis=1, keepdims=True)
    held = top
    for _ in range(7):
        held = gc.stop_gradient(gc.reshape(held, (3, 1)))
    yes = (X - top, X - gc.stop_gradient(top), X - gc.where(gc.isfinite(top), top, 0.0), X - held)
    yes += (X[1:] - top[1:], X - gc.where(gc.isfinite(top), 0.0, top))
    no = (X, X + top, Y - top, X - gc.min(X, axis=1, keepdims=True), X - Y, X - 1.0, X - gc.stop_gradient(held))
    assert [stable_log.is_shifted(x) for x in yes] == [True] * len(yes)
    assert [stable_log.is_shifted(x) for x in no] == [False] * len(no)


def nested(kind: str, depth: int) -> Tensor:
    """exp, inside so many sums, products, powers or sums of two."""
    node = gc.exp(gc.input("w", (2,) * 6) if kind == "sum" else X)
    for k in range(depth):
        other = gc.exp(Y + float(k))
        node = {
            "sum": lambda n: gc.sum(n, axis=0),
            "product": lambda n, o=other: n * o,
            "quotient": lambda n, o=other: n / o,
            "power": lambda n: to_power(n, 3),
            "terms": lambda n, o=other: (n + o) * o,
        }[kind](node)
    return node


@pytest.mark.parametrize("kind,deepest", [("sum", 3), ("product", 3), ("quotient", 3), ("power", 3), ("terms", 1)])
def test_logarithms_are_looked_for_so_deep(kind: str, deepest: int) -> None:
    assert stable_log.log_of(nested(kind, deepest)) is not None
    assert stable_log.log_of(nested(kind, deepest + 1)) is None


def test_terms_are_counted() -> None:
    def total(count: int) -> Tensor:
        node = gc.exp(X)
        for k in range(count - 1):
            node = node + gc.exp(Y + float(k))
        return node

    assert stable_log.log_of(total(stable_log._MOST_TERMS)) is not None
    assert stable_log.log_of(total(stable_log._MOST_TERMS + 1)) is None


ALONE: tuple[tuple[str, Callable[[], Tensor]], ...] = (
    ("1 / (1 + exp(-x))**n", lambda: Y / (1.0 + gc.exp(X)) ** -2),
    ("1 / (1 + exp(-x))**n", lambda: Y / to_power(1.0 + gc.exp(X), 1)),
    ("x**a * x**b", lambda: gc.pow(Y, gc.asarray(0.0)) * Y**0.5),
    ("x**a * x**b", lambda: Y**0.5 * gc.pow(Y, gc.asarray(0.0))),
)


@pytest.mark.parametrize("name,build", ALONE)
def test_what_one_rule_leaves_to_others(name: str, build: Callable[[], Tensor]) -> None:
    node = build()
    found, fired = rewritten(node, name)
    assert found is node and not fired
