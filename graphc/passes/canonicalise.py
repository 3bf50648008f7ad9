"""Drop what only mattered while building (cuts and custom rules), and join chains of views."""

from __future__ import annotations

from collections import Counter

from ..ir.apply import apply
from ..ir.graph import Graph
from ..ir.tensor import Tensor
from ..ops.elementwise import ASTYPE
from ..ops.movement import broadcast_to, permute_dims, reshape
from .rules import Rule, rewrite


def _same_shape(node: Tensor) -> Tensor | None:
    return node.inputs[0] if node.inputs[0].avals == node.avals else None


def _join_reshapes(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    return reshape(x.inputs[0], node.shape) if x.op.name == "reshape" else None


def _join_broadcasts(node: Tensor) -> Tensor | None:
    """Unless a named size, checked to be 1, is stretched by the second: no size but a declared 1 stretches."""
    (x,) = node.inputs
    if x.op.name != "broadcast_to":
        return None
    inner = x.inputs[0]
    for size, middle, last in zip(inner.shape[::-1], x.shape[::-1], node.shape[::-1], strict=False):
        if size != 1 and middle == 1 != last:
            return None
    return broadcast_to(inner, node.shape)


def _join_permutes(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    if x.op.name != "permute_dims":
        return None
    inner = x.attrs["axes"]
    return permute_dims(x.inputs[0], tuple(inner[a] for a in node.attrs["axes"]))


def _broadcast_of_ones(node: Tensor) -> Tensor | None:
    """A broadcast of a reshape that only added leading size-1 axes: broadcasting adds those itself."""
    (x,) = node.inputs
    if x.op.name != "reshape":
        return None
    old, new = x.inputs[0].shape, x.shape
    extra = len(new) - len(old)
    if extra > 0 and new[:extra] == (1,) * extra and new[extra:] == old:
        return broadcast_to(x.inputs[0], node.shape)
    return None


def _forward_of_item(node: Tensor) -> Tensor | None:
    """An output of a custom gradient is its forward value, once derivatives have been taken."""
    (x,) = node.inputs
    return x.inputs[node.attrs["index"]] if x.op.name == "custom" else None


def _cast_chain(node: Tensor) -> Tensor | None:
    """A cast to a type that loses nothing, followed by another cast."""
    (x,) = node.inputs
    if x.op is ASTYPE and x.inputs[0].dtype.kind == "b" and x.dtype.kind != "b":
        return apply(ASTYPE, x.inputs[0], dtype=node.dtype) if node.dtype.kind != "b" else x.inputs[0]
    return None


def _position_along_last(node: Tensor) -> Tensor | None:
    """argmax and argmin scan their axis innermost, so that the running best is one pair."""
    (x,) = node.inputs
    (axis,) = node.attrs["axes"]
    last = len(x.shape) - 1
    if axis == last:
        return None
    moved = permute_dims(x, (*[k for k in range(last + 1) if k != axis], axis))
    return apply(node.op, moved, axes=(last,))


RULES = (
    Rule("argmax along the last axis", "argmax", _position_along_last),
    Rule("argmin along the last axis", "argmin", _position_along_last),
    Rule("drop stop_gradient", "stop_gradient", lambda node: node.inputs[0]),
    Rule("drop custom_gradient", "item", _forward_of_item),
    Rule("reshape to itself", "reshape", _same_shape),
    Rule("join reshapes", "reshape", _join_reshapes),
    Rule("broadcast to itself", "broadcast_to", _same_shape),
    Rule("join broadcasts", "broadcast_to", _join_broadcasts),
    Rule("broadcast without reshape", "broadcast_to", _broadcast_of_ones),
    Rule("join permutations", "permute_dims", _join_permutes),
    Rule("join casts", "astype", _cast_chain),
)


def canonicalise(graph: Graph) -> tuple[Graph, Counter[str]]:
    return rewrite(graph, RULES)
