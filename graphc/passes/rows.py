"""One element of every row: what `take_along_axis` with one index a row selects, and where its gradient goes.

Selecting comes before computing, so that a log-probability is computed only where it is needed. The gradient is
compared into place, not scattered, so that it runs in the loops of its rows.
"""

from __future__ import annotations

from collections import Counter

from ..ir.apply import apply
from ..ir.graph import Graph
from ..ir.lowering import Map
from ..ir.tensor import Tensor
from ..ops.creation import iota, zeros_like
from ..ops.elementwise import equal, greater_equal, negative, where
from ..ops.indexing import GATHER
from ..ops.movement import broadcast_to, reshape
from .rules import Rule, is_scalar, rewrite


def _selected_axis(x: Tensor, indices: tuple[Tensor, ...]) -> int | None:
    """The axis along which `indices` select one element of every row of `x`; None where they do something else."""
    shape = indices[0].shape
    if len(indices) != len(x.shape) or len(shape) != len(x.shape):
        return None
    free = [k for k, i in enumerate(indices) if not (i.op.name == "iota" and i.attrs["axis"] == k)]
    if len(free) != 1 or shape[free[0]] != 1:
        return None
    same = all(n == m for k, (n, m) in enumerate(zip(shape, x.shape, strict=True)) if k != free[0])
    return free[0] if same else None


def _select_first(node: Tensor) -> Tensor | None:
    """Select from the operands. One of them must still be indexed: an index out of range is an error."""
    x, *indices = node.inputs
    if not isinstance(x.op.lower, Map) or _selected_axis(x, tuple(indices)) is None:
        return None
    axis = _selected_axis(x, tuple(indices))
    assert axis is not None
    operands, indexed = [], False
    for operand in x.inputs:
        if _constant_along(operand, axis):
            operands.append(broadcast_to(operand.inputs[0], node.shape))
        else:
            operands.append(apply(GATHER, operand, *indices))
            indexed = True
    return apply(x.op, *operands, **x.attrs) if indexed else None


def _constant_along(x: Tensor, axis: int) -> bool:
    """Whether `x` is a broadcast along `axis`."""
    if x.op.name != "broadcast_to":
        return False
    inner = x.inputs[0].shape
    k = axis - (len(x.shape) - len(inner))
    return k < 0 or inner[k] == 1


def _compare_into_place(node: Tensor) -> Tensor | None:
    x, updates, *indices = node.inputs
    axis = _selected_axis(x, tuple(indices))
    if axis is None or not is_scalar(x, 0):
        return None
    places = apply(GATHER, iota((x.shape[axis],), 0), indices[axis])
    here = equal(iota(x.shape, axis), broadcast_to(places, x.shape))
    return where(here, broadcast_to(updates, x.shape), zeros_like(x))


def _sum_of_one(node: Tensor) -> Tensor | None:
    """The sum of rows that are 0 but for one place: what stands there. The place is looked at: it may be wrong."""
    (x,) = node.inputs
    negated = x.op.name == "negative"
    chosen = x.inputs[0] if negated else x
    if chosen.op.name != "where" or not is_scalar(chosen.inputs[2], 0) or chosen.inputs[1].op.name != "broadcast_to":
        return None
    here, value = chosen.inputs[0], chosen.inputs[1].inputs[0]
    if here.op.name != "equal" or here.inputs[0].op.name != "iota" or here.inputs[1].op.name != "broadcast_to":
        return None
    axis, places = here.inputs[0].attrs["axis"], here.inputs[1].inputs[0]
    if node.attrs["axes"] != (axis,) or places.op.name != "gather" or places.inputs[0].op.name != "iota":
        return None
    if places.inputs[0].shape != (x.shape[axis],):
        return None  # a place beyond the axis is nowhere in the row
    if places.shape != value.shape or len(value.shape) != len(x.shape) or value.shape[axis] != 1:
        return None
    found = where(greater_equal(places, 0), value, zeros_like(value))
    return reshape(negative(found) if negated else found, node.shape)


RULES = (
    Rule("select before computing", "gather", _select_first),
    Rule("compare into place", "scatter_add", _compare_into_place),
    Rule("sum of one element", "sum", _sum_of_one),
)


def rows(graph: Graph) -> tuple[Graph, Counter[str]]:
    return rewrite(graph, RULES)
