"""Every layer and loss equals PyTorch's: outputs, gradients and running statistics, in float64; eagerly and in graphs.

The values are those of `torch_cases_nn.py`, which needs torch; the tests do not.
"""

from __future__ import annotations

import functools
import inspect
import json
from typing import Any

import numpy as np
import pytest
from torch_cases_nn import CASES, FIXTURE, PRINTED, PRINTS, Case, cotangent, flat, parameter, seeded, values_of

import graphc as gc
from graphc import nn
from graphc.ir.evaluate import evaluate

TOLERANCE = 1e-10
COMPILED = {"cross_entropy": 4, "BatchNorm2d": 1, "LayerNorm": 0, "Embedding": 1, "MultiheadAttention": 0, "LSTM": 0}
"""The case of a name that is compiled, too: by its number among the cases of that name."""


@functools.cache
def stored() -> list[np.ndarray]:
    with np.load(FIXTURE) as file:
        return np.split(file["values"], file["ends"][:-1])


def label(case: Case) -> str:
    return f"{case.name}-{CASES.index(case)}"


def module_of(case: Case, options: dict[str, Any], rng: np.random.Generator) -> nn.Module:
    """The layer, with the parameters that torch's had."""
    cls = getattr(nn, case.name)
    try:
        module = cls(**options, dtype="float64")
    except gc.InputError as error:
        assert "dtype" in str(error), error
        module = cls(**options)
    module.load_state_dict({n: parameter(n, v.shape, rng) for n, v in module.state_dict().items()})
    return module.train(case.mode == "train")


def prepared(case: Case) -> tuple[Any, list[Any], nn.Module | None]:
    """The function to call on the inputs, the inputs as arrays, and the module."""
    rng = seeded(case)
    options, inputs, call = values_of(case, rng)
    if case.name[0].isupper():
        module = module_of(case, options, rng)
        return functools.partial(module, **call), inputs, module
    return functools.partial(getattr(nn, case.name), **options, **call), inputs, None


def nested(inputs: list[Any], make: Any) -> list[Any]:
    return [tuple(map(make, v)) if isinstance(v, tuple) else make(np.asarray(v)) for v in inputs]


def differing(case: Case, found: list[Any]) -> float:
    """The largest difference from torch's values."""
    want = stored()[CASES.index(case)]
    have = np.concatenate([np.asarray(f, np.float64).ravel() for f in found])
    assert have.shape == want.shape
    return float(np.max(np.abs(have - want) / np.maximum(1.0, np.abs(want)), initial=0.0))


@pytest.mark.parametrize("case", CASES, ids=label)
def test_eager_equals_torch(case: Case) -> None:
    call, inputs, module = prepared(case)
    tensors = nested(inputs, lambda a: gc.eager.tensor(a, requires_grad=a.dtype.kind == "f"))
    outputs = [o for o in flat(call(*tensors)) if o is not None]
    total = sum(((o * gc.eager.tensor(cotangent(k, o.shape))).sum() for k, o in enumerate(outputs)))
    leaves = [t for t in flat(tensors) if t.requires_grad]
    params = list(module.parameters()) if module else []
    grads = gc.grad(total, [*leaves, *params])
    found = [o.detach().numpy() for o in outputs] + [g.numpy() for g in grads]
    assert differing(case, found + [b.value for b in (module.buffers() if module else ())]) < TOLERANCE


@pytest.mark.parametrize("case", CASES, ids=label)
def test_graphs_equal_torch(case: Case) -> None:
    """By the reference interpreter."""
    call, inputs, module = prepared(case)
    given: dict[gc.Tensor, np.ndarray] = {}
    outputs, results = graph(call, inputs, module, given)
    assert differing(case, evaluate([*outputs, *results], given)) < TOLERANCE


@pytest.mark.parametrize("name", COMPILED)
def test_steps_equal_torch(name: str) -> None:
    case = [c for c in CASES if c.name == name][COMPILED[name]]
    call, inputs, module = prepared(case)
    given: dict[gc.Tensor, np.ndarray] = {}
    outputs, results = graph(call, inputs, module, given)
    step = gc.compile(list(given), [*outputs, *results])
    assert differing(case, step(*given.values())) < TOLERANCE


def graph(
    call: Any, inputs: list[Any], module: nn.Module | None, given: dict[gc.Tensor, np.ndarray]
) -> tuple[list[Any], list[Any]]:
    """Outputs; gradients, and new buffers. `given` gets the inputs and their values."""

    def make(array: np.ndarray) -> gc.Tensor:
        made = gc.input(f"x{len(given)}", array.shape, array.dtype)
        given[made] = array
        return made

    outputs = [o for o in flat(call(*nested(inputs, make))) if o is not None]
    total = sum((gc.sum(o * cotangent(k, o.shape)) for k, o in enumerate(outputs)))
    params = list(module.parameters()) if module else []
    grads = gc.grad(total, [*[x for x in given if x.dtype.kind == "f"], *params])
    updates = module.updates() if module else {}
    return outputs, [*grads, *[updates.get(b, b) for b in (module.buffers() if module else ())]]


OWN = "activations attention classes embedding linear loss_layers losses norms recurrent"


def test_every_layer_and_loss_has_cases() -> None:
    modules = {f"graphc.nn.{name}" for name in OWN.split()}
    own = {n for n in nn.__all__ if getattr(inspect.unwrap(getattr(nn, n)), "__module__", "") in modules}
    by_layer = {"elu", "gelu", "relu", "silu", "leaky_relu", "hardtanh", "softplus", "softmax", "log_softmax"}
    by_layer |= {"embedding", "layer_norm", "group_norm", "linear", "Identity"}
    assert own - {c.name for c in CASES} <= by_layer and len(own) > 40


@pytest.mark.parametrize("text", PRINTS)
def test_expressions_print_as_in_torch(text: str) -> None:
    assert repr(eval(text, {"nn": nn})) == json.loads(PRINTED.read_text())[text]


def test_layers_print_as_in_torch() -> None:
    printed = json.loads(PRINTED.read_text())
    seen = 0
    for case in CASES:
        want = printed.get(f"{case.name} {case.options}")
        if want is not None:
            assert repr(getattr(nn, case.name)(**case.options)) == want
            seen += 1
    assert seen > 60
