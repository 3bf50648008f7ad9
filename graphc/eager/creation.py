"""Tensors from data and from sizes, in PyTorch's spelling. The default float is float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError, message, user_line
from ..ir.dims import as_shape
from ..ir.dtypes import FLOAT32, FLOAT64, SUPPORTED, DType, as_dtype
from .core import Tensor
from .dtypes import check_device, dtype_of
from .params import as_leaf


def finished(array: np.ndarray, requires_grad: bool, device: Any) -> Tensor:
    """`array`, which nobody else holds, as a leaf."""
    check_device(device)
    made = Tensor(array)
    if requires_grad:
        made.requires_grad = True
    return made


def size_of(size: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape that ``f(2, 3)``, ``f((2, 3))`` and ``f([2, 3])`` all mean."""
    listed = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    shape = as_shape(listed)
    if not all(isinstance(s, int) for s in shape):
        raise ShapeError(message("bad shape", got=repr(listed), expected="ints", at=user_line(), created=False))
    return shape  # type: ignore[return-value]


def _plain(data: Any) -> Any:
    """Nested lists with the tensors in them as arrays."""
    data = as_leaf(data)
    if isinstance(data, Tensor):
        return data._array
    return [_plain(d) for d in data] if isinstance(data, (list, tuple)) else data


def _first(data: Any) -> Any:
    while isinstance(data, (list, tuple)) and len(data):
        data = data[0]
    return as_leaf(data)


def as_array(data: Any, dtype: DType | None) -> np.ndarray:
    """A new array of `data`: NumPy data keep their dtype, Python floats become float32."""
    first = _first(data)
    if isinstance(first, Tensor):
        data = _plain(data)
    try:
        array = np.array(data)
    except ValueError:
        raise ShapeError(
            message(
                "cannot make a tensor",
                got=f"{data!r:.80}",
                expected="lists of equal length",
                at=user_line(),
                created=False,
            )
        ) from None
    if array.dtype.kind not in "biuf":
        raise DTypeError(
            message(
                "cannot make a tensor",
                got=f"{type(data).__name__} {data!r:.80}",
                expected="a number, or nested lists or an array of numbers",
                at=user_line(),
                created=False,
            )
        )
    from_python = not isinstance(first, (np.ndarray, np.generic, Tensor))
    if dtype is None:
        dtype = FLOAT32 if from_python and array.dtype == FLOAT64 else as_dtype(array.dtype.newbyteorder("="))
    with np.errstate(all="ignore"):
        return array.astype(dtype, copy=False)


def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of `data`: a number, nested lists, an array, or another tensor's values.

    dtype           by default float32 for Python floats, int64 for ints, bool; arrays keep theirs
    requires_grad   whether `backward` shall accumulate a gradient in ``.grad``; float dtypes only

    `DTypeError` for data that are not numbers, `ShapeError` for ragged lists.

    >>> from graphc import eager
    >>> eager.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    >>> eager.tensor([1.0, 2.0], requires_grad=True)
    tensor([1., 2.], requires_grad=True)
    """
    return finished(as_array(data, None if dtype is None else dtype_of(dtype)), requires_grad, device)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor: a tensor stays itself, an array shares its memory where it need not be converted, a
    `gc.param` is the leaf that stands for it among eager tensors.
    """
    check_device(device)
    data = as_leaf(data)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    if isinstance(data, np.ndarray) and dtype in (None, data.dtype):
        return from_numpy(data)
    return tensor(data, dtype)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor over the memory of `array`: a change of one shows in the other (and is not seen by `backward`)."""
    if not isinstance(array, np.ndarray) or array.dtype not in SUPPORTED:
        raise DTypeError(
            message(
                "from_numpy cannot share memory",
                got=f"{type(array).__name__} {getattr(array, 'dtype', '')}".strip(),
                expected="a NumPy array of a dtype that graphc has, in the machine's byte order",
                at=user_line(),
                created=False,
                hint="eager.tensor(data) copies",
            )
        )
    return Tensor(array.view(np.ndarray))


def full(size: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """`fill_value` everywhere; without `dtype`, that which `tensor(fill_value)` has."""
    value = as_array(fill_value, None if dtype is None else dtype_of(dtype))
    return finished(np.full(size_of((size,)), value, value.dtype), requires_grad, device)


def zeros(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Zeros: ``zeros(2, 3)`` or ``zeros((2, 3))``."""
    return full(size_of(size), 0, dtype=FLOAT32 if dtype is None else dtype, requires_grad=requires_grad, device=device)


def ones(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Ones: ``ones(2, 3)`` or ``ones((2, 3))``."""
    return full(size_of(size), 1, dtype=FLOAT32 if dtype is None else dtype, requires_grad=requires_grad, device=device)


def empty(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Memory whose values mean nothing yet."""
    dtype = FLOAT32 if dtype is None else dtype_of(dtype)
    return finished(np.empty(size_of(size), dtype), requires_grad, device)


def eye(n: int, m: int | None = None, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """The n by n (or n by m) matrix with ones on the diagonal."""
    return finished(np.eye(n, m, dtype=FLOAT32 if dtype is None else dtype_of(dtype)), requires_grad, device)


def arange(
    start: Any, stop: Any = None, step: Any = 1, *, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """`start`, ``start + step``, ... below `stop`; int64 if all three are ints, else float32."""
    if stop is None:
        start, stop = 0, start
    chosen = as_array([start, stop, step], None).dtype if dtype is None else dtype_of(dtype)
    return finished(np.arange(start, stop, step).astype(chosen), requires_grad, device)


def linspace(
    start: float, stop: float, num: int, *, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """`num` numbers at equal distances from `start` to `stop`, both included."""
    chosen = FLOAT32 if dtype is None else dtype_of(dtype)
    return finished(np.linspace(start, stop, num).astype(chosen), requires_grad, device)


def full_like(
    x: Tensor, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """`fill_value` in the shape and (unless given) dtype of `x`."""
    dtype = x.dtype if dtype is None else dtype
    return full(x.shape, fill_value, dtype=dtype, requires_grad=requires_grad, device=device)


def zeros_like(x: Tensor, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Zeros in the shape and dtype of `x`."""
    return full_like(x, 0, dtype=dtype, requires_grad=requires_grad, device=device)


def ones_like(x: Tensor, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Ones in the shape and dtype of `x`."""
    return full_like(x, 1, dtype=dtype, requires_grad=requires_grad, device=device)


def empty_like(x: Tensor, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Memory in the shape and dtype of `x`, whose values mean nothing yet."""
    return empty(x.shape, dtype=x.dtype if dtype is None else dtype, requires_grad=requires_grad, device=device)


def new_zeros(self: Tensor, *size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of another shape, in the dtype of this tensor."""
    return zeros(*size, dtype=self.dtype if dtype is None else dtype, requires_grad=requires_grad)


def new_ones(self: Tensor, *size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of another shape, in the dtype of this tensor."""
    return ones(*size, dtype=self.dtype if dtype is None else dtype, requires_grad=requires_grad)


def new_empty(self: Tensor, *size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Memory of another shape, in the dtype of this tensor."""
    return empty(*size, dtype=self.dtype if dtype is None else dtype, requires_grad=requires_grad)


def new_full(self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`fill_value` in another shape, in the dtype of this tensor."""
    return full(size, fill_value, dtype=self.dtype if dtype is None else dtype, requires_grad=requires_grad)


def new_tensor(self: Tensor, data: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A copy of `data` in the dtype of this tensor."""
    return tensor(data, self.dtype if dtype is None else dtype, requires_grad=requires_grad)
