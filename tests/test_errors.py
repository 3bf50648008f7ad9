"""Every error a user can meet: its whole text, and that no new one goes without a test."""

from __future__ import annotations

import ast
import copy
import linecache
import math
import operator
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from messages import text_of

import graphc as gc
from graphc import errors

ROOT = Path(gc.__file__).parent
S = gc.input("s")
N = gc.input("n")
V = gc.input("v", (3,))
X = gc.input("x", ("n", 3))
K = gc.input("k", (2,), "int64")
W = gc.param(1.0, name="w")
W2 = gc.param([1.0, 2.0], name="w2")
B = gc.param(np.ones(3), name="b")
TWO = gc.input("two", (2,))

Case = tuple[Callable[[], Any], type[Exception], str]


def check(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(Exception) as caught:
        call()
    assert (type(caught.value), text_of(caught.value)) == (error, text)


def table(cases: dict[str, Case]) -> Any:
    return pytest.mark.parametrize(("call", "error", "text"), cases.values(), ids=cases)


def assign(x: Any) -> None:
    x[0] = 1.0


def loop(x: Any) -> None:
    for _ in x:
        pass


def branch(a: Any) -> float:
    if a > 1:
        return 1.0
    return 2.0


def larger(a: Any, b: Any) -> Any:
    return max(a, b)


def largest(a: Any, b: Any) -> Any:
    most = max(a, b)
    return most


# what newcomers write

EXIST = "values exist when a compiled step runs: gc.compile([{}], {}) called with arrays; or use gc.eager"
HELD = "{}.value is a copy of the param's present value, and gc.compile([], {})() computes with it"
TRUTH = (
    "  at LINE\n  hint: choose with gc.where(condition, x, y); Python's and, or, not, max, min, sorted are "
    "gc.logical_and, logical_or, logical_not, maximum, minimum, sort; `if` and `while` on values need gc.eager, "
    "or a value: what a step returned"
)
NO_TRUTH = "a symbolic tensor has no truth value: got {}: {}[]\n" + TRUTH
NOT_IN = (
    "a symbolic tensor has no truth value: got {}: bool[{}]\n  at LINE\n"
    "  hint: == builds a tensor: any(x is one for one in many) looks for a tensor, gc.any(x == values) for a value"
)
ITERATE = (
    "cannot iterate over a tensor: got x: float64[n, 3], expected a first axis whose size is known while building\n"
    "  at LINE\n  hint: {}"
)
BY_INDEX = (
    "take its parts by index, x[0], x[1], or declare the size as an int; a loop over data is written for the whole "
    "axis at once"
)
SIZE = (
    "a runtime size is not known while building: got dim n\n  at LINE\n"
    "  hint: use it as a dim or in an expression (x / x.shape[0]), or declare the input with an int size"
)
NUMBER = (
    "a runtime size is no number in Python: got dim n, expected +, -, *, // with ints and sizes\n  at LINE\n"
    "  hint: gc.asarray(x.shape[0]) is the size as a tensor, for any arithmetic"
)
FLOAT = "a symbolic tensor has no float value: got s: float64[]\n  at LINE\n  hint: "

NEWCOMERS: dict[str, Case] = {
    "if": (lambda: branch(S), gc.TraceError, NO_TRUTH.format("a > 1", "bool")),
    "if of an anonymous tensor": (lambda: branch(S + 1), gc.TraceError, NO_TRUTH.format("a > 1", "bool")),
    "if of a param": (
        lambda: branch(W2[0]), gc.TraceError,
        NO_TRUTH.format("a > 1", "bool").replace("hint: ", f"hint: {HELD.format('w2', 'a > 1')}; or "),
    ),
    "float of a param's element": (
        lambda: float(W2[0]), gc.TraceError,
        "a symbolic tensor has no float value: got W2[0]: float64[]\n  at LINE\n  hint: " + HELD.format("w2", "W2[0]"),
    ),
    "an element of a param is set": (
        lambda: operator.setitem(W2, 0, 1.0), gc.TraceError,
        "cannot assign to elements of a tensor: got w2: float64[2]\n  at LINE\n"
        "  hint: w2.value = ... sets the value of a param, all of it: v = w2.value, v[...] = ..., w2.value = v; in the "
        "updates of a step, {w2: w2.at[index].set(value)}",
    ),
    "and": (lambda: S and N, gc.TraceError, NO_TRUTH.format("s", "float64")),
    "not": (lambda: not S, gc.TraceError, NO_TRUTH.format("s", "float64")),
    "max": (lambda: max(S, N), gc.TraceError, NO_TRUTH.format("max(S, N)", "bool")),
    "max, returned": (lambda: larger(S, N), gc.TraceError, NO_TRUTH.format("max(a, b)", "bool")),
    "max, assigned": (lambda: largest(S, N), gc.TraceError, NO_TRUTH.format("max(a, b)", "bool")),
    "in": (lambda: S in [1.0, 2.0], gc.TraceError, NOT_IN.format("S in [1.0, 2.0]", "")),
    "contains": (lambda: 1.0 in V, gc.TraceError, NOT_IN.format("1.0 in V", "")),
    "index": (lambda: [B, V].index(V), gc.TraceError, NOT_IN.format("[B, V].index(V)", "3")),
    "sorted": (lambda: sorted(V), gc.TraceError, NO_TRUTH.format("sorted(V)", "bool")),
    "for": (lambda: loop(X), gc.TraceError, ITERATE.format(BY_INDEX)),
    "sum": (lambda: sum(X), gc.TraceError, ITERATE.format("gc.sum(x, axis=0)")),
    "set": (
        lambda: assign(V), gc.TraceError,
        "cannot assign to elements of a tensor: got v: float64[3]\n  at LINE\n"
        "  hint: tensors are values: x = x.at[index].set(value) gives a changed copy, .add(value) adds",
    ),
    "at, set": (
        lambda: operator.setitem(V.at, 0, 5.0), gc.TraceError,
        "cannot assign to places of a tensor: got v: float64[3]\n  at LINE\n"
        "  hint: v = v.at[0].set(5.0) gives a changed copy, .add(...) adds",
    ),
    "at, set in a window": (
        lambda: operator.setitem(V.at, slice(2), V[:2]), gc.TraceError,
        "cannot assign to places of a tensor: got v: float64[3]\n  at LINE\n"
        "  hint: v = v.at[index].set(value) gives a changed copy, .add(...) adds",
    ),
    "at, called": (
        lambda: V.at(0).set(5.0), gc.TraceError,
        "x.at is not called: it takes an index in square brackets: got v: float64[3]\n  at LINE\n"
        "  hint: v = v.at[0].set(value) gives a changed copy, .add(...) adds",
    ),
    "rand": (lambda: np.random.rand(X.shape[0]), gc.TraceError, SIZE),
    "zeros": (
        lambda: np.zeros(X.shape[0]), TypeError, "expected a sequence of integers or a single integer, got 'n'",
    ),
    "compared size": (lambda: X.shape[0] > 3, gc.TraceError, SIZE),
    "range": (lambda: range(X.shape[0]), gc.TraceError, SIZE),
    "int size": (lambda: int(X.shape[0]), gc.TraceError, SIZE),
    "len": (
        lambda: len(X), gc.TraceError,
        "len() is not known while building: got x: float64[n, 3]\n  at LINE\n"
        "  hint: x.shape[0] is the size, as a dim: gc.sum(x) / x.shape[0]; or declare the size as an int",
    ),
    "len of 0-d": (lambda: len(S), gc.TraceError, "len() of a 0-d tensor: got s: float64[]\n  at LINE"),
    "unpacked 0-d": (
        lambda: list(S), gc.TraceError,
        "cannot iterate over a 0-d tensor: got s: float64[], expected an axis to go along\n  at LINE",
    ),
    "divided size": (lambda: 1 / X.shape[0], gc.TraceError, NUMBER),
    "halved size": (lambda: X.shape[0] * 0.5, gc.TraceError, NUMBER),
    "size power": (lambda: X.shape[0] ** 2, gc.TraceError, NUMBER),
    "math": (lambda: math.exp(S), gc.TraceError, FLOAT + "gc.exp is math.exp for tensors"),
    "math of another name": (lambda: math.fsum(X), gc.TraceError, ITERATE.format("gc.sum is math.fsum for tensors")),
    "math that we lack": (
        lambda: math.gamma(S), gc.TraceError, FLOAT + "math.gamma for tensors is gc.exp(gc.lgamma(x)), for x > 0",
    ),
    "math that nobody has": (lambda: math.isclose(S, 1), gc.TraceError, FLOAT + EXIST.format("s", "y")),
    "a dtype of NumPy": (
        lambda: np.float32(S), gc.TraceError,
        "a symbolic tensor is not an array: got s: float64[]\n  at LINE\n"
        "  hint: gc.astype(x, 'float32') converts a tensor",
    ),
    "scipy": (
        lambda: scipy.special.softmax(X), gc.TraceError,
        "a symbolic tensor is not an array: got x: float64[n, 3]\n  at LINE\n"
        "  hint: gc.softmax is scipy.special.softmax for tensors",
    ),
    "scipy, by way of NumPy": (
        lambda: scipy.special.logsumexp(X), gc.UnsupportedError,
        "scipy.special.logsumexp does not work on tensors\n  at LINE\n"
        "  hint: gc.logsumexp is scipy.special.logsumexp for tensors",
    ),
    "a ufunc of scipy": (
        lambda: scipy.special.ndtr(X), gc.UnsupportedError,
        "scipy.special.ndtr does not work on tensors\n  at LINE\n"
        "  hint: scipy.special.ndtr for tensors is gc.erfc(-x / math.sqrt(2)) / 2",
    ),
    "another ufunc": (
        lambda: np.frompyfunc(lambda a: a, 1, 1)(X), gc.UnsupportedError,
        "ufunc '<lambda> (vectorized)' does not work on tensors\n  at LINE\n"
        "  hint: python -m graphc ops lists gc's functions",
    ),
    "linear algebra of NumPy": (
        lambda: np.linalg.solve(X, X), gc.UnsupportedError,
        "np.linalg.solve does not work on tensors\n  at LINE\n  hint: there is no linear algebra beyond products "
        "(gc.matmul, gc.einsum): np.linalg takes what a step returned",
    ),
    "float": (lambda: float(S), gc.TraceError, FLOAT + EXIST.format("s", "y")),
    "float of computed": (
        lambda: float(gc.sum(X * V)), gc.TraceError,
        "a symbolic tensor has no float value: got gc.sum(X * V): float64[]\n  at LINE\n  hint: "
        + EXIST.format("x, v", "gc.sum(X * V)"),
    ),
    "float of a param": (
        lambda: float(W), gc.TraceError,
        "a symbolic tensor has no float value: got w: float64[]\n  at LINE\n"
        "  hint: w.value is a copy of its present value",
    ),
    "item of a param": (
        lambda: W.item(), gc.TraceError,
        "a symbolic tensor has no number value: got w: float64[]\n  at LINE\n"
        "  hint: w.value is a copy of its present value",
    ),
    "item of params": (
        lambda: (W * 2).item(), gc.TraceError,
        "a symbolic tensor has no number value: got W * 2: float64[]\n  at LINE\n  hint: " + HELD.format("w", "W * 2"),
    ),
    "array": (
        lambda: np.asarray(X), gc.TraceError,
        "a symbolic tensor is not an array: got x: float64[n, 3]\n  at LINE\n"
        "  hint: gc.stack([a, b]) makes a tensor of tensors; " + EXIST.format("x", "y"),
    ),
    "tensors in a list": (
        lambda: gc.exp([S, 2.0]), gc.DTypeError,
        "cannot use as a tensor: got list [<Tensor 's' input float64[]>, 2.0], expected a number, an array of "
        "numbers, or a tensor\n  at LINE\n  hint: gc.stack(x) makes one tensor of a list of them",
    ),
    "ragged": (
        lambda: gc.exp([[1.0], [2.0, 3.0]]), gc.DTypeError,
        "cannot use as a tensor: got list [[1.0], [2.0, 3.0]], expected a number, an array of numbers, or a tensor\n"
        "  at LINE",
    ),
    "tolist": (
        lambda: V.tolist(), gc.TraceError,
        "a symbolic tensor has no elements: got v: float64[3]\n  at LINE\n  hint: " + EXIST.format("v", "y"),
    ),
    "format": (
        lambda: f"{S:.2f}", gc.TraceError,
        "a symbolic tensor has no number value: got s: float64[]\n  at LINE\n  hint: " + EXIST.format("s", "y"),
    ),
    "float index": (
        lambda: [1, 2][gc.asarray(1.0)], gc.TraceError, "not an index: got float64[], expected integers\n  at LINE",
    ),
    "array of another size": (
        lambda: np.ones(4) * V, gc.ShapeError,
        "cannot multiply: got np.ones(4): float64[4], v: float64[3], expected shapes that broadcast: "
        "equal sizes, or 1, from the last axis backwards\n  at LINE",
    ),
    "bools": (
        lambda: (S > 1) - (S > 2), gc.DTypeError,
        "cannot subtract: got S > 1: bool[], S > 2: bool[], expected numbers\n  at LINE\n"
        "  hint: use logical_xor, logical_not or astype",
    ),
    "text": (lambda: V + "a", TypeError, "unsupported operand type(s) for +: 'Tensor' and 'str'"),
    "none": (lambda: None * V, TypeError, "unsupported operand type(s) for *: 'NoneType' and 'Tensor'"),
}  # fmt: skip


@table(NEWCOMERS)
def test_newcomers(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    check(call, error, text)


def test_what_newcomers_write_and_works() -> None:
    y = V
    y += 1
    assert y is V + 1 and len(list(V)) == 3 and len(V) == 3
    assert sum(V) is 0 + V[0] + V[1] + V[2]
    assert f"{S}" == "<Tensor 's' input float64[]>" and f"{gc.sum(gc.asarray([1.0, 2.0])):.2f}" == "3.00"
    for twin in (copy.deepcopy(X), pickle.loads(pickle.dumps(X))):
        assert twin is not X and (twin.name, twin.aval) == ("x", X.aval)
    assert gc.compile(outputs=W * 2)() == 2.0
    step = gc.compile([S], [S * W])  # params need not be listed
    assert step(3.0) == [3.0]


def test_reprs_say_how_constants_are_evaluated() -> None:
    assert repr(gc.mean(np.ones(3))) == "<Tensor divide float64[], of constants: float(t) evaluates it>"
    assert repr(gc.asarray([1, 2]) + 1) == "<Tensor add int64[2], of constants: np.asarray(t) evaluates it>"
    assert repr(gc.asarray([1, 2])) == "<Tensor constant int64[2]>" and repr(V + 1) == "<Tensor add float64[3]>"
    long = gc.asarray(0.0)
    for _ in range(100):
        long = long + 1
    assert repr(long) == "<Tensor add float64[]>"  # too long to look at


# building

NAMES = "expected one of bool, int8..int64, uint8..uint64, float32, float64"
BUILDING: dict[str, Case] = {
    "size": (
        lambda: gc.input("x", (-1,)), gc.ShapeError,
        "input 'x': bad size: got -1, expected an int >= 0 or a dim name\n  at LINE\n"
        "  hint: a name stands for a size that only a call knows: 'n'",
    ),
    "size of Keras": (
        lambda: gc.input("x", (None, 3)), gc.ShapeError,
        "input 'x': bad size: got None, expected an int >= 0 or a dim name\n  at LINE\n"
        "  hint: a name stands for a size that only a call knows: 'n'",
    ),
    "dtype for a shape": (
        lambda: gc.input("x", "float32"), gc.ShapeError,
        "input 'x': a dtype in the place of the shape: got 'float32', expected a shape, then the dtype\n  at LINE\n"
        "  hint: gc.input('x', (), 'float32') is 0-d",
    ),
    "array for a shape": (
        lambda: gc.input("x", np.ones(3)), gc.ShapeError,
        "input 'x': bad size: got np.float64(1.0), expected an int >= 0 or a dim name\n  at LINE",
    ),
    "float size": (
        lambda: gc.input("x", (2.5,)), gc.ShapeError,
        "input 'x': bad size: got 2.5, expected an int >= 0 or a dim name\n  at LINE",
    ),
    "dim name": (
        lambda: gc.input("x", ("a b",)), gc.ShapeError,
        "input 'x': bad dim name: got 'a b', expected a Python identifier such as 'batch'\n  at LINE",
    ),
    "shape": (
        lambda: gc.input("x", None), gc.ShapeError,
        "input 'x': bad shape: got None, expected a tuple of ints and dim names\n  at LINE",
    ),
    "dtype": (
        lambda: gc.input("x", (), "float16"), gc.DTypeError,
        f"input 'x': unsupported dtype: got float16, {NAMES}\n  at LINE",
    ),
    "no dtype": (
        lambda: gc.input("x", (), "float63"), gc.DTypeError,
        f"input 'x': unknown dtype: got 'float63', {NAMES}\n  at LINE",
    ),
    "name": (
        lambda: gc.input("  "), gc.InputError, "bad input name: got '  ', expected a non-empty string\n  at LINE",
    ),
    "param name": (
        lambda: gc.param(1.0, 3), gc.InputError, "bad param name: got 3, expected a string\n  at LINE",
    ),
    "param": (
        lambda: gc.param("a"), gc.DTypeError,
        "cannot make a param: got 'a', expected a number or array of numbers\n  at LINE\n"
        "  hint: the value comes first: gc.param(value, name)",
    ),
    "ragged param": (
        lambda: gc.param([[1.0], [2.0, 3.0]]), gc.DTypeError,
        "cannot make a param: got [[1.0], [2.0, 3.0]], expected a number or array of numbers\n  at LINE",
    ),
    "tensor for an axis": (
        lambda: gc.max(V, X), gc.ShapeError,
        "bad axis in max: got x: float64[n, 3], expected an int\n  at LINE\n  hint: gc.maximum(x, y) takes two tensors",
    ),
    "constant": (
        lambda: gc.constant([None]), gc.DTypeError,
        "cannot make a constant: got [None], expected a number or array of numbers\n  at LINE",
    ),
    "value's shape": (
        lambda: setattr(B, "value", [1.0]), gc.ShapeError,
        "cannot set param 'b': got float64[1], expected float64[3]\n  at LINE",
    ),
    "value's dtype": (
        lambda: setattr(gc.param(1, "i"), "value", 1.5), gc.DTypeError,
        "cannot set param 'i': got float64[], expected int64[]\n  at LINE\n"
        "  hint: nothing narrows silently: convert it first, with .astype",
    ),
    "no tensor": (
        lambda: gc.exp("a"), gc.DTypeError,
        "cannot use as a tensor: got str 'a', expected a number, an array of numbers, or a tensor\n  at LINE",
    ),
    "large int": (
        lambda: gc.input("u", (), "uint8") + 256, gc.DTypeError,
        "a Python int does not fit: got 256, expected uint8: 0 .. 255\n  at LINE\n"
        "  hint: astype the tensor to a wider dtype first",
    ),
    "division": (
        lambda: X.shape[0] // 0, gc.ShapeError, "division of a size by zero: got n // 0\n  at LINE",
    ),
    "axis": (lambda: gc.sum(X, axis="a"), gc.ShapeError, "bad axis in sum: got 'a', expected an int\n  at LINE"),
    "cumulative": (
        lambda: gc.cumulative_sum(X), gc.ShapeError,
        "cannot cumulative_sum: got x: float64[n, 3], expected an axis, or a 1-d tensor\n  at LINE\n"
        "  hint: give axis=, or flatten it with reshape(x, (-1,))",
    ),
    "full_like": (
        lambda: gc.full_like(K, 0.5), gc.DTypeError,
        "cannot full_like: got k: int64[2], operand 2: float64[], expected a value that fits int64\n  at LINE\n"
        "  hint: give dtype= as well",
    ),
    "einsum": (
        lambda: gc.einsum(3, V), gc.ShapeError,
        "bad einsum: got 3, expected the subscripts as a string, such as 'ij,jk->ik'\n  at LINE",
    ),
    "take": (
        lambda: gc.take(X, [0]), gc.ShapeError,
        "cannot take: got x: float64[n, 3], expected axis=, unless the tensor is 1-d\n  at LINE\n"
        "  hint: flatten it first: take(reshape(x, -1), i)",
    ),
    "take_along_axis": (
        lambda: gc.take_along_axis(X, K), gc.ShapeError,
        "cannot take_along_axis: got x: float64[n, 3], k: int64[2], expected as many axes in the indices as in x\n"
        "  at LINE",
    ),
    "take_along_axis, sizes": (
        lambda: gc.take_along_axis(gc.input("m", (2, 3)), gc.input("i", (4, 1), "int64"), axis=1), gc.ShapeError,
        "cannot take_along_axis: got m: float64[2, 3], i: int64[4, 1], "
        "expected sizes that broadcast on every axis but 1\n  at LINE",
    ),
    "set": (
        lambda: K.at[0].set(0.5), gc.DTypeError,
        "cannot x.at[...].set: got k: int64[2], operand 2: float64[], expected values that fit int64\n  at LINE\n"
        "  hint: convert them with gc.astype(v, 'int64')",
    ),
    "set, sizes": (
        lambda: V.at[:2].set(V), gc.ShapeError,
        "cannot x.at[...].set: got v: float64[3], v: float64[3], expected values that broadcast to the [2] places "
        "selected\n  at LINE",
    ),
    "bound": (
        lambda: V[: gc.asarray(2)], gc.DTypeError,
        "bad index in x[...]: got v: float64[3], a slice with bound int64 tensor, expected ints or dims as bounds: "
        "sizes must not depend on data\n  at LINE",
    ),
    "unstack": (
        lambda: gc.unstack(X), gc.ShapeError,
        "cannot unstack: got x: float64[n, 3], expected an int size on axis 0\n  at LINE\n"
        "  hint: a Python tuple has a fixed length",
    ),
    "tensordot": (
        lambda: gc.tensordot(X, V, axes=([0, 1], [0])), gc.ShapeError,
        "cannot tensordot: got x: float64[n, 3], v: float64[3], expected as many distinct axes of x as of v, "
        "not [0, 1] and [0]\n  at LINE",
    ),
    "diag": (
        lambda: gc.diag(S), gc.ShapeError,
        "cannot diag: got s: float64[], expected one or two axes\n  at LINE\n  hint: gc.diagonal takes more",
    ),
}  # fmt: skip


@table(BUILDING)
def test_building(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    check(call, error, text)


# compiling and tracing


class Half(gc.eager.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x / 2


def rows(x: Any, kind: str) -> Any:
    return x + kind


COMPILING: dict[str, Case] = {
    "eager cuda": (
        lambda: gc.eager.tensor([1.0]).to("cuda"), gc.UnsupportedError,
        "the eager engine runs on the CPU only: got device 'cuda', expected 'cpu'\n  at LINE\n"
        '  hint: GPUs are for compiled steps: gc.compile(..., target="cuda")',
    ),
    "target": (
        lambda: gc.compile([S], S, target="gpu"), gc.CompileError,
        "unknown target: got 'gpu', expected 'cpu', 'cuda', or 'cuda:1' and so on\n  at LINE",
    ),
    "name": (
        lambda: gc.compile([S], S, name=3), gc.CompileError,
        "bad name=: got 3, expected a string, or None\n  at LINE",
    ),
    "outputs of a function": (
        lambda: gc.compile(lambda x: x, S), gc.CompileError,
        "a function has its outputs itself: got outputs= or updates= too, expected gc.compile(f)\n  at LINE",
    ),
    "forgotten input": (
        lambda: gc.compile([S], S * N), gc.InputError,
        "an output depends on an input that is not listed: got 'n', expected inputs=[..., n]\n  created at LINE",
    ),
    "param as input": (
        lambda: gc.compile([W], W * 2), gc.InputError,
        "inputs must be symbolic inputs: got <Param 'w' float64[], value 1.>, expected tensors made by gc.input\n"
        "  at LINE\n  hint: params are not listed: a step reads them itself",
    ),
    "array as input": (
        lambda: gc.compile([1.0], S), gc.InputError,
        "inputs must be symbolic inputs: got 1.0, expected tensors made by gc.input\n  at LINE\n"
        "  hint: data is given to the step that comes back",
    ),
    "name as input": (
        lambda: gc.compile("s", S), gc.InputError,
        "inputs must be symbolic inputs: got 's', expected tensors made by gc.input\n  at LINE\n"
        "  hint: give the tensors, not their names",
    ),
    "output as input": (
        lambda: gc.compile(S * 2, S), gc.InputError,
        "inputs must be symbolic inputs: got <Tensor multiply float64[]>, expected tensors made by gc.input\n"
        "  at LINE\n  hint: the order is gc.compile(inputs, outputs); what is computed is an output",
    ),
    "duplicate": (
        lambda: gc.compile([S, S], S), gc.InputError,
        "two inputs have one name: got 's', expected distinct names\n  at LINE",
    ),
    "undeclared dim": (
        lambda: gc.compile([S], S * gc.ones("unknown")), gc.InputError,
        "a runtime dim that no input declares: got 'unknown', expected an input whose shape has that name\n"
        "  created at LINE",
    ),
    "updates": (
        lambda: gc.compile([S], S, [(W, S), (W, N)]), gc.InputError,
        "bad updates=: got [(<Param 'w' float64[], value 1.>, <Tensor 's' input float64[]>), (<Param 'w'..., "
        "expected a dict {param: new value}\n  at LINE\n  hint: dict(updates) of pairs (param, new value)",
    ),
    "update of an input": (
        lambda: gc.compile([S], S, {S: S + 1}), gc.InputError,
        "only params can be updated: got <Tensor 's' input float64[]>, expected a gc.param as key\n  at LINE\n"
        "  hint: an input is given anew with each call; state is a gc.param(value), which steps read and update",
    ),
    "update of a name": (
        lambda: gc.compile([S], S, {"w": W + S}), gc.InputError,
        "only params can be updated: got 'w', expected a gc.param as key\n  at LINE\n"
        "  hint: the key is the param itself, not its name",
    ),
    "update to nothing": (
        lambda: gc.compile([S], S, {W: None}), gc.DTypeError,
        "update of param 'w': cannot make a constant: got None, expected a number or array of numbers\n  at LINE",
    ),
    "update's dtype": (
        lambda: gc.compile([S], S, {W: gc.astype(S, "float32")}), gc.DTypeError,
        "update of param 'w' changes its dtype: got float32[], expected float64[]\n  at LINE\n"
        "  hint: convert it: gc.astype(value, 'float64')",
    ),
    "update's shape": (
        lambda: gc.compile([X], S, {W: V}), gc.ShapeError,
        "update of param 'w' changes its shape: got float64[3], expected float64[]\n  at LINE",
    ),
    "update of a named size": (
        lambda: gc.compile([X], S, {B: gc.sum(X, axis=1)}), gc.ShapeError,
        "update of param 'b' changes its shape: got float64[n], expected float64[3]\n  at LINE\n"
        "  hint: a param has a fixed shape: reduce the axis of runtime size 'n', as gc.mean does",
    ),
    "static argument": (
        lambda: gc.compile(rows)(np.ones(3), "a"), gc.TraceError,
        "rows failed while it was traced: unsupported operand type(s) for +: 'Tensor' and 'str': "
        "got static arguments kind='a'\n  at LINE\n"
        "  hint: strings, None, types and functions are passed on as they are; numbers and arrays are traced",
    ),
    "object": (
        lambda: gc.compile(lambda x: x)(1j), gc.TraceError,
        "cannot trace an argument: got complex 1j, expected numbers, arrays, or nestings of them\n  at LINE",
    ),
    "int gradient": (
        lambda: gc.grad(lambda x: x**2)(3), gc.GradientError,
        "gc.grad with respect to an integer argument: got x: int64[], expected a float\n  at LINE\n"
        "  hint: pass 3.0 instead of 3, and arrays as x.astype('float64')",
    ),
    "gradient of a value": (
        lambda: gc.grad(3.0, W), gc.GradientError,
        "cannot differentiate: got 3.0, expected a tensor or a function\n  at LINE\n"
        "  hint: a value does not know what it was computed from",
    ),
    "gradient by a value": (
        lambda: gc.grad(W * 2, W.value), gc.GradientError,
        "cannot differentiate with respect to: got array(1.), expected a tensor, or a nesting of them\n  at LINE\n"
        "  hint: give the tensor itself, not its value or name",
    ),
    "gradient of a vector": (
        lambda: gc.grad(V * 2, V), gc.GradientError,
        "gradient of a non-scalar: got V * 2: float64[3], expected a 0-d float tensor\n  at LINE\n"
        "  hint: reduce it first with gc.sum(V * 2), or give a cotangent with gc.vjp(V * 2, wrt, ct)",
    ),
    "vmap": (
        lambda: gc.vmap(lambda x: x, in_axes=(0, 0))(V), gc.ShapeError,
        "bad in_axes in vmap: got (0, 0), expected one for each of 1 positional argument\n  at LINE",
    ),
    "value of a symbolic tensor": (
        lambda: gc.eager.tensor([1.0]) + gc.eager.exp(S), gc.TraceError,
        "gc.eager.exp computes at once, and a symbolic tensor has no value: got float64[]\n  at LINE\n"
        "  hint: gc.exp builds a graph",
    ),
    "cotangent of integers": (
        lambda: gc.grad(gc.sum(gc.custom_gradient(lambda a, b: a * b, lambda ct, a, b: (ct * b, ct * a))(TWO, K)), TWO),
        gc.GradientError,
        "wrong return value of backward function <lambda>.<locals>.<lambda>: got a cotangent for input 1, which is "
        "int64, expected None for it: it has no derivative\n  created at LINE",
    ),
    "deepcopy": (
        lambda: copy.deepcopy(gc.eager.ones(2, requires_grad=True) * 2), gc.GradientError,
        "deepcopy of a computed tensor: got float32[2], expected a leaf\n  at LINE\n"
        "  hint: use .clone(), or .detach().clone()",
    ),
    "no forward": (
        lambda: gc.eager.Function.apply(gc.eager.ones(2)), NotImplementedError,
        "a Function needs a static method forward(ctx, ...)",
    ),
    "no backward": (
        lambda: Half.apply(gc.eager.ones((), requires_grad=True)).backward(), NotImplementedError,
        "a Function needs a static method backward(ctx, *grads)",
    ),
    "eager Tensor": (lambda: gc.eager.Tensor([1.0]), TypeError, "Tensor(...): got list, expected eager.tensor(data)"),
}  # fmt: skip


@table(COMPILING)
def test_compiling(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    check(call, error, text)


# calling


@pytest.fixture(scope="module")
def step() -> gc.Step:
    x, table = gc.input("x", ("n", 3)), gc.input("table", ("m",))
    return gc.compile({"x": x, "more": [table]}, gc.sum(x) + gc.sum(table))


def test_calls_name_the_users_line(step: gc.Step) -> None:
    x, m = np.ones((2, 3)), np.ones(4)
    assert step(x, [m]) == 10.0
    how = "\n  hint: compiled with inputs={'x': x, 'more': [table]}: call step(x=x, more=[table])"
    for call, text in (
        (lambda: step(x, m), "more has the wrong structure: got ndarray, expected [*]\n  at LINE"),
        (lambda: step(x), "missing input: got 1 of 2, expected a value for 'more'\n  at LINE" + how),
        (lambda: step(x, [m], 1), "too many inputs: got 3, expected 2: x, more\n  at LINE" + how),
        (lambda: step(x, [m], z=1), "unknown input: got 'z', expected one of x, more\n  at LINE" + how),
        (lambda: step(x, [m], x=1), "input 'x' given twice: got by position and by name\n  at LINE"),
        (
            lambda: step(x[:, :2], [m]),
            "input 'x' has the wrong size on axis 1: got float64[2, 2], expected float64[n, 3]\n  at LINE",
        ),
        (
            lambda: step(m, [m]),
            "input 'x' has the wrong rank: got float64[4], expected float64[n, 3]\n  at LINE\n"
            "  hint: x[None] has one more axis in front, of size 1",
        ),
        (
            lambda: step(x, [m[:, None]]),
            "input 'table' has the wrong rank: got float64[4, 1], expected float64[m]\n  at LINE\n"
            "  hint: np.squeeze(x) drops axes of size 1",
        ),
        (
            lambda: step.run(x, [m]),
            "run needs to know when to end: got neither steps= nor batch_size=, expected steps= for the same arrays "
            "again and again, or batch_size= to go through datasets\n  at LINE",
        ),
        (
            lambda: step.run(x, [m], steps=1, epochs=2),
            "no batches to go through: got steps=, expected batch_size= beside epochs=, first_epoch=, shuffle=, seed= "
            "or drop_last=\n  at LINE",
        ),
        (lambda: step.run(x, [m], steps=-1), "bad steps= of step.run: got -1, expected an int >= 0\n  at LINE"),
    ):
        check(call, gc.InputError, text)


def test_a_batch_axis_that_follows_from_another() -> None:
    longer = gc.input("longer", (X.shape[0] + 1,))
    step = gc.compile([longer, X], gc.sum(longer) + gc.sum(X))
    check(
        lambda: step.run(np.ones(4), np.ones((3, 3)), batch_size=2),
        gc.InputError,
        "the batch axis has no size of its own: got dim n + 1, expected an int or a name such as 'n'\n  at LINE",
    )


# the texts themselves


def test_long_lines_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(linecache.cache, "fit.py", (300, None, ["\n", "\n", "x" * 300 + "\n"], "fit.py"))
    text = errors.message("failed", at=errors.UserLine("fit.py", 3))
    assert text == "failed\n  created at fit.py:3: " + "x" * 116 + " ..."


# user text in generated code

EVIL = 'x"""\n\'; raise SystemExit  # \r\n"""\u2028import os\u0085\x0craise SystemExit\x00\ud800\\\\N'
PROGRAM = """
x, k = gc.input(names[0], dims), gc.input(names[1])
w = gc.param(np.ones(()), name=names[2])
loss = gc.sum(x * k * w)
step = gc.compile([x, k], [loss], {w: w - gc.grad(loss, w)}, name=names[3])
"""


def program(file: str, dims: tuple[str, ...], *names: str) -> gc.Step:
    """A step of a file, with inputs, a param and itself, called so."""
    space: dict[str, Any] = {"gc": gc, "np": np, "dims": dims, "names": names}
    exec(compile(PROGRAM, file, "exec"), space)
    return space["step"]


def structure(source: str) -> list[str]:
    return [type(node).__name__ for node in ast.walk(ast.parse(source))]


def test_no_user_text_reaches_generated_code(tmp_path: Path) -> None:
    plain = program("plain.py", ("d", "e", "n"), "x", "k", "w", "s")  # sorted among other words as those below
    evil = program("a\nraise SystemExit\n.py", ("class", "lambda", "np"), EVIL, "class", EVIL + "w", EVIL)
    assert evil.text.source == plain.text.source
    assert structure(evil.source) == structure(plain.source)
    evil.dump(tmp_path / "stages")
    files = [step.export(tmp_path / f"{step is evil}.py").read_text() for step in (plain, evil)]
    assert structure(files[0]) == structure(files[1])
    assert evil(np.ones((2, 1, 1)), 1.0) == plain(np.ones((2, 1, 1)), 1.0) == [2.0]
    assert len(str(evil.graph).splitlines()) == len(str(plain.graph).splitlines())
    for name in ("a b", "a\n", "x;y", "1x", "", "x'", "\u00e9"):
        with pytest.raises(gc.ShapeError, match="bad dim name"):
            gc.input("x", (name,))


def test_names_in_errors_stay_on_one_line() -> None:
    x = gc.input("a\nb", (3,))
    check(
        lambda: x + np.ones(4), gc.ShapeError,
        "cannot add: got 'a\\nb': float64[3], np.ones(4): float64[4], expected shapes that broadcast: "
        "equal sizes, or 1, from the last axis backwards\n  at LINE",
    )  # fmt: skip


# no error without a test

HELPERS = frozenset({
    "message", "shape_error", "dtype_error", "_bad", "_wrong", "_refused", "_refuse", "_unsupported", "_bad_key",
    "_bad_gradient", "_mismatch", "_misplaced", "_unknown", "_missing",
})  # fmt: skip
RAISED = frozenset({"TypeError", "ValueError", "NotImplementedError", "RuntimeError", *dir(errors)})
"""Calls that lay out an error, and exceptions that are raised with a text of their own."""
INTERNAL = {
    "no value for a leaf": "the interpreter met an input that its caller, graphc itself, gave no array",
    "no value for an input": "the same in the verifier",
    "outputs; take one with item(i)": "only graphc's own code holds nodes of several outputs",
    "malformed": "public functions broadcast and promote before they build a row",
    "malformed contract": "the same for the row of contractions",
    "compiled code disagrees with the reference interpreter in": "would be an error in graphc",
    "nothing to promote": "public functions have operands",
    "cannot be part of a node": "attrs are made by graphc's own functions",
    "the alias": "the tables of ops and functions are fixed when graphc is imported",
    "two functions are called": "the same",
    "two rows are called": "the same",
    "no neutral element known for": "rows of reductions have one",
    "stored into": "checks of the tests' own plain memory",
    "memory seen as": "the same",
    "computed from integers alone: the tape does not know it": "caught by the random programs of the tests",
    "by a computed tensor": "the same",
    "was written by another generator, whose seeds are other programs: use a new file": "of the tests' own journal",
    "a slice beyond the smaller size": "caught by the verifier, which then reports what it skipped",
    "the graph cannot be rebuilt with small sizes": "the same",
}
"""Texts that no user can bring about, and why."""


def _pieces(node: ast.AST) -> list[str]:
    """The constant parts of the texts in an expression."""
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def _is_text(arguments: list[ast.expr]) -> bool:
    return len(arguments) == 1 and isinstance(arguments[0], (ast.Constant, ast.JoinedStr))


def _sites() -> Iterator[tuple[str, str]]:
    """Every place that lays out an error: its file and function, and the longest constant piece of its text."""
    for path in sorted(ROOT.rglob("*.py")):
        functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
        for function in functions:
            for node in ast.walk(function):
                if isinstance(node, ast.Raise):
                    node, named = node.exc, RAISED
                else:
                    named = HELPERS
                name = getattr(getattr(node, "func", None), "id", getattr(getattr(node, "func", None), "attr", ""))
                if name not in named or name == function.name or (named is RAISED and not _is_text(node.args)):
                    continue
                arguments = node.args[:1] if name == "message" else node.args
                longest = max([p for a in arguments for p in _pieces(a)], key=len, default="").strip()
                if len(longest) > 6:  # else the text is an argument of a helper, which is a site itself
                    yield f"{path.relative_to(ROOT)}:{function.name}", longest


def test_every_error_is_tested() -> None:
    texts = [
        p for path in sorted(Path(__file__).parent.rglob("test_*.py")) for p in _pieces(ast.parse(path.read_text()))
    ]
    tested = re.sub(r"\\(.)", r"\1", "\n".join(texts))
    found = list(_sites())
    assert len(found) > 100
    missing = sorted({(where, text) for where, text in found if text not in tested})
    assert missing == []
    assert not set(INTERNAL) - {text for _, text in found}
