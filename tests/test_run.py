"""`step.run`: many steps in compiled code are the same steps as a loop of calls."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
from messages import without_line

import graphc as gc
from graphc.runtime.batches import Batches, Segment, permutation


class Model:
    """Least squares with predictions: x[n, 3], t[n], rate -> loss, predictions."""

    def __init__(self) -> None:
        x, t, rate = gc.input("x", ("n", 3)), gc.input("t", ("n",)), gc.input("rate")
        self.w = gc.param(np.zeros(3), name="w")
        prediction = x @ self.w
        loss = gc.mean((prediction - t) ** 2)
        update = self.w - rate * gc.grad(loss, self.w)
        self.step = gc.compile([x, t, rate], {"loss": loss, "prediction": prediction}, {self.w: update})
        numbers = np.random.default_rng(1)
        self.x = numbers.normal(size=(25, 3))
        self.t = self.x @ [1.0, 2.0, 3.0]

    def loop(self, orders: list[np.ndarray], size: int) -> tuple[list[Any], list[Any]]:
        """Losses and predictions of a loop of calls, and the params it ends with put back where they were."""
        before, losses, predictions = self.w.value, [], []
        for order in orders:
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                result = self.step(self.x[rows], self.t[rows], 0.1)
                losses.append(result["loss"])
                predictions.append(result["prediction"])
        self.after, self.w.value = self.w.value, before
        return losses, predictions


@pytest.fixture(scope="module")
def shared() -> Model:
    return Model()


@pytest.fixture
def model(shared: Model) -> Model:
    shared.w.value = np.zeros(3)
    return shared


# repetitions


def test_repetitions_are_calls(model: Model) -> None:
    one = model.step(model.x, model.t, 0.1)
    model.w.value = np.zeros(3)
    result = model.step.run(model.x, model.t, 0.1, steps=4)
    assert list(result) == ["loss", "prediction"] and result["loss"][0] == one["loss"]
    assert result["loss"].shape == (4,) and result["prediction"].shape == (4, 25)
    np.testing.assert_array_equal(result["prediction"][0], one["prediction"])
    end = model.w.value
    model.w.value = np.zeros(3)
    for _ in range(4):
        model.step(model.x, model.t, 0.1)
    np.testing.assert_array_equal(model.w.value, end)


def test_every_keeps_the_last_of_each_k(model: Model) -> None:
    full = model.step.run(model.x, model.t, 0.1, steps=10)
    for every, want in ((1, full["loss"]), (3, full["loss"][2::3]), (10, full["loss"][9:]), (11, full["loss"][:0])):
        model.w.value = np.zeros(3)
        thin = model.step.run(model.x, rate=0.1, t=model.t, steps=10, every=every)
        np.testing.assert_array_equal(thin["loss"], want)
        np.testing.assert_array_equal(thin["prediction"], full["prediction"][every - 1 :: every])


def test_many_stretches_keep_their_phase() -> None:
    n = gc.param(0, name="n")
    step = gc.compile([], [n, n * 2], {n: n + 1})
    kept, twice = step.run(steps=1_000_003, every=7)
    np.testing.assert_array_equal(kept, np.arange(6, 1_000_003, 7))
    np.testing.assert_array_equal(twice, 2 * kept)
    assert n.value == 1_000_003


def test_no_steps(model: Model) -> None:
    result = model.step.run(model.x, model.t, 0.1, steps=0)
    assert result["loss"].shape == (0,) and result["prediction"].shape == (0, 25)
    for data, named in ((25, {"epochs": 0}), (0, {}), (0, {"epochs": 3}), (9, {"drop_last": True})):
        result = model.step.run(model.x[:data], model.t[:data], 0.1, batch_size=10, **named)
        assert result["loss"].shape == (0,) and result["prediction"].shape == (0,)
    np.testing.assert_array_equal(model.w.value, 0)
    assert gc.compile([], []).run(steps=5) == []


# batches


@pytest.mark.parametrize("size", [1, 5, 10, 24, 25, 100])
def test_batches_are_calls_on_slices(model: Model, size: int) -> None:
    losses, predictions = model.loop([np.arange(25)] * 3, size)
    result = model.step.run(model.x, model.t, 0.1, batch_size=size, epochs=3)
    np.testing.assert_array_equal(result["loss"], losses)
    np.testing.assert_array_equal(result["prediction"], np.concatenate(predictions))
    np.testing.assert_array_equal(model.w.value, model.after)


def test_shuffled_batches(model: Model) -> None:
    orders = [permutation(25, 5, epoch) for epoch in range(3)]
    assert sorted(orders[0]) == list(range(25)) and any(orders[0] != orders[1])
    losses, predictions = model.loop(orders, 10)
    for data in (model.x, np.asfortranarray(model.x), model.x.tolist()):
        model.w.value = np.zeros(3)
        result = model.step.run(data, model.t, 0.1, batch_size=10, epochs=3, shuffle=True, seed=5)
        np.testing.assert_array_equal(result["loss"], losses)
        np.testing.assert_array_equal(result["prediction"], np.concatenate(predictions))
        np.testing.assert_array_equal(model.w.value, model.after)
    first, second = (model.step.run(model.x, model.t, 0.0, batch_size=25, shuffle=True) for _ in range(2))
    assert any(first["prediction"] != second["prediction"])


def test_runs_of_some_epochs_are_one_run_of_all(model: Model) -> None:
    """To the bit; and the batches are those of a loader."""
    named: dict[str, Any] = {"batch_size": 10, "shuffle": True, "seed": 5}
    whole = model.step.run(model.x, model.t, 0.1, epochs=4, **named)
    after, model.w.value = model.w.value, np.zeros(3)
    parts = [model.step.run(model.x, model.t, 0.1, first_epoch=k, **named) for k in range(2)]
    parts.append(model.step.run(model.x, model.t, 0.1, epochs=2, first_epoch=2, **named))
    for name in whole:
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), whole[name])
    np.testing.assert_array_equal(model.w.value, after)
    model.w.value = np.zeros(3)
    loader = gc.data.DataLoader(gc.data.ArrayDataset(model.x, model.t), 10, shuffle=True, seed=5)
    losses = [model.step(x, t, 0.1)["loss"] for _ in range(4) for x, t in loader]
    np.testing.assert_array_equal(whole["loss"], losses)


def test_the_order_of_rows_is_fixed() -> None:
    assert permutation(8, 0, 0).tolist() == np.random.Generator(np.random.PCG64([0, 0])).permutation(8).tolist()
    assert permutation(8, 0, 0).tolist() == [2, 4, 3, 6, 5, 0, 1, 7]
    assert permutation(8, 0, 1).tolist() != permutation(8, 1, 0).tolist()


def test_every_with_batches(model: Model) -> None:
    losses, predictions = model.loop([np.arange(25)] * 4, 10)
    for every in (1, 2, 3, 5):
        model.w.value = np.zeros(3)
        result = model.step.run(model.x, model.t, 0.1, batch_size=10, epochs=4, every=every)
        np.testing.assert_array_equal(result["loss"], losses[every - 1 :: every])
        np.testing.assert_array_equal(result["prediction"], np.concatenate(predictions[every - 1 :: every]))


def test_drop_last(model: Model) -> None:
    losses, _ = model.loop([np.arange(20)] * 2, 10)
    result = model.step.run(model.x, model.t, 0.1, batch_size=10, epochs=2, drop_last=True)
    np.testing.assert_array_equal(result["loss"], losses)


def test_segments() -> None:
    batches = Batches(25, 10, False, 2, None)
    assert [s[:3] for s in batches.segments()] == [(2, 10, 0), (1, 5, 20)] * 2 and batches.per_epoch == 3
    assert next(Batches(5, 10, False, 1, None).segments())[:3] == Segment(1, 5)[:3]


def test_inputs_that_are_not_datasets_are_passed_whole() -> None:
    x, table = gc.input("x", ("n", 2)), gc.input("table", ("k", 2))
    step = gc.compile([x, table], gc.sum(x) + gc.sum(table))
    result = step.run(np.ones((5, 2)), np.ones((7, 2)), batch_size=2)
    np.testing.assert_array_equal(result, [18, 18, 16])


def test_datasets_of_every_dtype_and_rank() -> None:
    a, b, c = gc.input("a", ("n",), "bool"), gc.input("b", ("n", 2, 3), "float32"), gc.input("c", ("n", 0), "int16")
    step = gc.compile([a, b, c], [gc.where(a, gc.sum(b, axis=(1, 2)), gc.sum(b[:, 0, 0])), c])
    flags, data = np.array([True, False, True]), np.arange(18, dtype="float32").reshape(3, 2, 3)
    order = permutation(3, 1, 0)
    result, empty = step.run(flags, data, np.zeros((3, 0), "int16"), batch_size=1, shuffle=True, seed=1)
    want = np.where(flags, data.sum(axis=(1, 2)), data[:, 0, 0])[order]
    np.testing.assert_array_equal(result, want)
    assert empty.shape == (3, 0) and result.dtype == np.float32


def test_a_fixed_batch_dim() -> None:
    x = gc.input("x", (4, 2))
    step = gc.compile([x], [gc.sum(x), x])
    total, same = step.run(np.ones((8, 2)), batch_size=4)
    np.testing.assert_array_equal(total, [8, 8])
    assert same.shape == (2, 4, 2)  # declared sizes are not the batch's: stacked
    assert step.run(np.ones((9, 2)), batch_size=4, drop_last=True)[0].shape == (2,)
    assert step.run(np.ones((0, 2)), batch_size=4)[0].shape == (0,)
    with pytest.raises(gc.InputError) as caught:
        step.run(np.ones((9, 2)), batch_size=4)
    assert without_line(caught.value) == (
        "the last batch of 'x' is smaller than declared: got 9 rows in batches of 4, "
        "expected a multiple, or drop_last=True\n"
        "  hint: declare the first dim by a name, such as 'batch', to take any size"
    )
    with pytest.raises(gc.InputError) as caught:
        step.run(np.ones((8, 2)), batch_size=2)
    assert without_line(caught.value) == (
        "input 'x' is declared with 4 rows: got batch_size=2, expected batch_size=4\n"
        "  hint: declare the first dim by a name, such as 'batch', to take any size"
    )


def test_outputs_that_vary_otherwise_with_the_batch() -> None:
    x = gc.input("x", ("n", 2))
    step = gc.compile([x], x.T)
    assert step.run(np.ones((4, 2)), batch_size=2).shape == (2, 2, 2)
    with pytest.raises(gc.InputError) as caught:
        step.run(np.ones((5, 2)), batch_size=2)
    assert without_line(caught.value) == (
        "output 0 has another shape in the last, smaller batch: got float64[2, n], "
        "expected outputs with the batch dim first, or without it; or drop_last=True"
    )
    assert step.run(np.ones((5, 2)), batch_size=2, drop_last=True).shape == (2, 2, 2)


# what is refused, before the first step


def test_what_is_refused(model: Model) -> None:
    x, t = model.x, model.t
    for args, named, text in (
        ((x, t, 0.1), {}, "run needs to know when to end: got neither steps= nor batch_size=, expected steps= for the "
         "same arrays again and again, or batch_size= to go through datasets"),
        ((x, t, 0.1), {"steps": 1, "batch_size": 1}, "run needs to know when to end: got both steps= and batch_size=, "
         "expected steps= for the same arrays again and again, or batch_size= to go through datasets"),
        ((x, t, 0.1), {"steps": 1, "epochs": 2}, "no batches to go through: got steps=, expected batch_size= "
         "beside epochs=, first_epoch=, shuffle=, seed= or drop_last="),
        ((x, t, 0.1), {"step": 5}, "unknown input: got 'step', expected one of x, t, rate\n  hint: did you mean "
         "steps=?"),
        ((x, t, 0.1), {"steps": -1}, "bad steps= of step.run: got -1, expected an int >= 0"),
        ((x, t, 0.1), {"steps": 1.5}, "bad steps= of step.run: got 1.5, expected an int >= 0"),
        ((x, t, 0.1), {"steps": 1, "every": 0}, "bad every= of step.run: got 0, expected an int >= 1"),
        ((x, t, 0.1), {"batch_size": 0}, "bad batch_size= of step.run: got 0, expected an int >= 1"),
        ((x, t, 0.1), {"batch_size": 1, "epochs": -1}, "bad epochs= of step.run: got -1, expected an int >= 0"),
        ((x, t, 0.1), {"steps": 1, "first_epoch": 1}, "no batches to go through: got steps=, expected batch_size= "
         "beside epochs=, first_epoch=, shuffle=, seed= or drop_last="),
        ((x, t, 0.1), {"batch_size": 1, "first_epoch": -1},
         "bad first_epoch= of step.run: got -1, expected an int >= 0"),
        ((x, t, 0.1), {"batch_size": 1, "shuffle": True, "first_epoch": 2}, "the orders of the rows to go on with are "
         "not known: got first_epoch=2 without seed=, expected the seed= of the epochs before"),
        ((x, t, 0.1), {"batch_size": 1, "shuffle": True, "seed": -1},
         "bad seed= of step.run: got -1, expected an int >= 0"),
        ((x, t[:24], 0.1), {"batch_size": 5}, "datasets of different lengths: got 'x': 25 rows, 't': 24 rows, "
         "expected as many rows in each"),
        ((x[:, :2], t, 0.1), {"batch_size": 5}, "input 'x' has the wrong size on axis 1: got float64[5, 2], "
         "expected float64[n, 3]"),
        ((x, t, 0.1), {"steps": 1, "stride": 1}, "unknown input: got 'stride', expected one of x, t, rate\n"
         "  hint: compiled with inputs=[x, t, rate]: call step(x, t, rate); or with steps=, batch_size=, epochs=, "
         "first_epoch=, shuffle=, seed=, drop_last=, every=, progress="),
    ):  # fmt: skip
        with pytest.raises(gc.InputError) as caught:
            model.step.run(*args, **named)
        assert without_line(caught.value) == text
    np.testing.assert_array_equal(model.w.value, 0)
    scalar = gc.input("s")
    with pytest.raises(gc.InputError) as caught:
        gc.compile([scalar], scalar).run(1.0, batch_size=2)
    assert without_line(caught.value) == (
        "no input to cut into batches: got 0-d inputs only, expected one with a first axis"
    )


# errors and interrupts on the way


def test_an_error_at_step_k_leaves_the_params_of_step_k_minus_1() -> None:
    i, n = gc.input("i", ("k",), "int64"), gc.param([0.0, 0.0], name="n")
    step = gc.compile([i], [gc.sum(gc.take(n, i))], {n: n + 1.0})
    index = np.array([0, 1, 0, 1, 1, 2, 0, 0])
    for named, steps in (({}, 2), ({"shuffle": True, "seed": 3}, list(permutation(8, 3, 0)).index(5) // 2)):
        n.value = np.zeros(2)
        with pytest.raises(gc.OutOfBoundsError) as caught:
            step.run(index, batch_size=2, epochs=2, **named)
        first = str(caught.value).splitlines()[0]
        assert first == (
            f"index out of range in gather at step {steps + 1} of 8: got index 2 in 'i', expected -2 <= index < 2"
        )
        assert n.value[0] == steps
    assert step([0]) == [n.value[0] - 1.0]  # the frame is as it was


def test_progress(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    model.step.run(model.x, model.t, 0.1, batch_size=10, epochs=2, progress=True)
    assert "6/6" in capsys.readouterr().err
    model.step.run(model.x, model.t, 0.1, steps=3)
    assert not capsys.readouterr().err


def test_progress_to_a_function(model: Model) -> None:
    """It sees every output once it is there; an error of it leaves the params of a whole step."""
    seen: list[tuple[int, dict[str, np.ndarray]]] = []
    whole = model.step.run(
        model.x, model.t, 0.1, batch_size=10, epochs=3, every=2, progress=lambda *now: seen.append(now)
    )
    assert [steps for steps, _ in seen] == sorted({steps for steps, _ in seen}) and seen[-1][0] == 9
    for steps, found in seen:
        assert len(found["loss"]) == steps // 2
        for name, values in found.items():
            np.testing.assert_array_equal(values, whole[name][: len(values)])
    model.w.value = np.zeros(3)
    done: list[int] = []

    def fail(steps: int, found: Any) -> None:
        done.append(steps)
        assert steps < 5, "enough"

    with pytest.raises(AssertionError, match="enough"):
        model.step.run(model.x, model.t, 0.1, steps=10**6, progress=fail)
    stopped, model.w.value = model.w.value, np.zeros(3)
    model.step.run(model.x, model.t, 0.1, steps=done[-1])
    np.testing.assert_array_equal(model.w.value, stopped)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_is_honoured_within_a_second_at_a_whole_step(request: pytest.FixtureRequest) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    n = gc.param(np.zeros(1000), name="n")
    step = gc.compile([], [], {n: n + 1.0})
    step.run(steps=10)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        step.run(steps=10**12)
    assert time.perf_counter() - start < 1.3
    value = n.value
    assert value.min() == value.max() > 10
    step()
    assert n.value[0] == value[0] + 1


# the same as plain Python

PLAIN = """
import numpy as np, graphc as gc
from test_run import Model
m = Model()
x, c = gc.input("x", ("n", 2), "float32"), gc.input("c", (), "int64")
calls = gc.param(0, name="calls")
pure = gc.compile([x, c], [gc.exp(-gc.sum(x, axis=1)), c // 2], {calls: calls + c})
i, table = gc.input("i", ("n",), "int64"), gc.param(np.arange(6.0), name="table")
looked = gc.compile([i], [gc.sum(gc.take(table, i))], {table: table.at[i].add(1.0)})
data = np.linspace(0, 1, 14, dtype="float32").reshape(7, 2)
found = [
    m.step(m.x, m.t, 0.1)["loss"], *m.step.run(m.x, m.t, 0.1, batch_size=10, epochs=2, shuffle=True, seed=1).values(),
    m.step.run(m.x, m.t, 0.1, steps=5, every=2)["loss"], m.step.bind(m.x, m.t, 0.1)()["prediction"], m.w.value,
    *pure(data, 7), *pure.run(data, 3, batch_size=3), calls.value,
    *looked([1, 1, -1]), *looked.run(np.arange(6), batch_size=4), table.value,
]
try:
    looked.run(np.arange(8), batch_size=2)
except gc.OutOfBoundsError as error:
    found.append(np.frombuffer(str(error).splitlines()[0].encode(), np.uint8))
found.append(table.value)
"""


def test_the_same_as_plain_python(tmp_path: Any) -> None:
    names: dict[str, Any] = {}
    exec(PLAIN, names)
    script = tmp_path / "plain.py"
    script.write_text(PLAIN + "import sys\nnp.savez(sys.argv[1], *found)\n")
    here = os.path.dirname(__file__)
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": here}
    subprocess.run([sys.executable, str(script), str(tmp_path / "found.npz")], env=environment, check=True)
    plain = np.load(tmp_path / "found.npz")
    assert len(plain.files) == len(names["found"])
    for file, want in zip(plain.files, names["found"], strict=True):
        np.testing.assert_allclose(plain[file], want, rtol=2e-6 if np.asarray(want).dtype == np.float32 else 1e-12)
        assert plain[file].dtype == np.asarray(want).dtype


def test_loaders_and_seeds_that_do_nothing() -> None:
    """A loader or dataset in the place of arrays is told how to give them; a seed without a shuffle is warned of."""
    x, t = gc.input("x", ("n", 2)), gc.input("t", ("n",))
    data = gc.data.ArrayDataset(np.ones((4, 2)), np.arange(4.0))
    loader = gc.data.DataLoader(data, batch_size=2)
    both, one = gc.compile([x, t], gc.sum(x) * gc.sum(t)), gc.compile([x], gc.sum(x))
    for call in (both, one, lambda given: both.run(given, batch_size=2), lambda given: one.run(given, batch_size=2)):
        with pytest.raises(gc.InputError) as caught:
            call(loader)
        assert str(caught.value).endswith(
            "\n  hint: step.run(*loader.arrays(), batch_size=...) goes through it inside compiled code; for batch in "
            "loader: step(*batch)"
        )
        with pytest.raises(gc.InputError, match=r"\n  hint: step.run\(\*dataset.arrays\(\), batch_size=...\)"):
            call(data)
    given = loader.arrays()
    with pytest.warns(gc.GraphcWarning, match="seed= without shuffle=True does nothing") as warned:
        seeded = both.run(*given, batch_size=2, seed=1)
    assert [w.filename for w in warned] == [__file__]
    np.testing.assert_array_equal(seeded, both.run(*given, batch_size=2))
