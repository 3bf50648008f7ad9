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
from .products import product_of
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
    readers: dict[Tensor, set[int]] = {}
    for group in (*before, *behind):
        for node in (n for unit in group.units for n in unit.reads):
            readers.setdefault(alias_base(node), set()).add(group.number)
    able = {g.number: g for g in before if _may_join(g, changed) and len(readers.get(g.units[0].node, ())) == 1}
    last: list[Group] = []
    for update in behind:
        found = (joined([able[k], update], BLOCK) for k in sorted(update.deps & able.keys()))
        last.append(next(filter(None, found), update))
    moved = {group.number for group in last}
    return [g for g in before if g.number not in moved], last


def _may_join(group: Group, changed: Set[Tensor]) -> bool:
    """Whether it is a product of matrices whose size and form are worth it, and that can wait."""
    unit = group.units[0]
    if group.members or unit.kind != "dot":
        return False
    product, size = product_of(unit.node), unit.node.size
    rows = product.sizes[0]
    if not (isinstance(size, int) and isinstance(rows, int)):
        return False
    if not LEAST <= size < chunks.LARGE or (rows < LEAST_CHUNKS * BLOCK and not product.batched):
        return False
    return not any(alias_base(n) in changed for n in unit.reads)
