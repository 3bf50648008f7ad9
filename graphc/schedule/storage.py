"""What must stand in memory, and what is computed where it is used.

Leaves, results of reductions, contractions, scatters and sorts, roots, and operands that must be addressed at will
are stored. Everything else is inlined into the kernels that use it, unless that would repeat too much work.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.dims import Shape
from ..ir.graph import Graph
from ..ir.leaves import CONSTANT, INPUT, PARAM
from ..ir.lowering import Alias, Argsort, Concat, Contract, Gather, Generate, Map, Reduce, Refused, Scan, Scatter, View
from ..ir.tensor import Tensor
from ..ir.traversal import users

MAX_CONE = 96
"""Largest number of nodes inlined into one statement tree; also bounds recursion while lowering."""
CHEAP = 6
"""Work (see `_work`) below which a value with several users is recomputed instead of stored."""
_SIMPLE = frozenset(
    {"add", "subtract", "multiply", "negative", "where", "astype", "ct_mul", "maximum", "minimum", "abs"}
    | {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}
)


@dataclass
class Storage:
    """`stored`: nodes with memory of their own (or a leaf's); `soft`: stored only if another kernel reads them."""

    stored: set[Tensor]
    soft: set[Tensor]


def is_leaf(node: Tensor) -> bool:
    """A node whose memory exists before the step: input, param, array constant."""
    return node.op is INPUT or node.op is PARAM or (node.op is CONSTANT and node.shape != ())


def is_generated(node: Tensor) -> bool:
    """A node whose elements are known from their positions: it needs no memory to be read anywhere."""
    return isinstance(node.op.lower, Generate) and not is_leaf(node)


def ones_only(old: Shape, new: Shape) -> bool:
    """Whether a reshape only adds or drops axes of size 1."""
    return [s for s in old if s != 1] == [s for s in new if s != 1]


def is_view(node: Tensor) -> bool:
    """Whether the node is index arithmetic on its operand."""
    lower = node.op.lower
    return isinstance(lower, View) or (isinstance(lower, Alias) and ones_only(node.inputs[0].shape, node.shape))


def is_alias(node: Tensor) -> bool:
    """Whether the node is its operand's memory under another shape."""
    return isinstance(node.op.lower, Alias) and not ones_only(node.inputs[0].shape, node.shape)


def _work(node: Tensor) -> int:
    if isinstance(node.op.lower, (Generate, View, Alias)):
        return 0
    return 1 if node.op.name in _SIMPLE else 8


_PRODUCERS = (Reduce, Scan, Contract, Scatter, Concat, Argsort)


def decide(graph: Graph) -> Storage:
    """Which nodes of `graph` are stored, hard or soft."""
    readers = users(graph.nodes)
    stored: set[Tensor] = set()
    soft: set[Tensor] = set()
    cone: dict[Tensor, int] = {}  # nodes inlined at and below a node
    work: dict[Tensor, int] = {}  # work repeated for each use
    checked: set[Tensor] = set()  # nodes that inline a gather
    roots = set(graph.roots)
    for node in graph.nodes:
        lower = node.op.lower
        if isinstance(lower, Refused) and not is_leaf(node):
            continue
        inner = [i for i in node.inputs if i not in stored and i not in soft]
        cone[node] = 1 + sum(cone.get(i, 0) for i in inner)
        work[node] = _work(node) + sum(work.get(i, 0) for i in inner)
        if is_leaf(node) or node in roots or isinstance(lower, _PRODUCERS) or _addressed(node, readers[node]):
            stored.add(node)
        else:
            if isinstance(lower, Gather) or any(i in checked for i in inner):
                checked.add(node)
            computes = isinstance(lower, (Map, Gather)) or cone[node] >= MAX_CONE
            if node in checked and any(reader.op.name == "slice" for reader in readers[node]):
                soft.add(node)  # a slice leaves out elements: an index out of range there would go unnoticed
            elif computes and _worth_storing(node, readers[node], work[node], cone[node]):
                soft.add(node)
    for node in graph.nodes:  # an alias needs its operand in memory; the alias itself is that memory
        if is_alias(node) and node not in stored:
            stored.add(node)
    return Storage(stored, soft)


def _addressed(node: Tensor, readers: list[Tensor]) -> bool:
    """Whether a reader needs the node in memory: a library call, or a read at computed positions."""
    for reader in readers:
        lower = reader.op.lower
        if isinstance(lower, (Contract, Argsort)) or is_alias(reader):
            return True
        addressed = isinstance(lower, Scatter) or (isinstance(lower, Gather) and not is_generated(node))
        if addressed and reader.inputs[0] is node:
            return True
    return False


def _worth_storing(node: Tensor, readers: list[Tensor], work: int, cone: int) -> bool:
    """Whether inlining would make a statement too long, or repeat work."""
    if cone >= MAX_CONE:
        return True
    if len(set(readers)) > 1 and work >= CHEAP:
        return True
    return work >= CHEAP and any(_repeats(node, reader) for reader in readers)


def _repeats(node: Tensor, reader: Tensor) -> bool:
    """Whether a broadcast reads each element many times inside a loop that cannot be hoisted out of."""
    if reader.op.name != "broadcast_to" or node.shape == ():
        return False
    offset = len(reader.shape) - len(node.shape)
    stretched = [k for k in range(len(reader.shape)) if k < offset or node.shape[k - offset] == 1 != reader.shape[k]]
    kept = [k for k in range(len(reader.shape)) if k not in stretched and reader.shape[k] != 1]
    return bool(kept) and bool(stretched) and min(stretched) < max(kept)
