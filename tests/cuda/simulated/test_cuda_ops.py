"""Every row of the op table, and its gradient, on the simulated device: the values of the reference interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from test_compiled_ops import calls, rows, tolerance

from graphc.compilation import compile_graph
from graphc.ir.evaluate import evaluate
from graphc.testing.ways import small_launches

NAMES = [name for group in rows() for name in group]


@pytest.mark.parametrize("name", NAMES)
def test_equals_reference(name: str) -> None:
    cases = list(calls([name]))
    with small_launches():
        step = compile_graph(
            [i for _, ins, _, _ in cases for i in ins],
            [list(outs) for *_, outs in cases],
            None,
            "ops",
            target="cuda",
        )
        found = step(*[a for _, _, arrays, _ in cases for a in arrays])
    for (label, inputs, arrays, outputs), values in zip(cases, found, strict=True):
        expected = evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
        for got, want in zip(values, expected, strict=True):
            assert got.dtype == want.dtype and np.shape(got) == np.shape(want), label
            close = tolerance(want.dtype)
            np.testing.assert_allclose(got, want, rtol=close, atol=close, err_msg=label)
