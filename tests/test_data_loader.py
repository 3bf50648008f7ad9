"""`gc.data`: datasets, batches in the order of `step.run`, threads that end, errors that name the item."""

from __future__ import annotations

import gc as garbage
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from messages import text_of

import graphc as gc
from graphc.data import ArrayDataset, BatchDataset, DataLoader, Dataset, Digits, Subset, collate, prefetch, random_split
from graphc.data.prefetch import ordered

WAIT = 60.0
"""Seconds after which a test that waits for another thread fails."""


class Squares(Dataset):
    """Items ``(float, int)``; `bad` raises."""

    def __init__(self, length: int, bad: int = -1):
        self.length, self.bad = length, bad

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[float, int]:
        if index == self.bad:
            raise KeyError("no such file")
        return index / 2, index**2


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("graphc-data")]


def check(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert text_of(caught.value) == text


def listed(loader: DataLoader) -> list[Any]:
    return [[part.tolist() for part in batch] for batch in loader]


# batches


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("length,size", [(0, 3), (2, 3), (3, 3), (10, 3), (10, 1), (12, 4)])
def test_batches(length: int, size: int, drop_last: bool, workers: int) -> None:
    loader = DataLoader(Squares(length), size, drop_last=drop_last, num_workers=workers)
    rows = [list(range(k, min(k + size, length))) for k in range(0, length, size)]
    rows = [r for r in rows if len(r) == size or not drop_last]
    assert listed(loader) == [[[i / 2 for i in r], [i**2 for i in r]] for r in rows]
    assert len(loader) == len(rows)


def test_shuffled_epochs() -> None:
    """Each epoch has the documented order; the loader counts them; the number of threads changes nothing."""
    x = np.arange(23.0)
    want = [[x[np.random.Generator(np.random.PCG64([7, e])).permutation(23)]] for e in range(3)]
    for workers in (0, 2):
        loader = DataLoader(ArrayDataset(x), 5, shuffle=True, seed=7, num_workers=workers)
        found = [[np.concatenate([b[0] for b in loader])] for _ in range(3)]
        np.testing.assert_array_equal(found, want)
        assert loader.epoch == 3
    assert len({tuple(w[0]) for w in want}) == 3


def test_epochs_in_flight_keep_their_order() -> None:
    loader = DataLoader(ArrayDataset(np.arange(8)), 2, shuffle=True, seed=1, num_workers=1)
    first, second = iter(loader), iter(loader)
    mixed = [(a[0].tolist(), b[0].tolist()) for a, b in zip(first, second, strict=True)]
    for k, found in enumerate(zip(*mixed, strict=True)):
        assert [i for batch in found for i in batch] == loader.order(k).tolist()


@pytest.mark.parametrize("shuffle", [False, True])
def test_same_batches_as_step_run(shuffle: bool) -> None:
    """`loader.arrays()` with the loader's settings: the compiled loop sees what a loop over the loader sees."""
    x, t = gc.input("x", ("n", 3)), gc.input("t", ("n",), "int64")
    w = gc.param(np.zeros(3), name="w")
    step = gc.compile([x, t], gc.sum(x * w), {w: 0.5 * w + gc.sum(x, axis=0) * gc.sum(t)})
    rng = np.random.default_rng(3)
    data = ArrayDataset(rng.normal(size=(11, 3)), rng.integers(0, 5, 11))
    loader = DataLoader(data, 4, shuffle=shuffle, seed=5, num_workers=2)
    by_hand = [step(xb, tb) for _ in range(3) for xb, tb in loader]
    after = w.value
    w.value = np.zeros(3)
    run = step.run(*loader.arrays(), batch_size=4, epochs=3, shuffle=shuffle, **({"seed": 5} if shuffle else {}))
    np.testing.assert_array_equal(run, by_hand)
    np.testing.assert_array_equal(w.value, after)


def test_arrays_of_any_dataset() -> None:
    halves, squares = DataLoader(Squares(5), 2).arrays()
    np.testing.assert_array_equal(halves, np.arange(5) / 2)
    np.testing.assert_array_equal(squares, np.arange(5) ** 2)
    (only,) = DataLoader([1.0, 2.0, 3.0]).arrays()
    np.testing.assert_array_equal(only, [1.0, 2.0, 3.0])
    part = DataLoader(Subset(ArrayDataset(np.arange(5)), [3, 1]), shuffle=True, seed=0).arrays()
    np.testing.assert_array_equal(part, [[3, 1]])
    named = DataLoader([{"x": 1.0}, {"x": 2.0}]).arrays()
    assert list(named) == ["x"]
    data = ArrayDataset(np.arange(3))
    assert DataLoader(data).arrays()[0] is data.arrays()[0]
    assert DataLoader([[1, 2], [3, 4]]).arrays()[1].tolist() == [2, 4]


def test_arrays_without_items() -> None:
    """Of a dataset that knows its dtypes they are empty; of others, what makes batches decides."""
    (none,) = DataLoader(Subset(ArrayDataset(np.zeros((5, 2), "float32")), [])).arrays()
    assert (none.shape, none.dtype) == ((0, 2), np.float32)
    assert DataLoader(Squares(0), collate_fn=len).arrays() == (0,)
    check(
        DataLoader(Squares(0)).arrays, gc.DataError,
        "DataLoader: cannot take all 0 items of Squares: got ValueError: without items, shapes and dtypes are unknown"
        "\n  at LINE",
    )  # fmt: skip


def test_batches_of_array_datasets_own_their_memory() -> None:
    x = np.arange(4.0)
    (batch,) = next(iter(DataLoader(ArrayDataset(x), 4)))
    batch[:] = 9
    np.testing.assert_array_equal(x, np.arange(4.0))


def test_a_seed_is_drawn() -> None:
    a, b = (DataLoader(ArrayDataset(np.arange(100)), shuffle=True) for _ in range(2))
    assert a.seed != b.seed
    assert a.order(0).tolist() != b.order(0).tolist()
    assert repr(a) == f"DataLoader(ArrayDataset of 100, batch_size=1, shuffle=True, seed={a.seed}, num_workers=0)"


def test_state_goes_on_with_the_same_orders() -> None:
    data = ArrayDataset(np.arange(9))
    a = DataLoader(data, 2, shuffle=True, seed=2**64 - 1)
    listed(a)
    b = DataLoader(data, 2, shuffle=True)
    b.load_state_dict(a.state_dict())
    assert listed(a) == listed(b)
    check(
        lambda: b.load_state_dict({"seed": 3}), gc.InputError,
        "DataLoader: not the state of a loader: got seed, expected seed, epoch\n  at LINE",
    )  # fmt: skip
    for state, text in (
        ({"seed": None, "epoch": 2}, "bad seed= of DataLoader: got None, expected an int >= 0"),
        ({"seed": 1.9, "epoch": 2}, "bad seed= of DataLoader: got 1.9, expected an int >= 0"),
        ({"seed": np.array(True), "epoch": 2}, "bad seed= of DataLoader: got array(True), expected an int >= 0"),
        ({"seed": 1, "epoch": 2.7}, "bad epoch= of DataLoader: got 2.7, expected an int >= 0"),
        ({"seed": 1, "epoch": np.array([2, 3])}, "bad epoch= of DataLoader: got array([2, 3]), expected an int >= 0"),
        ({"seed": 1, "epoch": np.array(-1)}, "bad epoch= of DataLoader: got array(-1), expected an int >= 0"),
        (3, "DataLoader: not the state of a loader: got int, expected seed, epoch"),
    ):
        check(lambda state=state: b.load_state_dict(state), gc.InputError, f"{text}\n  at LINE")
        assert (b.seed, b.epoch) == (a.seed, a.epoch)


# collate


class Pair(NamedTuple):
    image: np.ndarray
    label: int


def test_collate() -> None:
    for items, want, dtype in (
        ([1, 2], [1, 2], "int64"),
        ([1.0, 2.5], [1.0, 2.5], "float64"),
        ([1, 2.5], [1.0, 2.5], "float64"),
        ([True, False], [True, False], "bool"),
        ([np.float32(1), np.float32(2)], [1, 2], "float32"),
        ([np.zeros((2, 0), "int8")] * 3, np.zeros((3, 2, 0)), "int8"),
        ([gc.eager.tensor([1.0], requires_grad=True), gc.eager.tensor([2.0])], [[1.0], [2.0]], "float32"),
    ):
        found = collate(items)  # type: ignore[arg-type]
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, want)  # type: ignore[arg-type]
    found = collate([Pair(np.zeros(2), 3), Pair(np.ones(2), 4)])
    assert type(found) is Pair
    assert found.image.shape == (2, 2)
    nested = collate([{"a": [1, (2.0, "x")]}, {"a": [3, (4.0, "y")]}])
    assert type(nested["a"]) is list
    assert nested["a"][0].tolist() == [1, 3]
    assert nested["a"][1][1] == ["x", "y"]


@pytest.mark.parametrize("items,error,text", [
    ([np.zeros(2), np.zeros(2), np.zeros(3)], ValueError,
     "items of different shapes: (2,) in the first, (3,) in number 3"),
    ([np.zeros(2), np.zeros(2, "float32")], ValueError,
     "items of different dtypes: float64 in the first, float32 in number 2"),
    ([(1, 2), (1,)], ValueError, "items of different lengths: 2 in the first, 1 in number 2"),
    ([{"a": 1}, {"b": 1}], ValueError, "items of different keys: ['a'] in the first, ['b'] in number 2"),
    ([None, None], TypeError,
     "an item holds a NoneType: expected arrays, numbers, texts, or tuples, lists, dicts of them"),
    ([], ValueError, "without items, shapes and dtypes are unknown"),
])  # fmt: skip
def test_what_cannot_be_one_batch(items: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        collate(items)
    assert str(caught.value) == text


def test_collate_fn() -> None:
    for workers in (0, 2):
        loader = DataLoader([3, 1, 2], 2, num_workers=workers, collate_fn=max)
        assert list(loader) == [3, 2]


# errors of datasets


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_names_the_item(workers: int) -> None:
    """Batches before it arrive; the loop gets the error; no thread stays."""
    seen = []
    with pytest.raises(gc.DataError) as caught:
        for _, squares in DataLoader(Squares(10, bad=5), 2, num_workers=workers):
            seen.append(squares.tolist())
    assert seen == [[0, 1], [4, 9]]
    assert text_of(caught.value) == (
        "DataLoader: cannot take item 5 of Squares: got KeyError: 'no such file'\n  at LINE"
    )
    assert isinstance(caught.value.__cause__, KeyError)
    assert threads() == []


@pytest.mark.parametrize("workers", [0, 2])
def test_other_errors(workers: int) -> None:
    ragged = DataLoader([np.zeros(1), np.zeros(2), np.zeros(3)], 3, num_workers=workers)
    check(
        lambda: next(iter(ragged)), gc.DataError,
        "DataLoader: cannot take items 0, 1, 2 of list: got ValueError: items of different shapes: (1,) in the first, "
        "(2,) in number 2\n  at LINE",
    )  # fmt: skip

    class Stops(Squares):
        def __getitem__(self, index: int) -> Any:
            raise StopIteration

    check(
        lambda: list(DataLoader(Subset(Stops(9), [7]), num_workers=workers)), gc.DataError,
        "DataLoader: cannot take item 7 of Stops: got StopIteration\n  at LINE",
    )  # fmt: skip

    class Whole(BatchDataset):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> Any:
            raise AssertionError("asked for one item")

        def batch(self, index: np.ndarray) -> Any:
            raise OSError("disk")

    check(
        lambda: list(DataLoader(Whole(), 10, num_workers=workers)), gc.DataError,
        "DataLoader: cannot take items 0, 1, 2, 3, 4, 5, 6, 7 ... of Whole: got OSError: disk\n  at LINE",
    )  # fmt: skip
    assert threads() == []


def test_bad_arguments() -> None:
    check(
        lambda: DataLoader(iter([1])), gc.InputError,
        "DataLoader: not a dataset: got list_iterator, expected an object with __len__ and __getitem__\n  at LINE\n"
        "  hint: gc.data.ArrayDataset(x, y) is a dataset of arrays",
    )  # fmt: skip
    x, t = np.ones((4, 3)), np.zeros(4, "int64")
    check(
        lambda: DataLoader((x, t), 2), gc.InputError,
        "DataLoader: arrays in a tuple are no dataset: got float64[4, 3], int64[4], expected items, one for each row\n"
        "  at LINE\n  hint: gc.data.ArrayDataset(x, y) is a dataset of arrays: an item is a row of each",
    )  # fmt: skip
    check(
        lambda: DataLoader(x, t), gc.InputError,
        "bad batch_size= of DataLoader: got array([0, 0, 0, 0]), expected an int >= 1\n  at LINE\n"
        "  hint: gc.data.ArrayDataset(x, y) is one dataset of several arrays",
    )  # fmt: skip
    with pytest.raises(gc.InputError, match=r"\n  hint: batch_size is argument 2, where there is array"):
        DataLoader(x, t, batch_size=2)
    with pytest.raises(AttributeError, match=r"\n  hint: gc.data.ArrayDataset\(x, y\) is a dataset of arrays"):
        _ = gc.data.TensorDataset
    assert [len(DataLoader(items)) for items in ((x, x), [x, t], (1, 2))] == [2, 2, 2]
    check(
        lambda: DataLoader([1], seed=2**64), gc.InputError,
        f"bad seed= of DataLoader: got {2**64}, expected an int below 2**64\n  at LINE",
    )  # fmt: skip
    for name, least in (("batch_size", 1), ("num_workers", 0), ("prefetch_factor", 1), ("seed", 0)):
        check(
            lambda name=name, least=least: DataLoader([1], **{name: least - 1}), gc.InputError,
            f"bad {name}= of DataLoader: got {least - 1}, expected an int >= {least}\n  at LINE",
        )  # fmt: skip
    check(
        lambda: ArrayDataset(np.zeros(3), np.zeros((4, 2))), gc.ShapeError,
        "ArrayDataset: arrays without a common first axis: got float64[3], float64[4, 2], "
        "expected one or more arrays of equally many rows\n  at LINE",
    )  # fmt: skip
    for arrays in ((), (3.0,)):
        with pytest.raises(gc.ShapeError, match="ArrayDataset: arrays without a common first axis"):
            ArrayDataset(*arrays)


# threads


def test_leaving_early_ends_the_threads() -> None:
    def one() -> int:
        for squares in DataLoader(Squares(1000), 2, num_workers=3):
            assert len(threads()) in (1, 2, 3)
            return len(squares)
        return 0

    assert one() == 2
    assert threads() == []
    with pytest.raises(ZeroDivisionError):
        for _ in DataLoader(Squares(1000), 2, num_workers=3):
            1 / 0  # noqa: B018
    assert threads() == []
    batches = iter(DataLoader(Squares(1000), 2, num_workers=3))
    assert threads() == []
    next(batches)
    assert threads()
    del batches
    assert threads() == []


def test_leaving_early_stops_within_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items not yet begun are not made when the loop has been left; `__getitem__` is waited for."""
    begun: list[int] = []
    entered, told = threading.Event(), threading.Event()
    heard: list[bool] = []
    monkeypatch.setattr(prefetch, "threading", SimpleNamespace(Event=lambda: told, get_ident=threading.get_ident))

    class Slow(Squares):
        def __getitem__(self, index: int) -> Any:
            begun.append(index)
            if index == 10:
                entered.set()
                heard.append(told.wait(WAIT))
            return index

    batches = iter(DataLoader(Slow(1000), 10, num_workers=1))
    next(batches)
    assert entered.wait(WAIT)
    del batches
    assert threads() == []
    assert (begun, heard) == (list(range(11)), [True])


def test_no_job_begins_after_closing() -> None:
    begun: list[int] = []

    def make(job: int, stopped: Callable[[], bool]) -> int:
        begun.append(job)
        while job and not stopped():
            threading.Event().wait(1e-3)
        return job

    results = ordered(make, range(100), workers=2, ahead=20)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert threads() == []
    assert len(begun) <= 3


def test_an_iterator_collected_by_its_own_worker() -> None:
    """Python's garbage collector may run in any thread, a worker of the dropped iterator among them."""
    collect, entered = threading.Event(), threading.Event()
    unraisable: list[Any] = []

    class Collects(Squares):
        def __getitem__(self, index: int) -> Any:
            if index == 10:
                entered.set()
                assert collect.wait(WAIT)
                garbage.collect()
            return index

    class Holder:
        pass

    hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
    garbage.disable()
    try:
        holder: Any = Holder()
        holder.me, holder.batches = holder, iter(DataLoader(Collects(1000), 10, num_workers=1))
        next(holder.batches)
        assert entered.wait(WAIT)
        own = [t for t in threading.enumerate() if t.name.startswith("graphc-data")]
        del holder
        collect.set()
        for thread in own:
            thread.join(WAIT)
    finally:
        garbage.enable()
        sys.unraisablehook = hook
    assert len(own) == 1
    assert (threads(), unraisable) == ([], [])


def test_the_next_batches_are_made_while_the_loop_works() -> None:
    """And no more of them than asked for."""
    made = [threading.Event() for _ in range(20)]

    class Told(Squares):
        def __getitem__(self, index: int) -> Any:
            made[index].set()
            return index

    for k, _ in enumerate(DataLoader(Told(20), num_workers=2, prefetch_factor=2)):
        for ahead in made[k : k + 5]:
            assert ahead.wait(WAIT)
        assert not any(event.is_set() for event in made[k + 5 :])


def test_threads_work_while_a_step_runs() -> None:
    """A worker sees a param between two steps of one call of `step.run`: the call does not hold the GIL."""
    steps = 20000
    n, w = gc.input("n"), gc.param(0.0, name="w")
    step = gc.compile([n], [], {w: w + n})
    midst, stop = threading.Event(), threading.Event()

    class Watches(Squares):
        def __getitem__(self, index: int) -> Any:
            while index == 1 and not stop.is_set() and not midst.is_set():
                if float(w.state.array) % steps:
                    midst.set()
            return index

    batches = iter(DataLoader(Watches(3), num_workers=1, prefetch_factor=1))
    next(batches)
    for _ in range(500):
        step.run(1.0, steps=steps)
        if midst.is_set():
            break
    stop.set()
    assert midst.is_set()
    assert [b.tolist() for b in batches] == [[1], [2]]


def test_order_under_races() -> None:
    """Jobs that end in any order come out in theirs."""
    rng = np.random.default_rng(0)
    pauses = rng.uniform(0, 1e-3, 200)

    def make(job: int, stopped: Any) -> int:
        threading.Event().wait(pauses[job])
        return job

    for workers, ahead in ((1, 1), (4, 2), (8, 16)):
        assert list(ordered(make, range(200), workers, ahead)) == list(range(200))
    assert list(ordered(make, [], 2, 2)) == []


def test_many_loaders_at_once() -> None:
    results: dict[int, Any] = {}

    def consume(k: int) -> None:
        results[k] = listed(DataLoader(Squares(50), 7, shuffle=True, seed=k, num_workers=2))

    consumers = [threading.Thread(target=consume, args=(k,)) for k in range(6)]
    for thread in consumers:
        thread.start()
    for thread in consumers:
        thread.join(WAIT)
    assert results == {k: listed(DataLoader(Squares(50), 7, shuffle=True, seed=k)) for k in range(6)}
    assert threads() == []


def test_the_process_ends_with_an_iterator_open() -> None:
    program = "import graphc as gc; b = iter(gc.data.DataLoader(range(10**6), num_workers=2)); print(next(b))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=WAIT, env=dict(os.environ)
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0]\n", "")


FORKS = """
import os, signal
import graphc as gc
loader = gc.data.DataLoader(range(9), 2, num_workers=2, prefetch_factor=1)
begun, whole = iter(loader), iter(loader)
print(next(begun), len(list(whole)), flush=True)
child = os.fork()
if child == 0:
    signal.alarm(60)
    try:
        next(begun)
    except gc.DataError as error:
        print(error)
    print(next(whole, "end"), *begun, *loader, flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1], *begun)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_an_iterator_does_not_go_on_behind_a_fork(tmp_path: Path) -> None:
    """It says so; the loader works there, and the iterator goes on where it began."""
    program = tmp_path / "test_forks.py"
    program.write_text(FORKS)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=2 * WAIT)
    batches = "[2 3] [4 5] [6 7] [8]"
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "[0 1] 5",
        "DataLoader: an iterator from before a fork: got a process without the threads that prepare its batches, "
        "expected the process that began it",
        f"  at {program}:11: next(begun)",
        "  hint: begin a new loop over the loader in this process",
        f"end [0 1] {batches}",
        f"0 {batches}",
    ]


# parts


def test_subset_and_split() -> None:
    x = np.arange(10.0)
    data = ArrayDataset(x, x**2)
    part = Subset(data, [7, -1, 7])
    assert len(part) == 3
    assert part[1] == (9.0, 81.0)
    assert part[-1] == (7.0, 49.0)
    assert listed(DataLoader(Subset(part, [2, 1]), 2)) == [[[7.0, 9.0], [49.0, 81.0]]]
    for lengths, sizes in (([7, 3], [7, 3]), ([0.75, 0.25], [8, 2]), ([0.5, 0.25, 0.25], [6, 2, 2]), ([1.0], [10])):
        parts = random_split(data, lengths, seed=4)
        assert [len(p) for p in parts] == sizes
        order = [int(i) for p in parts for i in p.indices]
        assert order == np.random.Generator(np.random.PCG64([4, 0])).permutation(10).tolist()
    assert random_split(data, [5, 5])[0].indices.tolist() != random_split(data, [5, 5])[0].indices.tolist()
    assert [len(p) for p in random_split([1], [0.5, 0.5], seed=0)] == [1, 0]


def test_errors_of_parts() -> None:
    data = ArrayDataset(np.arange(3))
    for call, text in (
        (lambda: data[3], "ArrayDataset: no such item: got index 3, expected an index of 3 items\n  at LINE"),
        (lambda: Subset(data, [0])[-2], "Subset: no such item: got index -2, expected an index of 1 item\n  at LINE"),
        (lambda: Subset(data, [-4]), "Subset: no such item: got index -4, expected an index of 3 items\n  at LINE"),
    ):
        check(call, gc.OutOfBoundsError, text)
    for part in (data, Subset(data, [0, 1]), Digits()):
        name = type(part).__name__
        for index, hint in (
            (slice(0, 2), "\n  hint: gc.data.Subset(dataset, range(start, stop)) is a part of a dataset"),
            (1.0, ""), (None, ""), (True, ""), (np.array([0, 1]), ""),
        ):  # fmt: skip
            check(
                lambda part=part, index=index: part[index], gc.InputError,
                f"{name}: bad index: got {index!r}, expected an int\n  at LINE{hint}",
            )  # fmt: skip
    for seed in (-1, 1.5, "0"):
        check(
            lambda seed=seed: random_split(data, [2, 1], seed=seed), gc.InputError,
            f"bad seed= of random_split: got {seed!r}, expected an int >= 0\n  at LINE",
        )  # fmt: skip
    for lengths in ([2, 2], [0.5, 0.6], [4, -1], [1.5, 1.5], [None, 3], ["1", "2"]):
        check(
            lambda lengths=lengths: random_split(data, lengths), gc.InputError,
            f"random_split: lengths that do not add up: got {lengths}, "
            "expected ints with the sum 3, or fractions with the sum 1\n  at LINE",
        )  # fmt: skip
    assert list(data) == [(0,), (1,), (2,)]


def test_indices_of_a_subset_are_ints() -> None:
    """A mask is not taken for the positions 0 and 1, nor a float for the position below."""
    mask = np.array([True, False, True, False, False])
    hint = "\n  hint: np.flatnonzero(mask) gives the positions at which a mask is True"
    for indices, got in (
        (mask, f"bool[5], expected ints\n  at LINE{hint}"),
        (mask.tolist(), f"bool[5], expected ints\n  at LINE{hint}"),
        ([0.0, 2.0], "float64[2], expected ints\n  at LINE"),
        (np.ones((2, 1)), "float64[2, 1], expected ints\n  at LINE"),
        (["0"], "<U1[1], expected ints\n  at LINE"),
        ([None], "object[1], expected ints\n  at LINE"),
    ):
        check(lambda i=indices: Subset("abcde", i), gc.InputError, f"Subset: bad indices: got {got}")  # type: ignore[misc]
    assert list(Subset("abcde", np.flatnonzero(mask))) == ["a", "c"]
    assert list(Subset("abcde", np.array([4, 1], np.uint8))) == ["e", "b"]
    for none in ([], (), range(0), np.zeros(0)):
        assert list(Subset("abcde", none)) == []  # type: ignore[arg-type]
    text = f"Subset: no such item: got index {2**64 - 1}, expected an index of 5 items\n  at LINE"
    check(lambda: Subset("abcde", np.array([2**64 - 1], np.uint64)), gc.OutOfBoundsError, text)
