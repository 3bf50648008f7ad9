"""Products of matrices on a device, by graphc's own kernels and by cuBLAS: from where on the library takes less time.

What is printed at last belongs into `graphc.schedule.cublas.LEAST_WORK`. Each product is followed by a bias and relu,
as in a layer: the own kernel computes them on its sums, behind cuBLAS they are a kernel of their own. cuBLAS is timed
as graphc calls it: with factors that stay where they are (params), and with one of the call (an input), which it finds
by way of a table of addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

import graphc as gc
from graphc.runtime import cuda_devices
from graphc.schedule import cublas

REPEATS = 20
TOLERANCE = {"float32": 2e-4, "float64": 1e-12}
SQUARES = tuple((n, n, n) for n in (128, 256, 384, 512, 640, 768, 1024, 1536, 2048, 4096))
OTHERS = ((128, 64, 784), (784, 128, 1024), (64, 4096, 4096), (4096, 64, 4096), (256, 256, 65536), (16384, 1024, 256))
"""Rows, columns, terms: layers of small networks, few rows, few columns, the gradient of a weight, many rows."""
NEVER = 1 << 62


class Row(NamedTuple):
    """Seconds for ``relu(x[m, k] @ w[k, n] + b)``: by own kernels, by cuBLAS, by cuBLAS with x by way of a table."""

    dtype: str
    sizes: tuple[int, int, int]
    own: float
    stays: float
    by_table: float

    @property
    def work(self) -> int:
        m, n, k = self.sizes
        return m * n * k


def measured(dtype: str, sizes: tuple[int, int, int]) -> Row:
    """The times, once all three give what NumPy does; `AssertionError` where they do not."""
    rng = np.random.default_rng(0)
    m, n, k = sizes
    x, w = (rng.uniform(-1, 1, shape).astype(dtype) for shape in ((m, k), (k, n)))
    b = rng.uniform(-1, 1, n).astype(dtype)
    # some rows are enough to see that it is right, and 4096 x 4096 x 4096 takes NumPy long
    some = rng.integers(0, m, min(m, 64))
    wanted = np.maximum(x[some].astype("float64") @ w + b, 0)
    weight, bias, symbol = gc.param(w, name="w"), gc.param(b, name="b"), gc.input("x", (m, k), dtype)
    found = []
    for least, of_call in ((NEVER, False), (0, False), (0, True)):
        factor: Any = symbol if of_call else gc.param(x, name="x")
        inputs, given = ([symbol], [gc.to_device(x)]) if of_call else ([], [])
        with mock.patch.object(cublas, "LEAST_WORK", dict.fromkeys(TOLERANCE, max(least, 1))):
            layer = gc.nn.relu(factor @ weight + bias)
            step = gc.compile(inputs, layer, target="cuda", device_outputs=True, name="product")
        assert bool(step._caller.program.text.products) == (least != NEVER), "cuBLAS computes what it is to compute"
        result = np.asarray(step(*given))[some]
        np.testing.assert_allclose(result, wanted, rtol=0, atol=TOLERANCE[dtype] * np.abs(wanted).max())
        step(*given)  # recorded
        found.append(step._caller.program.seconds(next(iter(step._caller.frames.values()))[0], REPEATS))
    return Row(dtype, sizes, *found)


def least_work(rows: Sequence[Row]) -> int | None:
    """The least number of multiplications from which on cuBLAS, with all factors in place, takes no longer; or None."""
    found = None
    for row in sorted(rows, key=lambda row: -row.work):
        if row.stays > row.own:
            break
        found = row.work
    return found


def table(shapes: Sequence[tuple[int, int, int]] = (*SQUARES, *OTHERS)) -> None:
    """Check and measure all; print a table, and from where on cuBLAS takes less."""
    if cuda_devices.device(0).multiplier() is None:
        print("\nno cuBLAS, so that nothing is compared: see python -m graphc doctor")
        return
    for dtype in TOLERANCE:
        print(f"\n| {dtype} product | own kernel | cuBLAS | cuBLAS, x of the call |\n|---|---|---|---|")
        rows = []
        for sizes in shapes:
            rows.append(measured(dtype, sizes))
            speeds = [f"{t * 1e3:.3f} ms, {2 * rows[-1].work / t / 1e12:.1f} TFLOP/s" for t in rows[-1][2:]]
            print(f"| {' x '.join(map(str, sizes))} | {' | '.join(speeds)} |", flush=True)
        least = least_work(rows)
        where = "for none of these" if least is None else f"from {least} multiplications on (2 ** {np.log2(least):.1f})"
        print(f"cuBLAS takes no longer {where}; LEAST_WORK has {cublas.LEAST_WORK[dtype]}", flush=True)
