"""The eager engine against the reference interpreter: every row of the op table, and random small programs."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc import eager
from graphc.autodiff.vjp import grad, vjp
from graphc.errors import GradientError
from graphc.ir.apply import apply
from graphc.ir.evaluate import evaluate
from graphc.ir.leaves import input as symbolic_input
from graphc.ir.lowering import Refused
from graphc.ops.functions import PUBLIC
from graphc.ops.structure import custom_gradient, item
from graphc.ops.table import OPS


def made(arr, rng):
    if arr.values is not None:
        return np.array(arr.values, arr.dtype).reshape(arr.shape)
    if arr.dtype == "bool":
        return rng.random(arr.shape) < 0.5
    if np.dtype(arr.dtype).kind in "iu":
        return rng.integers(int(arr.low), int(arr.high) + 1, arr.shape).astype(arr.dtype)
    return rng.uniform(arr.low, arr.high, arr.shape).astype(arr.dtype)


def engine_tensor(array):
    return eager.tensor(array, requires_grad=array.dtype.kind == "f")


def outputs_of(result, op):
    return (
        [item(result, k) for k in range(len(result if isinstance(result, tuple) else result.avals))]
        if op.multi
        else [result]
    )


ROWS = [(op, k) for op in OPS.values() for k, s in enumerate(op.samples) if s.operands]


@pytest.mark.parametrize(("op", "k"), ROWS, ids=[f"{op.name}-{k}" for op, k in ROWS])
def test_row(op, k, rng):
    """Values bit for bit; first derivatives, and those of a function of them, against the graph's."""
    sample = op.samples[k]
    arrays = [made(a, rng) for a in sample.operands]
    tensors = [engine_tensor(a) for a in arrays]
    nodes = [symbolic_input(f"x{i}", a.shape, a.dtype) for i, a in enumerate(arrays)]
    values = dict(zip(nodes, arrays, strict=True))
    mine = outputs_of(apply(op, *tensors, **sample.attrs), op)
    theirs = outputs_of(apply(op, *nodes, **sample.attrs), op)
    for a, b in zip(mine, evaluate(theirs, values), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_array_equal(a.detach().numpy(), b)
    if not sample.differentiable or not any(m.requires_grad for m in mine):
        return
    floats = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    outs = [i for i, m in enumerate(mine) if m.dtype.kind == "f"]
    cts = [rng.uniform(0.5, 1.5, mine[i].shape).astype(mine[i].dtype) for i in outs]
    ct_nodes = [symbolic_input(f"ct{i}", c.shape, c.dtype) for i, c in enumerate(cts)]
    values.update(zip(ct_nodes, cts, strict=True))
    bars = vjp([theirs[i] for i in outs], [nodes[i] for i in floats], ct_nodes)
    ct_tensors = [eager.tensor(c) for c in cts]
    grads = eager.grad([mine[i] for i in outs], [tensors[i] for i in floats], ct_tensors, create_graph=True)
    for a, b in zip(grads, evaluate(bars, values), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-12 if b.dtype == np.float64 else 1e-5, atol=1e-12)


def test_rules_read_only_what_was_kept(rng):
    """Second derivatives too come from rules alone that were told what they may read."""
    x = eager.tensor([0.3, 0.7], dtype="float64", requires_grad=True)
    for name in ("exp", "log", "sin", "tanh", "sigmoid", "sqrt", "square", "erf", "log1p", "atan", "softplus"):
        function = getattr(eager, name)
        (g,) = eager.grad(function(x).sum(), x, create_graph=True)
        (h,) = eager.grad(g.sum(), x)
        step = 1e-5
        with eager.no_grad():
            expected = (function(x + step) - 2 * function(x) + function(x - step)) / step**2
        np.testing.assert_allclose(h.numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5)


# random programs: the op functions work on the tensors of either engine

f = SimpleNamespace(**PUBLIC)
UNARY = [
    lambda x: f.sin(x),
    lambda x: f.multiply(f.tanh(x), 0.5),
    lambda x: f.multiply(x, x),
    lambda x: f.divide(1, f.add(f.square(x), 1)),
    lambda x: f.matrix_transpose(x),
    lambda x: f.flip(x, axis=0),
    lambda x: f.add(f.sum(x, axis=0, keepdims=True), f.multiply(x, 0.5)),
    lambda x: f.reshape(f.reshape(x, (-1,)), (3, 3)),
    lambda x: f.subtract(f.max(x), x),
    lambda x: f.softmax(x, axis=1),
    lambda x: f.concat([f.take(x, [2, 0], axis=0), f.stack([f.mean(x, axis=0)])]),
    lambda x: f.cumulative_sum(x, axis=1),
]
BINARY = [
    lambda x, y: f.add(x, y),
    lambda x, y: f.multiply(x, y),
    lambda x, y: f.divide(x, f.add(f.square(y), 1)),
    lambda x, y: f.where(f.greater(x, y), x, f.multiply(y, 2)),
    lambda x, y: f.multiply(f.matmul(x, y), 0.1),
    lambda x, y: f.maximum(x, f.subtract(y, 0.1)),
]
STEPS = st.lists(st.tuples(st.integers(0, 17), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8)


def program(steps, x, y):
    made_so_far = [x, y]
    for which, first, second in steps:
        a, b = (made_so_far[k % len(made_so_far)] for k in (first, second))
        made_so_far.append(UNARY[which](a) if which < 12 else BINARY[which - 12](a, b))
    return f.sum(f.square(made_so_far[-1]))


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 1000))
def test_random_programs(steps, seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.uniform(-1, 1, (3, 3)) for _ in range(2)]
    tensors = [eager.tensor(a, requires_grad=True) for a in arrays]
    nodes = [symbolic_input(f"x{k}", (3, 3)) for k in (0, 1)]
    loss, symbolic = program(steps, *tensors), program(steps, *nodes)
    loss.backward(retain_graph=True)
    values = dict(zip(nodes, arrays, strict=True))
    value, *bars = evaluate([symbolic, *grad(symbolic, nodes)], values)
    np.testing.assert_array_equal(loss.detach().numpy(), value)
    for tensor, bar in zip(tensors, bars, strict=True):
        mine = np.zeros((3, 3)) if tensor.grad is None else tensor.grad.numpy()
        np.testing.assert_allclose(mine, bar, rtol=1e-10, atol=1e-12)


# rows that are not functions of arrays alone


def test_custom_gradient():
    clipped = custom_gradient(lambda x: f.multiply(x, 10), lambda ct, x: f.clip(f.multiply(ct, x), -1.0, 1.0))
    x = eager.tensor([0.5, 2.0], requires_grad=True)
    y = clipped(x)
    y.sum().backward()
    assert y.tolist() == [5.0, 20.0] and x.grad.tolist() == [0.5, 1.0]


def test_a_refused_derivative_names_op_and_line():
    refusing = dataclasses.replace(OPS["exp"], vjp=Refused("nobody has found it yet"))
    x = eager.tensor(1.0, requires_grad=True)
    y = apply(refusing, x)
    with pytest.raises(GradientError) as info:
        y.backward()
    assert "no gradient through exp: nobody has found it yet" in str(info.value)
    assert "y = apply(refusing, x)" in str(info.value)


def test_stop_gradient():
    x = eager.tensor(2.0, requires_grad=True)
    (x * f.stop_gradient(x)).backward()
    assert x.grad.item() == 2.0
