"""Products of matrices and tensors, and einsum, against NumPy and finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reference import agrees, differences, gradient, run

from graphc.errors import ShapeError
from graphc.ir.evaluate import evaluate
from graphc.ir.leaves import input as symbolic
from graphc.ir.tensor import Tensor
from graphc.ir.traversal import topological
from graphc.ops import linalg
from graphc.ops.einsum import einsum
from graphc.ops.linalg import dot, inner, matmul, matrix_transpose, outer, tensordot, trace, vecdot

DTYPES = ("bool", "int8", "int64", "uint8", "uint64", "float32", "float64")


def array(shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, *shape])
    if dtype.startswith("float"):
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)


def differentiates(f: Callable[..., Any], g: Callable[..., Any], *arrays: np.ndarray) -> None:
    """First derivatives against differences of NumPy's function, second ones against differences of the first."""
    ct = array(np.shape(g(*arrays)), seed=9)
    for found, want in zip(gradient(f, *arrays, ct=ct), differences(g, *arrays, ct=ct), strict=True):
        np.testing.assert_allclose(found, want, atol=1e-7)

    def half_square(*moved: np.ndarray) -> Any:
        return sum((bar**2).sum() / 2 for bar in differences(g, *moved, ct=ct, step=1e-2))

    second = gradient(f, *arrays, ct=ct, order=2)
    for found, want in zip(second, differences(half_square, *arrays, step=1e-3), strict=True):
        np.testing.assert_allclose(found, want, atol=1e-6)


SHAPES = [
    ((3,), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((2, 1, 2, 3), (1, 3, 3, 2)),
    ((2, 3, 1, 2), (3, 2, 2)),
    ((2, 3, 1, 2), (2,)),
    ((2,), (3, 2, 2, 1)),
    ((1, 2, 3), (5, 3, 4)),
    ((1, 1), (1, 1)),
    ((1, 3), (3, 1)),
    ((4, 1), (1, 4)),
    ((1,), (1, 3)),
    ((2, 0), (0, 3)),
    ((0, 3), (3, 4)),
    ((0, 2, 3), (1, 3, 4)),
    ((0,), (0,)),
]


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_matmul(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    agrees(matmul, np.matmul, array(left), array(right))
    agrees(matmul, np.matmul, array(left, "int8"), array(right, "int8"))
    differentiates(matmul, np.matmul, array(left), array(right))


@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_dtypes(dtype: str) -> None:
    agrees(matmul, np.matmul, array((2, 3), dtype), array((3, 4), dtype), rtol=1e-5)
    agrees(matmul, np.matmul, array((2, 3), dtype), array((3, 4), "float32"), rtol=1e-5)


def test_matmul_errors() -> None:
    x, y = symbolic("x", (2, 3), "float32"), symbolic("y", (4, 5))
    with pytest.raises(ShapeError) as error:
        matmul(x, y)
    assert str(error.value).startswith(
        "cannot matmul: got x: float32[2, 3], y: float64[4, 5], "
        "expected the last axis of x, which is 3, to equal the second last axis of y, which is 4\n  at "
    )
    with pytest.raises(ShapeError, match="at least one axis in each operand"):
        matmul(x, 2.0)
    with pytest.raises(ShapeError, match=r"equal sizes, or 1, where axes go together \(not 2 and 5\)"):
        matmul(symbolic("x", (2, 3, 4)), symbolic("y", (5, 4, 3)))


def test_sizes_unknown_while_building_are_checked_by_the_call() -> None:
    x, y = symbolic("x", ("n", "k")), symbolic("y", ("m", 3))
    z = matmul(x, y)
    assert str(z.shape) == "(n, 3)"
    evaluate([z], {x: np.ones((2, 4)), y: np.ones((4, 3))})
    with pytest.raises(ShapeError, match="sizes do not fit"):
        evaluate([z], {x: np.ones((2, 4)), y: np.ones((5, 3))})


def test_inner_axes_do_not_broadcast() -> None:
    """A size declared 1 beside a named one must be 1 at the call; np.matmul has no broadcasting there either."""
    x, y = symbolic("x", (2, 1)), symbolic("y", ("n", 3))
    for z in (matmul(x, y), tensordot(x, y, axes=1), dot(x, y)):
        assert evaluate([z], {x: np.ones((2, 1)), y: np.ones((1, 3))})[0].shape == (2, 3)
        with pytest.raises(ShapeError, match="sizes do not fit"):
            evaluate([z], {x: np.ones((2, 1)), y: np.ones((4, 3))})


def test_products_without_a_sum_are_elementwise() -> None:
    """They fuse; only sums of products are contractions."""
    x, y = symbolic("x", ("n",)), symbolic("y", ("m",))
    for z in (outer(x, y), einsum("i,j->ij", x, y), einsum("i,i->i", x, x)):
        assert _contractions(z) == []


def _contractions(z: Tensor) -> list[str]:
    return [node.attrs["spec"] for node in topological([z]) if node.op.name == "contract"]


def test_matmul_is_one_contraction() -> None:
    z = matmul(symbolic("x", ("n", 3)), symbolic("w", (3, 4)))
    assert _contractions(z) == ["mk,kn->mn"]


@pytest.mark.parametrize("axes", [0, 1, 2, ([1, 2], [1, 0]), (2, 0), ([-1], [-2]), ([], [])])
def test_tensordot(axes: Any) -> None:
    x, y = array((2, 3, 3)), array((3, 3, 4))
    agrees(lambda x, y: tensordot(x, y, axes=axes), lambda x, y: np.tensordot(x, y, axes=axes), x, y)
    differentiates(lambda x, y: tensordot(x, y, axes=axes), lambda x, y: np.tensordot(x, y, axes=axes), x, y)


def test_tensordot_errors() -> None:
    x, y = symbolic("x", (2, 3)), symbolic("y", (4, 5))
    with pytest.raises(ShapeError, match=r"expected 0 <= axes <= 2, not 3"):
        tensordot(x, y, axes=3)
    with pytest.raises(ShapeError, match="axis 1 of x, which is 3, to equal axis 0 of y, which is 4"):
        tensordot(x, y, axes=1)
    with pytest.raises(ShapeError, match="as many distinct axes of x as of y"):
        tensordot(x, y, axes=([0, 1], [0]))


def test_vecdot() -> None:
    agrees(vecdot, np.vecdot, array((2, 3)), array((3,)))
    agrees(vecdot, np.vecdot, array((4, 1, 3)), array((2, 3)))
    agrees(lambda x, y: vecdot(x, y, axis=0), lambda x, y: np.vecdot(x, y, axis=0), array((3, 2)), array((3, 1)))
    agrees(lambda x, y: vecdot(x, y, axis=-2), lambda x, y: np.vecdot(x, y, axis=-2), array((5, 3, 2)), array((3, 2)))
    differentiates(vecdot, np.vecdot, array((2, 3)), array((3,)))
    with pytest.raises(ShapeError, match="axis of x, which is 3, to equal the axis of y, which is 4"):
        vecdot(symbolic("x", (3,)), symbolic("y", (4,)))


@pytest.mark.parametrize(
    ("left", "right"), [((), (3,)), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((2, 3), (5, 3, 4))]
)
def test_dot_inner_outer(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    x, y = array(left), array(right)
    agrees(dot, np.dot, x, y)
    agrees(outer, np.outer, x, y)
    if left and right:
        agrees(inner, np.inner, x, np.moveaxis(y, -2, -1) if y.ndim > 1 else y)
    differentiates(dot, np.dot, x, y)


@pytest.mark.parametrize("offset", [0, 1, -2, 5])
def test_trace(offset: int) -> None:
    for shape in ((3, 3), (2, 4), (5, 2, 3)):
        f, g = (lambda x: trace(x, offset=offset)), (lambda x: np.linalg.trace(x, offset=offset))
        agrees(f, g, array(shape))
        agrees(f, g, array(shape, "int8"))
        np.testing.assert_allclose(gradient(f, array(shape))[0], differences(g, array(shape))[0], atol=1e-8)
    with pytest.raises(ShapeError, match="cannot trace: .*at least two axes"):  # noqa: RUF043
        trace(symbolic("x", (3,)))


def test_matrix_transpose() -> None:
    agrees(matrix_transpose, np.matrix_transpose, array((2, 3, 4)))
    agrees(matrix_transpose, np.matrix_transpose, array((3, 4), "bool"))
    with pytest.raises(ShapeError, match="at least two axes"):
        matrix_transpose(symbolic("x", (3,)))


EINSUMS: list[tuple[str, tuple[tuple[int, ...], ...]]] = [
    ("ij,jk->ik", ((2, 3), (3, 4))),
    ("ij,jk", ((2, 3), (3, 4))),
    ("ji", ((2, 3),)),
    ("ij->", ((2, 3),)),
    ("ij->j", ((2, 3),)),
    ("ii", ((3, 3),)),
    ("ii->i", ((3, 3),)),
    ("iij->ji", ((3, 3, 2),)),
    ("iii", ((3, 3, 3),)),
    ("ijij->ij", ((2, 3, 2, 3),)),
    ("i,j->ij", ((2,), (3,))),
    ("i,i", ((3,), (3,))),
    ("ij,ij->ij", ((2, 3), (2, 3))),
    ("ij,kj->", ((2, 3), (4, 3))),
    ("ij,k->ik", ((2, 3), (4,))),
    ("bij,bjk->bik", ((5, 2, 3), (5, 3, 4))),
    ("b i j, b j k -> b k i", ((5, 2, 3), (5, 3, 4))),
    ("ii,ij->j", ((3, 3), (3, 2))),
    ("...ij,...jk->...ik", ((5, 2, 3), (3, 4))),
    ("...ij,jk", ((5, 2, 3), (3, 4))),
    ("i...,i...", ((3, 2), (3, 4, 2))),
    ("...,...", ((2, 3), (3,))),
    ("...i->i...", ((2, 3, 4),)),
    ("i...->...", ((2, 3, 4),)),
    ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 2))),
    ("ij,jk,kl,lm", ((2, 3), (3, 4), (4, 2), (2, 3))),
    ("i,ij,j", ((2,), (2, 3), (3,))),
    ("a,b,c->cab", ((2,), (3,), (4,))),
    ("i,i,i->i", ((3,), (3,), (3,))),
    ("ij,i,ij->j", ((2, 3), (2,), (2, 3))),
    ("ij,jk->ik", ((2, 1), (3, 4))),
    ("i,i", ((1,), (3,))),
    ("ij,kj->ik", ((2, 0), (3, 0))),
    ("i,->i", ((3,), ())),
    (",", ((), ())),
    ("zA,Ab->zb", ((2, 3), (3, 4))),
]


@pytest.mark.parametrize(("spec", "shapes"), EINSUMS, ids=[f"{s}-{k}" for k, (s, _) in enumerate(EINSUMS)])
def test_einsum(spec: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    arrays = [array(shape, seed=k) for k, shape in enumerate(shapes)]
    agrees(lambda *xs: einsum(spec, *xs), lambda *xs: np.einsum(spec, *xs), *arrays)
    integers = [array(shape, "int8", seed=k) for k, shape in enumerate(shapes)]
    agrees(lambda *xs: einsum(spec, *xs), lambda *xs: np.einsum(spec, *xs), *integers)
    ct = array(np.shape(np.einsum(spec, *arrays)), seed=7)
    found = gradient(lambda *xs: einsum(spec, *xs), *arrays, ct=ct)
    want = differences(lambda *xs: np.einsum(spec, *xs), *arrays, ct=ct)
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_einsum_second_order() -> None:
    for spec, shapes in (("ij,jk,ki", ((2, 3), (3, 2), (2, 2))), ("ii,ij->j", ((3, 3), (3, 2)))):
        arrays = [array(shape, seed=k) for k, shape in enumerate(shapes)]
        differentiates(lambda *xs, s=spec: einsum(s, *xs), lambda *xs, s=spec: np.einsum(s, *xs), *arrays)


def test_einsum_of_bools_is_or_of_ands() -> None:
    x, y = array((2, 3), "bool"), array((3, 4), "bool")
    np.testing.assert_array_equal(run(lambda x, y: einsum("ij,jk->ik", x, y), x, y), x @ y)
    np.testing.assert_array_equal(run(lambda x: einsum("ij->i", x), x), x.any(1))


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("ij,jk->ik", r"'ij,jk->ik' with 1 operand, expected as many operands as terms \(2 before '->'\)"),
        ("i", r"term 'i' for x: float64\[2, 3\], expected one letter for each of its 2 axes, or '...'"),
        ("ij->k", "'ij->k', expected each letter of the result once, and in some operand"),
        ("ij->ii", "each letter of the result once"),
        ("i.j", "letters, commas, one '->' and at most one '...' in each term"),
        ("i$", "letters, commas"),
        ("ij->i->j", "letters, commas"),
        ("ii->i", "equal sizes under 'i', not 2 and 3"),
    ],
)
def test_einsum_errors(spec: str, text: str) -> None:
    with pytest.raises(ShapeError, match="bad einsum: got .*" + text):
        einsum(spec, symbolic("x", (2, 3)))


def test_einsum_sizes_disagree() -> None:
    with pytest.raises(ShapeError, match="equal sizes under 'j', not 3 and 4"):
        einsum("ij,jk", symbolic("x", (2, 3)), symbolic("y", (4, 5)))
    with pytest.raises(ShapeError, match=r"'i' twice in a term for x: float64\[1, 3\], expected equal sizes"):
        einsum("ii", symbolic("x", (1, 3)))
    with pytest.raises(ShapeError, match="the subscripts as a string"):
        einsum(symbolic("x", (2, 3)), [0, 1])  # type: ignore[arg-type]


def test_einsum_contracts_in_a_good_order() -> None:
    """A chain with a small end is contracted from that end: no product is larger than it must be."""
    x, y, z = symbolic("x", (50, 60)), symbolic("y", (60, 70)), symbolic("z", (70,))
    node = einsum("ij,jk,k->i", x, y, z)
    assert max(int(n.size) for n in topological([node])) == 60 * 70  # type: ignore[call-overload]


def test_malformed_contractions_are_refused() -> None:
    x = symbolic("x", (2, 3))
    for spec in ("ij,ij->k", "ii,ij->j", "ij,jk->i"):
        with pytest.raises((ShapeError, KeyError)):
            linalg.apply(linalg.CONTRACT, x, x, spec=spec)


def test_einsum_of_three_with_a_dim_named_in_one_and_known_in_another() -> None:
    """The order of products goes by what is known of a letter in any operand."""
    x, w, v = symbolic("x", ("n", "k")), symbolic("w", (4, 4)), symbolic("v", ("n", 1))
    outs = [einsum("ij,jk,ik->ik", x, w, x), einsum("ij,jk,ik->i", x, w, v)]
    rng = np.random.default_rng(0)
    X, W, V = rng.normal(size=(3, 4)), rng.normal(size=(4, 4)), rng.normal(size=(3, 1))
    found = evaluate(outs, {x: X, w: W, v: V})
    np.testing.assert_allclose(found[0], np.einsum("ij,jk,ik->ik", X, W, X))
    np.testing.assert_allclose(found[1], np.einsum("ij,jk,ik->i", X, W, np.broadcast_to(V, (3, 4))))
