"""Passes: where each rule fires and what it gives, by identity; where it must not; and that the bits stay."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.ir.apply import apply
from graphc.ir.evaluate import bind_dims
from graphc.ir.graph import Graph
from graphc.ir.leaves import PARAM
from graphc.ir.tensor import Tensor
from graphc.ops.cotangent import ct_mul, zero_mul
from graphc.ops.linalg import contract
from graphc.ops.table import OPS
from graphc.passes import algebra as algebra_rules
from graphc.passes import canonicalise as canonical
from graphc.passes import contractions as matrices
from graphc.passes import fold as folding
from graphc.passes.algebra import algebra
from graphc.passes.canonicalise import canonicalise
from graphc.passes.contractions import contractions
from graphc.passes.fold import fold
from graphc.passes.pipeline import PIPELINE, optimise
from graphc.passes.rules import Rule, is_scalar, rewrite, scalar_value
from graphc.passes.squeeze import squeeze
from graphc.testing import generate
from graphc.testing.check import Mismatch, compare, interpret, reference

X, Y = gc.input("x", ("n", 3)), gc.input("y", ("n", 3))
S = gc.input("s", (1, 3, 1))
V = gc.input("v", ("n",))
ONE = gc.input("one", (1, 1))
I, J = gc.input("i", (4,), "int8"), gc.input("j", (4,), "uint8")
B = gc.input("b", (4,), "bool")
C = gc.input("c", ("n", 3), "bool")
M = gc.input("m", (2, 3))
SQUARE, BATCH = gc.input("square", (3, 3)), gc.input("batch", (3, 3, 3))
N = gc.asarray(X.shape[0], dtype="float64")
LEAVES = (X, Y, S, V, ONE, I, J, B, C, M)


def after(run: Callable[[Graph], Any], node: Tensor) -> tuple[Tensor, dict[str, int]]:
    """What a pass makes of `node`, and what fired."""
    graph, fired = run(Graph(LEAVES, [node]))
    return graph.outputs[0], dict(fired)


def values(node: Tensor) -> np.ndarray:
    """The value of `node` at fixed inputs, signed zeros, nan and infinities among them."""
    rng = np.random.default_rng(3)
    arrays = []
    for leaf in LEAVES:
        shape = tuple(4 if isinstance(s, gc.ir.dims.Dim) else s for s in leaf.shape)
        if leaf.dtype.kind != "f":
            arrays.append(rng.integers(0, 2 if leaf.dtype.kind == "b" else 100, shape).astype(leaf.dtype))
            continue
        special = rng.choice([np.nan, np.inf, -0.0, 0.0], shape)
        arrays.append(np.where(rng.random(shape) < 0.3, special, rng.uniform(-2, 2, shape)))
    graph = Graph(LEAVES, [node])
    given = dict(zip(LEAVES, arrays, strict=True))
    return np.asarray(interpret(graph, given, bind_dims(LEAVES, arrays))[0])


def zero(x: Any) -> Any:
    return gc.full_like(x, 0.0)


def gathered(x: Tensor, *indices: Tensor) -> Tensor:
    return apply(OPS["gather"], x, *indices)


def iota(shape: Any, axis: int) -> Tensor:
    return apply(OPS["iota"], shape=shape, axis=axis, dtype=np.dtype("float64"))


FIRES: tuple[tuple[str, Callable[..., Any], Callable[[], Tensor], Callable[[], Tensor]], ...] = (
    ("x * 1", algebra, lambda: X * 1.0, lambda: X),
    ("x * 1", algebra, lambda: 1.0 * X, lambda: X),
    ("x * 1", algebra, lambda: I * 1, lambda: I),
    ("x * -1", algebra, lambda: X * -1.0, lambda: -X),
    ("x * -1", algebra, lambda: -1.0 * X, lambda: -X),
    ("x * -1", algebra, lambda: I * -1, lambda: -I),
    ("x / 1", algebra, lambda: X / 1.0, lambda: X),
    ("x + 0", algebra, lambda: I + 0, lambda: I),
    ("x + 0", algebra, lambda: 0 + J, lambda: J),
    ("x + 0", algebra, lambda: X + -0.0, lambda: X),
    ("x + 0", algebra, lambda: -0.0 + X, lambda: X),
    ("x + (-y)", algebra, lambda: X + -Y, lambda: X - Y),
    ("x + (-y)", algebra, lambda: -X + Y, lambda: Y - X),
    ("x + x", algebra, lambda: X + X, lambda: gc.multiply(2, X)),
    ("x + x", algebra, lambda: gc.add(B, B), lambda: B),
    ("x - 0", algebra, lambda: X - 0.0, lambda: X),
    ("x - 0", algebra, lambda: I - 0, lambda: I),
    ("-(-x)", algebra, lambda: gc.negative(gc.negative(X)), lambda: X),
    ("plain cotangent product", algebra, lambda: ct_mul(X, gc.full_like(X, 2.0)), lambda: X * gc.full_like(X, 2.0)),
    ("plain cotangent product", algebra, lambda: ct_mul(X, zero(X)), lambda: X * zero(X)),
    ("plain cotangent product", algebra, lambda: ct_mul(gc.full_like(X, 3.0), X), lambda: gc.full_like(X, 3.0) * X),
    ("plain cotangent product", algebra, lambda: ct_mul(gc.broadcast_to(-3.0 / N, X.shape), X),
     lambda: gc.broadcast_to(-3.0 / N, X.shape) * X),
    ("plain cotangent product", algebra, lambda: ct_mul(gc.broadcast_to(2.0**-60 / N, X.shape), X),
     lambda: gc.broadcast_to(2.0**-60 / N, X.shape) * X),
    ("plain tangent product", algebra, lambda: zero_mul(X, gc.full_like(X, 2.0)), lambda: X * gc.full_like(X, 2.0)),
    ("plain tangent product", algebra, lambda: zero_mul(gc.full_like(X, 3.0), X), lambda: gc.full_like(X, 3.0) * X),
    ("plain sum of products", algebra, lambda: contract(X, zero(X), "nk,nk->n", guard="left"),
     lambda: contract(X, zero(X), "nk,nk->n")),
    ("where of a constant", algebra, lambda: gc.where(True, X, Y), lambda: X),
    ("where of a constant", algebra, lambda: gc.where(False, X, Y), lambda: Y),
    ("where of a constant", algebra, lambda: gc.where(C, X, X), lambda: X),
    ("sum over size 1", algebra, lambda: gc.sum(S, axis=0), lambda: gc.reshape(S, (3, 1))),
    ("sum over size 1", algebra, lambda: gc.sum(S, axis=(0, 2)), lambda: gc.reshape(S, (3,))),
    ("prod over size 1", algebra, lambda: gc.prod(ONE), lambda: gc.reshape(ONE, ())),
    ("max over size 1", algebra, lambda: gc.max(S, axis=2), lambda: gc.reshape(S, (1, 3))),
    ("min over size 1", algebra, lambda: gc.min(S, axis=0), lambda: gc.reshape(S, (3, 1))),
    ("any over size 1", algebra, lambda: gc.any(ONE > 0, axis=0), lambda: gc.reshape(ONE > 0, (1,))),
    ("all over size 1", algebra, lambda: gc.all(ONE > 0), lambda: gc.reshape(ONE > 0, ())),
    ("argmax along the last axis", canonicalise, lambda: gc.argmax(S, axis=1),
     lambda: apply(OPS["argmax"], gc.permute_dims(S, (0, 2, 1)), axes=(2,))),
    ("argmin along the last axis", canonicalise, lambda: gc.argmin(S, axis=0),
     lambda: apply(OPS["argmin"], gc.permute_dims(S, (1, 2, 0)), axes=(2,))),
    ("drop stop_gradient", canonicalise, lambda: gc.stop_gradient(X), lambda: X),
    ("drop custom_gradient", canonicalise,
     lambda: gc.custom_gradient(lambda a, b: (a + b, a * b), lambda ct, a, b: (a, b))(X, Y)[1], lambda: X * Y),
    ("reshape to itself", canonicalise, lambda: apply(OPS["reshape"], S, shape=(1, 3, 1)), lambda: S),
    ("join reshapes", canonicalise, lambda: gc.reshape(gc.reshape(X, (-1,)), (3, -1)), lambda: gc.reshape(X, (3, "n"))),
    ("broadcast to itself", canonicalise, lambda: apply(OPS["broadcast_to"], S, shape=(1, 3, 1)), lambda: S),
    ("join broadcasts", canonicalise, lambda: gc.broadcast_to(gc.broadcast_to(S, (2, 3, 1)), (5, 2, 3, 4)),
     lambda: gc.broadcast_to(S, (5, 2, 3, 4))),
    ("join broadcasts", canonicalise, lambda: gc.broadcast_to(gc.broadcast_to(V, (1, "n")), (2, "n")),
     lambda: gc.broadcast_to(V, (2, "n"))),
    ("broadcast without reshape", canonicalise,
     lambda: gc.broadcast_to(gc.reshape(V, (1, "n")), (4, "n")), lambda: gc.broadcast_to(V, (4, "n"))),
    ("broadcast without reshape", canonicalise,
     lambda: gc.broadcast_to(gc.reshape(V, (1, 1, "n")), (2, 3, "n")), lambda: gc.broadcast_to(V, (2, 3, "n"))),
    ("join permutations", canonicalise, lambda: gc.permute_dims(gc.permute_dims(S, (1, 2, 0)), (2, 1, 0)),
     lambda: gc.permute_dims(S, (0, 2, 1))),
    ("join casts", canonicalise, lambda: gc.astype(gc.astype(B, "int8"), "float32"), lambda: gc.astype(B, "float32")),
    ("join casts", canonicalise, lambda: gc.astype(gc.astype(B, "float64"), "bool"), lambda: B),
    ("fold exp", fold, lambda: gc.exp(gc.asarray(0.0)), lambda: gc.constant(1.0)),
    ("fold add", fold, lambda: gc.asarray([1.0, 2.0]) + gc.asarray([3.0, 5.0]), lambda: gc.constant([4.0, 7.0])),
    ("fold multiply", fold, lambda: gc.full((2, 3), 2.0) * gc.full((2, 3), -0.5),
     lambda: gc.broadcast_to(gc.constant(-1.0), (2, 3))),
    ("fold multiply", fold, lambda: zero(X) * gc.full_like(X, 2.0),
     lambda: gc.broadcast_to(gc.constant(0.0), X.shape)),
    ("fold sum", fold, lambda: gc.sum(gc.asarray([1.0, 2.0])), lambda: gc.constant(3.0)),
    ("fold flip", fold, lambda: gc.flip(gc.asarray([1.0, 2.0])), lambda: gc.constant([2.0, 1.0])),
    ("fold divide", fold, lambda: gc.asarray(1.0) / gc.asarray(0.0), lambda: gc.constant(np.inf)),
    ("fold reshape", fold, lambda: gc.reshape(gc.asarray(np.arange(4096.0)), (64, 64)),
     lambda: gc.constant(np.arange(4096.0).reshape(64, 64))),
    ("compute without axes of size 1", squeeze, lambda: gc.exp(S),
     lambda: gc.reshape(gc.exp(gc.reshape(S, (3,))), (1, 3, 1))),
    ("compute without axes of size 1", squeeze, lambda: S * 2.0,
     lambda: gc.reshape(gc.reshape(S, (3,)) * 2.0, (1, 3, 1))),
    ("compute without axes of size 1", squeeze, lambda: gc.exp(gc.reshape(V, ("n", 1))),
     lambda: gc.reshape(gc.exp(V), ("n", 1))),
    ("reduce without axes of size 1", squeeze, lambda: gc.sum(S, axis=(1, 2)),
     lambda: gc.reshape(gc.sum(gc.reshape(S, (3,))), (1,))),
    ("compute without axes of size 1", squeeze, lambda: -iota((1, 3, 1, 2), 1),
     lambda: gc.reshape(-iota((3, 2), 0), (1, 3, 1, 2))),
    ("compute without axes of size 1", squeeze, lambda: -iota((2, 1, 3), 2),
     lambda: gc.reshape(-iota((2, 3), 1), (2, 1, 3))),
    ("compute without axes of size 1", squeeze, lambda: -iota((1, 3), 0),
     lambda: gc.reshape(-gc.reshape(iota((1, 3), 0), (3,)), (1, 3))),
    ("compute without axes of size 1", squeeze, lambda: -gc.broadcast_to(V, (1, "n")),
     lambda: gc.reshape(-gc.reshape(gc.broadcast_to(V, (1, "n")), ("n",)), (1, "n"))),
    ("compute without axes of size 1", squeeze, lambda: S * gc.broadcast_to(V[0], S.shape),
     lambda: gc.reshape(gc.reshape(S, (3,)) * gc.broadcast_to(V[0], (3,)), (1, 3, 1))),
    ("reduce without axes of size 1", squeeze, lambda: gc.max(gc.broadcast_to(S, (2, 3, 1)), axis=(0, 2)),
     lambda: gc.reshape(gc.max(gc.reshape(gc.broadcast_to(S, (2, 3, 1)), (2, 3)), axis=0), (3,))),
    ("take without axes of size 1", squeeze,
     lambda: gathered(M, gc.asarray([[0, 1]]), gc.asarray([[2, 0]])),
     lambda: gc.reshape(gathered(M, gc.reshape(gc.asarray([[0, 1]]), (2,)), gc.reshape(gc.asarray([[2, 0]]), (2,))),
                        (1, 2))),
    ("take without axes of size 1", squeeze, lambda: gc.take(V, gc.asarray([[0, 1, 1]])),
     lambda: gc.reshape(gc.take(V, gc.reshape(gc.asarray([[0, 1, 1]]), (3,))), (1, 3))),
    ("take without axes of size 1", squeeze, lambda: gc.take(V, gc.asarray([[0], [1]])),
     lambda: gc.reshape(gc.take(V, gc.reshape(gc.asarray([[0], [1]]), (2,))), (2, 1))),
)  # fmt: skip


@pytest.mark.parametrize("rule,run,build,want", FIRES, ids=[f"{r[0]}-{k}" for k, r in enumerate(FIRES)])
def test_a_rule_fires_and_keeps_the_value(rule: str, run: Any, build: Any, want: Any) -> None:
    node = build()
    found, fired = after(run, node)
    assert found is want()
    assert rule in fired
    np.testing.assert_array_equal(values(found), values(node))


def window(x: Tensor) -> Tensor:
    """Two elements of `x` from the n-th on: a known size at a place that only a call knows."""
    n = V.shape[0]
    return apply(OPS["slice"], x, start=(n,), stop=(n + 2,), step=(1,))


STAYS: tuple[tuple[Callable[..., Any], Callable[[], Tensor]], ...] = (
    (algebra, lambda: X * 2.0),
    (algebra, lambda: X * Y),
    (algebra, lambda: gc.multiply(B, True)),
    (algebra, lambda: 1.0 / X),
    (algebra, lambda: X / 2.0),
    (algebra, lambda: X + 0.0),
    (algebra, lambda: X + 1.0),
    (algebra, lambda: I + 1),
    (algebra, lambda: gc.add(B, False)),
    (algebra, lambda: J * 255),
    (algebra, lambda: X - -0.0),
    (algebra, lambda: X - 1.0),
    (algebra, lambda: 0.0 - X),
    (algebra, lambda: -X),
    (algebra, lambda: ct_mul(X, Y)),
    (algebra, lambda: ct_mul(X, gc.full_like(X, np.inf))),
    (algebra, lambda: ct_mul(zero(X), gc.full_like(X, np.inf))),
    (algebra, lambda: ct_mul(3.0 / X, X)),
    (algebra, lambda: ct_mul(zero(X), X)),
    (algebra, lambda: zero_mul(X, Y)),
    (algebra, lambda: zero_mul(X, zero(X))),
    (algebra, lambda: zero_mul(zero(X), X)),
    (algebra, lambda: zero_mul(gc.full_like(X, np.inf), X)),
    (algebra, lambda: gc.where(C, X, Y)),
    (algebra, lambda: ct_mul(X, gc.broadcast_to(1.0 / N, X.shape))),
    (algebra, lambda: ct_mul(gc.broadcast_to(2.0**-61 / N, X.shape), X)),
    (algebra, lambda: ct_mul(gc.broadcast_to(V[0] / 3.0, X.shape), X)),
    (algebra, lambda: ct_mul(3.0 / X, X)),
    (algebra, lambda: ct_mul(zero(X), X)),
    (algebra, lambda: ct_mul(gc.broadcast_to(V[0] / N, X.shape), X)),
    (algebra, lambda: ct_mul(gc.broadcast_to(1.0 / N * 1e-300, X.shape), X)),
    (algebra, lambda: gc.sum(S, axis=1)),
    (algebra, lambda: gc.max(S, axis=(0, 1))),
    (algebra, lambda: gc.sum(V)),
    (canonicalise, lambda: gc.argmax(S, axis=2)),
    (canonicalise, lambda: gc.reshape(X, (-1,))),
    (canonicalise, lambda: gc.broadcast_to(gc.reshape(V, ("n", 1)), ("n", 3))),
    (canonicalise, lambda: gc.broadcast_to(gc.broadcast_to(V, (1,)), (5,))),
    (canonicalise, lambda: gc.broadcast_to(gc.reshape(S, (3, 1)), (2, 3, 4))),
    (canonicalise, lambda: gc.broadcast_to(gc.broadcast_to(gc.reshape(V, ("n", 1)), (1, 4)), (5, 4))),
    (canonicalise, lambda: gc.broadcast_to(gc.reshape(M, (1, 3, 2)), (5, 3, 2))),
    (canonicalise, lambda: gc.broadcast_to(gc.reshape(M, (1, 6)), (5, 6))),
    (canonicalise, lambda: gc.permute_dims(X, (1, 0))),
    (canonicalise, lambda: gc.astype(gc.astype(X, "float32"), "float64")),
    (canonicalise, lambda: gc.astype(gc.astype(I, "int64"), "int8")),
    (canonicalise, lambda: gc.astype(gc.astype(X, "bool"), "float64")),
    (fold, lambda: gc.exp(X)),
    (fold, lambda: X + gc.asarray([1.0, 2.0, 3.0])),
    (fold, lambda: gc.broadcast_to(gc.asarray([1.0, 2.0]), (3, 2))),
    (fold, lambda: gc.reshape(gc.asarray(np.zeros(4097)), (4097, 1))),
    (fold, lambda: gc.pad(gc.asarray([1.0]), [(X.shape[0], 0)])),
    (fold, lambda: gc.asarray(X.shape[0])),
    (fold, lambda: gc.custom_gradient(lambda a, b: (a, b), lambda ct, a, b: ct)(gc.asarray(1.0), gc.asarray(2.0))[0]),
    (fold, lambda: window(gc.asarray(np.arange(6.0)))),
    (squeeze, lambda: gc.exp(X)),
    (squeeze, lambda: gc.sum(X, axis=0)),
    (squeeze, lambda: gc.sum(S, axis=0)),
    (squeeze, lambda: gc.take(V, gc.asarray([0, 1]))),
    (squeeze, lambda: gc.argmax(S, axis=1)),
    (contractions, lambda: X @ SQUARE),
    (contractions, lambda: contract(gc.permute_dims(BATCH, (1, 0, 2)), BATCH, "bmk,bkn->bmn")),
)


@pytest.mark.parametrize("run,build", STAYS)
def test_what_no_rule_is_for_stays(run: Any, build: Any) -> None:
    node = build()
    found, fired = after(run, node)
    assert found is node
    assert fired == {}


def test_a_size_checked_to_be_1_is_stretched_no_further() -> None:
    once = gc.broadcast_to(V, (1,))
    assert after(canonicalise, gc.broadcast_to(once, (5, 1)))[0] is gc.broadcast_to(V, (5, 1))
    stays = gc.broadcast_to(once, (5,))
    assert after(canonicalise, stays)[0] is stays


def test_every_rule_has_an_example() -> None:
    shown = {name for name, *_ in FIRES}
    assert {rule.name for rule in (*algebra_rules.RULES, *canonical.RULES)} <= shown


MATRIX = (
    "mk,kn->mn",
    "mk,nk->mn",
    "km,kn->mn",
    "km,nk->mn",
    "bmk,bkn->bmn",
    "bmk,bnk->bmn",
    "bkm,bkn->bmn",
    "bkm,bnk->bmn",
)


def test_products_of_matrices() -> None:
    assert set(MATRIX) == matrices.MATRIX


SPECS = (
    *MATRIX, "k,k->", "mk,k->m", "k,kn->n", "ab,ba->", "ab,ab->", "ab,ab->a", "ab,ab->b", "mk,kn->nm", "km,kn->nm",
    "mk,nk->nm", "abc,cd->abd", "abc,bcd->ad", "abc,abd->acd", "abc,abd->adc", "acb,adb->acd", "abc,dcb->ad",
    "bca,bda->bcd", "abk,bkc->bac", "abcd,bd->ac", "kab,kc->abc", "kab,kc->cab", "cab,cdb->cad", "kmb,knb->bmn",
    "mkb,nkb->bmn",
)  # fmt: skip


@pytest.mark.parametrize("spec", SPECS)
def test_contractions_become_products_of_matrices(spec: str) -> None:
    operands = spec.split("->")[0]
    size = dict(zip("abcdmnk", (2, 3, 4, 5, 3, 2, 4), strict=True))
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-4, 5, [size[c] for c in letters]).astype(float) for letters in operands.split(",")]
    inputs = [gc.input(f"x{k}", a.shape) for k, a in enumerate(arrays)]
    graph, fired = contractions(Graph(inputs, [contract(*inputs, spec)]))
    assert sum(fired.values()) == (spec not in MATRIX)
    found = [n for n in graph.nodes if n.op.name == "contract"]
    assert [n.attrs["spec"] in MATRIX for n in found] == [True]
    value = interpret(graph, dict(zip(inputs, arrays, strict=True)), {})[0]
    np.testing.assert_array_equal(value, np.einsum(spec, *arrays))
    moves = [n for n in graph.nodes if n.op.name == "permute_dims"]
    assert len(moves) == MOVES.get(spec, 0), "axes are moved no more than needed"


MOVES = {
    "ab,ba->": 1, "ab,ab->b": 2, "abc,dcb->ad": 1, "abk,bkc->bac": 1, "abcd,bd->ac": 1, "kmb,knb->bmn": 2,
    "mkb,nkb->bmn": 2, "acb,adb->acd": 0, "bca,bda->bcd": 0,
}  # fmt: skip
"""How many permutations of axes a contraction needs besides the product; others need none."""


TRANSPOSED = [
    ("mk,kn->mn", (1, 0)), ("km,nk->mn", (1, 0)), ("bkm,bnk->bmn", (0, 2, 1)), ("bmk,bnk->bmn", (0, 2, 1)),
]  # fmt: skip


@pytest.mark.parametrize("spec,axes", TRANSPOSED)
def test_products_with_transposed_matrices(spec: str, axes: tuple[int, ...]) -> None:
    """A product with a transposed matrix reads that as it stands in memory."""
    size = dict(zip("bmnk", (2, 3, 4, 5), strict=True))
    operands = [[letters[axis] for axis in axes] for letters in spec.split("->")[0].split(",")]
    arrays = [np.arange(math.prod(size[c] for c in k)).reshape([size[c] for c in k]) - 7.0 for k in operands]
    inputs = [gc.input(f"x{k}", a.shape) for k, a in enumerate(arrays)]
    graph, _ = contractions(Graph(inputs, [contract(*[gc.permute_dims(x, axes) for x in inputs], spec)]))
    found = interpret(graph, dict(zip(inputs, arrays, strict=True)), {})[0]
    np.testing.assert_array_equal(found, np.einsum(spec, *[a.transpose(axes) for a in arrays]))
    assert [n.op.name for n in graph.nodes if n.inputs] == ["contract"]


def test_sizes_of_two_names() -> None:
    x, y = gc.input("x", ("n", 3)), gc.input("y", (3, 2, "m"))
    graph, _ = contractions(Graph([x, y], [gc.einsum("ab,bca->ac", x, y)]))
    assert graph.outputs[0].aval == gc.einsum("ab,bca->ac", x, y).aval


# rewriting


def test_names_and_counts_of_what_fired() -> None:
    """A rule that gives the node itself has not fired; what two rules made in turn carries both names, in order."""
    x = gc.input("x")
    root = gc.exp(x)
    made: dict[Tensor, tuple[str, ...]] = {}
    rules = [
        Rule("nothing", "exp", lambda node: node),
        Rule("to sin", "exp", lambda node: gc.sin(node.inputs[0])),
        Rule("to cos", "sin", lambda node: gc.cos(node.inputs[0])),
    ]
    assert rewrite(Graph([x], [root]), rules[:1])[1] == {}
    graph, fired = rewrite(Graph([x], [root, gc.exp(root)]), rules, made)
    assert fired == {"to sin": 2, "to cos": 2}
    assert made == {graph.outputs[0]: ("to sin", "to cos"), graph.outputs[1]: ("to sin", "to cos")}
    wrong = [Rule("wrong", "exp", lambda node: gc.stack([node, node]))]
    with pytest.raises(AssertionError, match="rule wrong changed"):
        rewrite(Graph([x], [root]), wrong)


def test_what_folding_counts() -> None:
    _, fired = fold(Graph([], [gc.exp(gc.asarray(0.5)), gc.flip(gc.asarray([1.0, 2.0]))]))
    assert fired == {"fold exp": 1, "fold flip": 1}


def test_one_number_everywhere() -> None:
    assert scalar_value(gc.full((2, 3), 7.0)) == 7.0
    assert scalar_value(gc.reshape(gc.full((2, 3), 7.0), (6,))) == 7.0
    assert scalar_value(gc.asarray([7.0])) is None
    assert scalar_value(X) is None
    assert [is_scalar(gc.asarray(v), 0.0) for v in (0.0, -0.0, 1.0, False, 0)] == [True, False, False, True, True]
    assert [is_scalar(gc.asarray(v), -0.0) for v in (0.0, -0.0)] == [False, True]
    assert not is_scalar(X, 0.0)


# all of them


def test_folding_is_the_ops_own_meaning() -> None:
    wrong = gc.asarray(2.0)
    (found,) = fold(Graph([], [gc.exp2(gc.sin(wrong) + 1)]))[0].outputs
    np.testing.assert_array_equal(found.attrs["data"].array, np.exp2(np.sin(2.0) + 1))
    assert folding.MAX_ELEMENTS == 4096


@pytest.mark.parametrize("seed", range(60))
def test_passes_keep_what_random_programs_mean(seed: int) -> None:
    """The reference interpreter, before the passes and after each of them."""
    program = generate(random.Random(seed))
    traced = program.trace()
    graph = Graph(traced.inputs, traced.outputs, list(traced.updates.items()))
    arrays = [program.calls[0][n.name] for n in traced.inputs]
    want = reference(graph, arrays)
    if want.error is not None:
        return
    env = bind_dims(graph.inputs, arrays)
    start = dict(zip(graph.inputs, arrays, strict=True))
    start |= {p: p.attrs["state"].array for p in graph.nodes if p.op is PARAM}
    for name, run in PIPELINE:
        graph, _ = optimise(graph, ((name, run),))
        try:
            compare(f"after {name}", want, interpret(graph, start, env))
        except Mismatch as error:
            error.add_note(program.text)
            raise
