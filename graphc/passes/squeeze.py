"""Drop axes of size 1 from what is computed, so that a column ``[n, 1]`` runs in the loops of its rows ``[n]``."""

from __future__ import annotations

from collections import Counter

from ..ir.apply import apply
from ..ir.dims import Shape
from ..ir.graph import Graph
from ..ir.lowering import Gather, Map, Reduce
from ..ir.tensor import Tensor
from ..ops.movement import broadcast_to, reshape
from ..ops.table import OPS
from .rules import Rule, rewrite


def _kept(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def _without_ones(x: Tensor) -> Tensor:
    """`x` without its axes of size 1: views only."""
    shape = _kept(x.shape)
    if shape == x.shape:
        return x
    if x.op.name == "reshape" and x.inputs[0].shape == shape:
        return x.inputs[0]
    if x.op.name == "iota" and x.shape[x.attrs["axis"]] != 1:
        axis = x.attrs["axis"]
        return apply(x.op, **{**x.attrs, "shape": shape, "axis": axis - x.shape[:axis].count(1)})
    if x.op.name == "broadcast_to" and x.inputs[0].shape == ():
        return broadcast_to(x.inputs[0], shape)
    return reshape(x, shape)


def _elementwise(node: Tensor) -> Tensor | None:
    if 1 not in node.shape:
        return None
    return reshape(apply(node.op, *map(_without_ones, node.inputs), **node.attrs), node.shape)


def _gathered(node: Tensor) -> Tensor | None:
    x, *indices = node.inputs
    if 1 not in indices[0].shape:
        return None
    return reshape(apply(node.op, x, *map(_without_ones, indices), **node.attrs), node.shape)


def _reduced(node: Tensor) -> Tensor | None:
    (x,) = node.inputs
    axes = node.attrs["axes"]
    if 1 not in x.shape or not any(x.shape[a] != 1 for a in axes):
        return None
    position = [k for k, size in enumerate(x.shape) if size != 1]
    kept = tuple(position.index(a) for a in axes if x.shape[a] != 1)
    return reshape(apply(node.op, _without_ones(x), **{**node.attrs, "axes": kept}), node.shape)


def _rules() -> tuple[Rule, ...]:
    rules = []
    for row in OPS.values():
        if isinstance(row.lower, Map):
            rules.append(Rule("compute without axes of size 1", row.name, _elementwise))
        elif isinstance(row.lower, Gather):
            rules.append(Rule("take without axes of size 1", row.name, _gathered))
        elif isinstance(row.lower, Reduce) and not row.lower.combine.startswith("arg"):
            rules.append(Rule("reduce without axes of size 1", row.name, _reduced))
    return tuple(rules)


RULES = _rules()


def squeeze(graph: Graph) -> tuple[Graph, Counter[str]]:
    return rewrite(graph, RULES)
