"""Programs of scalar expressions: arrays of them become their elements, one kernel, functions of several at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.codegen.at_once import LEAST
from graphc.codegen.cpu import print_program
from graphc.ir.graph import Graph
from graphc.passes.elements import MOST_ELEMENTS, elements
from graphc.passes.pipeline import optimise
from graphc.schedule.plan import make_plan
from graphc.testing.check import interpret
from graphc.testing.plain import Runner

Q = gc.input("q", (5,))
VALUES = np.array([0.3, -1.2, 2.5, 0.0, -0.0])


def ops(graph: Graph) -> set[str]:
    return {node.op.name for node in graph.nodes}


def lowered(inputs: list[gc.Tensor], *outputs: gc.Tensor) -> Graph:
    return optimise(Graph(inputs, list(outputs)))[0]


def text(*outputs: gc.Tensor) -> str:
    """The kernels for float64 inputs `Q`, as they are compiled, without what stands before them."""
    source = print_program(make_plan(lowered([Q], *outputs))).source
    return source[source.index("@kernel\ndef k0") :]


def same_as_interpreted(*outputs: gc.Tensor, q: np.ndarray = VALUES) -> list[Any]:
    """What runs as plain Python gives what the reference interpreter gives for the graph as it was built."""
    graph = lowered([Q], *outputs)
    want = interpret(Graph([Q], list(outputs)), {Q: q}, {})
    found = Runner(graph, plain=True)([q])
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)
    return found


PLACE = gc.stack([gc.sin(Q[0]) * Q[1], Q[2] * Q[1] - gc.cos(Q[0])])


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_a_jacobian_of_scalars_is_its_elements(mode: str) -> None:
    """No basis, no zeros among which something is put, and no loop is left; all of it is one kernel."""
    jacobian = gc.jacobian(PLACE, Q, mode=mode)
    graph = lowered([Q], PLACE, jacobian)
    assert not ops(graph) & {"iota", "equal", "pad", "broadcast_to"}
    (kernel,) = make_plan(graph).kernels
    assert "for " not in text(PLACE, jacobian)
    assert len(kernel.nodes) > 2
    same_as_interpreted(PLACE, jacobian)


def test_a_gradient_by_elements_is_a_stack() -> None:
    a, b = gc.exp(Q[0]), Q[3] * Q[1]
    (found,) = lowered([Q], gc.grad(a * b, Q)).outputs
    assert found.op.name == "concat"
    assert not ops(lowered([Q], gc.grad(a * b, Q))) & {"pad", "add"}
    same_as_interpreted(gc.grad(a * b, Q))


def test_a_zero_cotangent_annihilates() -> None:
    """The derivative of a root at 0 is inf: it must not reach elements that do not depend on it."""
    y = gc.stack([gc.sqrt(Q[3]), Q[0] * Q[1]])
    _, jacobian = same_as_interpreted(y, gc.jacobian(y, Q))
    assert jacobian[0, 3] == math.inf
    np.testing.assert_array_equal(jacobian[1], [-1.2, 0.3, 0, 0, 0])


X, W, N = gc.input("x", (6,)), gc.input("w", (6, 6)), gc.input("n", ("n", 6))
LONG = gc.input("long", (MOST_ELEMENTS + 1,))
KEPT: dict[str, tuple[gc.Tensor, gc.Tensor]] = {
    "an array of an array": (X, gc.tanh(X) * 2.0),
    "nothing known": (X, gc.stack([gc.exp(X[0]), gc.exp(X[1])]) * 3.0),
    "a Jacobian of arrays": (X, gc.jacobian(gc.tanh(gc.asarray(np.ones((6, 6))) @ X), X)),
    "a size with a name": (N, N * gc.exp(gc.sum(N))),
    "too many elements": (LONG, gc.grad(gc.exp(LONG[0]) * LONG[1], LONG)),
}


@pytest.mark.parametrize(("leaf", "output"), KEPT.values(), ids=KEPT)
def test_what_stays_an_array(leaf: gc.Tensor, output: gc.Tensor) -> None:
    graph = Graph([leaf], [output])
    assert elements(graph) == (graph, {})


def test_elements_of_what_stays() -> None:
    """Arrays that are no elements themselves are read where the part that is reads them."""
    rows = gc.input("rows", ("n", 5))
    y = gc.stack([gc.exp(gc.sum(rows)), gc.sin(rows[0, 1])])
    total = gc.grad(gc.sum(y * gc.asarray([1.0, 2.0])), rows)
    data = np.random.default_rng(0).normal(size=(3, 5))
    (found,) = gc.compile([rows], [total])(data)
    want = np.full((3, 5), np.exp(data.sum()))
    want[0, 1] += 2 * np.cos(data[0, 1])
    np.testing.assert_allclose(found, want, rtol=1e-13)


def test_arrays_that_read_such_arrays() -> None:
    """A second derivative: the gradient is an array of elements, and its Jacobian is one, too."""
    y = gc.sin(Q[0]) * Q[1] * gc.exp(Q[2])
    gradient = gc.grad(y, Q)
    same_as_interpreted(gradient, gc.jacobian(gradient, Q))


# functions of scalars


def test_functions_of_scalars_at_once() -> None:
    """Sines and cosines of the same scalars share a loop of full vectors; their bits are those of an array's."""
    assert Q.shape[0] >= LEAST
    outputs = [gc.stack([f(Q[k]) for k in range(5)]) for f in (gc.sin, gc.cos)]
    source = text(*outputs)
    assert source.count("for l in range(8):") == 1
    assert source.count("_f64(x0[l])") == 2
    found = gc.compile([Q], [*outputs, gc.sin(Q), gc.cos(Q)])(VALUES)
    np.testing.assert_array_equal(found[0].view(np.int64), found[2].view(np.int64))
    np.testing.assert_array_equal(found[1].view(np.int64), found[3].view(np.int64))
    same_as_interpreted(*outputs)


def test_functions_of_functions() -> None:
    """Those of a level are computed at once, and wait for what they need."""
    inner = [gc.exp(Q[k] * 0.1) for k in range(5)]
    mixed = [gc.sin(inner[k] + inner[(k + 1) % 5]) for k in range(5)]
    outputs = gc.stack([gc.tanh(m) * Q[0] for m in mixed])
    assert text(outputs).count("for l in") == 3
    same_as_interpreted(outputs)


def test_few_functions_stay() -> None:
    outputs = gc.stack([gc.exp(Q[k]) for k in range(LEAST - 1)])
    assert "for " not in text(outputs)


def test_updates_in_place_keep_their_order() -> None:
    """A kernel that writes what it reads keeps its statements where they are."""
    params = [gc.param(float(k + 1), name=f"p{k}") for k in range(5)]
    step = gc.compile([], [params[0] * 1.0], updates={p: gc.log(p + params[0]) for p in params})
    step()
    np.testing.assert_allclose([p.value for p in params], np.log(np.arange(1.0, 6.0) + 1.0))


def test_params_of_scalars_are_read_before_they_are_written() -> None:
    start = np.array([0.1, 0.2, 0.3, 0.4])
    w, v = gc.param(start), gc.param(start)
    turned = gc.stack([gc.sin(w[k]) for k in (3, 2, 1, 0)])
    step = gc.compile([], [w * 1.0], {w: turned, v: v + gc.stack([gc.exp(v[k]) for k in range(4)])})
    expected, other = start, start
    for _ in range(3):
        np.testing.assert_array_equal(step()[0], expected)
        expected, other = np.sin(expected[::-1]), other + np.exp(other)
        np.testing.assert_allclose(w.value, expected, rtol=1e-15)
        np.testing.assert_allclose(v.value, other, rtol=1e-14)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_arrays_that_are_put_together_element_by_element_have_jacobians(mode) -> None:
    p = gc.input("p", (3,))
    set_one = gc.zeros((3,)).at[0].set(p[0] * p[1]).at[2].set(gc.sin(p[2]))
    added = gc.stack([p[0], p[1], p[2]]).at[1].add(p[0] ** 2) * set_one
    found = [set_one, added]
    step = gc.compile([p], [*found, *[gc.jacobian(y, p, mode=mode) for y in found]])
    at = np.array([0.3, -1.2, 0.7])

    def values(v: Any) -> tuple[Any, Any]:
        one = np.array([v[0] * v[1], 0 * v[0], np.sin(v[2])])
        return one, np.array([v[0], v[1] + v[0] ** 2, v[2]]) * one

    for k, (value, jacobian) in enumerate(zip(step(at)[:2], step(at)[2:], strict=True)):
        np.testing.assert_allclose(value, values(at)[k], rtol=1e-14)
        columns = [(values(at + h)[k] - values(at - h)[k]) / 2e-6 for h in np.eye(3) * 1e-6]
        np.testing.assert_allclose(jacobian, np.stack(columns, 1), atol=1e-9)
