"""Constant folding: what depends on constants only is computed now, by the reference meaning of its op."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..ir.dims import Dim
from ..ir.graph import Graph
from ..ir.leaves import constant, constant_value
from ..ir.tensor import Tensor

MAX_ELEMENTS = 4096
"""Larger results stay computed: a constant of the program costs memory and the cache."""
_VIEWS = frozenset({"broadcast_to", "iota"})


def fold(graph: Graph) -> tuple[Graph, Counter[str]]:
    """Replace nodes of constants by their value; broadcasts of constants stay symbolic."""
    fired: Counter[str] = Counter()

    def visit(node: Tensor) -> Tensor | None:
        if not node.inputs or node.op.multi or node.op.name in _VIEWS:
            return None
        values = [constant_value(i) for i in node.inputs]
        if any(v is None for v in values):
            return None
        if any(isinstance(s, Dim) for s in node.shape) or int(np.prod(node.shape)) > MAX_ELEMENTS:
            return None
        with np.errstate(all="ignore"):
            result = node.op.numpy(*values, **node.attrs)
        fired[f"fold {node.op.name}"] += 1
        return constant(np.asarray(result, dtype=node.dtype))

    return graph.replace(visit), fired
