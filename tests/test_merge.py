"""Adjacent loops become one where all arrays have their axes side by side, and only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.codegen.cpu import print_program
from graphc.ir.graph import Graph
from graphc.ir.loops import For, walk
from graphc.schedule.plan import Plan, make_plan
from graphc.testing.check import interpret
from graphc.testing.plain import Runner


def extents(plan: Plan) -> list[list[Any]]:
    """The extents of the loops of each kernel that runs, in order."""
    return [[str(s.extent) for s in walk(k.body) if isinstance(s, For)] for k in plan.kernels]


x = gc.input("x", ("n", 6, 4, 5))
y = gc.input("y", ("n", 6, 20))
row = gc.input("row", (5,))
col = gc.input("col", (6, 1, 1))
m = gc.input("m", (3, 4, 5))
big = gc.input("big", (40, 50, 60))
full = gc.input("full", ("n", 64))
wide = gc.input("wide", ("n", "k", "l"))

SIZES = {"n": 7, "k": 2, "l": 3}
CASES: dict[str, tuple[list[gc.Tensor], gc.Tensor, list[list[str]]]] = {
    "all of it": ([m], m * m, [["60"]]),
    "also rows of unknown number": ([x], gc.tanh(x), [["120*n"]]),
    "not full vectors of unknown number": ([full], gc.tanh(full), [["n", "64"]]),
    "a sum that is cut into chunks": ([big], gc.sum(big), [["120000", "7"]]),
    "also what is cut into chunks": ([big], gc.tanh(big), [["120000"]]),
    "also lengths that are all unknown": ([wide], gc.tanh(wide), [["k*l*n"]]),
    "behind a value per channel": ([x, col], x * col, [["n", "6", "20"]]),
    "before a value per column": ([m, row], m * row, [["12", "5"]]),
    "not a transposed one": ([m], gc.permute_dims(m, (0, 2, 1)) + 1.0, [["3", "5", "4"]]),
    "not where a column is left out": ([m], m[:, :, 1:] * 2.0, [["12", "4"]]),
    "not where a row is left out": ([m], m[:, 1:] * 2.0, [["3", "3", "5"]]),
    "not where positions are values": ([m], m * gc.arange(5), [["12", "5"]]),
    "one reduction": ([m], gc.sum(m), [["60"]]),
    "a reduction of the last two axes": ([m], gc.max(m, axis=(1, 2)), [["3", "20"]]),
    "a reduction in the middle": ([m], gc.sum(m, axis=1), [["3", "5", "4", "5"]]),
    "not a position of an extremum": ([m], gc.argmax(m, axis=2), [["12", "5"]]),
    "another shape of the same memory": ([y], gc.reshape(y, (y.shape[0], 6, 4, 5)) * 2.0, [["120*n"]]),
}


@pytest.mark.parametrize(("inputs", "output", "wanted"), CASES.values(), ids=CASES)
def test_what_becomes_one_loop(inputs: list[gc.Tensor], output: gc.Tensor, wanted: list[list[str]]) -> None:
    graph = Graph(inputs, [output])
    runner = Runner(graph, plain=True)
    assert extents(runner.plan) == wanted
    draw = np.random.default_rng(0)
    arrays = [draw.normal(size=[SIZES[str(n)] if str(n) in SIZES else int(str(n)) for n in v.shape]) for v in inputs]
    [want] = interpret(graph, dict(zip(inputs, arrays, strict=True)), SIZES)
    [got] = runner(arrays)
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_what_is_read_keeps_its_loops() -> None:
    plan = make_plan(Graph([m], [m * m]))
    assert [str(s.extent) for s in walk(plan.plainly[0].body) if isinstance(s, For)] == ["3", "4", "5"]


def kernels(*shapes: tuple[int, ...]) -> list[str]:
    """The names of the kernels that a step calls to update params of these shapes."""
    params = [gc.param(np.ones(shape)) for shape in shapes]
    text = print_program(make_plan(Graph([], [], [(p, p * 0.5 + 1.0) for p in params])))
    return [name for name, _, _ in text.calls]


def test_one_text_serves_all_lengths() -> None:
    assert kernels((6,), (3, 5), (120, 84), (2, 3, 4)) == ["k0"] * 4
    assert kernels((6,), (400, 120)) == ["k0", "k1"], "the latter is cut into chunks"
    assert kernels((400, 120), (700, 90)) == ["k0", "k0"]


def test_memory_seen_under_several_shapes() -> None:
    """A kernel writes a param that it also reads under other shapes: what it writes is seen to change."""
    w = gc.param(np.arange(12.0).reshape(3, 4), name="w")
    flat, turned = gc.reshape(w, (12,)), gc.permute_dims(gc.reshape(w, (4, 3)), (1, 0))
    outputs = [gc.sum(flat), gc.reshape(flat * 2.0, (2, 6)), gc.exp(turned / 12.0)]
    step = gc.compile([], outputs, {w: gc.reshape(flat + gc.reshape(turned, (12,)), (3, 4))})
    value = np.arange(12.0)
    for _ in range(3):
        other = value.reshape(4, 3).T
        got = step()
        np.testing.assert_allclose(got[0], value.sum(), rtol=1e-12)
        np.testing.assert_allclose(got[1], (value * 2).reshape(2, 6), rtol=1e-12)
        np.testing.assert_allclose(got[2], np.exp(other / 12), rtol=1e-12)
        value = value + other.reshape(12)
        np.testing.assert_allclose(w.value, value.reshape(3, 4), rtol=1e-12)
