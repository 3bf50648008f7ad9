"""Identities that make a call check named sizes: `check_index` a position on an axis, `check_size` a size."""

from __future__ import annotations

from typing import Any

from ..ir.apply import apply
from ..ir.dims import DimLike
from ..ir.lowering import View, identity_index
from ..ir.op import Arr, Aval, Batching, Op, Require, Sample
from .batching import batch_along_axis


def _check_infer(require: Require, x: Aval, axis: int, index: DimLike, past: bool) -> Aval:
    size, least = x.shape[axis], 0 if past else 1
    what = f"{'bound' if past else 'index'} {index} within axis {axis} of {x}"
    if isinstance(index, int):
        require.at_least(size, index + least if index >= 0 else -index, what)
    else:
        require.at_least(index, 0, what)
        require.at_least(size - index, least, what)
    return x


CHECK_INDEX: Op = Op(
    "check_index",
    _check_infer,
    lambda x, axis, index, past: x,
    View(identity_index),
    vjp=(lambda ct, out, x, **attrs: apply(CHECK_INDEX, ct, **attrs),),  # a gradient alone is checked too
    jvp=(lambda t, out, x, **attrs: apply(CHECK_INDEX, t, **attrs),),
    batch=batch_along_axis,
    sympy=lambda sp, x, **attrs: x,
    samples=(
        Sample((Arr((3, 4)),), {"axis": 0, "index": 2, "past": False}),
        Sample((Arr((3, 4)),), {"axis": 1, "index": -4, "past": False}),
    ),
    traits=frozenset({"linear"}),
)


def inside(x: Any, axis: int, index: DimLike, past: bool = False) -> Any:
    """`x`, whose `axis` has a position `index` (an int may count from the end; `past`: or ends there).

    Two ints are compared by who calls this; anything else is checked at call time.
    """
    if isinstance(x.shape[axis], int) and isinstance(index, int):
        return x
    return apply(CHECK_INDEX, x, axis=axis, index=index, past=past)


def _size_infer(require: Require, x: Aval, size: DimLike, refused: DimLike, what: str, hint: str) -> Aval:
    require.differ(size, refused, what, hint)
    return x


def _size_batch(how: Batching, x: Any, **attrs: Any) -> Any:
    return apply(CHECK_SIZE, x, **attrs)


CHECK_SIZE: Op = Op(
    "check_size",
    _size_infer,
    lambda x, size, refused, what, hint: x,
    View(identity_index),
    vjp=(lambda ct, out, x, **attrs: apply(CHECK_SIZE, ct, **attrs),),
    jvp=(lambda t, out, x, **attrs: apply(CHECK_SIZE, t, **attrs),),
    batch=_size_batch,
    sympy=lambda sp, x, **attrs: x,
    samples=(Sample((Arr((3, 4)),), {"size": 3, "refused": 1, "what": "more than one row", "hint": ""}),),
    traits=frozenset({"linear"}),
)


def unless(x: Any, size: DimLike, refused: int, what: str, hint: str = "") -> Any:
    """`x`; a call where the named `size` is `refused` raises `ShapeError`: `what` was expected.

    An int is compared by who calls this.
    """
    return x if isinstance(size, int) else apply(CHECK_SIZE, x, size=size, refused=refused, what=what, hint=hint)


ROWS = (CHECK_INDEX, CHECK_SIZE)
