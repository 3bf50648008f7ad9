"""Units: one per stored value. A unit knows its iteration space and what it reads, and at which index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..ir.dims import Shape
from ..ir.expr import Expr, Var, index
from ..ir.graph import Graph
from ..ir.lowering import Alias, Argsort, Concat, Contract, Convolve, Gather, Map, Overlap, Reduce, Scan, Scatter, View
from ..ir.tensor import Tensor
from .policy import Policy
from .products import product_of
from .storage import Storage, is_generated, is_leaf
from .views import is_alias, is_view

Index = tuple[Expr, ...]
Reading = tuple[Tensor, Index | None]  # None: read at computed positions from the first axis on, or as a whole


@dataclass
class Unit:
    """The computation of one stored value.

    kind    map, reduce, columns (a reduction, what it keeps outside), scan, dot, convolve, overlap, scatter, concat,
            stack (a concatenation of single elements, which needs no loop), argsort, copy (a leaf or stored value to
            other memory), or check (of a leaf or stored value for nan and inf)
    domain  sizes of its loops, outermost first; `reduced` are the loops that combine
    reads   stored nodes it loads, with every index at which it does
    size    nodes inlined into it
    """

    number: int
    node: Tensor
    kind: str
    domain: Shape
    reduced: tuple[int, ...] = ()
    reads: dict[Tensor, list[Index | None]] = field(default_factory=dict)
    size: int = 0
    gathers: list[Tensor] = field(default_factory=list)

    @property
    def trailing(self) -> bool:
        """Whether all loops from the first reduced one inwards reduce: the accumulator is a scalar."""
        return not self.reduced or self.reduced == tuple(range(self.reduced[0], len(self.domain)))


def loop_vars(rank: int) -> Index:
    """The loop variables i0, i1, ... of a nest."""
    return tuple(Var(f"i{k}") for k in range(rank))


def first_of(node: Tensor) -> Index:
    """Where the first element is."""
    return (index(0),) * len(node.shape)


def view_index(node: Tensor, at: Index) -> Index:
    """Where a view node at index `at` reads its operand."""
    operand = node.inputs[0]
    if isinstance(node.op.lower, View):
        return node.op.lower.index(at, operand.shape, node.shape, **node.attrs)
    kept = iter([i for i, size in zip(at, node.shape, strict=True) if size != 1])
    return tuple(index(0) if size == 1 else next(kept) for size in operand.shape)


def readings(node: Tensor, at: Index) -> list[Reading]:
    """What computing `node` (not stored) at index `at` reads: operands and their indices."""
    lower = node.op.lower
    if is_view(node):
        return [(node.inputs[0], view_index(node, at))]
    if isinstance(lower, Map):
        return [(operand, at) for operand in node.inputs]
    if isinstance(lower, Gather):
        rank = len(node.inputs[1].shape)
        gathered: list[Reading] = [] if is_generated(node.inputs[0]) else [(node.inputs[0], _gathered_at(node, at))]
        return [*gathered, *[(i, at[:rank]) for i in node.inputs[1:]]]
    return []


_ANYWHERE = Var("?")
"""In an index: a position that is computed."""


def _gathered_at(node: Tensor, at: Index) -> Index | None:
    """Where a gather reads its first operand; on an axis whose positions are all in order, at that of the loop."""
    x, *indices = node.inputs
    found = [
        at[i.attrs["axis"]] if i.op.name == "iota" and i.shape[i.attrs["axis"]] == size else _ANYWHERE
        for i, size in zip(indices, x.shape, strict=False)
    ]
    return None if found[0] == _ANYWHERE else (*found, *at[len(indices[0].shape) :])


def unit_readings(unit: Unit) -> Iterator[Reading]:
    """The first readings of a unit: operands of its own node at the loop variables of its domain."""
    node, at = unit.node, loop_vars(len(unit.domain))
    if unit.kind == "map":
        yield from readings(node, at)
    elif unit.kind == "copy":
        yield node, at
    elif unit.kind in ("reduce", "columns", "scan"):
        for operand in node.inputs:
            yield operand, at
    elif unit.kind == "stack":
        for operand in node.inputs:
            yield operand, first_of(operand)
    elif unit.kind in ("concat", "convolve", "overlap"):
        for operand in node.inputs:
            yield operand, loop_vars(len(operand.shape))
    elif unit.kind == "scatter":
        yield node.inputs[0], None
        yield node.inputs[1], loop_vars(len(node.inputs[1].shape))
        for operand in node.inputs[2:]:
            yield operand, loop_vars(len(operand.shape))
    elif unit.kind == "dot":
        product = product_of(node)
        yield product.x.base, None
        yield product.y.base, None
    else:
        for operand in node.inputs:
            yield operand, None


def trace_reads(unit: Unit, stored: set[Tensor]) -> None:
    """Fill in `reads`, `size` and `gathers` by following the readings down to stored nodes."""
    seen: set[tuple[Tensor, Index | None]] = set()
    stack = list(unit_readings(unit))
    nodes: set[Tensor] = {unit.node}
    if isinstance(unit.node.op.lower, (Gather, Scatter)) and unit.kind != "copy":
        unit.gathers.append(unit.node)
    while stack:
        node, at = stack.pop()
        if (node, at) in seen:
            continue
        seen.add((node, at))
        if node in stored:
            unit.reads.setdefault(node, []).append(at)
            continue
        nodes.add(node)
        if isinstance(node.op.lower, Gather):
            unit.gathers.append(node)
        assert at is not None, f"{node!r} is read at computed positions but not stored"
        stack.extend(readings(node, at))
    unit.size = len(seen)


def _kind(node: Tensor) -> tuple[str, Shape, tuple[int, ...]]:
    lower = node.op.lower
    if isinstance(lower, Reduce):
        axes = node.attrs["axes"]
        return "reduce", node.inputs[0].shape, axes
    if isinstance(lower, Scan):
        return "scan", node.shape, ()
    if isinstance(lower, Contract):
        return "dot", node.shape, ()
    if isinstance(lower, Convolve):
        return "convolve", node.shape, ()
    if isinstance(lower, Overlap):
        return "overlap", node.shape, ()
    if isinstance(lower, Scatter):
        return "scatter", node.shape, ()
    if isinstance(lower, Concat):
        single = all(size == 1 for operand in node.inputs for size in operand.shape)
        return ("stack", (), ()) if single else ("concat", node.shape, ())
    if isinstance(lower, Argsort):
        return "argsort", node.shape, ()
    assert not isinstance(lower, Alias) or not is_alias(node)
    return "map", node.shape, ()


def make_units(graph: Graph, storage: Storage, policy: Policy) -> list[Unit]:
    """A unit for every stored node that is computed (leaves and aliases have their memory already)."""
    stored = storage.stored | storage.soft
    units: list[Unit] = []
    for node in graph.nodes:
        if node in stored and not is_leaf(node) and not is_alias(node):
            kind, domain, reduced = _kind(node)
            units.append(Unit(len(units), node, kind, domain, reduced))
            if policy.columns and kind == "reduce" and not units[-1].trailing:
                units[-1].kind = "columns"
    for unit in units:
        trace_reads(unit, stored)
    return units


def copy_unit(number: int, node: Tensor) -> Unit:
    """A unit that copies a stored value into memory of its own."""
    unit = Unit(number, node, "copy", node.shape)
    unit.reads[node] = [loop_vars(len(node.shape))]
    return unit


def check_unit(number: int, node: Tensor) -> Unit:
    """A unit that tests a stored value for nan and inf."""
    unit = Unit(number, node, "check", node.shape)
    unit.reads[node] = [None]
    return unit


def alias_base(node: Tensor) -> Tensor:
    """The node whose memory an alias is."""
    while is_alias(node):
        node = node.inputs[0]
    return node
