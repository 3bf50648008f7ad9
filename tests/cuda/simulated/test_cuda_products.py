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
