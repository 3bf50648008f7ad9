"""Subscripts, gather, scatter, sorting against NumPy: random shapes and keys, named sizes, gradients, error texts."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_maps import both, check_gradient, env_of, symbol_for, value

from graphc.autodiff.vjp import grad, vjp
from graphc.errors import DTypeError, GraphcError, OutOfBoundsError, ShapeError, UnsupportedError
from graphc.ir.dims import symbol
from graphc.ir.evaluate import evaluate
from graphc.ir.leaves import input as gc_input
from graphc.ir.traversal import topological
from graphc.ops.elementwise import add, multiply
from graphc.ops.indexing import gather, one_hot, scatter_add, scatter_set, take, take_along_axis
from graphc.ops.reduction import sum as gc_sum
from graphc.ops.sorting import argsort, sort
from graphc.ops.subscript import At, getitem

FEW = settings(max_examples=150, deadline=None, derandomize=True)


# subscripts


@st.composite
def keyed(draw: Any) -> tuple[tuple[int, ...], Any]:
    """A shape, and a key that NumPy takes for it: ints, slices, ..., None, integer arrays."""
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    bound = st.one_of(st.none(), st.integers(-6, 6))
    slices = st.builds(slice, bound, bound, st.sampled_from([None, 1, 2, 3, -1, -2, -3]))
    common = draw(st.sampled_from([(), (2,), (3, 1), (1, 2), (0,), (2, 3)]))
    key: list[Any] = []
    covered = draw(st.integers(0, len(shape)))
    for size in shape[:covered]:
        if draw(st.booleans()) and draw(st.booleans()):
            key.append(None)
        kind = draw(st.sampled_from(["int", "array", "slice", "slice"] if size else ["slice"]))
        if kind == "int":
            key.append(draw(st.integers(-size, size - 1)))
        elif kind == "array":
            entries = draw(st.lists(st.integers(-size, size - 1), min_size=6, max_size=6))
            array_shape = draw(st.sampled_from([common, common[-1:]]))
            key.append(np.resize(np.array(entries), array_shape))
        else:
            key.append(draw(slices))
    if draw(st.booleans()):
        place = draw(st.integers(0, len(key)))
        if covered == len(shape) or place == len(key):
            key.insert(place, Ellipsis)
    return shape, key[0] if len(key) == 1 and draw(st.booleans()) else tuple(key)


@given(keyed(), st.booleans())
@FEW
def test_getitem_as_numpy(case: tuple[tuple[int, ...], Any], named: bool) -> None:
    shape, key = case
    a = np.arange(float(np.prod(shape))).reshape(shape)
    x = symbol_for(a, named)
    got = value(getitem(x, key), {x: a}, env_of(shape))
    np.testing.assert_array_equal(got, a[key] if shape or key != () else a, strict=True)


@given(keyed(), st.booleans())
@FEW
def test_at_as_numpy(case: tuple[tuple[int, ...], Any], named: bool) -> None:
    shape, key = case
    a = np.arange(float(np.prod(shape))).reshape(shape)
    x = symbol_for(a, named)
    v = 100 + np.arange(float(np.size(a[key]))).reshape(np.shape(a[key]))
    t = gc_input("t", v.shape)
    wrote, added = a.copy(), a.copy()
    wrote[key] = v
    np.add.at(added, key, v)
    env = env_of(shape)
    np.testing.assert_array_equal(value(At(x)[key].set(t), {x: a, t: v}, env), wrote, strict=True)
    np.testing.assert_array_equal(value(At(x)[key].add(t), {x: a, t: v}, env), added, strict=True)


KEYS = [
    0,
    -1,
    (slice(1, None), slice(None, -1)),
    (slice(None, None, -2), 1),
    (Ellipsis, None, slice(0, 3, 2)),
    [2, 0, 2],
    (slice(1, 3), [0, 0, 1]),
    ([0, 1, -1], [1, 1, 1]),
    (0, None, [1, 1]),
    (None, [[1], [0]], slice(None, None, -1), [0, 2]),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("named", [False, True])
def test_gradients_of_subscripts(key: Any, named: bool) -> None:
    shape = (3, 3, 4) if isinstance(key, tuple) and len(key) == 4 else (3, 4)
    selected = np.zeros(shape)[tuple(key) if isinstance(key, tuple) else key].shape
    check_gradient(lambda x: getitem(x, key), shape, named=named)
    check_gradient(lambda x, v: At(x)[key].add(v), shape, selected, named=named)
    check_gradient(lambda x, v: At(x)[key].set(v), shape, selected, named=named)


def test_set_passes_the_gradient_to_winners_only() -> None:
    x, v = gc_input("x", (3,)), gc_input("v", (4,))
    y = At(x)[np.array([1, 2, 1, 1])].set(v)
    gx, gv = grad(gc_sum(multiply(y, np.array([1.0, 10.0, 100.0]))), [x, v])
    got = evaluate([gx, gv], {x: np.zeros(3), v: np.arange(4.0)})
    np.testing.assert_array_equal(got[0], [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(got[1], [0.0, 100.0, 0.0, 10.0])


def test_set_is_differentiable_twice() -> None:
    def square_of_written(x: Any, v: Any) -> Any:
        y = At(x)[np.array([0, 2, 0])].set(v)
        return gc_sum(multiply(y, multiply(y, y)))

    x, v = gc_input("x", (3,)), gc_input("v", (3,))
    gx, gv = grad(square_of_written(x, v), [x, v])
    hx, hv = grad(add(gc_sum(gx), gc_sum(gv)), [x, v])
    got = evaluate([gx, gv, hx, hv], {x: np.array([1.0, 2.0, 3.0]), v: np.array([4.0, 5.0, 6.0])})
    for found, want in zip(got, ([0, 12, 0], [0, 75, 108], [0, 12, 0], [0, 30, 36]), strict=True):
        np.testing.assert_array_equal(found, want)


def test_a_cotangent_of_inf_reaches_only_what_was_read() -> None:
    x = gc_input("x", (3,))
    ct = gc_input("ct", ())
    (bar,) = vjp([getitem(x, 1)], [x], [ct])
    np.testing.assert_array_equal(value(bar, {x: np.ones(3), ct: np.array(np.inf)}), [0, np.inf, 0])


def test_basic_writes_need_no_scatter_and_reads_no_gather() -> None:
    x = gc_input("x", ("n", 4))
    written = At(x)[1:3, ::-1].set(0.0)
    ops = {node.op.name for node in topological([written, *grad(gc_sum(written), [x])])}
    assert not ops & {"gather", "scatter_set", "scatter_add"}
    assert At(x)[...].set(gc_input("v", (4,))).op.name == "broadcast_to"


def test_add_keeps_negative_zero() -> None:
    x = gc_input("x", (2,), "float32")
    got = value(At(x)[0].add(1.0), {x: np.array([0.0, -0.0], "float32")})
    assert np.signbit(got).tolist() == [False, True]


def test_written_values_broadcast_and_are_weak() -> None:
    for dtype in ("bool", "uint8", "int64", "float32"):
        a = np.ones((2, 3), dtype)
        for got in both(lambda x: At(x)[:, 1].set(False), a):
            np.testing.assert_array_equal(got, [[1, 0, 1], [1, 0, 1]])
            assert got.dtype == a.dtype
    for got in both(lambda x, v: At(x)[1:].set(v), np.zeros((3, 2)), np.arange(2, dtype="int8")):
        np.testing.assert_array_equal(got, [[0, 0], [0, 1], [0, 1]])


BOUNDS = [
    (1, None),
    (None, 3),
    (-2, None),
    (None, -1),
    (4, 1, -1),
    (None, None, -2),
    (1, 4),
    (-3, -1),
    (7, None),
    (-1, 0, -3),
    (2, 2),
]


@pytest.mark.parametrize("size", [0, 1, 2, 5])
def test_one_graph_serves_every_size(size: int) -> None:
    x = gc_input("x", ("n",))
    a = np.arange(1.0, 1 + size)
    for bounds in BOUNDS:
        key = slice(*bounds)
        y = getitem(x, key)
        np.testing.assert_array_equal(value(y, {x: a}, {"n": size}), a[key])
        (bar,) = grad(gc_sum(multiply(y, y)), [x])
        want = np.zeros(size)
        want[key] = 2 * a[key]
        np.testing.assert_array_equal(value(bar, {x: a}, {"n": size}), want)
        (again,) = grad(gc_sum(multiply(bar, bar)), [x])
        np.testing.assert_array_equal(value(again, {x: a}, {"n": size}), 4 * want)


def test_shapes_of_named_slices_read_well() -> None:
    x = gc_input("x", ("n",))
    shown = [str(getitem(x, k).shape[0]) for k in (slice(1, None), slice(None, -1), slice(1, -1), slice(None, None, 2))]
    assert shown == ["max(0, n - 1)", "max(0, n - 1)", "max(0, n - 2)", "ceildiv(n, 2)"]
    assert getitem(getitem(x, slice(1, None)), slice(1, None)).shape == getitem(x, slice(2, None)).shape
    assert getitem(x, slice(None)) is x


def test_dims_as_bounds_and_indices() -> None:
    n, k = symbol("n"), symbol("k")
    x, i = gc_input("x", ("n",)), gc_input("i", ("k",))
    del i
    for size, cut in ((5, 2), (3, 0), (2, 4), (0, 0)):
        a, env = np.arange(float(size)), {"n": size, "k": cut}
        np.testing.assert_array_equal(value(getitem(x, slice(None, k)), {x: a}, env), a[:cut])
        np.testing.assert_array_equal(value(getitem(x, slice(k, None)), {x: a}, env), a[cut:])
        np.testing.assert_array_equal(value(getitem(x, slice(-k, None)), {x: a}, env), a[max(0, size - cut) :])
        np.testing.assert_array_equal(value(getitem(x, slice(k, None, -1)), {x: a}, env), a[cut::-1])
    a = np.arange(4.0)
    assert value(getitem(x, n - 1), {x: a}, {"n": 4}) == 3
    assert value(getitem(x, -n), {x: a}, {"n": 4}) == 0
    y = getitem(x, slice(n - 3, None))
    np.testing.assert_array_equal(value(y, {x: a}, {"n": 4}), a[1:])
    with pytest.raises(ShapeError, match=r"expected bound n - 3 within axis 0 of float64\[n\]"):
        value(y, {x: a[:2]}, {"n": 2})
    with pytest.raises(ShapeError, match=r"expected index k within axis 0 of float64\[n\]"):
        value(getitem(x, k), {x: a}, {"n": 4, "k": 4})


@pytest.mark.parametrize("index, enough", [(2, 3), (-3, 3), (0, 1), (-1, 1)])
def test_an_int_beyond_a_named_size_is_an_error_of_the_call(index: int, enough: int) -> None:
    x = gc_input("x", ("n",))
    for y in (getitem(x, index), At(x)[index].set(0.0), At(x)[index].add(1.0), *grad(getitem(x, index), [x])):
        value(y, {x: np.zeros(enough)}, {"n": enough})
        with pytest.raises(ShapeError, match=rf"expected index {index} within axis 0 of float64\[n\]"):
            value(y, {x: np.zeros(enough - 1)}, {"n": enough - 1})


def test_tensors_as_indices() -> None:
    a = np.arange(12.0).reshape(3, 4)
    for got in both(lambda x, i: getitem(x, i), a, np.array(-1)):
        np.testing.assert_array_equal(got, a[-1])
    for got in both(lambda x, i: getitem(x, (slice(None), i)), a, np.array([[3], [0]], "uint8")):
        np.testing.assert_array_equal(got, a[:, [[3], [0]]])
    for got in both(lambda x, i, j: getitem(x, (i, j)), a, np.array([0, 2]), np.array([[1], [2]], "int16")):
        np.testing.assert_array_equal(got, a[np.array([0, 2]), np.array([[1], [2]])])


# take, gather, scatter, one_hot


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_take(axis: int) -> None:
    a = np.arange(24.0).reshape(2, 3, 4)
    for i in (np.array(1), np.array([0, -1, 1]), np.zeros((2, 0), int), np.array([[1], [0]], "int8")):
        for got in both(lambda x, t: take(x, t, axis=axis), a, i):
            np.testing.assert_array_equal(got, np.take(a, i, axis=axis), strict=True)
    check_gradient(lambda x: take(x, [[0, 1], [1, 1]], axis=axis), (2, 3, 4), named=True)


def test_take_along_axis() -> None:
    a = np.arange(12.0).reshape(3, 4)
    for axis, i in ((1, np.array([[3, 0], [1, 1], [-1, 2]])), (0, np.array([[0, 2, 1, -1]])), (-1, np.array([[2]]))):
        for got in both(lambda x, t, k=axis: take_along_axis(x, t, axis=k), a, i):
            np.testing.assert_array_equal(got, np.take_along_axis(a, i, axis=axis), strict=True)
        check_gradient(lambda x, t=i, k=axis: take_along_axis(x, t, axis=k), (3, 4), named=True)
    assert take_along_axis(gc_input("x", (1, 3)), gc_input("i", (2, 1), "int64")).shape == (2, 1)


def test_scatters() -> None:
    a, i, v = np.zeros((4, 2)), np.array([[1, 3], [1, -1]]), np.arange(8.0).reshape(2, 2, 2)
    added, wrote = a.copy(), a.copy()
    np.add.at(added, i, v)
    wrote[i] = v
    for got in both(lambda x, u, t: scatter_add(x, u, t), a, v, i):
        np.testing.assert_array_equal(got, added)
    for got in both(lambda x, u, t: scatter_set(x, u, t), a, v, i):
        np.testing.assert_array_equal(got, wrote)
    for got in both(lambda x, t: scatter_set(x, 1, t, [0, 1]), a, i):
        assert np.argwhere(got).tolist() == [[1, 0], [3, 1]]
    for f in (scatter_add, scatter_set):
        check_gradient(lambda x, u, f=f: f(x, u, i), (4, 2), (2, 2, 2), named=True)
        check_gradient(lambda x, u, f=f: f(x, u, [0, 1, 0], [1, 0, 1]), (4, 2, 3), (3,), named=True)


def test_the_last_of_repeats_wins_in_any_memory_order() -> None:
    x, i, v = gc_input("x", (1,)), gc_input("i", (2, 3), "int64"), gc_input("v", (2, 3))
    zeros, values = np.asfortranarray(np.zeros((2, 3), int)), np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert value(scatter_set(x, v, i), {x: np.zeros(1), i: zeros, v: values}) == 5


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint64"])
def test_small_index_dtypes_reach_far(dtype: str) -> None:
    x, i = gc_input("x", (300,)), gc_input("i", (2,), dtype)
    a = np.arange(300.0)
    index = np.array([100, np.iinfo(dtype).max if dtype == "uint8" else 3], dtype)
    np.testing.assert_array_equal(value(gather(x, i), {x: a, i: index}), a[index])


def test_one_hot() -> None:
    labels = np.array([[2, 0], [-1, 1]])
    for got in both(lambda t: one_hot(t, 3, dtype="float32"), labels):
        np.testing.assert_array_equal(got, np.eye(3, dtype="float32")[labels], strict=True)
    t = gc_input("t", ("n",), "int32")
    y = one_hot(t, "k", dtype="bool")
    assert value(y, {t: np.array([1], "int32")}, {"n": 1, "k": 2}).tolist() == [[False, True]]
    with pytest.raises(OutOfBoundsError, match="index out of range: got 2, expected -2 <= index < 2"):
        value(y, {t: np.array([2], "int32")}, {"n": 1, "k": 2})


@pytest.mark.parametrize("bad", [3, -4])
def test_an_index_out_of_range_is_an_error_of_the_call(bad: int) -> None:
    x, i = gc_input("x", (3,)), gc_input("i", (2,), "int64")
    for y in (getitem(x, i), take(x, i), take_along_axis(x, i), scatter_set(x, 0.0, i), At(x)[i].add(1.0)):
        with pytest.raises(OutOfBoundsError, match=f"index out of range: got {bad}, expected -3 <= index < 3"):
            value(y, {x: np.zeros(3), i: np.array([0, bad])})
    empty = gc_input("e", (0,))
    with pytest.raises(OutOfBoundsError, match="got 0, expected no index: the axis is empty"):
        value(gather(empty, i), {empty: np.zeros(0), i: np.zeros(2, int)})


# sorting


@pytest.mark.parametrize("descending", [False, True])
def test_sort_is_stable_with_nan_last(descending: bool) -> None:
    a = np.array([2.0, np.nan, -0.0, 1.0, 2.0, 0.0, np.inf, np.nan, -np.inf, 1.0])
    want = [6, 0, 4, 3, 9, 2, 5, 8, 1, 7] if descending else [8, 2, 5, 3, 9, 0, 4, 6, 1, 7]
    for dtype in ("float64", "float32"):
        for got in both(lambda x: argsort(x, descending=descending), a.astype(dtype)):
            np.testing.assert_array_equal(got, want)
    for got in both(lambda x: sort(x, descending=descending), a):
        np.testing.assert_array_equal(got, a[want])


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "uint64", "int64"])
def test_sort_of_integers(dtype: str) -> None:
    low, high = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    a = np.array([high, low, 1, low, high], dtype)
    for got in both(lambda x: sort(x), a):
        np.testing.assert_array_equal(got, np.sort(a), strict=True)
    for got in both(lambda x: argsort(x, descending=True), a):
        assert got.tolist() == ([0, 2, 4, 1, 3] if dtype == "bool" else [0, 4, 2, 1, 3])


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 0), (3, 4), (2, 3, 2)])
def test_sort_along_axes(shape: tuple[int, ...]) -> None:
    a = np.random.default_rng(0).integers(0, 4, shape).astype(float)
    for axis in range(-len(shape), len(shape)):
        for got in both(lambda x, k=axis: sort(x, axis=k), a):
            np.testing.assert_array_equal(got, np.sort(a, axis=axis), strict=True)
        for got in both(lambda x, k=axis: argsort(x, axis=k), a):
            np.testing.assert_array_equal(got, np.argsort(a, axis=axis, kind="stable"), strict=True)


def test_gradient_of_sort_goes_back_to_the_places() -> None:
    x = gc_input("x", ("n",))
    (bar,) = grad(gc_sum(multiply(sort(x, descending=True), np.array([1.0, 10.0, 100.0]))), [x])
    np.testing.assert_array_equal(value(bar, {x: np.array([2.0, 3.0, 1.0])}, {"n": 3}), [10.0, 1.0, 100.0])


# errors

X = gc_input("x", (3, 4))
MASK = gc_input("mask", (3, 4), "bool")
WHOLE = gc_input("whole", (3,), "int64")
NEXT = " expected ints, slices, ..., None or integer arrays"

ERRORS = [
    (OutOfBoundsError, "index 3 is out of range in x[...]: got x: float64[3, 4], expected -3 <= index < 3 on axis 0",
     lambda: getitem(X, 3)),
    (OutOfBoundsError, "index -5 is out of range in x[...]: got x: float64[3, 4], expected -4 <= index < 4 on axis 1",
     lambda: getitem(X, (slice(None), [0, -5]))),
    (OutOfBoundsError, "index 0 is out of range in x[...]: got x: float64[0], expected no index: axis 0 is empty",
     lambda: getitem(gc_input("x", (0,)), 0)),
    (OutOfBoundsError, "too many indices in x[...]: got x: float64[3, 4], 3 indices, expected at most 2",
     lambda: getitem(X, (0, 1, 2))),
    (OutOfBoundsError, "index 4 is out of range in take: got x: float64[3, 4], expected -4 <= index < 4 on axis 1",
     lambda: take(X, [4], axis=1)),
    (OutOfBoundsError, "index 9 is out of range in x.at[...].set: got x: float64[3, 4], expected -3 <= index < 3",
     lambda: At(X)[9].set(0.0)),
    (UnsupportedError, "a mask as index in x[...]: got x: float64[3, 4], indices: bool[3, 4], expected integer indices",
     lambda: getitem(X, MASK)),
    (UnsupportedError, "a mask as index in x[...]", lambda: getitem(X, [True, False, True])),
    (UnsupportedError, "a bool index in x[...]: got x: float64[3, 4], index True," + NEXT, lambda: getitem(X, True)),
    (DTypeError, "bad index in x[...]: got x: float64[3, 4], index 1.5," + NEXT, lambda: getitem(X, 1.5)),
    (DTypeError, "bad index in x[...]: got x: float64[3, 4], index 'a'," + NEXT, lambda: getitem(X, "a")),
    (DTypeError, "bad index in x[...]: got x: float64[3, 4], two Ellipses, expected at most one ...",
     lambda: getitem(X, (..., ...))),
    (DTypeError, "bad index in x[...]: got x: float64[3, 4], a slice with step 0, expected an int step other than 0",
     lambda: getitem(X, slice(None, None, 0))),
    (DTypeError, "bad index in x[...]: got x: float64[3, 4], a slice with bound 0.5, expected ints or dims as bounds",
     lambda: getitem(X, slice(0.5, None))),
    (DTypeError, "bad index in x[...]: got x: float64[3, 4], a slice with bound int64 tensor, expected ints or dims",
     lambda: getitem(X, slice(gc_sum(WHOLE), None))),
    (DTypeError, "bad indices in x[...]: got x: float64[3, 4], indices: float64[2], expected integer indices",
     lambda: getitem(X, [0.0, 1.0])),
    (DTypeError, "cannot x.at[...].set: got whole: int64[3], operand 2: float64[], expected values that fit int64",
     lambda: At(WHOLE)[0].set(0.5)),
    (DTypeError, "cannot x.at[...].add: got x: float32[2], operand 2: float64[2], expected values that fit float32",
     lambda: At(gc_input("x", (2,), "float32"))[:].add(np.ones(2))),
    (DTypeError, "a Python int does not fit: got 300, expected uint8: 0 .. 255",
     lambda: At(gc_input("x", (2,), "uint8"))[0].set(300)),
    (ShapeError, "cannot x.at[...].set: got x: float64[3, 4], operand 2: float64[3], expected values that",
     lambda: At(X)[0].set(np.ones(3))),
    (ShapeError, "cannot take: got x: float64[3, 4], expected axis=, unless the tensor is 1-d", lambda: take(X, [0])),
    (ShapeError, "cannot take_along_axis: got x: float64[3, 4], whole: int64[3], expected as many axes in the indices",
     lambda: take_along_axis(X, WHOLE)),
    (ShapeError, "cannot take_along_axis: got x: float64[3, 4], operand 2: int64[2, 1], expected sizes that",
     lambda: take_along_axis(X, np.zeros((2, 1), int))),
    (ShapeError, "cannot gather: got x: float64[3, 4], expected at most one index array per axis, not 3",
     lambda: gather(X, [0], [0], [0])),
    (ShapeError, "cannot scatter_add: got x: float64[3, 4], expected at least one index array",
     lambda: scatter_add(X, 1.0)),
    (DTypeError, "bad indices in one_hot: got int64[5], indices: float64[3, 4], expected integer indices",
     lambda: one_hot(X, 5)),
    (ShapeError, "axis out of range in argsort: got -1, expected no axis: the tensor is 0-d",
     lambda: argsort(gc_input("x", ()))),
]  # fmt: skip


@pytest.mark.parametrize("error, text, call", ERRORS, ids=[re.sub(r"\W+", "_", e[1])[:50] for e in ERRORS])
def test_error(error: type[GraphcError], text: str, call: Any) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(text), str(caught.value)
    assert "does not fit" in text or "test_ops_indexing.py" in str(caught.value), str(caught.value)
