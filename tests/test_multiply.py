"""The function for products of matrices, for every width of vectors: all shapes, layouts, ranges and edges."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

import graphc as gc
from graphc.codegen.prelude import routine_file
from graphc.runtime import files

WIDTHS = [16, 32, 64]


@pytest.fixture(scope="module", params=[(w, d) for w in WIDTHS for d in ("float32", "float64")], ids=str)
def function(request: pytest.FixtureRequest) -> tuple[Callable[..., int], np.dtype]:
    """The compiled function for vectors of so many bytes, and its dtype; wider ones than the machine's are split."""
    width, dtype = request.param
    text = routine_file(("multiply", dtype))
    (line,) = [line for line in text.splitlines() if " import " in line and "VECTOR" in line]
    text = text.replace(line, f"{line}\n    VECTOR = {width}").replace(
        "{function.__name__}", f"{{function.__name__}}_{width}"
    )
    return getattr(files.load(text), f"multiply_{dtype}").ctypes, np.dtype(dtype)


def call(function: Callable[..., int], x: np.ndarray, y: np.ndarray, out: np.ndarray, *rest: int) -> int:
    words = [v for a, turned in ((x, rest[0]), (y, rest[1]), (out, 0)) for v in (a.ctypes.data, a.strides[0], turned)]
    return function(*words, *rest[2:])


def check(found: np.ndarray, wanted: np.ndarray, terms: int) -> None:
    tolerance = 4 * max(terms, 1) ** 0.5 * float(np.finfo(found.dtype).eps)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * max(1.0, float(np.abs(wanted).max(initial=0.0))))


SIZES = [1, 2, 7, 8, 17, 33, 70]


def test_shapes_and_layouts(function: tuple[Callable[..., int], np.dtype]) -> None:
    """Nothing beside the result is written, also at its edges."""
    multiply_, dtype = function
    rng = np.random.default_rng(0)
    shapes = list(itertools.product(SIZES, (0, 1, 3, 130, 1030), SIZES))
    for number in rng.choice(len(shapes), 90, replace=False):
        m, k, n = shapes[number]
        for turned in itertools.product((0, 1), repeat=2):
            x = rng.normal(size=(k, m) if turned[0] else (m, k)).astype(dtype)
            y = rng.normal(size=(n, k) if turned[1] else (k, n)).astype(dtype)
            frame = np.full((m + 2, n + 5), 9.0, dtype)
            call(multiply_, x, y, frame[1:-1, 2:-3], *turned, 0, m, 0, n, 0, k, 0)
            wanted = np.full((m + 2, n + 5), 9.0)
            wanted[1:-1, 2:-3] = (x.T if turned[0] else x).astype("f8") @ (y.T if turned[1] else y).astype("f8")
            check(frame, wanted, k)


def test_ranges(function: tuple[Callable[..., int], np.dtype]) -> None:
    """Ranges of rows, columns and terms, written, and added to what is there."""
    multiply_, dtype = function
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(41, 300)).astype(dtype), rng.normal(size=(300, 75)).astype(dtype)
    for added, (top, bottom), (low, high), (start, stop) in itertools.product(
        (0, 1), ((0, 41), (3, 4), (5, 30)), ((0, 75), (11, 12), (20, 60)), ((0, 300), (7, 9), (100, 290), (5, 5))
    ):
        for turned in itertools.product((0, 1), repeat=2):
            out = rng.normal(size=(41, 75)).astype(dtype)
            wanted = out.astype("f8")
            part = x[top:bottom, start:stop].astype("f8") @ y[start:stop, low:high].astype("f8")
            wanted[top:bottom, low:high] = part + added * wanted[top:bottom, low:high]
            left = np.ascontiguousarray(x.T) if turned[0] else x
            right = np.ascontiguousarray(y.T) if turned[1] else y
            call(multiply_, left, right, out, *turned, top, bottom, low, high, start, stop, added)
            check(out, wanted, 300)


def test_not_finite(function: tuple[Callable[..., int], np.dtype]) -> None:
    """What is nan or inf stays in its row or column; what lies behind the operands in memory is not multiplied."""
    multiply_, dtype = function
    rng = np.random.default_rng(2)
    for m, n, turned in itertools.product((1, 9, 19), (1, 18, 35), itertools.product((0, 1), repeat=2)):
        x, y = rng.normal(size=(m, 13)).astype(dtype), rng.normal(size=(13, n)).astype(dtype)
        x[m // 2, 3], y[5, n // 2] = np.nan, np.inf
        left = np.full((x.T if turned[0] else x).shape + np.array([1, 3]), np.nan, dtype)
        right = np.full((y.T if turned[1] else y).shape + np.array([1, 3]), np.nan, dtype)
        left = left[:-1, :-3]
        right = right[:-1, :-3]
        left[:], right[:] = x.T if turned[0] else x, y.T if turned[1] else y
        out = np.zeros((m, n), dtype)
        call(multiply_, left, right, out, *turned, 0, m, 0, n, 0, 13, 0)
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(np.isfinite(out), np.isfinite(x @ y))


@pytest.mark.parametrize("batched", [False, True])
def test_rows_are_the_same_however_many_there_are(rng: np.random.Generator, batched: bool) -> None:
    # from 2^18 results on, tiles are larger, which their number tells when a step runs
    lead = (2,) if batched else ()
    x, w = gc.input("x", (*lead, "n", 70)), gc.input("w", (*lead, 70, 600))
    step = gc.compile([x, w], x @ w, threads=2)
    data, weights = rng.standard_normal((*lead, 500, 70)), rng.standard_normal((*lead, 70, 600))
    many, few = step(data, weights), step(data[..., :90, :].copy(), weights)
    np.testing.assert_allclose(many, data @ weights, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(many[..., :90, :], few)


def test_it_says_whether_a_result_may_be_nan(
    function: tuple[Callable[..., int], np.dtype], rng: np.random.Generator
) -> None:
    compiled, dtype = function
    for m, n, k in [(1, 5, 9), (9, 1, 7), (13, 37, 300), (70, 20, 5), (8, 33, 1), (1, 300, 200), (3, 1, 1500)]:
        for turned in (0, 1):
            x, y = rng.normal(size=(k, m) if turned else (m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
            some, other = int(rng.integers(k)), int(rng.integers(k))  # in one block of terms, or in two
            left = x.T if turned else x
            opposite = -np.sign(left[0, some] * left[0, other])
            for values in ({}, {some: np.nan}, {some: np.inf}, {some: np.inf, other: opposite * np.inf}):
                out, right = np.empty((m, n), dtype), y.copy()
                for row, value in values.items():
                    right[row, -1] = value
                seen = call(compiled, x, right, out, turned, 0, 0, m, 0, n, 0, k, 0)
                assert np.isnan(out).any() == np.isnan(np.einsum("mk,kn->mn", left, right)).any()
                assert seen == np.isnan(out).any() or (seen == 1 and np.isinf(out).any())  # 0 * inf behind the edges
