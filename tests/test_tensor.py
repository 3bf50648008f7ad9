"""Tensors as nodes and as values in Python: identity, pickling, threads, NumPy's protocols, error texts."""

from __future__ import annotations

import math
import operator
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.autodiff.vjp import grad
from graphc.errors import DTypeError, TraceError, UnsupportedError
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.ir.leaves import constant, param
from graphc.ir.leaves import input as symbolic
from graphc.ir.tensor import Tensor
from graphc.ops.functions import PUBLIC
from graphc.ops.table import OPS

_DEEP = 100_000


# identity


def test_equal_expressions_are_one_node() -> None:
    x, y = symbolic("x", ("n", 3)), symbolic("y", ("n", 3))
    assert x + y is x + y
    assert x + y is not y + x
    assert x * 2 is x * 2.0, "a weak scalar takes the dtype it meets"
    assert np.exp(x) is PUBLIC["exp"](x)
    assert x.sum(axis=0) is x.sum(axis=-2)


def test_inputs_of_one_name_are_two() -> None:
    assert symbolic("x", (3,)) is not symbolic("x", (3,))
    assert param(0.0, name="w") is not param(0.0, name="w")


def test_constants_are_told_apart_by_bits_and_dtype() -> None:
    values = [0.0, -0.0, 0, False, np.float32(0.0), np.int8(0), math.nan, 1.0, 1, True, [0.0], [[0.0]]]
    nodes = [constant(v) for v in values]
    assert len({n.serial for n in nodes}) == len(nodes)
    assert [constant(v) is n for v, n in zip(values, nodes, strict=True)] == [True] * len(nodes)
    assert math.copysign(1.0, float(constant(-0.0))) == -1.0


def test_constants_do_not_share_memory_with_the_caller() -> None:
    data = np.ones(3)
    node = constant(data)
    data[:] = 7.0
    assert node.tolist() == [1.0, 1.0, 1.0]


def test_forgotten_nodes_leave_the_table() -> None:
    from graphc.ir import tensor

    x = symbolic("x", (3,))
    before = len(tensor._table)
    y = x + 12345.0
    assert len(tensor._table) > before
    del y
    assert len(tensor._table) == before


def test_tensors_are_hashable_by_identity() -> None:
    x, y = symbolic("x", (3,)), symbolic("x", (3,))
    assert {x: 1, y: 2}[y] == 2
    assert x in {x} and y not in {x}


# depth and threads


def _chain(x: Tensor, length: int) -> Tensor:
    y = x
    for k in range(length):
        y = y + x if k % 2 else y * 0.5
    return y


def test_a_chain_of_100_000_nodes() -> None:
    """Builds, differentiates, evaluates, prints and pickles without recursion."""
    x = symbolic("x")
    y = _chain(x, _DEEP)
    (dx,) = grad(y, [x])
    value, slope = evaluate([y, dx], {x: np.float64(3.0)})
    np.testing.assert_allclose([value, slope], [6.0, 2.0], rtol=1e-12)
    text = str(Graph([x], [y, dx]))
    assert text.count("\n") > _DEEP
    copy = pickle.loads(pickle.dumps(Graph([x], [y]).outputs[0]))
    graph = Graph([], [copy])
    assert len(graph) == len(Graph([x], [y]))
    del y, dx, copy, graph  # freeing a deep chain must not recurse either


def test_threads_building_one_graph_get_one_graph() -> None:
    x = symbolic("x", ("n",))
    results: list[Tensor] = []
    barrier = threading.Barrier(8)

    def build() -> None:
        barrier.wait()
        results.append(_chain(x, 300).sum())

    threads = [threading.Thread(target=build) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(r is results[0] for r in results)


def test_pickled_params_stay_shared() -> None:
    w = param([1.0, 2.0], name="w")
    a, b = pickle.loads(pickle.dumps((w + 1.0, w * 2.0)))
    (va,), (vb,) = a.inputs[:1], b.inputs[:1]
    assert va is vb
    assert va.value.tolist() == [1.0, 2.0]


# operators and methods

X = np.array([[5, -3, 2], [7, 1, -4]])
BINARY = "add sub mul truediv floordiv mod eq ne lt le gt ge"
BITS = "and_ or_ xor lshift rshift"


@pytest.mark.parametrize("name", BINARY.split())
@pytest.mark.parametrize("other", [3, 2.5, np.float32(1.5), np.array([1, 2, 4]), [3, 2, 1]])
def test_operators_on_both_sides(name: str, other: Any) -> None:
    f = getattr(operator, name)
    for array in (X, X.astype("float32")):
        x = constant(array)
        for found, want in ((f(x, other), f(array, other)), (f(other, x), f(other, array))):
            assert isinstance(found, Tensor)
            assert (found.dtype, found.shape) == (want.dtype, want.shape)
            np.testing.assert_array_equal(np.asarray(found), want)


@pytest.mark.parametrize("name", BITS.split())
def test_bit_operators(name: str) -> None:
    f, array = getattr(operator, name), abs(X)
    for other in (3, np.array([1, 2, 4])):
        np.testing.assert_array_equal(np.asarray(f(constant(array), other)), f(array, other))
        np.testing.assert_array_equal(np.asarray(f(other, constant(array))), f(other, array))
    np.testing.assert_array_equal(np.asarray(~constant(array)), ~array)


def test_unary_operators() -> None:
    values = np.array([-1.5, 2.5, 0.0])
    x = constant(values)
    for f in (operator.neg, operator.pos, abs, round, math.floor, math.ceil, math.trunc):
        want = {math.floor: np.floor, math.ceil: np.ceil, math.trunc: np.trunc, round: np.round}.get(f, f)
        np.testing.assert_array_equal(np.asarray(f(x)), want(values))
    np.testing.assert_array_equal(np.asarray(x**2), values**2)
    np.testing.assert_array_equal(np.asarray(2.0**x), 2.0**values)
    np.testing.assert_array_equal(np.asarray(constant(X) @ X.T), X @ X.T)
    np.testing.assert_array_equal(np.asarray(X.T @ constant(X)), X.T @ X)


def test_in_place_operators_make_new_tensors() -> None:
    x = y = symbolic("x", (3,))
    y += 1.0
    assert y is x + 1.0


def test_comparison_with_what_is_no_number() -> None:
    x = symbolic("x", (3,))
    assert (x == None) is False and (x != "a") is True  # noqa: E711
    with pytest.raises(TypeError, match="unsupported operand"):
        x + "a"
    with pytest.raises(DTypeError, match="complex128"):
        x + 1j


def test_numpy_scalars_are_strong_and_python_scalars_weak() -> None:
    x = symbolic("x", (3,), "float32")
    assert (x * 2.0).dtype == np.float32
    assert (2.0 * x).dtype == np.float32
    assert (np.float64(2.0) * x).dtype == np.float64
    assert (x * np.float64(2.0)).dtype == np.float64
    assert (np.float32(2.0) * x).dtype == np.float32
    assert (np.ones(3) * x).dtype == np.float64


METHODS: list[Callable[[Any], Any]] = [
    lambda x: x.sum(),
    lambda x: x.sum(0),
    lambda x: x.prod(axis=1, keepdims=True),
    lambda x: x.mean(axis=0),
    lambda x: x.var(ddof=1),
    lambda x: x.std(axis=1),
    lambda x: x.max(1),
    lambda x: x.min(),
    lambda x: x.argmax(0),
    lambda x: x.argmin(),
    lambda x: x.any(axis=1),
    lambda x: x.all(),
    lambda x: x.cumsum(),
    lambda x: x.cumprod(axis=1),
    lambda x: x.clip(-1, 2),
    lambda x: x.round(),
    lambda x: x.dot(x.T),
    lambda x: x.reshape(3, 2),
    lambda x: x.reshape((3, -1)),
    lambda x: x.transpose(),
    lambda x: x.transpose(1, 0),
    lambda x: x.transpose((1, 0)),
    lambda x: x.T,
    lambda x: x.mT,
    lambda x: x.ravel(),
    lambda x: x.flatten(),
    lambda x: x[None].squeeze(),
    lambda x: x.swapaxes(0, 1),
    lambda x: x.astype("float32"),
    lambda x: x.take([2, 0], axis=1),
    lambda x: x.repeat(2, axis=0),
    lambda x: x.argsort(),
    lambda x: x.diagonal(),
    lambda x: x.trace(),
    lambda x: x[1:, ::-1],
    lambda x: x[0, 2],
]


@pytest.mark.parametrize("f", METHODS, ids=range(len(METHODS)))
def test_methods_are_numpys(f: Callable[[Any], Any]) -> None:
    found, want = f(constant(X)), np.asarray(f(X))
    assert (found.dtype, found.shape) == (want.dtype, want.shape)
    np.testing.assert_allclose(np.asarray(found), want, rtol=1e-15)


def test_iteration_and_unpacking() -> None:
    a, b = symbolic("p", (2, 3))
    assert a.shape == b.shape == (3,)
    assert [float(v) for v in constant([1.0, 2.0])] == [1.0, 2.0]
    assert 2.0 in constant([1.0, 2.0]) and 3.0 not in constant([1.0, 2.0])


def test_at_gives_a_changed_copy() -> None:
    assert constant([1.0, 2.0]).at[0].set(5.0).tolist() == [5.0, 2.0]


# NumPy's functions

Y = X / 4.0
CALLS: list[Callable[[Any], Any]] = [
    lambda x: np.exp(x),
    lambda x: np.absolute(x),
    lambda x: np.maximum(x, 0.5),
    lambda x: np.arctan2(x, np.ones(3)),
    lambda x: np.power(abs(x), 2),
    lambda x: np.multiply([1.0, 2.0, 3.0], x),
    lambda x: np.matmul(x, x.T),
    lambda x: np.sum(x, axis=0),
    lambda x: np.sum(x, 1, keepdims=True),
    lambda x: np.mean(x, axis=(0, 1)),
    lambda x: np.var(x, axis=1, ddof=1),
    lambda x: np.std(x, correction=1),
    lambda x: np.prod(x),
    lambda x: np.max(x, 0),
    lambda x: np.amin(x),
    lambda x: np.argmax(x, axis=1),
    lambda x: np.any(x > 0, axis=0),
    lambda x: np.all(x > 0),
    lambda x: np.where(x > 0, x, 0.0),
    lambda x: np.concatenate([x, Y]),
    lambda x: np.concatenate((Y, x), axis=1),
    lambda x: np.stack([x, x], axis=1),
    lambda x: np.clip(x, -0.5, 0.5),
    lambda x: np.clip(x, None, 0.5),
    lambda x: np.reshape(x, (3, 2)),
    lambda x: np.transpose(x),
    lambda x: np.swapaxes(x, 0, 1),
    lambda x: np.moveaxis(x, 0, 1),
    lambda x: np.squeeze(x[:1]),
    lambda x: np.expand_dims(x, 1),
    lambda x: np.broadcast_to(x, (4, 2, 3)),
    lambda x: np.flip(x, 1),
    lambda x: np.roll(x, 1, axis=1),
    lambda x: np.tile(x, (2, 1)),
    lambda x: np.repeat(x, 2, axis=1),
    lambda x: np.pad(x, ((1, 0), (0, 2))),
    lambda x: np.take(x, [0, 2], axis=1),
    lambda x: np.take_along_axis(x, np.array([[0], [2]]), 1),
    lambda x: np.cumsum(x, axis=0),
    lambda x: np.cumprod(x),
    lambda x: np.diff(x),
    lambda x: np.diff(x, n=2, axis=1),
    lambda x: np.sort(x, axis=0),
    lambda x: np.argsort(x),
    lambda x: np.tril(x),
    lambda x: np.triu(x, 1),
    lambda x: np.diagonal(x),
    lambda x: np.trace(x),
    lambda x: np.dot(x, np.ones(3)),
    lambda x: np.inner(x, x),
    lambda x: np.outer(x, x),
    lambda x: np.tensordot(x, x, axes=([0, 1], [0, 1])),
    lambda x: np.einsum("ij,kj->ik", x, x),
    lambda x: np.linalg.norm(x),
    lambda x: np.zeros_like(x),
    lambda x: np.full_like(x, 2.0),
    lambda x: np.count_nonzero(x, axis=0),
    lambda x: np.round(x),
    lambda x: np.isnan(x),
    lambda x: np.ones(3) - x,
    lambda x: np.shape(x)[1] * x,
]


@pytest.mark.parametrize("f", CALLS, ids=range(len(CALLS)))
def test_numpy_functions_build_nodes(f: Callable[[Any], Any]) -> None:
    found, want = f(constant(Y)), np.asarray(f(Y))
    assert isinstance(found, Tensor)
    assert (found.dtype, found.shape) == (want.dtype, want.shape)
    np.testing.assert_allclose(np.asarray(found), want, rtol=1e-14, atol=1e-14)
    assert isinstance(f(symbolic("x", (2, 3))), Tensor)


def test_numpy_functions_that_return_several() -> None:
    x = symbolic("x", (4, 3))
    assert [part.shape for part in np.split(x, 2)] == [(2, 3), (2, 3)]
    assert [grid.shape for grid in np.meshgrid(x[:, 0], x[0], indexing="ij")] == [(4, 3), (4, 3)]
    assert (np.shape(x), np.ndim(x), np.size(x)) == ((4, 3), 2, 12)


# errors


def _text(error: type[Exception], f: Callable[[], Any]) -> list[str]:
    with pytest.raises(error) as caught:
        f()
    return str(caught.value).splitlines()


def test_truth_value() -> None:
    x = symbolic("x", (2, 3))
    head, where, hint = _text(TraceError, lambda: bool(x))
    assert head == "a symbolic tensor has no truth value: got x: float64[2, 3]"
    assert "test_tensor.py:" in where and where.endswith("_text(TraceError, lambda: bool(x))")
    assert hint.startswith(
        "  hint: choose with gc.where(condition, x, y); Python's and, or, not, max, min, sorted are "
    )
    head, _, hint = _text(TraceError, lambda: bool(constant([1, 2])))
    assert head == "no truth value: got int64[2], expected one element"
    assert hint == "  hint: gc.any(x) or gc.all(x)"
    assert bool(constant(1.0)) and not constant([[0]])


@pytest.mark.parametrize(("to", "what"), [(int, "int"), (float, "float"), (complex, "complex"), (range, "int")])
def test_conversions(to: Callable[[Any], Any], what: str) -> None:
    head, _, hint = _text(TraceError, lambda: to(symbolic("x")))
    assert head == f"a symbolic tensor has no {what} value: got x: float64[]"
    assert hint.endswith(
        "values exist when a compiled step runs: gc.compile([x], y) called with arrays; or use gc.eager"
    )
    assert to(constant(3)) == to(3)
    head, *_ = _text(TraceError, lambda: to(constant([1, 2])))
    assert head == f"no {what} value: got int64[2], expected one element"


def test_values_of_constants() -> None:
    assert float(constant([1, 2]).sum()) == 3.0
    assert constant([[1, 2]]).tolist() == [[1, 2]]
    assert constant([[1, 2]]).item(0, 1) == 2
    assert [10, 20, 30][constant(1)] == 20
    assert np.asarray(constant([1, 2]), dtype="float32").dtype == np.float32
    head, *_ = _text(TraceError, lambda: [1, 2][constant(1.0)])
    assert head == "not an index: got float64[], expected integers"


def test_a_symbolic_tensor_is_no_array() -> None:
    x = symbolic("x", (2,))
    for f in (lambda: np.asarray(x), lambda: np.array([x, x]), lambda: x.tolist(), lambda: x.item()):
        assert _text(TraceError, f)[0].startswith("a symbolic tensor ")


def test_iteration_over_a_named_dim() -> None:
    x = symbolic("x", ("n", 3))
    head, where, hint = _text(TraceError, lambda: list(x))
    assert head == (
        "cannot iterate over a tensor: got x: float64[n, 3], expected a first axis whose size is known while building"
    )
    assert "test_tensor.py:" in where and "take its parts by index, x[0], x[1]" in hint
    assert "cannot iterate" in _text(TraceError, lambda: list(symbolic("x")))[0]
    assert "len() is not known while building: got x: float64[n, 3]" in _text(TraceError, lambda: len(x))[0]


def test_assignment_to_elements() -> None:
    x = symbolic("x", (3,))
    head, _, hint = _text(TraceError, lambda: operator.setitem(x, 0, 1.0))
    assert head == "cannot assign to elements of a tensor: got x: float64[3]"
    assert hint == "  hint: tensors are values: x = x.at[index].set(value) gives a changed copy, .add(value) adds"


def test_numpy_calls_that_are_refused() -> None:
    x = symbolic("x", (3, 3))
    data = np.ones((3, 3))
    for f, text in (
        (lambda: np.linalg.det(x), "np.linalg.det does not work on tensors"),
        (lambda: np.fft.fft(x), "numpy.fft.fft does not work on tensors"),
        (lambda: np.isclose(x, x), "np.isclose does not work on tensors"),
        (lambda: np.spacing(x), "np.spacing does not work on tensors"),
        (lambda: np.add.reduce(x), "np.add.reduce does not work on tensors"),
        (lambda: np.add(x, x, out=data), "np.add does not work on tensors: got argument out"),
        (lambda: np.exp(x, where=data > 0), "np.exp does not work on tensors: got argument where"),
        (lambda: np.sum(x, initial=3.0), "np.sum does not work on tensors: got argument initial"),
        (lambda: np.sum(x, where=data > 0), "np.sum does not work on tensors: got argument where"),
        (lambda: np.meshgrid(x[0], x[0], sparse=True), "np.meshgrid does not work on tensors: got argument sparse"),
        (lambda: np.round(x, 2), "np.round does not work on tensors: got argument decimals"),
        (lambda: operator.iadd(data, x), "np.add does not work on tensors: got argument out"),
        (lambda: round(x, 2), "no rounding to digits: got 2 digits, expected round(x)"),
    ):
        head, where, hint = _text(UnsupportedError, f)
        assert head == text
        assert "test_tensor.py:" in where and hint.startswith("  hint: ")


def test_every_row_is_found_by_name() -> None:
    assert all(OPS[name].name == name for name in OPS)
