"""Arguments of a step as arrays its kernels can read, or an error that names the input, what it got and expected.

Python's numbers, and lists of them, are weak: they take the input's dtype where they fit. Arrays and NumPy scalars are
strong: nothing is converted but their layout and byte order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InputError, message, user_line
from ..ir.dtypes import BOOL, DType
from ..ir.tensor import Tensor
from .arguments import batches_hint

_WEAK = (bool, int, float, list, tuple, range)
_KINDS = "bif"


def as_inputs(nodes: Sequence[Tensor], values: Sequence[Any]) -> list[np.ndarray]:
    """Every argument as an array for its input."""
    return [as_input(node, value) for node, value in zip(nodes, values, strict=True)]


def as_input(node: Tensor, value: Any) -> np.ndarray:
    """`value` as an array for input `node`: exact dtype, right rank, C order, aligned, no subclass."""
    array = _as_array(node, value)
    if array.dtype.newbyteorder("=") != node.dtype:
        if not _is_weak(value, node.dtype) or not _fits(array, node.dtype):
            raise _wrong(node, "has the wrong dtype", array, hint=_dtype_hint(node, value, array))
        array = array.astype(node.dtype)
    if array.ndim != node.ndim:
        raise _wrong(node, "has the wrong rank", array, hint=_rank_hint(node, array))
    if not (array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative):
        array = np.array(array, dtype=node.dtype, order="C")
    return array


def in_place(node: Tensor, value: Any) -> np.ndarray:
    """`value` as an array that shares its memory, or an error; Python numbers, which do not change, are copied."""
    array = as_input(node, value)
    if isinstance(value, (bool, int, float, np.generic)):
        return array
    if not isinstance(value, np.ndarray) or (value.size and not np.may_share_memory(array, value)):
        kind = "an array of another layout" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        raise InputError(
            message(
                f"input {node.name!r} cannot be read in place",
                got=kind,
                expected=f"a C-contiguous array, {node.aval}",
                at=user_line(),
                created=False,
                hint="bind np.ascontiguousarray(x), and write new values into that",
            )
        )
    return array


def is_on_device(value: Any) -> bool:
    """Whether an array is in the memory of a CUDA device: by its interface for that, or as DLPack says."""
    if isinstance(value, (np.ndarray, np.generic, *_WEAK)):
        return False
    kind = type(value)
    own = getattr(value, "__dict__", {})  # an interface may be that of one object
    if hasattr(kind, "__cuda_ndarray__") or hasattr(kind, "__cuda_array_interface__") or _INTERFACE in own:
        try:  # of a tensor that may be anywhere, it is a property that fails on the host
            return hasattr(value, "__cuda_ndarray__") or value.__cuda_array_interface__ is not None
        except AttributeError:
            return False
        except Exception:  # it is there, and cannot be had: of a tensor that wants a gradient, say
            return True
    return hasattr(kind, "__dlpack_device__") and int(value.__dlpack_device__()[0]) in _DEVICES


_INTERFACE = "__cuda_array_interface__"
_DEVICES = (2, 13)
"""DLPack's numbers for the memory of CUDA devices, and for that which they share with the host."""


def _as_array(node: Tensor, value: Any) -> np.ndarray:
    if isinstance(value, Tensor):
        raise InputError(
            message(
                f"input {node.name!r} needs data",
                got=repr(value),
                expected=str(node.aval),
                at=user_line(),
                created=False,
                hint="a step is called with arrays; symbolic tensors belong in the graph",
            )
        )
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            raise InputError(
                message(
                    f"input {node.name!r} has masked elements",
                    got=f"masked {_text(np.asarray(value))}",
                    expected=str(node.aval),
                    at=user_line(),
                    created=False,
                    hint="give the elements a value: x.filled(0)",
                )
            )
        value = value.data
    if type(value) is not np.ndarray and is_on_device(value):
        raise InputError(
            message(
                f"input {node.name!r} is on a device",
                got=f"a {type(value).__name__}",
                expected=f"{node.aval} in the host's memory, for this step runs on the CPU",
                at=user_line(),
                created=False,
                hint="step.to('cuda') runs there; a.copy_to_host(), a.cpu() or a.get() copies it here",
            )
        )
    try:
        array = np.asarray(value)
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _no_array(node, value, f"{type(value).__name__} ({why})") from None
    if value is None or isinstance(value, (str, bytes, dict, set)):
        spread = isinstance(value, dict) and node.name in value
        got = "None" if value is None else f"a {type(value).__name__}"
        raise _no_array(node, value, got, _SPREAD if spread else "")
    return array


_SPREAD = "inputs are given one by one: step(**inputs) of a dict"


def _no_array(node: Tensor, value: Any, got: str, hint: str = "") -> InputError:
    return InputError(
        message(
            f"input {node.name!r} is not an array",
            got=got,
            expected=str(node.aval),
            at=user_line(),
            created=False,
            hint=batches_hint(value) or hint,
        )
    )


def _is_weak(value: Any, dtype: DType) -> bool:
    """Whether `value` is made of Python's numbers (or of NumPy's, of this dtype)."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.dtype == dtype
    if isinstance(value, (list, tuple)):
        return all(_is_weak(v, dtype) for v in value)
    return isinstance(value, _WEAK)


def _fits(array: np.ndarray, dtype: DType) -> bool:
    """Whether Python numbers, seen as `array`, are numbers of `dtype`: the same kind or a wider one, in range."""
    if array.size == 0:
        return True
    have, want = (k.replace("u", "i") for k in (array.dtype.kind, dtype.kind))
    if have not in _KINDS or _KINDS.index(have) > _KINDS.index(want):
        return False
    if dtype.kind in "iu" and array.dtype != BOOL:
        info = np.iinfo(dtype)
        return bool(array.min() >= info.min and array.max() <= info.max)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return bool(np.all(np.isfinite(array.astype(dtype)) == np.isfinite(array)))
    return True


def _wrong(node: Tensor, what: str, array: np.ndarray, hint: str = "") -> InputError:
    return InputError(
        message(
            f"input {node.name!r} {what}",
            got=_text(array),
            expected=str(node.aval),
            at=user_line(),
            created=False,
            hint=hint,
        )
    )


def _rank_hint(node: Tensor, array: np.ndarray) -> str:
    if np.squeeze(array).ndim == node.ndim:
        return "np.squeeze(x) drops axes of size 1"
    return "x[None] has one more axis in front, of size 1" if array.ndim and array.ndim + 1 == node.ndim else ""


def _dtype_hint(node: Tensor, value: Any, array: np.ndarray) -> str:
    if array.dtype.kind not in "biuf":
        return batches_hint(value)
    if _is_weak(value, node.dtype):
        return f"its values are not all numbers of {node.dtype.name}"
    return f"convert it with .astype({node.dtype.name!r})"


def _text(array: np.ndarray) -> str:
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"
