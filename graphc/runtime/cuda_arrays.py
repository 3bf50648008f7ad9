"""Arrays on a device: what steps return with ``device_outputs=True``, and where their memory comes from."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InputError, UnsupportedError, message, user_line
from ..ir.dtypes import as_dtype
from . import cuda_devices, dlpack
from .cuda_devices import Device, Memory

KEPT = 4
"""How much memory of one size is kept for reuse, in pieces."""


class DeviceArray:
    """An array on a device, in C order. Its content may still be on its way: whoever reads it here waits for it.

    shape, dtype, ndim, size, nbytes   as NumPy has them
    device                             "cuda:0", "cuda:1" ...

    Steps take it as an input without a copy. ``np.asarray(a)``, ``a.copy_to_host()``, ``float(a)`` copy it here; other
    libraries take it without a copy by ``__cuda_array_interface__`` (CuPy, numba) or DLPack
    (``torch.from_dlpack(a)``), and then work on the same memory. It keeps its memory alive, and so do they.

    Their work is ordered behind the step by what they ask for. What they still do to the memory when nobody holds it
    any more is waited for before a later result takes its place.

    >>> import graphc as gc
    >>> def there(values):
    ...     try:
    ...         return gc.to_device(values)
    ...     except gc.UnsupportedError:  # there is no device here
    ...         return np.array(values)
    >>> np.asarray(there([1.0, 2.0]))
    array([1., 2.])
    """

    __slots__ = ("__weakref__", "_device", "_memory", "dtype", "shape")

    def __init__(self, device: Device, memory: Memory, shape: Sequence[int], dtype: np.dtype):
        self._device, self._memory = device, memory
        self.shape, self.dtype = tuple(shape), dtype

    @property
    def device(self) -> str:
        """The name of its device, as `gc.compile` takes it for a target."""
        return self._device.name

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes they take."""
        return self.size * self.dtype.itemsize

    def copy_to_host(self) -> np.ndarray:
        """Its values as a NumPy array of their own; waits until they are there."""
        values = np.empty(self.shape, self.dtype)
        device = self._device
        with device.here():
            device.download(self._memory, 0, values, device.work)
            device.finish(device.work)
        return values

    def synchronize(self) -> None:
        """Wait until its values are there."""
        with self._device.here():
            self._device.finish(self._device.work)

    def item(self) -> Any:
        """The only element, as Python's number; raises ValueError where there is not one."""
        return self.copy_to_host().item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("an array on a device cannot be read without a copy")
        values = self.copy_to_host()
        return values if dtype is None else values.astype(dtype, copy=False)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return self.copy_to_host().__index__()

    def __bool__(self) -> bool:
        return bool(self.copy_to_host())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without axes")
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        raise UnsupportedError(
            message(
                "an array on a device has no indexing",
                expected="a step that takes what is needed, or a copy",
                at=user_line(),
                created=False,
                hint="a.copy_to_host()[...] here; torch.from_dlpack(a)[...] or cupy.asarray(a)[...] there",
            )
        )

    __iter__ = None

    def __reduce__(self) -> Any:
        raise TypeError("an array on a device is not pickled or copied: pickle a.copy_to_host()")

    def __repr__(self) -> str:
        return f"<DeviceArray {self.dtype}[{', '.join(map(str, self.shape))}] on {self.device}>"

    # for other libraries

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3: https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html"""
        self._memory.exported = True
        place = self._memory.address if self.size else 0
        interface = {"shape": self.shape, "typestr": self.dtype.str, "data": (place, False), "version": 3}
        return {**interface, "strides": None, "stream": self._device.handle}

    def __dlpack_device__(self) -> tuple[int, int]:
        """Type and number of its device; in the simulator, of the host."""
        return self._device.dlpack

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule of it, behind which the work in `stream` is ordered (1, as for None: the legacy default stream)."""
        if copy or (dl_device is not None and tuple(dl_device) != self._device.dlpack):
            raise BufferError("an array on a device is given as it is, and where it is")
        self._memory.exported = True
        if self._device.handle is not None and stream != -1:
            with self._device.here():
                self._device.before(1 if stream is None else stream)
        return dlpack.give(self._memory.address, self.shape, self.dtype, self._device.dlpack, self._memory)


def to_device(values: Any, device: str = "cuda", dtype: Any = None) -> DeviceArray:
    """A copy of `values` on a device, for steps to read there.

    device  "cuda", "cuda:1" ...; raises `UnsupportedError` where there is no such device, `CompileError` for others
    dtype   of the copy; None: that of `values`

    >>> import graphc as gc
    >>> try:
    ...     print(gc.to_device(np.ones(3)).shape)
    ... except gc.UnsupportedError:  # there is no device here
    ...     print((3,))
    (3,)
    """
    index = cuda_devices.parse(device)
    if index is None:
        raise InputError(
            message("to_device: no device", got="'cpu'", expected="'cuda', 'cuda:1' ...", at=user_line(), created=False)
        )
    array = np.ascontiguousarray(values) if np.ndim(values) else np.asarray(values)
    array = array.astype(as_dtype(array.dtype if dtype is None else dtype), copy=False)
    there = cuda_devices.device(index)
    with there.here():
        memory = there.allocate(array.nbytes)
        there.upload(memory, 0, array, there.work)
        there.finish(there.work)
    return DeviceArray(there, memory, array.shape, array.dtype)


class Pool:
    """Memory of one size for results.

    It is handed out again only when nothing but this object refers to it: arrays do, and what was made of them. What
    other libraries have had may be in use on the device even then, so the device is waited for; once for all of it.
    """

    __slots__ = ("device", "kept", "nbytes")

    def __init__(self, device: Device, nbytes: int):
        self.device, self.nbytes = device, nbytes
        self.kept: list[Memory] = []

    def take(self) -> Memory:
        """Memory that nobody else has; its content is arbitrary."""
        free = [k for k in range(len(self.kept)) if sys.getrefcount(self.kept[k]) == _FREE]
        clean = next((k for k in free if not self.kept[k].exported), None)
        if clean is None and len(free) >= KEPT:
            self.device.finish_all()
            for k in free:
                self.kept[k].exported = False
            clean = free[0]
        if clean is None:
            self.kept.append(self.device.allocate(self.nbytes))
            clean = len(self.kept) - 1
            if len(self.kept) > 2 * KEPT:  # many results are held: forget the oldest, which lives as long as they do
                del self.kept[0]
                clean -= 1
        return self.kept[clean]


def _references() -> int:
    """What `sys.getrefcount` says in `Pool.take` of memory that nobody holds; differs between Python versions."""
    kept = [object()]
    (found,) = [sys.getrefcount(kept[k]) for k in range(1)]
    return found


_FREE = _references()
