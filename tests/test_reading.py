"""What the source and the reports of a network say, none of it compiled: counts, sections, names, comments, layers."""

from __future__ import annotations

import functools
import inspect
import math
import pickle
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from test_document import Document, check, reading

import graphc as gc
from graphc import nn
from graphc.codegen.cpu import print_program
from graphc.codegen.scalar import FLOAT_FUNCTIONS, literal_text
from graphc.inspect.numbers import explained
from graphc.inspect.source import wrapped
from graphc.inspect.views import Reading
from graphc.ir.graph import Graph
from graphc.passes.pipeline import optimise
from graphc.schedule.plan import make_plan
from graphc.step import mark_updates


def read(inputs: list[gc.Tensor], outputs: object, updates: dict | None = None) -> Reading:
    """What a step of this would say of itself."""
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return reading(mark_updates(Graph(inputs, outputs, list((updates or {}).items()))))


@pytest.fixture(scope="module")
def network() -> Reading:
    """A step that trains a network with batch norm and dropout by AdamW."""
    model = nn.Sequential(
        nn.Linear(8, 4, seed=0), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.1, seed=0), nn.Linear(4, 3, seed=1)
    )
    x, t = gc.input("x", ("batch", 8), "float32"), gc.input("t", ("batch",), "int64")
    scores = model(x)
    loss = nn.cross_entropy(scores, t)
    opt = gc.optim.AdamW(model.parameters(), lr=0.01)
    return read([x, t], [loss], {**opt.minimize(loss), **model.updates()})


def test_source_and_report_count_alike(network: Reading) -> None:
    """Kernels as they are defined, calls as a step makes them, and the bytes of all of these, whatever their sizes."""
    [kernels, calls] = re.findall(r"^ops .* in (\d+) kernels, (\d+) calls$", network.source, re.MULTILINE)[0]
    [moved] = re.findall(r"^memory +(.*) bytes", network.source, re.MULTILINE)
    assert str(network.kernels).startswith(f"{kernels} kernels, {calls} calls a step, {moved} bytes read and written\n")
    assert network.source.count("\ndef k") == int(kernels) < int(calls) == network.kernels.launches
    several = [k for k in network.kernels if k.moved != k.calls * k.bytes]
    assert several and "on arrays of several sizes" in str(several[0])
    assert all(isinstance(k.moved, int) for k in network.kernels.at(batch=10))


def test_an_update_without_a_gradient_is_one() -> None:
    """What only new values of params need is the update, as in a step that takes a gradient; what an output needs is
    not, nor what a derivative does."""
    x = gc.input("x", "n")
    t, c, w = gc.param(0.0, name="t"), gc.param(0.0, name="c"), gc.param(1.0, name="w")
    total = gc.sum(x)
    found = read([x], total, {t: t + total, c: c + 1.0})
    assert "ops      3 (1 forward, 2 update) in" in found.source
    assert re.search(r"# ---- forward \+ update -+\n", found.source)
    loss = gc.mean((w * x) ** 2)
    learned = read([x], [], {w: w - 0.1 * gc.grad(loss, w)}).source
    assert [int(n) for n in re.findall(r"(\d+) (?:forward|backward|update)", learned)][2] == 2
    alone = read([x], gc.exp(x), {w: gc.mean(x) * w}).source
    assert "(1 forward, 3 update)" in alone


def test_names_say_what_values_are(network: Reading) -> None:
    """The name of an expression goes to its value, not to the state that a layer moves meanwhile; a size that is made
    a float is one; a place is no derivative; and a derivative has a name, even where only its shape changes."""
    source = network.source
    assert "_1_num_batches_tracked_new = _1_num_batches_tracked + 1 " in source
    assert "scores = scores_product_2[i, j]" in source and "batch_float32 = float32(batch)" in source
    assert "batch_int64" not in source and "check_size" not in source
    assert re.search(r"scores_mean(_\d)? = scores_total\[[ij]\] / batch_float32", source)
    assert "loss_place[i] = " in source and not re.search(r"_bar\w*: out\(int64", source)
    assert "adjoint" not in source


def test_a_condition_of_a_derivative_is_not_called_one() -> None:
    good, bad = gc.input("good", "n"), gc.input("bad", "n")
    source = read([good, bad], gc.grad(gc.sum(gc.logaddexp(good, bad)), good)).source
    for name, value in re.findall(r"(\w+_bar\w*) = (.*)", source):
        assert not re.search(r"^[^?]*(==|<=|>=|&)", value) or "select(" in value, (name, value)


def test_comments_name_layers(network: Reading) -> None:
    """Forward and backward: every statement of a layer says which, as the user would write it."""
    kernels = network.source.split("# ---- forward", 1)[1].split("# ---- step")[0]
    for text in ("model[0] Linear", "model[1] BatchNorm1d", "model[2] ReLU", "model[3] Dropout", "model[4] Linear"):
        assert re.search(rf"# test_reading.py:\d+  {re.escape(text)}$", kernels, re.MULTILINE), text
        assert f"# grad of: {text}\n" in kernels or text == "model[3] Dropout"
    assert "model(x)" not in kernels
    assert "(model[0], model[1]" in network.kernels[0].serves


class Block(nn.Module):
    def __init__(self) -> None:
        self.fc = nn.Linear(4, 4, seed=0)

    def forward(self, x: gc.Tensor) -> gc.Tensor:
        return gc.tanh(self.fc(x)) * 2


class Net(nn.Module):
    def __init__(self) -> None:
        self.blocks = [Block(), Block()]

    def forward(self, x: gc.Tensor) -> gc.Tensor:
        for block in self.blocks:
            x = block(x)
        return nn.Linear(4, 1, seed=2)(x)


def test_comments_name_layers_in_layers() -> None:
    """Whoever called the model, and in what; a line of the user's own `forward` is shown, and whose it is."""
    x = gc.input("x", ("n", 4), "float32")
    net = Net()
    for call, name in [(net, "call"), (lambda x: net.eval()(x), "net"), (functools.partial(gc.trace, net), "Net")]:
        made = call(x)
        source = (reading(made) if name == "Net" else read([x], made)).source
        assert f"{name}.blocks[0].fc Linear" in source and f"{name}.blocks[1].fc Linear" in source
        assert f"return gc.tanh(self.fc(x)) * 2, in {name}.blocks[1]" in source
        assert f"{name}.Linear Linear" in source
    loss = gc.sum(net(x))
    source = read([x], gc.grad(loss, x)).source
    assert re.search(r"# grad of: gc.tanh\(self.fc\(x\)\)( \* 2)?, in net.blocks\[0\]\n", source)
    assert pickle.loads(pickle.dumps(loss)).origin.lines[0].layer == loss.origin.lines[0].layer is None
    assert loss.inputs[0].origin.lines[0].layer.path == ".Linear"


def test_constants_are_written_as_people_know_them(network: Reading) -> None:
    """The bound that random bits are compared with, what dropout divides by, and what takes an index out of range;
    and values of the library's own are called what they are."""
    source = network.source
    assert "scores_kept[i, j] = scores_bits < uint64(0.9 * 2**53)" in source
    assert "* float32(1 / 0.9)" in source
    assert "loss_ignored = t_i == -100" in source and "loss_label = select(loss_ignored, 0, t_i)" in source
    assert "loss_refused = loss_label - 2**62" in source
    before = re.sub(r"^key .*$", "", source.split("# ---- step")[0], flags=re.M)  # which may have any digits
    assert "key" in source and not re.search(r"\d{11}", before)
    key = gc.random.Key(0)
    drawn = read([], [gc.random.uniform(key, (3,)), gc.random.uniform(key, (3,))]).source.split("# ---- step")[0]
    assert "2**48" in drawn and "2.0**-53" in drawn and not re.search(r"\d{11}", drawn)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_constant_written_otherwise_is_the_same(dtype: str, rng: np.random.Generator) -> None:
    """Whatever the number: what is shown for it has its very value."""
    shares = rng.integers(1, 10000, 200) / 10000
    numbers = [*(1 / shares), *shares, *(2.0 ** rng.integers(-60, 60, 50)), *rng.standard_normal(200)]
    for number in numbers:
        text = literal_text(np.dtype(dtype).type(number), np.dtype(dtype))
        shown = explained(f"x * {text}").removeprefix("x * ")
        typed = getattr(np, dtype)
        assert typed(eval(shown, {"float32": np.float32})) == typed(eval(text, {"float32": np.float32})), (text, shown)
    for share in (*shares.tolist(), 0.9, 0.75):
        text = f"uint64({math.ceil(share * 2.0**53)})"
        assert eval(explained(text), {"uint64": np.uint64}) == math.ceil(share * 2.0**53), text
    assert (
        explained(f"y = {2**62 - 1} + x_1000000000 + uint64({2**63})")
        == f"y = {2**62 - 1} + x_1000000000 + uint64(2**63)"
    )


def test_helpers_do_what_they_say() -> None:
    """In the document, an index out of range, a nan that is refused and a product with zeros end as in a step."""
    x, w = gc.input("x", ("n", 3)), gc.input("w", (3, 3))
    t = gc.input("t", "n", "int64")
    loss = gc.sum(gc.where(x > 0, gc.exp(x) @ w, 0.0)) + gc.sum(gc.take(x, t, axis=0))
    weights = np.array([[1.0, np.inf, 0.5], [2.0, 1.0, -1.0], [0.25, 1.0, 3.0]])
    arrays = [np.array([[1.0, -2.0, 0.5], [0.5, 800.0, -1.0]]), weights, np.array([0, -1])]
    outputs = [loss, gc.grad(loss, x), gc.grad(loss, w)]
    check([x, w, t], arrays, outputs, {"n": 2})
    read = reading(Graph([x, w, t], outputs))
    assert re.search(r"mended_whole\(.*, left_zeros=True, right_zeros=False\)", read.source)
    document = Document(read, {"n": 2})
    assert document.globals["wrap"](-2, 2) == 0
    with pytest.raises(IndexError):
        document.globals["wrap"](2, 2)
    plan = make_plan(optimise(Graph([x], [gc.log(x)]))[0], check="nan")
    finite = Document(Reading(plan, print_program(plan), Graph([x], [gc.log(x)])), {"n": 2}).globals["check_finite"]
    finite(arrays[0])
    with pytest.raises(FloatingPointError):
        finite(np.array([1.0, np.nan]))


_LINES = """
import graphc as gc
x, y = gc.input("x", ("n",)), gc.input("y", ("n",))
w = gc.param(1.0, name="w")
loss = gc.mean(
    (w * x
     - y) ** 2
)
def bent(x):
    return gc.exp(
        x + 1
    )
outputs = [loss, bent(x), gc.grad(loss, w)]
"""


def test_expressions_over_several_lines(tmp_path: Path) -> None:
    """Comments have the whole of them, at the line where they begin, and what serves a mean is of the mean's line."""
    (tmp_path / "long.py").write_text(_LINES)
    made = runpy.run_path(str(tmp_path / "long.py"))
    source = read([made["x"], made["y"]], made["outputs"]).source
    assert "# long.py:5  loss = gc.mean((w * x - y) ** 2)\n" in source
    assert "# long.py:10  return gc.exp(x + 1)\n" in source
    assert "# grad of: gc.mean((w * x - y) ** 2)\n" in source
    assert re.search(r"n_float64 = float64\(n\) +# long.py:5\b", source)
    for comment in re.findall(r"# (.*)", source):
        assert all(comment.count(a) == comment.count(b) for a, b in ("()", "[]")), comment


_UNPACKED = """
import graphc as gc
t = gc.input("t", ("n",))
p = gc.param([1.0, 2.0, 3.0, 4.0], name="p")
a, tau, *rest = p
[first, second], q = rest, a * tau
signal = a * gc.exp(-t / tau) + first * second
outputs = [gc.sum(signal), gc.grad(gc.sum(signal), p), q]
"""


def test_parts_that_were_unpacked_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(_UNPACKED)
    made = runpy.run_path(str(tmp_path / "parts.py"))
    graph = str(Graph([made["t"]], made["outputs"]))
    assert re.search(r"\ba: float64\[1\] = slice", graph) and re.search(r"\btau: float64\[1\] = ", graph)
    source = read([made["t"]], made["outputs"]).source.split("# ---- step")[0]
    assert re.search(r"\ba_bar\w* (\+)?= ", source) and re.search(r"\btau_bar\w* (\+)?= ", source)
    assert re.search(r"/ tau\b", source) and "p_1" not in source
    assert "tau = p[1]" in source and "# grad of: tau" in source


def test_long_statements_are_cut_where_operators_bind_least() -> None:
    long = " + ".join(f"some_quite_long_name_{k}" for k in range(3))
    [head, *pieces, tail] = [line.code for line in wrapped("    ", f"found = {long} < {long} - {long}", "")]
    assert (head, tail) == ("    found = (", "    )")
    assert pieces == [f"        {long}", f"        < {long} - {long}"]


def test_helpers_with_numbers_say_what_these_are() -> None:
    """A function of the vector math that kernels call by name begins with a comment, if it has numbers to explain."""
    for function in {f.definition for f in FLOAT_FUNCTIONS.values()}:
        head, *body = inspect.getsource(function).splitlines()
        if re.search(r"\d{3}", "".join(body)):
            assert body[0].startswith("    # ") or "# " in head, function.__name__
