"""Sums of products under a guard: zeros of a cotangent annihilate inf and nan inside products and convolutions too."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import graphc as gc
from graphc import nn
from graphc.ir.apply import apply
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.ops.convolution import FORMS
from graphc.ops.guarded import BOTH, LEFT, RIGHT, sides
from graphc.ops.linalg import contract
from graphc.testing.plain import Runner

GUARDS = ("", LEFT, RIGHT, BOTH)
SPECIAL = np.array([0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan])


def special(rng: np.random.Generator, shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return rng.choice(SPECIAL, size=shape, p=[0.3, 0.1, 0.25, 0.2, 0.05, 0.05, 0.05]).astype(dtype)


# A product of every size class: loops, one BLAS call, tiles, a batch. Each under all guards, in one compiled step.

SHAPES = {
    "loops": ("mk,kn->mn", (3, 4), (4, 5)),
    "whole": ("mk,kn->mn", (20, 30), (30, 25)),
    "tiles": ("km,nk->mn", (70, 150), (90, 70)),
    "batch": ("bmk,bkn->bmn", (3, 20, 30), (3, 30, 25)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SHAPES)
def test_compiled_products(name, dtype):
    spec, a, b = SHAPES[name]
    x, y = gc.input("x", a, dtype), gc.input("y", b, dtype)
    outputs = [contract(x, y, spec, guard=guard) for guard in GUARDS]
    rng = np.random.default_rng(1)
    X, Y = special(rng, a, dtype), special(rng, b, dtype)
    X.reshape(-1)[: X.size // 2] = 0.0  # enough sums that only guards make finite
    step = gc.compile([x, y], outputs)
    with np.errstate(invalid="ignore"):
        for guard, found in zip(GUARDS, step(X, Y), strict=True):
            (expected,) = evaluate([contract(x, y, spec, guard=guard)], {x: X, y: Y})
            np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
            np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "float32" else 1e-12)
        assert not np.isnan(found).all()


def test_products_in_chunks_of_rows():
    """Rows and terms of products that share a kernel with what is between them: here of logistic regression."""
    x, t = gc.input("x", (6000, 30), "float64"), gc.input("t", (6000,), "float64")
    w = gc.input("w", (30,), "float64")
    z = gc.matmul(x, w)
    loss = gc.where(gc.isfinite(z), gc.softplus(z) - t * z, 0.0).sum()
    step = gc.compile([x, t, w], [loss, gc.grad(loss, w)])
    roles = {role for group in step.plan.groups for role in group.roles.values()}
    assert {"rows", "terms"} <= roles
    rng = np.random.default_rng(3)
    X, T, W = rng.normal(size=(6000, 30)), rng.integers(0, 2, 6000).astype(float), rng.normal(size=30)
    wrong = rng.random(6000) < 0.1
    X[wrong, rng.integers(0, 30)] = rng.choice([np.inf, np.nan, -np.inf], size=wrong.sum())
    value, gradient = step(X, T, W)
    Z = X[~wrong] @ W
    np.testing.assert_allclose(value, (np.logaddexp(0, Z) - T[~wrong] * Z).sum(), rtol=1e-10)
    np.testing.assert_allclose(gradient, X[~wrong].T @ (1 / (1 + np.exp(-Z)) - T[~wrong]), rtol=1e-10)


CONVOLUTIONS = {
    "blocked": {"y": (5, 6), "x": (7, 8), "w": (3, 3), "strides": (1, 1), "dilations": (1, 1), "low": (0, 0)},
    "framed": {"y": (4, 4), "x": (6, 7), "w": (3, 2), "strides": (2, 2), "dilations": (1, 2), "low": (1, 1)},
    "pointwise": {"y": (5, 4), "x": (5, 4), "w": (1, 1), "strides": (1, 1), "dilations": (1, 1), "low": (0, 0)},
}
OPERANDS = {"y": "xw", "x": "yw", "w": "yx"}


def by_definition_of(out: str, a: np.ndarray, b: np.ndarray, shape: tuple, how: dict, guard: str) -> np.ndarray:
    """A convolution's row by the form that `ops.convolution` gives, inside the image."""
    left, right = sides(guard)
    result = np.zeros(shape)
    given_ = dict(zip(OPERANDS[out], (a, b), strict=True)) | {out: result}
    y, x, w = (given_[name] for name in "yxw")
    ranges = [range(n) for n in (*y.shape, x.shape[2], *w.shape[3:])]
    for n, g, o, p1, p2, c, k1, k2 in itertools.product(*ranges):
        i, j = (
            p * s + k * d - low
            for p, k, s, d, low in zip((p1, p2), (k1, k2), how["strides"], how["dilations"], how["low"], strict=True)
        )
        if not (0 <= i < x.shape[3] and 0 <= j < x.shape[4]):
            continue
        at = {"y": (n, g, o, p1, p2), "x": (n, g, c, i, j), "w": (g, o, c, k1, k2)}
        u, v = (given_[name][at[name]] for name in OPERANDS[out])
        if not ((left and u == 0) or (right and v == 0)):
            result[at[out]] += u * v
    return result


@pytest.mark.parametrize("out", "yxw")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_compiled_convolutions(name, out):
    """Zeros around the image count as zeros of the image, so that only guards of the image say what they multiply."""
    how = CONVOLUTIONS[name]
    shapes = {"y": (4, 1, 3, *how["y"]), "x": (4, 1, 2, *how["x"]), "w": (1, 3, 2, *how["w"])}
    a, b = (gc.input(letter, shapes[letter], "float64") for letter in OPERANDS[out])
    attrs = {key: how[key] for key in ("strides", "dilations", "low")} | {"size": how[out]}
    outputs = [apply(FORMS[out], a, b, **attrs, **({"guard": g} if g else {})) for g in GUARDS]
    rng = np.random.default_rng(2)
    A, B = (special(rng, shapes[letter]) for letter in OPERANDS[out])
    for values in (A, B):
        values.reshape(-1)[::3] = 0.0
    step, graph = gc.compile([a, b], outputs), Graph([a, b], outputs)
    with np.errstate(invalid="ignore"):
        reference = evaluate(outputs, {a: A, b: B})
        for guard, found, expected in zip(GUARDS, step(A, B), reference, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12)
            if name != "framed":
                by_form = by_definition_of(out, A, B, shapes[out], how, guard)
                np.testing.assert_allclose(found, by_form, rtol=1e-12)
        for plain, expected in zip(Runner(graph, True)([A, B]), reference, strict=True):
            np.testing.assert_allclose(plain, expected, rtol=1e-12)


# branches not taken


def products(x, y):
    return gc.matmul(x, y)


def convolutions(x, y):
    return nn.functional.conv2d(gc.reshape(x, (1, 1, 3, 3)), gc.reshape(y, (1, 1, 3, 3)), padding=1)


@pytest.mark.parametrize("of", [products, convolutions])
def test_a_branch_not_taken_to_second_order(of):
    """The gradient through it is exactly zero, and so is the gradient of that, in each mode."""
    x, y = gc.input("x", (3, 3), "float64"), gc.input("y", (3, 3), "float64")
    through = of(x, y)
    loss = (gc.where(gc.isfinite(through), 2 * through, 1.0) + 0 * gc.sum(x)).sum()
    gradients = gc.grad(loss, [x, y])
    second = gc.grad(sum((g * g).sum() for g in gradients), [x, y])
    forward = [gc.jvp(loss, [x, y], [gc.ones((3, 3)), gc.zeros((3, 3))])]
    step = gc.compile([x, y], [*gradients, *second, *forward])
    X = np.arange(9.0).reshape(3, 3) + 1
    Y = np.ones((3, 3))
    Y[:, 1] = [np.inf, np.nan, -np.inf] if of is products else np.inf
    with np.errstate(invalid="ignore"):
        expected = evaluate([*gradients, *second], {x: X, y: Y})
    found = step(X, Y)
    for values, reference in zip(found, expected, strict=False):
        assert np.isfinite(values).all()
        np.testing.assert_allclose(values, reference, rtol=1e-12)
    a, b = gc.eager.tensor(X, requires_grad=True), gc.eager.tensor(Y, requires_grad=True)
    product = of(a, b)
    gc.where(gc.isfinite(product), 2 * product, 1.0).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), found[0], rtol=1e-12)
    np.testing.assert_allclose(b.grad.numpy(), found[1], rtol=1e-12)
