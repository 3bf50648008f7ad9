"""Certificates: what they check, what they skip, and that whatever is wrong is found and named."""

from __future__ import annotations

import gc as collector
import pickle
import runpy
import sys
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wrong_rules import broken

import graphc as gc
from graphc.autodiff import records
from graphc.ir.graph import Graph
from graphc.ops.table import OPS
from graphc.passes import pipeline
from graphc.passes.rules import Rule, rewrite
from graphc.verify import graphs, numeric
from graphc.verify.certificate import Certificate, Check, Kink
from graphc.verify.shrink import shrink, sizes_for

_STAGES = [
    "backward graph against sympy.diff",
    "backward graph against differences",
    "after each pass",
    "full size against differences",
    "forward mode against reverse mode",
]


def line_fit() -> tuple[Any, Any, Any, Any, Any]:
    x, y = gc.input("x", ("n",)), gc.input("y", ("n",))
    w, b = gc.param(1.0, name="w"), gc.param(0.0, name="b")
    return x, y, w, b, gc.mean((w * x + b - y) ** 2)


def all_passed(certificate: Certificate) -> None:
    assert certificate.skipped == ()
    assert [c.what for c in certificate.checks] == [*_STAGES, "compiled against reference"]


# what is certified


def test_a_polynomial_loss_is_proven() -> None:
    _, _, w, b, loss = line_fit()
    found = gc.verify(loss, [w, b])
    all_passed(found)
    assert found.checks[0].how == "algebra"
    assert found.checks[0].count == 2
    assert found.checks[1].error < 1e-25
    assert found.sizes == {"n": 2}
    assert found.kinks == ()


def softmax_loss() -> Any:
    x = gc.input("x", ("batch", 784), "float32")
    t = gc.input("t", ("batch",), "int64")
    w, b = gc.param(np.zeros((784, 10), "float32"), name="w"), gc.param(np.zeros(10, "float32"), name="b")
    z = x @ w + b
    z = z - gc.max(z, axis=1, keepdims=True)
    rows = gc.log(gc.sum(gc.exp(z), axis=1)) - gc.take_along_axis(z, t[:, None], axis=1)[:, 0]
    return gc.mean(rows), [w, b]


def test_large_fixed_dims_shrink() -> None:
    found = gc.verify(*softmax_loss())
    all_passed(found)
    assert found.sizes == {"batch": 2, "784": 2, "10": 3}
    assert [k.op for k in found.kinks] == ["max"]
    assert found.error < 1e-4


def _layer_norm() -> Any:
    a, w = gc.input("a", ("n", 4)), gc.param(np.ones(4), name="w")
    spread = gc.sqrt(gc.var(a, axis=1, keepdims=True) + 1e-5)
    return gc.sum(((a - gc.mean(a, axis=1, keepdims=True)) / spread * w) ** 3), [a, w]


def _sorted_products() -> Any:
    x = gc.input("x", ("n",))
    return gc.sum(gc.cumulative_prod(gc.sort(x))[1:]), x


def _second_order() -> Any:
    x = gc.input("x", ("n",))
    return gc.sum(gc.grad(gc.sum(gc.sin(x) * x**3), x) * x), x


def _held() -> Any:
    x = gc.input("x", ("n",))
    return gc.sum(gc.stop_gradient(x * 2) * x**2), x


def _equal_names() -> Any:
    x, y = gc.input("x", ("n",)), gc.input("y", ("m",))
    return gc.sum(x * y), [x, y]


def _needs_positive() -> Any:
    x = gc.input("x", ("n",))
    return gc.sum(gc.log(x) + gc.acosh(x)), x


def _inner_tensor() -> Any:
    a, w = gc.input("a", ("n", 2)), gc.param(np.ones(2), name="w")
    h = gc.tanh(a @ w)
    return gc.sum(h * h + a[:, 0] * h), [h, a]


def _gathered() -> Any:
    w, k, x = gc.param(np.ones(4), name="w"), gc.input("k", ("n",), "int64"), gc.input("x", ("n",))
    return gc.sum(gc.take(w, k) * x), [w, x]


def _independent() -> Any:
    return gc.prod(gc.input("z", (3,))), gc.input("q", (2,))


def _matrix_valued() -> Any:
    x = gc.input("x", (2, 2))
    return x @ x, {"x": x}


_GRAPHS = (_layer_norm, _sorted_products, _second_order, _held, _equal_names, _needs_positive, _inner_tensor)


@pytest.mark.parametrize("make", [*_GRAPHS, _gathered, _independent, _matrix_valued], ids=lambda f: f.__name__)
def test_graphs(make: Any) -> None:
    all_passed(gc.verify(*make()))


def test_kinks_name_op_and_line() -> None:
    x = gc.input("x", ("n",))
    found = gc.verify(gc.sum(gc.abs(x) + gc.where(x > 0, gc.sqrt(x), 0.0) + gc.maximum(x, 0.5)), x)
    assert [k.op for k in found.kinks] == ["abs", "sqrt", "where", "maximum"]
    assert all(k.line.startswith("test_verify.py:") for k in found.kinks)
    assert "half to each where they are equal" in str(found)


# what is skipped


def test_a_small_budget_is_said_to_be_spent() -> None:
    _, _, w, b, loss = line_fit()
    few = gc.verify(loss, [w, b], terms=5)
    assert [c.what for c in few.skipped] == [_STAGES[0]]
    assert few.skipped[0].how.endswith("terms, more than 5")
    none = gc.verify(loss, [w, b], seconds=0.0)
    assert {c.what for c in none.skipped} == set(_STAGES[:3])
    assert {c.how for c in none.skipped} == {"no time left"}


# derivatives of the users' own


def clip_rule(ct: Any, x: Any) -> Any:
    return gc.clip(ct, -1.0, 1.0)


def test_a_surrogate_is_named_and_left_alone() -> None:
    x = gc.input("x", ("n",))
    clipped = gc.custom_gradient(lambda x: x, clip_rule, surrogate=True)
    y = gc.sum(clipped(x) ** 2)
    found = gc.verify(y, x)
    assert [c.status for c in found.checks] == ["skipped", "skipped", "passed", "skipped", "skipped", "passed"]
    assert found.skipped[0].how.startswith("clip_rule (custom_gradient) at test_verify.py:")
    assert found.skipped[0].how.endswith(" is declared a surrogate: its derivative is not that of its value")
    (line,) = [line for line in str(found).splitlines() if line.startswith("  custom  ")]
    start, end = line.split(" at test_verify.py:")
    assert start == "  custom  clip_rule"
    assert end.endswith(": NOT compared with SymPy, nor with differences: it is declared a surrogate")
    step = gc.compile([x], gc.grad(y, x))
    assert step.verify().custom == pickle.loads(pickle.dumps(step)).certificate.custom == found.custom
    assert gc.Certificate.from_json(found.to_json()) == found


def test_a_surrogate_is_none_of_a_gradient_that_does_not_pass_through_it() -> None:
    x, w = gc.input("x", ("n",)), gc.param(0.5, name="w")
    clipped = gc.custom_gradient(lambda x: x * 3.0, clip_rule, surrogate=True)
    all_passed(gc.verify(gc.sum(w**2 * clipped(x)), w))
    held = gc.verify(gc.sum(w**2 * gc.stop_gradient(clipped(w * x))), w)
    assert [c.what for c in held.skipped] == ["forward mode against reverse mode"] and held.custom == ()
    inside = gc.custom_gradient(lambda x: gc.sin(clipped(x)), lambda ct, x: 3.0 * ct * gc.cos(3.0 * x))
    found = gc.verify(gc.sum(inside(x)), x)
    assert [c.compared for c in found.custom] == ["compared with SymPy, compared with differences"]


def two(a: Any, b: Any, k: Any) -> Any:
    return a * b + gc.astype(k, "float64"), gc.exp(a)


def two_rule(ct: Any, a: Any, b: Any, k: Any) -> Any:
    return ct[0] * b + ct[1] * gc.exp(a), ct[0] * a, None


def two_wrong(ct: Any, a: Any, b: Any, k: Any) -> Any:
    return ct[0] * b + ct[1] * gc.exp(a), ct[0] * a * 1.001, None


def two_outputs(rule: Any, same: bool = False) -> tuple[Any, Any]:
    x, k, w = gc.input("x", ("n",)), gc.input("k", ("n",), "int64"), gc.param(0.5, name="w")
    y, z = gc.custom_gradient(two, rule)(w * x, w * x if same else gc.sin(x), k)
    return gc.sum(y * z), [w, x]


@pytest.mark.parametrize("same", [False, True])
def test_a_right_rule_of_the_users_is_certified(same: bool) -> None:
    found = gc.verify(*two_outputs(two_rule, same))
    assert [c.what for c in found.skipped] == ["forward mode against reverse mode"]
    assert found.skipped[0].how.startswith("no forward derivative through custom")
    assert [(c.rule, c.compared) for c in found.custom] == [
        ("two_rule", "compared with SymPy, compared with differences")
    ]


@pytest.mark.parametrize("same", [False, True])
def test_a_wrong_rule_of_the_users_is_found(same: bool) -> None:
    with pytest.raises(gc.VerificationError) as caught:
        gc.verify(*two_outputs(two_wrong, same))
    first, at, hint = str(caught.value).splitlines()
    assert first.startswith(f"the derivative rule two_wrong of custom_gradient is wrong for argument {int(not same)}: ")
    assert "k: int64[2] = [" in first
    assert "gc.custom_gradient(two, rule)" in at
    assert hint.strip().startswith("hint: found while verifying the gradient of a loss made at test_verify.py:")
    assert hint.endswith(
        "; if it is meant to differ, as a straight-through estimator is: gc.custom_gradient(..., surrogate=True)"
    )


def test_a_straight_through_estimator_has_to_be_declared() -> None:
    x = gc.input("x", ("n",))
    for surrogate in (False, True):
        rounded = gc.custom_gradient(surrogate=surrogate, backward=lambda ct, x: ct)(gc.round)
        step = gc.compile([x], gc.grad(gc.sum(rounded(x * 3.0) * x), x))
        if surrogate:
            assert "NOT compared with SymPy" in str(step.verify())
        else:
            with pytest.raises(gc.VerificationError, match=r"of custom_gradient is wrong for argument 0: got .*\n.*\n.*"
                               r"gc.custom_gradient\(..., surrogate=True\)$"):  # fmt: skip
                step.verify()


def test_a_user_function_that_holds_something_is_compared_by_differences() -> None:
    """What is held inside a user's function moves: the rule is that of the value. Outside it stays."""
    x = gc.input("x", ("n",))

    def forward(x: Any) -> Any:
        return gc.exp(x) * gc.stop_gradient(x)

    def right(ct: Any, x: Any) -> Any:
        return ct * gc.exp(x) * (1.0 + x)

    def wrong(ct: Any, x: Any) -> Any:
        return ct * gc.exp(x) * x

    y = gc.sum(gc.custom_gradient(forward, right)(x) * gc.stop_gradient(x * x))
    (found,) = gc.verify(y, x).custom
    assert found.compared.startswith("NOT compared with SymPy (")
    assert found.compared.endswith("has gc.stop_gradient in its forward function), compared with differences")
    with pytest.raises(gc.VerificationError, match=r"wrong of custom_gradient is wrong for argument 0"):
        gc.verify(gc.sum(gc.custom_gradient(forward, wrong)(x)), x)


def test_a_rule_that_was_compared_with_less_says_so() -> None:
    (found,) = gc.verify(*two_outputs(two_rule), seconds=0.0).custom
    assert found.compared == "NOT compared with SymPy (no time left), compared with differences"
    x = gc.input("x", ("n",))
    root = gc.custom_gradient(lambda x: gc.sqrt(x - 100.0), lambda ct, x: ct)
    (found,) = gc.verify(gc.sum(root(x)), x).custom
    reason = "(no point was found at which everything is finite; give values=)"
    assert found.compared == f"NOT compared with SymPy {reason}, NOT compared with differences {reason}"


def test_a_rule_of_samples() -> None:
    m = gc.input("m", (3, 2))
    for factor, fits in ((1.0, True), (2.0, False)):
        f = gc.custom_gradient(lambda v: gc.sum(v**3), lambda ct, v, c=factor: ct * c * 3.0 * v**2)
        y = gc.sum(gc.vmap(f)(m))
        if fits:
            assert [c.compared for c in gc.verify(y, m).custom] == ["compared with SymPy, compared with differences"]
        else:
            with pytest.raises(gc.VerificationError, match="of samples of custom_gradient is wrong for argument 0"):
                gc.verify(y, m)


def test_of_a_matrix_every_entry_of_the_jacobian_counts() -> None:
    """A rule whose errors cancel in the sum of all outputs is found all the same."""
    x = gc.input("x", (2,))
    f = gc.custom_gradient(gc.sin, lambda ct, x: ct * gc.cos(x) + (ct[0] - ct[1]))
    all_compared = "compared with SymPy, compared with differences"
    assert [c.compared for c in gc.verify(gc.sum(f(x)), x).custom] == [all_compared]
    with pytest.raises(gc.VerificationError, match="of custom_gradient is wrong for argument 0"):
        gc.verify(f(x), x)


def test_no_point_where_it_is_a_number() -> None:
    x = gc.input("x", ("n",))
    found = gc.verify(gc.sum(gc.log(x - 100.0)), x)
    assert found.skipped[0].how == "no point was found at which everything is finite; give values="
    all_passed(gc.verify(gc.sum(gc.log(x - 100.0)), x, values={x: np.array([101.5, 103.0, 102.0])}))


def test_a_jump_at_the_point_is_no_failure() -> None:
    x = gc.input("x", ("n",))
    found = gc.verify(gc.sum(gc.floor(x) * x), x, values={x: np.array([1.0, 2.5, 3.5])})
    assert "at the point the loss jumps or bends" in {c.how[:36] for c in found.skipped}


# wrong rules, passes and code are named


def network() -> tuple[Any, Any, Any]:
    x, w = gc.input("x", ("n",)), gc.param(1.0, name="w")
    h = gc.tanh(w * x)
    return x, w, gc.mean((h + gc.exp(x) * w) ** 2)


def test_a_wrong_rule_is_found_in_a_graph() -> None:
    x, w, loss = network()
    with broken(OPS["tanh"]), pytest.raises(gc.VerificationError) as caught:
        gc.verify(loss, [w, x])
    text = str(caught.value)
    assert text.startswith("the derivative rule of tanh is wrong for operand 0: got -0.07760399143 ")
    assert "for operand 0: float64[2] = [" in text
    assert ", expected 0.07760399143\n" in text
    assert "h = gc.tanh(w * x)" in text
    assert "hint: found while verifying the gradient of a loss made at test_verify.py:" in text


def test_a_wrong_rule_is_found_in_a_step() -> None:
    x, w, loss = network()
    with broken(OPS["tanh"]):
        step = gc.compile([x], loss, {w: w - gc.grad(loss, w)})
        with pytest.raises(gc.VerificationError, match="the derivative rule of tanh is wrong for operand 0"):
            step.verify()


def test_a_wrong_forward_rule_is_found() -> None:
    x, w, loss = network()
    with broken(OPS["tanh"], "jvp"), pytest.raises(gc.VerificationError, match="wrong: the gradient of a loss"):
        gc.verify(loss, [w, x])


def test_a_wrong_pass_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w, _ = network()
    rule = Rule("x - y is x", "subtract", lambda node: node.inputs[0])
    passes = (*pipeline.PIPELINE[:2], ("shorten", lambda graph: rewrite(graph, (rule,))))
    monkeypatch.setattr(graphs, "PIPELINE", passes)
    with pytest.raises(gc.VerificationError) as caught:
        gc.verify(gc.sum((x - w) ** 3), [w, x])
    assert str(caught.value).startswith("pass 'shorten' (number 3) changed the gradient of a loss made at")
    assert str(caught.value).endswith("hint: rules that fired: x - y is x")


def test_wrong_code_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, w, b, loss = line_fit()
    right = numeric.runner

    def wrong(outputs: Any, wrt: Any) -> Any:
        inputs, run = right(outputs, wrt)
        return inputs, lambda arrays: [v + (k == 1) for k, v in enumerate(run(arrays))]

    monkeypatch.setattr(numeric, "runner", wrong)
    with pytest.raises(gc.VerificationError, match="reference interpreter in gradient 0"):
        gc.verify(loss, [w, b])


def test_a_gradient_put_together_wrongly() -> None:
    """Every rule is right, yet the tensor is not the gradient."""
    _, w, loss = network()
    subject = graphs.Subject(loss, [w], [gc.grad(loss, w) * 1.001])
    with pytest.raises(gc.VerificationError, match="each op's own rule is right"):
        graphs.Inspection(subject, 60.0, 2000, compiled=False).certificate()


# steps


def test_step() -> None:
    x, y, w, b, loss = line_fit()
    dw, db = gc.grad(loss, [w, b])
    step = gc.compile([x, y], {"loss": loss}, {w: w - 0.1 * dw, b: b - 0.1 * db}, name="fit")
    found = step.verify()
    assert [c.what for c in found.checks] == [*_STAGES, "compiled step against reference"]
    assert found.skipped == ()
    assert found.subject.startswith("step fit: the gradient of a loss made at test_verify.py:")
    assert (w.value, b.value) == (1.0, 0.0), "params stay"
    at = {x: np.array([1.0, 2.0, 3.0]), y: np.array([0.0, 1.0, 0.5])}
    assert step.verify(at).skipped == ()


def test_step_with_two_losses() -> None:
    x, w = gc.input("x", ("n",)), gc.param(0.5, name="w")
    a, b = gc.sum(gc.sin(w * x)), gc.mean(w * x**2)
    step = gc.compile([x], [a], {w: w - gc.grad(a, w) - gc.grad(b, w)})
    found = step.verify()
    assert [c.what for c in found.checks[:2]] == [f"gradient 1: {_STAGES[0]}", f"gradient 1: {_STAGES[1]}"]
    assert sum(c.what.endswith(_STAGES[0]) for c in found.checks) == 2
    assert found.skipped == ()


def test_step_with_a_cotangent() -> None:
    x, c = gc.input("x", ("n",)), gc.input("c", ("n",))
    found = gc.compile([x, c], gc.vjp(gc.exp(x) * x, x, c)).verify()
    assert found.skipped == ()
    assert found.checks[0].status == "passed"


def test_step_without_gradients() -> None:
    x = gc.input("x", ("n",))
    found = gc.compile([x], [gc.sort(x), gc.sum(x)]).verify()
    assert [c.what for c in found.checks] == ["compiled step against reference"]
    assert found.subject == "step step: no recorded gradients"


def test_unpickled_step_says_what_it_does_not_know() -> None:
    x, w = gc.input("x", ("n",)), gc.param(0.5, name="w")
    step = gc.compile([x], gc.grad(gc.sum(gc.sin(w * x)), w))
    found = pickle.loads(pickle.dumps(step)).verify()
    assert found.checks[-1].status == "passed"
    assert all("no recorded gradient" in c.how for c in found.skipped)


def test_records_live_as_long_as_gradients() -> None:
    x = gc.input("x", ("n",))
    loss = gc.sum(gc.sinh(x))
    result = gc.grad(loss, x)
    assert len(records.records_of(result)) == 1
    gc.grad(loss, x)
    assert len(records.records_of(result)) == 1, "the same call is one record"
    serial, watch = result.serial, weakref.ref(loss)
    assert serial in records._records
    del result, loss
    collector.collect()
    assert serial not in records._records
    assert watch() is None


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((Path(__file__).parent.parent / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_steps_of_examples(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every step that an example compiles has right gradients."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    steps: list[gc.Step] = []
    build = gc.Step.__init__

    def remembered(self: gc.Step, *args: Any, **named: Any) -> None:
        build(self, *args, **named)
        steps.append(self)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    monkeypatch.setattr(gc.Step, "__init__", remembered)
    with suppress(SystemExit):
        runpy.run_path(str(path), run_name="__main__")
    monkeypatch.setattr(gc.Step, "__init__", build)
    assert steps or "compile" not in path.read_text()
    for step in steps[:4]:
        assert step.verify().checks[-1].status == "passed"


# the certificate


def test_json_round_trip() -> None:
    _, _, w, b, loss = line_fit()
    found = gc.verify(loss, [w, b])
    assert gc.Certificate.from_json(found.to_json()) == found


def test_printed_table() -> None:
    checks = (Check("a against b", "passed", "algebra", 0.0, 3, 0.1), Check("c", "skipped", "too large"))
    text = str(Certificate("it", checks, (Kink("abs", "f.py:3", "0 at 0"),), {"n": 2}))
    assert text.splitlines() == [
        "certificate of it",
        "  expressions with n = 2",
        "  passed  a against b      3 compared, worst 0e+00 algebra",
        "  skipped c                                     too large",
        "  kink    abs at f.py:3: 0 at 0",
    ]


@pytest.mark.parametrize(
    ("y", "wrt", "error"),
    [
        (3.0, "x", "cannot verify: got 3.0, expected tensors: gc.verify(y, wrt)"),
        ("x", 2.0, "cannot verify: got 2.0, expected tensors: gc.verify(y, wrt)"),
        ("x", "k", "gradient with respect to k: got int64[], expected a float tensor"),
    ],
)
def test_what_cannot_be_verified(y: Any, wrt: Any, error: str) -> None:
    tensors = {"x": gc.input("x"), "k": gc.input("k", (), "int64")}
    with pytest.raises(gc.GradientError) as caught:
        gc.verify(tensors.get(y, y), tensors.get(wrt, wrt))
    assert str(caught.value).splitlines()[0] == error


# shrinking


def test_entangled_sizes_stay() -> None:
    image = gc.input("image", ("b", 28, 28))
    y = gc.sum(gc.reshape(image, (-1, 784)) @ gc.input("w", (784, 10)))
    small = shrink([y], {"b": 2})
    shapes = [small.nodes[n].shape for n in small.nodes if n.name in ("image", "w")]
    assert shapes == [(2, 28, 28), (784, 3)]


def test_shrinking_is_to_float64_and_keeps_meanings() -> None:
    x = gc.input("x", ("n", 100), "float32")
    y = gc.sum(gc.astype(x * np.float32(0.1), "float32"))
    small = shrink([y], {"n": 3}).nodes[y]
    assert small.dtype == np.float64
    constants = [n.attrs["data"].array[()] for n in gc.Graph([], [small]).nodes if n.op.name == "constant"]
    assert constants == [0.1]


def test_slices_of_shrunk_axes() -> None:
    x = gc.input("x", ("n", 50))
    whole = gc.sum(x[:, :], axis=1)
    assert shrink([whole], {"n": 2}).nodes[x].shape == (2, 3)
    part = gc.sum(x[:, 10:20])
    assert shrink([part], {"n": 2}).nodes[x].shape == (2, 50)


def test_constant_indices_keep_their_axis() -> None:
    w = gc.param(np.arange(1.0, 21.0), name="w")
    found = gc.verify(gc.sum(w[np.array([17, 3, 17])] ** 2), w)
    all_passed(found)
    assert found.sizes == {}


def test_sizes_satisfy_checks() -> None:
    x, y = gc.input("x", ("n",)), gc.input("y", ("m", 3))
    assert sizes_for([gc.sum(x * gc.reshape(y, (-1,)))], (2, 3, 1, 4, 6)) == {"n": 3, "m": 1}
    assert sizes_for([gc.sum(x)], (5,), {"n": 9}) == {"n": 9}


def test_an_update_of_nothing_but_rounding_is_no_error() -> None:
    # the gradient of a bias in front of a batch norm is 0; what is left of it is divided by its own size
    model = gc.nn.Sequential(gc.nn.Linear(2, 5), gc.nn.BatchNorm1d(5))
    x = gc.input("x", ("n", 2), "float32")
    loss = gc.mean(model(x) ** 2)
    step = gc.compile([x], loss, {**gc.optim.RMSprop(model.parameters()).minimize(loss), **model.updates()})
    assert step.verify().checks[-1].status == "passed"


def test_compiled_code_may_differ_where_the_reference_is_in_doubt_and_only_there() -> None:
    x = gc.input("x", (2,))
    sign = gc.sin((x - 1.0) * 2.0**52)  # of a number next to 1: of its rounding
    graph, given = Graph([x], [x * 2.0, sign]), {x: np.array([1.0, 1.0 + np.finfo(float).eps])}
    wanted = [given[x] * 2.0, np.sin([0.0, 1.0])]
    doubts = numeric.doubts(graph, given, {}, wanted)
    assert (doubts[0] < 1e-14).all() and doubts[1][1] > 0.1
    assert numeric.worst([wanted[0], np.sin([0.0, 2.0])], wanted)[1] is not None
    assert numeric.worst([np.array([2**60])], [np.array([2**60 + 1])])[1] is not None
    assert numeric.worst([wanted[0], np.sin([0.0, 2.0])], wanted, lambda: doubts)[1] is None
    error, mismatch = numeric.worst([wanted[0] + [0.0, 1e-6], wanted[1]], wanted, lambda: doubts)
    assert error > 1e-7 and mismatch is not None and (mismatch.number, mismatch.place) == (0, (1,))
