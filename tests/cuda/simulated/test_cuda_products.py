"""Products of matrices on the simulated device: tiles at every edge, batches, transposed factors, guards."""

from __future__ import annotations

import re

import numpy as np
import pytest

import graphc as gc
from graphc.codegen.cuda import print_cuda
from graphc.ir.graph import Graph
from graphc.passes.pipeline import optimise
from graphc.schedule.plan import make_plan
from graphc.schedule.policy import CUDA
from graphc.testing.ways import small_launches


def product(x: np.ndarray, y: np.ndarray, spec: str) -> np.ndarray:
    """``gc.einsum(spec, x, y)`` on the device, sizes not known as it compiles."""
    a = gc.input("a", tuple(f"a{k}" for k in range(x.ndim)), x.dtype)
    left, right = spec.split("->")[0].split(",")
    sizes = dict(zip(left, a.shape, strict=True))
    b = gc.input("b", tuple(sizes.get(letter, f"b{k}") for k, letter in enumerate(right)), y.dtype)
    with small_launches():
        step = gc.compile([a, b], gc.einsum(spec, a, b), target="cuda")
        assert "product_" in step.text.source
        return step(x, y)


@pytest.mark.parametrize("spec", ["ik,kj->ij", "ki,kj->ij", "ik,jk->ij", "ki,jk->ij"])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (4, 4, 2), (5, 9, 3), (9, 4, 7), (3, 0, 2), (2, 3, 0), (17, 10, 6), (18, 9, 5)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tiles(sizes: tuple[int, int, int], spec: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    size = dict(zip("ijk", sizes, strict=True))
    x, y = (rng.normal(size=[size[c] for c in part]).astype(dtype) for part in spec.split("->")[0].split(","))
    np.testing.assert_allclose(product(x, y, spec), np.einsum(spec, x, y), rtol=1e-5 if dtype == "float32" else 1e-13)


def test_small_and_large_tiles_have_the_same_bits() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(17, 11)).astype("float32"), rng.normal(size=(11, 20)).astype("float32")
    whole = product(x, y, "ik,kj->ij")  # in large tiles: there are enough
    parts = [product(x[k : k + 4].copy(), y, "ik,kj->ij") for k in range(0, 17, 4)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_known_sizes_choose_the_tiles() -> None:
    def tiles(m: int | str, n: int) -> set[str]:
        a, b = gc.input("a", (m, 64), "float32"), gc.input("b", (64, n), "float32")
        text = print_cuda(make_plan(optimise(Graph([a, b], [a @ b]))[0], None, CUDA))
        return set(re.findall(r"    product_float32_(\d+)", text.source))

    assert [tiles(16, 16), tiles(8, 24), tiles("m", 24)] == [{"8"}, {"4"}, {"8", "4"}]


@pytest.mark.parametrize("spec", ["bik,bkj->bij", "bki,bkj->bij", "bhik,bhjk->bhij"])
def test_batches(spec: str) -> None:
    rng = np.random.default_rng(2)
    size = dict(zip("bhijk", (3, 2, 5, 6, 3), strict=True))
    x, y = (rng.normal(size=[size[c] for c in part]) for part in spec.split("->")[0].split(","))
    np.testing.assert_allclose(product(x, y, spec), np.einsum(spec, x, y), rtol=1e-13)


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("rows", [1, 5, 18])
def test_epilogues(rows: int, batch: tuple[int, ...]) -> None:
    rng = np.random.default_rng(rows)
    a, w = rng.normal(size=(*batch, rows, 6)), rng.normal(size=(*batch, 6, 9))
    c, r = rng.normal(size=9), rng.normal(size=(*batch, rows, 9))
    lead = tuple(f"b{k}" for k in range(len(batch)))
    x, y = gc.input("x", (*lead, "n", 6)), gc.input("y", (*lead, 6, 9))
    bias, residual = gc.input("bias", (9,)), gc.input("residual", (*lead, "n", 9))
    h = x @ y + bias
    outputs = [gc.nn.relu(h) + residual, h > 0]
    step = gc.compile([x, y, bias, residual], outputs, target="cuda")
    kernel = step.text.source[step.text.source.index("def k0(") :]
    assert re.search(r"= pick\(sums, .*\) \+ ", kernel)
    assert not re.search(r"= pick\(sums, [^()]*\)$", kernel, re.M)  # the product's own results are stored nowhere
    found = step(a, w, c, r)
    want = a @ w + c
    np.testing.assert_allclose(found[0], np.maximum(want, 0) + r, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(found[1], want > 0)
    assert "product" in str(step.kernels) and "relu" in step.source


def test_what_others_read_of_a_product_is_stored() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(9, 6)), rng.normal(size=(6, 9))
    x, y = gc.input("x", ("n", 6)), gc.input("y", (6, 9))
    z = x @ y
    step = gc.compile([x, y], [z * 2.0, gc.flip(z, axis=1), gc.permute_dims(z, (1, 0)) + z.shape[0]], target="cuda")
    found = step(a, b)
    for one, want in zip(found, [a @ b * 2, (a @ b)[:, ::-1], (a @ b).T + 9], strict=True):
        np.testing.assert_allclose(one, want, rtol=1e-13)


def test_zeros_of_a_cotangent_annihilate() -> None:
    x, w = gc.input("x", ("n", 20), "float64"), gc.input("w", (20, 30), "float64")
    y = x @ w
    loss = gc.sum(gc.where(gc.isfinite(y), y, 0.0))
    with small_launches():
        step = gc.compile([x, w], gc.grad(loss, [x, w]), target="cuda")
        data = np.ones((7, 20))
        data[3, 4] = np.inf
        on_device = step(data, np.ones((20, 30)))
    on_host = gc.compile([x, w], gc.grad(loss, [x, w]))(data, np.ones((20, 30)))
    for found, want in zip(on_device, on_host, strict=True):
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found, want)
