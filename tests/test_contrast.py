"""`gc.contrast`: the two engines agree, and the table says what each of them did."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from graphc.contrast import contrast


def orthogonal(a, b, x, y):  # type: ignore[no-untyped-def]
    return gc.mean((a * x - y + b) ** 2 / (a**2 + 1))


def test_contrast(rng: np.random.Generator, capsys: pytest.CaptureFixture[str]) -> None:
    x = rng.standard_normal(500)
    y = 2 * x + 1
    result = contrast(orthogonal, 0.5, 0.1, x, y)
    assert capsys.readouterr().out == f"{result}\n"
    assert result.value == pytest.approx(np.mean((0.5 * x - y + 0.1) ** 2 / 1.25))
    assert result.gradients[1] == pytest.approx(np.mean(2 * (0.5 * x - y + 0.1) / 1.25))
    assert len(result.gradients) == 4
    assert result.compiled.nodes == 0 < result.eager.nodes < result.traced_nodes
    assert result.compiled.kernels < result.eager.kernels
    assert result.eager.allocated > 8 * 500 and result.compiled.allocated == 8 * (1 + 1 + 1 + 500 + 500)
    assert min(result.eager.peak, result.compiled.peak, result.compile_seconds, result.eager.seconds) > 0


def test_integer_arguments_get_no_gradient(rng: np.random.Generator) -> None:
    table, index = rng.standard_normal((4, 3)).astype("float32"), np.array([0, 3, 3])
    result = contrast(lambda t, i: gc.sum(gc.take(t, i, axis=0) ** 2), table, index)
    (slope,) = result.gradients
    assert slope.dtype == np.float32
    np.testing.assert_allclose(slope, 2 * table * np.array([[1], [0], [0], [2]]), rtol=1e-6)


def test_disagreement_is_an_error() -> None:
    calls = iter(range(100))

    def drifting(x):  # type: ignore[no-untyped-def]
        return gc.sum(x) * float(next(calls))

    with pytest.raises(gc.CompileError) as error:
        contrast(drifting, np.ones(3))
    assert str(error.value) == "eager and compiled disagree about the value: got 3.0 compiled, expected 6.0"


def test_nothing_to_contrast() -> None:
    with pytest.raises(gc.InputError, match="nothing to contrast: expected the arguments of f as arrays"):
        contrast(lambda: gc.constant(1.0))


def test_a_model(rng: np.random.Generator, capsys: pytest.CaptureFixture[str]) -> None:
    """Gradients are those of its params, frozen ones excepted; what `.grad` was before stays."""
    model = gc.nn.Sequential(gc.nn.Linear(3, 2, seed=0), gc.nn.Tanh(), gc.nn.Linear(2, 1, seed=1))
    model[2].weight.trainable = False
    kept = model[0].bias.grad = gc.eager.ones(2)
    x = rng.standard_normal((5, 3)).astype("float32")
    result = contrast(lambda x: gc.mean(model(x) ** 2), x)
    assert capsys.readouterr().out == f"{result}\n"
    assert "finding the step" not in str(result) and result.find_seconds is None
    assert [g.shape for g in result.gradients] == [(2, 3), (2,), (1,)]
    hidden = np.tanh(x @ model[0].weight.value.T + model[0].bias.value)
    y = hidden @ model[2].weight.value.T + model[2].bias.value
    assert result.value == pytest.approx(np.mean(y**2), rel=1e-5)
    assert result.gradients[2] == pytest.approx(2 * np.mean(y), rel=1e-5)
    assert model[0].bias.grad is kept and model[0].weight.grad is None
    assert result.compiled.kernels < result.eager.kernels
