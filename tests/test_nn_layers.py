"""Layers beyond PyTorch's values: first values, running statistics, extreme points, and every error's text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from messages import without_line

import graphc as gc
from graphc import eager, nn
from graphc.ir.evaluate import evaluate

X = gc.input("x", ("n", 4), "float32")
T = gc.input("t", ("n",), "int64")
A, B = gc.input("a", ("n",)), gc.input("b", ("n", 1))


# first values


def test_layers_start_as_in_torch() -> None:
    layer = nn.Linear(400, 300, seed=0)
    for values in (layer.weight.value, layer.bias.value):
        assert np.abs(values).max() <= 0.05 and abs(values.std() - 0.1 / math.sqrt(12)) < 0.003
    table = nn.Embedding(1000, 20, padding_idx=3, seed=0).weight.value
    assert abs(table.std() - 1.0) < 0.01 and not table[3].any()
    lstm = nn.LSTM(5, 100, seed=0)
    assert all(
        np.abs(p.value).max() <= 0.1 and abs(p.value.std() - 0.2 / math.sqrt(12)) < 0.01 for p in lstm.parameters()
    )
    attention = nn.MultiheadAttention(64, 4, seed=0)
    assert abs(attention.in_proj_weight.value.std() - math.sqrt(2 / 256)) < 0.003
    assert not attention.in_proj_bias.value.any() and not attention.out_proj.bias.value.any()
    norm = nn.BatchNorm1d(3)
    assert [norm.weight.value[0], norm.bias.value[0], norm.running_mean.value[0], norm.running_var.value[0]] == [
        1,
        0,
        0,
        1,
    ]


def test_seeds_decide() -> None:
    one, same, other = (nn.GRU(3, 4, seed=k).state_dict() for k in (0, 0, 1))
    assert all(np.array_equal(one[n], same[n]) and not np.array_equal(one[n], other[n]) for n in one)
    assert not np.array_equal(one["weight_hh_l0"][0], one["weight_hh_l0"][1]), "one stream for all of a layer"
    stream = np.random.default_rng(5)
    a, b = nn.Linear(3, 3, seed=stream), nn.Linear(3, 3, seed=stream)
    assert not np.array_equal(a.weight.value, b.weight.value)
    drawn = []
    for _ in range(2):
        nn.init.manual_seed(7)
        drawn.append([nn.Linear(2, 2).weight.value, nn.init.normal_(np.empty(3))])
    assert all(np.array_equal(x, y) for x, y in zip(*drawn, strict=True))


def test_init_functions() -> None:
    rng, big = np.random.default_rng(0), (200, 30, 3, 3)  # fan_in 270, fan_out 1800
    want = {
        "xavier_uniform_": (1.0 * math.sqrt(6 / 2070), "uniform"),
        "xavier_normal_": (math.sqrt(2 / 2070), "normal"),
        "kaiming_uniform_": (math.sqrt(2) * math.sqrt(3 / 270), "uniform"),
        "kaiming_normal_": (math.sqrt(2) / math.sqrt(270), "normal"),
    }
    for name, (size, kind) in want.items():
        values = getattr(nn.init, name)(np.empty(big), seed=rng)
        if kind == "uniform":
            assert np.abs(values).max() <= size and abs(values.std() - size / math.sqrt(3)) < 0.01 * size
        else:
            assert abs(values.std() - size) < 0.01 * size
    by_out = nn.init.kaiming_normal_(np.empty(big), mode="fan_out", nonlinearity="relu", seed=0)
    assert abs(by_out.std() - math.sqrt(2 / 1800)) < 0.001
    assert abs(nn.init.xavier_normal_(np.empty(big), gain=3.0, seed=0).std() - 3 * math.sqrt(2 / 2070)) < 0.001
    for shape in ((5, 3), (3, 5), (4, 2, 3)):
        values = nn.init.orthogonal_(np.empty(shape), gain=2.0, seed=0).reshape(shape[0], -1)
        gram = values @ values.T if values.shape[0] < values.shape[1] else values.T @ values
        np.testing.assert_allclose(gram, 4.0 * np.eye(min(values.shape)), atol=1e-12)
    weight = nn.Parameter(np.zeros((2, 3), "float32"))
    assert nn.init.constant_(weight, 3.0) is weight and weight.value.tolist() == [[3.0] * 3] * 2
    assert nn.init.ones_(weight).value.sum() == 6 and nn.init.zeros_(weight).value.sum() == 0
    assert nn.init.eye_(weight).value.tolist() == [[1, 0, 0], [0, 1, 0]] and weight.dtype == np.float32
    leaf = eager.zeros(2, requires_grad=True)
    assert nn.init.uniform_(leaf, 1.0, 2.0, seed=0) is leaf and leaf.min().item() >= 1.0
    gains = {n: nn.init.calculate_gain(n) for n in ("linear", "sigmoid", "tanh", "relu", "selu", "leaky_relu")}
    assert gains == {
        "linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75,
        "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
    }  # fmt: skip


# batch norm: running statistics in graphs


def run_updates(module: nn.Module, given: dict[gc.Tensor, np.ndarray]) -> dict[str, np.ndarray]:
    """The new values of the buffers by name, after one step."""
    updates = module.updates()
    names = {own: name for name, own in module.named_buffers()}
    found = evaluate(list(updates.values()), given)
    return {names[own]: value for own, value in zip(updates, found, strict=True)}


def test_a_step_moves_the_running_statistics_as_eager_calls_do() -> None:
    rng = np.random.default_rng(0)
    net = nn.Sequential(nn.Linear(4, 3, seed=0), nn.BatchNorm1d(3)).to("float64")
    twin = net.to("float64")
    x = gc.input("x", ("n", 4))
    step = gc.compile([x], net(x), updates=net.updates())
    for n in (5, 8, 3):
        data = rng.standard_normal((n, 4)) * 2.0 + 1.0
        np.testing.assert_allclose(step(data), twin(eager.tensor(data)).detach().numpy(), rtol=1e-12, atol=1e-12)
        for name, value in twin.state_dict().items():
            np.testing.assert_allclose(net.state_dict()[name], value, rtol=1e-12)
    assert int(net[1].num_batches_tracked.value) == 3
    net.eval(), twin.eval()
    np.testing.assert_allclose(
        evaluate([net(x)], {x: data})[0], twin(eager.tensor(data)).detach().numpy(), rtol=1e-12, atol=1e-12
    )
    before = twin.state_dict()
    twin(eager.tensor(data))
    assert all(np.array_equal(v, before[n]) for n, v in twin.state_dict().items()), "evaluating moves nothing"


def test_calls_in_one_graph_move_the_statistics_one_after_the_other() -> None:
    norm, rng = nn.BatchNorm1d(2, dtype="float64"), np.random.default_rng(1)
    twin = norm.to("float64")
    x, y = gc.input("x", ("n", 2)), gc.input("y", ("m", 2))
    data = {x: rng.standard_normal((4, 2)), y: rng.standard_normal((3, 2))}
    norm(x), norm(y), norm(x)
    found = run_updates(norm, data)
    twin(eager.tensor(data[x])), twin(eager.tensor(data[y]))
    assert found["num_batches_tracked"] == 2, "a repeated call on the same tensor counts once"
    np.testing.assert_allclose(found["running_mean"], twin.running_mean.value, rtol=1e-12)
    np.testing.assert_allclose(found["running_var"], twin.running_var.value, rtol=1e-12)
    assert norm.updates().keys() == norm.updates().keys() != set(), "asking again gives the same"
    norm(y)
    assert run_updates(norm, {y: data[y]})["num_batches_tracked"] == 1, "what follows is another graph"
    assert nn.BatchNorm1d(2).updates() == {} and nn.BatchNorm1d(2, track_running_stats=False).updates() == {}


def test_statistics_get_no_gradient_and_the_tape_is_not_disturbed() -> None:
    norm = nn.BatchNorm1d(2)
    gc.compile([], [], {p: p + 0.0 for p in (*norm.parameters(), norm.running_mean, norm.running_var)})  # one guard
    x = eager.randn(4, 2, requires_grad=True)
    norm(norm(x) * 2.0).sum().backward()
    assert norm.weight.grad is not None and norm.running_mean.grad is None and not norm.running_mean.requires_grad


# extreme points


def test_losses_stay_finite_and_exact() -> None:
    logits = np.array([[1000.0, 0.0], [-1000.0, 0.0]])
    for call in (eager.tensor, gc.constant):
        x = call(logits)
        loss = nn.cross_entropy(x, call(np.array([1, 0])), reduction="none")
        np.testing.assert_array_equal(np.asarray(loss), [1000.0, 1000.0])
        both = nn.binary_cross_entropy_with_logits(x, call(np.array([[0.0, 1.0], [1.0, 0.0]])), reduction="none")
        np.testing.assert_allclose(np.asarray(both), [[1000.0, math.log(2)], [1000.0, math.log(2)]])
        edge = nn.binary_cross_entropy(call(np.array([0.0, 1.0])), call(np.array([1.0, 1.0])), reduction="none")
        np.testing.assert_array_equal(np.asarray(edge), [100.0, 0.0])
        zero = nn.kl_div(call(np.array([[-1.0, -2.0]])), call(np.array([[0.0, 1.0]])), reduction="sum")
        assert float(zero) == 2.0
        np.testing.assert_array_equal(np.asarray(nn.softplus(call(np.array([-1000.0, 1000.0])))), [0.0, 1000.0])


def test_all_targets_ignored() -> None:
    x = eager.randn(3, 4, requires_grad=True)
    target = eager.tensor([-100] * 3)
    assert math.isnan(nn.cross_entropy(x, target).item()), "as in torch: a mean over nothing"
    nn.cross_entropy(x, target, reduction="sum").backward()
    assert not x.grad.any().item()


@pytest.mark.parametrize("bad", [-1, 4, -5, -99])
def test_targets_that_are_no_class_are_refused(bad: int) -> None:
    """A negative one does not count from the end."""
    x = eager.randn(2, 4)
    for loss in (nn.cross_entropy, nn.nll_loss):
        with pytest.raises(gc.OutOfBoundsError):
            loss(x, eager.tensor([0, bad]))
    with pytest.raises(gc.OutOfBoundsError):
        nn.Embedding(4, 2)(eager.tensor([bad]))


def test_a_step_refuses_them_too() -> None:
    table = nn.Embedding(4, 2, seed=0)
    i = gc.input("i", ("n",), "int64")
    step = gc.compile([i], nn.cross_entropy(table(i), i % 2))
    assert step(np.array([0, 3])) > 0
    for bad in (-1, 4):
        with pytest.raises(gc.OutOfBoundsError):
            step(np.array([0, bad]))


def test_named_sizes_run_at_any_size() -> None:
    n, c = gc.input("x", ("n", 4, "length")), gc.input("t", ("n", "length"), "int64")
    loss = nn.cross_entropy(nn.layer_norm(gc.permute_dims(n, (0, 2, 1)), 4).mT, c, label_smoothing=0.1)
    other = nn.group_norm(n, 2)
    rng = np.random.default_rng(0)
    for size, length in ((2, 3), (5, 1)):
        data = {n: rng.standard_normal((size, 4, length)), c: rng.integers(0, 4, (size, length))}
        found = evaluate([loss, other], data)
        x, t = eager.tensor(data[n]), eager.tensor(data[c])
        want = nn.cross_entropy(nn.layer_norm(x.permute(0, 2, 1), 4).transpose(1, 2), t, label_smoothing=0.1)
        np.testing.assert_allclose(found[0], want.item(), rtol=1e-12)
        np.testing.assert_allclose(found[1], nn.group_norm(x, 2).numpy(), rtol=1e-12, atol=1e-12)


def test_from_pretrained() -> None:
    rows = np.arange(6.0).reshape(3, 2)
    table = nn.Embedding.from_pretrained(rows, padding_idx=0)
    assert not table.weight.trainable and table.weight.dtype == np.float64
    assert table(eager.tensor([2, 0])).tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert nn.Embedding.from_pretrained(rows, freeze=False).weight.trainable


def test_causal_attention_looks_back_only() -> None:
    attention = nn.MultiheadAttention(4, 2, batch_first=True, seed=0)
    x = np.random.default_rng(0).standard_normal((2, 5, 4)).astype("float32")
    y, weights = attention(*[eager.tensor(x)] * 3, is_causal=True)
    assert np.array_equal(weights.detach().numpy() > 0, np.broadcast_to(np.tri(5, dtype=bool), (2, 5, 5)))
    changed = x.copy()
    changed[:, 3:] += 1.0
    again, _ = attention(*[eager.tensor(changed)] * 3, is_causal=True)
    np.testing.assert_array_equal(y.detach().numpy()[:, :3], again.detach().numpy()[:, :3])


def test_conversions_print_and_pass_through() -> None:
    x = eager.ones(2)
    assert nn.Identity(3, anything=True)(x) is x and repr(nn.Identity(3)) == "Identity()"
    assert nn.functional.relu is nn.relu and nn.functional.cross_entropy is nn.cross_entropy


# errors

LINEAR = "Linear(in_features=4, out_features=2, bias=True)"
Case = tuple[Callable[[], Any], type[Exception], str]
ERRORS: dict[str, Case] = {
    "size": (
        lambda: nn.Linear(4, 2)(gc.input("y", ("n", 5), "float32")), gc.ShapeError,
        f"bad shape for {LINEAR}: got y: float32[n, 5], expected in_features = 4 on its last axis",
    ),
    "dtype": (
        lambda: nn.Linear(4, 2)(gc.input("y", ("n", 4))), gc.DTypeError,
        f"bad dtype for {LINEAR}: got y: float64[n, 4], expected the dtype of its parameters, float32\n"
        "  hint: x.astype('float32') converts data, model.to('float64') makes a converted model",
    ),
    "integers": (
        lambda: nn.Linear(4, 2)(gc.input("y", ("n", 4), "int8")), gc.DTypeError,
        f"bad dtype for {LINEAR}: got y: int8[n, 4], expected the dtype of its parameters, float32\n"
        "  hint: x.astype('float32') converts data",
    ),
    "weight": (
        lambda: nn.linear(X, gc.input("w", (3,), "float32")), gc.ShapeError,
        "bad shape for linear: got w: float32[3], expected a weight [out, in]",
    ),
    "count": (lambda: nn.Linear(4, 0), gc.InputError, "bad out_features= of Linear: got 0, expected an int >= 1"),
    "flag": (lambda: nn.Linear(4, 2, "no"), gc.InputError, "bad bias= of Linear: got 'no', expected True or False"),
    "layer dtype": (
        lambda: nn.Linear(4, 2, dtype="int32"), gc.InputError,
        "bad dtype= of Linear: got 'int32', expected 'float32' or 'float64'",
    ),
    "flatten": (
        lambda: nn.Flatten(2)(X), gc.ShapeError,
        "bad shape for Flatten(start_dim=2, end_dim=-1): got x: float32[n, 4], expected axes from start_dim to end_dim",
    ),
    "dim": (
        lambda: nn.softmax(X), gc.InputError,
        "bad dim= of softmax: got None, expected an int\n  hint: the axis of the classes: dim=-1 is the last one",
    ),
    "bounds": (
        lambda: nn.Hardtanh(1.0, 0.0), gc.InputError,
        "bad max_val= of Hardtanh: got 0.0, expected a number above min_val = 1",
    ),
    "beta": (lambda: nn.Softplus(0), gc.InputError, "bad beta= of Softplus: got 0, expected a number other than 0"),
    "choice": (
        lambda: nn.GELU("fast"), gc.InputError, "bad approximate= of GELU: got 'fast', expected 'none' or 'tanh'",
    ),
    "number": (
        lambda: nn.LeakyReLU("a"), gc.InputError, "bad negative_slope= of LeakyReLU: got 'a', expected a number",
    ),
    "reduction": (
        lambda: nn.mse_loss(A, A, "avg"), gc.InputError,
        "bad reduction= of mse_loss: got 'avg', expected 'mean' or 'sum' or 'none'",
    ),
    "stretched": (
        lambda: nn.mse_loss(B, A), gc.ShapeError,
        "bad shape for mse_loss: got b: float64[n, 1], a: float64[n], expected one shape\n"
        "  hint: x.reshape(...), or x.squeeze(-1), makes the shapes equal",
    ),
    "classes for mse": (
        lambda: nn.mse_loss(A, T), gc.DTypeError,
        "bad dtype for mse_loss: got a: float64[n], t: int64[n], expected floats\n"
        "  hint: target.astype('float32'); classes by number are for cross_entropy",
    ),
    "delta": (
        lambda: nn.huber_loss(A, A, delta=0), gc.InputError, "bad delta= of huber_loss: got 0, expected a number > 0",
    ),
    "least": (
        lambda: nn.smooth_l1_loss(A, A, beta=-1), gc.InputError,
        "bad beta= of smooth_l1_loss: got -1, expected a number >= 0",
    ),
    "smoothing": (
        lambda: nn.CrossEntropyLoss(label_smoothing=2), gc.InputError,
        "bad label_smoothing= of CrossEntropyLoss: got 2, expected a number >= 0 and <= 1",
    ),
    "targets": (
        lambda: nn.cross_entropy(X, gc.input("s", ("n", 2), "int64")), gc.ShapeError,
        "bad shape for cross_entropy: got x: float32[n, 4], s: int64[n, 2], expected targets [n]: the shape of the "
        "scores without axis 1",
    ),
    "scores": (
        lambda: nn.cross_entropy(T, T), gc.DTypeError,
        "bad dtype for cross_entropy: got t: int64[n], expected scores that are floats",
    ),
    "no scores": (
        lambda: nn.nll_loss(gc.input("s"), 1), gc.ShapeError,
        "bad shape for nll_loss: got s: float64[], expected scores [batch, classes, ...] or [classes]",
    ),
    "bool targets": (
        lambda: nn.cross_entropy(X, A > 0), gc.DTypeError,
        "bad dtype for cross_entropy: got x: float32[n, 4], A > 0: bool[n], expected targets that are numbers of "
        "classes, or probabilities",
    ),
    "float targets": (
        lambda: nn.nll_loss(X, A), gc.DTypeError,
        "bad dtype for nll_loss: got x: float32[n, 4], a: float64[n], expected targets that are numbers of classes",
    ),
    "class weights": (
        lambda: nn.cross_entropy(X, T, weight=[1.0, 2.0]), gc.ShapeError,
        "bad shape for cross_entropy: got float64[2], expected a weight for each of 4 classes",
    ),
    "ignored": (
        lambda: nn.cross_entropy(X, T, ignore_index=0.5), gc.InputError,
        "bad ignore_index= of a loss of classes: got 0.5, expected an int",
    ),
    "axes": (
        lambda: nn.BatchNorm2d(4)(X), gc.ShapeError,
        f"bad shape for {nn.BatchNorm2d(4)!r}: got x: float32[n, 4], expected 4 axes",
    ),
    "channels": (
        lambda: nn.BatchNorm1d(3)(X), gc.ShapeError,
        f"bad shape for {nn.BatchNorm1d(3)!r}: got x: float32[n, 4], expected num_features = 3 on its axis 1",
    ),
    "one value": (
        lambda: nn.BatchNorm1d(4)(eager.ones(1, 4)), gc.ShapeError,
        f"bad shape for {nn.BatchNorm1d(4)!r}: got float32[1, 4], expected more than 1 value per channel in training\n"
        "  hint: drop_last=True, of step.run or a DataLoader, leaves out a last batch that is too small; for "
        "predictions, model.eval() before the model is called",
    ),
    "last axes": (
        lambda: nn.LayerNorm((3, 4))(eager.ones(2, 4)), gc.ShapeError,
        f"bad shape for {nn.LayerNorm((3, 4))!r}: got float32[2, 4], expected normalized_shape = 3 on its axis -2",
    ),
    "no sizes": (
        lambda: nn.LayerNorm(()), gc.InputError,
        "bad normalized_shape= of LayerNorm: got (), expected at least one size",
    ),
    "groups": (
        lambda: nn.GroupNorm(2, 3), gc.InputError,
        "bad num_channels= of GroupNorm: got 3, expected a multiple of num_groups = 2",
    ),
    "groups of a tensor": (
        lambda: nn.group_norm(X, 3), gc.ShapeError,
        "bad shape for group_norm: got x: float32[n, 4], expected channels that num_groups = 3 divides on axis 1",
    ),
    "no channels": (
        lambda: nn.group_norm(A, 1), gc.ShapeError,
        "bad shape for group_norm: got a: float64[n], expected at least 2 axes, [batch, channels, ...]",
    ),
    "padding row": (
        lambda: nn.Embedding(5, 3, 5), gc.InputError,
        "bad padding_idx= of Embedding: got 5, expected a row: -5 <= padding_idx < 5",
    ),
    "rows": (
        lambda: nn.Embedding(5, 3)(X), gc.DTypeError,
        "bad dtype for Embedding(5, 3): got x: float32[n, 4], expected ints\n"
        "  hint: x.astype('int64') converts data",
    ),
    "table": (
        lambda: nn.embedding(T, A), gc.ShapeError,
        "bad shape for embedding: got a: float64[n], expected a weight [rows, features]",
    ),
    "pretrained": (
        lambda: nn.Embedding.from_pretrained(gc.param(np.ones(2), "rows")), gc.ShapeError,
        "bad shape for Embedding.from_pretrained: got float64[2], expected [rows, features]",
    ),
    "heads": (
        lambda: nn.MultiheadAttention(5, 2), gc.InputError,
        "bad num_heads= of MultiheadAttention: got 2, expected a divisor of embed_dim = 5",
    ),
    "dropout": (
        lambda: nn.LSTM(5, 2, dropout=0.5), gc.InputError,
        "bad dropout= of LSTM: got 0.5, expected 0 for num_layers = 1\n"
        "  hint: it drops between layers: nn.Dropout(0.5) drops what LSTM gives",
    ),
    "dropout of weights": (
        lambda: nn.MultiheadAttention(4, 2, dropout=1.5), gc.InputError,
        "bad dropout= of MultiheadAttention: got 1.5, expected a number >= 0 and <= 1",
    ),
    "mask": (
        lambda: nn.MultiheadAttention(4, 2)(X, X, X, attn_mask=gc.input("m", ("n", "n"), "int64")), gc.DTypeError,
        "bad dtype for MultiheadAttention(4, 2): got m: int64[n, n], expected a mask of bools or floats",
    ),
    "query": (
        lambda: nn.scaled_dot_product_attention(A, A, A), gc.ShapeError,
        "bad shape for scaled_dot_product_attention: got a: float64[n], a: float64[n], a: float64[n], expected at "
        "least 2 axes",
    ),
    "one dtype": (
        lambda: nn.scaled_dot_product_attention(X, X, B), gc.DTypeError,
        "bad dtype for scaled_dot_product_attention: got x: float32[n, 4], x: float32[n, 4], b: float64[n, 1], "
        "expected one float dtype\n  hint: x.astype('float32') converts data",
    ),
    "length": (
        lambda: nn.GRU(4, 3)(X), gc.ShapeError,
        "bad shape for GRU(4, 3): got float32[n, 1, 4], expected a length that is known while building, at least 1\n"
        "  hint: declare the length as an int: gc.input('x', (length, 'batch', features))",
    ),
    "state": (
        lambda: nn.GRU(4, 3)(eager.ones(2, 1, 4), eager.ones(2, 1, 3)), gc.ShapeError,
        "bad shape for the state of GRU(4, 3): got float32[2, 1, 3], expected layers * directions = 1 on its axis 0",
    ),
    "state dtype": (
        lambda: nn.GRU(4, 3)(eager.ones(2, 1, 4), eager.ones(1, 1, 3, dtype="float64")), gc.DTypeError,
        "bad dtype for the state of GRU(4, 3): got float64[1, 1, 3], expected the dtype of x, float32",
    ),
    "pair": (
        lambda: nn.LSTM(4, 3)(eager.ones(2, 1, 4), 3), gc.InputError, "bad hx= of LSTM: got 3, expected a pair (h, c)",
    ),
    "fans": (
        lambda: nn.init.xavier_uniform_(np.ones(3)), gc.ShapeError,
        "bad shape for weights: got float64[3], expected at least 2 axes, (out, in, *kernel)",
    ),
    "mode": (
        lambda: nn.init.kaiming_normal_(np.ones((3, 3)), mode="fan"), gc.InputError,
        "bad mode= of kaiming: got 'fan', expected 'fan_in' or 'fan_out'",
    ),
    "orthogonal": (
        lambda: nn.init.orthogonal_(np.ones(3)), gc.ShapeError,
        "bad shape for orthogonal_: got float64[3], expected at least 2 axes",
    ),
    "eye": (lambda: nn.init.eye_(np.ones(3)), gc.ShapeError, "bad shape for eye_: got float64[3], expected 2 axes"),
    "no tensor": (
        lambda: nn.init.zeros_([1.0]), gc.InputError,
        "bad tensor= of an init function: got [1.0], expected a param, an eager tensor or an array",
    ),
    "seed": (
        lambda: nn.Linear(2, 2, seed=-1), gc.InputError,
        "bad seed= of an init function: got -1, expected an int >= 0, a numpy.random.Generator, or None",
    ),
    "manual seed": (
        lambda: nn.init.manual_seed("a"), gc.InputError, "bad seed= of manual_seed: got 'a', expected an int >= 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_layer_got_and_expected(name: str) -> None:
    call, error, text = ERRORS[name]
    with pytest.raises(error) as info:
        call()
    assert without_line(info.value) == text
