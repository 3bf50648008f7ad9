"""Graphs as Python text that builds them again. Every graph that the tests make does so too, see `round_trip`."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from round_trip import Watch, structure

import graphc as gc
from graphc.ir import dims
from graphc.ir.apply import apply
from graphc.ir.dims import Atom, Dim
from graphc.ir.graph import Graph
from graphc.ir.op import Check
from graphc.ir.python_text import HEAD
from graphc.ops.table import OPS


def rebuilt(graph: Graph, *given: Any) -> Graph:
    space: dict[str, Any] = {}
    exec(graph.to_python(), space)
    return space["build"](*given)


def same(graph: Graph, again: Graph) -> bool:
    return all(one is other for one, other in zip(graph.roots, again.roots, strict=True))


def everything() -> Graph:
    """Attrs of every kind: dtypes, sizes of all forms, tuples, numbers, None, rules; updates; a tuple-valued node."""
    x, i = gc.input("x", ("n", 3), "float32"), gc.input("i", ("k",), "int32")
    y = gc.input("y", ("n",))
    w = gc.param(np.ones((3, 2), "float32"), name="w", trainable=False)
    pair = gc.custom_gradient(lambda a, b: (a * b, a + b), lambda ct, a, b: (ct[0], ct[1]))(y, y * 2)
    outputs = [
        gc.tanh(x @ w),
        pair[1] + pair[0],
        gc.roll(y, 2),
        gc.reshape(y, (y.shape[0] // 2, -1)),
        gc.repeat(y[1:-1:2], 2),
        gc.concat([y, gc.flip(y)]),
        gc.pad(y, [(1, 2)], constant_values=np.nan),
        gc.astype(gc.take(y, i), "uint8"),
        gc.argsort(y, descending=True),
        gc.linspace(0.0, 1.0, y.shape[0]),
        gc.asarray(x.shape[0]) * 2,
        gc.broadcast_to(gc.asarray(True), (2, x.shape[0])),
    ]
    loss = gc.mean(outputs[0])
    return Graph([x, i, y], outputs, [(w, w - 0.5 * gc.grad(loss, w))], "step")


def test_the_same_nodes_on_the_same_leaves() -> None:
    graph = everything()
    again = rebuilt(graph, *graph.leaves)
    assert same(graph, again)
    assert (again.inputs, again.params, again.name) == (graph.inputs, graph.params, graph.name)
    assert [p for p, _ in again.updates] == [p for p, _ in graph.updates]
    assert list(again.checks) == list(graph.checks)


def test_an_equal_graph_on_fresh_leaves() -> None:
    graph = everything()
    space: dict[str, Any] = {}
    exec(graph.to_python(), space)
    fresh = space["build"](rules=graph.leaves.rules)
    assert not set(fresh.nodes) & {*graph.inputs, *graph.params}
    assert fresh.to_python(names=False) == graph.to_python(names=False)
    assert structure(fresh) == structure(graph)
    assert [p.trainable for p in fresh.params] == [False]
    assert [i.name for i in fresh.inputs] == ["x", "i", "y"]


def test_without_its_rules_a_custom_gradient_cannot_be_built() -> None:
    with pytest.raises(IndexError):
        rebuilt(everything())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_bit_of_constants(dtype: str) -> None:
    bits = np.dtype(dtype).str.replace("f", "u")
    quiet = {"float32": 0x7FC00123, "float64": 0x7FF8000000000123}[dtype]
    odd = np.array([quiet, quiet | 1 << (8 * np.dtype(dtype).itemsize - 1)], bits).view(dtype)
    values = [
        np.array(-0.0, dtype),
        np.array([-0.0, 0.0, 0.1], dtype),
        odd,
        odd[:1].reshape(()),
        np.zeros((0, 3), dtype),
    ]
    values += [np.linspace(0, 1, 50, dtype=dtype).reshape(5, 10), np.array([np.inf, -np.inf], dtype)]
    graph = Graph([], [gc.constant(v) for v in values])
    again = rebuilt(graph)
    assert same(graph, again)
    for node, value in zip(again.outputs, values, strict=True):
        assert node.attrs["data"].array.tobytes() == value.tobytes()


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "uint64"])
def test_integers_and_bools(dtype: str) -> None:
    ends = [False, True] if dtype == "bool" else [np.iinfo(dtype).min, np.iinfo(dtype).max]
    graph = Graph([], [gc.constant(np.array(ends, dtype)), gc.constant(np.array(ends * 20, dtype))])
    assert same(graph, rebuilt(graph))


def test_a_nan_with_a_payload_as_an_attr() -> None:
    x = gc.input("x", (3,))
    odd = float(np.array([0x7FF8000000000123], "uint64").view("float64")[0])
    padded = apply(OPS["pad"], x, low=(1,), high=(0,), interior=(0,), value=odd)
    plain = apply(OPS["pad"], x, low=(1,), high=(0,), interior=(0,), value=float("nan"))
    graph = Graph([x], [padded, plain])
    assert padded is not plain
    assert same(graph, rebuilt(graph, *graph.leaves))


def test_sizes_that_arithmetic_does_not_give_back() -> None:
    """A polynomial as no arithmetic makes it: it is written as the object it is."""
    n = dims.symbol("n")
    odd = Dim((((Atom("max0", (n,)), Atom("floordiv", (n, 2))), 3), ((), 1)))
    assert dims.substitute(odd, {}) != odd
    x = gc.input("x", ("n",))
    graph = Graph([x], [apply(OPS["broadcast_to"], gc.constant(1.0), shape=(odd, dims.ceildiv(n, 3) * n - 1))])
    assert same(graph, rebuilt(graph, *graph.leaves))


def test_checks_of_nodes_that_are_gone() -> None:
    x = gc.input("x", ("n", "m"))
    gone = Check(dims.symbol("n"), dims.symbol("m") + 1, 'it\'s "n"\n', ">=")
    graph = Graph([x], [gc.sum(x)], checks={gone: ()})
    assert list(rebuilt(graph, *graph.leaves).checks) == [gone]


NASTY = (
    "x'); import os; os._exit(3) #", 'x"""\nimport os; os._exit(3)\n"""', "x\\", "x\\' + 1/0 + '", "a\nb", "a\u2028b",
    "\udcff",
    "class", "None", "__debug__", "node", "np", "inputs", "build", "größe", "0", "{x}", "n3", "print",
)  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_names_of_users_are_no_code(name: str) -> None:
    x, w = gc.input(name, (2,)), gc.param([1.0, 2.0], name=name)
    other = gc.input(name, (2,))
    graph = Graph([x, other], [x * w - other], [(w, w + x)], name=name)
    again = rebuilt(graph, *graph.leaves)
    assert same(graph, again)
    assert again.name == name
    fresh = rebuilt(graph)
    assert [n.name for n in (*fresh.inputs, *fresh.params)] == [name] * 3
    text = graph.to_python()
    assert text.isascii()
    assert text.startswith(HEAD)


def test_a_chain_as_long_as_you_like() -> None:
    """Twenty times deeper than Python recurses, and no slower for a node than a short one."""
    x = gc.input("x", (3,))
    y = x
    for k in range(10_000):
        y = gc.sin(y) if k % 2 else y * 0.5
    graph = Graph([x], [y])
    assert len(graph) > 10_000
    assert rebuilt(graph, *graph.leaves).outputs[0] is y


def test_text(monkeypatch: pytest.MonkeyPatch) -> None:
    x = gc.input("x", ("n", 3), "float32")
    scaled = x * 0.5
    text = Graph([x], [gc.concat([scaled, x])], name="two").to_python()
    assert text[len(HEAD) :] == (
        """
# sizes
size_n = symbol('n')


def fresh_inputs():
    \"\"\"New inputs, as the graph has them.\"\"\"
    return [
        make_input('x', (size_n, 3), 'float32'),
    ]


def fresh_params():
    \"\"\"New params, as the graph has them, but all zero.\"\"\"
    return []


def build(inputs=None, params=None, rules=()):
    \"\"\"The graph, on these leaves or on fresh ones.\"\"\"
    inputs = fresh_inputs() if inputs is None else inputs
    params = fresh_params() if params is None else params
    [x] = inputs
    c1 = constant(np.array(0.5, 'float32'))
    n2 = node('broadcast_to', c1, shape=(size_n, 3))
    scaled = node('multiply', x, n2)
    n4 = node('concat', scaled, x, axis=0)
    return Graph(
        [x],
        [n4],
        [],
        name='two',
    )
"""
    )


def test_the_text_stands_alone(tmp_path: Any) -> None:
    graph = everything()
    text = graph.to_python() + "\nprint(len(build(rules=[len]).nodes))\n"
    (tmp_path / "graph.py").write_text(text, encoding="utf-8")
    found = subprocess.run([sys.executable, "graph.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode != 0 and "intern_key" in found.stderr  # `len` is no rule of a custom gradient
    outputs = [o for o in graph.outputs if "custom" not in {n.op.name for n in Graph([], [o]).nodes}]
    plain = Graph(graph.inputs, outputs, graph.updates)
    (tmp_path / "graph.py").write_text(plain.to_python() + "\nprint(len(build().nodes))\n", encoding="utf-8")
    found = subprocess.run([sys.executable, "graph.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert int(found.stdout) == len(plain.nodes)


def test_the_watch_finds_a_text_that_builds_another_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    x = gc.input("x", (3,))
    graph = Graph([x], [gc.exp(x) + gc.sin(x)])
    right = graph.to_python()
    monkeypatch.setattr(Graph, "to_python", lambda self: right.replace("'sin'", "'cos'"))
    with pytest.raises(AssertionError):
        Watch().round_trip(graph)
    monkeypatch.setattr(Graph, "to_python", lambda self: right)
    Watch().round_trip(graph)


def test_watching_adds_no_lines_to_nodes() -> None:
    x = gc.input("x", (3,))
    y = gc.exp(x)
    before = y.origin
    Watch().round_trip(Graph([x], [y]))
    assert y.origin == before
