"""Clusters: kernels over the same rows as one, chunk by chunk; products of matrices among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.schedule import chunks
from graphc.schedule import cluster as clusters

K, M = 70, 5


def network(dtype: str) -> tuple[list[gc.Tensor], list[gc.Tensor], list[gc.Param]]:
    """Two layers, a loss of their rows, and all gradients: products by rows, by terms, and neither."""
    x, t = gc.input("x", ("n", K), dtype), gc.input("t", "n", "int64")
    draw = np.random.default_rng(0)
    w1, w2 = gc.param(draw.normal(size=(K, M)).astype(dtype), "w1"), gc.param(draw.normal(size=(M, 3)).astype(dtype))
    h = gc.tanh(x @ w1 / K)
    scores = gc.log_softmax(h @ w2, axis=1)
    loss = -gc.mean(gc.take_along_axis(scores, t[:, None], axis=1))
    return [x, t], [loss, *gc.grad(loss, [w1, w2]), scores], [w1, w2]


def reference(x: np.ndarray, t: np.ndarray, w1: np.ndarray, w2: np.ndarray) -> list[np.ndarray]:
    x, w1, w2 = x.astype(float), w1.astype(float), w2.astype(float)
    h = np.tanh(x @ w1 / K)
    z = h @ w2
    scores = z - np.log(np.exp(z).sum(1, keepdims=True))
    rows = np.arange(len(t))
    dz = np.exp(scores)
    dz[rows, t] -= 1
    dz /= len(t)
    dh = dz @ w2.T * (1 - h * h)
    return [-scores[rows, t].mean(), x.T @ dh / K, h.T @ dz, scores]


@pytest.fixture(scope="module", params=["float32", "float64"])
def step(request: Any) -> gc.Step:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "GRAIN", 20)
        patch.setattr(clusters, "BLOCK", 4)
        inputs, outputs, _ = network(request.param)
        return gc.compile(inputs, outputs, threads=2)


def test_a_network_is_one_cluster(step: gc.Step) -> None:
    """All that goes over its rows: both layers, the loss, back through them, and the gradients, which are small."""
    groups = [g for g in step.plan.groups if g.members]
    (found,) = groups
    ops = [u.node.op.name for u in found.units]
    assert ops.count("contract") == 5 and step.plan.kernels[step.plan.groups.index(found)].chunks is not None
    assert len(step.plan.groups) <= 3, str(step.kernels)


def test_a_large_factor_is_not_read_for_each_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not stay in a core's cache is multiplied tile by tile, and the loops around it are kernels again."""
    monkeypatch.setattr(chunks, "GRAIN", 20)
    monkeypatch.setattr(clusters, "BLOCK", 4)
    monkeypatch.setattr(clusters, "LARGEST", K * M * 4 - 1)
    inputs, outputs, _ = network("float32")
    step = gc.compile(inputs, outputs)
    alone = [[u.node for u in g.units] for g in step.plan.groups if not g.members]
    assert any(n.op.name == "contract" and n.inputs[0] is inputs[0] for (n, *rest) in alone if not rest), str(
        step.kernels
    )
    assert any(g.members for g in step.plan.groups), "the products with small factors remain in one"


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 63, 64, 65, 300])
def test_cluster_against_numpy(step: gc.Step, n: int) -> None:
    draw = np.random.default_rng(n)
    dtype = step.graph.inputs[0].dtype
    x, t = draw.normal(size=(n, K)).astype(dtype), draw.integers(0, 3, n)
    wanted = reference(x, t, *[p.value for p in step.graph.params])
    tolerance = 1e-4 if dtype == np.float32 else 1e-11
    for got, want in zip(step(x, t), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def test_no_rows() -> None:
    x = gc.input("x", ("n", 100))
    w = gc.param(np.ones((100, 2)))
    h = gc.tanh(x @ w)
    step = gc.compile([x], [gc.sum(h), gc.grad(gc.sum(h), w), h])
    total, gradient, rows = step(np.zeros((0, 100)))
    assert total == 0 and not gradient.any() and rows.shape == (0, 2)


def test_an_index_out_of_range_changes_nothing(step: gc.Step) -> None:
    t = np.zeros(50, np.int64)
    t[33] = 3
    with pytest.raises(gc.OutOfBoundsError):
        step(np.ones((50, K), step.graph.inputs[0].dtype), t)


def test_what_needs_all_rows_comes_behind() -> None:
    """A mean over the rows is complete behind the last chunk; what subtracts it is no part of that cluster."""
    x = gc.input("x", ("n", 50))
    w = gc.param(np.linspace(-1, 1, 100).reshape(50, 2))
    h = x @ w
    centred = gc.exp(h - gc.mean(h, axis=0)) @ gc.constant(np.ones((2, 60)))
    step = gc.compile([x], [centred, gc.sum(centred, axis=1), gc.max(h)], threads=2)
    data = np.random.default_rng(1).normal(size=(5000, 50))
    z = data @ w.value
    want = np.exp(z - z.mean(0)) @ np.ones((2, 60))
    for got, right in zip(step(data), [want, want.sum(1), z.max()], strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-11)


def test_operands_read_across_rows() -> None:
    """x @ x.T needs all rows of x for each; h[::-1] another row than its own."""
    x = gc.input("x", (200, 30))
    h = gc.tanh(x)
    outputs = [h @ gc.matrix_transpose(h), gc.matrix_transpose(h) @ h, h + gc.flip(h, axis=0), h @ h[:30], h]
    step = gc.compile([x], outputs, threads=2)
    a = np.random.default_rng(2).normal(size=(200, 30))
    t = np.tanh(a)
    for got, right in zip(step(a), [t @ t.T, t.T @ t, t + t[::-1], t @ t[:30], t], strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-11, atol=1e-12)


def test_squares_of_the_same_size() -> None:
    """Rows, columns and terms are equally many: which is which must come from the product, not from sizes."""
    x, w = gc.input("x", ("n", "n")), gc.input("w", ("n", "n"))
    h = gc.exp(x @ w / 100)
    outputs = [h @ w, w @ h, gc.matrix_transpose(h) @ w, h @ h, gc.sum(h, axis=0), gc.sum(h, axis=1)]
    step = gc.compile([x, w], outputs, threads=2)
    draw = np.random.default_rng(3)
    for n in (3, 70, 129):
        a, b = draw.normal(size=(2, n, n))
        t = np.exp(a @ b / 100)
        wanted = [t @ b, b @ t, t.T @ b, t @ t, t.sum(0), t.sum(1)]
        for got, right in zip(step(a, b), wanted, strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-10, atol=1e-10)


def test_batches_of_products() -> None:
    x, y = gc.input("x", ("b", 20, 16)), gc.input("y", ("b", 16, 24))
    h = gc.tanh(x @ y)
    loss = gc.sum(h * h, axis=(1, 2))
    step = gc.compile([x, y], [loss, gc.grad(gc.sum(loss), x), gc.sum(h, axis=0)], threads=2)
    draw = np.random.default_rng(4)
    for b in (1, 2, 9, 40):
        a, c = draw.normal(size=(b, 20, 16)), draw.normal(size=(b, 16, 24))
        t = np.tanh(a @ c)
        gradient = (2 * t * (1 - t * t)) @ c.transpose(0, 2, 1)
        for got, right in zip(step(a, c), [(t * t).sum((1, 2)), gradient, t.sum(0)], strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-10, atol=1e-11)


def test_same_bits_for_any_number_of_threads() -> None:
    inputs, outputs, _ = network("float32")
    draw = np.random.default_rng(5)
    x, t = draw.normal(size=(5000, K)).astype(np.float32), draw.integers(0, 3, 5000)
    results = []
    for threads in (1, 2, 3):
        step = gc.compile(inputs, outputs, threads=threads)
        results.append([np.asarray(v).tobytes() for v in step(x, t)])
    assert results[0] == results[1] == results[2]


@pytest.fixture(scope="module")
def mixture() -> gc.Step:
    """Batches of products whose batch axis is not the first in memory, forward and back; rows in small blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "GRAIN", 20)
        patch.setattr(clusters, "BLOCK", 4)
        x, q, mu = gc.input("x", ("n", 9)), gc.input("q", (6, 9, 9)), gc.input("mu", (6, 9))
        centred = gc.tanh(x[:, None, :] - mu)
        scaled = gc.einsum("kij,nkj->nki", q, centred)
        value = gc.sum(gc.logsumexp(-0.5 * gc.sum(scaled * scaled, axis=2), axis=1))
        return gc.compile([x, q, mu], [value, *gc.grad(value, [x, q, mu])], threads=2)


def test_products_of_permuted_batches_join_the_rows(mixture: gc.Step) -> None:
    (found,) = [g for g in mixture.plan.groups if g.members]
    assert sorted(found.roles.values()) == ["rows", "rows", "terms"]
    assert not [g for g in mixture.plan.groups if g.units[0].node.op.name == "permute_dims"]


@pytest.mark.parametrize("n", [1, 3, 4, 7, 130])
def test_permuted_batches_against_numpy(mixture: gc.Step, n: int) -> None:
    draw = np.random.default_rng(n)
    x, q, mu = draw.normal(size=(n, 9)), draw.normal(size=(6, 9, 9)), draw.normal(size=(6, 9))
    centred = np.tanh(x[:, None, :] - mu)
    scaled = np.einsum("kij,nkj->nki", q, centred)
    scores = -0.5 * (scaled**2).sum(2)
    share = np.exp(scores - scores.max(1, keepdims=True))
    value = np.sum(np.log(share.sum(1)) + scores.max(1))
    by_scaled = -(share / share.sum(1, keepdims=True))[:, :, None] * scaled
    by_centred = np.einsum("kij,nki->nkj", q, by_scaled) * (1 - centred**2)
    wanted = [value, by_centred.sum(1), np.einsum("nki,nkj->kij", by_scaled, centred), -by_centred.sum(0)]
    for got, right in zip(mixture(x, q, mu), wanted, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-10, atol=1e-11)


def test_heads_of_attention() -> None:
    """Axes of heads between rows and columns: products read them where they stand, without copies."""
    q, k, v = (gc.input(name, ("b", 20, 3, 8)) for name in "qkv")
    heads = [gc.permute_dims(t, (0, 2, 1, 3)) for t in (q, k, v)]
    weights = gc.softmax(heads[0] @ gc.matrix_transpose(heads[1]), axis=-1)
    out = gc.permute_dims(weights @ heads[2], (0, 2, 1, 3))
    step = gc.compile([q, k, v], [out, *gc.grad(gc.sum(out * out), [q, k, v])], threads=2)
    draw = np.random.default_rng(6)
    arrays = draw.normal(size=(3, 4, 20, 3, 8))
    scores = np.einsum("bihd,bjhd->bhij", arrays[0], arrays[1])
    share = np.exp(scores - scores.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    want = np.einsum("bhij,bjhd->bihd", share, arrays[2])
    by_share = np.einsum("bihd,bjhd->bhij", 2 * want, arrays[2])
    by_scores = share * (by_share - (share * by_share).sum(-1, keepdims=True))
    wanted = [
        want,
        np.einsum("bhij,bjhd->bihd", by_scores, arrays[1]),
        np.einsum("bhij,bihd->bjhd", by_scores, arrays[0]),
        np.einsum("bhij,bihd->bjhd", share, 2 * want),
    ]
    for got, right in zip(step(*arrays), wanted, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-10, atol=1e-11)
