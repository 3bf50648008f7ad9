"""Dropout inside `RNN`, `LSTM`, `GRU` and `MultiheadAttention`: what is dropped, when; eager, compiled, derived."""

from __future__ import annotations

import copy
import functools
import itertools
from typing import Any

import numpy as np
import pytest
from test_nn_torch import TOLERANCE, differing, label, nested, prepared
from torch_cases_nn import CASES, Case, cotangent, flat

import graphc as gc
from graphc import nn
from graphc.ir.evaluate import evaluate

DROPPING = [c for c in CASES if c.name == "MultiheadAttention" or c.options.get("num_layers", 1) > 1]
X = np.random.default_rng(0).normal(size=(3, 2, 4))


class Both(nn.Module):
    """Attention over what two layers give."""

    def __init__(self, seed: int = 0) -> None:
        self.lstm = nn.LSTM(4, 4, num_layers=2, dropout=0.4, dtype="float64", seed=seed)
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.3, dtype="float64", seed=seed + 1)

    def forward(self, x: Any) -> Any:
        y, _ = self.lstm(x)
        return self.attention(y, y, y)[0]

    def rewind(self) -> None:
        self.lstm.counter.value = self.attention.counter.value = 0


@functools.cache
def trained() -> tuple[Both, gc.Step]:
    """A model, and its step: the result, a loss, and gradients of all params."""
    model, x = Both(), gc.input("x", X.shape)
    y = model(x)
    loss = gc.sum(y * cotangent(0, X.shape))
    return model, gc.compile([x], [y, loss, *gc.grad(loss, list(model.parameters()))], model.updates())


def test_the_cases_are_there() -> None:
    assert {c.name for c in DROPPING} == {"RNN", "LSTM", "GRU", "MultiheadAttention"}


@pytest.mark.parametrize("case", DROPPING, ids=label)
def test_evaluating_equals_torch(case: Case) -> None:
    """Results and gradients, by torch's stored values; nothing is drawn."""
    call, inputs, plain = prepared(case)
    assert plain is not None
    layer = getattr(nn, case.name)(**case.options, dropout=0.4, dtype="float64").eval()
    layer.load_state_dict(plain.state_dict())
    tensors = nested(inputs, lambda a: gc.eager.tensor(a, requires_grad=a.dtype.kind == "f"))
    outputs = [o for o in flat(layer(*tensors, **call.keywords)) if o is not None]
    total = sum(((o * gc.eager.tensor(cotangent(k, o.shape))).sum() for k, o in enumerate(outputs)))
    grads = gc.grad(total, [*[t for t in flat(tensors) if t.requires_grad], *layer.parameters()])
    found = [o.detach().numpy() for o in outputs] + [g.numpy() for g in grads]
    assert differing(case, found) < TOLERANCE
    assert int(layer.counter.value) == 0 and layer.updates() == {}


@pytest.mark.parametrize("layers", [2, 3])
def test_recurrent_layers_but_the_last_are_dropped(layers: int) -> None:
    """Layers that give what they get: a one comes through with probability (1 - p) ** (layers - 1)."""
    p, n = 0.3, 40
    rnn = nn.RNN(n, n, layers, "relu", bias=False, dropout=p, dtype="float64", seed=0)
    for name, own in rnn.named_parameters():
        own.value = np.eye(n) if "ih" in name else np.zeros((n, n))
    y, last = rnn(gc.eager.ones(20, 30, n, dtype="float64"))
    kept, y = (1 - p) ** (layers - 1), y.detach().numpy()
    np.testing.assert_allclose(np.unique(y), [0, 1 / kept], rtol=1e-12)
    assert abs((y != 0).mean() - kept) < 4 * np.sqrt(kept * (1 - kept) / y.size)
    np.testing.assert_array_equal(last.detach().numpy()[-1], y[-1])
    assert (last.detach().numpy()[0] == 1).all()  # the state itself is not dropped


def test_weights_of_attention_are_dropped() -> None:
    """Those that are returned are those that were used."""
    p, n = 0.3, 60
    layer = nn.MultiheadAttention(8, 1, dropout=p, bias=False, dtype="float64", seed=0)
    layer.in_proj_weight.value, layer.out_proj.weight.value = np.tile(np.eye(8), (3, 1)), np.eye(8)
    value = np.random.default_rng(1).normal(size=(n, 20, 8))
    zeros = gc.eager.zeros(n, 20, 8, dtype="float64")
    y, weights = (t.detach().numpy() for t in layer(zeros, zeros, gc.eager.tensor(value)))
    np.testing.assert_allclose(np.unique(weights), [0, 1 / (n * (1 - p))], rtol=1e-12)
    assert abs((weights != 0).mean() - (1 - p)) < 4 * np.sqrt(p * (1 - p) / weights.size)
    np.testing.assert_allclose(y, np.einsum("bls,sbe->lbe", weights, value), rtol=1e-9, atol=1e-12)


def test_steps_replay_compiled_and_eager() -> None:
    """Every step drops others; a counter set back replays bit for bit, call by call and in a loop; eager agrees."""
    model, step = trained()
    model.rewind()
    want = [step(X)[0] for _ in range(3)]
    assert int(model.lstm.counter.value) == int(model.attention.counter.value) == 3
    assert all((a != b).any() for a, b in itertools.pairwise(want))
    model.rewind()
    np.testing.assert_array_equal(step.run(X, steps=3)[0], want)
    model.rewind()
    for wanted in want:
        np.testing.assert_allclose(model(gc.eager.tensor(X)).detach().numpy(), wanted, rtol=1e-12)
    assert int(model.lstm.counter.value) == int(model.attention.counter.value) == 3


def test_gradients_of_fixed_draws() -> None:
    """Along a random direction, against differences; and against the eager engine, param by param."""
    model, step = trained()
    params = list(model.parameters())
    rng = np.random.default_rng(2)
    start, along = [own.value for own in params], [rng.normal(size=own.shape) for own in params]

    def at(h: float) -> list[Any]:
        model.rewind()
        for own, value, way in zip(params, start, along, strict=True):
            own.value = value + h * way
        return step(X)

    h = 1e-5
    want = (at(h)[1] - at(-h)[1]) / (2 * h)
    _, _, *grads = at(0.0)
    assert sum(np.sum(g * way) for g, way in zip(grads, along, strict=True)) == pytest.approx(want, rel=1e-7)
    model.rewind()
    gc.sum(model(gc.eager.tensor(X)) * gc.eager.tensor(cotangent(0, X.shape))).backward()
    for own, found in zip(params, grads, strict=True):
        np.testing.assert_allclose(own.grad.numpy(), found, rtol=1e-9, atol=1e-13)
    model.zero_grad()


def test_modes_decide_when_a_graph_is_built() -> None:
    gru = nn.GRU(4, 3, 3, dropout=0.5, bidirectional=True, dtype="float64", seed=0)
    x = gc.input("x", X.shape)
    quiet, _ = gru.eval()(x)
    assert gru.updates() == {}
    loud, _ = gru.train()(x)
    assert list(gru.updates()) == [gru.counter]
    dropped, plain = evaluate([loud, quiet], {x: X})
    assert (dropped != plain).any()
    np.testing.assert_allclose(gru(gc.eager.tensor(X))[0].detach().numpy(), dropped, rtol=1e-12)
    np.testing.assert_allclose(gru.eval()(gc.eager.tensor(X))[0].detach().numpy(), plain, rtol=1e-12)
    assert int(gru.counter.value) == 1


def test_all_or_nothing() -> None:
    """A probability of 1 draws nothing; without dropout there is no key, and the first values are the same."""
    x = gc.eager.tensor(X)
    gone, own = (nn.LSTM(4, 3, 2, dropout=p, dtype="float64", seed=0) for p in (1.0, 0.0))
    assert [name for name in gone.state_dict() if name not in own.state_dict()] == ["words", "counter"]
    for name, value in own.state_dict().items():
        np.testing.assert_array_equal(gone.state_dict()[name], value)
    y = gone(x)[0].detach().numpy()
    assert int(gone.counter.value) == 0 and own.key is None
    own(x)
    assert own.updates() == {}
    own.weight_ih_l1.value = np.zeros((12, 3))
    np.testing.assert_array_equal(own(x)[0].detach().numpy(), y)


def test_a_state_resumes_the_run() -> None:
    model, other = Both(), Both(seed=7)
    model(gc.eager.tensor(X))
    state = model.state_dict()
    assert {"lstm.words", "lstm.counter", "attention.words", "attention.counter"} <= set(state)
    want = model(gc.eager.tensor(X)).detach().numpy()
    other.load_state_dict(state)
    np.testing.assert_array_equal(other(gc.eager.tensor(X)).detach().numpy(), want)
    other.load_state_dict({name: v for name, v in state.items() if not name.endswith(("words", "counter"))})
    assert int(other.lstm.counter.value) == 2


def test_copies_have_a_key_of_their_own() -> None:
    model = Both()
    for twin in (copy.deepcopy(model), model.to("float32")):
        assert twin.attention.key.counter is twin.attention.counter is not model.attention.counter
        twin(gc.eager.tensor(X.astype(twin.lstm.weight_ih_l0.dtype)))
        assert (int(twin.attention.counter.value), int(model.attention.counter.value)) == (1, 0)


def test_layers_print_it_where_torch_does() -> None:
    lstm = nn.LSTM(3, 4, 2, batch_first=True, dropout=0.5, bidirectional=True)
    assert repr(lstm) == "LSTM(3, 4, num_layers=2, batch_first=True, dropout=0.5, bidirectional=True)"
    assert repr(nn.MultiheadAttention(8, 2, dropout=0.5)) == repr(nn.MultiheadAttention(8, 2))
