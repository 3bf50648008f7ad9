"""Devices, where there is none: what is refused and said, DLPack's capsules, and what steps on the CPU do with it."""

from __future__ import annotations

import gc as garbage
import weakref
from typing import Any

import numpy as np
import pytest
from messages import text_of

import graphc as gc
from graphc.runtime import cuda_devices, dlpack

X = gc.input("x", ("n",))
STEP = gc.compile([X], gc.sum(X))


class There:
    """An array that says it is on a device, and cannot be had here."""

    __cuda_array_interface__ = {"shape": (2,), "typestr": "<f8", "data": (0, False), "version": 3}  # noqa: RUF012

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError("not here")


class Capsule:
    """An array by DLPack only."""

    def __init__(self, array: np.ndarray, kind: int = dlpack.CUDA):
        self.array, self.kind = array, kind

    def __dlpack_device__(self) -> tuple[int, int]:
        return (self.kind, 0)

    def __dlpack__(self, **how: Any) -> Any:
        array = self.array
        return dlpack.give(array.__array_interface__["data"][0], array.shape, array.dtype, (self.kind, 0), array)


@pytest.mark.parametrize("there", [There(), Capsule(np.ones(2))], ids=["interface", "DLPack"])
def test_a_step_on_the_cpu_takes_no_arrays_of_a_device(there: Any) -> None:
    for call in (STEP, STEP.bind, STEP.prefetch, lambda x: STEP.run(x, steps=2)):
        with pytest.raises(gc.InputError) as info:
            call(there)
        assert text_of(info.value) == (
            f"input 'x' is on a device: got a {type(there).__name__}, expected float64[n] in the host's memory, for "
            "this step runs on the CPU\n  at LINE\n"
            "  hint: step.to('cuda') runs there; a.copy_to_host(), a.cpu() or a.get() copies it here"
        )


def test_nor_does_a_param() -> None:
    w = gc.param(np.zeros(2), name="w")
    with pytest.raises(gc.InputError) as info:
        w.value = There()
    assert text_of(info.value) == (
        "cannot set param 'w': got a There on a device, expected float64[2] in the host's memory\n  at LINE\n"
        "  hint: a.cpu() or a.get() copies it here"
    )


def test_outputs_stay_on_no_cpu() -> None:
    for target in (None, "cpu"):
        with pytest.raises(gc.CompileError) as info:
            gc.compile([X], X + 1, target=target, device_outputs=True)
        assert text_of(info.value) == (
            "outputs cannot stay on a device: got device_outputs=True with target='cpu', expected target='cuda'\n"
            "  at LINE"
        )
    with pytest.raises(gc.CompileError, match="bad device_outputs=: got 1, expected True or False"):
        gc.compile([X], X + 1, device_outputs=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["cuda:", "cuda:x", "cuda:-1", "cuda:01", "cuda:\u0663", "gpu", 3, "cpu:0"])
def test_targets_there_are_not(target: Any) -> None:
    with pytest.raises(gc.CompileError, match=r"unknown target: got .*, expected 'cpu', 'cuda', or 'cuda:1' and so on"):
        gc.compile([X], X + 1, target=target)


def test_targets_there_are() -> None:
    assert [cuda_devices.parse(target) for target in ("cpu", "cuda", "cuda:0", "cuda:11")] == [None, 0, 0, 11]


def test_prefetching_here_looks_at_the_arrays() -> None:
    data = np.ones(3)
    STEP.prefetch(data)
    assert STEP(data) == 3.0
    with pytest.raises(gc.InputError, match="input 'x' has the wrong dtype"):
        STEP.prefetch(np.ones(3, "float32"))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0, 3), (4,), (2, 1, 5)])
def test_capsules_are_what_numpy_takes_and_gives(shape: tuple[int, ...], dtype: str) -> None:
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    np.testing.assert_array_equal(np.from_dlpack(Capsule(values, 1)), values)
    for capsule in (values.__dlpack__(), values.__dlpack__(max_version=(1, 0)), Capsule(values).__dlpack__()):
        taken = dlpack.take(capsule)
        assert (taken.shape, taken.dtype) == (shape, values.dtype)
        assert not values.size or taken.address == values.__array_interface__["data"][0]
        with pytest.raises(TypeError, match="no DLPack capsule, or one that has been used"):
            dlpack.take(capsule)
    del taken, capsule
    garbage.collect()
    assert not dlpack._given, "nothing is kept alive by capsules that are gone"


def test_strides_and_dtypes_that_numpy_lacks() -> None:
    taken = dlpack.take(np.zeros((4, 6))[:, ::2].__dlpack__())
    assert taken.shape == (4, 3) and taken.strides == (48, 16)
    with pytest.raises(ValueError, match="a dtype of DLPack's code 5 and 128 bits"):
        dlpack.take(np.zeros(2, "complex128").__dlpack__())


def test_a_capsule_keeps_its_array_until_it_is_done_with() -> None:
    class Owner:
        pass

    values, gone = np.ones(3), []
    owner = Owner()
    weakref.finalize(owner, gone.append, True)
    capsule = dlpack.give(values.__array_interface__["data"][0], (3,), values.dtype, (1, 0), owner)
    del owner
    taken = dlpack.take(capsule)
    del capsule
    garbage.collect()
    assert not gone
    del taken
    garbage.collect()
    assert gone
