"""`where`: nothing comes through the branch not taken, nan and inf neither, to any order, on every target.

Written plainly, without a second `where` that keeps the argument harmless. It is the algebra of cotangents that does
this (`ops.cotangent`), so that it holds eagerly too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphc as gc
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.passes.pipeline import optimise
from graphc.testing import MODES, check

INF, NAN = np.inf, np.nan


class Case(NamedTuple):
    """A function, points, and there its value, first and second derivative."""

    f: Callable[[Any], Any]
    points: tuple[float, ...]
    value: tuple[float, ...]
    first: tuple[float, ...]
    second: tuple[float, ...]


def sinc(x: Any) -> Any:
    return gc.where(x == 0, 1.0, gc.sin(x) / x)


S1, S2 = np.cos(1.0) - np.sin(1.0), np.sin(1.0) - 2 * np.cos(1.0)

CASES = {
    "sqrt": Case(
        lambda x: gc.where(x > 0, gc.sqrt(x), 0.0), (0.0, -1.0, 4.0), (0, 0, 2), (0, 0, 0.25), (0, 0, -1 / 32)
    ),
    "sinc": Case(sinc, (0.0, 1.0), (1.0, np.sin(1.0)), (0.0, S1), (0.0, S2)),
    "quotient": Case(lambda x: gc.where(x > 0, x**2 / x, 0.0), (0.0, 2.0), (0, 2), (0, 1), (0, 0)),
    "log": Case(
        lambda x: gc.where(x > 0, gc.log(x), -1.0), (0.0, -2.0, 2.0), (-1, -1, np.log(2)), (0, 0, 0.5), (0, 0, -0.25)
    ),
    "overflow": Case(lambda x: gc.where(x < 700, gc.exp(x), x), (1e4, 0.0), (1e4, 1.0), (1.0, 1.0), (0.0, 1.0)),
    "nan in both": Case(
        lambda x: gc.where(x > 0, gc.log(x), gc.log(-x)),
        (2.0, -2.0),
        (np.log(2), np.log(2)),
        (0.5, -0.5),
        (-0.25, -0.25),
    ),
    "nested": Case(
        lambda x: gc.where(x > 0, gc.where(x > 1, gc.sqrt(x - 1), gc.log(x)), gc.where(x < -1, gc.acosh(-x), x**3 / x)),
        (0.0, 1.0, 0.5, 5.0, -0.5),
        (NAN, 0.0, np.log(0.5), 2.0, 0.25),
        (NAN, 1.0, 2.0, 0.25, -1.0),
        (NAN, -1.0, -4.0, -1 / 32, 2.0),
    ),
    "chained": Case(
        lambda x: gc.where(x > 0, gc.sqrt(gc.where(x > 0, gc.sqrt(x), 0.0)), 0.0),
        (0.0, 16.0),
        (0.0, 2.0),
        (0.0, 1 / 32),
        (0.0, -3 / 16 / 128),
    ),
    "product with a branch": Case(
        lambda x: x * gc.where(x == 0, 0.0, gc.log(x)), (0.0, 1.0), (0.0, 0.0), (0.0, 1.0), (0.0, 1.0)
    ),
    "power": Case(lambda x: gc.where(x > 0, x**-0.5, 0.0), (0.0, 4.0), (0, 0.5), (0, -1 / 16), (0, 3 / 128)),
    "product": Case(lambda x: gc.where(x > 0, x * gc.sqrt(x), 0.0), (0.0, 4.0), (0, 8), (0, 3), (0, 0.375)),
    "logarithm over x": Case(lambda x: gc.where(x > 0, gc.log(x) / x, 0.0), (0.0, 1.0), (0, 0), (0, 1), (0, -3)),
    "flat": Case(
        lambda x: gc.where(x > 0, gc.exp(-1 / x), 0.0), (0.0, 1.0), (0, 1 / np.e), (0, 1 / np.e), (0, -1 / np.e)
    ),
    "sum of branches": Case(
        lambda x: gc.where(x > 0, 1 / x, 0.0) + gc.where(x < 0, 1 / x, 0.0),
        (0.0, 2.0, -2.0),
        (0, 0.5, -0.5),
        (0, -0.25, -0.25),
        (0, 0.25, -0.25),
    ),
    "clip": Case(lambda x: gc.clip(1 / x, -2.0, 2.0), (0.0, 0.25, 2.0), (2, 2, 0.5), (0, 0, -0.25), (0, 0, 0.25)),
    "relu": Case(lambda x: gc.relu(gc.log(x)), (0.0, 0.5, 2.0), (0, 0, np.log(2)), (0, 0, 0.5), (0, 0, -0.25)),
    "elu": Case(lambda x: gc.elu(x), (1e4, -1e4, 0.0), (1e4, -1.0, 0.0), (1, 0, 1), (0, 0, 1)),
}
"""The nan in "nested" is 0**3 / 0 in the branch that is taken."""


def derivatives(f: Callable[[Any], Any], x: Any) -> list[Any]:
    """``f(x)`` and its first two derivatives."""
    first = gc.grad(gc.sum(f(x)), x)
    return [f(x), first, gc.grad(gc.sum(first), x)]


def agrees(found: Any, case: Case) -> None:
    for got, want in zip(found, case[2:], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_by_the_reference(name: str) -> None:
    x, case = gc.input("x", ("n",)), CASES[name]
    agrees(evaluate(derivatives(case.f, x), {x: np.array(case.points)}), case)


@pytest.mark.parametrize("name", CASES)
def test_forward_mode(name: str) -> None:
    case = CASES[name]
    x = gc.input("x", (len(case.points),))
    one = gc.ones_like(x)
    y = case.f(x)
    outputs = [y, gc.jvp(y, x, one), gc.hvp(gc.sum(y), x, one)]
    agrees(evaluate(outputs, {x: np.array(case.points)}), case)


@pytest.mark.parametrize("name", CASES)
def test_eagerly(name: str) -> None:
    case = CASES[name]
    with np.errstate(all="ignore"):
        x = gc.eager.tensor(np.array(case.points), requires_grad=True)
        y = case.f(x)
        (first,) = gc.eager.grad(gc.sum(y), [x], create_graph=True)
        (second,) = gc.eager.grad(gc.sum(first), [x])
    agrees([v.detach().numpy() for v in (y, first, second)], case)


def test_on_every_target() -> None:
    """All cases in one program: kernels as plain Python and compiled, steps, exported files; passes on and off."""
    arrays = [np.array(case.points) for case in CASES.values()]
    inputs = [gc.input(f"x{k}", (len(a),)) for k, a in enumerate(arrays)]
    outputs: list[Any] = []
    for case, x in zip(CASES.values(), inputs, strict=True):
        outputs += derivatives(case.f, x)
    assert check(inputs, outputs, calls=[arrays], modes=MODES) == len(MODES)


def both(x: Any) -> Any:
    """-inf and inf at 0."""
    return gc.stack([gc.log(x), 1 / x])


BRANCHES: dict[str, Callable[[Any], Any]] = {
    "sqrt(x) * log(x)": lambda x: gc.sqrt(x) * gc.log(x),
    "sqrt(x)**3": lambda x: gc.sqrt(x) ** 3,
    "log(x)**2": lambda x: gc.log(x) ** 2,
    "log(x)**sqrt(x)": lambda x: gc.log(x) ** gc.sqrt(x),
    "sqrt(sqrt(x))": lambda x: gc.sqrt(gc.sqrt(x)),
    "tanh(1 / x)": lambda x: gc.tanh(1 / x),
    "x * x * sin(1 / x)": lambda x: x * x * gc.sin(1 / x),
    "remainder": lambda x: gc.remainder(gc.log(x), gc.sqrt(x)),
    "two of them": lambda x: gc.hypot(gc.log(x), 1 / x) * gc.atan2(gc.log(x), 1 / x) * gc.logaddexp(gc.log(x), 1 / x),
    "maximum": lambda x: gc.maximum(gc.log(x), 1 / x) * gc.abs(gc.log(x)) * gc.max(both(x)),
    "prod": lambda x: gc.prod(both(x)),
    "mean and var": lambda x: gc.mean(both(x) ** 2) * gc.var(both(x)),
    "std": lambda x: gc.std(both(x)),
    "softmax": lambda x: gc.softmax(both(x))[0],
    "logsumexp": lambda x: gc.logsumexp(both(x)),
    "vector_norm": lambda x: gc.vector_norm(both(x), ord=3),
    "vecdot": lambda x: gc.vecdot(both(x), gc.flip(both(x))),
    "matmul": lambda x: both(x) @ gc.flip(both(x)),
    "einsum": lambda x: gc.sum(gc.einsum("ki,ki->i", gc.outer(both(x), both(x)), gc.outer(both(x), both(x)))),
    "cumulative": lambda x: gc.cumulative_prod(both(x))[1] * gc.cumulative_sum(both(x) * both(x))[1],
    "sort": lambda x: gc.sort(both(x))[0] * gc.sqrt(x),
}
"""Of inf or nan at 0, with inf or nan among the parts of their derivatives."""
WAYS = ("r", "f", "rr", "rf", "fr", "ff", "rrr", "rrf", "rfr", "rff", "frr", "fff")
"""Reverse and forward mode over each other, the innermost first."""


def all_ways(y: Any, x: Any) -> list[Any]:
    """The derivative by `x` for each of `WAYS`, all numbers."""
    found = {"": y}
    for way in WAYS:
        inner = found[way[:-1]]
        found[way] = gc.grad(inner, x) if way[-1] == "r" else gc.jvp(inner, x, 1.0)
    return [found[way] for way in WAYS]


@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_not_taken_to_third_order(name: str) -> None:
    x = gc.input("x")
    y = gc.where(x > 0, BRANCHES[name](x), 3.0 * x)
    for at in (0.0, -1.0):
        found = dict(zip(WAYS, evaluate(all_ways(y, x), {x: np.array(at)}), strict=True))
        assert found == {way: 3.0 if len(way) == 1 else 0.0 for way in WAYS}


@pytest.mark.parametrize("name", BRANCHES)
def test_derivatives_inside_a_branch_not_taken(name: str) -> None:
    """Where the derivative itself is what the branch computes, a zero meets infinite cotangents and tangents."""
    x = gc.input("x")
    y = BRANCHES[name](x)
    outputs = [d for inside in (gc.grad(y, x), gc.jvp(y, x, 1.0)) for d in all_ways(gc.where(x > 0, inside, 0.0), x)]
    assert not np.any(evaluate(outputs, {x: np.array(0.0)}))


@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_not_taken_to_third_order_eagerly(name: str) -> None:
    x = gc.eager.tensor(0.0, dtype="float64", requires_grad=True)
    found = []
    with np.errstate(all="ignore"):
        y = gc.where(x > 0, BRANCHES[name](x), 3.0 * x * x)
        for _ in range(3):
            (y,) = gc.eager.grad(y, [x], create_graph=True)
            found.append(float(y.detach().numpy()))
    assert found == [0.0, 6.0, 0.0]


def test_branches_not_taken_compiled() -> None:
    x = gc.input("x")
    outputs = []
    for name in ("sqrt(sqrt(x))", "tanh(1 / x)", "prod", "cumulative"):
        y = gc.where(x > 0, BRANCHES[name](x), 0.0)
        outputs += [gc.grad(gc.grad(y, x), x), gc.jvp(gc.grad(y, x), x, 1.0)]
        outputs.append(gc.grad(gc.where(x > 0, gc.grad(BRANCHES[name](x), x), 0.0), x))
    assert check([x], outputs, calls=[[0.0], [0.75]], modes=["plain", "step"]) == 4
    graph, _ = optimise(Graph([x], outputs))
    assert not np.any(evaluate(graph.outputs, {x: np.array(0.0)}))


def norms(x: Any) -> Any:
    """Rows over their norms, rows of zeros left as they are."""
    n = gc.sqrt(gc.sum(x * x, axis=1, keepdims=True))
    return gc.where(n > 0, x / n, 0.0)


def test_rows_over_their_norms() -> None:
    x = gc.input("x", (3, 2))
    weights = np.array([[1.0, 2.0], [3.0, 4.0], [-1.0, 0.5]])
    loss = gc.sum(norms(x) * weights)
    slope = gc.grad(loss, x)
    bend = gc.grad(gc.sum(slope * weights), x)
    rows = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    found = evaluate([norms(x), slope, bend], {x: rows})
    unit = rows[1] / 5
    tangent = weights[1] - (weights[1] @ unit) * unit
    np.testing.assert_allclose(found[0], [[0, 0], unit, [0, 0]], rtol=1e-15)
    np.testing.assert_allclose(found[1], [[0, 0], tangent / 5, [0, 0]], rtol=1e-14)
    assert not found[2][[0, 2]].any() and np.isfinite(found[2]).all()
    with np.errstate(all="ignore"):
        e = gc.eager.tensor(rows, requires_grad=True)
        gc.sum(norms(e) * weights).backward()
    np.testing.assert_allclose(e.grad.numpy(), found[1], rtol=1e-14)


def test_masked_means() -> None:
    """where(n > 0, total / n, 0) for counts, and lines of scores that are masked altogether."""
    x, mask = gc.input("x", (2, 3)), gc.input("mask", (2, 3), "bool")
    n = gc.sum(gc.astype(mask, "float64"), axis=1)
    mean = gc.where(n > 0, gc.sum(gc.where(mask, x, 0.0), axis=1) / n, 0.0)
    total = gc.logsumexp(gc.where(mask, x, -INF), axis=1)
    soft = gc.sum(gc.where(n > 0, total, 0.0))
    outputs = [mean, gc.grad(gc.sum(mean), x), gc.grad(soft, x), gc.grad(gc.sum(gc.grad(soft, x) ** 2), x)]
    given = {x: np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), mask: np.array([[True, True, False], [False] * 3])}
    found = evaluate(outputs, given)
    np.testing.assert_array_equal(found[0], [1.5, 0.0])
    np.testing.assert_array_equal(found[1], [[0.5, 0.5, 0.0], [0.0] * 3])
    share = 1 / (1 + np.exp(1.0))
    np.testing.assert_allclose(found[2], [[share, 1 - share, 0.0], [0.0] * 3], rtol=1e-14)
    assert np.isfinite(found[3]).all() and not found[3][1].any()


def test_the_price() -> None:
    """A cotangent that is exactly 0 hides a nan that is meant: documented."""
    x = gc.input("x")
    slope = gc.grad(0.0 * gc.sqrt(x), x)
    assert evaluate([slope], {x: np.array(0.0)})[0] == 0.0
