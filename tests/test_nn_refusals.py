"""What layers and modules refuse that would go wrong silently: the text of each error, and that nothing has changed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from messages import text_of, without_line

import graphc as gc
from graphc import eager, nn
from graphc.ir.leaves import ParamState

# batch norm: a batch without a variance

MANY = (
    "expected more than 1 value per channel in training of BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, "
    "bias=True, track_running_stats=True)\n  at LINE\n  created at LINE\n"
    "  hint: drop_last=True, of step.run or a DataLoader, leaves out a last batch that is too small; for predictions, "
    "model.eval() before the model is called"
)


def test_a_step_refuses_a_batch_of_one_row_before_anything_changes() -> None:
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1, seed=0))
    x = gc.input("x", ("n", 3), "float32")
    loss = gc.mean(net(x) ** 2)
    trained = gc.optim.SGD(net.parameters(), lr=0.1).minimize(loss)
    step = gc.compile([x], loss, updates={**trained, **net.updates()})
    data = np.random.default_rng(0).standard_normal((9, 3)).astype("float32")
    step(data)
    before = net.state_dict()
    for call in (lambda: step(data[:1]), lambda: step.run(data, batch_size=4), lambda: step.bind(data[:1])):
        with pytest.raises(gc.ShapeError) as info:
            call()
        assert text_of(info.value) == f"sizes do not fit: got n = 1 (axis 0 of 'x'), {MANY}"
    assert all(np.array_equal(value, before[name]) for name, value in net.state_dict().items())
    step.run(data, batch_size=4, drop_last=True)
    assert all(np.isfinite(value).all() for value in net.state_dict().values())


def test_a_batch_of_no_rows_leaves_running_statistics_alone() -> None:
    norm, none = nn.BatchNorm2d(2), np.ones((0, 2, 1, 1), "float32")
    x = gc.input("x", ("n", 2, 1, 1), "float32")
    y = norm(x)
    step = gc.compile([x], y, updates=norm.updates())
    for count, call in enumerate((step, lambda data: norm(eager.tensor(data))), 1):
        assert call(none).shape == none.shape
        assert norm.running_mean.value.tolist() == [0.0, 0.0] and norm.running_var.value.tolist() == [1.0, 1.0]
        assert norm.num_batches_tracked.value == count, "as in torch"
    with pytest.raises(gc.ShapeError, match="more than 1 value per channel"):
        step(np.ones((1, 2, 1, 1), "float32"))


def test_a_gradient_alone_is_refused_too() -> None:
    norm, x = nn.BatchNorm1d(3), gc.input("x", ("n", 3), "float32")
    step = gc.compile([x], gc.grad(gc.sum(norm(x) ** 3), x))
    assert step(np.ones((2, 3), "float32")).shape == (2, 3)
    with pytest.raises(gc.ShapeError, match="more than 1 value per channel"):
        step(np.ones((1, 3), "float32"))


def test_a_trace_that_left_statistics_behind() -> None:
    norm, x = nn.BatchNorm1d(3, dtype="float64"), gc.input("x", ("n", 3))

    @gc.compile
    def first(a: Any) -> Any:
        return gc.sum(norm(a))

    first(np.ones((2, 3)))
    y = norm(x)
    with pytest.raises(gc.InputError) as info:
        gc.compile([x], y, updates=norm.updates())
    assert text_of(info.value) == (
        "an output depends on an input that is not listed: got 'a', expected inputs=[..., a]\n  created at LINE\n"
        "  hint: 'a' is an argument of first, whose trace is another graph; the update of 'running_mean' is of a "
        "module in train mode that first called, as batch norm is: call model.eval() before first, or "
        "model.updates() once after it"
    )
    y = norm(x)
    assert gc.compile([x], y, updates=norm.updates())(np.ones((2, 3))).shape == (2, 3), "updates() was called since"


# names


class Net(nn.Module):
    def __init__(self) -> None:
        self.fc = nn.Linear(2, 2)

    def head(self, x: Any) -> Any:
        return x


def one() -> nn.Linear:
    return nn.Linear(2, 2)


UNDOTTED = "expected a name without dots, which join the names of what is nested"
NAMES: dict[str, tuple[Callable[[Net], Any], str]] = {
    "keys alike": (
        lambda net: setattr(net, "d", {1: one(), "1": one()}),
        "two parts of a module with one name: got self.d[1] and self.d['1'], expected keys of different texts",
    ),
    "a key with a dot": (
        lambda net: setattr(net, "d", [{"a.b": one(), "a": {"b": one()}}]),
        f"bad name in a module: got self.d[0]['a.b'], {UNDOTTED}\n"
        "  hint: state_dict could not tell it from self.d[0]['a']['b']",
    ),
    "an empty key": (
        lambda net: setattr(net, "d", {"": one()}),
        "bad name in a module: got self.d[''], expected a key with letters",
    ),
    "an attribute with a dot": (
        lambda net: setattr(net, "fc.weight", nn.Parameter([1.0])),
        f"bad name in Net: got 'fc.weight', {UNDOTTED}\n  hint: state_dict could not tell it from self.fc.weight",
    ),
    "an empty name": (
        lambda net: net.add_module("", one()), "bad name in Net: got '', expected a name with letters",
    ),
    "a method": (
        lambda net: net.register_parameter("head", nn.Parameter([1.0])),
        "bad name in Net: got 'head', expected a name that is not a method of it\n  hint: it would replace Net.head",
    ),
    "modules in a list": (
        lambda net: setattr(net, "children", [one()]),
        "bad name in Net: got 'children', expected a name that is not a method of it\n"
        "  hint: it would replace Net.children",
    ),
    "forward": (
        lambda net: nn.Sequential({"forward": one()}),
        "bad name in Sequential: got 'forward', expected a name that is not a method of it\n"
        "  hint: it would replace Sequential.forward",
    ),
    "training": (
        lambda net: nn.ModuleDict({"training": one()}),
        "bad name in ModuleDict: got 'training', expected a name that modules do not use themselves",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    call, text = NAMES[name]
    net = Net()
    with pytest.raises(gc.InputError) as info:
        call(net)
    assert without_line(info.value) == text
    assert list(net.state_dict()) == ["fc.weight", "fc.bias"], "what was refused is not in the module"


@pytest.mark.parametrize("name", ["keys", "items", "updates", "state_dict", "values", "train"])
def test_names_of_methods(name: str) -> None:
    with pytest.raises(gc.InputError, match=f"it would replace ModuleDict.{name}"):
        nn.ModuleDict({name: one()})


def test_keys_that_a_dict_got_later() -> None:
    net = Net()
    net.d = {1: one()}
    net.d["1"] = one()
    with pytest.raises(gc.InputError, match=r"one name: got self.d\[1\] and self.d\['1'\]"):
        net.state_dict()


def test_other_names_stay_free() -> None:
    """Numbers, what is no module, and attributes of a class that are no methods."""
    net = Net()
    net.layers = {0: one(), 2: [one()]}
    net.options = {"a.b": 1, 1: "x", "1": "y"}
    assert [name for name, _ in net.named_children()] == ["fc", "layers.0", "layers.2.0"]


# states are read and set between two steps


def test_a_state_is_set_while_no_step_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """All guards are held while the first param is written, as another thread sees."""
    net, free = Net(), []
    write = ParamState.write

    def asks(self: ParamState, value: np.ndarray) -> None:
        def ask() -> None:
            for own in net.parameters():
                got = own.state.guard.turn.acquire(blocking=False)
                free.append(got)
                if got:
                    own.state.guard.turn.release()

        other = threading.Thread(target=ask)
        other.start()
        other.join()
        write(self, value)

    values = {name: np.zeros_like(value) for name, value in net.state_dict().items()}
    monkeypatch.setattr(ParamState, "write", asks)
    net.load_state_dict(values)
    assert free == [False] * 4
    assert not any(value.any() for value in net.state_dict().values())


def test_a_state_is_of_one_whole_step() -> None:
    """Threads take turns so often here that a step would come between two params."""
    net = nn.Module()
    net.all = [nn.Parameter(np.zeros(100)) for _ in range(50)]
    step = gc.compile([], [], updates={own: own + 1.0 for own in net.parameters()})
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            step()

    thread, interval = threading.Thread(target=work), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for k in range(100):
            state = net.state_dict()
            assert len({float(x) for value in state.values() for x in value}) == 1
            net.load_state_dict({name: np.full(100, float(k)) for name in state})
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()
    assert len({float(x) for value in net.state_dict().values() for x in value}) == 1


# numbers of classes and rows


def test_numbers_out_of_range_are_told_as_they_were_given() -> None:
    table, scores = nn.Embedding(5, 2, seed=0), np.ones((2, 3), "float32")
    i, x, t = gc.input("i", ("n",), "int64"), gc.input("x", ("n", 3), "float32"), gc.input("t", ("n",), "int8")
    rows = gc.compile([i], table(i))
    loss = gc.compile([x, t], nn.cross_entropy(x, t, np.ones(3, "float32")))
    for bad in (-1, -7, 5, 100):
        for call, size, dtype in (
            (lambda k: table(eager.tensor(k)), 5, "int64"),
            (lambda k: nn.cross_entropy(eager.tensor(scores), eager.tensor(k)), 3, "int64"),
            (lambda k: nn.nll_loss(eager.tensor(scores), eager.tensor(k)), 3, "int32"),
        ):
            with pytest.raises(gc.OutOfBoundsError) as info:
                call(np.array([0, bad], dtype))
            assert text_of(info.value) == f"index out of range: got {bad}, expected 0 <= index < {size}\n  at LINE"
        labels = "\n  hint: 't' holds numbers of classes, of which there are 3: 0 to 2"
        for step, size, of, hint in ((rows, 5, "i", ""), (lambda k: loss(scores, k.astype("int8")), 3, "t", labels)):
            with pytest.raises(gc.OutOfBoundsError) as info:
                step(np.array([0, bad]))
            assert text_of(info.value) == (
                f"index out of range in gather: got index {bad} in {of!r}, expected 0 <= index < {size}\n"
                f"  created at LINE{hint}"
            )


def test_rows_that_a_narrow_integer_cannot_count() -> None:
    """200 as int8 would be -56, which would count from the end."""
    table = nn.Embedding(200, 1, seed=0)
    assert table(eager.tensor(np.array([127], "int8"))).shape == (1, 1)
    with pytest.raises(gc.OutOfBoundsError, match="got -56, expected 0 <= index < 200"):
        table(eager.tensor(np.array([-56], "int8")))


def test_a_number_of_classes_that_is_named() -> None:
    x, t = gc.input("x", ("n", "c")), gc.input("t", ("n",), "int64")
    step = gc.compile([x, t], nn.cross_entropy(x, t))
    assert step(np.zeros((2, 4)), np.array([3, 0])) == pytest.approx(np.log(4))
    with pytest.raises(gc.OutOfBoundsError, match="got index 4 in 't', expected 0 <= index < 4"):
        step(np.zeros((2, 4)), np.array([4, 0]))


# shapes and arguments

MHA = nn.MultiheadAttention(4, 2, batch_first=True, seed=0)
OTHER = nn.MultiheadAttention(4, 2, seed=0)
B, N = eager.ones(2, 5, 4), gc.input("q", ("n", 5, 4), "float32")
ONE = eager.ones(1, 5, 4)
NAME = "MultiheadAttention(4, 2)"
SHAPES: dict[str, tuple[Callable[[], Any], str]] = {
    "keys": (
        lambda: MHA(B, ONE, ONE),
        f"bad shape for the keys of {NAME}: got float32[1, 5, 4], expected the batch of the queries = 2 on its axis 0",
    ),
    "keys behind": (
        lambda: OTHER(eager.ones(5, 2, 4), eager.ones(5, 1, 4), eager.ones(5, 1, 4)),
        f"bad shape for the keys of {NAME}: got float32[5, 1, 4], expected the batch of the queries = 2 on its axis 1",
    ),
    "keys of a named batch": (
        lambda: MHA(N, gc.input("k", (1, 5, 4), "float32"), N),
        f"bad shape for the keys of {NAME}: got k: float32[1, 5, 4], expected the batch of the queries = n on its "
        "axis 0",
    ),
    "values": (
        lambda: MHA(B, B, ONE),
        f"bad shape for the values of {NAME}: got float32[1, 5, 4], expected the batch of the queries = 2 on its "
        "axis 0",
    ),
    "as many values": (
        lambda: MHA(B, B, eager.ones(2, 1, 4)),
        f"bad shape for the values of {NAME}: got float32[2, 1, 4], expected the number of keys = 5 on its axis 1",
    ),
    "padding": (
        lambda: MHA(B, B, B, eager.zeros(1, 5, dtype="bool")),
        f"bad shape for key_padding_mask of {NAME}: got bool[1, 5], expected the batch of the queries = 2 on its "
        "axis 0",
    ),
    "mask": (
        lambda: MHA(B, B, B, attn_mask=eager.zeros(1, 5)),
        f"bad shape for attn_mask of {NAME}: got float32[1, 5], expected the number of queries = 5 on its axis -2",
    ),
    "state": (
        lambda: nn.LSTM(4, 3)(eager.ones(5, 2, 4), (eager.ones(1, 1, 3), eager.ones(1, 2, 3))),
        "bad shape for the state of LSTM(4, 3): got float32[1, 1, 3], expected the batch of x = 2 on its axis 1",
    ),
    "state of a named batch": (
        lambda: nn.GRU(4, 3)(gc.input("x", (5, "n", 4), "float32"), gc.input("h", (1, 1, 3), "float32")),
        "bad shape for the state of GRU(4, 3): got h: float32[1, 1, 3], expected the batch of x = n on its axis 1",
    ),
    "ignored probabilities": (
        lambda: nn.cross_entropy(eager.ones(2, 3), eager.ones(2, 3), ignore_index=1),
        "bad ignore_index= of cross_entropy: got 1, expected none where targets are probabilities\n"
        "  hint: weight the losses of reduction='none' instead",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_is_stretched_or_ignored(name: str) -> None:
    call, text = SHAPES[name]
    with pytest.raises((gc.ShapeError, gc.InputError)) as info:
        call()
    assert without_line(info.value) == text


def test_batches_of_two_names_are_compared_by_the_call() -> None:
    k = gc.input("k", ("m", 5, 4), "float32")
    step = gc.compile([N, k], MHA(N, k, k)[0])
    two = np.ones((2, 5, 4), "float32")
    assert step(two, two).shape == (2, 5, 4)
    with pytest.raises(gc.ShapeError, match="m = 1"):
        step(two, two[:1])


def test_float_targets_where_numbers_of_classes_are_meant():
    scores, t = gc.input("scores", ("n", 10), "float32"), gc.input("t", ("n",), "float32")
    with pytest.raises(gc.ShapeError) as caught:
        gc.nn.cross_entropy(scores, t)
    assert "expected integers, one for each row of scores, or probabilities of the shape of the scores" in str(
        caught.value
    )
    assert str(caught.value).endswith("hint: numbers of classes: t.astype('int64')")
