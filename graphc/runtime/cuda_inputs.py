"""Arguments of a step on a device: arrays of the host, which are copied there, and arrays that are there already.

Those are seen where they are. How other libraries' arrays are read, and when: `__cuda_array_interface__` with a stream
in both directions by events; DLPack by what it does with our stream. Where no stream is known, the step waits at its
end until it has read them, for nobody else could.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InputError, message, user_line
from ..ir.op import Aval
from ..ir.tensor import Tensor
from . import dlpack
from .cuda_arrays import DeviceArray
from .cuda_devices import Device
from .inputs import as_input, is_on_device


class Held:
    """An array on the device, as a step reads it.

    address  of its first element
    owner    keeps it alive
    stream   the other library's queue, which waits for the step as the step waits for it; None: there is none
    unknown  whether that queue is not known, so that the step must be waited for
    """

    __slots__ = ("address", "dtype", "owner", "shape", "stream", "unknown")

    def __init__(
        self,
        address: int,
        shape: tuple[int, ...],
        dtype: np.dtype,
        owner: Any,
        stream: int | None = None,
        unknown: bool = False,
    ):
        self.address, self.shape, self.dtype, self.owner = address, shape, dtype, owner
        self.stream, self.unknown = stream, unknown

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, start: int, stop: int) -> Held:
        """Those rows of it."""
        place = self.address + start * (self.nbytes // max(len(self), 1))
        return Held(place, (stop - start, *self.shape[1:]), self.dtype, self.owner, self.stream, self.unknown)

    def where(self, device: Device) -> Any:
        """What kernels are told."""
        return device.outside(self.address, self.nbytes, self.dtype)

    def host(self, device: Device) -> np.ndarray:
        """A copy here."""
        values = np.empty(self.shape, self.dtype)
        with device.here():
            device.fetch(self.address, values)
        return values


Given = np.ndarray | Held


def as_given(nodes: Sequence[Tensor], values: Sequence[Any], device: Device) -> list[Given]:
    """Every argument as an array here, or there."""
    return [
        _held(node, value, device) if _is_there(value) else as_input(node, value)
        for node, value in zip(nodes, values, strict=True)
    ]


def _is_there(value: Any) -> bool:
    if type(value) is np.ndarray:
        return False
    return isinstance(value, (DeviceArray, Held)) or is_on_device(value)


def _held(node: Tensor, value: Any, device: Device) -> Held:
    """An array of a device as input `node` is to read it, or the error that says why it does not fit."""
    if type(value) is Held:
        return value
    held, strides = _seen(node, value, device)
    if held.dtype != node.dtype:
        raise _wrong(node, "has the wrong dtype", held, f"convert it to {node.dtype.name} there")
    if held.ndim != node.ndim:
        raise _wrong(node, "has the wrong rank", held)
    if strides is not None and not _is_c_order(held.shape, strides, held.dtype.itemsize):
        raise _wrong(node, "has gaps or another order in memory", held, "x.contiguous(), or cupy.ascontiguousarray(x)")
    if held.address % held.dtype.itemsize:
        raise _wrong(node, f"starts at an address that {held.dtype} cannot have", held, "copy it there")
    return held


def _seen(node: Tensor, value: Any, device: Device) -> tuple[Held, tuple[int, ...] | None]:
    """The array as it is, and its strides in bytes; None: C order."""
    if isinstance(value, DeviceArray):
        if value.device != device.name:
            raise _elsewhere(node, value.device, device)
        return Held(value._memory.address, value.shape, value.dtype, value), None
    if hasattr(value, "_ary") and getattr(value, "__cuda_ndarray__", False):  # the simulator's
        array = value._ary
        address = array.__array_interface__["data"][0]
        return Held(address, array.shape, array.dtype, array), array.strides
    try:
        interface = getattr(value, "__cuda_array_interface__", None)
        if interface is None or (interface.get("stream") is None and hasattr(value, "__dlpack__")):
            return _by_dlpack(node, value, device)
    except InputError:
        raise
    except Exception as error:  # other libraries': of a tensor that wants a gradient, say
        raise _unread(node, value, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
    held = Held(interface["data"][0] or 0, shape, dtype, value, interface.get("stream"))
    if interface.get("mask") is not None:
        raise _wrong(node, "has masked elements", held)
    if held.stream == 0:
        raise _unread(node, value, "stream 0, which the interface does not allow")
    if held.nbytes and not device.owns(held.address):
        raise _elsewhere(node, "elsewhere", device)
    if held.stream is None:
        held.unknown = True
    else:
        device.behind(held.stream)
    strides = interface.get("strides")
    return held, None if strides is None else tuple(strides)


def _by_dlpack(node: Tensor, value: Any, device: Device) -> tuple[Held, tuple[int, ...] | None]:
    """By a capsule: the other library lets our queue wait for its own."""
    kind, number = (int(part) for part in value.__dlpack_device__())
    if kind == dlpack.CUDA and number != device.index:
        raise _elsewhere(node, f"cuda:{number}", device)
    taken = dlpack.take(value.__dlpack__() if device.handle is None else value.__dlpack__(stream=device.handle))
    return Held(taken.address, taken.shape, taken.dtype, taken.owner, unknown=True), taken.strides


def _is_c_order(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> bool:
    expected = itemsize
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size == 0:
            return True
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def _wrong(node: Tensor, what: str, held: Held, hint: str = "") -> InputError:
    got = f"{Aval(held.shape, held.dtype)} on a device"
    text = f"input {node.name!r} {what}"
    return InputError(message(text, got=got, expected=str(node.aval), at=user_line(), created=False, hint=hint))


def _elsewhere(node: Tensor, place: str, device: Device) -> InputError:
    return InputError(
        message(
            f"input {node.name!r} is on another device",
            got=f"an array on {place}" if place != "elsewhere" else "an array elsewhere",
            expected=f"one on {device.name}, where the step runs",
            at=user_line(),
            created=False,
            hint=f"copy it there, or compile the step with target='{place}'" if place.startswith("cuda") else "",
        )
    )


def _unread(node: Tensor, value: Any, why: str) -> InputError:
    return InputError(
        message(
            f"input {node.name!r} cannot be read where it is",
            got=f"{type(value).__name__} ({why})",
            expected=str(node.aval),
            at=user_line(),
            created=False,
        )
    )
