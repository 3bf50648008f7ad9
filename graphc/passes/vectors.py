"""Matrix products with a vector or of two vectors as sums or products of elements, in the loops of their neighbours.

So the data of a linear model is read once, for the value and for the gradient.
"""

from __future__ import annotations

from collections import Counter

from ..ir import dims
from ..ir.graph import Graph
from ..ir.tensor import Tensor
from ..ops.elementwise import multiply
from ..ops.movement import broadcast_to, permute_dims, reshape
from ..ops.reduction import sum as total
from .contractions import MATRIX
from .rules import Rule, rewrite

IN_CACHE = 1 << 20
"""Bytes of a matrix that stays in cache: reading it again costs little, and a library multiplies faster."""


def _with_vector(node: Tensor) -> Tensor | None:
    """A large matrix times a vector: products of elements, and their sums."""
    spec = node.attrs["spec"]
    if spec not in MATRIX or spec.startswith("b") or node.dtype.kind != "f":
        return None
    (a, b), (x, y) = spec.split("->")[0].split(","), node.inputs
    if node.shape[1] != 1:
        if node.shape[0] != 1:
            return None
        a, b, x, y = b, a, y, x  # the vector is the left one
    axis = a.index("k")
    size = dims.product(x.shape)
    if isinstance(size, int) and size * x.dtype.itemsize <= IN_CACHE:
        return None
    vector = reshape(y, (x.shape[axis], 1) if axis == 0 else (x.shape[axis],))
    return reshape(total(multiply(x, broadcast_to(vector, x.shape)), axis=axis), node.shape)


def _of_vectors(node: Tensor) -> Tensor | None:
    """A product that sums one term: an outer product."""
    spec = node.attrs["spec"]
    if spec not in MATRIX or node.dtype.kind != "f":
        return None
    (a, b), (x, y) = spec.split("->")[0].split(","), node.inputs
    if x.shape[a.index("k")] != 1:
        return None
    left = permute_dims(x, (1, 0)) if a.endswith("km") else x
    right = permute_dims(y, (1, 0)) if b.endswith("nk") else y
    return multiply(broadcast_to(left, node.shape), broadcast_to(right, node.shape))


RULES = (
    Rule("product with a vector as sums", "contract", _with_vector),
    Rule("outer product", "contract", _of_vectors),
)


def vectors(graph: Graph) -> tuple[Graph, Counter[str]]:
    return rewrite(graph, RULES)
