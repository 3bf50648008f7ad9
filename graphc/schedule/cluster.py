"""Clusters: kernels that go over the same rows become one, which does all of it for a chunk of rows at a time.

What one of them computes of these rows is then in cache when the next reads it, data that several read is read once,
and threads start once. Products of matrices are members, too: rows of the result, or what the rows add to a result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..ir import dims
from ..ir.dims import DimLike
from ..ir.expr import Var
from ..ir.tensor import Tensor
from . import chunks
from .chunks import Chunking
from .convolution_layout import by_image, layout_of, reads_as_weights
from .fuse import FUSIBLE, MAX_SIZE, Group
from .overlap import has_rows
from .products import product_of
from .units import Unit, alias_base

MOST_KERNELS = 64
"""Kernels of a step up to which clusters are looked for: a long one is a network unrolled, whose equal kernels are
compiled once as they are."""
BLOCK = 16
"""Rows of which a chunk with products of matrices has a multiple: matrices so small are multiplied nearly at full
speed."""
WORTH = 16
"""How many times larger than a row of its factors a result may be for each chunk to have a sum of its own."""
LARGEST = 1 << 19
"""Bytes of a factor that each chunk reads as a whole: a larger one does not stay in a core's cache beside the rows, so
that tiles, which share what they read, are faster."""
FEW = 1024
"""Elements of an array up to which each of many chunks may have one to accumulate in."""


@dataclass
class Cluster:
    """A cluster that grows; `rows` are the sizes of its outermost loop.

    block  rows of which a chunk with products of matrices has a multiple
    roles  for each member that is a product of matrices, by number of its unit: what of it a chunk computes
    axis   what the members compute, and which of its axes are the rows; None: it is complete behind the last chunk only
    reads  what the members read
    """

    rows: DimLike
    block: int
    members: list[Group] = field(default_factory=list)
    roles: dict[int, str] = field(default_factory=dict)
    axis: dict[Tensor, int | None] = field(default_factory=dict)
    reads: set[Tensor] = field(default_factory=set)
    size: int = 0

    def add(self, group: Group) -> bool:
        """Make `group` a member if it goes over the same rows, shares data, and needs no other rows of the members'."""
        read = {alias_base(n) for unit in group.units for n in unit.reads}
        linked = not self.members or any(n in self.axis or n in self.reads for n in read)
        if group.members or not linked or self.size + group.size > MAX_SIZE:
            return False
        if group.units[0].kind == "dot":
            role = next(filter(partial(self._multiplies, group.units[0]), _roles(group.units[0], self.rows)), None)
            if role is None:
                return False
            self.roles[group.units[0].number] = role
        elif self.rows not in _rows(group) or not all(map(self._reads_own_rows, group.units)):
            return False
        self.members.append(group)
        self.size += group.size
        self.reads |= read
        for unit in group.units:
            if unit.kind != "copy":
                self.axis[unit.node] = _axis_of_rows(unit, self.roles.get(unit.number))
        return True

    def _multiplies(self, unit: Unit, role: str) -> bool:
        """Whether a product can have that role: the rows it needs of the members' values are its own."""
        product = product_of(unit.node)
        factors = zip((product.x, product.y), product.axes_of_rows(role), strict=True)
        return all(self._own_row(f.base, axis) for f, axis in factors if alias_base(f.base) in self.axis)

    def _reads_own_rows(self, unit: Unit) -> bool:
        """The same for loops: the row that they read is that of the outermost one."""
        row = Var("i0")
        for node, indices in unit.reads.items():
            if alias_base(node) in self.axis:
                places = [{k for k, i in enumerate(at) if i == row} if at is not None else set() for at in indices]
                if unit.kind == "convolve":
                    places = [set() if reads_as_weights(unit.node, node) else {0}]
                if not any(self._own_row(node, axis) for axis in set.intersection(*places)):
                    return False
        return True

    def _own_row(self, node: Tensor, axis: int | None) -> bool:
        """Whether what reads `node` row by row along `axis` reads rows that its member has just computed."""
        base = alias_base(node)
        if axis is None or self.axis[base] != axis:
            return False
        return node is base or (axis == 0 and node.shape[:1] == base.shape[:1] == (self.rows,))

    def chunking(self) -> Chunking | None:
        """How its rows are cut; None where one chunk does."""
        work: DimLike = 0
        most, unit_of_rows, few = chunks.MAX_CHUNKS, 1, True
        for unit in (u for g in self.members for u in g.units):
            role = self.roles.get(unit.number)
            if role is not None:
                work = work + product_of(unit.node).work_per_row(role) // 16
                unit_of_rows = max(unit_of_rows, self.block if role != "batch" else 1)
            elif unit.kind == "convolve":
                work = work + layout_of(unit.node).work // 16
                few = False  # each chunk may need memory for the windows of an image
            else:
                work = work + dims.product(unit.domain[1:])
                unit_of_rows = max(unit_of_rows, chunks.ALIGNED if len(unit.domain) == 1 and not self.roles else 1)
            summed = unit.kind == "convolve" and not by_image(unit.node)
            if role == "terms" or summed or (unit.reduced[:1] == (0,) and not unit.trailing):
                size = unit.node.size
                few = few and isinstance(size, int) and size <= FEW
        return chunks.cut(
            self.rows, work, most if few else chunks.MAX_ARRAY_CHUNKS, unit_of_rows, even=bool(self.roles)
        )


def _roles(unit: Unit, rows: DimLike) -> Iterator[str]:
    """What a chunk of rows may compute of a product, see `Dot.part`."""
    product = product_of(unit.node)
    m, n, k = product.sizes
    if not product.by_tiles:
        return
    if product.batched and unit.node.shape[0] == rows and not product.x.batch and not product.y.batch:
        yield "batch"
    whole = product.y.base.size
    large = isinstance(whole, int) and whole * product.y.base.dtype.itemsize > LARGEST
    if m == rows and not large:
        yield "rows"
    if k == rows and isinstance(m, int) and isinstance(n, int) and m * n <= WORTH * (m + n):
        yield "terms"  # the result is so small that a chunk is worth a sum of its own


def _rows(group: Group) -> list[DimLike]:
    """Sizes that the outermost loop of a cluster with this group may have."""
    unit = group.units[0]
    if unit.kind == "dot":
        m, _, k = product_of(unit.node).sizes
        return [size for size in dict.fromkeys((unit.node.shape[0], m, k)) if any(_roles(unit, size))]
    if unit.kind == "convolve":
        return [layout_of(unit.node).sizes["n"]]
    if unit.kind == "overlap":
        return [unit.node.shape[0]] if has_rows(unit.node) else []
    fused = group.domain and all(u.kind in FUSIBLE and u.domain[:1] == group.domain[:1] for u in group.units)
    return [group.domain[0]] if fused else []


def _axis_of_rows(unit: Unit, role: str | None) -> int | None:
    if role is not None:
        return {"batch": 0, "rows": len(unit.node.shape) - 2, "terms": None}[role]
    if unit.kind == "convolve":
        return 0 if by_image(unit.node) else None
    return None if 0 in unit.reduced else 0


def cluster(groups: Sequence[Group]) -> list[Group]:
    """`groups`, in an order in which they can run, those of a cluster in one; see `Group.members`."""
    items = list(groups)
    if len(items) > MOST_KERNELS:
        return items
    k = 0
    while k < len(items):
        found = next(filter(None, (_grown(items, k, rows) for rows in _rows(items[k]))), None)
        if found is None:
            k += 1
        else:
            items = found
    return items


def _grown(items: list[Group], k: int, rows: DimLike) -> list[Group] | None:
    """The items with a cluster that begins with item `k`; None where nothing joins it."""
    grown = Cluster(rows, BLOCK)
    if not grown.add(items[k]):
        return None
    inside: set[int] = {items[k].number}
    behind: set[int] = set()
    before: list[Group] = []
    after: list[Group] = []
    for group in items[k + 1 :]:
        if not group.deps & behind and grown.add(group):
            inside.add(group.number)
        elif group.deps & (behind | inside):
            behind |= {m.number for m in group.members} or {group.number}
            after.append(group)
        else:
            before.append(group)
    merged = _merged(grown)
    if merged is None:
        return None
    merged.deps -= inside
    return [*items[:k], *before, merged, *after]


def joined(groups: Sequence[Group], block: int) -> Group | None:
    """A cluster of just these groups, in this order; None where they cannot be one. `block` as in `Cluster`."""
    for rows in _rows(groups[0]):
        grown = Cluster(rows, block)
        if all(map(grown.add, groups)) and (merged := _merged(grown)) is not None:
            merged.deps -= {g.number for g in groups}
            return merged
    return None


def _merged(grown: Cluster) -> Group | None:
    """The group of a cluster; None where there is nothing to gain."""
    members, chunking = grown.members, grown.chunking()
    if len(members) == 1 or chunking is None:
        return None
    if all(unit.kind == "dot" for group in members for unit in group.units):
        return None  # the tiles of each are larger than what a chunk has of it
    first = members[0]
    merged = Group(first.number, first.level, [u for g in members for u in g.units], (grown.rows,), 1)
    merged.members, merged.chunking, merged.roles = members, chunking, grown.roles
    merged.size, merged.deps = grown.size, {d for g in members for d in g.deps}
    return merged
