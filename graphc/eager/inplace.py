"""In-place changes: `add_`, `+=`, `copy_`, `out=`. All are `assign`: write a value, tell the tape.

A recorded change gives the tensor (through a view: the tensor it is a view of) a new history, of which its other views
learn when they are next used. What the tape had saved before notices the change by the version of the memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import DTypeError, GradientError, ShapeError, message, user_line
from ..ir.apply import cast
from ..ops.movement import broadcast_to, reshape
from .core import Tensor, edge_of
from .engine import ENGINE, unchained
from .modes import is_grad_enabled
from .rows import COPY_SLICES, layout_of
from .tape import OpNode


def assign(target: Tensor, value: Tensor, what: str, *, whole: bool = False) -> Tensor:
    """Write `value` into the memory of `target`; returns `target`.

    what    the method, for errors
    whole   `value` was computed from the old value of `target`, whose history it therefore carries
    """
    value = _fitting(target, value, what)
    base = target if target._base is None else target._base
    recorded = is_grad_enabled() and (value.requires_grad or target.requires_grad)
    if is_grad_enabled():
        _refuse_leaf(target, base, what)
    if not target._array.flags.writeable:
        raise _refused(
            what,
            "memory that cannot be written: an expanded tensor, or a read-only array",
            "tensor whose elements are its own",
            "change a copy, made with .clone()",
        )
    if recorded and (target._sealed or base._storage is not target._storage):
        raise _refused(
            what,
            "a view that was made under no_grad()",
            "view made while recording, since the change is to be recorded",
            "make the view outside no_grad(), or change a copy, made with .clone()",
        )
    node = _history(target, base, value, whole) if recorded else None
    target._storage.write(target._array, value._array)
    if node is not None:
        base._edge, base._requires = node, True
        base._history += 1
    return target


def _history(target: Tensor, base: Tensor, value: Tensor, whole: bool) -> Any:
    """The new edge of `base` once `value` is written into `target`."""
    if whole and target is base and type(value._edge) is tuple:
        return value._edge
    chain = () if target is base else tuple((op, tuple(a.items())) for op, a in unchained(target._chain))
    attrs = {"chain": chain, "layout": layout_of(base._array)}
    edges = tuple(edge_of(t) if t.requires_grad else None for t in (base, value))
    return OpNode(COPY_SLICES, (base, value), (base,), attrs, edges), 0


def _fitting(target: Tensor, value: Tensor, what: str) -> Tensor:
    """`value` in the dtype and shape of `target`; dtypes may narrow within their kind only, as in NumPy and PyTorch."""
    if not np.can_cast(value.dtype, target.dtype, "same_kind"):
        raise DTypeError(
            message(
                f"cannot write the result of {what}",
                got=f"{value.dtype} into {target._describe()}",
                expected="a dtype of the same kind or a higher one",
                at=user_line(),
                created=False,
                hint=f"convert the tensor first, or use the form that makes a new one: {what.rstrip('_')}",
            )
        )
    shape, given = target.shape, value.shape
    while len(given) > len(shape) and given[0] == 1:
        given = given[1:]
    try:
        fits = np.broadcast_shapes(given, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            message(
                f"cannot write the result of {what}",
                got=f"{value._describe()} into {target._describe()}",
                expected="a shape that broadcasts to that of the target: a tensor cannot grow in place",
                at=user_line(),
                created=False,
            )
        )
    return broadcast_to(cast(reshape(value, given), target.dtype), shape)


def _refuse_leaf(target: Tensor, base: Tensor, what: str) -> None:
    for tensor, name in ((target, "a leaf that requires a gradient"), (base, "a view of such a leaf")):
        if tensor.requires_grad and tensor.is_leaf:
            raise _refused(
                what,
                name,
                "leaf only inside no_grad(): its value is what gradients are taken at",
                "with eager.no_grad(): ..., or use the form that makes a new tensor, w = w - step",
            )


def _refused(what: str, got: str, expected: str, hint: str) -> GradientError:
    return GradientError(
        message(
            f"in-place change by {what}", got=got, expected=f"a {expected}", at=user_line(), created=False, hint=hint
        )
    )


def snapshot(tensor: Tensor) -> Tensor:
    """The present value in memory of its own, at the same place on the tape: what a recorded in-place op reads."""
    copy = Tensor(tensor._array.copy())
    if tensor.requires_grad:
        copy._edge, copy._requires = edge_of(tensor), True
    return copy


def _shares(value: Any, target: Tensor) -> bool:
    return isinstance(value, Tensor) and value._storage is target._storage


def in_place(function: Callable[..., Any], name: str) -> Callable[..., Tensor]:
    """The method that writes ``function(self, ...)`` into `self`."""

    @functools.wraps(function)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        operands: list[Any] = [self, *args]
        if is_grad_enabled():
            _refuse_leaf(self, self if self._base is None else self._base, name)
            if any(isinstance(a, Tensor) and a.requires_grad for a in operands):
                operands = [snapshot(a) if _shares(a, self) else a for a in operands]
        return assign(self, function(*operands, **kwargs), name, whole=True)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`{name.strip('_')}`, written into this tensor; returns it."
    return method


def write_out(out: Any, result: Tensor, name: str) -> Tensor:
    """`result` written into `out`, as ``out=`` asks; refused where a gradient would be lost."""
    if not isinstance(out, Tensor):
        raise GradientError(
            message(f"{name}(out=)", got=type(out).__name__, expected="an eager tensor", at=user_line(), created=False)
        )
    if is_grad_enabled() and (out.requires_grad or result.requires_grad):
        raise GradientError(
            message(
                f"{name}(out=) is not recorded",
                got="a tensor that requires a gradient",
                at=user_line(),
                created=False,
                hint="leave out= away, or call it inside 'with eager.no_grad():'",
            )
        )
    return assign(out, result, name)


def copy_(self: Tensor, source: Any) -> Tensor:
    """Write `source` (broadcast, converted within its kind) into this tensor; returns it."""
    return assign(self, as_value(self, source), "copy_")


def fill_(self: Tensor, value: Any) -> Tensor:
    """Write one number everywhere into this tensor; returns it."""
    return assign(self, as_value(self, value), "fill_")


def zero_(self: Tensor) -> Tensor:
    """Write zeros into this tensor; returns it."""
    return assign(self, as_value(self, 0), "zero_")


def as_value(target: Tensor, value: Any) -> Tensor:
    """A number as a tensor of the target's dtype (where it has a value for it), anything else as it is."""
    if isinstance(value, Tensor):
        return value
    if type(value) in (bool, int) or (type(value) is float and target.dtype.kind == "f"):
        return ENGINE.constant(value, target.dtype)
    return ENGINE.constant(value)
