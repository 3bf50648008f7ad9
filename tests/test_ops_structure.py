"""Derivatives of one's own, and outputs of nodes that have several."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from reference import gradient, run

from graphc.autodiff.vjp import grad, vjp
from graphc.errors import GradientError
from graphc.ir.evaluate import evaluate
from graphc.ir.leaves import constant, param
from graphc.ir.leaves import input as symbolic
from graphc.ops.exponential import exp, log1p
from graphc.ops.functions import PUBLIC
from graphc.ops.structure import custom_gradient, item

POINTS = np.array([-1.0, 0.5, 3.0])
COUNTS = np.array([1, 2, 3])


def straight_through(ct: Any, x: Any) -> Any:
    return ct


def test_a_rule_replaces_the_derivative() -> None:
    f = custom_gradient(lambda x: PUBLIC["round"](x), straight_through)
    np.testing.assert_array_equal(run(f, POINTS), np.round(POINTS))
    np.testing.assert_array_equal(gradient(f, POINTS, ct=POINTS)[0], POINTS)


def test_several_inputs_and_outputs() -> None:
    def forward(x: Any, k: Any, y: Any) -> Any:
        return x * y, x + k

    def backward(cts: Any, x: Any, k: Any, y: Any) -> Any:
        assert k.dtype == np.int64
        return cts[0] * y * 10.0 + cts[1], None, cts[0] * x * 100.0

    f = custom_gradient(forward, backward)
    x, k, y = symbolic("x", ("n",)), symbolic("k", ("n",), "int64"), symbolic("y", ("n",))
    p, q = f(x, k, y)
    given = {x: POINTS, k: COUNTS, y: POINTS**2}
    for found, want in zip(evaluate([p, q], given), (POINTS**3, POINTS + COUNTS), strict=True):
        np.testing.assert_array_equal(found, want)
    bars = evaluate(grad((p * q).sum(), [x, y]), given)
    ct_p, ct_q = POINTS + COUNTS, POINTS**3
    np.testing.assert_allclose(bars[0], ct_p * POINTS**2 * 10 + ct_q)
    np.testing.assert_allclose(bars[1], ct_p * POINTS * 100)
    (bar,) = evaluate(grad(q.sum(), [x]), given)  # p takes no part: its cotangent comes as zeros
    np.testing.assert_array_equal(bar, np.ones(3))


def test_second_derivatives_go_through_the_rule() -> None:
    """log(1 + exp(x)) with the stable rule ct * (1 - 1 / (1 + exp(x)))."""
    f = custom_gradient(lambda x: log1p(exp(x)), lambda ct, x: ct * (1.0 - 1.0 / (1.0 + exp(x))))
    sigmoid = 1 / (1 + np.exp(-POINTS))
    np.testing.assert_allclose(gradient(f, POINTS)[0], sigmoid, rtol=1e-14)
    np.testing.assert_allclose(gradient(f, POINTS, order=2)[0], sigmoid**2 * (1 - sigmoid), rtol=1e-12)


def test_as_a_decorator_and_nested() -> None:
    @custom_gradient(backward=lambda ct, x: ct * 2.0)
    def inner(x: Any) -> Any:
        return x * 1.0

    @custom_gradient(backward=lambda ct, x: inner(ct) * 3.0)
    def outer(x: Any) -> Any:
        return inner(x)

    assert outer.__name__ == "outer"
    np.testing.assert_array_equal(gradient(outer, POINTS)[0], [3.0, 3.0, 3.0])
    x, ct = symbolic("x", (3,)), symbolic("ct", (3,))
    (bar,) = vjp([outer(x)], [x], [ct])
    (bar_ct,) = evaluate(grad(bar.sum(), [ct]), {x: POINTS, ct: POINTS})
    np.testing.assert_array_equal(bar_ct, [6.0, 6.0, 6.0])  # linear in ct, through the rule of inner


def test_two_rules_are_two_nodes_and_one_rule_is_one() -> None:
    x = symbolic("x", (3,))
    f, g = (custom_gradient(lambda x: x, straight_through) for _ in range(2))
    assert f(x) is f(x)
    assert f(x) is not g(x)


def _wrong(backward: Any, *inputs: Any) -> str:
    f = custom_gradient(lambda *xs: xs[0] * 1.0, backward)
    xs = inputs or (symbolic("x", (3,)),)
    with pytest.raises(GradientError) as error:
        grad(f(*xs).sum(), [xs[0]])
    return str(error.value)


def test_wrong_returns_name_the_function() -> None:
    x, k = symbolic("x", (3,)), symbolic("k", (3,), "int64")

    def one_too_many(ct: Any, x: Any) -> Any:
        return ct, ct

    text = _wrong(one_too_many)
    assert "wrong return value of backward function test_wrong_returns_name_the_function.<locals>.one_too_many" in text
    assert "got 2 cotangents, expected one (a tensor or None) for each of 1 input" in text
    assert "test_ops_structure.py:" in text and "def one_too_many(ct: Any, x: Any) -> Any:" in text
    assert "got float64[] for input 0, expected float64[3]" in _wrong(lambda ct, x: ct.sum())
    assert "got float32[3] for input 0, expected float64[3]" in _wrong(lambda ct, x: ct.astype("float32"))
    assert "got a cotangent for input 1, which is int64, expected None for it" in _wrong(
        lambda ct, x, k: (ct, ct), x, k
    )


def test_captured_tensors_are_refused() -> None:
    w = param(np.ones(3), name="w")
    f = custom_gradient(lambda x: x * exp(w), straight_through)
    with pytest.raises(GradientError) as error:
        f(symbolic("x", (3,)))
    assert "uses 'w', which is not among its arguments" in str(error.value)
    assert "hint: pass it as an argument, or cut it with gc.stop_gradient" in str(error.value)
    custom_gradient(lambda x: x * PUBLIC["stop_gradient"](w), straight_through)(symbolic("x", (3,)))


def test_without_a_rule() -> None:
    with pytest.raises(GradientError, match="custom_gradient without a backward function"):
        custom_gradient(lambda x: x)


def test_it_pickles_by_reference() -> None:
    x = symbolic("x", (3,))
    f = custom_gradient(lambda x: x, straight_through)
    y = pickle.loads(pickle.dumps(f(x).sum()))
    leaf = next(n for n in _leaves(y))
    np.testing.assert_array_equal(evaluate(grad(y, [leaf]), {leaf: POINTS})[0], np.ones(3))


def _leaves(y: Any) -> list[Any]:
    from graphc.ir.traversal import topological

    return [node for node in topological([y]) if node.op.name == "input"]


def test_item_of_a_tuple_is_its_element() -> None:
    a, b = constant(1.0), constant(2.0)
    assert item((a, b), 1) is b
