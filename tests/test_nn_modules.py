"""Modules: what is found in them, names, modes, state, copies, printing, containers; in graphs and eagerly."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from messages import text_of, without_line

import graphc as gc
from graphc import eager, nn
from graphc.ir.evaluate import evaluate


class Inner(nn.Module):
    def __init__(self, size: int):
        self.weight = nn.Parameter(np.ones((size, size), "float32"))
        self.scale = gc.param(np.float32(2.0), name="my scale")

    def forward(self, x: Any) -> Any:
        return x @ self.weight.T * self.scale


class Net(nn.Module):
    """Parameters at every kind of place; a parent that a child knows; `super().__init__` is not called."""

    def __init__(self) -> None:
        self.first = nn.Linear(4, 3, seed=0)
        self.offset = nn.Parameter([1.0, 2.0, 3.0])
        self.layers = [nn.ReLU(), (Inner(3), {"deep": Inner(3)})]
        self.extra = {"a": nn.Parameter([0.5]), "b": 3}
        self.count = nn.Buffer(np.zeros((), "int64"))
        self.scratch = nn.Buffer([0.0], persistent=False)
        self.tied = self.first
        self.layers[1][0].parent = self

    def forward(self, x: Any) -> Any:
        x = self.layers[0](self.first(x)) + self.offset
        return self.layers[1][1]["deep"](self.layers[1][0](x)) * self.extra["a"]


NAMES = [
    "offset", "extra.a", "first.weight", "first.bias", "layers.1.0.weight", "layers.1.0.scale",
    "layers.1.1.deep.weight", "layers.1.1.deep.scale",
]  # fmt: skip


def test_parameters_are_found_where_attributes_hold_them() -> None:
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [name for name, _ in net.named_parameters("net")] == [f"net.{name}" for name in NAMES]
    assert list(net.parameters()) == [p for _, p in net.named_parameters()] and len(set(net.parameters())) == 8
    assert [name for name, _ in net.named_buffers()] == ["count", "scratch"]
    assert [name for name, _ in net.named_modules()] == ["", "first", "layers.0", "layers.1.0", "layers.1.1.deep"]
    assert [name for name, _ in net.named_children()] == ["first", "layers.0", "layers.1.0", "layers.1.1.deep"]
    assert net.num_parameters() == 3 + 1 + 15 + 2 * 10 and sum(p.numel() for p in net.parameters()) == 39
    seen: list[nn.Module] = []
    assert net.apply(seen.append) is net and seen[-1] is net and set(map(id, seen)) == set(map(id, net.modules()))


def test_params_are_named_after_their_place() -> None:
    net = nn.Sequential(Net())
    names = {p.name for p in net.parameters()}
    assert {"0.offset", "0.first.weight", "0.layers.1.1.deep.weight"} <= names, "a tied one has the first of its names"
    assert "my scale" in names, "a name that the user gave stays"
    x = gc.input("x", ("n", 4), "float32")
    step = gc.compile([x], gc.sum(net(x)))
    assert "_0_offset" in step.source and "my_scale" in step.source
    with pytest.raises(gc.TraceError, match=r"0\.first\.weight"):
        float(net[0].first.weight)


def test_one_model_in_both_worlds() -> None:
    net, data = Net(), np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    x = gc.input("x", ("n", 4), "float32")
    params = list(net.parameters())
    loss = gc.mean(net(x) ** 2)
    found = evaluate([loss, *gc.grad(loss, params)], {x: data})
    value = (net(eager.tensor(data)) ** 2).mean()
    value.backward()
    np.testing.assert_allclose(value.item(), found[0], rtol=1e-6)
    for param, want in zip(params, found[1:], strict=True):
        np.testing.assert_allclose(param.grad.numpy(), want, rtol=1e-4, atol=1e-6)


def test_a_step_and_an_eager_loop_train_the_same_numbers() -> None:
    net, rng = nn.Linear(2, 1, seed=0), np.random.default_rng(0)
    data = rng.standard_normal((20, 2)).astype("float32")
    target = data @ np.array([[1.0], [-2.0]], "float32") + 0.5
    x, y = gc.input("x", ("n", 2), "float32"), gc.input("y", ("n", 1), "float32")
    params = list(net.parameters())
    loss = nn.mse_loss(net(x), y)
    step = gc.compile([x, y], loss, {p: p - 0.1 * g for p, g in zip(params, gc.grad(loss, params), strict=True)})
    losses = []
    for k in range(100):
        if k % 2:
            losses.append(float(step(data, target)))
            continue
        net.zero_grad()
        value = nn.mse_loss(net(eager.tensor(data)), eager.tensor(target))
        value.backward()
        with eager.no_grad():
            for p in net.parameters():
                p -= 0.1 * p.grad
        losses.append(value.item())
    assert losses[-1] < 1e-3 < losses[0] and losses == sorted(losses, reverse=True)
    np.testing.assert_allclose(net.weight.value, [[1.0, -2.0]], atol=0.05)


# modes


def test_modes_reach_all_modules() -> None:
    net = Net()
    assert net.training and net.eval() is net
    assert not any(m.training for m in net.modules()) and all(m.training for m in net.train().modules())


def test_frozen_models() -> None:
    net = Net()
    assert net.requires_grad_(False) is net and not any(p.trainable for p in net.parameters())
    assert net.num_parameters(trainable=True) == 0
    net.first.requires_grad_()
    assert net.num_parameters(trainable=True) == 15 and net.first.weight.requires_grad
    net(eager.ones(2, 4)).sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is not None] == ["first.weight", "first.bias"]
    net.zero_grad(set_to_none=False)
    assert net.first.bias.grad.tolist() == [0.0] * 3 and net.offset.grad is None
    net.zero_grad()
    assert net.first.bias.grad is None


# state


def test_state_goes_out_and_in() -> None:
    net, twin = Net(), Net()
    net.offset.value = np.array([7.0, 8.0, 9.0], "float32")
    net.count.value = 5
    state = net.state_dict()
    assert [n for n in state if n.startswith("tied")] == ["tied.weight", "tied.bias"], "as in torch, under every name"
    assert "count" in state and "scratch" not in state
    state["offset"][0] = 1.0
    assert net.offset.value[0] == 7.0, "values are copies"
    assert repr(twin.load_state_dict(net.state_dict())) == "<All keys matched successfully>"
    assert twin.offset.value.tolist() == [7.0, 8.0, 9.0] and int(twin.count.value) == 5
    eager_values = {n: eager.tensor(v) for n, v in state.items()} | {"offset": net.offset, "count": 6}
    twin.load_state_dict(eager_values)
    assert twin.offset.value[0] == 7.0 and int(twin.count.value) == 6


def test_state_that_does_not_fit_is_refused_whole() -> None:
    net = nn.Sequential(nn.Linear(4, 3, seed=0), nn.BatchNorm1d(3))
    before = net.state_dict()
    wrong = {
        "0.weight": np.zeros((3, 4)), "0.bias": np.zeros(2, "float32"), "1.weight": np.zeros(3, "float32"),
        "fc.weight": np.ones((1, 2)),
    }  # fmt: skip
    with pytest.raises(gc.InputError) as info:
        net.load_state_dict(wrong)
    assert text_of(info.value) == (
        "the state does not fit Sequential: got 4 names missing, 1 name unexpected, 1 name of another shape, 1 name "
        "narrowed, expected the names, shapes and dtypes of its state_dict()\n  at LINE\n"
        "  missing: 1.bias: expected float32[3]\n  missing: 1.running_mean: expected float32[3]\n"
        "  missing: 1.running_var: expected float32[3]\n  missing: 1.num_batches_tracked: expected int64[]\n"
        "  unexpected: fc.weight: got float64[1, 2]\n"
        "  of another shape: 0.bias: got float32[2], expected float32[3]\n"
        "  narrowed: 0.weight: got float64[3, 4], expected float32[3, 4]\n"
        "  hint: nothing narrows silently: convert the values with .astype, or the model with .to"
    )
    with pytest.raises(gc.InputError, match="1 name of another shape"):
        net.load_state_dict(wrong, strict=False)
    assert all(np.array_equal(v, before[n]) for n, v in net.state_dict().items()), "nothing was set"
    del wrong["0.bias"]
    wrong["0.weight"] = np.full((3, 4), 2.0, "float32")
    result = net.load_state_dict(wrong, strict=False)
    assert (
        result.unexpected_keys == ["fc.weight"] and "0.bias" in result.missing_keys and net[0].weight.value[0, 0] == 2
    )
    assert repr(result).startswith("LoadResult(missing_keys=['0.bias'")
    many = {f"w{k}": np.zeros(1) for k in range(30)}
    with pytest.raises(gc.InputError, match=r"unexpected: w9: got float64\[1\]\n  unexpected: \.\.\. and 20 more"):
        net.load_state_dict(many)
    with pytest.raises(gc.InputError) as info:
        net.load_state_dict([1.0])  # type: ignore[arg-type]
    assert without_line(info.value) == (
        "cannot load the state of Sequential: got list, expected a dict of arrays by name, as state_dict() gives it"
    )


# copies


def test_to_makes_a_converted_copy() -> None:
    net = Net()
    x = gc.input("x", ("n", 4), "float32")
    step, data = gc.compile([x], net(x)), np.ones((2, 4), "float32")
    double = net.to("float64")
    assert double is not net and {p.dtype.name for p in double.parameters()} == {"float64"}
    assert {p.dtype.name for p in net.parameters()} == {"float32"} and double.count.dtype == np.int64
    assert double.first is double.tied and double.first.weight is not net.first.weight
    assert [n for n, _ in double.named_parameters()] == NAMES and double.offset.name == "offset"
    np.testing.assert_allclose(double(eager.ones(2, 4, dtype="float64")).detach(), step(data), rtol=1e-6)
    double.offset.value = np.zeros(3)
    assert net.offset.value.tolist() == [1.0, 2.0, 3.0], "existing steps keep the old one"
    assert net.to("cpu") is net
    net.requires_grad_(False)
    assert not any(p.trainable for p in net.to("float64").parameters())
    with pytest.raises(gc.UnsupportedError) as info:
        net.to("mps")
    assert text_of(info.value) == (
        "Net cannot be moved: got device 'mps', expected 'cpu', 'cuda', 'cuda:1' and so on, or a dtype\n  at LINE"
    )
    with pytest.raises(AttributeError, match=r"model = model\.to\('float64'\) makes a converted copy"):
        net.double()
    for device in ("cpu", "cuda"):
        with pytest.raises(AttributeError) as missing:
            getattr(net, device)()
        assert str(missing.value) == (
            f"'Net' object has no attribute {device!r}\n"
            f'  hint: model.to("{device}"), before a step is compiled; step.to("{device}") compiles one anew'
        )
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'fc'"):
        net.fc  # noqa: B018


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_copies_have_params_of_their_own(twin_of: Any) -> None:
    net = Net()
    net(eager.ones(1, 4)).sum().backward()
    twin = twin_of(net)
    assert [n for n, _ in twin.named_parameters()] == NAMES and [n for n, _ in twin.named_buffers()] == [
        "count",
        "scratch",
    ]
    assert twin.tied is twin.first and twin.offset.grad is None and twin.offset.name == net.offset.name
    assert repr(twin) == repr(net) and repr(twin.offset) == repr(net.offset)
    twin.offset.value = np.zeros(3, "float32")
    assert net.offset.value[0] == 1.0


def test_a_model_pickled_with_its_step_shares_its_params() -> None:
    net = nn.Linear(2, 1, seed=0)
    step = gc.compile([], [], {net.bias: net.bias + 1.0})
    for parts in ((step, net), (net, step)):
        loaded = pickle.loads(pickle.dumps(parts))
        twin_step, twin = (loaded[0], loaded[1]) if parts[0] is step else (loaded[1], loaded[0])
        before = twin.bias.value
        twin_step()
        assert twin.bias.value == before + 1.0 and repr(twin.bias).startswith("Parameter containing:")
        assert [n for n, _ in twin.named_parameters()] == ["weight", "bias"]


# printing


def test_plain_lists_print_as_module_lists() -> None:
    assert repr(Net()) == (
        "Net(\n"
        "  (first): Linear(in_features=4, out_features=3, bias=True)\n"
        "  (layers): ModuleList(\n"
        "    (0): ReLU()\n"
        "    (1): ModuleList(\n"
        "      (0): Inner()\n"
        "      (1): ModuleDict(\n"
        "        (deep): Inner()\n"
        "      )\n"
        "    )\n"
        "  )\n"
        "  (tied): Linear(in_features=4, out_features=3, bias=True)\n"
        ")"
    )


def test_parameters_print_as_in_torch() -> None:
    layer = nn.Linear(2, 1, seed=0)
    assert repr(list(layer.parameters())) == (
        "[Parameter containing:\ntensor([[ 0.1937, -0.3256]], requires_grad=True), "
        "Parameter containing:\ntensor([-0.6492], requires_grad=True)]"
    )
    assert repr(layer.requires_grad_(False).bias) == "Parameter containing:\ntensor([-0.6492])"
    assert (
        repr(nn.Parameter(np.zeros(2))) == "Parameter containing:\ntensor([0., 0.], dtype=float64, requires_grad=True)"
    )


class Described(nn.Module):
    def __init__(self) -> None:
        self.inner = nn.ReLU()

    def extra_repr(self) -> str:
        return "a=1\nb=2"


def test_extra_lines() -> None:
    assert repr(Described()) == "Described(\n  a=1\n  b=2\n  (inner): ReLU()\n)"


# containers


def test_sequential() -> None:
    net = nn.Sequential({"one": nn.Linear(3, 3, seed=0), "act": nn.Tanh()})
    assert [n for n, _ in net.named_parameters()] == ["one.weight", "one.bias"] and len(net) == 2
    net.append(nn.Linear(3, 1, seed=1))
    assert isinstance(net[-1], nn.Linear) and isinstance(net[:2], nn.Sequential) and len(net[:2]) == 2
    net[1] = nn.ReLU()
    assert [type(m).__name__ for m in net] == ["Linear", "ReLU", "Linear"]
    shared = nn.ReLU()
    assert len(nn.Sequential(shared, shared)) == 2 and nn.Sequential(shared, shared)(eager.ones(1)).item() == 1.0
    for bad, text in (
        (nn.ReLU, "Sequential is of modules: got type class ReLU, expected modules\n  hint: make one of it: ReLU()"),
        (3, "Sequential is of modules: got int 3, expected modules"),
    ):
        with pytest.raises(gc.InputError) as info:
            nn.Sequential(bad)
        assert without_line(info.value) == text


def test_lists_and_dicts_of_modules() -> None:
    layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(2)]).extend([nn.ReLU()])
    assert (
        len(layers) == 3
        and isinstance(layers[1:], nn.ModuleList)
        and [n for n, _ in layers.named_children()] == ["0", "1", "2"]
    )
    heads = nn.ModuleDict({"a": nn.ReLU()})
    heads["b"] = nn.Tanh()
    assert list(heads) == list(heads.keys()) == ["a", "b"] and "a" in heads and "c" not in heads and len(heads) == 2
    assert [n for n, _ in heads.items()] == ["a", "b"] and [type(m) for m in heads.values()] == [nn.ReLU, nn.Tanh]


class Registered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", np.zeros(2))
        self.register_buffer("nothing", None)
        self.register_parameter("bias", None)
        self.register_parameter("weight", nn.Parameter(np.ones(2)))
        self.add_module("act", nn.ReLU())

    def forward(self, x: Any) -> Any:
        return self.act(x * self.weight - self.mean)


def test_registering_sets_attributes() -> None:
    module = Registered()
    assert list(module.state_dict()) == ["weight", "mean"] and module.bias is None and module.nothing is None
    assert module(eager.tensor(np.array([-1.0, 2.0]))).tolist() == [0.0, 2.0] and not module.mean.requires_grad


# mistakes


def test_a_module_without_forward() -> None:
    with pytest.raises(gc.UnsupportedError) as info:
        Described()(1.0)
    assert without_line(info.value) == "Described has no forward: expected a method forward(self, x)"


def test_unknown_and_missing_arguments() -> None:
    signature = "expected Linear(in_features, out_features, bias=True, dtype='float32', seed=None)"
    for call, text in (
        (lambda: nn.Linear(3, 2, biass=True), "cannot make Linear (got an unexpected keyword argument 'biass'): "),
        (lambda: nn.Linear(3), "cannot make Linear (missing a required argument: 'out_features'): "),
        (lambda: nn.Linear(3, 2, True, "float32", 0, 1), "cannot make Linear (too many positional arguments): "),
    ):
        with pytest.raises(gc.ArgumentError) as info:
            call()
        assert without_line(info.value).split("\n")[0] == text + signature
    with pytest.raises(gc.InputError, match=r"cannot make Inner \(missing a required argument: 'size'\)"):
        Inner()  # type: ignore[call-arg]


# state that a step leaves behind


class Normed(nn.Module):
    def __init__(self, **of_norm: Any):
        self.fc = nn.Linear(2, 3, seed=0)
        self.blocks = [nn.BatchNorm1d(3, **of_norm), nn.Dropout(0.5, seed=1)]
        self.out = nn.Linear(3, 1, seed=2)

    def forward(self, x: Any) -> Any:
        for block in [self.fc, *self.blocks]:
            x = block(x)
        return self.out(x)


def trained(model: nn.Module) -> tuple[Any, Any, dict[Any, Any]]:
    """An input, the loss of `model`, and the updates of its parameters."""
    x = gc.input("x", ("n", 2), "float32")
    loss = gc.mean(model(x) ** 2)
    return x, loss, gc.optim.SGD(model.parameters(), lr=0.1).minimize(loss)


def warned(x: Any, loss: Any, updates: dict[Any, Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        step = gc.compile([x], loss, updates)
    assert all(w.category is gc.GraphcWarning and w.filename == __file__ for w in caught)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(step))
    return [str(w.message) for w in caught]


BEHIND = (
    "a step trains a model, and the state that its layers keep stays as it is: got no new values for {}, expected "
    "those of model.updates() among the updates\n  hint: gc.compile(..., updates={{**trained, **model.updates()}}); "
    "model.eval(), before the model is called, if its state is not to move"
)


def test_forgotten_updates_are_warned_of() -> None:
    model = Normed()
    x, loss, updates = trained(model)
    assert warned(x, loss, updates) == [BEHIND.format("BatchNorm1d 'blocks.0', Dropout 'blocks.1'")]
    assert warned(x, loss, {**updates, **model.blocks[1].updates()}) == [BEHIND.format("BatchNorm1d 'blocks.0'")]
    assert warned(x, loss, {**updates, **model.updates()}) == []
    x, loss, updates = trained(model)  # another graph
    assert warned(x, loss, updates) == [BEHIND.format("BatchNorm1d 'blocks.0', Dropout 'blocks.1'")]
    many = nn.Sequential(*[nn.Dropout(0.1, seed=k) for k in range(5)], nn.Linear(2, 1, seed=0))
    assert warned(*trained(many)) == [BEHIND.format("Dropout '0', Dropout '1', Dropout '2', 2 more")]
    norm = nn.BatchNorm1d(2)
    assert warned(*trained(norm)) == [BEHIND.format("BatchNorm1d")]
    rnn = nn.GRU(2, 2, num_layers=2, dropout=0.5)
    x = gc.input("x", (3, "n", 2), "float32")
    loss = gc.sum(rnn(x)[0])
    assert warned(x, loss, {p: p - gc.grad(loss, p) for p in rnn.parameters()}) == [BEHIND.format("GRU")]


PREDICTING = (
    "a step without updates has layers in train mode: got {}, expected model.eval() before the model is called, for "
    "predictions\n  hint: gc.compile([x], model.eval()(x)); model.train() goes back to training"
)


def test_a_forgotten_eval_is_warned_of() -> None:
    model = Normed()
    x = gc.input("x", ("n", 2), "float32")
    scores = model(x)
    assert warned(x, gc.argmax(scores, axis=1), {}) == [PREDICTING.format("BatchNorm1d 'blocks.0', Dropout 'blocks.1'")]
    model.updates()  # another step may train with the same graph: this one predicts all the same
    assert warned(x, scores, {}) == [PREDICTING.format("BatchNorm1d 'blocks.0', Dropout 'blocks.1'")]
    assert warned(x, model.eval()(x), {}) == []
    assert warned(x, scores, model.updates()) == []  # dropout that is meant draws anew at each call


def test_what_is_meant_is_not_warned_of() -> None:
    model = Normed()
    x, loss, updates = trained(model)
    assert warned(x, loss, {}) == []  # no training, and no prediction
    ema = gc.param(0.0, name="ema", trainable=False)
    assert warned(x, loss, {ema: gc.astype(loss, "float64")}) == []
    assert model.updates() and warned(x, loss, updates) == []  # asked for: two steps may share one call
    assert warned(*trained(model.eval())) == []
    model.train().blocks[0].eval()
    model.blocks[1].eval()
    assert warned(*trained(model)) == []  # some layers only
    for kept in ({"track_running_stats": False}, {"momentum": 0.0}):
        frozen = Normed(**kept)
        frozen.blocks[1].p = 0.0
        assert warned(*trained(frozen)) == []
    model = Normed()
    assert model(eager.ones(3, 2)).shape == (3, 1)
    assert warned(*trained(model.eval())) == []
