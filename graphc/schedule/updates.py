"""Updates on the rows of products: what changes a param in place joins the product that gives its gradient.

Each chunk of rows of the gradient is then used while it is in cache, on the core that computed it.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from ..ir.leaves import Param
from ..ir.tensor import Tensor
from . import chunks
from .cluster import joined
from .fuse import Group
from .units import alias_base

LEAST = 1 << 16
"""Elements of a gradient from which on it joins: a smaller one stays in a core's cache as it is. From `chunks.LARGE` on
it does not: its tiles read less than rows would."""

BLOCK, LEAST_CHUNKS = 64, 8
"""Rows of which a chunk has a multiple: for each chunk the whole right factor is read. With fewer chunks, some threads
would wait long for others."""


def with_products(
    before: Sequence[Group], behind: Sequence[Group], updates: Sequence[tuple[Param, Tensor]]
) -> tuple[list[Group], list[Group]]:
    """Kernels before and behind the check for errors; a product that only one of those behind it needs joins that.

    updates  params and their new values: what reads a param that changes stays where it is
    """
    changed = {param for param, value in updates if value is not param}
    first, last = list(before), list(behind)
    for place, update in enumerate(behind):
        for product in [g for g in first if g.number in update.deps and _may_join(g, changed)]:
            others = [g for g in (*first, *last) if g.number not in (product.number, update.number)]
            both = None if _is_read(product, others) else joined([product, update], BLOCK)
            if both is not None:
                last[place] = both
                first.remove(product)
                break
    return first, last


def _may_join(group: Group, changed: Set[Tensor]) -> bool:
    """Whether it is a product of matrices whose size is worth it, and that can wait."""
    unit = group.units[0]
    if group.members or unit.kind != "dot":
        return False
    rows, size = unit.node.shape[0], unit.node.size
    if not isinstance(rows, int) or not isinstance(size, int):
        return False
    suits = LEAST <= size < chunks.LARGE and rows >= LEAST_CHUNKS * BLOCK
    return suits and not any(alias_base(n) in changed for n in unit.reads)


def _is_read(product: Group, others: Sequence[Group]) -> bool:
    node = product.units[0].node
    return any(alias_base(n) is node for g in others for unit in g.units for n in unit.reads)
