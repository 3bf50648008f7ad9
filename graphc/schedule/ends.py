"""Ends: what needs no loops, or short ones, is computed at the end of the last kernel that computes something for it.

A mean of a sum, say, or the update of a bias: a kernel of its own would take longer to compile, and to call, than to
run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..ir import dims
from .fuse import FUSIBLE, MAX_SIZE, Group
from .products import product_of
from .units import Unit

SMALL, FEW = 64, 48
"""Elements up to which loops are an end; and statements of all ends of a kernel that are loops: where there are more,
some are equal, and a kernel of their own would be compiled once."""


def with_ends(before: Sequence[Group], behind: Sequence[Group]) -> tuple[list[Group], list[Group]]:
    """Kernels before and behind the check for errors, in an order in which they can run, some as `ends` of others.

    Where nothing can fail, what changes params may be the end of the last kernel: the others have read them.
    """
    found: list[Group] = []
    place: dict[int, int] = {}  # of each group by its number, and of those in it
    for group in before:
        last = max((place[k] for k in group.deps if k in place), default=None)
        if last is None or not _may_end(found[last], group):
            last = len(found)
            found.append(group)
        else:
            found[last] = _with_end(found[last], group)
        place |= dict.fromkeys([group.number, *(member.number for member in group.members)], last)
    if any(unit.gathers for group in (*before, *behind) for unit in group.units):
        return found, list(behind)
    rest: list[Group] = []
    for group in behind:
        if any(place.get(k) == len(found) - 1 for k in group.deps) and _may_end(found[-1], group):
            found[-1] = _with_end(found[-1], group)
        else:
            rest.append(group)
    return found, rest


def _may_end(group: Group, end: Group) -> bool:
    """Whether `end` has no loops, or short ones, and the kernel is not too long with it."""
    if end.members or not group.domain or group.size + end.size > MAX_SIZE:
        return False
    loops = sum(other.size for other in group.ends if other.domain) + end.size
    return not end.domain or (loops <= FEW and all(map(_is_small, end.units)))


def _is_small(unit: Unit) -> bool:
    """Whether the loops of a unit are short; or how long they are is not known, but one thread runs them anyway."""
    if unit.kind == "dot":
        product, size = product_of(unit.node), unit.node.size
        return not product.by_tiles and isinstance(size, int) and size <= SMALL
    size = dims.product(unit.domain)
    return unit.kind in FUSIBLE and isinstance(size, int) and size <= SMALL


def _with_end(group: Group, end: Group) -> Group:
    return replace(
        group,
        units=[*group.units, *end.units],
        size=group.size + end.size,
        deps=group.deps | end.deps - {group.number},
        members=group.members or [group],
        ends=[*group.ends, end],
    )
