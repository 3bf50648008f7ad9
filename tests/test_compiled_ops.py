"""Every row of the op table, and its gradient, compiled: the same values as the reference interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.autodiff.vjp import vjp
from graphc.compilation import compile_graph
from graphc.ir.apply import apply
from graphc.ir.evaluate import evaluate
from graphc.ir.leaves import input as make_input
from graphc.ir.lowering import Refused
from graphc.ops.table import OPS

GROUP = 10  # rows per compiled step: compiling is the cost of this file


def rows():
    """The rows that compute something from arrays, in groups."""
    names = [n for n, op in OPS.items() if op.samples and not op.multi and n != "item"]
    return [names[k : k + GROUP] for k in range(0, len(names), GROUP)]


def operand(rng, spec):
    if spec.values is not None:
        return np.asarray(spec.values, dtype=spec.dtype)
    if np.dtype(spec.dtype).kind == "f":
        return rng.uniform(spec.low, spec.high, spec.shape).astype(spec.dtype)
    if spec.dtype == "bool":
        return rng.integers(0, 2, spec.shape).astype(bool)
    return rng.integers(int(spec.low), int(spec.high) + 1, spec.shape).astype(spec.dtype)


def calls(names):
    """(label, inputs, arrays, outputs) for each sample of each row: the value, and the gradient where there is one."""
    for name in names:
        op = OPS[name]
        for k, sample in enumerate(op.samples):
            rng = np.random.default_rng(k)
            arrays = [operand(rng, s) for s in sample.operands]
            inputs = [make_input(f"{name}_{k}_{j}", a.shape, a.dtype) for j, a in enumerate(arrays)]
            value = apply(op, *inputs, **sample.attrs)
            outputs = [value]
            floats = [i for i in inputs if i.dtype.kind == "f"]
            if sample.differentiable and floats and value.dtype.kind == "f" and not isinstance(op.vjp, Refused):
                ct = make_input(f"{name}_{k}_ct", value.shape, value.dtype)
                inputs = [*inputs, ct]
                arrays = [*arrays, rng.uniform(-1, 1, value.shape).astype(value.dtype)]
                outputs += vjp([value], floats, [ct])
            yield f"{name}[{k}]", inputs, arrays, outputs


def tolerance(dtype):
    return {"float32": 3e-6, "float64": 1e-13}.get(dtype.name, 0)


@pytest.mark.parametrize("names", rows(), ids=lambda names: f"{names[0]}..{names[-1]}")
def test_compiled_equals_reference(names):
    cases = list(calls(names))
    step = compile_graph([i for _, ins, _, _ in cases for i in ins], [list(outs) for *_, outs in cases], None, "ops")
    found = step(*[a for _, _, arrays, _ in cases for a in arrays])
    for (label, inputs, arrays, outputs), values in zip(cases, found, strict=True):
        expected = evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
        for k, (got, want) in enumerate(zip(values, expected, strict=True)):
            assert got.dtype == want.dtype and np.shape(got) == np.shape(want), (label, k)
            scale = np.maximum(1, np.abs(want)) if want.dtype.kind == "f" else 1
            same = np.isclose(
                got / scale if want.dtype.kind == "f" else got,
                want / scale if want.dtype.kind == "f" else want,
                rtol=0,
                atol=tolerance(want.dtype),
                equal_nan=True,
            )
            assert np.all(same), f"{label} output {k}: got {got}, want {want}"
