"""Two rows that only this engine has, about what only it has, memory: `clone`, `copy_slices` (a change in place)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.apply import apply
from ..ir.lowering import Refused
from ..ir.op import Arr, Aval, Op, Require, Sample
from ..ops.creation import zeros_like

_EAGER_ONLY = Refused("symbolic tensors are values without memory of their own")
Chain = tuple[tuple[Op, tuple[tuple[str, Any], ...]], ...]

CLONE = Op(
    "clone",
    lambda require, x: x,
    lambda x: np.array(x, order="K"),
    _EAGER_ONLY,
    vjp=(lambda ct, out, x: ct,),
    jvp=(lambda t, out, x: t,),
    batch=_EAGER_ONLY,
    sympy=lambda sp, x: x,
    samples=(Sample((Arr(),)),),
    traits=frozenset({"linear"}),
)


def layout_of(array: np.ndarray) -> tuple[int, ...]:
    """The axes from the outermost in memory to the innermost."""
    return tuple(sorted(range(array.ndim), key=lambda k: -abs(array.strides[k])))


def _copied(x: np.ndarray, layout: tuple[int, ...]) -> np.ndarray:
    """A dense copy whose axes lie in memory in the order `layout`: views are possible in it where they were before."""
    memory = np.empty([x.shape[k] for k in layout], x.dtype)
    copy = memory.transpose(np.argsort(layout)) if layout else memory
    copy[...] = x
    return copy


def _copy_slices_numpy(x: np.ndarray, value: np.ndarray, chain: Chain, layout: tuple[int, ...]) -> np.ndarray:
    result = view = _copied(x, layout)
    for op, attrs in chain:
        view = op.numpy(view, **dict(attrs))
    if view.size and not np.may_share_memory(view, result):
        raise AssertionError("a view became a copy")
    view[...] = value
    return result


def _copy_slices_value(ct: Any, out: Any, x: Any, value: Any, chain: Chain, layout: tuple[int, ...]) -> Any:
    for op, attrs in chain:
        ct = apply(op, ct, **dict(attrs))
    return ct


def _copy_slices_infer(require: Require, x: Aval, value: Aval, chain: Chain, layout: tuple[int, ...]) -> Aval:
    return x


COPY_SLICES: Op = Op(
    "copy_slices",
    _copy_slices_infer,
    _copy_slices_numpy,
    _EAGER_ONLY,
    vjp=(
        lambda ct, out, x, value, chain, layout: apply(COPY_SLICES, ct, zeros_like(value), chain=chain, layout=layout),
        _copy_slices_value,
    ),
    jvp=_EAGER_ONLY,
    batch=_EAGER_ONLY,
    sympy=_EAGER_ONLY,
    traits=frozenset({"linear"}),
)
"""`x` with `value` written into the view of it that `chain` (pairs op, attrs) leads to."""
