"""Epilogues: what is computed element by element of a product of matrices joins its kernel.

A thread then works on its results while they are in its registers: a bias, an activation, what is added to them.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.expr import Var
from .fuse import Group
from .products import product_of

MOST_UNITS = 8
"""Values that an epilogue computes, at most: its text is written out for each of a thread's results."""


def with_epilogues(groups: Sequence[Group]) -> list[Group]:
    """`groups`, in an order in which they can run; a product and its first reader are one where that suits, see above.

    The joint group stands where the reader stood.
    """
    items = list(groups)
    for product in groups:
        if product.units[0].kind != "dot" or product.units[0].node.attrs.get("guard"):
            continue
        if not product_of(product.units[0].node).by_tiles:
            continue
        place = next((k for k, g in enumerate(items) if product.number in g.deps), None)
        if place is not None and _reads_own(items[place], product):
            items[place] = _joined(product, items[place])
            items.remove(product)
    return items


def _reads_own(reader: Group, product: Group) -> bool:
    """Whether each iteration of `reader` needs one element of the product, its own."""
    node = product.units[0].node
    own = tuple(Var(f"i{k}") for k in range(len(node.shape)))
    if reader.members or reader.domain != node.shape or len(reader.units) > MOST_UNITS:
        return False
    if any(u.kind not in ("map", "copy") or u.domain != node.shape for u in reader.units):
        return False
    found = [at for u in reader.units for n, places in u.reads.items() if n is node for at in places]
    return bool(found) and all(at == own for at in found)


def _joined(product: Group, reader: Group) -> Group:
    both = Group(reader.number, reader.level, [*product.units, *reader.units], reader.domain)
    both.members = [product, reader]
    both.deps = {*product.deps, *reader.deps} - {product.number}
    return both
