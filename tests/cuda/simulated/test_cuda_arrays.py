"""Arrays on the simulated device: results that stay there, inputs that are there, models put there."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from messages import text_of
from numba import cuda as numba_cuda

import graphc as gc
from graphc import nn
from graphc.runtime import cuda_devices, dlpack


def linear(**how: Any) -> tuple[gc.Step, gc.Param]:
    """A step that returns two sums, a product and the param as it was, and adds its input to the param."""
    x, w = gc.input("x", ("n", 3)), gc.param(np.arange(3.0), name="w")
    return gc.compile([x], {"y": x @ w, "w": w + 0, "total": gc.sum(x)}, {w: w + gc.sum(x, axis=0)}, **how), w


STEP, W = linear(target="cuda", device_outputs=True)
DATA = np.arange(12.0).reshape(4, 3)


@pytest.fixture(autouse=True)
def _afresh() -> None:
    W.value = np.arange(3.0)


def test_results_stay_and_are_the_callers_own() -> None:
    first = STEP(DATA)
    y, total = first["y"], first["total"]
    assert isinstance(y, gc.DeviceArray) and repr(y) == "<DeviceArray float64[4] on cuda:0>"
    assert (y.shape, y.dtype, y.ndim, y.size, y.nbytes, len(y)) == ((4,), np.dtype("float64"), 1, 4, 32, 4)
    assert float(total) == DATA.sum() and total.item() == DATA.sum() and int(total) == 66 and total.shape == ()
    held = [STEP(DATA)["y"] for _ in range(10)]
    np.testing.assert_array_equal(y, DATA @ np.arange(3.0))
    for k, one in enumerate(held):
        np.testing.assert_array_equal(one.copy_to_host(), DATA @ (np.arange(3.0) + (k + 1) * DATA.sum(axis=0)))
    assert np.asarray(y, "float32").dtype == np.float32
    with pytest.raises(ValueError, match="an array on a device cannot be read without a copy"):
        np.asarray(y, copy=False)


def test_memory_is_used_again_when_nobody_holds_it() -> None:
    places = {STEP(DATA)["y"]._memory.address for _ in range(20)}
    assert len(places) <= 2
    held = STEP(DATA)["y"]
    view = np.from_dlpack(held)
    place, values = held._memory.address, view.copy()
    del held
    for _ in range(20):
        assert STEP(DATA)["y"]._memory.address != place, "NumPy still has it"
    np.testing.assert_array_equal(view, values)


def test_other_libraries_see_the_same_memory() -> None:
    y = STEP(DATA)["y"]
    interface = y.__cuda_array_interface__
    assert {k: interface[k] for k in ("shape", "typestr", "version", "strides")} == {
        "shape": (4,),
        "typestr": "<f8",
        "version": 3,
        "strides": None,
    }
    seen = np.from_dlpack(y)
    assert seen.__array_interface__["data"][0] == interface["data"][0]
    np.testing.assert_array_equal(seen, DATA @ np.arange(3.0))
    with pytest.raises(BufferError):
        y.__dlpack__(copy=True)
    y.__dlpack__()  # a capsule that nobody takes
    del seen, y
    assert not dlpack._given


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float32", "float64"])
def test_dtypes_and_shapes_by_dlpack(dtype: str) -> None:
    for shape in ((), (0, 3), (2, 1, 5)):
        values = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
        there = gc.to_device(values)
        np.testing.assert_array_equal(np.from_dlpack(there), values)
        taken = dlpack.take(there.__dlpack__())
        assert (taken.shape, taken.dtype) == (shape, np.dtype(dtype))


def test_what_a_device_array_does_not_do() -> None:
    there = gc.to_device([1.0, 2.0])
    with pytest.raises(gc.UnsupportedError) as info:
        there[0]
    assert text_of(info.value) == (
        "an array on a device has no indexing: expected a step that takes what is needed, or a copy\n  at LINE\n"
        "  hint: a.copy_to_host()[...] here; torch.from_dlpack(a)[...] or cupy.asarray(a)[...] there"
    )
    with pytest.raises(TypeError, match=r"an array on a device is not pickled or copied: pickle a\.copy_to_host\(\)"):
        pickle.dumps(there)
    with pytest.raises(TypeError, match="not iterable"):
        iter(there)
    with pytest.raises(TypeError, match=r"len\(\) of an array without axes"):
        len(gc.to_device(1.0))
    with pytest.raises(ValueError):
        there.item()
    with pytest.raises(gc.InputError) as refused:
        gc.to_device([1.0], "cpu")
    assert text_of(refused.value) == "to_device: no device: got 'cpu', expected 'cuda', 'cuda:1' ...\n  at LINE"


class Capsule:
    """Another library's array, by DLPack."""

    def __init__(self, array: np.ndarray, number: int = 0):
        self.array, self.number = array, number

    def __dlpack_device__(self) -> tuple[int, int]:
        return (dlpack.CUDA, self.number)

    def __dlpack__(self) -> Any:
        return self.array.__dlpack__()


class Interface:
    """Another library's array, by its interface."""

    def __init__(self, array: np.ndarray, **more: Any):
        known = array.__array_interface__
        strides = None if array.flags.c_contiguous else array.strides
        self.array = array
        self.__dict__["made"] = {"shape": array.shape, "typestr": known["typestr"], "data": known["data"]}
        self.made |= {"strides": strides, "version": 3, **more}

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.made


@pytest.mark.parametrize("put", [gc.to_device, numba_cuda.to_device, Capsule, Interface], ids=lambda f: f.__name__)
def test_inputs_that_are_there_are_read_there(put: Any) -> None:
    there, host = put(DATA.copy()), linear()[0]
    for _ in range(2):
        for key, value in host(DATA).items():
            np.testing.assert_allclose(STEP(there)[key] if key == "y" else value, value)
    W.value = np.zeros(3)
    STEP.bind(there)()
    np.testing.assert_array_equal(W.value, DATA.sum(axis=0))


def test_results_are_the_next_inputs() -> None:
    x = gc.input("x", ("n",))
    after = gc.compile([x], gc.sum(x * x), target="cuda", device_outputs=True)
    assert float(after(STEP(DATA)["y"])) == ((DATA @ np.arange(3.0)) ** 2).sum()


REFUSED = {
    "dtype": (
        Capsule(DATA.astype("float32")),
        "has the wrong dtype: got float32[4, 3] on a device, expected float64[n, 3]",
        "convert it to float64 there",
    ),
    "rank": (Interface(DATA[0]), "has the wrong rank: got float64[3] on a device, expected float64[n, 3]"),
    "gaps": (
        Capsule(np.zeros((4, 6))[:, ::2]),
        "has gaps or another order in memory: got float64[4, 3] on a device, expected float64[n, 3]",
        "x.contiguous(), or cupy.ascontiguousarray(x)",
    ),
    "address": (
        Interface(np.zeros(97, np.uint8)[1:].view("float64").reshape(4, 3)),
        "starts at an address that float64 cannot have: got float64[4, 3] on a device, expected float64[n, 3]",
        "copy it there",
    ),
    "order": (
        Interface(np.asfortranarray(DATA)),
        "has gaps or another order in memory: got float64[4, 3] on a device, expected float64[n, 3]",
        "x.contiguous(), or cupy.ascontiguousarray(x)",
    ),
    "mask": (Interface(DATA, mask=DATA), "has masked elements: got float64[4, 3] on a device, expected float64[n, 3]"),
    "stream 0": (
        Interface(DATA, stream=0),
        "cannot be read where it is: got Interface (stream 0, which the interface does not allow), expected "
        "float64[n, 3]",
    ),
    "place": (
        Capsule(DATA, 2),
        "is on another device: got an array on cuda:2, expected one on cuda:0, where the step runs",
        "copy it there, or compile the step with target='cuda:2'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str) -> None:
    value, text, *hint = REFUSED[case]
    with pytest.raises(gc.InputError) as info:
        STEP(value)
    found = text_of(info.value).split("\n")
    assert found[:2] == [f"input 'x' {text}", "  at LINE"] and found[2:] == [f"  hint: {h}" for h in hint]


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(gc.InputError, match="'x'"):
        STEP(gc.to_device(np.ones((4, 2))))
    np.testing.assert_array_equal(STEP(gc.to_device(np.ones((0, 3))))["y"], np.ones(0))


def test_a_step_here_does_not_take_them() -> None:
    step, w = linear()
    for there in (gc.to_device(DATA), numba_cuda.to_device(DATA)):
        with pytest.raises(gc.InputError) as info:
            step(there)
        assert text_of(info.value) == (
            f"input 'x' is on a device: got a {type(there).__name__}, expected float64[n, 3] in the host's memory, "
            "for this step runs on the CPU\n  at LINE\n"
            "  hint: step.to('cuda') runs there; a.copy_to_host(), a.cpu() or a.get() copies it here"
        )
    w.value = gc.to_device([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(w.value, [1, 2, 3])


def test_bind_and_run() -> None:
    host, v = linear()
    data = DATA.copy()
    bound, twin = STEP.bind(data), host.bind(data)
    for k in range(3):
        data[0] = k
        found, expected = bound(), twin()
        assert isinstance(found["y"], gc.DeviceArray)
        np.testing.assert_allclose(found["y"], expected["y"])
    for rows in (DATA, gc.to_device(DATA)):
        found, expected = STEP.run(rows, batch_size=3, epochs=2), host.run(DATA, batch_size=3, epochs=2)
        assert all(type(value) is np.ndarray for value in found.values()), "a run's results are here"
        np.testing.assert_allclose(found["y"], expected["y"])
        np.testing.assert_allclose(STEP.run(rows, steps=3)["w"], host.run(DATA, steps=3)["w"])
    np.testing.assert_allclose(W.value, v.value)
    with pytest.raises(gc.InputError) as info:
        STEP.run(gc.to_device(DATA), batch_size=2, shuffle=True)
    assert text_of(info.value) == (
        "dataset 'x' cannot be shuffled where it is: got an array on a device, expected one in the host's memory, of "
        "which batches are gathered\n  at LINE\n  hint: shuffle=False takes its rows as they come"
    )


def test_arrays_prefetched_and_changed() -> None:
    host, v = linear()
    data = [DATA + k for k in range(4)]
    STEP.prefetch(x=data[0])
    for k, x in enumerate(data):
        if k < 3:
            STEP.prefetch(data[k + 1])
        if k == 2:
            x[1] = -1.0
        np.testing.assert_allclose(STEP(x)["y"], host(x)["y"])
    np.testing.assert_allclose(W.value, v.value)
    with pytest.raises(gc.InputError, match="'x'"):
        STEP.prefetch(np.ones((4, 2)))
    assert not STEP._caller.ahead


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_that_copies_ahead(workers: int) -> None:
    class Data:
        """Rows by name; the last cannot be had."""

        def __len__(self) -> int:
            return 8

        def __getitem__(self, k: int) -> dict[str, np.ndarray]:
            if k == 7:
                raise OSError("gone")
            return {"x": np.full(3, float(k))}

    seen: list[float] = []
    loader = gc.data.DataLoader(Data(), batch_size=3, num_workers=workers, step=STEP)
    with pytest.raises(gc.DataError, match="gone"):
        for batch in loader:
            assert len(STEP._caller.ahead) <= 2
            seen.append(float(STEP(**batch)["total"]))
    assert seen == [9.0, 36.0]
    with pytest.raises(gc.InputError, match=r"bad step= of DataLoader"):
        gc.data.DataLoader([1.0], step=3)


def test_copies_of_steps_keep_their_outputs_there() -> None:
    for twin in (copy.deepcopy(STEP), pickle.loads(pickle.dumps(STEP)), STEP.to("cuda:0")):
        assert twin.device_outputs and isinstance(twin(DATA)["y"], gc.DeviceArray)
    assert STEP.to("cuda") is STEP and not STEP.to("cpu").device_outputs
    back = STEP.to("cuda", device_outputs=False)
    assert type(back(DATA)["y"]) is np.ndarray
    assert STEP.verify().skipped == ()


def test_a_function_keeps_its_outputs_there() -> None:
    f = gc.compile(lambda x: (x * 2, gc.sum(x)), target="cuda", device_outputs=True)
    double, total = f(np.ones(3))
    assert isinstance(double, gc.DeviceArray) and float(total) == 3.0


def test_a_model_on_a_device() -> None:
    model = nn.Linear(3, 1, seed=0)
    twin = copy.deepcopy(model)
    assert model.to("cuda") is model and copy.deepcopy(model).weight.state.place == "cuda:0"
    assert pickle.loads(pickle.dumps(model)).weight.state.place == "cuda:0"
    losses = []
    for one in (model, twin):
        x, t = gc.input("x", ("n", 3), "float32"), gc.input("t", ("n", 1), "float32")
        loss = gc.nn.mse_loss(one(x), t)
        step = gc.compile([x, t], loss, gc.optim.SGD(one.parameters(), lr=0.01, momentum=0.9).minimize(loss))
        assert step.target == ("cuda:0" if one is model else "cpu")
        data = np.ones((5, 3), "float32"), np.zeros((5, 1), "float32")
        losses.append([float(step(*data)) for _ in range(4)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
    np.testing.assert_allclose(model.weight.value, twin.weight.value, rtol=1e-6)
    assert model.to("float64").to("float64").weight.state.place == "cuda:0"
    assert model.to("cpu").weight.state.place == "cpu"
    with pytest.raises(gc.UnsupportedError) as info:
        model.to("cuda:3")
    assert text_of(info.value) == (
        "no device 3 for target='cuda:3': got 1 device (the simulator's), expected cuda:0\n  at LINE"
    )


def test_several_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_devices, "how_many", lambda: 2)
    x, w = gc.input("x", (2,)), gc.param(np.zeros(2), name="w")
    first = gc.compile([x], w + 0, {w: w + x}, target="cuda:0")
    second, here = first.to("cuda:1"), first.to("cpu")
    read = [gc.compile([], w * 1, target=target) for target in ("cuda:0", "cuda:1", "cpu")]
    expected = np.zeros(2)
    for k, step in enumerate([first, second, second, here, second, first, first, here, first, second]):
        data = np.array([1.0, k])
        np.testing.assert_array_equal(step(data), expected)
        expected = expected + data
        for one in read[: k % 4]:
            np.testing.assert_array_equal(one(), expected)
    with pytest.raises(gc.InputError) as info:
        second(gc.to_device(np.ones(2)))
    assert text_of(info.value) == (
        "input 'x' is on another device: got an array on cuda:0, expected one on cuda:1, where the step runs\n"
        "  at LINE\n  hint: copy it there, or compile the step with target='cuda:0'"
    )
    a, b = nn.Linear(2, 2, seed=0).to("cuda"), nn.Linear(2, 2, seed=1).to("cuda:1")
    y = gc.input("y", ("n", 2), "float32")
    with pytest.raises(gc.CompileError) as refused:
        gc.compile([y], b(a(y)))
    assert text_of(refused.value) == (
        "params of one step have been put on several devices: got 'weight' on cuda:0, 'weight' on cuda:1, expected one "
        "device, or target=\n  at LINE\n  hint: target= says where a step runs, whatever its params say"
    )
    assert gc.compile([y], b(a(y)), target="cuda:1").target == "cuda:1"
