"""Params among eager tensors: their leaves, gradients, changes in place, and what the tape notices."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
from messages import text_of

import graphc as gc
from graphc import eager


def make(trainable: bool = True) -> gc.Param:
    return gc.param(np.array([[1.0, 2.0], [3.0, 4.0]]), name="w", trainable=trainable)


def test_an_op_with_an_eager_tensor_computes_with_the_leaf() -> None:
    w, x = make(), eager.tensor(np.array([[1.0, 10.0]]))
    y = x @ w
    assert isinstance(y, eager.Tensor) and y.tolist() == [[31.0, 42.0]]
    (w @ x.T).sum().backward()
    assert w.grad.tolist() == [[1.0, 10.0], [1.0, 10.0]]
    y.sum().backward()
    assert w.grad.tolist() == [[2.0, 11.0], [11.0, 20.0]], "gradients accumulate"
    assert gc.grad((x @ w).sum(), w).tolist() == [[1.0, 1.0], [10.0, 10.0]]
    assert eager.grad((x @ w).sum(), [w])[0].tolist() == [[1.0, 1.0], [10.0, 10.0]]
    assert w.grad.tolist() == [[2.0, 11.0], [11.0, 20.0]]


def test_the_leaf_is_one_tensor_over_the_memory_of_the_param() -> None:
    w = make()
    assert w.grad is None
    leaf = eager.as_tensor(w)
    assert leaf is eager.as_tensor(w) and leaf._array is w.state.array and leaf.is_leaf and leaf.requires_grad
    w.value = np.zeros((2, 2))
    assert leaf.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert eager.tensor(w).tolist() == leaf.tolist() and not np.shares_memory(eager.tensor(w).numpy(), leaf._array)
    assert eager.tensor([w, w]).shape == (2, 2, 2) and w.numel() == 4


def test_alone_a_param_is_symbolic() -> None:
    w = make()
    assert isinstance(w * 2, gc.Tensor) and isinstance(w @ w, gc.Tensor)
    v = w
    v -= 1.0
    assert isinstance(v, gc.Tensor) and v is w - 1.0 and w.value[0, 0] == 1.0


def test_an_expression_of_params_is_computed_where_it_meets_an_eager_tensor() -> None:
    w, x = make(), eager.tensor(np.array([[1.0, 10.0]]))
    q, r = w.T * 2.0, gc.sum(w * w) + gc.ones((2, 2))
    loss = (x @ q).sum() + r.sum() * x.sum()
    loss.backward()
    by_hand = make()
    leaf = eager.as_tensor(by_hand)
    ((x @ (leaf.T * 2.0)).sum() + (leaf * leaf).sum() * 4.0 * x.sum() + x.sum() * 4.0).backward()
    np.testing.assert_allclose(w.grad.numpy(), by_hand.grad.numpy(), rtol=1e-14)
    assert eager.exp(w * 0.0).tolist() == [[1.0, 1.0], [1.0, 1.0]] and eager.stack([w, w]).requires_grad


def test_several_outputs_are_computed_too() -> None:
    w = make()
    half = gc.custom_gradient(lambda a, b: (a + b, a * b), lambda cts, a, b: (cts[0] * 100.0, cts[1] * 7.0))
    first, second = half(w, w * 1.0)
    (eager.ones(2, 2, dtype="float64") * first + second).sum().backward()
    assert w.grad.tolist() == [[107.0, 107.0], [107.0, 107.0]]


def test_a_tensor_of_a_graph_has_no_value() -> None:
    w, x, e = make(), gc.input("x", (2, 2)), eager.ones(2, 2, dtype="float64")
    with pytest.raises(gc.TraceError) as info:
        (w * x) + e
    text = "symbolic and eager tensors cannot be mixed: got symbolic w * x: float64[2, 2]"
    assert text_of(info.value).startswith(text)
    with pytest.raises(gc.TraceError, match=r"gc\.eager\.exp computes at once"):
        eager.exp(x)
    with pytest.raises(gc.GradientError, match="symbolic and eager tensors together"):
        gc.grad((w @ e).sum(), x)


def test_frozen_params_get_no_gradient() -> None:
    w, b, x = make(trainable=False), make(), eager.ones(1, 2, dtype="float64")
    loss = (x @ w + x @ b).sum()
    loss.backward()
    assert w.grad is None and b.grad is not None and not w.requires_grad
    assert w.requires_grad_() is w and w.trainable
    (x @ w).sum().backward()
    assert w.grad is not None
    w.requires_grad = False
    assert not w.trainable and not (x @ w).requires_grad
    counter = gc.param(3)
    assert not counter.requires_grad and (counter * eager.tensor(2)).item() == 6
    with pytest.raises(gc.GradientError, match="cannot require a gradient: got int64"):
        counter.requires_grad = True


def test_grad_is_set_and_checked() -> None:
    w = make()
    w.grad = None
    assert w.state.leaf is None, "there is nothing to forget"
    w.grad = eager.ones(2, 2, dtype="float64")
    w.grad.zero_()
    assert w.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(gc.GradientError, match=r"cannot set \.grad: got float32\[2\]"):
        w.grad = eager.ones(2)


def test_changes_in_place_as_in_a_training_loop() -> None:
    w, x = make(), eager.ones(1, 2, dtype="float64")
    (x @ w).sum().backward()
    step = gc.compile([], gc.sum(w), name="total")
    with eager.no_grad():
        for p in [w]:
            p -= 0.5 * p.grad
    assert w.value.tolist() == [[0.5, 1.5], [2.5, 3.5]] and step() == 8.0, "a compiled step sees the change"
    w.data -= 0.5 * w.grad
    w.data = eager.tensor(w.data * 2.0)
    assert w.value.tolist() == [[0.0, 2.0], [4.0, 6.0]] and eager.as_tensor(w)._array is w.state.array
    with eager.no_grad():
        assert w.zero_() is w
        w += 1
    assert step() == 4.0 and w.detach().tolist() == [[1.0, 1.0], [1.0, 1.0]]
    with pytest.raises(gc.GradientError, match="a leaf that requires a gradient"):
        w -= x
    with pytest.raises(gc.ShapeError) as info:
        w.data = eager.ones(3, dtype="float64")
    assert text_of(info.value) == "cannot set .data of a param: got float64[3], expected float64[2, 2]\n  at LINE"
    for value, got in ((2.0, "2.0"), (eager.ones(2, 2), "float32[2, 2]")):
        with pytest.raises(gc.GradientError) as refused:
            w.data = value
        assert text_of(refused.value) == (
            f"cannot set .data of param 'w': got {got}, expected an eager tensor of dtype float64\n  at LINE\n"
            "  hint: w.value = ... sets the value to an array of its shape, or a 0-d one to a number"
        )
    w.value = np.eye(2)
    assert step() == 2.0


WRITERS = {
    "value": lambda w: setattr(w, "value", np.zeros((2, 2))),
    "data": lambda w: w.data.add_(1.0),
    "compiled step": lambda w: STEP(w)(),
    "several steps": lambda w: STEP(w).run(steps=2),
}
_steps: dict[gc.Param, gc.Step] = {}


def STEP(w: gc.Param) -> gc.Step:  # noqa: N802 - it reads as the step of w
    return _steps.setdefault(w, gc.compile([], [], {w: w + 1.0}))


@pytest.mark.parametrize("compiled_before", [True, False], ids=["compiled before", "compiled after"])
@pytest.mark.parametrize("name", WRITERS)
def test_backward_notices_whoever_writes(name: str, compiled_before: bool) -> None:
    w = make()
    if compiled_before:
        STEP(w)()
    loss = (eager.as_tensor(w) * w * eager.ones(2, 2, dtype="float64")).sum()
    STEP(w)  # a step that is compiled only is none that wrote: no version has changed
    WRITERS[name](w)
    with pytest.raises(gc.GradientError, match="was changed in place after it was used"):
        loss.backward()
    fresh = (eager.as_tensor(w) * w).sum()
    fresh.backward()
    np.testing.assert_array_equal(w.grad.numpy(), 2 * w.value)


def test_compiling_a_step_changes_nothing() -> None:
    """Params that get one guard keep their versions."""
    w, v = make(), make()
    w.value, v.value = np.ones((2, 2)), np.ones((2, 2))
    w.value = np.ones((2, 2))
    before = w.state.version, v.state.version
    loss = (eager.as_tensor(w) * v).sum()
    gc.compile([], [], {w: w + 1.0, v: v + 2.0})
    assert (w.state.version, v.state.version) == before and w.state.guard is v.state.guard
    loss.backward()
    assert v.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_leaves_stay_behind_in_copies() -> None:
    w = make()
    (eager.ones(1, 2, dtype="float64") @ w).sum().backward()
    for twin in (copy.deepcopy(w), pickle.loads(pickle.dumps(w))):
        assert twin.grad is None and twin.state is not w.state and twin.value.tolist() == w.value.tolist()


def test_one_leaf_for_all_threads() -> None:
    w, found = make(), []
    threads = [threading.Thread(target=lambda: found.append(eager.as_tensor(w))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(leaf is found[0] for leaf in found)


def test_the_memory_of_a_param_stays_its_own() -> None:
    """A step that were given it as an input would read what it has changed already."""
    start = np.arange(6.0).reshape(2, 3)
    w, x = gc.param(start, name="w"), gc.input("x", (2, 3))
    step = gc.compile([x], [], updates={w: w - 0.5 * gc.flip(x, axis=1)})
    for given in (lambda: gc.eager.as_tensor(w).detach(), lambda: gc.eager.as_tensor(w).detach().numpy()):
        w.value = start
        step(given())
        np.testing.assert_array_equal(w.value, start - 0.5 * start[:, ::-1])
    array = gc.eager.as_tensor(w).detach().T.numpy()
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1.0
    np.testing.assert_array_equal(array, w.value.T)
    assert np.asarray(gc.eager.as_tensor(w).detach()[1]).tolist() == w.value[1].tolist()
