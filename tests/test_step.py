"""Steps as things one holds: calls, results, binding, params between threads, pickles, processes."""

from __future__ import annotations

import copy
import gc as collector
import multiprocessing
import os
import pickle
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from messages import without_line

import graphc as gc
from graphc.ir.guard import Guard
from graphc.runtime.files import compile_counter
from graphc.runtime.supply import POOLED, Supply


def fit() -> tuple[gc.Step, gc.Param, gc.Param]:
    """One step of least squares: x[n], y[n] -> loss, with updates of w and b."""
    x, y = gc.input("x", ("n",)), gc.input("y", ("n",))
    w, b = gc.param(1.0, name="w"), gc.param(0.0, name="b")
    loss = gc.mean((w * x + b - y) ** 2)
    dw, db = gc.grad(loss, [w, b])
    return gc.compile([x, y], [loss], {w: w - 0.1 * dw, b: b - 0.1 * db}, name="fit"), w, b


def double() -> gc.Step:
    x = gc.input("x", ("n",))
    return gc.compile([x], x * 2.0)


X = np.array([1.0, 2.0, 3.0])
Y = 2 * X + 1


# results


def test_structures_of_outputs() -> None:
    x = gc.input("x", ("n",))
    total, twice = gc.sum(x), x * 2.0
    want = (6.0, X * 2)
    for outputs, pick in (
        ([total, twice], lambda r: (type(r) is list, *r)),
        ((twice, total), lambda r: (type(r) is tuple, r[1], r[0])),
        ({"a": (total,), "b": [twice]}, lambda r: (type(r) is dict, r["a"][0], r["b"][0])),
        ((twice, [total]), lambda r: (type(r) is tuple, r[1][0], r[0])),
    ):
        step = gc.compile([x], outputs)
        for result in (step(X), step(X), step.bind(X)()):
            right, number, array = pick(result)
            assert right and type(number) is np.float64 and number == want[0]
            np.testing.assert_array_equal(array, want[1])


@pytest.mark.parametrize("size", [3, 2 * POOLED])
def test_results_are_the_callers_own(size: int) -> None:
    step = double()
    data = np.arange(size, dtype=float)
    kept = [step(data + k) for k in range(8)]
    view = step(data + 100.0)[1:3]
    for _ in range(8):
        step(np.zeros(size))
    for k, result in enumerate(kept):
        assert result[1] == 2 * (1 + k) and not any(np.shares_memory(result, o) for o in kept if o is not result)
        result[...] = -1.0  # nobody minds
    np.testing.assert_array_equal(view, [202, 204])
    np.testing.assert_array_equal(step(step(data)), 4 * data)


def test_large_results_reuse_memory_nobody_holds() -> None:
    supply = Supply((POOLED,), np.dtype("float64"))
    first = supply.take()
    where = first.ctypes.data
    view = memoryview(first[2:])
    del first
    assert supply.take().ctypes.data != where
    del view
    assert supply.take().ctypes.data == where and where % 64 == 0
    held = [supply.take() for _ in range(9)]
    assert len({a.ctypes.data for a in held}) == 9


def test_outputs_show_params_as_they_were_before() -> None:
    v, w = gc.param([1.0, 2.0], name="v"), gc.param([3.0, 4.0], name="w")
    step = gc.compile([], [v, w], {v: w, w: v})
    np.testing.assert_array_equal(step(), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(step(), [[3, 4], [1, 2]])
    np.testing.assert_array_equal([v.value, w.value], [[1, 2], [3, 4]])


def test_a_step_nobody_holds_frees_its_memory_at_once() -> None:
    step = double()
    step(X)
    bound = step.bind(X)
    bound()
    caller = weakref.ref(step._caller)
    collector.disable()
    try:
        del step
        assert caller() is not None
        del bound
        assert caller() is None
    finally:
        collector.enable()


# bind


def test_bound_arrays_are_read_at_each_call() -> None:
    x, c = gc.input("x", ("n",)), gc.input("c")
    step = gc.compile([x, c], gc.sum(x) + c)
    data, scalar = X.copy(), np.array(1.0)
    bound = step.bind(data, c=scalar)
    assert bound() == 7
    data[0], scalar[()] = 10.0, 2.0
    assert bound() == 17 and step.bind(data, 5)() == 20
    assert repr(bound) == "<Bound step(x: float64[3], c: float64[])>"
    del data
    collector.collect()
    assert bound() == 17


def test_what_cannot_be_bound() -> None:
    step = double()
    for value, got in (([1.0], "a list"), (np.ones(4)[::2], "an array of another layout")):
        with pytest.raises(gc.InputError) as caught:
            step.bind(value)
        assert without_line(caught.value) == (
            f"input 'x' cannot be read in place: got {got}, expected a C-contiguous array, float64[n]\n"
            "  hint: bind np.ascontiguousarray(x), and write new values into that"
        )
    with pytest.raises(gc.InputError, match="input 'x' has the wrong dtype"):
        step.bind(np.ones(2, "float32"))
    with pytest.raises(gc.InputError, match="missing input"):
        step.bind()


# errors while running


def test_an_index_out_of_range_changes_nothing() -> None:
    i, w = gc.input("i", ("n",), "int64"), gc.param([1.0, 2.0, 3.0], name="w")
    step = gc.compile([i], [gc.sum(gc.take(w, i))], {w: w * 2.0})
    line = f"{__file__}:{test_an_index_out_of_range_changes_nothing.__code__.co_firstlineno + 2}"
    for call in (lambda: step([0, 3]), lambda: step([0, 3]), step.bind(np.array([0, 3]))):
        with pytest.raises(gc.OutOfBoundsError) as caught:
            call()
        text = str(caught.value)
        assert text.startswith("index out of range in gather: got index 3 in 'i', expected -3 <= index < 3\n")
        assert f"created at {line}: step = gc.compile" in text
    np.testing.assert_array_equal(w.value, [1, 2, 3])
    assert step([-1]) == [3] and w.value[0] == 2


# compile's other arguments


def test_threads_and_check() -> None:
    x = gc.input("x", ("n",))
    assert gc.compile([x], x, threads=2).threads == 2 and gc.compile([x], x).threads is None
    for bad in (0, -1, 1.5, True, "2"):
        with pytest.raises(gc.CompileError) as caught:
            gc.compile([x], x, threads=bad)
        assert without_line(caught.value) == f"bad threads=: got {bad!r}, expected an int >= 1, or None"
    assert gc.compile([x], x, check="nan").check == "nan" and gc.compile([x], x).check is None


# threads


def together(count: int, work: Callable[[int], None]) -> None:
    """Run ``work(k)`` on `count` threads at once; raise what any of them raises."""
    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(work, k) for k in range(count)]:
            done.result(timeout=60)


def test_threads_without_updates() -> None:
    step = double()
    bound = step.bind(X)

    def work(k: int) -> None:
        for n in range(1, 200):
            data = np.full(1 + (n + k) % 5, float(n))
            np.testing.assert_array_equal(step(data), 2 * data)
            np.testing.assert_array_equal(bound(), 2 * X)

    together(8, work)


def test_threads_with_updates_lose_none() -> None:
    n, x = gc.param(np.zeros(50), name="n"), gc.input("x")
    step = gc.compile([x], [], {n: n + x})

    def work(k: int) -> None:
        bound = step.bind(1.0)
        for _ in range(100):
            step(1.0)
            bound()
        step.run(1.0, steps=100)

    together(8, work)
    np.testing.assert_array_equal(n.value, np.full(50, 8 * 300))


def test_readers_see_whole_steps() -> None:
    """Every element of w has the same value between steps, and only then."""
    w = gc.param(np.zeros(20000), name="w")
    write = gc.compile([], [], {w: w + 1.0})
    read = gc.compile([], [gc.min(w), gc.max(w)])
    end = time.perf_counter() + 0.5

    def work(k: int) -> None:
        while time.perf_counter() < end:
            if k == 0:
                write()
            elif k == 1:
                low, high = read()
                assert low == high
            elif k == 2:
                value = w.value
                assert value.min() == value.max()
            else:
                w.value = np.full(20000, w.value[0] + 1.0)
                time.sleep(0.001)

    together(4, work)


def test_steps_that_update_overlapping_params_do_not_block_each_other() -> None:
    a, b, c = (gc.param(np.zeros(1000), name=name) for name in "abc")
    first = gc.compile([], [], {a: a + 1.0, b: b + 1.0})
    second = gc.compile([], [], {c: c + 1.0, b: b + 1.0})
    third = gc.compile([], [gc.sum(a)], {c: c + 1.0})

    def work(k: int) -> None:
        for _ in range(300):
            (first, second, third)[k % 3]()

    together(6, work)
    assert (a.value[0], b.value[0], c.value[0]) == (600, 1200, 1200)


def test_a_long_run_lets_readers_in() -> None:
    w = gc.param(np.zeros(20000), name="w")
    step = gc.compile([], [], {w: w + 1.0})
    running = threading.Event()
    seen: list[float] = []

    def work(k: int) -> None:
        if k == 0:
            running.set()
            step.run(steps=200_000)
        else:
            running.wait()
            while len(seen) < 3 or seen[-1] < 200_000:
                value = w.value
                assert value.min() == value.max()
                seen.append(value[0])

    together(2, work)
    assert len(set(seen)) > 2


def test_a_guard_may_be_taken_again_by_its_thread() -> None:
    guard = Guard()
    with guard.writing(), guard.reading(), guard.writing():
        pass
    with guard.reading(), guard.writing():
        pass
    assert not guard.readers and not guard.waiting


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_a_signal_handler_may_call_the_step() -> None:
    step, w, _ = fit()
    step(X, Y)
    calls: list[float] = []

    def handler(*_: object) -> None:
        calls.extend(step(X, Y))
        w.value = w.value + 0.0

    old = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
        end = time.perf_counter() + 0.2
        while time.perf_counter() < end:
            step(X, Y)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert len(calls) > 10 and step(X, Y)[0] < 1e-3


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_interrupts_anywhere_leave_nothing_held() -> None:
    step, w, _ = fit()
    read, bound = gc.compile([], [w]), step.bind(X, Y)
    armed = False

    def interrupt(*_: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    calls = (lambda: step(X, Y), lambda: step([1.0], [2.0]), bound, read, lambda: step.run(X, Y, steps=3), fit_value(w))
    for call in calls:
        call()
    old = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.00031)
    count, end = 0, time.perf_counter() + 0.5
    while time.perf_counter() < end:
        try:
            armed = True
            while True:
                for call in calls:
                    call()
        except KeyboardInterrupt:
            count += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, old)
    assert count > 20 and not any(g.readers or g.waiting for g, _ in step._caller.guards)
    together(1, lambda _: step(X, Y))  # another thread gets in


def fit_value(w: gc.Param) -> Callable[[], object]:
    """Reads and sets a param."""

    def value() -> None:
        w.value = w.value

    return value


# pickles and processes


def test_a_pickle_finds_its_code() -> None:
    step, w, _ = fit()
    first = step(X, Y)
    compiled = compile_counter()
    other = pickle.loads(pickle.dumps(step))
    assert other(X, Y) == step(X, Y) != first and compile_counter() == compiled
    assert repr(other) == repr(step) and other.text.source == step.text.source and other.source == step.source
    w.value = 7.0
    assert other(X, Y) != step(X, Y)


def test_steps_pickled_together_share_their_params() -> None:
    x = gc.input("x", ("n",))
    w = gc.param(0.0, name="w")
    both = [gc.compile([x], [gc.sum(w * x)]), gc.compile([x], [], {w: w + gc.sum(x)}), w]
    read, write, param = pickle.loads(pickle.dumps(both))
    write(X)
    assert read(X) == [36] and param.value == 6 and both[0](X) == [0] and w.value == 0


def test_copies() -> None:
    step, w, _ = fit()
    same, own = copy.copy(step), copy.deepcopy(step)
    same(X, Y)
    assert w.value != 1.0
    moved = w.value
    assert own(X, Y) == [fit()[0](X, Y)[0]] and w.value == moved


def _loss_of(step: gc.Step) -> float:
    step(X, Y)
    return float(step(X, Y)[0])


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_steps_in_a_process_pool(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("not on this platform")
    step, w, _ = fit()
    with multiprocessing.get_context(method).Pool(1) as pool:
        losses = pool.map(_loss_of, [step, step])
    assert w.value == 1.0 and losses == [_loss_of(step)] * 2


@pytest.fixture
def busy() -> Iterator[tuple[gc.Step, gc.Param]]:
    """A step that another thread keeps calling."""
    n = gc.param(np.zeros(20000), name="n")
    step = gc.compile([], [], {n: n + 1.0})
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            step()

    thread = threading.Thread(target=work)
    thread.start()
    yield step, n
    stop.set()
    thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_finds_whole_params_and_free_guards(busy: tuple[gc.Step, gc.Param]) -> None:
    step, n = busy
    for _ in range(10):
        child = os.fork()
        if child == 0:
            before = n.value
            step()
            os._exit(0 if before.min() == before.max() and n.value[-1] == before[0] + 1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
