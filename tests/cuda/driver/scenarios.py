"""What a user does, with the stand-in for the driver: run as ``python scenarios.py NAME``, in a process of its own."""

from __future__ import annotations

import ctypes
import gc as garbage
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import emulate
import numpy as np

import graphc as gc
from graphc.runtime import compilers, dlpack
from graphc.runtime.cuda_arrays import KEPT


def mark(text: str) -> None:
    """A line among the driver's calls."""
    with open(os.environ["FAKE_CUDA_LOG"], "a") as log:
        log.write(f"# {text}\n")


def linear(device_outputs: bool = False, target: str = "cuda") -> tuple[gc.Step, gc.Param]:
    """A step that returns a product and the param as it was, and adds its input to the param."""
    x, w = gc.input("x", ("n", 3)), gc.param(np.arange(3.0), name="w")
    updates = {w: w + gc.sum(x, axis=0)}
    return gc.compile([x], [x @ w, w + 0, gc.sum(x)], updates, target=target, device_outputs=device_outputs), w


def batches(count: int, rows: int = 4) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(rows, 3)) for _ in range(count)]


def same(found: Any, expected: Any) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12)


def calls() -> None:
    """Arrays in, arrays out; the param comes home, and is set."""
    (step, w), (here, v) = linear(), linear(target="cpu")
    for k, x in enumerate(batches(6)):
        mark(f"call {k}")
        same(step(x), here(x))
    mark("end")
    same([w.value], [v.value])
    w.value = v.value = np.ones(3)
    data = batches(2, rows=7)
    for x in data * 2:
        same(step(x), here(x))
    bound, twin = step.bind(data[0]), here.bind(data[0])
    for k in range(3):
        data[0][:] = k
        same(bound(), twin())
    same([w.value], [v.value])


def outputs_stay() -> None:
    """Results on the device: given to the next step, held, dropped; nothing waits for them."""
    (step, w), (here, v) = linear(True), linear(target="cpu")
    y = gc.input("y", ("n",))
    after = gc.compile([y], gc.sum(y * y), target="cuda", device_outputs=True)
    x = batches(1)[0]
    there = gc.to_device(x)
    held, wanted = [], []
    for k in range(8):
        mark(f"call {k}")
        product, old, total = step(there)
        squares = after(product)
        held.append([product, old, total, squares])
        mark("end")
        expected = here(x)
        wanted.append([*expected, (expected[0] ** 2).sum()])
    for found, expected in zip(held, wanted, strict=True):
        same(found, expected)
    assert float(held[-1][2]) == wanted[-1][2] and np.asarray(held[0][0]).shape == (4,)
    held.clear()
    for k in range(2 * KEPT):
        mark(f"dropped {k}")
        step(there)
    mark("end")
    for k in range(3 * KEPT):
        mark(f"exported {k}")
        assert step(there)[0].__cuda_array_interface__["stream"] > 2
    mark("end")
    for _ in range(5 * KEPT):
        here(x)
    same([w.value], [v.value])


def prefetched() -> None:
    """Copies ahead of calls: taken, changed in between, of other sizes, one too many, never taken."""
    (step, w), (here, v) = linear(), linear(target="cpu")
    data = batches(6) + batches(2, rows=9) + batches(3)
    step.prefetch(data[0])
    for k, x in enumerate(data):
        if k + 1 < len(data):
            step.prefetch(data[k + 1])
        mark(f"call {k}")
        same(step(x), here(x))
    mark("end")
    step.prefetch(data[0])
    data[0][1, 1] += 1.0
    mark("changed")
    same(step(data[0]), here(data[0]))
    mark("end")
    step.prefetch(data[1])
    same(step(data[2]), here(data[2]))
    for x in data[:4]:
        step.prefetch(x)
    for x in data[3::-1]:
        same(step(x), here(x))
    same([w.value], [v.value])
    try:
        step.prefetch(np.ones((2, 4)))
    except gc.GraphcError as error:
        assert "'x'" in str(error), error
    else:
        raise AssertionError("wrong sizes were taken")


def run() -> None:
    """Datasets in batches, shuffled and not; the same arrays again and again; datasets that are there already."""
    (step, w), (here, v) = linear(True), linear(target="cpu")
    data = np.random.default_rng(2).normal(size=(22, 3))
    for how in ({"shuffle": True, "seed": 3, "epochs": 2}, {"epochs": 1}, {"drop_last": True}):
        mark(f"run {how}")
        same(step.run(data, batch_size=5, **how), here.run(data, batch_size=5, **how))
    mark("end")
    same(step.run(gc.to_device(data), batch_size=5), here.run(data, batch_size=5))
    mark("repeat")
    same(step.run(data, steps=4), here.run(data, steps=4))
    mark("end")
    same([w.value], [v.value])
    loader = gc.data.DataLoader(gc.data.ArrayDataset(data), batch_size=5, shuffle=True, seed=5, step=step)
    mark("loader")
    for (x,) in loader:
        same(step(x), here(x))
    mark("end")


def errors() -> None:
    """An index out of range, found in a recorded step: it is raised, changes nothing, and is gone with the next."""
    i, w = gc.input("i", ("n",), "int64"), gc.param(np.arange(4.0), name="w")
    step = gc.compile([i], gc.take(w, i), {w: w + 1}, target="cuda")
    for k, index in enumerate([0, 9, 1, 9, 3]):
        mark(f"call {k}")
        try:
            found = step([index])
        except gc.OutOfBoundsError as error:
            assert index == 9 and "index 9 in 'i'" in str(error), error
        else:
            assert found == [index + (k + 1) // 2], (k, found)
    mark("end")
    np.testing.assert_array_equal(w.value, np.arange(4.0) + 3)


def no_recording() -> None:
    """Kernel by kernel: since the driver does not record, which is said once, or because it was asked for."""
    (step, _), (here, _) = linear(), linear(target="cpu")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for x in batches(4):
            same(step(x), here(x))
    said = [str(w.message) for w in caught if issubclass(w.category, gc.GraphcWarning)]
    mark(" | ".join(said))


def refused_launch() -> None:
    """A launch that the driver refuses is an error that names the function."""
    step, _ = linear()
    x = batches(1)[0]
    step(x)
    try:
        step(x)
    except gc.GraphcError as error:
        mark(str(error))
    else:
        raise AssertionError("nothing was raised")


def many_kernels() -> None:
    """A file that is long enough for other processes to help with, were it for the CPU."""
    shapes = [gc.input(f"x{k}", ("n", 2 + k)) for k in range(6)]
    outputs = [gc.softmax(gc.cumulative_sum(gc.exp(x), axis=1), axis=1) + gc.sum(x, axis=0) for x in shapes]
    step = gc.compile(shapes, outputs, target="cuda")
    lines = sum(map(len, (text.split("\n") for text in step.text.source.split("@kernel")[1:])))
    assert lines > 2 * compilers.WORTH, lines
    data = [np.random.default_rng(k).normal(size=(3, 2 + k)) for k in range(6)]
    same(step(*data), gc.compile(shapes, outputs)(*data))


def devices() -> None:
    """Two devices: params go from one to the other, by way of the host."""
    step, w = linear()
    steps = [step, step.to("cuda:1"), step.to("cpu")]
    assert steps[0].to("cuda:0") is steps[0]
    here, v = linear(target="cpu")
    for k, x in zip([0, 1, 1, 0, 2, 1, 0, 0, 2, 0, 1], batches(11), strict=True):
        same(steps[k](x), here(x))
    same([w.value], [v.value])
    read = [gc.compile([], w * 2, target=target) for target in ("cuda:0", "cuda:1")]
    steps[1](x)
    here(x)
    for one in (*read, *read):
        same([one()], [2 * v.value])
    try:
        gc.compile([], w + 1, target="cuda:2")
    except gc.UnsupportedError as error:
        assert str(error).startswith(
            "no device 2 for target='cuda:2': got 2 devices (0: Stand-in 0, compute capability 9.0; "
            "1: Stand-in 1, compute capability 9.0), expected cuda:0 to cuda:1"
        ), error
    else:
        raise AssertionError("there is no such device")
    try:
        steps[0](gc.to_device(x, "cuda:1"))
    except gc.InputError as error:
        assert str(error).startswith(
            "input 'x' is on another device: got an array on cuda:1, expected one on cuda:0, where the step runs"
        ), error
    else:
        raise AssertionError("it is elsewhere")
    model = gc.nn.Linear(3, 1).to("cuda:1")
    assert gc.compile([i := gc.input("i", ("n", 3), "float32")], model(i)).target == "cuda:1"


class Foreign:
    """Another library's array: with a stream, or with none."""

    def __init__(self, array: gc.DeviceArray, stream: int | None):
        self.array, self.stream = array, stream

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.array.__cuda_array_interface__, "stream": self.stream}


class Capsule:
    """Another library's array, by DLPack; it is told which stream will read it."""

    def __init__(self, array: gc.DeviceArray, number: int = 0):
        self.array, self.number, self.streams = array, number, []

    def __dlpack_device__(self) -> tuple[int, int]:
        return (dlpack.CUDA, self.number)

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        self.streams.append(stream)
        return self.array.__dlpack__(stream=-1)


def foreign() -> None:
    """Arrays of other libraries: ordered by events where their stream is known, waited for where it is not."""
    from cuda.bindings import driver

    (step, w), (here, v) = linear(True), linear(target="cpu")
    data = batches(1)[0]
    array = gc.to_device(data)
    _, stream = driver.cuStreamCreate(1)
    arrays = {
        "known": Foreign(array, int(stream)),
        "unknown": Foreign(array, None),
        "legacy": Foreign(array, 1),
        "capsule": (capsule := Capsule(array)),
    }
    for name, x in arrays.items():
        for _ in range(2):
            step(x)
            here(data)
        mark(name)
        found = step(x)
        mark("end")
        same(found, here(data))
    assert set(capsule.streams) == {step._caller.device.handle}
    for wrong, text in (
        (Foreign(gc.to_device(data.astype("float32")), None), "input 'x' has the wrong dtype: got float32[4, 3] on a"),
        (Foreign(gc.to_device(data[0]), None), "input 'x' has the wrong rank: got float64[3] on a device"),
        (Foreign(array, 0), "input 'x' cannot be read where it is: got Foreign (stream 0, which"),
        (Capsule(array, 3), "input 'x' is on another device: got an array on cuda:3"),
    ):
        try:
            step(wrong)
        except gc.InputError as error:
            assert str(error).startswith(text), error
        else:
            raise AssertionError(text)
    same([w.value], [v.value])
    garbage.collect()
    del x, wrong, arrays, capsule, found
    garbage.collect()
    assert not dlpack._given


def at_once() -> None:
    """Threads call, prefetch and read at once."""
    x, w = gc.input("x", (3,)), gc.param(np.zeros(3), name="w")
    step = gc.compile([x], gc.sum(x), {w: w + x}, target="cuda")
    wrong: list[Any] = []

    def work(k: int) -> None:
        for n in range(30):
            data = np.full(3, float(k))
            if n % 3 == 0:
                step.prefetch(data)
            total = step(data)
            if total != 3.0 * k:
                wrong.append((k, n, total))
            if n % 7 == 0:
                w.value  # noqa: B018

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong
    np.testing.assert_array_equal(w.value, np.full(3, 300.0))


SCENARIOS: dict[str, Callable[[], None]] = {
    f.__name__: f
    for f in (
        calls,
        outputs_stay,
        prefetched,
        run,
        errors,
        no_recording,
        refused_launch,
        many_kernels,
        devices,
        foreign,
        at_once,
    )
}

if __name__ == "__main__":
    assert ctypes.CDLL("libcuda.so.1").fake_set_launcher, "the real driver was loaded"
    emulate.attach()
    SCENARIOS[sys.argv[1]]()
    assert not emulate.failures, emulate.failures
