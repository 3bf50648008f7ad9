"""Contractions as (batched) matrix products: axes in groups, in the order the product wants them."""

from __future__ import annotations

from collections import Counter

from ..ir import dims
from ..ir.graph import Graph
from ..ir.tensor import Tensor
from ..ops.guarded import EXCHANGED
from ..ops.linalg import contract
from ..ops.movement import permute_dims, reshape
from .rules import Rule, rewrite

MATRIX = frozenset(b + x + "," + b + y + "->" + b + "mn" for b in ("", "b") for x in ("mk", "km") for y in ("kn", "nk"))


def _grouped(x: Tensor, letters: str, groups: tuple[str, str, str], transposed_too: bool) -> tuple[Tensor, bool]:
    """`x` with its axes in (batch, first, second) order and one axis per group.

    Returns whether the last two groups stay exchanged, where that needs no move of the batch axes.
    """
    batch, first, second = groups
    swapped = transposed_too and letters == batch + second + first and first != "" and second != ""
    order = batch + (second + first if swapped else first + second)
    moved = permute_dims(x, tuple(letters.index(c) for c in order))
    size = dict(zip(letters, x.shape, strict=True))
    parts = (batch, second, first) if swapped else (batch, first, second)
    shape = tuple(dims.product(size[c] for c in part) for k, part in enumerate(parts) if k or batch)
    return reshape(moved, shape), swapped


def _unmoved(x: Tensor, letters: str) -> tuple[Tensor, str]:
    """What `x` is with its axes in another order, and the letters of these axes; else `x` itself."""
    while x.op.name == "permute_dims":
        of = dict(zip(x.attrs["axes"], letters, strict=True))
        x, letters = x.inputs[0], "".join(of[axis] for axis in range(len(x.shape)))
    return x, letters


def _to_matrices(node: Tensor) -> Tensor | None:
    (x, y), spec, guard = node.inputs, node.attrs["spec"], node.attrs.get("guard", "")
    operands, out = spec.split("->")
    a, b = operands.split(",")
    (x, a), (y, b) = _unmoved(x, a), _unmoved(y, b)
    if f"{a},{b}->{out}" in MATRIX:
        return contract(x, y, f"{a},{b}->{out}", guard=guard)
    if spec in MATRIX:
        return None
    batch = "".join(c for c in out if c in a and c in b)
    summed = "".join(c for c in a if c not in out)
    rows = "".join(c for c in out if c in a and c not in b)
    cols = "".join(c for c in out if c in b and c not in a)
    if rows and cols and "".join(c for c in out if c not in batch) == cols + rows:
        x, y, a, b, rows, cols, guard = y, x, b, a, cols, rows, EXCHANGED[guard]
    left, left_swapped = _grouped(x, a, (batch, rows, summed), True)
    right, right_swapped = _grouped(y, b, (batch, summed, cols), True)
    p = "b" if batch else ""
    matrices = f"{p}{'km' if left_swapped else 'mk'},{p}{'nk' if right_swapped else 'kn'}->{p}mn"
    product = contract(left, right, matrices, guard=guard)
    size = dict(zip(out, node.shape, strict=True))  # of two names for one size, the node's
    natural = batch + rows + cols
    shaped = reshape(product, tuple(size[c] for c in natural))
    return permute_dims(shaped, tuple(natural.index(c) for c in out))


RULES = (Rule("contraction as matrix product", "contract", _to_matrices),)


def contractions(graph: Graph) -> tuple[Graph, Counter[str]]:
    return rewrite(graph, RULES)
