"""Methods that convert, look at or rearrange a tensor, and Python's protocols; `install` puts them on `Tensor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import numpy as np

from ..errors import GradientError, ShapeError, TraceError, message, user_line
from ..ir.apply import apply, cast
from ..ops.movement import broadcast_to, permute_dims, reshape
from .core import Tensor
from .dtypes import NAMES, check_device, dtype_of
from .rows import CLONE


def _refuse(failed: str, x: Tensor, expected: str = "", hint: str = "", error: type[Exception] = ShapeError) -> Any:
    raise error(message(failed, got=x._describe(), expected=expected, at=user_line(), created=False, hint=hint))


# looking


def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or the size of axis `dim`."""
    return self.shape if dim is None else self.shape[dim]


def dim(self: Tensor) -> int:
    """Number of axes."""
    return self._array.ndim


def numel(self: Tensor) -> int:
    """Number of elements."""
    return int(self._array.size)


def item(self: Tensor) -> Any:
    """The value of a one-element tensor as a Python number."""
    if self._array.size != 1:
        _refuse("item() of a tensor of several elements", self, "one element", "use .tolist()")
    return self._array.item()


def tolist(self: Tensor) -> Any:
    """The values as (nested lists of) Python numbers."""
    return self._array.tolist()


def numpy(self: Tensor) -> np.ndarray:
    """The array itself: it shares memory, and `backward` does not notice what is written through it.

    Of a param's memory, which steps change in place, it is a copy that cannot be written. `GradientError` on a tensor
    that requires a gradient.
    """
    if self.requires_grad:
        _refuse(
            "numpy() of a tensor that requires a gradient",
            self,
            "a tensor off the tape, since changes of the array would go unseen",
            "use .detach().numpy()",
            GradientError,
        )
    return self._storage.shared(self._array)


def is_floating_point(self: Tensor) -> bool:
    """Whether the dtype is a float."""
    return self.dtype.kind == "f"


def is_contiguous(self: Tensor) -> bool:
    """Whether the elements lie in memory in C order."""
    return bool(self._array.flags.c_contiguous)


# rearranging: views wherever NumPy can give one


def view(self: Tensor, *shape: Any) -> Tensor:
    """The same memory under another shape; one size may be -1. `ShapeError` where it would need a copy."""
    result = reshape(self, size_or_unknown(shape))
    if result._storage is not self._storage:
        _refuse(f"view{size_or_unknown(shape)}", self, "a layout that allows it without a copy", "use .reshape()")
    return result


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """`view` under the shape of `other`."""
    return view(self, *other.shape)


def reshape_method(self: Tensor, *shape: Any) -> Tensor:
    """The elements in C order under another shape: a view where possible, else a copy. One size may be -1."""
    return reshape(self, size_or_unknown(shape))


def size_or_unknown(shape: tuple[Any, ...]) -> tuple[int, ...]:
    """The sizes that ``f(2, -1)`` and ``f((2, -1))`` both mean."""
    return tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape


def flatten(self: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes `start_dim` to `end_dim` as one."""
    n = max(self.ndim, 1)
    a, b = start_dim % n, end_dim % n
    shape = self.shape or (1,)
    return reshape(self, (*shape[:a], int(np.prod(shape[a : b + 1])), *shape[b + 1 :]))


def permute(self: Tensor, *axes: Any) -> Tensor:
    """The axes in another order."""
    return permute_dims(self, size_or_unknown(axes))


def transpose(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    order = list(range(self.ndim))
    if not all(-self.ndim <= d < self.ndim for d in (dim0, dim1)):
        _refuse(f"transpose({dim0}, {dim1})", self, "axes that the tensor has")
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return permute_dims(self, tuple(order))


def t(self: Tensor) -> Tensor:
    """The transpose of a matrix; fewer axes stay as they are."""
    if self.ndim > 2:
        _refuse("t()", self, "at most two axes", "use .permute() or .transpose()")
    return reversed_axes(self)


def reversed_axes(self: Tensor) -> Tensor:
    """The axes in reversed order: ``x.T``."""
    return permute_dims(self, tuple(reversed(range(self.ndim))))


def unsqueeze(self: Tensor, dim: int) -> Tensor:
    """A new axis of size 1 at place `dim`."""
    k = dim % (self.ndim + 1)
    return reshape(self, (*self.shape[:k], 1, *self.shape[k:]))


def squeeze(self: Tensor, dim: int | None = None) -> Tensor:
    """Without axes of size 1; with `dim`, without that axis if its size is 1."""
    axes = range(self.ndim) if dim is None else (dim % max(self.ndim, 1),)
    return reshape(self, tuple(n for k, n in enumerate(self.shape) if not (k in axes and n == 1)))


def expand(self: Tensor, *sizes: Any) -> Tensor:
    """Stretched along axes of size 1; -1 keeps a size. Shares memory."""
    wanted = size_or_unknown(sizes)
    offset = len(wanted) - self.ndim
    return broadcast_to(self, tuple(self.shape[k - offset] if n == -1 else n for k, n in enumerate(wanted)))


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of `other`."""
    return broadcast_to(self, other.shape)


# copies and conversions


def clone(self: Tensor) -> Tensor:
    """A copy in memory of its own, through which gradients flow."""
    return apply(CLONE, self)


def contiguous(self: Tensor) -> Tensor:
    """This tensor if it lies in memory in C order, else a copy that does."""
    return self if self._array.flags.c_contiguous else reshape(reshape(self, (-1,)), self.shape)


def detach_(self: Tensor) -> Tensor:
    """Take this tensor off the tape; returns it."""
    self._edge, self._requires = None, False
    self._base, self._chain, self._sealed = None, None, self._base is not None
    return self


def to(self: Tensor, *target: Any, dtype: Any = None, device: Any = None, copy: bool = False) -> Tensor:
    """Converted to a dtype (or to that of another tensor). The one device is ``"cpu"``."""
    for t in target:
        if isinstance(t, Tensor):
            dtype = t.dtype
        elif isinstance(t, str) and t not in NAMES:
            device = t
        else:
            dtype = NAMES[t] if isinstance(t, str) else t
    check_device(device)
    result = self if dtype is None else cast(self, dtype_of(dtype))
    return clone(result) if copy and result is self else result


def _converter(name: str) -> Callable[[Tensor], Tensor]:
    dtype = NAMES[name]

    def convert(self: Tensor) -> Tensor:
        return cast(self, dtype)

    convert.__name__ = name
    convert.__doc__ = f"Converted to {dtype}."
    return convert


def cpu(self: Tensor) -> Tensor:
    """The tensor itself: it is on the CPU."""
    return self


def cuda(self: Tensor, device: Any = "cuda") -> Tensor:
    """`UnsupportedError`: there is no other device than the CPU."""
    check_device(device)
    return self


class _Protocols(Tensor):
    """Python's own protocols: truth, numbers, length, iteration, NumPy arrays, formatting, copies."""

    def __bool__(self) -> bool:
        if self._array.size != 1:
            _refuse(
                "truth value of a tensor of several elements", self, "one element", "use .any() or .all()", TraceError
            )
        return bool(self._array.item())

    def __float__(self) -> float:
        return float(item(self))

    def __int__(self) -> int:
        return int(item(self))

    def __index__(self) -> int:
        if self._array.size != 1 or self.dtype.kind not in "iu":
            _refuse("a tensor as an index", self, "one element of an integer dtype", "convert it: int(x)", TraceError)
        return int(self._array.item())

    def __len__(self) -> int:
        if self.ndim == 0:
            _refuse("len() of a 0-d tensor", self, "at least one axis", error=TraceError)
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            _refuse("iteration over a 0-d tensor", self, "at least one axis", error=TraceError)
        return iter([self[k] for k in range(self.shape[0])])

    def __contains__(self, value: Any) -> bool:
        return bool((self._array == (value._array if isinstance(value, Tensor) else value)).any())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(numpy(self), dtype, copy=copy)

    def __format__(self, spec: str) -> str:
        return format(self._array.item(), spec) if spec and self._array.size == 1 else repr(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            _refuse(
                "deepcopy of a computed tensor", self, "a leaf", "use .clone(), or .detach().clone()", GradientError
            )
        copy = Tensor(self._array.copy())
        copy._requires = self._requires
        copy._grad = None if self._grad is None else Tensor(self._grad._array.copy())
        return copy


_METHODS: dict[str, Any] = {
    f.__name__: f
    for f in (
        size, dim, numel, item, tolist, numpy, is_floating_point, is_contiguous,
        view, view_as, flatten, permute, transpose, t, unsqueeze, squeeze, expand, expand_as,
        clone, contiguous, detach_, to, cpu, cuda,
        *[_converter(name) for name in ("float", "double", "long", "int", "short", "bool")],
    )
}  # fmt: skip
_METHODS["reshape"] = reshape_method
_METHODS["T"] = property(reversed_axes)
_METHODS["mT"] = property(lambda self: transpose(self, -2, -1), doc="The last two axes exchanged.")
_METHODS["device"] = property(lambda self: "cpu", doc='Always "cpu".')
FUNCTIONS: dict[str, Any] = {
    name: _METHODS[name] for name in ("numel", "flatten", "permute", "transpose", "t", "unsqueeze", "squeeze", "clone")
}
"""Those that PyTorch has as functions too."""


def install(cls: type) -> None:
    """Put the methods on `cls`."""
    protocols = {k: v for k, v in vars(_Protocols).items() if isinstance(v, FunctionType)}
    for name, method in {**_METHODS, **protocols}.items():
        setattr(cls, name, method)


__all__ = ["FUNCTIONS", "install"]
