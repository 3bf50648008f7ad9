"""Derivatives where mathematics leaves a choice, or its formula is 0 * inf: what the rows say they give there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.autodiff.jvp import jvp_rules
from graphc.autodiff.vjp import vjp, vjp_rules
from graphc.ir.apply import apply
from graphc.ir.evaluate import evaluate
from graphc.ir.leaves import input as gc_input
from graphc.ops.cotangent import ZERO, ct_add, ct_mul, zero_mul
from graphc.ops.structure import CUSTOM, ITEM, Rule
from graphc.ops.table import OPS

INF, NAN = np.inf, np.nan

CHOSEN: tuple[tuple[str, tuple[float, ...], tuple[float, ...]], ...] = (
    ("xlogy", (0.0, 0.0), (-INF, 0.0)),
    ("xlogy", (0.0, 2.0), (np.log(2.0), 0.0)),
    ("xlogy", (1.0, 0.0), (-INF, INF)),
    ("xlogy", (2.0, 1.0), (0.0, 2.0)),
    ("logaddexp", (-INF, -INF), (0.0, 0.0)),
    ("logaddexp", (-INF, 1.0), (0.0, 1.0)),
    ("logaddexp", (1000.0, -1000.0), (1.0, 0.0)),
    ("logaddexp", (INF, INF), (0.5, 0.5)),
    ("logaddexp", (INF, 1.0), (1.0, 0.0)),
    ("logaddexp", (-INF, INF), (0.0, 1.0)),
    ("hypot", (0.0, 0.0), (0.0, 0.0)),
    ("hypot", (3.0, 0.0), (1.0, 0.0)),
    ("hypot", (INF, 3.0), (1.0, 0.0)),
    ("hypot", (-INF, 0.0), (-1.0, 0.0)),
    ("hypot", (0.0, -INF), (0.0, -1.0)),
    ("hypot", (INF, -INF), (np.sqrt(0.5), -np.sqrt(0.5))),
    ("hypot", (1.5e308, -1.5e308), (np.sqrt(0.5), -np.sqrt(0.5))),
    ("hypot", (0.9e308, 1.7e308), (9 / np.sqrt(370.0), 17 / np.sqrt(370.0))),
    ("pow", (0.0, 0.0), (0.0, 0.0)),
    ("pow", (0.0, 2.0), (0.0, 0.0)),
    ("pow", (2.0, 0.0), (0.0, np.log(2.0))),
    ("atan2", (0.0, -1.0), (-1.0, 0.0)),
    ("maximum", (1.0, 1.0), (0.5, 0.5)),
    ("minimum", (1.0, 1.0), (0.5, 0.5)),
    ("abs", (0.0,), (0.0,)),
    ("copysign", (0.0, -1.0), (0.0, 0.0)),
    ("copysign", (-2.0, 3.0), (-1.0, 0.0)),
    ("remainder", (5.0, 3.0), (1.0, -1.0)),
)
"""Row, operands, and the derivative by each of them."""


@pytest.mark.parametrize("name,point,want", CHOSEN, ids=lambda v: str(v))
def test_derivatives_at_points_of_choice(name: str, point: tuple[float, ...], want: tuple[float, ...]) -> None:
    """By reverse mode, and by forward mode, one operand at a time."""
    inputs = [gc.input(f"x{k}") for k in range(len(point))]
    out = apply(OPS[name], *inputs)
    given: dict[Any, Any] = {x: np.asarray(v) for x, v in zip(inputs, point, strict=True)}
    one = gc.constant(1.0)
    np.testing.assert_allclose(evaluate(vjp([out], inputs, [one]), given), want, rtol=1e-14)
    for k, value in enumerate(want):
        tangents = [one if j == k else ZERO for j in range(len(point))]
        found = jvp_rules(OPS[name], tangents, out, inputs, {})
        assert found is ZERO or np.allclose(evaluate([found], given)[0], value, rtol=1e-14)
        assert found is not ZERO or value == 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_eager_gradients_at_infinite_operands(dtype: str) -> None:
    x, y = (np.array(v, dtype) for v in ([INF, -INF, INF, 0.0, -INF, 3.0], [INF, 3.0, -INF, INF, -INF, INF]))
    root = np.sqrt(0.5)
    for function, want in (
        (gc.eager.hypot, ([root, -1.0, root, 0.0, -root, 0.0], [root, 0.0, -root, 1.0, -root, 1.0])),
        (gc.eager.logaddexp, ([0.5, 0.0, 1.0, 0.0, 0.0, 0.0], [0.5, 1.0, 0.0, 1.0, 0.0, 1.0])),
    ):
        a, b = (gc.eager.tensor(v, requires_grad=True) for v in (x, y))
        gc.sum(function(a, b)).backward()
        assert a.grad.dtype == b.grad.dtype == np.dtype(dtype)
        np.testing.assert_allclose([a.grad.numpy(), b.grad.numpy()], want, rtol=1e-6)


@pytest.mark.parametrize("name", ["max", "min"])
def test_equal_extrema_share_the_cotangent(name: str) -> None:
    x, t = gc.input("x", (2, 4)), gc.input("t", (2, 4))
    values = np.array([[1.0, 5.0, 5.0, 0.0], [2.0, 2.0, 2.0, 3.0]]) * (1 if name == "max" else -1)
    values[1] = [7.0] * 4
    out = apply(OPS[name], x, axes=(1,))
    share = np.array([[0.0, 0.5, 0.5, 0.0], [0.25] * 4])
    (bar,) = evaluate(vjp([out], [x], [gc.constant([2.0, 4.0])]), {x: values})
    np.testing.assert_array_equal(bar, share * [[2.0], [4.0]])
    dots = np.array([[1.0, 2.0, 4.0, 8.0], [1.0, 2.0, 3.0, 6.0]])
    found = evaluate([jvp_rules(out.op, [t], out, [x], {"axes": (1,)})], {x: values, t: dots})[0]
    np.testing.assert_array_equal(found, (dots * share).sum(1))


@pytest.mark.parametrize("name,point", [
    ("hypot", (0.0, 0.0)), ("hypot", (INF, 3.0)), ("hypot", (-3.0, -INF)), ("hypot", (INF, INF)),
    ("hypot", (1.5e308, 1.5e308)), ("logaddexp", (INF, INF)), ("logaddexp", (-INF, -INF)), ("logaddexp", (INF, 1.0)),
])  # fmt: skip
def test_second_derivatives_are_zero(name: str, point: tuple[float, float]) -> None:
    """At the origin, and where the result is infinite."""
    x, y = gc.input("x"), gc.input("y")
    given: dict[Any, Any] = {x: np.asarray(point[0]), y: np.asarray(point[1])}
    one = gc.constant(1.0)
    for first in vjp([apply(OPS[name], x, y)], [x, y], [one]):
        assert evaluate(vjp([first], [x, y], [one]), given) == [0.0, 0.0]


# the cotangent algebra

PRODUCTS = (
    (0.0, INF, 0.0), (0.0, -INF, 0.0), (0.0, NAN, 0.0), (-0.0, INF, 0.0), (NAN, 0.0, NAN), (NAN, INF, NAN),
    (2.0, INF, INF), (-2.0, INF, -INF), (INF, 0.0, NAN), (3.0, -2.0, -6.0), (1.0, NAN, NAN), (0.0, 5.0, 0.0),
)  # fmt: skip
"""A cotangent, a derivative, and their product: a zero cotangent annihilates, a zero derivative does not."""


@pytest.mark.parametrize("ct,d,want", PRODUCTS)
def test_products_of_cotangents(ct: float, d: float, want: float) -> None:
    x, y = gc.input("ct"), gc.input("d")
    np.testing.assert_array_equal(evaluate([ct_mul(x, y)], {x: np.asarray(ct), y: np.asarray(d)})[0], want)


@pytest.mark.parametrize(
    "g,ct,d", [(0.0, 2.0, INF), (0.0, INF, 3.0), (0.0, NAN, NAN), (2.0, 0.0, 5.0), (3.0, 2.0, 7.0), (INF, 0.0, 5.0)]
)
def test_derivatives_of_products_of_cotangents(g: float, ct: float, d: float) -> None:
    """By the cotangent it is `d`, by the derivative `ct`: also where the product itself was annihilated.

    A zero `ct` annihilates an infinite `g`, a zero `g` an infinite `ct`: either may stand in a branch not taken.
    """
    x, y, seed = gc.input("ct"), gc.input("d"), gc.input("g")
    out = ct_mul(x, y)
    given = {x: np.asarray(ct), y: np.asarray(d), seed: np.asarray(g)}
    wanted = [0.0 if g == 0 else g * d, 0.0 if 0 in (g, ct) else g * ct]
    np.testing.assert_array_equal(evaluate(vjp([out], [x, y], [seed]), given), wanted)
    by_ct = evaluate([jvp_rules(out.op, [seed, ZERO], out, [x, y], {})], given)[0]
    np.testing.assert_array_equal(by_ct, wanted[0])
    by_d = evaluate([jvp_rules(out.op, [ZERO, seed], out, [x, y], {})], given)[0]
    np.testing.assert_array_equal(by_d, wanted[1])


ZEROS = (
    (0.0, INF), (0.0, -INF), (0.0, NAN), (-0.0, NAN), (0.0, 0.0), (0.0, 5.0),
    (2.0, INF), (INF, NAN), (INF, -3.0), (3.0, -2.0), (NAN, NAN),
)  # fmt: skip


@pytest.mark.parametrize("a,b", [*ZEROS, *((b, a) for a, b in ZEROS)])
@pytest.mark.parametrize("g", [0.0, 2.0, INF, NAN])
def test_products_in_which_either_zero_annihilates(a: float, b: float, g: float) -> None:
    """And their derivatives, which are such products of the other factor, though the product was annihilated."""

    def product(x: float, y: float) -> float:
        return 0.0 if 0 in (x, y) else x * y

    x, y, seed = gc.input("a"), gc.input("b"), gc.input("g")
    out = zero_mul(x, y)
    given = {x: np.asarray(a), y: np.asarray(b), seed: np.asarray(g)}
    forward = [jvp_rules(out.op, ts, out, [x, y], {}) for ts in ([seed, ZERO], [ZERO, seed])]
    found = evaluate([out, *vjp([out], [x, y], [seed]), *forward], given)
    np.testing.assert_array_equal(found, [product(a, b), *[product(g, b), product(g, a)] * 2])


def test_zero_by_construction() -> None:
    x = gc.input("x")
    assert ct_mul(ZERO, x) is ZERO
    assert ct_mul(x, ZERO) is ZERO
    assert zero_mul(ZERO, x) is ZERO
    assert zero_mul(x, ZERO) is ZERO
    assert ct_add(ZERO, x) is x
    assert ct_add(x, ZERO) is x
    assert ct_add(ZERO, ZERO) is ZERO
    assert ct_add(x, x) is gc.add(x, x)
    assert repr(ZERO) == "ZERO"


def test_products_with_numbers() -> None:
    """A finite number needs no guard; one that is not is guarded as anything else."""
    x = gc.input("x")
    assert ct_mul(x, 2.0).op.name == "multiply"
    assert ct_mul(x, 3).op.name == "multiply"
    assert ct_mul(x, INF).op.name == "ct_mul"
    assert ct_mul(x, NAN).op.name == "ct_mul"
    assert ct_mul(x, x).op.name == "ct_mul"
    y = gc.input("y", (3,))
    assert ct_mul(x, y).shape == (3,)
    assert ct_mul(gc.input("f", (), "float32"), y).dtype == np.float64


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_branch_not_taken_says_nothing_to_any_order(order: int) -> None:
    """log at 0 has derivatives of -inf, inf ...: behind ``where`` they do not reach the gradient."""
    x = gc.input("x", (2,))
    y = gc.where(x > 0, gc.log(x), x * 3.0)
    for _ in range(order):
        y = gc.grad(gc.sum(y), x)
    found = evaluate([y], {x: np.array([0.0, 2.0])})[0]
    np.testing.assert_allclose(found, [[3.0, 0.5], [0.0, -0.25], [0.0, 0.25]][order - 1])


def test_a_zero_cotangent_stays_a_zero_under_a_second_derivative() -> None:
    """d/dx of ct * sqrt'(x) at 0, of a cotangent that is 0 there: 0, not nan."""
    x, w = gc.input("x", (2,)), gc.input("w", (2,))
    first = vjp([gc.sqrt(x)], [x], [w])[0]
    (second,) = vjp([first], [x], [gc.ones_like(x)])
    found = evaluate([first, second], {x: np.array([0.0, 4.0]), w: np.array([0.0, 1.0])})
    np.testing.assert_allclose(found, [[0.0, 0.25], [0.0, -1 / 32]])


# rules that no graph reaches, and rules of the user


def test_item_rules() -> None:
    x, y = gc_input("x", (2,)), gc_input("y", (3,))
    rule = Rule(lambda cts, a, b: (cts[1], cts[0]), False)
    pair = apply(CUSTOM, x, y, x, y, rule=rule, count=2)
    ct = gc_input("ct", (3,))
    for operand in (pair, (x, y)):
        (bars,) = vjp_rules(ITEM, ct, y, [operand], {"index": 1}, [True])
        assert isinstance(bars, tuple)
        assert bars[0] is ZERO and bars[1] is ct
    assert jvp_rules(ITEM, [(x, y)], y, [pair], {"index": 1}) is y
    assert jvp_rules(ITEM, [(x, y)], x, [pair], {"index": 0}) is x


def test_custom_rules() -> None:
    """The cotangents of the forward values are zero, those of the arguments what the user's function says, in order."""
    seen: list[Any] = []
    a, b, u, v = (gc_input(name, (2,)) for name in "abuv")
    c, d = gc_input("c", (2,)), gc_input("d", (2,))

    def backward(cts: Any, first: Any, second: Any) -> Any:
        seen.append((cts, first, second))
        return second, first

    found = vjp_rules(
        CUSTOM, (c, d), (a, b), [u, v, a, b], {"rule": Rule(backward, False), "count": 2}, [True, True, True, True]
    )
    assert found[0] is ZERO and found[1] is ZERO
    assert found[2] is b and found[3] is a
    assert seen == [((c, d), a, b)]
