"""Subnormal floats: kept as NumPy keeps them, or 0 where the user asked for that; and nobody else's are touched."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import graphc as gc

SIZE = 200_000
"""So many elements that there are chunks for threads."""
SMALLEST = {name: np.finfo(name).tiny for name in ("float32", "float64")}


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GRAPHC_FLUSH_SUBNORMALS", "1")
    yield


def halves(dtype: str, threads: int) -> gc.Step:
    x = gc.input("x", ("n",), dtype)
    return gc.compile([x], [x * 0.5, gc.max(x) * 0.5], threads=threads)


def of_this_thread(dtype: str) -> np.ndarray:
    return np.full(3, SMALLEST[dtype], dtype) * np.asarray(0.5, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [3, SIZE])
def test_kept_as_they_are(dtype: str, threads: int, size: int) -> None:
    found, largest = halves(dtype, threads)(np.full(size, SMALLEST[dtype], dtype))
    assert np.all(found == SMALLEST[dtype] / 2) and largest == SMALLEST[dtype] / 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2])
def test_flushed_where_asked_for_and_only_there(dtype: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every chunk and in what follows the chunks; NumPy, and steps compiled without, have theirs before and after,
    on the same threads."""
    kept = halves(dtype, threads)
    monkeypatch.setenv("GRAPHC_FLUSH_SUBNORMALS", "1")
    step = halves(dtype, threads)
    x = np.full(SIZE, SMALLEST[dtype], dtype)
    for _ in range(3):
        found, largest = step(x)
        assert not found.any() and largest == 0
        found, largest = step(x / 2)  # subnormal operands
        assert not found.any() and largest == 0
        assert of_this_thread(dtype).all()
        found, largest = kept(x)
        assert found.all() and largest > 0
    found, largest = step(x * 4)
    assert np.all(found == 2 * SMALLEST[dtype]) and largest == 2 * SMALLEST[dtype]


def test_velocities_end_at_zero(flushed: None) -> None:
    """Many steps in one call: what decays is 0 at last, where it would stay at the smallest subnormal for ever."""
    found = {}
    for name in ("0", "1"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GRAPHC_FLUSH_SUBNORMALS", name)
            speed = gc.param(np.ones(5, "float32"))
            step = gc.compile([], gc.sum(speed), {speed: 0.9 * speed})
            step.run(steps=2000)
            found[name] = speed.value
    assert not found["1"].any() and np.all((found["0"] > 0) & (found["0"] < 1e-44))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_flushed_operands_are_those_of_zero(dtype: str, flushed: None) -> None:
    """The value at a subnormal operand is the one at 0, or the operand itself where the function only chooses it."""
    x = gc.input("x", ("n",), dtype)
    functions = [gc.exp, gc.log1p, gc.sin, gc.tan, gc.tanh, gc.sigmoid, gc.erf, gc.sqrt, gc.log, gc.arctan, gc.softplus]
    step = gc.compile([x], [f(x) for f in functions])
    tiny = np.array([0.5, 1e-3]) * SMALLEST[dtype]
    assert tiny.astype(dtype).all()
    for found, at_zero in zip(step(tiny.astype(dtype)), step(np.zeros(2, dtype)), strict=True):
        assert np.all((found == at_zero) | (found == tiny.astype(dtype))), (found, at_zero)
