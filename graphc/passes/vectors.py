"""Matrix products that sum one term as products of elements, in the loops of their neighbours.

A matrix times a vector stays a product: loops that read the matrix once, for value and gradient, were slower.
"""

from __future__ import annotations

from collections import Counter

from ..ir.graph import Graph
from ..ir.tensor import Tensor
from ..ops.guarded import PRODUCTS
from ..ops.linalg import matrix_transpose
from ..ops.movement import broadcast_to
from .contractions import MATRIX
from .rules import Rule, rewrite


def _of_vectors(node: Tensor) -> Tensor | None:
    """A product that sums one term: an outer product."""
    spec = node.attrs["spec"]
    if spec not in MATRIX or node.dtype.kind != "f":
        return None
    (a, b), (x, y) = spec.split("->")[0].split(","), node.inputs
    if x.shape[a.index("k")] != 1:
        return None
    left = matrix_transpose(x) if a.endswith("km") else x
    right = matrix_transpose(y) if b.endswith("nk") else y
    product = PRODUCTS[node.attrs.get("guard", "")]
    return product(broadcast_to(left, node.shape), broadcast_to(right, node.shape))


RULES = (Rule("outer product", "contract", _of_vectors),)


def vectors(graph: Graph) -> tuple[Graph, Counter[str]]:
    return rewrite(graph, RULES)
