"""What convolution and pooling share: numbers for each spatial axis, positions of windows, batches of one."""

from __future__ import annotations

import operator
from typing import Any

from ..arguments import bad_argument
from ..ir import dims
from ..ir.dims import DimLike
from ..ops.guarding import inside
from ..ops.movement import reshape
from .checks import ill_shaped

Ints = tuple[int, ...]


def per_axis(layer: str, name: str, value: Any, rank: int, least: int) -> Ints:
    """An int for all spatial axes, or one for each, as a tuple."""
    listed = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    if len(listed) == 1:
        listed *= rank
    ok = all(hasattr(v, "__index__") and not isinstance(v, bool) and operator.index(v) >= least for v in listed)
    if len(listed) != rank or not ok:
        each = f", or {rank} of them" if rank > 1 else ""
        raise bad_argument(layer, name, value, f"an int >= {least}{each}")
    return tuple(operator.index(v) for v in listed)


def has_spatial(layer: str, x: Any, rank: int) -> None:
    """`x` must be [batch, channels, *spatial] or [channels, *spatial]."""
    if len(x.shape) not in (rank + 1, rank + 2):
        names = {1: "length", 2: "height, width", 3: "depth, height, width"}[rank]
        raise ill_shaped(layer, f"[batch, channels, {names}] or [channels, {names}]", x)


def batched(layer: str, x: Any, rank: int) -> tuple[Any, bool]:
    """`x` as [batch, channels, *spatial], and whether it had no batch."""
    has_spatial(layer, x, rank)
    alone = len(x.shape) == rank + 1
    return (reshape(x, (1, *x.shape)) if alone else x), alone


def unbatched(x: Any, alone: bool) -> Any:
    """Undo `batched`."""
    return reshape(x, tuple(x.shape[1:])) if alone else x


def positions(size: DimLike, reach: DimLike, stride: int) -> DimLike:
    """How many positions a window that covers `reach` places has on `size` of them."""
    return dims.floordiv(dims.max0(size - reach), stride) + 1


def wide_enough(layer: str, x: Any, reach: Ints, around: Ints) -> Any:
    """`x`, whose spatial axes, with what is put around them, must have room for a window.

    Raises `ShapeError` now if a size is known, else when a step is called.
    """
    first = len(x.shape) - len(reach)
    for axis, (need, more) in enumerate(zip(reach, around, strict=True), first):
        size = x.shape[axis]
        if isinstance(size, int) and size + more < need:
            padded = f" with {more} of padding" if more else ""
            raise ill_shaped(layer, f"at least {need} places, as its windows cover, on axis {axis}{padded}", x)
        if need - more > 0:
            x = inside(x, axis, need - more - 1)
    return x


__all__ = ["batched", "has_spatial", "per_axis", "positions", "unbatched", "wide_enough"]
