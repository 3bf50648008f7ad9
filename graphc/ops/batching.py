"""Batch rules that rows share: how a new leading axis passes through an op. `autodiff.batching` runs them."""

from __future__ import annotations

from typing import Any

from ..ir.apply import apply
from ..ir.op import Batching


def everywhere(how: Batching, operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """All operands with the new axis: those that lack it are the same for every sample."""
    from .movement import broadcast_to

    return tuple(
        x if has else broadcast_to(x, (how.size, *x.shape)) for x, has in zip(operands, how.batched, strict=True)
    )


def batch_elementwise(how: Batching, *operands: Any, **attrs: Any) -> Any:
    """Of an op whose operands and result have one shape."""
    return apply(how.op, *everywhere(how, operands), **attrs)


def batch_along_axis(how: Batching, *operands: Any, axis: int, **attrs: Any) -> Any:
    """Of an op that works along ``axis``."""
    return apply(how.op, *everywhere(how, operands), axis=axis + 1, **attrs)


def batch_along_axes(how: Batching, *operands: Any, axes: tuple[int, ...], **attrs: Any) -> Any:
    """Of an op that works along each of ``axes``."""
    return apply(how.op, *everywhere(how, operands), axes=tuple(k + 1 for k in axes), **attrs)
