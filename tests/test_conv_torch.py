"""Convolution and pooling equal PyTorch's: values and gradients in float64, eagerly, in graphs, compiled; and errors.

The values are those of `torch_cases_conv.py`, which needs torch; the tests do not.
"""

from __future__ import annotations

import functools
import inspect
import json
from typing import Any

import numpy as np
import pytest
from test_nn_torch import TOLERANCE, flat, graph, nested, prepared
from torch_cases_conv import CASES, FIXTURE, PRINTED
from torch_cases_nn import Case, cotangent

import graphc as gc
from graphc import nn
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.passes.pipeline import optimise
from graphc.testing.plain import Runner


@functools.cache
def stored() -> list[np.ndarray]:
    with np.load(FIXTURE) as file:
        return np.split(file["values"], file["ends"][:-1])


def differing(case: Case, found: list[Any]) -> float:
    """The largest difference from torch's values."""
    want = stored()[CASES.index(case)]
    have = np.concatenate([np.asarray(f, np.float64).ravel() for f in found])
    assert have.shape == want.shape
    return float(np.max(np.abs(have - want) / np.maximum(1.0, np.abs(want)), initial=0.0))


def label(case: Case) -> str:
    return f"{case.name}-{CASES.index(case)}"


@pytest.mark.parametrize("case", CASES, ids=label)
def test_eager_equals_torch(case: Case) -> None:
    call, inputs, module = prepared(case)
    tensors = nested(inputs, lambda a: gc.eager.tensor(a, requires_grad=True))
    outputs = flat(call(*tensors))
    total = sum(((o * gc.eager.tensor(cotangent(k, o.shape))).sum() for k, o in enumerate(outputs)))
    grads = gc.grad(total, [*tensors, *(module.parameters() if module else ())])
    assert differing(case, [o.detach().numpy() for o in outputs] + [g.numpy() for g in grads]) < TOLERANCE


@pytest.mark.parametrize("case", CASES, ids=label)
def test_kernels_equal_torch(case: Case) -> None:
    """What is scheduled and printed, run as plain Python with every index checked."""
    call, inputs, module = prepared(case)
    given: dict[gc.Tensor, np.ndarray] = {}
    outputs, results = graph(call, inputs, module, given)
    found = evaluate([*outputs, *results], given)
    assert differing(case, found) < TOLERANCE
    runner = Runner(optimise(Graph(list(given), [*outputs, *results]))[0], True)
    assert differing(case, runner(list(given.values()))) < TOLERANCE


def test_layers_print_as_in_torch() -> None:
    printed = json.loads(PRINTED.read_text())
    layers = [c for c in CASES if c.name[0].isupper()]
    assert len(layers) > 150
    for case in layers:
        assert repr(getattr(nn, case.name)(**case.options)) == printed[f"{case.name} {case.options}"]


def test_every_layer_and_function_has_cases() -> None:
    modules = {"graphc.nn.conv", "graphc.nn.pooling"}
    own = {n for n in nn.__all__ if getattr(inspect.unwrap(getattr(nn, n)), "__module__", "") in modules}
    assert len(own) == 20
    assert own == {c.name for c in CASES}
