"""Products of matrices by cuBLAS, on the stand-ins for it and for the driver: run as ``python products.py NAME``."""

from __future__ import annotations

import ctypes
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import emulate
import numpy as np
import simulate
from scenarios import Foreign, mark

import graphc as gc
from graphc import doctor
from graphc.schedule import cublas
from graphc.testing.ways import small_launches

LEAST = 60
"""Multiplications from which on cuBLAS computes here."""
ROWS = 6
"""So many that all products of `network` are large."""


def numbers(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).uniform(-1, 1, shape).astype(dtype)


def same(found: Any, expected: Any) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-5, atol=2e-6)


def network(
    target: str, dtype: str = "float32", rows: int | str = ROWS, device_outputs: bool = False
) -> tuple[gc.Step, list[gc.Param]]:
    """Two layers and their training: products of an input, of values in between, of transposed ones, under guards."""
    x, t = gc.input("x", (rows, 5), dtype), gc.input("t", (rows, 3), dtype)
    shapes = {"v": (5, 4), "w": (4, 3), "b": (4,)}
    params = [gc.param(numbers(*shape, dtype=dtype), name=name) for name, shape in shapes.items()]
    v, w, b = params
    y = gc.nn.relu(x @ v + b) @ w
    loss = gc.mean((y - t) ** 2)
    rate = np.dtype(dtype).type(0.1)
    updates = {p: p - rate * g for p, g in zip(params, gc.grad(loss, params), strict=True)}
    return gc.compile([x, t], [y, loss], updates, target=target, device_outputs=device_outputs), params


def training(dtype: str = "float32") -> None:
    """Calls with arrays from here, of two sizes, large and small, in turn: each finds its operands where they are."""
    (step, params), (here, wanted) = network("cuda", dtype, "n"), network("cpu", dtype, "n")
    assert len(step.text.products) == 5
    for k, rows in enumerate([6, 6, 2, 6, 2, 2, 6, 6]):
        x, t = numbers(rows, 5, dtype=dtype, seed=k), numbers(rows, 3, dtype=dtype, seed=k + 100)
        if k > 4:
            step.prefetch(x, t)
        mark(f"call {k}")
        same(step(x, t), here(x, t))
    mark("end")
    same([p.value for p in params], [p.value for p in wanted])


def elsewhere() -> None:
    """Arrays on the device at other addresses in every call, results that are held: all through one recording."""
    (step, params), (here, wanted) = network("cuda", device_outputs=True), network("cpu")
    held, expected = [], []
    for k in range(7):
        x, t = numbers(6, 5, seed=k), numbers(6, 3, seed=k + 100)
        given = [gc.to_device(x), Foreign(gc.to_device(t), None)] if k % 2 else [gc.to_device(x), t]
        mark(f"call {k}")
        held.append(step(*given))
        mark("end")
        expected.append(here(x, t))
    for found, want in zip(held, expected, strict=True):
        same(found, want)
    same([p.value for p in params], [p.value for p in wanted])
    x = gc.input("x", ("n", 5), "float32")
    step, whole = gc.compile([x], x @ params[0], target="cuda"), numbers(24, 5, seed=1)
    mark("rows")
    found = step.run(gc.to_device(whole), batch_size=6)
    np.testing.assert_allclose(found.reshape(24, 4), whole @ params[0].value, rtol=2e-5, atol=2e-6)


def epilogues() -> None:
    """What follows a product, element by element, in a kernel of its own, whether sizes are known or not."""
    for rows in (6, "n"):
        x, b = gc.input("x", (rows, 5), "float32"), gc.input("b", (4,), "float32")
        w = gc.param(numbers(5, 4), name="w")
        z = gc.tanh(x @ w + b)
        outputs = [z, gc.where(z > 0, z, -z)]
        step, here = (gc.compile([x, b], outputs, target=target) for target in ("cuda", "cpu"))
        mark(f"{rows} rows: {step.kernels[0].library}; own kernels: {len(step.text.names)}")
        for k in range(4):
            data = numbers(6, 5, seed=k), numbers(4, seed=k)
            same(step(*data), here(*data))


def batches() -> None:
    """Products of a batch, evenly apart, or of matrices with their rows apart; of arrays of a call, by own kernels."""
    q, k = gc.input("q", ("b", 4, 2, 3), "float32"), gc.input("k", ("b", 4, 2, 3), "float32")
    heads = [gc.permute_dims(gc.tanh(a), (0, 2, 1, 3)) for a in (q, k)]
    weights = gc.softmax(heads[0] @ gc.permute_dims(heads[1], (0, 1, 3, 2)), axis=-1)
    mixed = gc.exp(gc.permute_dims(weights @ gc.exp(heads[1]), (0, 2, 1, 3)))
    step, here = (gc.compile([q, k], gc.reshape(mixed, (-1,)), target=target) for target in ("cuda", "cpu"))
    for n in range(4):
        data = numbers(3, 4, 2, 3, seed=n), numbers(3, 4, 2, 3, seed=n + 9)
        mark(f"call {n}")
        same([step(*data)], [here(*data)])
    mark("end")
    x, y = gc.input("x", (3, 4, 5), "float64"), gc.input("y", (3, 5, 6), "float64")
    evenly = gc.exp(gc.tanh(x) @ gc.tanh(y))
    data = numbers(3, 4, 5, dtype="float64"), numbers(3, 5, 6, dtype="float64")
    for name, outputs in (("evenly", evenly), ("of inputs", x @ y)):
        mark(name)
        for target in ("cuda", "cuda", "cuda"):
            same([gc.compile([x, y], outputs, target=target)(*data)], [gc.compile([x, y], outputs)(*data)])
    mark("end")


def guards() -> None:
    """Zeros of a cotangent annihilate inf and nan of the other factor; what is nan without them stays nan."""
    x, w = gc.input("x", ("n", 5), "float64"), gc.param(np.ones((5, 6)), name="w")
    y = x @ w
    loss = gc.sum(gc.where(gc.isfinite(y), y, 0.0))
    outputs = [*gc.grad(loss, [x, w]), y]
    step, here = (gc.compile([x], outputs, target=target) for target in ("cuda", "cpu"))
    for k in range(4):
        data = numbers(7, 5, dtype="float64", seed=k)
        data[k, 4] = np.inf
        data[k + 1, 2] = np.nan
        found, wanted = step(data), here(data)
        assert np.isfinite(found[1]).all() and np.isnan(found[2]).any()
        same(found, wanted)


def without() -> None:
    """Own kernels compute where cuBLAS is not there, or was turned off."""
    x, w = gc.input("x", (6, 5), "float32"), gc.param(numbers(5, 4), name="w")
    step = gc.compile([x], gc.exp(x @ w), target="cuda")
    assert not step.text.products and "cublas" not in step.text.source and step._caller.program.multiplier is None
    data = numbers(6, 5)
    for _ in range(3):
        same([step(data)], [np.exp(data @ w.value)])

    (finding,) = (f for f in doctor.examine() if f.name == "cuBLAS")
    mark(f"{finding.found} -> {finding.fix}")


def report() -> None:
    """What is said of cuBLAS where it is there."""
    (finding,) = (f for f in doctor.examine() if f.name == "cuBLAS")
    mark(f"{finding.found} -> {finding.fix}")


def failing() -> None:
    """What cuBLAS refuses is an error that names the function."""
    step, _ = network("cuda")
    data = numbers(6, 5), numbers(6, 3)
    try:
        step(*data)
    except gc.GraphcError as error:
        mark(str(error))
    else:
        raise AssertionError("nothing was raised")


def devices() -> None:
    """Each device has a cuBLAS of its own."""
    (step, _), (here, _) = network("cuda"), network("cpu")
    other = step.to("cuda:1")
    for k in range(6):
        data = numbers(6, 5, seed=k), numbers(6, 3, seed=k)
        same((step, other)[k % 3 == 1](*data), here(*data))


def unrecorded() -> None:
    """Products among kernels that are launched one by one."""
    (step, _), (here, _) = network("cuda"), network("cpu")
    for k in range(3):
        data = numbers(6, 5, seed=k), numbers(6, 3, seed=k)
        same(step(*data), here(*data))


def benchmark() -> None:
    """The measuring of products, on small ones; the stand-in's times are all the same."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from benchmarks import device_products

    device_products.table([(6, 4, 5)])
    row = device_products.Row("float32", (4, 4, 4), 2.0, 1.0, 1.0)
    slow = row._replace(sizes=(4, 4, 5), own=1.0, stays=2.0)
    fast = row._replace(sizes=(4, 4, 6))
    assert device_products.least_work([fast, row, slow]) == 96
    assert device_products.least_work([slow, row]) is None and device_products.least_work([row, fast]) == 64


SCENARIOS: dict[str, Callable[[], None]] = {
    f.__name__: f
    for f in (
        training,
        elsewhere,
        epilogues,
        batches,
        guards,
        without,
        report,
        failing,
        devices,
        unrecorded,
        benchmark,
    )
}

if __name__ == "__main__":
    assert ctypes.CDLL("libcuda.so.1").fake_set_launcher, "the real driver was loaded"
    simulate.attach()
    least = dict.fromkeys(("float32", "float64"), LEAST)
    with small_launches(), mock.patch.object(cublas, "LEAST_WORK", least):
        try:
            SCENARIOS[sys.argv[1]]()
        finally:
            for failure in emulate.failures:
                traceback.print_exception(failure)
    assert not emulate.failures, emulate.failures
