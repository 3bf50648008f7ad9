"""`gc.optim`: what PyTorch computes, in a graph, compiled and eager; state, schedules, clipping, and errors."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch_cases_optim as cases
from messages import text_of

import graphc as gc
from graphc import eager
from graphc.errors import DTypeError, GradientError, InputError, NonFiniteError, ShapeError
from graphc.ir.evaluate import evaluate

Advance = Callable[[Any, list[gc.Param], list[np.ndarray | None]], None]


@pytest.fixture(scope="module")
def torch() -> Iterator[Any]:
    with np.load(cases.FIXTURE) as found:
        yield found


def make(dtype: str = "float64") -> list[gc.Param]:
    return [gc.param(a.astype(dtype), name=n) for a, n in zip(cases.start(), ("w", "b"), strict=True)]


def interpreted(opt: Any, params: list[gc.Param], gradients: list[np.ndarray | None]) -> None:
    """One step by the reference interpreter: what a compiled step computes."""
    given = {p: gc.asarray(g) for p, g in zip(params, gradients, strict=True) if g is not None}
    updates = opt.updates(given)
    values = evaluate(list(updates.values()))
    for p, value in zip(updates, values, strict=True):
        p.value = value


def at_once(opt: Any, params: list[gc.Param], gradients: list[np.ndarray | None]) -> None:
    """One step of the eager optimiser."""
    for p, g in zip(params, gradients, strict=True):
        p.grad = None if g is None else eager.tensor(g)
    opt.step()


MODES = pytest.mark.parametrize("advance", [interpreted, at_once])


def trajectory(opt: Any, params: list[gc.Param], advance: Advance, skipped: tuple[int, ...] = ()) -> np.ndarray:
    rows = []
    for step in range(cases.STEPS):
        found: list[np.ndarray | None] = [g.astype(params[0].dtype) for g in cases.gradients(step)]
        advance(opt, params, [found[0], None] if step in skipped else found)
        rows.append(cases.flat([p.value for p in params]))
    return np.array(rows)


def close(got: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


# the rules


@MODES
@pytest.mark.parametrize("name, options", cases.CASES, ids=[cases.key(*c) for c in cases.CASES])
def test_equals_torch(name: str, options: dict[str, Any], advance: Advance, torch: Any) -> None:
    params = make()
    got = trajectory(getattr(gc.optim, name)(params, **options), params, advance)
    close(got, torch[cases.key(name, options)])


@MODES
@pytest.mark.parametrize(
    "name, options", [("Adam", {}), ("SGD", {"momentum": 0.9, "dampening": 0.5}), ("Adagrad", {"lr_decay": 0.5})]
)
def test_params_count_their_own_steps(name: str, options: dict[str, Any], advance: Advance, torch: Any) -> None:
    params = make()
    opt = getattr(gc.optim, name)(params, lr=0.1, **options)
    close(trajectory(opt, params, advance, cases.SKIPPED), torch[f"skips {name}"])
    state = opt.state_dict()
    assert (state["steps"], state["w.step"], state["b.step"]) == (6, 6, 3)


@MODES
def test_groups_have_options_of_their_own(advance: Advance, torch: Any) -> None:
    params = make()
    close(trajectory(gc.optim.AdamW(cases.groups(params), lr=0.05), params, advance), torch["groups"])


FLOAT32 = [
    ("SGD", {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Adagrad", {"lr_decay": 0.1}),
]


@MODES
@pytest.mark.parametrize("name, options", FLOAT32, ids=[c[0] for c in FLOAT32])
def test_float32_stays_float32(name: str, options: dict[str, Any], advance: Advance) -> None:
    params = make("float32")
    rate = gc.param(np.float64(0.05), name="rate", trainable=False)
    for lr in (gc.optim.cosine(0.05, 10), rate, 0.05):
        opt = getattr(gc.optim, name)(params, lr=lr, **options)
        g = gc.asarray(np.ones((3, 4), "float32"))
        assert {v.dtype.name for p, v in opt.updates({params[0]: g}).items() if p.dtype.kind == "f"} == {"float32"}
        before = cases.flat([p.value for p in params])
        rows = trajectory(opt, params, advance)
        assert rows.dtype == np.float32
        assert not np.array_equal(rows[-1], before)
        kinds = {k: v.dtype.name for k, v in opt.state_dict().items() if k not in ("steps", "lr")}
        assert set(kinds.values()) <= {"float32", "int64"}
        assert all((kind == "int64") == k.endswith(".step") for k, kind in kinds.items())


@pytest.mark.parametrize("name, options", FLOAT32, ids=[c[0] for c in FLOAT32])
def test_float32_follows_float64(name: str, options: dict[str, Any]) -> None:
    rows = []
    for dtype in ("float32", "float64"):
        params = make(dtype)
        rows.append(trajectory(getattr(gc.optim, name)(params, lr=0.05, **options), params, at_once))
    np.testing.assert_allclose(rows[0], rows[1], rtol=2e-5, atol=2e-6)


def model(params: list[gc.Param], x: Any) -> Any:
    """A loss of eager or symbolic `x`."""
    w, b = params
    return gc.mean((gc.tanh(x @ w) @ np.full((4, 5), 0.3) + b) ** 2)


DATA = np.random.default_rng(8).standard_normal((6, 3))


def compiled(opt: Any, params: list[gc.Param], **clip: Any) -> gc.Step:
    x = gc.input("x", ("n", 3))
    loss = model(params, x)
    return gc.compile([x], loss, opt.minimize(loss, **clip))


def eager_step(opt: Any, params: list[gc.Param]) -> float:
    opt.zero_grad()
    loss = model(params, eager.tensor(DATA))
    loss.backward()
    opt.step()
    return float(loss)


TRAINED = [
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.01}),
    ("AdamW", {"lr": 0.1, "amsgrad": True}),
    ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}),
]


@pytest.mark.parametrize("name, options", TRAINED, ids=[c[0] for c in TRAINED])
def test_compiled_equals_eager(name: str, options: dict[str, Any]) -> None:
    """Also in turns: both go on from the state that the other left."""
    options = {**options, "lr": gc.optim.warmup(gc.optim.cosine(options.get("lr", 0.01), 10), 3, start_factor=0.2)}
    runs = []
    for turns in ("ccccc", "eeeee", "cecce"):
        params = make()
        opt = getattr(gc.optim, name)(params, **options)
        step = compiled(opt, params) if "c" in turns else None
        losses = [float(step(DATA)) if turn == "c" and step else eager_step(opt, params) for turn in turns]
        runs.append((losses, cases.flat([p.value for p in params]), opt.state_dict()))
    for losses, values, state in runs[1:]:
        np.testing.assert_allclose(losses, runs[0][0], rtol=1e-12)
        np.testing.assert_allclose(values, runs[0][1], rtol=1e-11)
        assert list(state) == list(runs[0][2])
        for key, value in state.items():
            np.testing.assert_allclose(value, runs[0][2][key], rtol=1e-10, atol=1e-15)


def test_updates_are_in_place_and_fused() -> None:
    """One kernel for each param: it reads the gradient and writes the param and all its state, without copies."""
    params = make("float32")
    opt = gc.optim.Adam(params, lr=0.1)
    x = gc.input("x", ("n", 3), "float32")
    loss = gc.mean((x @ params[0]) ** 2) + gc.sum(params[1] ** 2)
    step = gc.compile([x], loss, opt.minimize(loss))
    for p in params:
        state = {opt.state[p][k].name for k in ("exp_avg", "exp_avg_sq")}
        (written,) = [names for k in step.kernels if p.name in (names := {name for name, _ in k.writes})]
        assert {p.name, *(name.replace(".", "_") for name in state)} <= written, written


def test_compiled_and_eager_steps_at_the_same_time() -> None:
    """Each step is whole: none is lost where two threads change the same params and counters."""
    params = make()
    opt = gc.optim.SGD(params, lr=1.0)
    x = gc.input("x")
    loss = x * (gc.sum(params[0]) + gc.sum(params[1]))
    step = gc.compile([x], [], opt.minimize(loss))
    before = cases.flat([p.value for p in params])
    step(1.0)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: step.run(1.0, steps=2000))
        for p in params:
            p.grad = eager.tensor(np.ones(p.shape))
        for _ in range(100):
            opt.step()
        running.result()
    assert opt.steps.value == 2101
    np.testing.assert_allclose(before - cases.flat([p.value for p in params]), 2101.0, rtol=1e-12)


# state


def test_state_resumes_bit_for_bit() -> None:
    """A new model and optimiser, from saved values, take the very steps that the old ones would have taken."""
    rows = []
    for resumed in (False, True):
        params = make()
        opt = gc.optim.Adam(params, lr=gc.optim.cosine(0.1, 8), amsgrad=True)
        step = compiled(opt, params)
        for _ in range(4):
            step(DATA)
        if resumed:
            saved = [p.value for p in params], opt.state_dict()
            params = make()
            opt = gc.optim.Adam(params, lr=gc.optim.cosine(0.1, 8), amsgrad=True)
            for p, value in zip(params, saved[0], strict=True):
                p.value = value
            opt.load_state_dict(saved[1])
            step = compiled(opt, params)
        for _ in range(4):
            step(DATA)
        rows.append([cases.flat([p.value for p in params]), *opt.state_dict().values()])
    assert all(a.tobytes() == b.tobytes() for a, b in zip(*rows, strict=True))


def test_state_dict_is_a_copy_and_reaches_compiled_steps() -> None:
    params = make()
    opt = gc.optim.SGD(params, lr=0.1, momentum=0.9)
    step = compiled(opt, params)
    first = opt.state_dict()
    step(DATA)
    assert not first["w.momentum_buffer"].any() and first["steps"] == 0
    assert opt.state_dict()["w.momentum_buffer"].any()
    opt.load_state_dict(first)
    assert not opt.state_dict()["w.momentum_buffer"].any()
    start = params[0].value
    step(DATA)
    buffer = opt.state_dict()["w.momentum_buffer"]
    np.testing.assert_allclose(params[0].value, start - 0.1 * buffer, rtol=1e-15)


def test_load_is_strict_and_says_all_that_is_wrong() -> None:
    params = make()
    opt = gc.optim.Adam(params, lr=0.1)
    state = opt.state_dict()
    wrong = {k: v for k, v in state.items() if k != "b.exp_avg"}
    wrong |= {"b.momentum": np.zeros(5), "w.exp_avg": np.zeros(2), "w.step": np.float64(1), "steps": np.int64(7)}
    with pytest.raises(InputError) as error:
        opt.load_state_dict(wrong)
    text = str(error.value)
    assert text.startswith("Adam.load_state_dict: got a state that does not fit, expected one of the same optimiser")
    assert "missing: b.exp_avg float64[5]\n" in text
    assert "not known: b.momentum float64[5]\n" in text
    assert "does not fit: w.exp_avg float64[2], expected float64[3, 4]" in text
    assert "does not fit: w.step float64[], expected int64[]" in text
    assert opt.steps.value == 0
    with pytest.raises(InputError, match="expected what state_dict"):
        opt.load_state_dict([1])  # type: ignore[arg-type]


def test_names_in_the_state() -> None:
    def names(params: Any) -> list[str]:
        return [k.removesuffix(".sum") for k in gc.optim.Adagrad(params).state_dict() if k != "steps"]

    def one(name: str | None = None) -> gc.Param:
        return gc.param([0.0], name=name)

    assert names([one("w"), one("b")]) == ["w", "b"]
    assert names([one(), one("b")]) == ["0", "b"]
    assert names([one("w"), one("w"), one("b")]) == ["0.w", "1.w", "b"]
    assert names([("conv.weight", one("w")), ("fc.weight", one("w"))]) == ["conv.weight", "fc.weight"]
    assert names([{"params": [one("w")]}, {"params": one("b"), "lr": 1.0}]) == ["w", "b"]
    with pytest.raises(InputError, match=r"names of the params of Adagrad: got 1.w, 1.w, 2.w, expected names that"):
        names([one("1.w"), one("w"), one("w")])


@MODES
def test_frozen_params_stay_and_start_later(advance: Advance) -> None:
    params = make()
    b = params[1]
    b.trainable = False
    opt = gc.optim.Adam(params, lr=0.1)
    assert all(not k.startswith("b.") for k in opt.state_dict())
    before = b.value
    advance(opt, params, [cases.gradients(0)[0], None])
    np.testing.assert_array_equal(b.value, before)
    b.trainable = True
    advance(opt, params, list(cases.gradients(1)))
    assert opt.state_dict()["b.step"] == 1 and opt.state_dict()["w.step"] == 2
    moved = np.abs(b.value - before)[cases.gradients(1)[1] != 0]
    np.testing.assert_allclose(moved, 0.1, rtol=1e-6)  # Adam's first move is of size lr: its own count corrects it


def test_minimize_skips_frozen_params() -> None:
    w, b = make()
    b.trainable = False
    x = gc.input("x", ("n", 3))
    opt = gc.optim.SGD([w, b], lr=0.1)
    assert [p.name for p in opt.minimize(model([w, b], x))] == ["w", "sgd.steps"]
    w.trainable = False
    with pytest.raises(GradientError, match="got no param that is trainable, expected at least one"):
        opt.minimize(model([w, b], x))


def test_state_of_frozen_params_is_loaded() -> None:
    params = make()
    old = gc.optim.SGD(params, momentum=0.9)
    interpreted(old, params, list(cases.gradients(0)))
    params[1].trainable = False
    new = gc.optim.SGD(params, momentum=0.9)
    empty = new.state_dict()
    assert "b.momentum_buffer" not in empty
    new.load_state_dict(old.state_dict())
    np.testing.assert_array_equal(new.state_dict()["b.momentum_buffer"], cases.gradients(0)[1])
    new.load_state_dict(empty)
    assert not new.state_dict()["b.momentum_buffer"].any() and not new.state_dict()["w.momentum_buffer"].any()
    params[1].trainable = True
    with pytest.raises(InputError, match=r"missing: b\.momentum_buffer"):
        new.load_state_dict(empty)


def test_lr_is_a_param_that_the_user_sets() -> None:
    w = gc.param([1.0, 2.0], name="w")
    rate = gc.param(0.5, name="rate", trainable=False)
    opt = gc.optim.SGD([w], lr=rate)
    step = gc.compile([], [], opt.minimize(gc.sum(w)))
    step()
    rate.value = 0.0625
    step()
    np.testing.assert_array_equal(w.value, [0.4375, 1.4375])
    assert opt.get_lr() == [0.0625]
    w.grad = eager.tensor([1.0, 1.0], dtype="float64")
    opt.step()
    np.testing.assert_array_equal(w.value, [0.375, 1.375])
    state = opt.state_dict()
    assert state["lr"] == 0.0625 and state["steps"] == 3
    rate.value = 9.0
    opt.load_state_dict(state)
    assert rate.value == 0.0625


def test_lr_is_an_input_of_the_step() -> None:
    w, lr = gc.param([1.0, 2.0], name="w"), gc.input("lr")
    opt = gc.optim.SGD([w], lr=lr)
    updates = opt.minimize(gc.sum(w))
    np.testing.assert_array_equal(evaluate([updates[w]], {lr: np.float64(0.25)})[0], [0.75, 1.75])
    w.grad = eager.tensor([1.0, 1.0], dtype="float64")
    with pytest.raises(InputError, match=r"SGD.step: got lr input 'lr'|SGD.step: got lr lr: float64"):
        opt.step()


def test_lr_is_any_function_of_the_steps() -> None:
    params = make()
    opt = gc.optim.SGD(params, lr=lambda t: 1.0 / (1 + t))
    for k, advance in enumerate((interpreted, at_once, interpreted)):
        assert opt.get_lr() == [1.0 / (1 + k)]
        before = params[1].value
        advance(opt, params, list(cases.gradients(k)))
        np.testing.assert_allclose(params[1].value, before - cases.gradients(k)[1] / (1 + k), rtol=1e-14)


def test_optimisers_pickle_with_their_params() -> None:
    params = make()
    opt = gc.optim.Adam(params, lr=gc.optim.warmup(gc.optim.one_cycle(0.1, 9), 2), weight_decay=0.1)
    at_once(opt, params, list(cases.gradients(0)))
    twin, twins = pickle.loads(pickle.dumps((opt, params)))
    for k in (1, 2):
        at_once(opt, params, list(cases.gradients(k)))
        interpreted(twin, twins, list(cases.gradients(k)))
    np.testing.assert_allclose(cases.flat([p.value for p in twins]), cases.flat([p.value for p in params]), rtol=1e-13)


# schedules

PRODUCTS = {
    "warmup": lambda: gc.optim.warmup(gc.optim.cosine(0.3, 40), 4, start_factor=0.1),
    "product": lambda: gc.optim.linear(1.0, 10, 0.5) * gc.optim.exponential(0.3, 0.95),
}


def schedule(name: str) -> Any:
    return PRODUCTS[name]() if name in PRODUCTS else getattr(gc.optim, name.split(",")[0])(**cases.SCHEDULES[name])


@pytest.mark.parametrize("name", [*cases.SCHEDULES, *PRODUCTS])
def test_schedules_equal_torch(name: str, torch: Any) -> None:
    rate = schedule(name)
    steps = np.arange(cases.RATES)
    expected = torch[f"rate {name}"]
    np.testing.assert_allclose(rate(steps), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose([rate(int(t)) for t in steps], expected, rtol=1e-12, atol=1e-14)
    t = gc.input("t", (), "int64")
    assert rate(t).dtype == np.float64
    got = [evaluate([rate(t)], {t: np.int64(k)})[0] for k in steps]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


def test_schedules_hold_after_their_end() -> None:
    ends = {"linear": 0.225, "polynomial": 0.0, "cosine": 0.01, "one_cycle": 0.3 / 25 / 1e4}
    for name, end in ends.items():
        assert schedule(name)(10**6) == pytest.approx(end, rel=1e-12, abs=1e-15), name


def test_schedules_print_as_they_are_made() -> None:
    rate = gc.optim.warmup(gc.optim.cosine(0.5, steps=10), steps=2)
    text = "sequential([linear(0.5, steps=2, start_factor=0.0, end_factor=1.0), "
    assert repr(rate) == text + "cosine(0.5, steps=10, eta_min=0.0)], milestones=[2])"
    assert repr(0.5 * gc.optim.exponential(1.0, 0.9)) == "exponential(1.0, gamma=0.9) * constant(0.5)"
    assert (0.5 * gc.optim.exponential(1.0, 0.9))(1) == 0.45
    assert gc.optim.sequential([gc.optim.constant(0.25)], [])([0, 5]).tolist() == [0.25, 0.25]


@pytest.mark.parametrize("pct_start", [0.0, 0.1, 1.0])
def test_one_cycle_of_phases_without_steps(pct_start: float) -> None:
    rates = gc.optim.one_cycle(1.0, 8, pct_start=pct_start)(np.arange(10))
    assert np.isfinite(rates).all() and rates.max() <= 1.0 and rates[-1] == 1 / 25 / 1e4


def test_one_cycle_refuses_phases_without_length() -> None:
    """PyTorch divides by zero at some of these; with three phases the rate would never come near its highest."""
    two, three = "pct_start * steps other than 1", "pct_start * steps >= 2 and pct_start <= 0.5"
    for steps, pct_start, three_phase, expected in (
        (8, 0.125, False, two), (10, 0.1, False, two), (1, 1.0, False, two), (10, 0.1, True, three),
        (10, 0.19, True, three), (3, 0.3, True, three), (10, 0.0, True, three), (3, 2 / 3, True, three),
        (10, 0.55, True, three), (10, 1.0, True, three),
    ):  # fmt: skip
        with pytest.raises(InputError) as error:
            gc.optim.one_cycle(1.0, steps, pct_start=pct_start, three_phase=three_phase)
        got = f"steps={steps}, pct_start={pct_start:g}, three_phase={three_phase}"
        assert text_of(error.value) == f"one_cycle: a phase without length: got {got}, expected {expected}\n  at LINE"
    for steps, pct_start in ((10, 0.2), (10, 0.25), (4, 0.5), (9, 0.5), (49, 2 / 49)):
        rates = gc.optim.one_cycle(1.0, steps, pct_start=pct_start, three_phase=True)(np.arange(steps))
        assert 0.5 < rates.max() <= 1.0 and rates[-1] == pytest.approx(1 / 25 / 1e4)


# clipping


def both(gradients: list[np.ndarray]) -> Iterator[tuple[list[Any], Callable[[Any], np.ndarray]]]:
    """Symbolic and eager gradients, and how to see a result."""
    yield [gc.asarray(g) for g in gradients], lambda t: evaluate([t])[0]
    yield [eager.tensor(g) for g in gradients], lambda t: t.numpy()


@pytest.mark.parametrize("name", cases.NORMS)
def test_clip_norm_equals_torch(name: str, torch: Any) -> None:
    bound, order = cases.NORMS[name]
    expected = torch[f"norm {name}"]
    for gradients, value in both(cases.gradients(0)):
        clipped = gc.optim.clip_grad_norm(gradients, bound, order)
        norm = gc.optim.total_norm(gradients, order)
        close(cases.flat([value(norm), *map(value, clipped)]), expected)
    params = make()
    for p, g in zip(params, cases.gradients(0), strict=True):
        p.grad = eager.tensor(g)
    kept = [p.grad for p in params]
    norm = gc.optim.clip_grad_norm_(params, bound, order)
    close(cases.flat([norm.numpy(), *[p.grad.numpy() for p in params]]), expected)
    assert all(p.grad is g for p, g in zip(params, kept, strict=True)), "in place"


def test_clip_norm_of_large_float32() -> None:
    """Squares of these are infinite in float32."""
    for gradients, value in both([np.float32([3e30, 0.0]), np.float32([[4e30]])]):
        clipped = gc.optim.clip_grad_norm(gradients, 1.0)
        np.testing.assert_allclose(cases.flat(map(value, clipped)), [0.6, 0.0, 0.8], rtol=1e-6)
        assert {c.dtype.name for c in clipped} == {"float32"}
        norm = gc.optim.total_norm({"a": gradients})
        assert norm.dtype == np.float32 and value(norm) == np.float32(5e30)


def test_clip_keeps_zeros_and_nan() -> None:
    for gradients, value in both([np.zeros(2), np.zeros(3)]):
        assert not cases.flat(map(value, gc.optim.clip_grad_norm(gradients, 1.0))).any()
    for gradients, value in both([np.array([np.nan, 1.0])]):
        assert np.isnan(cases.flat(map(value, gc.optim.clip_grad_norm(gradients, 1.0)))).all()
        assert cases.flat(map(value, gc.optim.clip_grad_value(gradients, 0.5)))[1] == 0.5


def test_clip_value() -> None:
    given = cases.gradients(0)
    expected = cases.flat([np.clip(g, -0.5, 0.5) for g in given])
    for gradients, value in both(given):
        nested = gc.optim.clip_grad_value({"w": gradients[0], "b": (gradients[1],)}, 0.5)
        np.testing.assert_array_equal(cases.flat([value(nested["w"]), value(nested["b"][0])]), expected)
    params = make()
    for p, g in zip(params, given, strict=True):
        p.grad = eager.tensor(g)
    assert gc.optim.clip_grad_value_(params, 0.5) is None
    np.testing.assert_array_equal(cases.flat([p.grad.numpy() for p in params]), expected)


def test_minimize_clips_as_the_functions_do() -> None:
    """By value, then by norm; compiled, and eager with the functions that work in place."""
    params = make()
    opt = gc.optim.SGD(params, lr=1.0)
    before = cases.flat([p.value for p in params])
    compiled(opt, params, clip_norm=0.01, clip_value=0.02)(DATA)
    moved = before - cases.flat([p.value for p in params])
    assert np.linalg.norm(moved) == pytest.approx(0.01, rel=2e-4)
    twins = make()
    other = gc.optim.SGD(twins, lr=1.0)
    model(twins, eager.tensor(DATA)).backward()
    gc.optim.clip_grad_value_(twins, 0.02)
    gc.optim.clip_grad_norm_(twins, 0.01)
    other.step()
    np.testing.assert_allclose(before - cases.flat([p.value for p in twins]), moved, rtol=1e-9)


def test_clip_refuses_a_norm_that_is_not_finite() -> None:
    w = gc.param([1.0, 2.0])
    w.grad = eager.tensor([math.inf, 1.0], dtype="float64")
    with pytest.raises(NonFiniteError, match="clip_grad_norm_: the gradients have no finite norm: got inf"):
        gc.optim.clip_grad_norm_([w], 1.0, error_if_nonfinite=True)
    assert w.grad.numpy()[1] == 1.0


# what goes wrong


def test_a_param_that_the_loss_does_not_depend_on_is_named() -> None:
    w, b = make()
    opt = gc.optim.Adam([w, b])
    loss = gc.sum(w**2) + gc.sum(gc.stop_gradient(b))
    with pytest.raises(GradientError) as error:
        opt.minimize(loss)
    text = str(error.value)
    assert "Adam.minimize: got a loss that does not depend on 'b', expected one with a gradient for each param" in text
    assert "hint: name the params to train, minimize(loss, params=[...]), or freeze the others" in text
    assert {p.name for p in opt.minimize(loss, params=[w])} == {
        "w", "w.step", "w.exp_avg", "w.exp_avg_sq", "adam.steps",
    }  # fmt: skip


def test_step_without_gradients() -> None:
    opt = gc.optim.SGD(make())
    with pytest.raises(
        GradientError, match=r"SGD\.step: got no trainable param that has a .grad, expected at least one"
    ) as info:
        opt.step()
    assert str(info.value).endswith(
        "\n  hint: call loss.backward() first, of a loss computed from eager tensors and the params; a compiled step "
        "trains by itself, with gc.compile(..., updates=opt.minimize(loss))"
    )
    assert opt.steps.value == 0


def test_zero_grad() -> None:
    params = make()
    opt = gc.optim.SGD(params)
    params[0].grad = eager.tensor(cases.gradients(0)[0])
    opt.zero_grad(set_to_none=False)
    assert params[0].grad is not None and not params[0].grad.numpy().any() and params[1].grad is None
    opt.zero_grad()
    assert params[0].grad is None


def test_backward_notices_a_step() -> None:
    """As in PyTorch: the values that a later backward needs were changed in place."""
    w = gc.param([1.0, 2.0], name="w")
    opt = gc.optim.SGD([w], lr=0.1)
    loss = (eager.tensor([1.0, 1.0], dtype="float64") * w * w).sum()
    loss.backward(retain_graph=True)
    opt.step()
    with pytest.raises(GradientError, match="in place"):
        loss.backward()


def test_an_eager_rule_that_widens_is_refused() -> None:
    class Wide(gc.optim.Optimizer):
        def __init__(self, params: Any):
            super().__init__(params, 0.1, {})

        def rule(self, w: Any, gradient: Any, state: Any, lr: Any) -> Any:
            return gc.astype(w, "float64") - lr * gradient, {}

    params = make("float32")
    with pytest.raises(DTypeError, match=r"update of param 'w' changes its dtype or shape: got float64\[3, 4\]"):
        at_once(Wide(params), params, [g.astype("float32") for g in cases.gradients(0)])
    np.testing.assert_array_equal(params[1].value, cases.start()[1].astype("float32"))


W = gc.param([1.0], name="w")
BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: gc.optim.SGD([]), "SGD of no params: got an empty list"),
    (lambda: gc.optim.SGD(W), "bad params= of SGD: .*put it in a list"),
    (
        lambda: gc.optim.SGD(gc.nn.Sequential(gc.nn.Linear(1, 2), gc.nn.Linear(2, 1))),
        r"bad params= of SGD: got Sequential\(.*, expected an iterable of params\n.*\n  hint: model\.parameters\(\)",
    ),
    (lambda: gc.optim.SGD([eager.tensor([1.0])]), "bad params= of SGD: .*gc.param"),
    (lambda: gc.optim.SGD([W, W]), "SGD was given a param twice: got 'w'"),
    (lambda: gc.optim.SGD([gc.param([1], name="k")]), "SGD cannot train 'k': got int64"),
    (lambda: gc.optim.SGD([{"params": [W], "beta": 1}]), "unknown option of SGD: got beta, expected one of lr"),
    (lambda: gc.optim.SGD([{"lr": 1}]), "a group of SGD without params"),
    (lambda: gc.optim.SGD([W], lr=-1), "bad lr= of SGD: got -1, expected a number >= 0"),
    (lambda: gc.optim.SGD([W], lr=W), r"bad lr= of SGD: got param 'w'|bad lr= of SGD: got w: float64\[1\]"),
    (lambda: gc.optim.SGD([W], momentum="0.9"), "bad momentum= of SGD: got '0.9', expected a number >= 0"),
    (lambda: gc.optim.SGD([W], weight_decay=math.nan), "bad weight_decay= of SGD: got nan"),
    (lambda: gc.optim.SGD([W], nesterov=True), "bad nesterov= of SGD: .*momentum > 0 and dampening 0"),
    (lambda: gc.optim.Adam([W], betas=0.9), "bad betas= of Adam: got 0.9, expected two"),
    (lambda: gc.optim.AdamW([W], betas=(0.9, 1.0)), r"bad betas\[1\]= of AdamW: got 1.0, .* >= 0 and < 1"),
    (lambda: gc.optim.RMSprop([W], alpha=2), "bad alpha= of RMSprop: got 2, expected a number >= 0 and <= 1"),
    (lambda: gc.optim.Adagrad([W], eps=-1.0), "bad eps= of Adagrad: got -1.0"),
    (lambda: gc.optim.SGD([W]).minimize(gc.sum(W), params=[gc.param(1.0, name="v")]), "params that the optimiser was"),
    (lambda: gc.optim.SGD([W]).minimize(gc.sum(W), clip_norm=0), "bad max_norm= of clip_grad_norm: got 0, .* > 0"),
    (lambda: gc.optim.SGD([W]).minimize(gc.sum(W), clip_value=-1), "bad clip_value= of clip_grad_value: got -1"),
    (lambda: gc.optim.SGD([W]).minimize(eager.tensor(1.0)), "SGD.minimize: got an eager tensor, .*opt.step"),
    (lambda: gc.optim.SGD([W], lr=lambda t: W).minimize(gc.sum(W)), "bad lr= of SGD: got a schedule that gives"),
    (lambda: gc.optim.SGD([W], lr=lambda t: "x").minimize(gc.sum(W)), "bad lr= of SGD: got 'x'"),
    (lambda: gc.optim.cosine(0.1, steps=0), "bad steps= of cosine: got 0, expected an int >= 1"),
    (lambda: gc.optim.step(0.1, 2.5), "bad step_size= of step: got 2.5"),  # type: ignore[arg-type]
    (lambda: gc.optim.multi_step(0.1, [3, 1]), r"bad milestones= of multi_step: got \[3, 1\]"),
    (lambda: gc.optim.one_cycle(0.1, 9, anneal_strategy="sin"), "unknown anneal_strategy of one_cycle: got 'sin'"),
    (lambda: gc.optim.sequential([gc.optim.constant(1)], [1]), "sequential: got 1 schedules and 1 milestones"),
    (lambda: gc.optim.clip_grad_norm([1.0], 1.0), "clip_grad_norm: got 1.0, expected gradients"),
    (lambda: gc.optim.total_norm([]), "total_norm: got no gradients"),
    (lambda: gc.optim.clip_grad_norm_([gc.param(1.0)], 1.0), "clip_grad_norm_: got no param that has a .grad"),
]  # fmt: skip


@pytest.mark.parametrize("call, text", BAD, ids=[text[:40] for _, text in BAD])
def test_errors(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(InputError, match=f"(?s){text}") as error:
        call()
    assert "\n  at " in str(error.value) and "test_optim.py:" in str(error.value)


def test_gradients_that_do_not_fit() -> None:
    opt = gc.optim.SGD([W])
    with pytest.raises(ShapeError, match=r"SGD.updates: the gradient of 'w': got .*float64\[2\].*, expected float64"):
        opt.updates({W: gc.asarray([1.0, 2.0])})
    with pytest.raises(DTypeError, match=r"SGD.updates: the gradient of 'w': got .*float32\[1\].*, expected float64"):
        opt.updates({W: gc.asarray(np.float32([1.0]))})


def test_repr() -> None:
    opt = gc.optim.SGD([{"params": [W]}], lr=gc.optim.exponential(0.1, 0.5))
    text = "<SGD of w: lr=exponential(0.1, gamma=0.5), momentum=0.0, dampening=0.0, weight_decay=0.0, "
    assert repr(opt) == text + "nesterov=False, maximize=False>"


def test_errors_say_what_was_expected() -> None:
    w, n = gc.param(np.ones(3), name="w"), gc.param(np.zeros(2, np.int64), name="n")
    sgd = gc.optim.SGD([w], lr=0.1)
    free = gc.input("lr")
    fed = gc.optim.SGD([w], lr=free)
    w.grad = None

    def with_gradient() -> None:
        w.grad = eager.tensor(np.ones(3))
        fed.step()

    mistakes: list[tuple[Callable[[], Any], str]] = [
        (lambda: gc.optim.SGD([], lr=0.1), "model.parameters() gives those of a model"),
        (lambda: gc.optim.SGD(w, lr=0.1), "an iterable of params"),
        (lambda: gc.optim.SGD([{"lr": 0.1}], lr=0.1), '{"params": [...], ...}'),
        (lambda: gc.optim.SGD([np.ones(3)], lr=0.1), "gc.param tensors"),
        (lambda: sgd.updates({n: gc.asarray(np.zeros(2))}), "params that the optimiser was made with"),
        (lambda: sgd.load_state_dict(3), "what state_dict() gives"),
        (lambda: sgd.load_state_dict({"x": np.ones(1)}), "one of the same optimiser, options and params"),
        (lambda: sgd.step(), "call loss.backward() first"),
        (with_gradient, "a number, schedule or param"),
        (
            lambda: gc.optim.clip_grad_norm([gc.asarray(np.ones(2, np.int64))], 1.0),
            "gradients: float tensors, in lists, tuples or dicts",
        ),
        (lambda: gc.optim.clip_grad_norm_([np.ones(3)], 1.0), "params, or eager tensors"),
        (lambda: gc.optim.Adam([n]), "a float32 or float64 param"),
    ]
    for mistake, text in mistakes:
        with pytest.raises(gc.GraphcError) as error:
            mistake()
        assert text in str(error.value)
