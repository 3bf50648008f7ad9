"""The contract of steps, on the simulated device: params live there, and everything else is as on the CPU."""

from __future__ import annotations

import ast
import copy
import pickle
import threading

import numpy as np
import pytest

import graphc as gc
from graphc.errors import NonFiniteError, OutOfBoundsError, UnsupportedError


def counting(target: str = "cuda") -> tuple[gc.Step, gc.Param]:
    """A step that returns the old value of a param, and adds its input."""
    x, w = gc.input("x", (3,)), gc.param(np.zeros(3), name="w")
    return gc.compile([x], [w, gc.sum(x)], {w: w + x}, target=target), w


def test_outputs_are_of_before_the_call_and_values_come_home() -> None:
    step, w = counting()
    for k in range(3):
        old, total = step([1.0, 2.0, 3.0])
        np.testing.assert_array_equal(old, [k, 2 * k, 3 * k])
        assert total == 6.0 and isinstance(total, np.float64)
    np.testing.assert_array_equal(w.value, [3, 6, 9])
    w.value = np.ones(3)
    np.testing.assert_array_equal(step([0.0, 0.0, 0.0])[0], np.ones(3))


def test_results_are_the_callers_own() -> None:
    step, _ = counting()
    first, _ = step([1.0, 1.0, 1.0])
    kept = first.copy()
    first += 7
    second, _ = step([1.0, 1.0, 1.0])
    np.testing.assert_array_equal(kept, 0)
    np.testing.assert_array_equal(second, 1)


def test_a_swap_works() -> None:
    a, b = gc.param(np.arange(3.0), name="a"), gc.param(-np.arange(3.0), name="b")
    step = gc.compile([], [], {a: b, b: a}, target="cuda")
    step()
    np.testing.assert_array_equal(a.value, -np.arange(3.0))
    step()
    np.testing.assert_array_equal(b.value, -np.arange(3.0))


def test_targets_take_turns_with_a_param() -> None:
    x, w, v = gc.input("x", (2,)), gc.param(np.zeros(2), name="w"), gc.param(np.ones(2), name="v")
    updates = {w: w + x * v, v: v + 1}
    here, there = (gc.compile([x], w * v, updates, target=t) for t in ("cpu", "cuda"))
    only = gc.compile([x], w + 0, {w: w + x}, target="cuda")
    read = gc.compile([], [w, v])  # reads, on the CPU
    expected_w, expected_v = np.zeros(2), np.ones(2)
    for k, step in enumerate([here, there, there, only, here, only, there, here]):
        data = np.array([k, 1.0])
        step(data)
        expected_w = expected_w + data * (1 if step is only else expected_v)
        expected_v = expected_v + (step is not only)
        if k % 3 == 1:
            for found, want in zip(read(), (expected_w, expected_v), strict=True):
                np.testing.assert_array_equal(found, want)
    np.testing.assert_array_equal(w.value, expected_w)
    np.testing.assert_array_equal(v.value, expected_v)


def test_whoever_reads_a_param_here_gets_its_value() -> None:
    w = gc.param(np.zeros(2), name="w")
    step = gc.compile([], [], {w: w + 1}, target="cuda")
    readings = [
        lambda: w.value,
        lambda: (gc.eager.tensor([0.0, 0.0]) + w).detach().numpy(),
        lambda: np.array(ast.literal_eval(repr(w).split("value ")[1].rstrip(">"))),
        lambda: pickle.loads(pickle.dumps(w)).value,
        lambda: gc.compile([], w + 0)(),
    ]
    for k, read in enumerate(readings):
        step()
        np.testing.assert_array_equal(read(), k + 1.0)


def test_an_index_out_of_range_changes_nothing() -> None:
    i, table = gc.input("i", ("n",), "int64"), gc.param(np.arange(4.0), name="table")
    step = gc.compile([i], gc.take(table, i), {table: table + 1}, target="cuda")
    np.testing.assert_array_equal(step([0, -1]), [0, 3])
    with pytest.raises(OutOfBoundsError) as info:
        step([1, 4])
    assert "index out of range in gather: got index 4 in 'i', expected -4 <= index < 4" in str(info.value)
    np.testing.assert_array_equal(table.value, np.arange(4.0) + 1)
    np.testing.assert_array_equal(step([3]), [4])


def test_of_two_errors_the_earlier_kernels_is_reported() -> None:
    i, j = gc.input("i", ("n",), "int64"), gc.input("j", ("m",), "int64")
    x = gc.constant(np.arange(5.0))
    first = gc.sum(gc.take(x, i))
    step = gc.compile([i, j], gc.take(x, j) * first, target="cuda")
    on_host = gc.compile([i, j], gc.take(x, j) * first)
    for _ in range(3):
        texts = []
        for one in (step, on_host):
            with pytest.raises(OutOfBoundsError) as info:
                one([9, 1, 2], [7, 8])
            texts.append(str(info.value).split("\n")[0])
        assert texts[0] == texts[1]


def test_nan_is_refused_before_anything_is_committed() -> None:
    x, w = gc.input("x", ("n",)), gc.param(1.0, name="w")
    step = gc.compile([x], gc.sum(gc.log(x)), {w: w + gc.sum(x)}, check="nan", target="cuda")
    step([1.0, 2.0])
    with pytest.raises(NonFiniteError) as info:
        step([1.0, -2.0])
    assert "nan in log: got x = -2.0" in str(info.value)
    assert w.value == 4.0


def test_sizes_may_be_zero_and_change() -> None:
    x = gc.input("x", ("n", "m"))
    step = gc.compile([x], [gc.sum(x), gc.sum(x, axis=0), gc.max(x, axis=1), x * 2], target="cuda")
    for shape in ((2, 3), (0, 3), (5, 1), (40, 30), (2, 3)):
        data = np.arange(np.prod(shape), dtype=float).reshape(shape)
        total, columns, most, double = step(data)
        assert total == data.sum()
        np.testing.assert_array_equal(columns, data.sum(axis=0))
        np.testing.assert_array_equal(most, data.max(axis=1))
        np.testing.assert_array_equal(double, 2 * data)


def test_run_and_bind() -> None:
    x, w = gc.input("x", ("n", 2)), gc.param(np.zeros(2), name="w")
    results = []
    for target in ("cpu", "cuda"):
        w.value = np.zeros(2)
        step = gc.compile([x], [gc.sum(x @ w), x[:, 0] + 0], {w: w + gc.mean(x, axis=0)}, target=target)
        data = np.arange(14.0).reshape(7, 2)
        history = step.run(data, batch_size=3, epochs=2, shuffle=True, seed=4)
        bound = step.bind(data)
        first = bound()
        data[:] = 1.0
        second = bound()
        results.append([*history, *first, *second, *step.run(data, steps=4, every=2), w.value])
    for here, there in zip(*results, strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-14)


def test_copies_and_pickles() -> None:
    step, w = counting()
    step([1.0, 1.0, 1.0])
    twin = copy.deepcopy(step)
    again = pickle.loads(pickle.dumps(step))
    assert (twin.target, again.target) == ("cuda", "cuda")
    for one in (twin, again):
        np.testing.assert_array_equal(one([1.0, 1.0, 1.0])[0], np.ones(3))
    np.testing.assert_array_equal(w.value, np.ones(3))


def test_threads_take_turns() -> None:
    step, w = counting()

    def work() -> None:
        for _ in range(5):
            step([1.0, 2.0, 3.0])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(w.value, [15, 30, 45])


def test_a_function_is_traced() -> None:
    f = gc.compile(lambda x, y: gc.sum(x * y), target="cuda")
    assert f(np.arange(3.0), np.ones(3)) == 3.0
    assert [step.target for step in f.steps.values()] == ["cuda"]


def test_it_verifies() -> None:
    x, w = gc.input("x", ("n",)), gc.param(2.0, name="w")
    loss = gc.mean((w * x - 1.0) ** 2)
    assert gc.compile([x], loss, {w: w - 0.1 * gc.grad(loss, w)}, target="cuda").verify().skipped == ()


def test_it_can_be_read() -> None:
    x = gc.input("x", ("n", "m"), "float32")
    step = gc.compile([x], gc.softmax(x, axis=-1), target="cuda", name="rows")
    assert step.source.startswith('"""rows: one compiled step, target cuda\n')
    assert "block_max_float32" in step.text.source and "shfl_xor_sync" in step.text.source
    assert len(step.kernels) == 1 and str(step.memory)
    with pytest.raises(UnsupportedError) as info:
        step.export("rows.py")
    assert "no export for this target: got a step compiled with target='cuda', expected target='cpu'" in str(info.value)


def test_bits_do_not_depend_on_how_many_blocks_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    data = rng.normal(size=(60, 37)).astype("float32")
    x = gc.input("x", ("n", "m"), "float32")
    found = []
    for most in (1, 2, 50):
        monkeypatch.setattr("graphc.schedule.launches.MOST_BLOCKS", most)
        step = gc.compile([x], [gc.sum(x), gc.softmax(x, axis=-1), gc.sum(gc.exp(x), axis=0)], target="cuda")
        found.append(step(data))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_random_numbers_are_those_of_the_cpu() -> None:
    found = []
    for target in ("cpu", "cuda"):
        key = gc.random.Key(7)
        draws = [
            gc.random.uniform(key, (5, 3)),
            gc.random.normal(key, (8,), dtype="float32"),
            gc.random.randint(key, 0, 99, (9,)),
        ]
        step = gc.compile([], draws, key.updates(), target=target)
        found.append([*step(), *step()])
    for here, there in zip(*found, strict=True):
        np.testing.assert_array_equal(here, there)
    assert not np.array_equal(found[0][0], found[0][3])
