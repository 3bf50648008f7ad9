"""The guard of sums of products, by definition: which zeros annihilate inf and nan."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc as gc
from graphc.autodiff.jvp import jvp
from graphc.autodiff.vjp import vjp
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.ops.guarded import BOTH, LEFT, PRODUCTS, RIGHT, matrix_product, sides
from graphc.ops.linalg import contract
from graphc.passes.algebra import algebra
from graphc.passes.contractions import MATRIX
from graphc.passes.vectors import vectors

GUARDS = ("", LEFT, RIGHT, BOTH)
SPECIAL = np.array([0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan])


def by_definition(x: np.ndarray, y: np.ndarray, guard: str) -> np.ndarray:
    """x @ y, element by element."""
    left, right = sides(guard)
    result = np.zeros((len(x), y.shape[1]))
    for i, j in np.ndindex(*result.shape):
        for u, v in zip(x[i], y[:, j], strict=True):
            result[i, j] += 0.0 if (left and u == 0) or (right and v == 0) else u * v
    return result


def special(rng: np.random.Generator, shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return rng.choice(SPECIAL, size=shape, p=[0.3, 0.1, 0.25, 0.2, 0.05, 0.05, 0.05]).astype(dtype)


@pytest.mark.parametrize("guard", GUARDS)
@given(seed=st.integers(0, 10**6), m=st.integers(1, 4), n=st.integers(1, 4), k=st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_the_reference_is_the_definition(guard, seed, m, n, k):
    rng = np.random.default_rng(seed)
    x, y = special(rng, (m, k)), special(rng, (k, n))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(matrix_product(x, y, guard), by_definition(x, y, guard))


def test_guards_differ():
    """What each guard is for: 0 * inf with the zero on its side."""
    x, y = np.array([[0.0, 1.0]]), np.array([[np.inf], [2.0]])
    with np.errstate(invalid="ignore"):
        assert np.isnan(matrix_product(x, y)).all() and np.isnan(matrix_product(x, y, RIGHT)).all()
        assert matrix_product(x, y, LEFT) == matrix_product(x, y, BOTH) == 2.0
        assert np.isnan(matrix_product(y.T, x.T, LEFT)).all()
        assert matrix_product(y.T, x.T, RIGHT) == matrix_product(y.T, x.T, BOTH) == 2.0


def test_a_product_of_vectors_is_elementwise():
    """Where nothing is summed, the product of elements has the guard."""
    x, y = gc.input("x", (7,), "float64"), gc.input("y", (7,), "float64")
    given_ = {x: SPECIAL, y: SPECIAL[::-1]}
    for guard in GUARDS:
        (found,) = evaluate([contract(x, y, "m,n->mn", guard=guard)], given_)
        expected = by_definition(SPECIAL[:, None], SPECIAL[None, ::-1], guard)
        np.testing.assert_array_equal(found, expected)


def test_batches_broadcast():
    rng = np.random.default_rng(0)
    x, y = special(rng, (4, 1, 3, 5)), special(rng, (2, 5, 2))
    for guard in GUARDS:
        with np.errstate(invalid="ignore"):
            found = matrix_product(x, y, guard)
            for i, j in np.ndindex(4, 2):
                np.testing.assert_array_equal(found[i, j], by_definition(x[i, 0], y[j], guard))


@pytest.mark.parametrize("modes", [(vjp, vjp), (vjp, jvp), (jvp, vjp), (jvp, jvp)])
def test_second_derivatives_are_those_of_single_products(modes):
    """The guards of derivatives of guarded sums: as those of ``sum(x * y)``, element by element, wherever zeros are."""
    x, y = gc.input("x", (3, 4), "float64"), gc.input("y", (4, 2), "float64")
    by_contract = contract(x, y, "mk,kn->mn")
    by_elements = gc.sum(gc.multiply(x[:, :, None], y[None, :, :]), axis=1)
    given_ = {}
    rng = np.random.default_rng(5)

    def tensor(name, shape):
        new = gc.input(name, shape, "float64")
        given_[new] = special(rng, shape)
        return new

    vectors_ = {
        vjp: [[tensor(f"ct{k}", s)] for k, s in enumerate([(3, 2), (3, 4), (4, 2), (3, 2)])],
        jvp: [[tensor(f"dx{k}", (3, 4)), tensor(f"dy{k}", (4, 2))] for k in range(4)],
    }
    cts = {tuple(v.shape): v for (v,) in vectors_[vjp][:3]}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        given_ = {node: special(rng, tuple(node.shape)) for node in given_} | {
            x: special(rng, (3, 4)),
            y: special(rng, (4, 2)),
        }
        results = []
        for out in (by_contract, by_elements):
            first, second = modes
            once = vjp([out], [x, y], [cts[3, 2]]) if first is vjp else jvp([out], [x, y], vectors_[jvp][0])
            twice = []
            for one in once:
                if second is vjp:
                    twice += vjp([one], [x, y], [cts[tuple(one.shape)]])
                else:
                    twice += jvp([one], [x, y], vectors_[jvp][1])
            results.append(evaluate([*once, *[t for t in twice if isinstance(t, gc.Tensor)]], given_))
        for found, expected in zip(*results, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("guard", GUARDS)
def test_cotangents_of_each_guard(guard):
    """As those of sums of single products under the same guard."""
    x, y = gc.input("x", (3, 4), "float64"), gc.input("y", (4, 2), "float64")
    ct = gc.input("ct", (3, 2), "float64")
    summed = contract(x, y, "mk,kn->mn", guard=guard)
    single = gc.sum(PRODUCTS[guard](x[:, :, None], y[None, :, :]), axis=1)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        given_ = {node: special(rng, tuple(node.shape)) for node in (x, y, ct)}
        found, expected = (evaluate(vjp([out], [x, y], [ct]), given_) for out in (summed, single))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("spec", sorted(MATRIX))
def test_products_of_one_term_are_outer(spec, guard):
    """In every order of axes; what sums more stays as it is."""
    sizes = {"b": 2, "m": 3, "k": 1, "n": 4}
    left, right = spec.split("->")[0].split(",")
    x, y = (gc.input(name, tuple(sizes[c] for c in side), "float64") for name, side in (("x", left), ("y", right)))
    node = contract(x, y, spec, guard=guard)
    graph, fired = vectors(Graph([x, y], [node]))
    assert fired["outer product"] == 1
    rng = np.random.default_rng(1)
    given_ = {x: special(rng, tuple(x.shape)), y: special(rng, tuple(y.shape))}
    for found, expected in zip(evaluate(graph.outputs, given_), evaluate([node], given_), strict=True):
        np.testing.assert_array_equal(found, expected)
    more = contract(gc.input("u", (3, 2)), gc.input("v", (2, 4)), "mk,kn->mn")
    whole = contract(gc.input("i", (3, 1), "int64"), gc.input("j", (1, 4), "int64"), "mk,kn->mn")
    other = contract(gc.input("p", (3, 1, 1)), gc.input("q", (1, 1, 4)), "mkl,lkn->nm")
    for node in (more, whole, other):
        assert not vectors(Graph([*node.inputs], [node]))[1]


def test_other_elements_have_no_nan():
    """Expressions of SymPy, say, are multiplied as they are."""
    x = np.array([[1, 2]], object)
    assert matrix_product(x, x.T, BOTH)[0, 0] == 5


def test_products_by_finite_constants_are_plain():
    """No zero needs to annihilate a finite constant."""
    x = gc.input("x", (3, 4), "float64")
    constant = gc.asarray(np.ones((4, 2)))
    infinite = gc.asarray(np.array([[1.0, np.inf]] * 4))

    def guard(y, given):
        graph, _ = algebra(Graph([x], [contract(x, y, "mk,kn->mn", guard=given)]))
        return graph.outputs[0].attrs.get("guard", "")

    def guard_before(y, given):
        graph, _ = algebra(Graph([x], [contract(y, x, "nm,mk->nk", guard=given)]))
        return graph.outputs[0].attrs.get("guard", "")

    before = gc.asarray(np.ones((2, 3)))
    assert [guard(constant, g) for g in GUARDS] == ["", "", RIGHT, RIGHT]
    assert [guard_before(before, g) for g in GUARDS] == ["", LEFT, "", LEFT]
    assert [guard(infinite, g) for g in GUARDS] == list(GUARDS)
