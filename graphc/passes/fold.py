"""Constant folding: what depends on constants only is computed now, by the reference meaning of its op."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ..ir.dims import Dim
from ..ir.graph import Graph
from ..ir.leaves import constant, constant_value
from ..ir.lowering import Map
from ..ir.tensor import Tensor
from ..ops.movement import broadcast_to
from .rules import scalar_value

MAX_ELEMENTS = 4096
"""Larger results stay computed: a constant of the program costs memory and the cache."""
_VIEWS = frozenset({"broadcast_to", "iota"})


def fold(graph: Graph) -> tuple[Graph, Counter[str]]:
    """Replace nodes of constants by their value; broadcasts of constants stay symbolic."""
    fired: Counter[str] = Counter()

    def visit(node: Tensor) -> Tensor | None:
        if not node.inputs or node.op.multi or node.op.name in _VIEWS:
            return None
        folded = _folded(node) if not isinstance(node.op.lower, Map) else _spread(node)
        if folded is not None:
            fired[f"fold {node.op.name}"] += 1
        return folded

    return graph.replace(visit), fired


def _folded(node: Tensor) -> Tensor | None:
    """The value of a node of constants, as a constant."""
    values = [constant_value(i) for i in node.inputs]
    size = node.size
    if any(v is None for v in values) or isinstance(size, Dim) or size > MAX_ELEMENTS:
        return None
    if any(map(_runtime, node.attrs.values())):
        return None
    return _compute(node, values)


def _spread(node: Tensor) -> Tensor | None:
    """An elementwise op of operands that are one number everywhere is one number everywhere."""
    values = [scalar_value(i) for i in node.inputs]
    if any(v is None for v in values):
        return _folded(node)
    return broadcast_to(_compute(node, [np.asarray(v) for v in values]), node.shape)


def _compute(node: Tensor, values: list[Any]) -> Tensor:
    with np.errstate(all="ignore"):
        return constant(np.asarray(node.op.numpy(*values, **node.attrs), dtype=node.dtype))


def _runtime(attr: object) -> bool:
    """Whether an attr holds a size that only a call knows."""
    return isinstance(attr, Dim) or (isinstance(attr, tuple) and any(map(_runtime, attr)))
