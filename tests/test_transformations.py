"""Reverse and forward mode as transformations of graphs: several paths, several outputs, and what does not flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.autodiff.jvp import jvp, pushforward
from graphc.autodiff.vjp import pullback, vjp, vjp_rules
from graphc.errors import DTypeError, GradientError
from graphc.ir.evaluate import evaluate
from graphc.ir.tensor import Tensor
from graphc.ops.cotangent import ZERO

X, Y, T = gc.input("x", (2,)), gc.input("y", (2,)), gc.input("t", (2,))
N = gc.input("n", (2,), "int64")
GIVEN: dict[Any, Any] = {
    X: np.array([0.5, 2.0]),
    Y: np.array([3.0, -1.0]),
    T: np.array([10.0, 100.0]),
    N: np.array([2, 3]),
}


def value(*tensors: Any) -> list[list[float]]:
    return [list(v) for v in evaluate(list(tensors), GIVEN)]


ONES = gc.constant([1.0, 1.0])


def test_paths_add_up() -> None:
    y = X * X + gc.exp(X * 0.0) * X
    assert value(*vjp([y], [X], [T])) == [[20.0, 500.0]]
    assert value(*jvp([y], [X], [T])) == [[20.0, 500.0]]


def test_an_output_given_twice_has_two_cotangents() -> None:
    y = X * 3.0
    assert value(*vjp([y, y], [X], [T, ONES])) == [[33.0, 303.0]]
    assert value(*jvp([y, y], [X], [T])) == [[30.0, 300.0]] * 2


def test_an_output_may_be_what_is_differentiated_by() -> None:
    assert value(*vjp([X, X * 2.0], [X], [ONES, ONES])) == [[3.0, 3.0]]
    assert value(*jvp([X, X * 2.0], [X], [T])) == [[10.0, 100.0], [20.0, 200.0]]


def test_by_a_tensor_and_what_is_computed_from_it() -> None:
    """The one in the middle gets its cotangent, and passes it on; its tangent comes on top of what flows into it."""
    middle = X * 2.0
    y = middle * 5.0
    assert value(*vjp([y], [X, middle], [ONES])) == [[10.0, 10.0], [5.0, 5.0]]
    assert value(*vjp([y], [middle, X], [ONES])) == [[5.0, 5.0], [10.0, 10.0]]
    assert value(*vjp([y], [middle], [ONES])) == [[5.0, 5.0]]
    assert value(*jvp([y], [X, middle], [T, ONES])) == [[105.0, 1005.0]]
    assert value(*jvp([y], [middle, X], [ONES, T])) == [[105.0, 1005.0]]
    assert value(*jvp([middle], [X, middle], [T, ONES])) == [[21.0, 201.0]]


def test_a_tensor_in_the_middle_all_of_whose_operands_are_active() -> None:
    middle = X * X
    assert value(*vjp([middle * 5.0], [X, middle], [ONES])) == [[5.0, 20.0], [5.0, 5.0]]
    assert value(*jvp([middle * 5.0], [X, middle], [ONES, ONES])) == [[10.0, 25.0]]


def test_by_the_same_tensor_twice() -> None:
    assert value(*vjp([X * 3.0], [X, X], [ONES])) == [[3.0, 3.0]] * 2
    assert value(*jvp([X * 3.0], [X, X], [T, ONES])) == [[33.0, 303.0]]


def test_nothing_flows() -> None:
    y = gc.exp(Y)
    assert pullback([y], [ONES], [X]) == [ZERO]
    assert pushforward([y], [X], [ONES]) == [ZERO]
    assert value(*vjp([y], [X], [ONES])) == [[0.0, 0.0]]
    assert value(*jvp([y], [X], [T])) == [[0.0, 0.0]]
    assert pullback([y, X], [ONES, ZERO], [X]) == [ZERO]
    assert value(*vjp([gc.floor(X) + Y], [X, Y], [ONES])) == [[0.0, 0.0], [1.0, 1.0]]
    assert value(*jvp([gc.floor(X), gc.floor(X) * Y], [X], [T])) == [[0.0, 0.0]] * 2


def test_one_of_several_outputs_does_not_depend() -> None:
    assert value(*vjp([X * 2.0, Y], [X], [ONES, ONES])) == [[2.0, 2.0]]
    assert value(*jvp([Y, X * 2.0, Y], [X], [T])) == [[0.0, 0.0], [20.0, 200.0], [0.0, 0.0]]


def test_what_does_not_flow_is_not_asked_for() -> None:
    """Rules of operands that are not wanted, and of nodes that do not depend on what is asked for, are not called."""
    product = X * Y
    ct = gc.input("ct", (2,))
    assert vjp_rules(product.op, ct, product, product.inputs, {}, [True, False])[1] is None
    assert vjp_rules(product.op, ct, product, product.inputs, {}, [False, True])[0] is None
    refused = gc.custom_gradient(lambda a: gc.sin(a), lambda ct, a: ct)(Y)
    with pytest.raises(GradientError):
        jvp([refused], [Y], [T])
    assert value(*jvp([refused * X], [X], [ONES])) == value(gc.sin(Y))
    assert pushforward([gc.concat([gc.floor(X), Y])], [X], [T]) == [ZERO]
    bad = gc.custom_gradient(lambda a: gc.sin(a), lambda ct, a: "no cotangent")(Y)
    assert value(*vjp([bad * X], [X], [ONES])) == value(gc.sin(Y))
    with pytest.raises(DTypeError):
        vjp([bad * X], [Y], [ONES])


def test_nothing_flows_through_integers() -> None:
    """Neither into an operand that is one, nor through what was rounded to one."""
    y = gc.astype(gc.astype(X, "int64"), "float64") * X + X * gc.astype(N, "float64")
    assert value(*vjp([y], [X], [ONES])) == [[0.0 + 2, 2.0 + 3]]
    assert value(*jvp([y], [X], [T])) == [[20.0, 500.0]]
    assert pullback([X * 2.0], [ONES], [N]) == [ZERO]
    taken = gc.take(X, N - 2)
    assert value(*vjp([taken], [X, N], [ONES])[:1]) == [[1.0, 1.0]]


def pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return a * b, a + b

    def backward(cts: Any, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return cts[0] * b + cts[1], cts[0] * a + cts[1]

    return gc.custom_gradient(forward, backward)(a, b)


def test_several_outputs_of_one_node() -> None:
    product, total = pair(X, Y)
    assert value(*vjp([product], [X, Y], [ONES])) == [[3.0, -1.0], [0.5, 2.0]]
    assert value(*vjp([total], [X, Y], [T])) == [[10.0, 100.0]] * 2
    assert value(*vjp([product, total], [X, Y], [ONES, T])) == [[13.0, 99.0], [10.5, 102.0]]
    twice = product * T + product * 2.0 + total
    assert value(*vjp([twice], [X], [ONES])) == [[3.0 * 12 + 1, -1.0 * 102 + 1]]


def test_derivatives_count_their_order() -> None:
    x = gc.input("x")
    first = gc.grad(gc.sin(x) * x, x)
    second = gc.grad(first, x)
    third = gc.grad(second, x)
    orders = [max(n.origin.order for n in gc.trace(lambda x, t=t: t, x).nodes) for t in (first, second, third)]
    assert orders == [1, 2, 3]
    assert first.origin.section == second.origin.section == "backward"
    assert first.origin.bars == (x,)
    assert (gc.sin(x) * x).origin.order == 0


@pytest.mark.parametrize("depth", [1, 5])
def test_derivatives_of_derivatives_by_both_modes(depth: int) -> None:
    """d^k/dx^k of x^7, by reverse and by forward mode in turn."""
    x, y = gc.input("x"), None
    y = x**7
    want = 1.0
    for k in range(depth):
        y = vjp([y], [x], [gc.constant(1.0)])[0] if k % 2 else jvp([y], [x], [gc.constant(1.0)])[0]
        want *= 7 - k
    np.testing.assert_allclose(evaluate([y], {x: np.asarray(1.5)})[0], want * 1.5 ** (7 - depth))
