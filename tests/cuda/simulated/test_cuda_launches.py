"""How kernels become launches: no loop of unknown length is left to one block, and what blocks share is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.codegen.cuda_vectors import LANES
from graphc.ir.expr import Load, Var, index
from graphc.ir.graph import Graph
from graphc.ir.loops import ArrayArg, For, Kernel, Let, Store, walk
from graphc.passes.pipeline import optimise
from graphc.schedule import launches
from graphc.schedule.plan import make_plan
from graphc.schedule.policy import CUDA

X, Y = gc.input("x", ("n", "m"), "float32"), gc.input("y", ("n", "m"), "float32")
ROWS = gc.input("rows", ("n", 64), "float32")
T, V = gc.input("t", ("n",), "int64"), gc.input("v", ("n",))
IMAGES, WEIGHTS = gc.input("images", ("b", 3, 16, 16), "float32"), gc.input("weights", (5, 3, 3, 3), "float32")


def kinds(*outputs: Any) -> list[str]:
    """What each launch of a step that computes `outputs` gives a thread or a block."""
    inputs = [X, Y, T, V, IMAGES, WEIGHTS, ROWS]
    plan = make_plan(optimise(Graph(inputs, list(outputs)))[0], None, CUDA)
    found = [launch for kernel in plan.kernels for launch in launches.launches_of(kernel)]
    for launch in found:
        loops = [s for s in walk(launch.body) if isinstance(s, For) and s.kind != "join"]
        lengthy = [s for s in loops if not isinstance(s.extent, int) and id(s) not in launch.scans]
        assert launch.kind != "one" or not lengthy, "one block for a loop of any length"
    return [launch.kind for launch in found]


def conv_gradients() -> list[Any]:
    y = gc.nn.conv2d(IMAGES, WEIGHTS)
    return [y, *gc.grad(gc.sum(gc.nn.max_pool2d(y, 2)), [IMAGES, WEIGHTS])]


@pytest.mark.parametrize(
    ("outputs", "want"),
    [
        (lambda: [gc.exp(X) * Y, X - Y], ["threads"]),
        (lambda: [gc.softmax(X, axis=-1)], ["blocks"]),
        (lambda: [gc.sum(X)], ["chunks", "one"]),
        (lambda: [gc.sum(X, axis=1), gc.argmax(Y, axis=1)], ["blocks"]),
        (lambda: [gc.sum(X, axis=0)], ["chunks", "threads"]),
        (lambda: [gc.permute_dims(X, (1, 0)) + 0], ["tiles"]),
        (lambda: [gc.permute_dims(ROWS, (1, 0)) + Y[:64, :1]], ["tiles"]),
        (lambda: [gc.permute_dims(IMAGES, (0, 3, 2, 1)) + 0], ["threads"]),
        (lambda: [gc.permute_dims(IMAGES, (0, 1, 3, 2)) + 0], ["tiles"]),
        (lambda: [gc.einsum("nm,nk->mk", X, Y)], ["whole", "whole"]),  # large tiles or small ones
        (lambda: [gc.cumulative_sum(V)], ["one"]),
        (lambda: [gc.cumulative_sum(X, axis=1)], ["blocks"]),
        (lambda: [gc.cumulative_sum(X, axis=0)], ["threads"]),
        (lambda: [gc.argsort(X, axis=1)], ["blocks"]),
        (lambda: [gc.zeros((7,)).at[T].add(V)], ["threads", "threads", "threads"]),
    ],
)
def test_kinds(outputs: Callable[[], list[Any]], want: list[str]) -> None:
    assert kinds(*outputs()) == want


def test_a_launch_computes_again_what_it_reads_of_earlier_values() -> None:
    kind = np.dtype("float64")
    arrays = [ArrayArg("a0", kind, (1,), 0), ArrayArg("a1", kind, (9,), 1, True), ArrayArg("a2", kind, (1,), 2, True)]
    v0, zero = Var("v0", kind), index(0)
    element = (Var("i0"),)

    def fill() -> For:
        return For("i0", 9, "map", [Store("a1", element, v0)])

    before = Let("v0", Load("a0", (zero,), kind))
    found = launches.launches_of(Kernel(arrays, [before, fill(), Store("a2", (zero,), v0), fill()]))
    assert [(one.kind, one.before) for one in found] == [
        ("threads", [before]),
        ("one", [before]),
        ("threads", [before]),
    ]
    own = Store("a0", (zero,), v0 + 1.0)  # what v0 was read from is overwritten: it cannot be read again
    (whole,) = launches.launches_of(Kernel(arrays, [before, own, fill()]))
    assert whole.kind == "one" and whole.body[0] is before


def test_a_softmax_writes_nothing_but_its_result() -> None:
    plan = make_plan(optimise(Graph([X], [gc.softmax(X, axis=-1)]))[0], None, CUDA)
    assert [b.kind for b in plan.buffers if b.kind != "temp" or b.first >= 0] == ["input", "output"]


def test_nests_over_whole_arrays_are_one_loop() -> None:
    def loops(*outputs: Any) -> list[str]:
        plan = make_plan(optimise(Graph([X, Y, V], list(outputs)))[0], None, CUDA)
        (launch,) = launches.launches_of(plan.kernels[0])
        return [loop.var for loop in launch.loops]

    assert loops(gc.exp(X) * Y + V[0], gc.where(X > Y, X, 1.0)) == ["f"]
    assert loops(X * gc.permute_dims(gc.permute_dims(Y, (1, 0)), (1, 0))) == ["f"]
    assert loops(gc.flip(X, axis=0) * Y) == ["i0", "i1"]
    assert loops(X + V[:, None].astype("float32")) == ["i0"]  # a row of it for each block


def test_common_steps_leave_nothing_lengthy_to_one_block() -> None:
    loss = gc.nn.cross_entropy(X, T)
    norm = gc.nn.layer_norm(ROWS, 64)
    assert kinds(loss, gc.grad(loss, X)) == ["chunks", "one", "one", "blocks"]
    assert kinds(norm, gc.grad(gc.sum(norm**3), ROWS)) == ["blocks"]
    assert kinds(*conv_gradients())


def grouped(*outputs: Any) -> list[int]:
    """How many iterations at a time the loops have that go by vectors."""
    plan = make_plan(optimise(Graph([X, Y, T, V, ROWS], list(outputs)))[0], None, CUDA)
    found = [launch for kernel in plan.kernels for launch in launches.launches_of(kernel)]
    return [vectors.width for launch in found for vectors in launch.vectors.values()]


def test_loops_over_neighbours_go_by_vectors() -> None:
    assert grouped(gc.exp(X) * Y) == [4]
    assert grouped(V * 2.0) == [2]
    assert grouped(V.astype("float32")) == [2]  # of both, the wider one
    assert grouped(gc.softmax(X, axis=-1)) == [4, 4, 4]
    assert grouped(gc.sum(X)) == [4, 2]  # chunks of it, then what these found, in float64
    assert grouped(ROWS[:, :63] * 2.0) == []  # no row but the first begins where a vector may
    assert grouped(gc.flip(V)) == [] == grouped(gc.permute_dims(X, (1, 0)) + 0)
    assert grouped(V[1:] + V[:-1]) == []  # one of both is never where a vector may begin
    assert grouped(gc.lgamma(V) * gc.digamma(V) + gc.erf(V)) == []  # arithmetic is what takes the time


@pytest.mark.parametrize("size", [1, 3, 4, 7, 16, 61])
@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float64", "float32"), ("bool", "uint8")], ids=str)
def test_vectors_end_where_arrays_do(size: int, dtypes: tuple[str, str]) -> None:
    rng = np.random.default_rng(size)
    a, b = (rng.integers(0, 2, size).astype(d) for d in dtypes)
    x, y = gc.input("x", ("n",), dtypes[0]), gc.input("y", ("n",), dtypes[1])
    i = gc.arange(x.shape[0])
    step = gc.compile([x, y], [gc.where(x > 0, i, -i), x == y, gc.sum(y.astype("float64"))], target="cuda")
    assert "load_lanes(" in step.text.source
    found = step(a, b)
    np.testing.assert_array_equal(found[0], np.where(a > 0, np.arange(size), -np.arange(size)))
    np.testing.assert_array_equal(found[1], a == b)
    assert found[2] == b.sum()


@pytest.mark.parametrize("whole", [True, False])
def test_elements_one_by_one_are_those_of_a_vector(whole: bool) -> None:
    functions: dict[str, Any] = {}
    exec("from numba import cuda\n" + LANES, functions)
    a = np.arange(24.0).reshape(2, 12)
    assert functions["load_lanes"](a, (1, 4), 4, whole, 12) == (16, 17, 18, 19)
    assert functions["load_lanes"](a, (1, 8), 4, False, 10) == (20, 21, 0, 0)
    functions["store_lanes"](a, (0, 4), 4, whole, 12, [-1, -2, -3, -4])
    functions["store_lanes"](a, (0, 8), 4, False, 10, [-5, -6, -7, -8])
    assert list(a[0]) == [0, 1, 2, 3, -1, -2, -3, -4, -5, -6, 10, 11]
    assert functions["aligned"](a, 2) and not functions["aligned"](a.reshape(-1)[1:], 2)
    assert not functions["aligned"](a.reshape(8, 3), 2)


@pytest.mark.parametrize("axes", [(1, 0, 2), (0, 2, 1), (2, 1, 0), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_transposes_go_through_tiles(axes: tuple[int, ...], dtype: str) -> None:
    data = np.random.default_rng(3).integers(0, 2, (5, 6, 7)).astype(dtype)
    x, y = gc.input("x", ("a", "b", "c"), dtype), gc.input("y", ("a", "b", "c"), dtype)
    moved = gc.permute_dims(x, axes)
    step = gc.compile([x, y], [gc.where(moved != 0, moved, gc.permute_dims(y, axes)), moved], target="cuda")
    assert ("t0[x, k]" in step.text.source) == (axes[-1] != 2)
    found = step(data, 1 - data if dtype == "float32" else ~data)
    np.testing.assert_array_equal(found[0], np.ones_like(data).transpose(axes))
    np.testing.assert_array_equal(found[1], data.transpose(axes))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("reverse", [False, True])
def test_running_sums_go_on_from_piece_to_piece(axis: int, reverse: bool) -> None:
    data = np.random.default_rng(0).integers(-9, 9, (3, 29)).astype(float)
    data = data if axis else data.T.copy()
    x = gc.input("x", ("n", "m"))
    total = gc.flip(gc.cumulative_sum(gc.flip(x, axis=axis), axis=axis), axis=axis) if reverse else None
    step = gc.compile([x], gc.cumulative_sum(x, axis=axis) if total is None else total, target="cuda")
    want = np.flip(np.cumsum(np.flip(data, axis), axis), axis) if reverse else np.cumsum(data, axis)
    np.testing.assert_array_equal(step(data), want)


def test_products_run_too() -> None:
    data = np.random.default_rng(0).uniform(0.9, 1.1, 50)
    x = gc.input("x", ("n",))
    y = gc.cumulative_prod(x)
    found = gc.compile([x], [y, gc.grad(gc.sum(y), x)], target="cuda")(data)
    want = gc.compile([x], [y, gc.grad(gc.sum(y), x)])(data)
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


@pytest.mark.parametrize("mode", ["add", "set"])
@pytest.mark.parametrize("columns", [(), (3,)])
def test_scattering_keeps_the_order(mode: str, columns: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    places = rng.integers(-11, 11, 60)
    updates = rng.normal(size=(60, *columns)).astype("float32")
    i, u = gc.input("i", ("n",), "int64"), gc.input("u", ("n", *columns), "float32")
    start = gc.constant(np.zeros((11, *columns), "float32"))
    result = getattr(start.at[i], mode)(u)
    here, there = (gc.compile([i, u], result, target=t)(places, updates) for t in ("cpu", "cuda"))
    np.testing.assert_array_equal(there, here)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("shape", [(1,), (37,), (4, 16), (3, 21)])
def test_sorting_is_stable_and_nan_is_last(shape: tuple[int, ...], descending: bool) -> None:
    data = np.random.default_rng(6).integers(-3, 3, shape).astype("float32")
    data.reshape(-1)[::5] = np.nan
    x = gc.input("x", tuple(f"n{k}" for k in range(len(shape))), "float32")
    for axis in range(len(shape)):
        order = gc.argsort(x, axis=axis, descending=descending)
        here, there = (gc.compile([x], order, target=t)(data) for t in ("cpu", "cuda"))
        np.testing.assert_array_equal(there, here)
