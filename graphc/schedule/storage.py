"""What must stand in memory, and what is computed where it is used.

Leaves, results of reductions, contractions, scatters and sorts, roots, and operands that must be addressed at will
are stored. Everything else is inlined into the kernels that use it, unless that would repeat too much work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..ir.graph import Graph
from ..ir.leaves import CONSTANT, INPUT, PARAM
from ..ir.lowering import (
    Alias,
    Argsort,
    Concat,
    Contract,
    Convolve,
    Gather,
    Generate,
    Map,
    Overlap,
    Reduce,
    Refused,
    Scan,
    Scatter,
    View,
)
from ..ir.tensor import Tensor
from ..ir.traversal import users
from . import policy as policies
from .policy import CPU, Policy
from .products import product_of
from .views import is_alias, is_view

MAX_CONE = 96
"""Largest number of nodes inlined into one statement tree; also bounds recursion while lowering."""
CHEAP = 6
"""Work (see `_work`) below which a value with several users is recomputed instead of stored."""
_SIMPLE = frozenset(
    {"add", "subtract", "multiply", "negative", "where", "astype", "ct_mul", "zero_mul", "maximum", "minimum", "abs"}
    | {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}
)

_LEAVE_OUT = frozenset({"slice", "windows", "overlap", "convolve", "convolve_transposed", "convolve_weights"})
"""Rows that may read some elements of an operand only: windows further apart than they are wide, say."""


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


def _work(node: Tensor) -> int:
    if isinstance(node.op.lower, (Generate, View, Alias)):
        return 0
    return 1 if node.op.name in _SIMPLE else 8


_PRODUCERS = (Reduce, Scan, Contract, Convolve, Overlap, Scatter, Concat, Argsort)


def decide(graph: Graph, policy: Policy = CPU) -> Storage:
    """Which nodes of `graph` are stored, hard or soft."""
    cheap = policies.RECOMPUTED if policy.recompute else CHEAP
    readers = users(graph.nodes)
    stored: set[Tensor] = set()
    soft: set[Tensor] = set()
    cone: dict[Tensor, int] = {}  # nodes inlined at and below a node
    work: dict[Tensor, int] = {}  # work repeated for each use
    checked: set[Tensor] = set()  # nodes that inline a gather
    known: set[Tensor] = set()  # numbers that sizes alone decide: every kernel computes them for itself
    roots = set(graph.roots)
    factors, through = _factors(graph, readers)
    for node in graph.nodes:
        lower = node.op.lower
        if isinstance(lower, Refused) and not is_leaf(node):
            continue
        inner = [i for i in node.inputs if i not in stored and i not in soft]
        cone[node] = 1 + sum(cone.get(i, 0) for i in inner)
        work[node] = _work(node) + sum(work.get(i, 0) for i in inner)
        addressed = node in factors or _addressed(node, readers[node], through)
        if is_leaf(node) or node in roots or isinstance(lower, _PRODUCERS) or addressed:
            stored.add(node)
        else:
            if isinstance(lower, Gather) or any(i in checked for i in inner):
                checked.add(node)
            if node.shape == () and isinstance(lower, (Map, Generate)) and known.issuperset(node.inputs):
                known.add(node)
            computes = (isinstance(lower, (Map, Gather)) and node not in known) or cone[node] >= MAX_CONE
            if node in checked and any(reader.op.name in _LEAVE_OUT for reader in readers[node]):
                soft.add(node)  # an index out of range would go unnoticed where its element is left out
            elif computes and (
                _worth_storing(node, readers[node], work[node], cone[node], cheap)
                or (work[node] > 0 and _convolved(node, readers))
            ):
                soft.add(node)
    for node in graph.nodes:  # an alias needs its operand in memory; the alias itself is that memory
        if is_alias(node) and node not in stored and node not in through:
            stored.add(node)
    return Storage(stored, soft)


def _addressed(node: Tensor, readers: list[Tensor], through: set[Tensor]) -> bool:
    """Whether a reader needs the node in memory: a library call, or a read at computed positions."""
    for reader in readers:
        lower = reader.op.lower
        if isinstance(lower, Argsort) or (is_alias(reader) and reader not in through):
            return True
        addressed = isinstance(lower, Scatter) or (isinstance(lower, Gather) and not is_generated(node))
        if addressed and reader.inputs[0] is node:
            return True
    return False


def _factors(graph: Graph, readers: Mapping[Tensor, list[Tensor]]) -> tuple[set[Tensor], set[Tensor]]:
    """What products of matrices read from memory; and the aliases that they look through and nobody else reads."""
    read: set[Tensor] = set()
    seen: set[Tensor] = set()
    needed: set[Tensor] = set(graph.roots)
    for node in graph.nodes:
        if isinstance(node.op.lower, Contract):
            product = product_of(node)
            for x, factor in zip(node.inputs, (product.x, product.y), strict=True):
                read.add(factor.base)
                (seen if factor.batch else needed).add(x)
    alone = {x for x in seen - needed if all(isinstance(r.op.lower, Contract) for r in readers[x])}
    return read, {x for x in alone if is_alias(x)}


def _worth_storing(node: Tensor, readers: list[Tensor], work: int, cone: int, cheap: int) -> bool:
    """Whether inlining would make a statement too long, or repeat work."""
    if cone >= MAX_CONE:
        return True
    if len(set(readers)) > 1 and work >= cheap:
        return True
    return work >= cheap and any(_repeats(node, reader) for reader in readers)


def _convolved(node: Tensor, readers: Mapping[Tensor, list[Tensor]]) -> bool:
    """Whether a convolution and something else read the node: the former wants it in memory anyway."""
    found: set[Tensor] = set()
    stack = [node]
    while stack:
        for reader in readers[stack.pop()]:
            if is_view(reader) and len(reader.shape) == len(node.shape) + 1:
                stack.append(reader)
            else:
                found.add(reader)
    return len(found) > 1 and any(isinstance(reader.op.lower, Convolve) for reader in found)


def _repeats(node: Tensor, reader: Tensor) -> bool:
    """Whether a broadcast reads each element many times inside a loop that cannot be hoisted out of."""
    if reader.op.name != "broadcast_to" or node.shape == ():
        return False
    offset = len(reader.shape) - len(node.shape)
    stretched = [k for k in range(len(reader.shape)) if k < offset or node.shape[k - offset] == 1 != reader.shape[k]]
    kept = [k for k in range(len(reader.shape)) if k not in stretched and reader.shape[k] != 1]
    return bool(kept) and bool(stretched) and min(stretched) < max(kept)
