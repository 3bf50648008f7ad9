"""Kernels that differ in positions only are one text, compiled once and read once."""

from __future__ import annotations

from typing import Any

import numpy as np
from test_document import check, reading

import graphc as gc
from graphc.codegen.sharing import shared
from graphc.codegen.statements import KernelText
from graphc.ir.expr import Lit, Var, call, lit, select
from graphc.ir.graph import Graph

STEPS, UNITS = 6, 20


def printed(*texts: str) -> list[KernelText]:
    return [KernelText(text, [("buffer", 0)], [], {}, {}) for text in texts]


def recurrence(m: Any, x: Any, u: Any) -> Any:
    """Each row of a step needs all rows of the step before, so that each is kernels of its own."""
    h = m.tanh(x[0])
    for k in range(1, STEPS):
        h = m.tanh(x[k] + u @ h)
    return h


def test_only_positions_that_differ_become_arguments() -> None:
    [one, two] = shared(printed("    a0[i0, 3, 1] = a1[3, 7 + i1] * 3.0", "    a0[i0, 4, 1] = a1[4, 9 + i1] * 3.0"))
    assert (
        one.text
        == two.text
        == (
            "    q0 = position(code(m, o, 1), 0)\n    q1 = position(code(m, o, 2), 0)\n"
            "    a0[i0, q0, 1] = a1[q0, position(q1, i1)] * 3.0"
        )
    )
    assert one.arguments == [("buffer", 0), ("number", 3), ("number", 7)]
    assert two.arguments == [("buffer", 0), ("number", 4), ("number", 9)]


def test_what_differs_otherwise_stays_apart() -> None:
    texts = ["    a0[i0, 3] = 1.0", "    a0[i0, 4] = 2.0", "    a0[a1[i0], 3] = 1.0", "    v1 = a0[i0 - 3]"]
    assert [kernel.text for kernel in shared(printed(*texts))] == texts


def test_the_steps_of_a_recurrence_share_their_kernels(rng: np.random.Generator) -> None:
    x, u = gc.input("x", (STEPS, UNITS, "n")), gc.input("u", (UNITS, UNITS))
    loss = gc.sum(recurrence(gc, x, u) ** 2)
    outputs = [loss, *gc.grad(loss, [x, u])]
    text = reading(Graph([x, u], outputs)).text
    names = [name for name, _ in text.kernels]
    assert names.count("k1") == STEPS - 2 and [k for k, _ in dict(text.kernels)["k1"].arguments].count("number") == 1
    step = gc.compile([x, u], outputs)
    for n in (0, 1, 7):
        data, weights = rng.standard_normal((STEPS, UNITS, n)), rng.standard_normal((UNITS, UNITS)) / 4
        value, by_x, by_u = step(data, weights)
        np.testing.assert_allclose(value, np.sum(recurrence(np, data, weights) ** 2), rtol=1e-12)
        for grad, array, at in ((by_x, data, 0), (by_u, weights, 1)):
            direction, h = rng.standard_normal(array.shape), 1e-6
            ends = [[data, weights], [data, weights]]
            ends[0][at], ends[1][at] = array + h * direction, array - h * direction
            slope = np.subtract(*[np.sum(recurrence(np, *end) ** 2) for end in ends]) / (2 * h)
            np.testing.assert_allclose(np.sum(grad * direction), slope, rtol=1e-6, atol=1e-6)


def test_the_document_shows_them_once(rng: np.random.Generator) -> None:
    x, u = gc.input("x", (STEPS, UNITS, "n")), gc.input("u", (UNITS, UNITS))
    h = recurrence(gc, x, u)
    arrays = [rng.standard_normal((STEPS, UNITS, 3)), rng.standard_normal((UNITS, UNITS)) / 4]
    check([x, u], arrays, [h, *gc.grad(gc.sum(h), [x, u])], {"n": 3})
    source = reading(Graph([x, u], [h])).source
    assert "at: int" in source and "x[at, i, j]" in source
    calls = [line for line in source.split("def step(")[1].split("\n") if line.rstrip().endswith(", 3)")]
    assert len(calls) == 1, source


def test_conditions_on_known_positions_are_decided() -> None:
    i, bool_ = Var("i0"), np.dtype("bool")
    yes, no, open_ = call("lt", lit(3, i.dtype), 4), call("ge", lit(3, i.dtype), 4), call("lt", i, 4)
    assert (yes, no) == (lit(True, bool_), lit(False, bool_)) and not isinstance(open_, Lit)
    assert call("logical_and", yes, open_) == open_ == call("logical_or", open_, no)
    assert call("logical_and", open_, no) == no and call("logical_or", yes, open_) == yes
    assert select(yes, i, 0) == i and select(no, i, 0) == lit(0, i.dtype)
    x = gc.input("x", (4, 3))
    text = reading(Graph([x], [gc.pad(x, ((1, 2), (0, 0)))[0] + x[0]])).text.source
    assert "if " not in text.split("@kernel")[1].split("def step")[0]
