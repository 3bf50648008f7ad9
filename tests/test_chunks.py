"""Chunks, lanes and threads: the same bits for any number of threads, and right at every edge of the cutting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.codegen import lanes
from graphc.schedule import chunks
from graphc.schedule.chunks import chunking


def fused() -> tuple[list[gc.Tensor], list[gc.Tensor]]:
    """Inputs and outputs with every kind of reduction over the outermost loop, maps, and row-wise stages."""
    x, y = gc.input("x", ("n", 5), "float32"), gc.input("y", "n")
    k = gc.input("k", "n", "int64")
    soft = gc.exp(x - gc.logsumexp(x, axis=1, keepdims=True))
    outputs = [
        *[gc.sum(y), gc.prod(1 + y / 1000), gc.max(y), gc.min(y), gc.argmax(y), gc.argmin(y)],
        *[gc.any(y > 2.5), gc.all(y < 9), gc.sum(k), gc.max(k), gc.sum(gc.tanh(y) * k)],
        *[gc.sum(x, axis=0), gc.max(x, axis=0), gc.sum(x, axis=1), gc.sum(soft, axis=0), soft],
        *[gc.sum(y * gc.arange(x.shape[0])), gc.take(y, k), gc.mean(x), gc.cumulative_sum(y)],
    ]
    return [x, y, k], outputs


def data(n: int) -> list[np.ndarray]:
    draw = np.random.default_rng(n)
    x, y = draw.normal(size=(n, 5)).astype(np.float32), draw.normal(size=n)
    return [x, y, draw.integers(-n, n, n)]


SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 63, 64, 65, 255, 257)


@pytest.fixture(scope="module")
def finely_cut() -> Any:
    """A step whose chunks and lanes are so few elements that small arrays have many of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "GRAIN", 20)
        patch.setattr(chunks, "ALIGNED", 4)
        patch.setattr(chunks, "LEAST_SUMMED", 2)
        patch.setattr(lanes, "LANES", 8)
        inputs, outputs = fused()
        return gc.compile(inputs, outputs, threads=2)


@pytest.mark.parametrize("n", SIZES)
def test_cutting_keeps_the_meaning(finely_cut: gc.Step, n: int) -> None:
    arrays = data(n)
    x, y, k = arrays
    soft = np.exp(x - x.max(1, keepdims=True).astype(float))
    soft /= soft.sum(1, keepdims=True)
    wanted = [
        *[y.sum(), (1 + y / 1000).prod(), y.max(), y.min(), y.argmax(), y.argmin()],
        *[(y > 2.5).any(), (y < 9).all(), k.sum(), k.max(), (np.tanh(y) * k).sum()],
        *[x.sum(0), x.max(0), x.sum(1), soft.sum(0), soft],
        *[(y * np.arange(n)).sum(), y[k], x.mean(), np.cumsum(y)],
    ]
    for got, want in zip(finely_cut(*arrays), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_same_bits_for_any_number_of_threads() -> None:
    inputs, outputs = fused()
    arrays = data(200_000)
    results = []
    for threads in (1, 2, 3, None):
        step = gc.compile(inputs, outputs, threads=threads)
        results.append([np.asarray(v).tobytes() for v in step(*arrays)])
    assert results[0] == results[1] == results[2] == results[3]


def test_several_threads_are_used_where_there_are_several() -> None:
    from graphc.runtime.threads import available

    x = gc.input("x", "n")
    step = gc.compile([x], gc.sum(gc.exp(x)), threads=2)
    step(np.ones(10))
    step(np.ones(1_000_000))
    small, large = (frames[0] for frames in step._caller.frames.values())
    assert small.m[4] == 1 and large.m[4] == min(2, available())
    assert (small.m[-1] != large.m[-1]) == (available() > 1)


@pytest.mark.parametrize("extent", [1, 63, 64, 16384, 16385, 10**6, 10**8])
@pytest.mark.parametrize("row", [1, 3, 1000, 10**6])
@pytest.mark.parametrize("arrays", [0, 1, 5])
def test_chunks_cover_everything_once(extent: int, row: int, arrays: int) -> None:
    found = chunking((extent, row), arrays)
    if found is None:
        return
    assert 1 < found.count <= found.most
    assert (found.count - 1) * found.length < extent <= found.count * found.length
    named = chunking((gc.input("x", ("n", "m")).shape), arrays)
    assert named is not None


def test_loops_vectorise() -> None:
    """Packed arithmetic in the machine code: of maps, and of sums and maxima in one loop with them."""
    x, y = gc.input("x", "n", "float32"), gc.input("y", "n")
    for outputs in ([gc.tanh(x)], [gc.sum(gc.exp(x))], [gc.sum(y * y)], [gc.max(y), gc.sum(y), gc.sqrt(y)]):
        step = gc.compile([x, y], outputs)
        assert all(k.vectors is not None and k.vectors >= 128 for k in step.kernels), str(step.kernels)


def has_masked_vectors() -> bool:
    from llvmlite import binding

    return bool(binding.get_host_cpu_features().get("avx2"))


FUNCTIONS = [
    *["exp", "expm1", "log", "log1p", "sin", "cos", "tan", "tanh", "sigmoid", "softplus", "erf", "erfc", "sqrt"],
    *["atan", "asin", "cbrt", "sinh", "asinh", "lgamma"],
]


@pytest.mark.skipif(not has_masked_vectors(), reason="vectors of 128 bits are in scalar code, too")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_vectorise_in_kernels(dtype: str) -> None:
    inputs = [gc.input(f"x{k}", f"n{k}", dtype) for k in range(len(FUNCTIONS) + 2)]
    outputs = [getattr(gc, name)(x) for name, x in zip(FUNCTIONS, inputs, strict=False)]
    step = gc.compile(inputs, [*outputs, inputs[-2] ** 2.5, gc.atan2(inputs[-1], 2 * inputs[-1])])
    scalar = [" ".join(k.ops) for k in step.kernels if k.vectors is None or k.vectors < 256]
    assert len(step.kernels) == len(inputs) and not scalar


@pytest.mark.skipif(not has_masked_vectors(), reason="short loops become vectors by masks, which this machine has not")
def test_lanes_of_a_sum_of_unknown_length_are_registers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None of them is memory: a short sum would spend its time on setting them to 0 and reading them back."""
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path))
    x, y = gc.input("x", "n", "float32"), gc.input("y", "n", "float32")
    step = gc.compile([x, y], [gc.sum(x * y), gc.max(y), gc.sum((x - y) ** 2)], name="in registers")
    (kernel,) = {name for name, text in step.text.kernels if "fold_add_into" in text.text}
    module = step._caller.program.module
    code = getattr(module, kernel)._library.get_llvm_str()
    assert "fadd <4 x double>" in code and " = alloca [" not in code


def test_a_sum_of_unknown_length_has_the_bits_of_its_order() -> None:
    """Rounds of 32 elements in 32 lanes, halved to 4; the rest, by fours, in these; halved to one."""
    x = gc.input("x", "n")
    step = gc.compile([x], gc.sum(x))
    for n in (1, 3, 4, 7, 31, 32, 33, 63, 64, 101):
        values = np.random.default_rng(n).normal(size=n)
        whole = n // 32 * 32
        lanes = np.zeros(32)
        for row in values[:whole].reshape(-1, 32):
            lanes += row
        while len(lanes) > 4:
            lanes = lanes[len(lanes) // 2 :] + lanes[: len(lanes) // 2]
        for k in range(whole, n):
            lanes[(k - whole) % 4] += values[k]
        assert step(values) == (lanes[3] + lanes[1]) + (lanes[2] + lanes[0])


def test_short_loops_vectorise() -> None:
    """Also those of few elements, which would become straight code first: their vectors are as wide as others."""
    rows, image = gc.input("rows", ("n", 100), "float32"), gc.input("image", ("n", 3, 28, 28), "float32")
    bias = gc.input("bias", 3, "float32")
    shifted = image + gc.reshape(bias, (3, 1, 1))
    functions = [gc.exp(rows - gc.logsumexp(rows, axis=1, keepdims=True)), gc.sum(rows, axis=1), gc.relu(shifted)]
    step = gc.compile([rows, image, bias], functions)
    widest = max(k.vectors or 0 for k in step.kernels)
    assert widest >= 128 and all(k.vectors == widest for k in step.kernels), str(step.kernels)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint32"])
def test_sums_of_narrow_integers_wrap_where_they_are_read(dtype: str) -> None:
    """What reads a sum in its own kernel gets what memory would hold, for any number of threads."""
    info, x, pairs = np.iinfo(dtype), gc.input("x", "n", dtype), gc.input("pairs", ("m", 2), dtype)
    total, product = gc.sum(x, dtype=dtype), gc.prod(x, dtype=dtype)
    kept = gc.param(0.0, name="kept")
    rows = gc.sum(pairs, axis=1, dtype=dtype)
    outputs = [total, total > 5, gc.astype(product, "float64"), rows > 5, gc.sum(pairs, axis=0, dtype=dtype) > 5]
    steps = [gc.compile([x, pairs], outputs, {kept: gc.astype(total, "float64")}, threads=k) for k in (1, 2)]
    draw = np.random.default_rng(0)
    for n in (2, 40_000):
        data = draw.integers(info.min, info.max, n, dtype, endpoint=True) | 1
        two = np.full((3, 2), info.max, dtype)
        with np.errstate(all="ignore"):
            sums, column = data.sum(dtype=dtype), two.sum(axis=0, dtype=dtype)
            wanted = [sums, sums > 5, float(data.prod(dtype=dtype)), two.sum(axis=1, dtype=dtype) > 5, column > 5]
        for step in steps:
            for found, want in zip(step(data, two), wanted, strict=True):
                np.testing.assert_array_equal(found, want)
            assert kept.value == float(sums)
