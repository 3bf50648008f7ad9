"""Moving, joining, padding and making tensors, against NumPy: int and named sizes, size 0, gradients, error texts."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from linear_maps import both, check_gradient, env_of, symbol_for, value

from graphc.errors import DTypeError, GraphcError, ShapeError, UnsupportedError
from graphc.ir import dims
from graphc.ir.dims import symbol
from graphc.ir.leaves import input as gc_input
from graphc.ir.traversal import topological
from graphc.ops import creation as c
from graphc.ops import joining as j
from graphc.ops import movement as m
from graphc.ops import rearranging as r
from graphc.ops.padding import pad
from graphc.ops.ranges import arange, linspace, meshgrid
from graphc.ops.triangular import diag, diagonal, eye, tril, triu

SHAPES = [(), (0,), (1,), (3,), (2, 3), (3, 0, 2), (1, 4, 1), (2, 3, 4)]


def fails(error: type[GraphcError], text: str, call: Any) -> None:
    """`call` raises `error` whose text begins with `text` and names this file."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(text), str(caught.value)
    assert "test_ops_movement.py" in str(caught.value), str(caught.value)


def same(f: Any, reference: Any, *arrays: np.ndarray) -> None:
    want = reference(*arrays)
    for got in both(f, *arrays):
        np.testing.assert_array_equal(got, want, strict=True)


X = gc_input("x", (3, 4))
V = gc_input("v", ("n",))


# shapes and axes


@pytest.mark.parametrize("shape", SHAPES)
def test_axes(shape: tuple[int, ...]) -> None:
    a = np.arange(float(np.prod(shape))).reshape(shape)
    n = a.ndim
    same(lambda x: m.reshape(x, -1), np.ravel, a)
    same(lambda x: m.flip(x), np.flip, a)
    same(lambda x: r.expand_dims(x, axis=(0, -1)), lambda x: np.expand_dims(x, (0, -1)), a)
    same(lambda x: r.roll(x, 5), lambda x: np.roll(x, 5), a)
    for axis in range(-n, n):
        same(lambda x, k=axis: m.flip(x, axis=k), lambda x, k=axis: np.flip(x, k), a)
        same(lambda x, k=axis: r.moveaxis(x, k, 0), lambda x, k=axis: np.moveaxis(x, k, 0), a)
        same(lambda x, k=axis: r.swapaxes(x, k, -1), lambda x, k=axis: np.swapaxes(x, k, -1), a)
        for shift in (-7, -1, 0, 1, 2, 3, 9):
            same(lambda x, k=axis, s=shift: r.roll(x, s, axis=k), lambda x, k=axis, s=shift: np.roll(x, s, k), a)


def test_moveaxis_and_roll_several() -> None:
    a = np.arange(24.0).reshape(2, 3, 4)
    same(lambda x: r.moveaxis(x, (0, 1), (-1, 0)), lambda x: np.moveaxis(x, (0, 1), (-1, 0)), a)
    same(lambda x: r.roll(x, (1, 2), axis=(0, 2)), lambda x: np.roll(x, (1, 2), (0, 2)), a)
    same(lambda x: r.roll(x, 2, axis=(0, 1)), lambda x: np.roll(x, 2, (0, 1)), a)
    same(lambda x: m.permute_dims(x, (2, 0, -2)), lambda x: np.transpose(x, (2, 0, 1)), a)


def test_squeeze_drops_declared_ones() -> None:
    x = gc_input("x", (1, "n", 1))
    assert r.squeeze(x).shape == (symbol("n"),)
    assert r.squeeze(x, axis=-1).shape == (1, symbol("n"))


def test_nothing_to_do_builds_no_node() -> None:
    assert m.reshape(X, (3, -1)) is X
    assert m.broadcast_to(X, (3, 4)) is X
    assert m.permute_dims(X, (0, 1)) is X
    assert r.roll(X, 4, axis=1) is X
    assert j.concat([X]) is X
    assert r.squeeze(X) is X


def test_reshape_of_named_sizes() -> None:
    n = symbol("n")
    assert m.reshape(gc_input("x", ("n", 4)), (-1, 2)).shape == (2 * n, 2)
    assert m.reshape(gc_input("x", ("n", 4)), (n, 2, 2)).shape == (n, 2, 2)
    x = gc_input("x", ("n",))
    y = m.reshape(x, (-1, 2))
    assert value(y, {x: np.arange(4.0)}, {"n": 4}).shape == (2, 2)
    with pytest.raises(ShapeError, match=r"as many elements in \[.*, 2\] as in \[n\]"):
        value(y, {x: np.arange(3.0)}, {"n": 3})


def test_broadcast() -> None:
    a = np.arange(3.0).reshape(3, 1)
    x, y = gc_input("x", (3, 1)), gc_input("y", (4,), "int8")
    left, right = m.broadcast_arrays(x, y)
    assert (left.shape, right.shape, right.dtype) == ((3, 4), (3, 4), np.dtype("int8"))
    np.testing.assert_array_equal(value(left, {x: a}), np.broadcast_to(a, (3, 4)))
    assert m.broadcast_arrays() == []


def test_a_named_size_does_not_stretch() -> None:
    y = m.broadcast_to(V, (4,))
    assert value(y, {V: np.ones(4)}, {"n": 4}).shape == (4,)
    with pytest.raises(ShapeError, match=r"size n to be 4 \(or declared as 1\)"):
        value(y, {V: np.ones(1)}, {"n": 1})


@pytest.mark.parametrize("named", [False, True])
def test_gradients_of_moves(named: bool) -> None:
    check_gradient(lambda x: m.permute_dims(m.flip(x, axis=1), (2, 0, 1)), (2, 3, 2), named=named)
    check_gradient(lambda x: m.reshape(x, (-1, 1)), (2, 3), named=named)
    check_gradient(lambda x: r.roll(x, 2, axis=0), (3, 2), named=named)
    check_gradient(lambda x: m.broadcast_to(r.expand_dims(x, axis=1), (x.shape[0], 3, x.shape[1])), (2, 2), named=named)
    check_gradient(lambda x: m.broadcast_to(x, (2, 3, 2)), (3, 2), named=named)


# slice and pad, each the derivative of the other


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("start, stop, step", [(0, 7, 3), (1, 7, 4), (2, 2, 1), (6, 7, 5), (0, 7, 1), (3, 7, 2)])
def test_slice_gradients_to_second_order(start: int, stop: int, step: int, named: bool) -> None:
    check_gradient(lambda x: m.slice_axis(x, 0, start, stop, step), (7, 2), named=named)
    check_gradient(lambda x: m.pad_interior(x, (start, 0), (1, 2), (step - 1, 1)), (3, 2), named=named)
    check_gradient(lambda x: m.pad_interior(x, (start, 0), (1, 2), (step - 1, 1)), (0, 2), named=named)


def test_pad_places_elements_apart() -> None:
    a = np.array([1.0, 2.0, 3.0])
    want = np.array([9.0, 1, 9, 9, 2, 9, 9, 3, 9, 9])
    for got in both(lambda x: m.pad_interior(x, (1,), (2,), (2,), 9.0), a):
        np.testing.assert_array_equal(got, want)


# joining


def test_concat_and_stack() -> None:
    a, b = np.ones((2, 3)), np.arange(3).reshape(1, 3)
    same(lambda x, y: j.concat([x, y]), lambda x, y: np.concatenate([x, y]), a, b)
    same(lambda x, y: j.concat([x, y], axis=None), lambda x, y: np.concatenate([x, y], axis=None), a, b)
    same(lambda x, y: j.concat((x, y), axis=-1), lambda x, y: np.concatenate([x, y], axis=-1), a, np.zeros((2, 0)))
    for axis in (0, 1, -1):
        same(lambda x, y, k=axis: j.stack([x, y], axis=k), lambda x, y, k=axis: np.stack([x, y], k), a, 2 * a)
    assert j.concat([gc_input("x", (2,), "float32"), [1.0]]).dtype == np.dtype("float64")
    for f in (lambda x, y: j.concat([x, y, x]), lambda x, y: j.stack([x, y], axis=1)):
        check_gradient(f, (2, 3), (2, 3))
        check_gradient(f, (2, 3), (2, 3), named=True)


def test_concat_of_named_sizes_is_checked_at_call_time() -> None:
    y = j.concat([gc_input("x", ("n",)), V, gc_input("z", (2,))])
    assert y.shape == (2 * symbol("n") + 2,)
    x, z = gc_input("x", (2, "n")), gc_input("z", (2, 3))
    y = j.concat([x, z])
    assert value(y, {x: np.ones((2, 3)), z: np.ones((2, 3))}, {"n": 3}).shape == (4, 3)
    with pytest.raises(ShapeError, match="equal sizes on axis 1 of all operands of concat"):
        value(y, {x: np.ones((2, 4)), z: np.ones((2, 3))}, {"n": 4})


@pytest.mark.parametrize("named", [False, True])
def test_split_and_unstack(named: bool) -> None:
    a = np.arange(12.0).reshape(6, 2)
    x = symbol_for(a, named)
    env = env_of(a.shape)
    for cut in (3, 1, [1, 4], [], [4, 2, 9], [-2], np.array([2, 3])):
        for got, want in zip(j.split(x, cut), np.split(a, cut), strict=True):
            np.testing.assert_array_equal(value(got, {x: a}, env), want)
    last = gc_input("x", (symbol("n") if named else 6, 2))
    for k, got in enumerate(j.unstack(last, axis=1)):
        np.testing.assert_array_equal(value(got, {last: a}, {"n": 6}), a[:, k])
    if named:
        with pytest.raises(ShapeError, match="to be"):
            value(j.split(x, 4)[-1], {x: a}, env)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_tile_and_repeat(shape: tuple[int, ...]) -> None:
    a = np.arange(float(np.prod(shape))).reshape(shape)
    for reps in (2, 0, (2, 1), (2, 0), (3, 1, 2)):
        same(lambda x, k=reps: j.tile(x, k), lambda x, k=reps: np.tile(x, k), a)
    for count in (0, 1, 3, [2]):
        same(lambda x, k=count: j.repeat(x, k), lambda x, k=count: np.repeat(x, k), a)
        for axis in range(a.ndim):
            same(lambda x, k=count, d=axis: j.repeat(x, k, axis=d), lambda x, k=count, d=axis: np.repeat(x, k, d), a)


def test_repeat_each() -> None:
    x = gc_input("x", ("n", 3))
    a = np.arange(6.0).reshape(2, 3)
    for counts in ((1, 0, 2), np.array([0, 0, 0])):
        np.testing.assert_array_equal(
            value(j.repeat(x, counts, axis=1), {x: a}, {"n": 2}), np.repeat(a, np.asarray(counts), axis=1)
        )
    check_gradient(lambda x: j.repeat(x, (1, 0, 2), axis=1), (2, 3))
    check_gradient(lambda x: j.tile(j.repeat(x, 2, axis=0), (2, 2)), (2, 3), named=True)


# pad


@pytest.mark.parametrize("width", [0, 2, (1, 3), ((0, 2), (1, 0)), [[2], [1]], ((3, 1),), np.array([[1, 2], [0, 1]])])
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric", "wrap"])
def test_pad_modes(mode: str, width: Any) -> None:
    a = np.arange(20.0).reshape(4, 5)
    same(lambda x: pad(x, width, mode), lambda x: np.pad(x, width, mode), a)


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "wrap"])
@pytest.mark.parametrize("width", [(5, 0), (0, 5), (4, 9), (1, 2)])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_pad_by_more_than_there_is(mode: str, width: tuple[int, int], size: int) -> None:
    a = np.arange(float(size))
    x = symbol_for(a)
    np.testing.assert_array_equal(value(pad(x, width, mode), {x: a}), np.pad(a, width, mode))


def test_pad_constants() -> None:
    a = np.arange(6.0).reshape(2, 3)
    for values in (1.5, (1, 2), ((1, 2), (3, 4)), np.float64(2.0)):
        same(
            lambda x, v=values: pad(x, (2, 1), constant_values=v),
            lambda x, v=values: np.pad(x, (2, 1), constant_values=v),
            a,
        )
    same(lambda x: pad(x, {-1: (1, 2)}), lambda x: np.pad(x, ((0, 0), (1, 2))), a)
    same(lambda x: pad(x, 1, constant_values=True), lambda x: np.pad(x, 1, constant_values=True), a > 2)
    same(lambda x: pad(x, 1, constant_values=7), lambda x: np.pad(x, 1, constant_values=7), a.astype("uint8"))
    n = symbol("n")
    assert pad(V, ((n, 1),)).shape == (2 * n + 1,)
    assert [node.op.name for node in topological([pad(X, 1)])] == ["input", "pad"]


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric", "wrap"])
@pytest.mark.parametrize("named", [False, True])
def test_pad_gradients(mode: str, named: bool) -> None:
    check_gradient(lambda x: pad(x, ((2, 1), (0, 2)), mode), (3, 4), named=named)


def test_pad_of_a_named_size_checks_that_there_is_enough() -> None:
    y = pad(V, 2, "reflect")
    assert value(y, {V: np.arange(3.0)}, {"n": 3}).shape == (7,)
    with pytest.raises(ShapeError, match=r"expected index 2 within axis 0 of float64\[n\]"):
        value(y, {V: np.arange(2.0)}, {"n": 2})
    assert value(pad(V, 2), {V: np.zeros(0)}, {"n": 0}).shape == (4,)


# creation


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float32", "float64"])
def test_full_and_kin(dtype: str) -> None:
    like = gc_input("x", (2, "n"), dtype)
    env = {"n": 3}
    for made, want in (
        (c.zeros((2, 3), dtype=dtype), np.zeros((2, 3), dtype)),
        (c.ones((), dtype=dtype), np.ones((), dtype)),
        (c.empty((0, 2), dtype=dtype), np.zeros((0, 2), dtype)),
        (c.full((2,), 1, dtype=dtype), np.full((2,), 1, dtype)),
        (c.zeros_like(like), np.zeros((2, 3), dtype)),
        (c.ones_like(like), np.ones((2, 3), dtype)),
        (c.empty_like(like, dtype="int16"), np.zeros((2, 3), "int16")),
        (c.full_like(like, True), np.full((2, 3), True, dtype)),
        (c.full_like(like, 2.5, dtype="float32"), np.full((2, 3), 2.5, "float32")),
    ):
        np.testing.assert_array_equal(value(made, env=env), want, strict=True)
        assert (
            max(int(np.prod(n.attrs["data"].array.shape)) for n in topological([made]) if n.op.name == "constant") == 1
        )


def test_full_takes_tensors_and_dims() -> None:
    s = gc_input("s", (), "float32")
    assert c.full((2,), s).dtype == np.dtype("float32")
    np.testing.assert_array_equal(value(c.full((2,), symbol("n")), env={"n": 4}), [4, 4])
    assert [c.full((), v).dtype.name for v in (True, 1, 1.0, np.float32(1))] == ["bool", "int64", "float64", "float32"]


@pytest.mark.parametrize(
    "args",
    [
        (5,),
        (0,),
        (-2,),
        (2, 9),
        (2, 9, 3),
        (9, 2, -2),
        (9, 2),
        (0.0, 1.0, 0.1),
        (1, 0, -0.25),
        (0.5, 3),
        (3.7,),
        (1, 2, -1.0),
    ],
)
def test_arange(args: tuple[Any, ...]) -> None:
    np.testing.assert_array_equal(value(arange(*args)), np.arange(*args), strict=True)
    np.testing.assert_array_equal(value(arange(*args, dtype="float32")), np.arange(*args, dtype="float32"), strict=True)


def test_arange_of_dims() -> None:
    n = symbol("n")
    assert arange(n).shape == (n,)
    for size in (0, 1, 5):
        for made, want in (
            (arange(n), np.arange(size)),
            (arange(2, n), np.arange(2, size)),
            (arange(0, n, 2), np.arange(0, size, 2)),
            (arange(n, 0, -1), np.arange(size, 0, -1)),
            (arange(n, dtype="float32"), np.arange(size, dtype="float32")),
        ):
            np.testing.assert_array_equal(value(made, env={"n": size}), want, strict=True)


@pytest.mark.parametrize("num", [0, 1, 2, 7])
@pytest.mark.parametrize("endpoint", [True, False])
def test_linspace(num: int, endpoint: bool) -> None:
    want = np.linspace(-1, 2.5, num, endpoint=endpoint)
    np.testing.assert_array_equal(value(linspace(-1, 2.5, num, endpoint=endpoint)), want, strict=True)
    np.testing.assert_array_equal(value(linspace(-1, 2.5, "n", endpoint=endpoint), env={"n": num}), want)
    single = value(linspace(0, 1, num, dtype="float32", endpoint=endpoint))
    np.testing.assert_array_equal(single, np.linspace(0, 1, num, dtype="float32", endpoint=endpoint), strict=True)
    check_gradient(lambda a, b: linspace(a, b, num, endpoint=endpoint), (), ())


def test_meshgrid() -> None:
    arrays = [np.arange(2.0), np.arange(3), np.array(5.0)]
    for indexing in ("xy", "ij"):
        for count in (0, 1, 2, 3):
            got = meshgrid(*arrays[:count], indexing=indexing)
            for g, want in zip(got, np.meshgrid(*arrays[:count], indexing=indexing), strict=True):
                np.testing.assert_array_equal(value(g), want, strict=True)


# diagonals


@pytest.mark.parametrize("k", [-5, -1, 0, 1, 2, 5])
def test_diagonals(k: int) -> None:
    for shape in ((3, 3), (2, 4), (4, 2), (0, 3), (3, 1)):
        a = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
        same(lambda x: tril(x, k=k), lambda x: np.tril(x, k), a)
        same(lambda x: triu(x, k=k), lambda x: np.triu(x, k), a)
        if -shape[0] <= k <= shape[1]:
            same(lambda x: diagonal(x, offset=k), lambda x: np.diagonal(x, k), a)
            same(lambda x: diag(x, k), lambda x: np.diag(x, k), a)
    for size in (0, 1, 3):
        same(lambda x: diag(x, k), lambda x: np.diag(x, k), np.arange(1.0, 1 + size))
        np.testing.assert_array_equal(value(eye(size, 4, k=k)), np.eye(size, 4, k), strict=True)
        np.testing.assert_array_equal(value(eye("n", k=k, dtype="bool"), env={"n": size}), np.eye(size, k=k) > 0)


def test_diagonals_of_stacks_and_their_gradients() -> None:
    a = np.arange(24.0).reshape(2, 3, 4)
    same(lambda x: diagonal(x, axis1=0, axis2=2), lambda x: np.diagonal(x, 0, 0, 2), a)
    same(lambda x: triu(x, k=1), lambda x: np.triu(x, 1), a)
    same(lambda x: diag(x), np.diag, np.array([True, False]))
    for f in (lambda x: tril(x, k=-1), lambda x: diagonal(x, offset=1), lambda x: diag(x, -1)):
        check_gradient(f, (3, 4), named=True)
    check_gradient(lambda x: diag(x, 2), (3,), named=True)
    x = gc_input("x", (2, 2))
    inf = np.array([[1.0, np.inf], [np.nan, 2.0]])
    np.testing.assert_array_equal(value(tril(triu(x)), {x: inf}), [[1.0, 0.0], [0.0, 2.0]])


# dims that these ops make


def test_dims_with_a_known_sign_are_simple() -> None:
    n = symbol("n")
    assert dims.max0(n - dims.max0(n - 3)) == n - dims.max0(n - 3)
    assert dims.max0(dims.max0(n - 1) - 1) == dims.max0(n - 2)
    assert dims.max0(n - dims.floordiv(n, 2)) == n - dims.floordiv(n, 2)
    assert dims.max0(dims.max0(n - 3) - n) == 0
    assert not dims.nonnegative(n - 1) and not dims.nonnegative(dims.floordiv(n - 3, 2))


# errors


ERRORS = [
    (
        ShapeError,
        "cannot reshape: got x: float64[3, 4], expected as many elements as the shape (5, -1) has",
        lambda: m.reshape(X, (5, -1)),
    ),
    (
        ShapeError,
        "cannot reshape: got x: float64[3, 4], expected at most one -1, not (-1, -1)",
        lambda: m.reshape(X, (-1, -1)),
    ),
    (
        ShapeError,
        "cannot reshape: got x: float64[0], expected a size that -1 can stand for in (0, -1)",
        lambda: m.reshape(gc_input("x", (0,)), (0, -1)),
    ),
    (
        ShapeError,
        "cannot broadcast_to: got x: float64[3, 4], expected a shape that broadcasts to [4, 3]",
        lambda: m.broadcast_to(X, (4, 3)),
    ),
    (
        ShapeError,
        "cannot permute_dims: got x: float64[3, 4], expected each axis once, not (0, 0)",
        lambda: m.permute_dims(X, (0, 0)),
    ),
    (ShapeError, "axis out of range in flip: got 2, expected -2 <= axis < 2", lambda: m.flip(X, axis=2)),
    (
        ShapeError,
        "cannot moveaxis: got x: float64[3, 4], expected as many destinations as sources, not (0, 1) and 0",
        lambda: r.moveaxis(X, (0, 1), 0),
    ),
    (
        ShapeError,
        "repeated axis in expand_dims: got (0, 0), expected distinct axes",
        lambda: r.expand_dims(X, axis=(0, 0)),
    ),
    (ShapeError, "cannot squeeze: got v: float64[n], expected size 1 on axis 0", lambda: r.squeeze(V, axis=0)),
    (ShapeError, "bad shift in roll: got 1.5, expected ints", lambda: r.roll(X, 1.5)),
    (
        ShapeError,
        "cannot roll: got x: float64[3, 4], expected as many shifts as axes, not (1, 2) and (0, 1, 0)",
        lambda: r.roll(X, (1, 2), axis=(0, 1, 0)),
    ),
    (ShapeError, "cannot concat: got none, expected a list or tuple of tensors", lambda: j.concat([])),
    (ShapeError, "cannot stack: got Tensor, expected a list or tuple of tensors", lambda: j.stack(X)),
    (
        ShapeError,
        "cannot concat: got x: float64[3, 4], y: float64[2, 3], expected equal shapes but for axis 0",
        lambda: j.concat([X, gc_input("y", (2, 3))]),
    ),
    (
        ShapeError,
        "cannot stack: got x: float64[3, 4], y: float64[4], expected equal shapes",
        lambda: j.stack([X, gc_input("y", (4,))]),
    ),
    (ShapeError, "cannot unstack: got v: float64[n], expected an int size on axis 0", lambda: j.unstack(V)),
    (
        ShapeError,
        "cannot split: got x: float64[3, 4], expected a number of parts that divides axis 0, not 2",
        lambda: j.split(X, 2),
    ),
    (ShapeError, "bad position in split: got 1.5, expected an int", lambda: j.split(X, [1.5])),
    (ShapeError, "bad count in repeat: got -1, expected an int >= 0", lambda: j.repeat(X, (1, -1, 2), axis=0)),
    (
        ShapeError,
        "cannot repeat: got v: float64[n], expected one repeat for each position of axis 0, not 2",
        lambda: j.repeat(V, (1, 2), axis=0),
    ),
    (
        UnsupportedError,
        "repeat with a tensor of repeats: expected ints: the size of the result must not depend on data",
        lambda: j.repeat(X, gc_input("c", (3,), "int64"), axis=0),
    ),
    (
        UnsupportedError,
        "unknown mode in pad: got 'mean', expected one of constant, edge, reflect, symmetric, wrap",
        lambda: pad(X, 1, "mean"),
    ),
    (
        ShapeError,
        "cannot pad: got x: float64[3, 4], expected pad_width as a number, a pair, or a pair for each axis, "
        "not (1, 2, 3)",
        lambda: pad(X, (1, 2, 3)),
    ),
    (
        ShapeError,
        "cannot pad: got v: float64[n], expected int widths in mode 'wrap'",
        lambda: pad(V, symbol("n"), "wrap"),
    ),
    (
        ShapeError,
        "cannot pad: got x: float64[0], expected at least one element on axis 0 in mode 'edge'",
        lambda: pad(gc_input("x", (0,)), 1, "edge"),
    ),
    (
        DTypeError,
        "cannot pad: got x: int64[2], operand 2: float64[], expected values that fit int64",
        lambda: pad(gc_input("x", (2,), "int64"), 1, constant_values=0.5),
    ),
    (
        UnsupportedError,
        "pad with a tensor as constant_values: expected plain numbers",
        lambda: pad(X, 1, constant_values=gc_input("s", ())),
    ),
    (ShapeError, "cannot full: got float64[2], expected a number or 0-d tensor", lambda: c.full((2,), [1.0, 2.0])),
    (
        DTypeError,
        "cannot full_like: got x: int64[2], operand 2: float64[], expected a value that fits int64",
        lambda: c.full_like(gc_input("x", (2,), "int64"), 0.5),
    ),
    (ShapeError, "arange with step 0: expected a step", lambda: arange(0, 5, 0)),
    (
        DTypeError,
        "bad stop in arange: got <Tensor 'x' input float64[3, 4]>, expected a number or a dim",
        lambda: arange(X),
    ),
    (
        DTypeError,
        "cannot arange: got start 0, stop n, step 0.5, expected ints beside a dim",
        lambda: arange(0, symbol("n"), 0.5),
    ),
    (DTypeError, "cannot linspace: got int64, expected a float dtype", lambda: linspace(0, 1, 3, dtype="int64")),
    (
        ShapeError,
        "cannot linspace: got x: float64[3, 4], operand 2: float64[], expected 0-d start and stop",
        lambda: linspace(X, 1.0, 3),
    ),
    (ShapeError, "bad indexing in meshgrid: got 'yx', expected 'xy' or 'ij'", lambda: meshgrid(V, indexing="yx")),
    (ShapeError, "cannot meshgrid: got x: float64[3, 4], expected operands with one axis", lambda: meshgrid(X)),
    (ShapeError, "cannot tril: got v: float64[n], expected at least two axes", lambda: tril(V)),
    (ShapeError, "bad diagonal in triu: got 0.5, expected an int", lambda: triu(X, k=0.5)),
    (
        ShapeError,
        "cannot diagonal: got x: float64[3, 4], expected two different axes, not 0 and -2",
        lambda: diagonal(X, axis1=0, axis2=-2),
    ),
    (ShapeError, "cannot diag: got x: float64[], expected one or two axes", lambda: diag(gc_input("x", ()))),
]


@pytest.mark.parametrize("error, text, call", ERRORS, ids=[re.sub(r"\W+", "_", e[1])[:50] for e in ERRORS])
def test_error(error: type[GraphcError], text: str, call: Any) -> None:
    fails(error, text, call)
