"""``check="nan"``: a step that computes a nan or inf changes nothing, and says where that came from."""

from __future__ import annotations

import copy
import linecache
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from messages import text_of, without_line

import graphc as gc
from graphc.ir.evaluate import evaluate
from graphc.runtime import blame, nonfinite
from graphc.runtime.batches import permutation

INF, NAN = np.inf, np.nan


def refused(call: Callable[..., Any], *arrays: Any, **named: Any) -> str:
    """The text of the error of a call."""
    with pytest.raises(gc.NonFiniteError) as caught:
        call(*arrays, **named)
    assert isinstance(caught.value, FloatingPointError)
    return text_of(caught.value)


class Fit:
    """Least squares of logarithms; the gradient of sqrt is inf at 0."""

    def __init__(self) -> None:
        x, t = gc.input("x", ("n", 2)), gc.input("t", ("n",))
        self.w = gc.param(np.zeros(2), name="w")
        self.scale = gc.param(1.0, name="scale")
        loss = gc.mean((gc.log(gc.sum(x * self.w, axis=1)) - t) ** 2) + gc.sqrt(self.scale)
        dw, ds = gc.grad(loss, [self.w, self.scale])
        updates = {self.w: self.w - 0.1 * dw, self.scale: self.scale - 0.001 * ds}
        self.step = gc.compile([x, t], {"loss": loss}, updates, check="nan")
        self.x = np.random.default_rng(0).uniform(1, 2, (25, 2))
        self.t = self.x[:, 0].copy()

    def reset(self) -> Fit:
        self.w.value, self.scale.value = [1.0, 4.0], 1.0
        return self


@pytest.fixture(scope="module")
def shared() -> Fit:
    return Fit()


@pytest.fixture
def fit(shared: Fit) -> Fit:
    return shared.reset()


LOG = (
    "nan in log{}: got gc.sum(x * self.w, axis=1) = -15.0, expected a finite result\n"
    "  at LINE\n"
    "  statement: log(gc.sum(x * self.w, axis=1)) (forward, element [{}] of float64[{}])\n"
    "{}  reaches: output 0 (loss), the new value of 'w'\n"
    "  hint: {}"
)


def unchanged(fit: Fit) -> None:
    np.testing.assert_array_equal(fit.w.value, [1.0, 4.0])
    assert fit.scale.value == 1.0


# what it says


def test_forward(fit: Fit) -> None:
    assert np.isfinite(fit.step(fit.x, fit.t)["loss"])
    fit.reset()
    x = fit.x.copy()
    x[3] = -3.0
    assert refused(fit.step, x, fit.t) == LOG.format("", 3, 25, "", "no param has been changed")
    unchanged(fit)
    assert np.isfinite(fit.step(fit.x, fit.t)["loss"])  # and goes on


def test_backward(fit: Fit) -> None:
    fit.scale.value = 0.0
    assert refused(fit.step, fit.x, fit.t) == (
        "inf in divide: got gc.sqrt(self.scale) = 0.0, expected a finite result\n"
        "  at LINE\n"
        "  gradient of: sqrt in gc.sqrt(self.scale)\n"
        "  statement: scale_bar = 0.5 / gc.sqrt(self.scale) (backward)\n"
        "  reaches: the new value of 'scale'\n"
        "  hint: no param has been changed"
    )
    np.testing.assert_array_equal(fit.w.value, [1.0, 4.0])


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_inputs_and_params(fit: Fit, bad: float) -> None:
    t = fit.t.copy()
    t[7] = bad
    kind = "nan" if np.isnan(bad) else "inf"
    assert refused(fit.step, fit.x, t) == (
        f"{kind} in input 't': got {bad} at [7], expected finite values\n"
        "  at LINE\n"
        "  reaches: output 0 (loss), the new value of 'w'\n"
        "  hint: no param has been changed"
    )
    unchanged(fit)
    fit.w.value = [1.0, bad]
    assert refused(fit.step, fit.x, fit.t).startswith(
        f"{kind} in param 'w': got {bad} at [1], expected finite values\n  at LINE\n  reaches: "
    )
    np.testing.assert_array_equal(fit.w.value, [1.0, bad])


def test_the_same_through_every_door(fit: Fit) -> None:
    x = fit.x.copy()
    x[3] = -3.0
    want = LOG.format("", 3, 25, "", "no param has been changed")
    for step in (pickle.loads(pickle.dumps(fit.step)), copy.deepcopy(fit.step)):
        assert step.check == "nan" and step.text.source == fit.step.text.source
        assert refused(step, x, fit.t) == want
    bound = fit.step.bind(x, fit.t)
    assert refused(bound) == refused(bound) == want
    x[3] = 1.0
    assert np.isfinite(bound()["loss"])


# loops


def test_run_stops_at_the_step(fit: Fit) -> None:
    v = gc.param(1.0, name="v")
    n = gc.param(0, name="n")
    step = gc.compile([], [v, n], {v: v * 10, n: n + 1}, check="nan")
    assert refused(step.run, steps=1000) == (
        "inf in multiply at step 309 of 1000: got v = 9.999999999999998e+307, expected a finite result\n"
        "  at LINE\n"
        "  statement: v_new = v * 10.0 (update)\n"
        "  reaches: the new value of 'v'\n"
        "  hint: the params are those of the last whole step"
    )
    assert v.value == 9.999999999999998e307 and n.value == 308


@pytest.mark.parametrize("seed", [None, 1])
def test_batches(fit: Fit, seed: int | None) -> None:
    x, size = fit.x.copy(), 5
    x[13] = -1.0
    orders = [np.arange(25) if seed is None else permutation(25, seed, epoch) for epoch in range(2)]
    before = int(np.flatnonzero(orders[0] == 13)[0]) // size
    for k in range(before):
        rows = orders[0][k * size : (k + 1) * size]
        fit.step(x[rows], fit.t[rows])
    want, sums = fit.w.value, -fit.w.value.sum()
    fit.reset()
    text = refused(fit.step.run, x, fit.t, batch_size=size, epochs=2, shuffle=seed is not None, seed=seed)
    place = int(np.flatnonzero(orders[0] == 13)[0]) % size
    expected = LOG.format(
        f" at step {before + 1} of 10", place, size, "  row of the datasets: 13\n",
        "the params are those of the last whole step",
    )  # fmt: skip
    assert text == expected.replace("-15.0", str(np.float64(sums)))
    np.testing.assert_array_equal(fit.w.value, want)


# what is an error, and what is blamed


X = gc.input("x", ("n",))
Y = gc.input("y", ("n",))


def traced(*outputs: Any) -> gc.Graph:
    return gc.Graph([X, Y], list(outputs))


def found(graph: gc.Graph, x: Any, y: Any) -> nonfinite.Blamed | None:
    values = {X: np.array(x, X.dtype), Y: np.array(y, Y.dtype)}
    return nonfinite.find(graph, values, {"n": len(x)})


def test_a_branch_not_taken_is_no_error() -> None:
    safe = gc.where(X > 0, gc.log(X), 0.0)
    loss = gc.sum(safe * safe) + gc.sum(1 / (1 + gc.exp(Y)))  # exp may overflow: 1 / inf is right
    step = gc.compile([X, Y], [loss, gc.grad(loss, X)], check="nan")
    value, slope = step([np.e, -1.0, 0.0], [0.0, 1000.0, -1000.0])
    np.testing.assert_allclose(value, 2.5)
    np.testing.assert_allclose(slope, [2 / np.e, 0, 0])
    assert "got x = inf" not in refused(step, [np.e, INF], [0.0, 0.0]) and refused(step, [INF], [0.0]).startswith(
        "inf in input 'x': got inf at [0], expected finite values\n"
    )


def test_what_is_masked_is_not_blamed() -> None:
    graph = traced(gc.sum(gc.where(X > 0, gc.log(X), 0.0)) + gc.sum(gc.sqrt(Y)))
    assert found(graph, [-1.0, 2.0], [4.0, 9.0]) is None
    blamed = found(graph, [-1.0, 2.0], [4.0, -9.0])
    assert blamed is not None and (blamed.node, blamed.at) == (gc.sqrt(Y), (1,))
    both = gc.where(X > 0, gc.log(X), gc.sqrt(Y))
    blamed = found(traced(both), [-1.0, -2.0], [4.0, -9.0])
    assert blamed is not None and (blamed.node, blamed.at) == (gc.sqrt(Y), (1,))


def test_the_first_of_several_is_blamed() -> None:
    later, earlier = gc.sqrt(Y), gc.log(X)
    order = traced(earlier, later)
    for x, y, node in (([-1.0], [-1.0], earlier), ([1.0], [-1.0], later), ([-1.0], [1.0], earlier)):
        blamed = found(order, x, y)
        assert blamed is not None and blamed.node is node
        assert blamed.roots == ((earlier,) if node is earlier else (later,))


def test_only_together() -> None:
    """The smaller of two infs is inf because of both: the second one is what completes it."""
    graph = traced(gc.minimum(gc.exp(X), gc.exp(Y)))
    assert found(graph, [1000.0], [1.0]) is None
    blamed = found(graph, [1.0, 1000.0], [1000.0, 1000.0])
    assert blamed is not None and (blamed.node, blamed.at) == (gc.exp(Y), (1,))


def test_what_a_right_value_was_computed_from_is_not_blamed() -> None:
    p = 1 / gc.exp(X)
    blamed = found(traced(gc.sum(gc.log(p) * Y)), [1.0, 1000.0], [1.0, 1.0])
    assert blamed is not None and (blamed.node, blamed.at, blamed.operands[0][1]) == (gc.log(p), (1,), 0.0)


def test_a_constant_inf_may_be_meant() -> None:
    step = gc.compile([X], gc.softmax(gc.where(X > 0, X, -np.inf)), check="nan")
    np.testing.assert_array_equal(step([-1.0, 3.0]), [0, 1])
    text = refused(step, [-1.0, -2.0])  # of no element at all, it is nan
    assert text.startswith("nan in divide: got ") and " = 0.0, " in text
    chosen = gc.compile([X], gc.where(X > 0, X, -np.inf), check="nan")
    assert refused(chosen, [1.0, -2.0]) == (
        "inf in where: got X > 0 = False, x = -2.0, constant -inf, expected a finite result\n"
        "  at LINE\n"
        "  statement: select(X > 0, x, -inf) (forward, element [1] of float64[2])\n"
        "  reaches: output 0"
    )
    returned = gc.compile([X], [X, gc.constant(np.inf)], check="nan")
    assert refused(returned, [1.0]) == (
        "inf in a constant: got inf, expected finite values\n  reaches: output 1"
    )  # fmt: skip


def test_reductions_and_products() -> None:
    a = gc.input("a", ("n", 3))
    total, run = gc.sum(a, axis=0), gc.cumulative_prod(a, axis=0)
    step = gc.compile([a], {"total": total, "run": run, "product": a @ a.T}, check="nan")
    assert set(step(np.ones((2, 3)))) == {"total", "run", "product"}
    statement = "  statement: total: float64[3] = sum(a, axes=(0,)) (forward, element [1] of float64[3])\n"
    assert refused(step, np.array([[0.0, 1e308, 0.0], [0.0, 1.5e308, 0.0]])) == (
        "inf in sum: got a = float64[2] from 1e+308 to 1.5e+308, expected a finite result\n"
        "  at LINE\n" + statement + "  reaches: output 0 (total)"
    )
    values = np.ones((4, 3))
    values[1:3, 2] = 1e200
    assert "inf in cumulative_prod: got a = float64[3] from 1.0 to 1e+200, expected" in refused(step, values)
    text = refused(step, np.array([[0.0, 0.0, 0.0], [1e155, 0.0, 1.0]]))
    assert text.startswith("inf in contract: got a = float64[3] from 0.0 to 1e+155, ")
    assert "element [1, 1] of float64[2, 2]" in text


def test_overflow_in_float32() -> None:
    s = gc.input("s", (), "float32")
    step = gc.compile([s], gc.exp(s) / 2, check="nan")
    assert step(np.float32(88.0)) == np.exp(np.float32(88)) / 2
    assert refused(step, np.float32(89.0)) == (
        "inf in exp: got s = 89.0, expected a finite result\n  at LINE\n"
        "  statement: exp(s) (forward)\n  reaches: output 0"
    )


def test_empty_batches() -> None:
    assert refused(gc.compile([X], gc.mean(X), check="nan"), []).startswith("nan in divide: got ")


def test_integers_are_not_looked_at() -> None:
    k = gc.param(np.iinfo("int64").max, name="k")
    step = gc.compile([X], {"largest": gc.argmax(X), "positive": X > 0}, {k: k + 1}, check="nan")
    got = step([NAN, INF])
    assert got["largest"] == 0 and list(got["positive"]) == [False, True] and k.value == np.iinfo("int64").min
    assert "check_finite" not in step.text.source


def test_updates_wait_for_the_check() -> None:
    p, q = gc.param([1.0, 2.0], name="p"), gc.param([3.0, NAN], name="q")
    swap = gc.compile([X], gc.sum(X), {p: q, q: p}, check="nan")
    assert refused(swap, [1.0]).startswith("nan in param 'q': got nan at [1], expected finite values\n")
    np.testing.assert_array_equal(p.value, [1, 2])
    q.value = [3.0, 4.0]
    assert swap([1.0]) == 1.0
    np.testing.assert_array_equal(p.value, [3, 4])
    assert refused(swap, [INF]).startswith("inf in input 'x'")
    np.testing.assert_array_equal(q.value, [1, 2])


def test_an_index_out_of_range_comes_first() -> None:
    i = gc.input("i", ("m",), "int64")
    step = gc.compile([X, i], gc.take(gc.log(X), i), check="nan")
    with pytest.raises(gc.OutOfBoundsError):
        step([-1.0], [3])
    assert refused(step, [-1.0, 1.0], [1, 0]).startswith("nan in log: got x = -1.0, ")
    np.testing.assert_array_equal(step([-1.0, 1.0], [1]), [0.0])


def test_compiled_and_interpreted_agree_on_what_is_an_error(rng: np.random.Generator) -> None:
    special = np.array([0.0, -1.0, 1e300, INF, -INF, NAN, 710.0, 1e-320])
    a, b = gc.log(X * Y), gc.where(Y > 0, X / Y, gc.sqrt(X))
    total = gc.sum(gc.maximum(gc.minimum(a, b), gc.exp(-X)))
    outputs = [total, gc.grad(total, X), gc.logsumexp(X), gc.clip(gc.exp(Y), 0, 5)]
    step = gc.compile([X, Y], outputs, check="nan")
    seen = set()
    for _ in range(60):
        x, y = (np.where(rng.random(3) < 0.2, rng.choice(special, 3), rng.normal(size=3) ** 2) for _ in range(2))
        roots = evaluate(step.graph.outputs, dict(zip(step.graph.inputs, (x, y), strict=True)))
        finite = all(np.isfinite(r).all() for r in roots)
        seen.add(finite)
        if finite:
            for got, want in zip(step(x, y), roots, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-12)
        else:
            assert "origin: unknown" not in refused(step, x, y)
    assert seen == {True, False}


# where the interpreter cannot help


@pytest.mark.parametrize("large", [False, True])
def test_unknown_origin(monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    total = gc.sum(gc.log(X))
    step = gc.compile([X], {"total": total}, check="nan")
    if large:
        monkeypatch.setattr(nonfinite, "LARGEST", 15)
        why = "a value is too large for the reference interpreter to compute again: x: float64[n]"
    else:
        monkeypatch.setattr(blame, "find", lambda *_: None)
        why = "the reference interpreter computes finite values from the same arrays"
    assert refused(step, [-1.0, 1.0]) == (
        "nan or inf in output 0 (total): expected finite values\n"
        "  at LINE\n"
        "  statement: total: float64[] = sum(%1, axes=(0,))\n"
        f"  origin: unknown; {why}"
    )


# functions, text, export


def test_functions() -> None:
    both = gc.compile(gc.value_and_grad(lambda a: gc.sum(gc.sqrt(a))), check="nan")
    assert both.check == "nan" and both(np.array([4.0]))[0] == 2.0
    assert refused(both, np.array([1.0, 0.0])).startswith("inf in divide: got gc.sqrt(a) = 0.0, expected a finite")

    @gc.compile(check="nan")
    def ratio(a: Any, b: Any) -> Any:
        return {"ratio": a / b}

    assert ratio(1.0, 2.0) == {"ratio": 0.5}
    assert refused(ratio, 1.0, 0.0) == (
        "inf in divide: got a = 1.0, b = 0.0, expected a finite result\n"
        "  at LINE\n  statement: ratio = a / b (forward)\n  reaches: output 0 (ratio)"
    )


def test_the_text_without_a_check_is_as_it_was() -> None:
    w = gc.param(np.ones(3), name="w")
    loss = gc.sum(gc.exp(w) * X[:3])
    texts = {}
    for check in (None, "nan"):
        step = gc.compile([X], loss, {w: w - gc.grad(loss, w)}, check=check)
        again = gc.compile([X], loss, {w: w - gc.grad(loss, w)}, check=check)
        assert step.check == check and step.text.source == again.text.source
        assert (step.plan.in_place == ()) == (check == "nan")
        texts[check] = step.text.source
        assert ("check_finite(" in step.source) == (check == "nan")
    assert "check_finite" not in texts[None] and texts["nan"].count("    check_finite(") == 1
    assert step.source.count("\n# ---- check ---") == 1
    assert "    # a nan or inf ends the step here: no param has been changed\n" in step.source
    assert [k.calls for k in step.kernels if k.ops == ("check",)] == [2]


def test_one_kernel_checks_all_of_a_dtype() -> None:
    a, b = gc.input("a", (2, "n")), gc.input("b", (), "float32")
    outputs = [*[a[0] + float(k) for k in range(4)], a * 2, b + 1, b * 2, gc.sum(a), a]
    step = gc.compile([a, b], outputs, check="nan")
    names = [
        name
        for (name, _), kernel in zip(step.text.kernels, step.plan.kernels, strict=True)
        if kernel.finite is not None
    ]
    assert len(names) == 9 and len(set(names)) == 2
    step(np.ones((2, 3)), 1.0)
    assert refused(step, np.ones((2, 3)), np.float32(NAN)).endswith("reaches: output 5, output 6")
    x = np.zeros((2, 3))
    x[1, 2] = INF
    assert refused(step, x, 0.0).endswith(
        "got inf at [1, 2], expected finite values\n  at LINE\n  reaches: output 4, output 7, output 8 (a)"
    )


def test_verify_and_export(tmp_path: Path) -> None:
    v = gc.param(1.0, name="v")
    i = gc.input("i", (), "int64")
    step = gc.compile([i], v, {v: gc.log(v) * gc.take(gc.asarray([1.0, 2.0]), i)}, check="nan")
    assert step.verify().skipped == () and v.value == 1.0
    v.value = 0.5
    step.export(tmp_path / "exported.py")
    code = """
from exported import step
for call, error in ((0, None), (0, FloatingPointError), (5, IndexError)):
    before = step.params["v"].copy()
    try:
        step(call)
    except Exception as found:
        assert type(found) is error and step.params["v"] == before, found
        print(found)
    else:
        assert error is None
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("nan or inf in v_new at test_nan_check.py:") and second.startswith("index out of range in")


def test_without_jit() -> None:
    code = """
import numpy as np, graphc as gc
x, v = gc.input("x", ("n",)), gc.param(2.0, name="v")
step = gc.compile([x], gc.sum(gc.log(x)), {v: v * gc.sum(x)}, check="nan")
assert step([1.0, 1.0]) == 0.0 and v.value == 4.0
for call, named in ((step, {}), (step.run, {"steps": 3}), (step.run, {"batch_size": 1})):
    try:
        call([-1.0, 1.0], **named)
    except gc.NonFiniteError as error:
        print(str(error).splitlines()[0])
assert v.value == 4.0
"""
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"nan in log{where}: got x = -1.0, expected a finite result"
        for where in ("", " at step 1 of 3", " at step 1 of 2")
    ]


@pytest.mark.parametrize("bad", ["inf", "NaN", "", True, 1, ["nan"], np.nan])
def test_bad_values_of_check(bad: Any) -> None:
    for call in (lambda: gc.compile([X], X, check=bad), lambda: gc.compile(lambda x: x, check=bad)):
        with pytest.raises(gc.CompileError) as caught:
            call()
        assert without_line(caught.value) == f"bad check=: got {bad!r}, expected 'nan', or None"


PROMPT = """
a = gc.param([4.0, 0.0], name="a")
loss = gc.sum(gc.sqrt(a))
step = gc.compile([], loss, {a: a - gc.grad(loss, a)}, check="nan")
x = gc.input("x", ("n",))
ratio = gc.compile([x], gc.softmax(x) / gc.sum(gc.maximum(x, 0.0) * 2.0), check="nan")
"""


def prompt(file: str) -> dict[str, Any]:
    """What is defined at a prompt, where each statement is a file of its own, and each at line 1."""
    space: dict[str, Any] = {"gc": gc}
    for line in PROMPT.strip().splitlines():
        exec(compile(line, file, "single"), space)
    return space


@pytest.mark.parametrize("file", ["<stdin>", "<string>"])
def test_at_a_bare_prompt(file: str) -> None:
    """No line can be read there: what the error says of expressions is written from the graph."""
    here = prompt(file)
    assert refused(here["step"]) == (
        f"inf in divide: got sqrt(a) = 0.0, expected a finite result\n  at {file}:1\n  gradient of: sqrt(a)\n"
        "  statement: a_bar = 0.5 / sqrt(a) (backward, element [1] of float64[2])\n"
        "  reaches: the new value of 'a'\n  hint: no param has been changed"
    )
    assert refused(here["ratio"], [-1.0, -1.0]) == (
        "inf in divide: got exp(x - ...) / sum(exp(...), axes=(0,)) = 0.5, sum(maximum(x, 0.0) * 2.0, axes=(0,)) = "
        f"0.0, expected a finite result\n  at {file}:1\n  statement: (exp(x - ...) / sum(exp(...), axes=(0,))) / "
        "sum(maximum(x, 0.0) * 2.0, axes=(0,)) (forward, element [0] of float64[2])\n  reaches: output 0"
    )
    assert f"# {file}:1  grad of: sqrt\n" in str(here["step"].graph)


def test_at_a_prompt_that_keeps_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of Python 3.13 does, in linecache."""
    code = "y = gc.log(x - 1.0)\n"
    monkeypatch.setitem(linecache.cache, "<python-input-3>", (len(code), None, [code], "<python-input-3>"))
    x = gc.input("x")
    space: dict[str, Any] = {"gc": gc, "x": x}
    exec(compile(code, "<python-input-3>", "single"), space)
    assert refused(gc.compile([x], space["y"], check="nan"), 0.0) == (
        "nan in log: got x - 1.0 = -1.0, expected a finite result\n  at <python-input-3>:1: y = gc.log(x - 1.0)\n"
        "  statement: y = log(x - 1.0) (forward)\n  reaches: output 0 (y)"
    )
