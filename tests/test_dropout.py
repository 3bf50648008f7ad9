"""Dropout: what is dropped, when; the same elements eager and compiled; counters, states, errors."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.ir.evaluate import evaluate
from graphc.nn.dropout import Dropout, dropout
from graphc.nn.linear import Linear
from graphc.nn.module import Module


class Net(Module):
    """Two layers with a dropout after each: one of its own, and one that is called twice."""

    def __init__(self) -> None:
        self.first = Linear(4, 6, seed=0)
        self.last = Linear(6, 2, seed=1)
        self.drop = Dropout(0.5, seed=2)

    def forward(self, x: Any) -> Any:
        return self.drop(self.last(self.drop(gc.tanh(self.first(x)))))


def compiled(net: Net) -> Any:
    x = gc.input("x", ("n", 4), "float32")
    y = net(x)
    return gc.compile([x], y, net.updates())


X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_share_and_scale(p: float, dtype: str) -> None:
    x = gc.eager.ones(400, 500, dtype=dtype)
    y = Dropout(p, seed=3)(x).numpy()
    assert y.dtype == dtype
    np.testing.assert_array_equal(np.unique(y), np.array([0, 1 / (1 - p)], dtype))
    assert abs((y == 0).mean() - p) < 4 * np.sqrt(p * (1 - p) / y.size)


def test_steps_are_the_same_eager_and_compiled() -> None:
    """Also where a layer is called twice: the step ends when the outermost module returns."""
    net = Net()
    step = compiled(net)
    want = [step(X) for _ in range(3)]
    assert int(net.drop.counter.value) == 3
    assert len({tuple((y == 0).ravel()) for y in want}) == 3
    net.drop.counter.value = 0
    for wanted in want:
        found = net(gc.eager.tensor(X)).detach().numpy()
        np.testing.assert_array_equal(found == 0, wanted == 0)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert int(net.drop.counter.value) == 3


def test_the_loop_of_a_step_drops_as_the_calls_do() -> None:
    net = Net()
    step = compiled(net)
    want = np.array([step(X) for _ in range(3)])
    net.drop.counter.value = 0
    np.testing.assert_array_equal(step.run(X, steps=3), want)


def test_two_calls_in_one_step_drop_different_elements() -> None:
    layer = Dropout(0.5, seed=0)
    x = gc.input("x", (100,))
    first, second = evaluate([layer(x), layer(x)], {x: np.ones(100)})
    assert (first != second).any()


def test_evaluating_it_does_nothing() -> None:
    net = Net().eval()
    x = gc.eager.ones(3)
    assert net.drop(x) is x
    symbolic = gc.input("x", (3,))
    assert net.drop(symbolic) is symbolic
    assert net.updates() == {} and int(net.drop.counter.value) == 0
    net.train()
    assert net.drop(symbolic) is not symbolic
    assert list(net.updates()) == [net.drop.counter]


def test_probabilities_0_and_1() -> None:
    key = gc.random.Key(0)
    x = gc.eager.tensor([1.0, np.nan])
    assert dropout(x, 0.0, key=key) is x
    np.testing.assert_array_equal(dropout(x, 1.0, key=key).numpy(), [0.0, 0.0])
    assert Dropout(1.0)(gc.input("x", (2,))).shape == (2,)


def test_gradient() -> None:
    """What was dropped gets 0, also beside nan; the rest the scale. Eager and symbolic."""
    key = gc.random.Key(1)
    w = gc.param(np.ones(50))
    y = dropout(w, 0.5, key=key)
    value, gradient = evaluate([y, gc.grad(gc.sum(y), w)])
    np.testing.assert_array_equal(value, gradient)
    x, start = gc.eager.tensor(np.ones(50), requires_grad=True), key.state_dict()
    z = dropout(x, 0.5, key=key)
    gc.sum(z).backward()
    np.testing.assert_array_equal(x.grad.numpy(), value)
    bad = np.where(value == 0, np.nan, 1.0)
    key.load_state_dict(start)
    np.testing.assert_array_equal(dropout(gc.eager.tensor(bad), 0.5, key=key).numpy(), value)


def test_a_state_resumes_the_run() -> None:
    net = Net()
    for _ in range(2):
        net(gc.eager.tensor(X))
    state = net.state_dict()
    assert {"drop.words", "drop.counter"} <= set(state)
    assert [name for name, _ in net.named_buffers()] == ["drop.words", "drop.counter"]
    assert all("drop" not in name for name, _ in net.named_parameters())
    want = net(gc.eager.tensor(X)).detach().numpy()
    other = Net()
    other.drop = Dropout(0.5, seed=99)
    other.load_state_dict(state)
    np.testing.assert_array_equal(other(gc.eager.tensor(X)).detach().numpy(), want)
    net.load_state_dict({name: value for name, value in state.items() if "drop" not in name})
    assert int(net.drop.counter.value) == 3


def test_copies_have_a_key_of_their_own() -> None:
    net = Net()
    for twin in (copy.deepcopy(net), net.to("float64")):
        assert twin.drop.key.counter is twin.drop.counter is not net.drop.counter
        twin(gc.eager.tensor(X.astype(twin.first.weight.dtype)))
        assert (int(twin.drop.counter.value), int(net.drop.counter.value)) == (1, 0)


def test_one_key_for_several_layers() -> None:
    key = gc.random.Key(0)
    first, second = Dropout(0.5, key=key), Dropout(0.5, key=key)
    x = gc.input("x", (64,))
    one, two = first(x), second(x)
    assert first.own_updates() == second.own_updates()
    a, b = evaluate([one, two], {x: np.ones(64)})
    assert (a != b).any()


def test_a_failed_call_is_no_step() -> None:
    class Broken(Module):
        def __init__(self) -> None:
            self.drop = Dropout(0.5, seed=0)

        def forward(self, x: Any) -> Any:
            self.drop(x)
            raise ZeroDivisionError

    net = Broken()
    with pytest.raises(ZeroDivisionError):
        net(gc.eager.ones(3))
    assert int(net.drop.counter.value) == 0
    net.drop(gc.eager.ones(3))
    assert int(net.drop.counter.value) == 1


ERRORS = (
    (lambda: Dropout(1.5), "bad p= of Dropout: got 1.5, expected a number >= 0 and <= 1", ""),
    (lambda: Dropout(0.5, key=3), "bad key= of Dropout: got 3, expected a gc.random.Key", ""),
    (
        lambda: dropout(gc.zeros(3), 0.5),
        "bad key= of dropout: got None, expected a gc.random.Key",
        "nn.Dropout(p) has a key of its own; else key = gc.random.Key(seed)",
    ),
    (
        lambda: Dropout(0.5)(gc.asarray([1, 2])),
        "bad dtype for Dropout(p=0.5, inplace=False): got int64[2], expected floats",
        "",
    ),
)


@pytest.mark.parametrize("wrong,text,hint", ERRORS, ids=[text[:30] for _, text, _ in ERRORS])
def test_errors(wrong: Any, text: str, hint: str) -> None:
    with pytest.raises(gc.GraphcError) as caught:
        wrong()
    lines = str(caught.value).splitlines()
    assert lines[0] == text
    assert lines[1].startswith(f"  at {__file__}:")
    assert lines[2:] == ([f"  hint: {hint}"] if hint else [])
